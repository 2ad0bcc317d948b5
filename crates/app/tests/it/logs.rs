//! A log that is not read must not block the store.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lockstep_testkit::TestDb;

use crate::program::{DEADLINE, Running, client, lockstep};

/// The number of dropped lines of the log and of the access log, from the metrics.
async fn dropped(store: &Running) -> (u64, u64) {
    let (_, figures) = store.get("/metrics").await;
    let count = |name: &str| {
        figures
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map(|count| count.parse().unwrap())
            .unwrap_or_default()
    };
    (
        count("lockstep_log_lines_dropped_total"),
        count("lockstep_access_log_lines_dropped_total"),
    )
}

/// Sends requests until more lines of both logs than `before` are dropped; all of them are answered.
async fn fill_the_log(store: &Running, before: (u64, u64)) {
    let (client, address) = (client(), &store.address);
    let started = Instant::now();
    loop {
        let now = dropped(store).await;
        if now.0 > before.0 && now.1 > before.1 {
            return;
        }
        // A game that nobody has asked for yet: several lines about statements for each line of the access log.
        let games = (0..50).map(|_| {
            let request = client.get(format!("http://{address}/api/games/{}", uuid::Uuid::new_v4()));
            request.send()
        });
        for answer in join_all(games).await {
            assert_eq!(answer.expect("an answer").status(), 404);
        }
        for path in ["/readyz", "/", "/api/games"] {
            let (status, body) = store.get(path).await;
            assert_eq!(status, 200, "{path}: {body}");
        }
        assert!(started.elapsed() < DEADLINE, "the log fills its queues: {now:?}");
    }
}

#[tokio::test]
async fn unread_log_blocks_nothing_and_reports_dropped_lines() {
    let db = TestDb::new().await;
    let mut command = lockstep(&["web"]);
    // All log messages: more than a pipe holds, within a moment.
    command.env("DATABASE_URL", db.url()).env("RUST_LOG", "trace");
    let (store, mut log) = Running::start_unread(&mut command).await;
    fill_the_log(&store, (0, 0)).await;

    let told = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("log lines were dropped, because nobody read the log fast enough") {
                return serde_json::from_str::<serde_json::Value>(&line).unwrap();
            }
        }
        panic!("the program ended");
    };
    let line = tokio::time::timeout(DEADLINE, told).await.expect("the loss is told");
    assert!(line["lines"].as_u64().unwrap() > 0 && line["level"] == "WARN", "{line}");

    // The last lines are not read either.
    let before = dropped(&store).await;
    fill_the_log(&store, before).await;
    store.signal("TERM").await;
    let asked = Instant::now();
    assert_eq!(store.ended().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(30));
}
