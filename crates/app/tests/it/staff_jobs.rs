//! What staff submit in the API of one process, done by another.

use std::process::Stdio;
use std::time::{Duration, Instant};

use lockstep_testkit::TestDb;
use serde_json::{Value, json};

use crate::program::{DEADLINE, Running, client, lockstep, sandbox, with_account};

/// Sends a request of staff; without a body it is a GET.
async fn send(web: &Running, token: &str, path: &str, body: Option<Value>) -> Value {
    let url = format!("http://{}{path}", web.address);
    let request = match body {
        Some(body) => client().post(url).body(body.to_string()),
        None => client().get(url),
    };
    let request = if token.is_empty() {
        request
    } else {
        request.bearer_auth(token)
    };
    let answer = request.send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Polls `path` until `found` returns a value.
async fn wait_for<T>(web: &Running, token: &str, path: &str, found: impl Fn(&Value) -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        let answer = send(web, token, path, None).await;
        if let Some(found) = found(&answer) {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "{path}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_worker_does_what_staff_submit_to_the_process_that_serves_pages() {
    let (db, g2a) = (TestDb::new().await, sandbox(40).await);
    let mut command = lockstep(&["web"]);
    with_account(&mut command, &g2a).env("DATABASE_URL", db.url());
    let web = Running::start(&mut command).await;
    let account = json!({"email": "root@example.org", "password": "Correct-Horse-1"});
    let registered = send(&web, "", "/api/auth/register", Some(account)).await;
    let token = registered["data"]["token"].as_str().unwrap();
    db.execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    let connection = "/api/admin/g2a/test-connection";
    let answer = send(&web, token, connection, None).await;
    assert_eq!(answer["error"]["code"], "no_worker", "{answer}");
    // The job waits for a worker.
    let submitted = send(&web, token, "/api/admin/g2a/sync", Some(json!({"fullSync": true}))).await;
    let job = format!("/api/admin/jobs/{}", submitted["data"]["jobId"].as_str().unwrap());
    let mut command = lockstep(&["worker"]);
    let worker = with_account(&mut command, &g2a).env("DATABASE_URL", db.url());
    let _worker = worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let done = wait_for(&web, token, &job, |answer| {
        let ended = answer["data"]["finishedAt"].is_string();
        ended.then(|| answer["data"].clone())
    });
    let done = done.await;
    assert_eq!(done["state"], "COMPLETED", "{done}");
    wait_for(&web, token, "/api/admin/g2a/budget", |answer| {
        (answer["data"]["workers"][0]["breaker"] == "closed").then_some(())
    })
    .await;
    let answer = send(&web, token, connection, None).await;
    assert_eq!(answer, json!({"success": true, "message": "G2A answers"}));
    wait_for(&web, token, "/api/admin/g2a/metrics", |answer| {
        answer["data"]["requests_success"].as_u64().filter(|calls| *calls > 0)
    })
    .await;
}
