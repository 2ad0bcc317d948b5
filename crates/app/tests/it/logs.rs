//! A log that is not read must not block the store.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lockstep_testkit::TestDb;

use crate::program::{DEADLINE, Running, client, lockstep};

/// The number of dropped lines, from the metric.
async fn dropped(store: &Running) -> u64 {
    let (_, figures) = store.get("/metrics").await;
    figures
        .lines()
        .find_map(|line| line.strip_prefix("lockstep_log_lines_dropped_total "))
        .map(|count| count.parse().unwrap())
        .unwrap_or_default()
}

/// Sends requests until more lines than `before` are dropped; all of them are answered.
async fn fill_the_log(store: &Running, before: u64) {
    let (client, url) = (client(), format!("http://{}/healthz", store.address));
    let started = Instant::now();
    while dropped(store).await <= before {
        for answer in join_all((0..200).map(|_| client.get(&url).send())).await {
            assert_eq!(answer.expect("an answer").status(), 200);
        }
        for path in ["/readyz", "/", "/api/games"] {
            let (status, body) = store.get(path).await;
            assert_eq!(status, 200, "{path}: {body}");
        }
        assert!(started.elapsed() < DEADLINE, "the log fills its queue");
    }
}

#[tokio::test]
async fn unread_log_blocks_nothing_and_reports_dropped_lines() {
    let db = TestDb::new().await;
    let mut command = lockstep(&["web"]);
    // All log messages: more than a pipe holds, within a moment.
    command.env("DATABASE_URL", db.url()).env("RUST_LOG", "trace");
    let (store, mut log) = Running::start_unread(&mut command).await;
    fill_the_log(&store, 0).await;

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
