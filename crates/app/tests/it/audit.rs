//! The audit log keeps step with what staff do, while the processes that they use are killed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::Sandbox;
use lockstep_testkit::{TestDb, sqlx};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::program::{DEADLINE, Running, client, lockstep, outcome, sandbox, text, with_account};

/// Staff at work at the same time.
const STAFF: usize = 16;

#[tokio::test]
async fn audit_log_keeps_step_while_processes_are_killed() {
    prove(200, 2).await;
}

/// The same at length: `cargo test -p lockstep --test it -- --ignored audit_log_keeps_step`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn audit_log_keeps_step_for_ten_thousand_actions_and_forty_kills() {
    prove(10_000, 40).await;
}

/// One of the two processes. It is started anew after each kill.
struct Process {
    data: tempfile::TempDir,
    /// Where it listens now.
    address: RwLock<String>,
}

impl Process {
    async fn start(&self, db: &TestDb, g2a: &Sandbox) -> Running {
        let mut command = lockstep(&["web", "--data-dir", self.data.path().to_str().unwrap()]);
        with_account(&mut command, g2a)
            .env("DATABASE_URL", db.url())
            .env("LOCKSTEP_RATE_LIMITS", "off")
            .env("JWT_SECRET", "a".repeat(32))
            .env("JWT_REFRESH_SECRET", "b".repeat(32))
            .env("LOCKSTEP_KEY_SECRET", "1f".repeat(32));
        let running = Running::start(&mut command).await;
        self.address.write().unwrap().clone_from(&running.address);
        running
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address.read().unwrap())
    }
}

/// Sends a request until it is answered with success, or with 409 because it took effect before its answer was lost.
async fn until_done(processes: &[Process; 2], first: usize, token: &str, request: &Action) {
    let began = Instant::now();
    for turn in first.. {
        let url = processes[turn % 2].url(&request.path);
        let sent = client()
            .request(request.method.clone(), url)
            .bearer_auth(token)
            .header("idempotency-key", &request.key)
            .body(request.body.to_string())
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer.status().as_u16(),
            Err(_) => 0,
        };
        if matches!(answer, 200 | 201) || (answer == 409 && request.method == reqwest::Method::POST) {
            return;
        }
        assert!(matches!(answer, 0 | 409 | 503), "{}: {answer}", request.path);
        assert!(began.elapsed() < DEADLINE, "{}: {answer}", request.path);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Action {
    method: reqwest::Method,
    path: String,
    body: Value,
    /// The same for each repetition.
    key: String,
}

/// The `n`-th thing that staff do: a tag, or an adjustment of a balance.
fn action(n: usize, users: &[String]) -> Action {
    let key = format!("audit-log-{n}");
    if n.is_multiple_of(2) {
        Action {
            method: reqwest::Method::POST,
            path: "/api/admin/tags".into(),
            body: json!({"name": format!("Chain {n}")}),
            key,
        }
    } else {
        Action {
            method: reqwest::Method::PUT,
            path: format!("/api/admin/users/{}/balance", users[n / 2 % users.len()]),
            body: json!({"amount": 1, "reason": format!("chain {n}")}),
            key,
        }
    }
}

/// Lets staff do `actions` things at two processes, of which one is killed `kills` times.
async fn prove(actions: usize, kills: usize) {
    let (db, g2a) = (TestDb::new().await, sandbox(1).await);
    let processes = Arc::new([(); 2].map(|()| Process {
        data: tempfile::tempdir().unwrap(),
        address: RwLock::default(),
    }));
    let mut running = Vec::new();
    for process in processes.iter() {
        running.push(process.start(&db, &g2a).await);
    }
    let (mut users, mut token) = (Vec::new(), String::new());
    for email in ["root@example.org", "ada@example.org", "bob@example.org"] {
        let account = json!({"email": email, "password": "Correct-Horse-1"});
        let request = client().post(processes[0].url("/api/auth/register"));
        let answer = request.body(account.to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        users.push(answer["data"]["user"]["id"].as_str().unwrap().to_owned());
        if token.is_empty() {
            answer["data"]["token"].as_str().unwrap().clone_into(&mut token);
        }
    }
    db.execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;

    let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut staff = JoinSet::new();
    for first in 0..STAFF {
        let (begun, done, processes) = (begun.clone(), done.clone(), processes.clone());
        let (users, token) = (users.clone(), token.clone());
        staff.spawn(async move {
            loop {
                let n = begun.fetch_add(1, Ordering::Relaxed);
                if n >= actions {
                    break;
                }
                until_done(&processes, first, &token, &action(n, &users)).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for kill in 0..kills {
        while done.load(Ordering::Relaxed) < (kill + 1) * actions / (kills + 1) {
            assert!(!staff.is_empty());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running[kill % 2].signal("KILL").await;
        running[kill % 2] = processes[kill % 2].start(&db, &g2a).await;
    }
    while let Some(ended) = staff.join_next().await {
        ended.unwrap();
    }

    let counts: (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from tags where name like 'Chain %'),
                (select count(*) from audit_log where action = 'taxonomy.create'),
                (select count(*) from tags t join audit_log a on a.subject_id = t.id and a.action = 'taxonomy.create'),
                (select sum(balance)::bigint from users),
                (select count(*) from audit_log where action = 'balance.adjust')",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    let half = i64::try_from(actions / 2).unwrap();
    assert_eq!(counts, (half, half, half, half, half));
    let mut verify = lockstep(&["audit", "verify"]);
    let verified = outcome(verify.env("DATABASE_URL", db.url())).await;
    assert!(
        verified.status.success(),
        "{}{}",
        text(&verified.stdout),
        text(&verified.stderr)
    );
}
