//! A log that nobody reads must not stop the store.

use std::time::{Duration, Instant};

use futures::future::join_all;
use lockstep_testkit::TestDb;

use crate::program::{DEADLINE, Running, client, lockstep};

/// How many lines were dropped, by the metric.
async fn dropped(store: &Running) -> u64 {
    let (_, figures) = store.get("/metrics").await;
    figures
        .lines()
        .find_map(|line| line.strip_prefix("lockstep_log_lines_dropped_total "))
        .map(|count| count.parse().unwrap())
        .unwrap_or_default()
}

/// Asks until more lines than `before` were dropped; everything is answered meanwhile.
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
async fn a_log_that_nobody_reads_stops_nothing_and_says_what_it_lost_when_it_is_read_again() {
    let db = TestDb::new().await;
    let mut command = lockstep(&["web"]);
    // Everything that anybody has to say: more than a pipe takes within a moment.
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

    // Nobody reads the last words either.
    let before = dropped(&store).await;
    fill_the_log(&store, before).await;
    store.signal("TERM").await;
    let asked = Instant::now();
    assert_eq!(store.ended().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(30));
}
