//! `lockstep serve`: from nothing to a store full of games.

use std::time::{Duration, Instant};

use lockstep_testkit::{TestDb, TestRedis};

use crate::program::{DEADLINE, Running, client, lockstep, outcome, sandbox, text, with_account};

fn first_game(answer: &serde_json::Value) -> Option<(String, String)> {
    let game = answer.pointer("/data/data/0")?;
    Some((game["id"].as_str()?.to_owned(), game["title"].as_str()?.to_owned()))
}

#[tokio::test]
async fn unconfigured_serve_shows_games_and_shuts_down_cleanly() {
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let store = Running::start(&mut lockstep(&["serve", "--data-dir", data])).await;
    // The first pages arrive while the synchronisation is still running.
    let (id, title) = store.wait_for("/api/games", first_game).await;
    assert_eq!(
        store
            .json(&format!("/api/games/{id}"))
            .await
            .pointer("/data/title")
            .unwrap(),
        title.as_str()
    );
    let (status, page) = store.get("/").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("<article class=\"card") && page.contains("€") && page.contains("/covers/"),
        "{page}"
    );
    assert!(page.contains("No G2A account is connected"), "the sandbox is announced");

    // The console is one click away, once, and the log does not know the link.
    let printed = store.printed("/admin/enter/").await;
    let token = printed
        .split("/admin/enter/")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let link = format!("/admin/enter/{token}");
    for _ in 0..2 {
        let (status, page) = store.get(&link).await;
        assert!(status == 200 && page.contains("owner@demo.example"), "{page}");
    }
    assert!(!store.log().lock().unwrap().contains(token));

    // A second store may not open the same data folder; commands may run beside the first.
    let second = outcome(&mut lockstep(&["serve", "--data-dir", data, "--bind", "127.0.0.1:0"])).await;
    assert_eq!(second.status.code(), Some(1), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("in use"), "{}", text(&second.stderr));
    let doctor = outcome(&mut lockstep(&["doctor", "--data-dir", data])).await;
    assert!(
        text(&doctor.stdout).contains("in use by a running store"),
        "{}",
        text(&doctor.stdout)
    );

    store.signal("TERM").await;
    assert_eq!(store.ended().await.code(), Some(0));

    // It opens again with its data, and with a front-end of one's own.
    let front = folder.path().join("front");
    std::fs::create_dir(&front).unwrap();
    std::fs::write(front.join("index.html"), "<title>Front</title>").unwrap();
    let front = front.to_str().unwrap();
    let args = [
        "web",
        "--data-dir",
        data,
        "--front",
        front,
        "--console-path",
        "/console",
    ];
    let again = Running::start(&mut lockstep(&args)).await;
    assert_eq!(again.get("/").await, (200, "<title>Front</title>".to_owned()));
    // What is below /admin is the front-end's then, also when its page is reloaded, and the console is elsewhere.
    for page in ["/admin", "/admin/games", "/admin/enter/x"] {
        assert_eq!(
            again.get(page).await,
            (200, "<title>Front</title>".to_owned()),
            "{page}"
        );
    }
    let printed = again.printed("/console/enter/").await;
    let token = printed.split("/console/enter/").nth(1).unwrap();
    let link = format!("/console/enter/{}", token.split_whitespace().next().unwrap());
    let (status, page) = again.get(&link).await;
    assert!(status == 200 && page.contains("owner@demo.example"), "{page}");
    assert!(
        page.contains(&format!("action=\"{link}\"")) && !page.contains("=\"/admin"),
        "{page}"
    );
    let (_, page) = again.get("/console").await;
    assert!(page.contains("value=\"/console\""), "{page}");
    assert!(
        again.json(&format!("/api/games/{id}")).await["success"]
            .as_bool()
            .unwrap()
    );
}

#[tokio::test]
async fn any_server_with_the_same_api_is_synchronised() {
    let (db, g2a) = (TestDb::new().await, sandbox(130).await);
    let mut command = lockstep(&["serve"]);
    with_account(&mut command, &g2a).env("DATABASE_URL", db.url());
    let store = Running::start(&mut command).await;
    let listed = store
        .wait_for("/api/games?inStockOnly=false&pageSize=1", |answer| {
            answer.pointer("/data/total")?.as_u64().filter(|total| *total >= 120)
        })
        .await;
    assert!(listed <= 130);
    let (_, page) = store.get("/").await;
    assert!(!page.contains("No G2A account is connected"));
}

/// Changes a price directly in the database and polls until it is served; a request that starts a second later has to
/// see it.
async fn change_is_served(db: &TestDb, store: &Running, id: &str, price: &str, when: &str) {
    let path = format!("/api/games/{id}");
    store.json(&path).await;
    db.execute(&format!(
        "update games set price = {price}, original_price = null, discount = 0 where id = '{id}'"
    ))
    .await;
    let changed = Instant::now();
    loop {
        let asked = Instant::now();
        let served = store.json(&path).await.pointer("/data/price").unwrap().to_string();
        if served == price {
            return;
        }
        assert!(
            asked - changed < Duration::from_secs(1),
            "{when}: {served} was served to a request made a second after {price}"
        );
    }
}

#[tokio::test]
async fn sql_price_change_is_served_in_a_second_in_every_redis_state() {
    let (db, g2a, mut redis) = (TestDb::new().await, sandbox(40).await, TestRedis::start().await);
    let mut command = lockstep(&["serve"]);
    with_account(&mut command, &g2a)
        .env("DATABASE_URL", db.url())
        .env("REDIS_URL", redis.url());
    let store = Running::start(&mut command).await;
    let mut without_redis = lockstep(&["web"]);
    with_account(&mut without_redis, &g2a).env("DATABASE_URL", db.url());
    let other = Running::start(&mut without_redis).await;
    let (id, _) = store.wait_for("/api/games", first_game).await;

    change_is_served(&db, &store, &id, "1001.01", "Redis up").await;
    redis.freeze();
    change_is_served(&db, &store, &id, "1002.02", "Redis frozen").await;
    redis.thaw();
    redis.kill();
    change_is_served(&db, &store, &id, "1003.03", "Redis down").await;
    let ready = store
        .wait_for("/readyz", |answer| {
            (answer["redis"]["state"] != "ok").then(|| answer["ready"].clone())
        })
        .await;
    assert_eq!(ready, true, "without Redis the store sells on");
    redis.restart_same_port().await;
    store
        .wait_for("/readyz", |answer| (answer["redis"]["state"] == "ok").then_some(()))
        .await;
    change_is_served(&db, &store, &id, "1004.04", "Redis back").await;
    change_is_served(&db, &other, &id, "1005.05", "no Redis").await;
}

#[tokio::test]
async fn synchronisation_progress_is_published_in_redis() {
    let (db, g2a, redis) = (TestDb::new().await, sandbox(60).await, TestRedis::start().await);
    let mut command = lockstep(&["serve"]);
    with_account(&mut command, &g2a)
        .env("DATABASE_URL", db.url())
        .env("REDIS_URL", redis.url());
    let _store = Running::start(&mut command).await;
    let started = Instant::now();
    loop {
        let note = redis.get("g2a:sync:progress").await;
        let progress: serde_json::Value = note
            .map(|text| serde_json::from_slice(&text).unwrap())
            .unwrap_or_default();
        if progress["status"] == "COMPLETED" {
            assert!(progress["seen"].as_u64().unwrap() >= 60, "{progress}");
            break;
        }
        assert!(started.elapsed() < DEADLINE, "{progress}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn restart_after_a_kill_is_not_hindered() {
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let store = Running::start(&mut lockstep(&["serve", "--data-dir", data])).await;
    let (id, _) = store.wait_for("/api/games", first_game).await;
    store.signal("KILL").await;
    store.ended().await;
    let store = Running::start(&mut lockstep(&["serve", "--data-dir", data])).await;
    assert!(
        store.json(&format!("/api/games/{id}")).await["success"]
            .as_bool()
            .unwrap(),
        "what was committed is there"
    );
    store.signal("INT").await;
    assert_eq!(store.ended().await.code(), Some(0));
}

/// Waits until the log contains `words`.
async fn wait_for_log(store: &Running, words: &str) {
    let (log, started) = (store.log(), Instant::now());
    while !log.lock().unwrap().contains(words) {
        assert!(
            started.elapsed() < DEADLINE,
            "{words:?} is not in:\n{}",
            log.lock().unwrap()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Wrong credentials end a synchronisation for ten minutes; corrected ones are tried at the next start.
#[tokio::test]
async fn start_retries_failed_runs_at_once_and_logs_waits() {
    let (db, g2a) = (TestDb::new().await, sandbox(130).await);
    let mut wrong = lockstep(&["serve"]);
    with_account(&mut wrong, &g2a)
        .env("DATABASE_URL", db.url())
        .env("G2A_API_SECRET", "a-wrong-secret");
    let store = Running::start(&mut wrong).await;
    wait_for_log(&store, "next attempt at 20").await;
    store.signal("TERM").await;
    assert_eq!(store.ended().await.code(), Some(0));

    let mut right = lockstep(&["serve"]);
    with_account(&mut right, &g2a).env("DATABASE_URL", db.url());
    let began = Instant::now();
    let store = Running::start(&mut right).await;
    store
        .wait_for("/api/games?inStockOnly=false&pageSize=1", |answer| {
            answer.pointer("/data/total")?.as_u64().filter(|total| *total >= 120)
        })
        .await;
    assert!(
        began.elapsed() < Duration::from_mins(2),
        "it rested: {:?}",
        began.elapsed()
    );
    // Progress is logged while it lasts; a fast one logs only its end.
    wait_for_log(&store, "full sync completed").await;
}

#[tokio::test]
async fn metrics_are_served_at_their_configured_address() {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let figures = free.local_addr().unwrap();
    let mut serve = lockstep(&["serve", "--data-dir", folder.path().to_str().unwrap()]);
    serve
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_METRICS_BIND", figures.to_string());
    let refused = outcome(serve.env("LOCKSTEP_BIND", "127.0.0.1:0")).await;
    assert_eq!(refused.status.code(), Some(1), "somebody else listens there");
    assert!(
        text(&refused.stderr).contains("--metrics-bind"),
        "{}",
        text(&refused.stderr)
    );
    drop(free);
    let store = Running::start(&mut serve).await;
    assert_eq!(store.get("/metrics").await.0, 404, "shoppers do not see them");
    assert_eq!(store.get("/readyz").await.0, 200);
    // Pages are counted like the API, by route.
    for path in ["/games", "/game/none", "/api/games/none", "/no/such/page"] {
        let answer = client()
            .get(format!("http://{}{path}", store.address))
            .send()
            .await
            .unwrap();
        assert!(answer.headers().contains_key("x-request-id"), "{path}");
    }
    let output = client().get(format!("http://{figures}/metrics")).send().await.unwrap();
    assert_eq!(output.status(), 200);
    assert!(
        output.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let output = output.text().await.unwrap();
    assert!(
        output.contains("http_requests_total{route=\"/readyz\",method=\"GET\",status=\"200\"}"),
        "{output}"
    );
    for line in [
        r#"http_requests_total{route="/games",method="GET",status="200"} 1"#,
        r#"http_requests_total{route="/game/{slug}",method="GET",status="404"} 1"#,
        r#"http_requests_total{route="/api/games/{id}",method="GET",status="#,
        r#"http_requests_total{route="unmatched",method="GET",status="404"}"#,
        r#"http_request_duration_seconds_bucket{route="/games",method="GET",le="10"} 1"#,
    ] {
        assert!(output.contains(line), "{line} is not in {output}");
    }
    assert_eq!(
        client()
            .get(format!("http://{figures}/"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    // Rare events are counted from zero, so that the first one raises an alert.
    assert!(output.contains("lockstep_fulfilment_keys_lost_total 0\n"), "{output}");
    store.signal("TERM").await;
    assert!(store.ended().await.success());

    let mut worker = lockstep(&["worker", "--data-dir", folder.path().to_str().unwrap()]);
    let mut worker = worker
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_METRICS_BIND", figures.to_string())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let answered = async {
        loop {
            match client().get(format!("http://{figures}/metrics")).send().await {
                Ok(answer) if answer.status() == 200 => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, answered)
        .await
        .expect("a worker has figures, too");
    worker.kill().await.unwrap();
}
