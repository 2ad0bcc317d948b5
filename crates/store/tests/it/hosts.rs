//! An address with several hosts: the primary is found and followed, with two real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use lockstep_store::{Options, Store, StoreError, backups};
use lockstep_testkit::{TestCluster, TestDb};
use tokio::time::{Instant, sleep};

/// How long a process may take to find the primary after there is one again.
const SOON: Duration = Duration::from_secs(30);

/// Writes, rather than asking for readiness, whose answers are shared for a moment: one from before a switchover would do.
async fn until_written(store: &Store) {
    let began = Instant::now();
    while let Err(error) = backups::note(store, "here").await {
        assert!(began.elapsed() < SOON, "no write within {SOON:?}: {error:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn audited(cluster: &TestCluster) -> u64 {
    let count: i64 = sqlx::query_scalar("select count(*) from audit_log")
        .fetch_one(&mut cluster.second.connect().await)
        .await
        .unwrap();
    count.unsigned_abs()
}

/// Buyers and staff write at many connections while the primary dies: what was acknowledged is on its synchronous standby, and
/// all go on there by themselves.
#[tokio::test]
async fn a_crash_of_the_primary_loses_nothing_and_ends_by_itself() {
    let mut cluster = TestCluster::start(true).await;
    let store = Store::new(&cluster.url(), &Options::default()).unwrap();
    store.migrate().await.unwrap();
    let (acknowledged, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let writers = (0..16).map(|_| {
        let (store, acknowledged, stop) = (store.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match backups::note(&store, "here").await {
                    Ok(()) => {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    // Refused for a while, and never as a fault.
                    Err(error) => {
                        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let more_than = async |count: u64| {
        let began = Instant::now();
        while acknowledged.load(Ordering::Relaxed) <= count {
            assert!(began.elapsed() < SOON, "only {count} writes were acknowledged");
            sleep(Duration::from_millis(20)).await;
        }
    };
    more_than(100).await;
    cluster.crash_and_promote().await;
    let before = acknowledged.load(Ordering::Relaxed);
    more_than(before + 100).await;
    stop.store(true, Ordering::Relaxed);
    for ended in join_all(writers).await {
        ended.unwrap();
    }
    let (kept, acknowledged) = (audited(&cluster).await, acknowledged.load(Ordering::Relaxed));
    assert!(
        kept >= acknowledged,
        "{acknowledged} writes were acknowledged, and {kept} are kept"
    );
}

#[tokio::test]
async fn a_switchover_is_followed_and_the_old_primary_is_not_used_as_a_standby() {
    let mut cluster = TestCluster::start(false).await;
    let store = Store::new(&cluster.url(), &Options::default()).unwrap();
    store.migrate().await.unwrap();
    until_written(&store).await;
    cluster.switch_over().await;
    // The first host answers again, and its reads would be old.
    until_written(&store).await;
    for _ in 0..50 {
        store.installed_at().await.unwrap();
        store
            .read(|_| Box::pin(async { Ok::<_, StoreError>(()) }))
            .await
            .unwrap();
    }
    // Connections that ask for the primary end at once; others would stay.
    let began = Instant::now();
    let mut standby = cluster.first.connect().await;
    loop {
        let open: i64 = sqlx::query_scalar("select count(*) from pg_stat_activity where application_name = 'lockstep'")
            .fetch_one(&mut standby)
            .await
            .unwrap();
        if open == 0 {
            break;
        }
        assert!(began.elapsed() < SOON, "{open} connections to the standby");
        sleep(Duration::from_millis(50)).await;
    }

    // A process that starts now finds the primary behind the standby.
    let new = Store::new(&cluster.url(), &Options::default()).unwrap();
    assert!(new.installed_at().await.unwrap().is_some());
    assert!(new.migrate().await.unwrap().is_empty());
    new.ping().await.unwrap();
}

#[tokio::test]
async fn without_a_primary_it_is_said_where_it_was_looked_for() {
    let db = TestDb::new().await;
    let store = Store::new("postgres://nobody@127.0.0.1:1,127.0.0.1:2/none", &Options::default()).unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    let why = store.why_unreachable().await.unwrap();
    assert!(
        why.contains("127.0.0.1:1 refuses") && why.contains("127.0.0.1:2 refuses"),
        "{why}"
    );
    // One host that works is enough.
    let (user, place) = db.url().split_once('@').unwrap();
    let dead_first = Store::new(&format!("{user}@127.0.0.1:1,{place}"), &Options::default()).unwrap();
    until_written(&dead_first).await;
}
