//! A connection pooler with shared sessions is detected in every configuration; one with separate sessions works.

use lockstep_store::pooler::Path;
use lockstep_store::{Options, Store, StoreError};
use lockstep_testkit::{TestDb, TestPooler};

fn store(url: &str) -> Store {
    Store::new(url, &Options::default()).unwrap()
}

/// The same address with a setting in the startup message.
fn with_options(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-c%20work_mem%3D8MB")
}

/// Checks ten times, because detection must not depend on chance.
async fn is_always(url: &str, expected: Path) {
    for attempt in 0..10 {
        assert_eq!(store(url).path().await.unwrap(), expected, "attempt {attempt} at {url}");
    }
}

#[tokio::test]
async fn direct_connections_and_session_pools_have_own_sessions() {
    let db = TestDb::new().await;
    is_always(db.url(), Path::OwnSessions).await;
    let pooler = TestPooler::start(&db, "session", "").await;
    is_always(pooler.url(), Path::OwnSessions).await;
}

#[tokio::test]
async fn shared_sessions_are_detected_in_every_pool_mode() {
    let db = TestDb::new().await;
    for (mode, settings) in [
        ("transaction", ""),
        ("transaction", "default_pool_size = 1"),
        ("transaction", "server_round_robin = 1\nmin_pool_size = 10"),
        (
            "transaction",
            "server_round_robin = 1\nmin_pool_size = 2\ndefault_pool_size = 2",
        ),
        ("statement", ""),
    ] {
        let pooler = TestPooler::start(&db, mode, settings).await;
        is_always(pooler.url(), Path::SharedSessions).await;
    }
}

/// Other clients use the pool, so that consecutive statements rarely get the same connection.
#[tokio::test]
async fn shared_sessions_are_detected_while_the_pool_is_busy() {
    let db = TestDb::new().await;
    let pooler = TestPooler::start(&db, "transaction", "").await;
    let others: Vec<_> = (0..8)
        .map(|_| {
            let way: sqlx::postgres::PgConnectOptions = pooler.url().parse().unwrap();
            tokio::spawn(async move {
                let mut other = sqlx::ConnectOptions::connect(&way.extra_float_digits(None))
                    .await
                    .unwrap();
                loop {
                    sqlx::raw_sql("select pg_sleep(0.001)")
                        .execute(&mut other)
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    is_always(pooler.url(), Path::SharedSessions).await;
    assert!(
        others.iter().all(|other| !other.is_finished()),
        "they were there all the time"
    );
    others.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn session_pools_need_no_special_settings() {
    let db = TestDb::new().await;
    let pooler = TestPooler::start(&db, "session", "").await;
    let store = store(pooler.url());
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
    let first = store.lock_catalogue().await.unwrap().expect("it is free");
    assert!(store.lock_catalogue().await.unwrap().is_none(), "the lock holds");
    first.release().await.unwrap();
    assert!(store.lock_catalogue().await.unwrap().is_some(), "and is let go of");
    let mut wakeups = store.wakeups().await.unwrap();
    store.wake_all().await.unwrap();
    wakeups.next().await.unwrap();
}

#[tokio::test]
async fn refusals_by_a_pooler_are_not_reported_as_unavailability() {
    let db = TestDb::new().await;
    let pooler = TestPooler::start(&db, "session", "").await;
    let url = with_options(pooler.url());
    let Err(error @ StoreError::Refused(_)) = store(&url).path().await else {
        panic!("it is not refused");
    };
    assert!(error.to_string().contains("ignore_startup_parameters"), "{error}");
    let ignores = TestPooler::start(&db, "session", "ignore_startup_parameters = options").await;
    let url = with_options(ignores.url());
    assert_eq!(store(&url).path().await.unwrap(), Path::OwnSessions);
}
