//! A pooler that shares sessions is found out, whatever it does with its connections; one that does not, works.

use lockstep_store::pooler::Path;
use lockstep_store::{Options, Store, StoreError};
use lockstep_testkit::{TestDb, TestPooler};

fn store(url: &str) -> Store {
    Store::new(url, &Options::default()).unwrap()
}

/// The same way with a setting in its greeting.
fn with_options(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-c%20work_mem%3D8MB")
}

/// Asked ten times: it must not depend on luck.
async fn is_always(url: &str, expected: Path) {
    for attempt in 0..10 {
        assert_eq!(store(url).path().await.unwrap(), expected, "attempt {attempt} at {url}");
    }
}

#[tokio::test]
async fn a_direct_way_and_a_pool_in_session_mode_give_sessions_of_ones_own() {
    let db = TestDb::new().await;
    is_always(db.url(), Path::OwnSessions).await;
    let pooler = TestPooler::start(&db, "session", "").await;
    is_always(pooler.url(), Path::OwnSessions).await;
}

#[tokio::test]
async fn sessions_that_are_shared_are_noticed_however_the_pool_chooses() {
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

/// Others use the pool meanwhile, so that it is rarely the same connection that is free.
#[tokio::test]
async fn sessions_that_are_shared_are_noticed_beside_others_who_use_them() {
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
async fn a_pool_in_session_mode_needs_no_settings_of_its_own() {
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
async fn what_a_pooler_refuses_is_told_as_that_and_not_as_a_database_that_is_away() {
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
