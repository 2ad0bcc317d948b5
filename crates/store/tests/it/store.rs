//! [`Store`]: the guarantees of its transactions and reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lockstep_domain::limit::Rule;
use lockstep_store::limits::{self, Limit, LimitError};
use lockstep_store::{Options, Snapshot, Store, StoreError};
use lockstep_testkit::TestDb;

const DEADLINE: Duration = Duration::from_secs(20);

/// An error from PostgreSQL itself: `raise` with this condition.
async fn failure(db: &TestDb, condition: &str) -> StoreError {
    let error = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("do $$ begin raise {condition}; end $$")))
        .execute(&db.sql)
        .await
        .unwrap_err();
    StoreError::from(error)
}

/// The number of the store's sessions (application name `lockstep`) with an open transaction.
async fn open_transactions(db: &TestDb) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity
          where datname = current_database() and application_name = 'lockstep' and state like 'idle in transaction%'",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

async fn wait_for_open_transactions(db: &TestDb, wanted: i64) {
    tokio::time::timeout(DEADLINE, async {
        while open_transactions(db).await != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("transactions begin and end");
}

#[tokio::test]
async fn transactions_are_retried_after_a_conflict() {
    let db = Arc::new(TestDb::new().await);
    for condition in ["serialization_failure", "deadlock_detected"] {
        let calls = Arc::new(AtomicU32::new(0));
        let (raising, counted) = (db.clone(), calls.clone());
        let value = db
            .store
            .tx("test", move |_tx| {
                let (db, calls) = (raising.clone(), counted.clone());
                Box::pin(async move {
                    match calls.fetch_add(1, Ordering::SeqCst) {
                        0..3 => Err(failure(&db, condition).await),
                        call => Ok(call),
                    }
                })
            })
            .await
            .unwrap();
        assert_eq!((value, calls.load(Ordering::SeqCst)), (3, 4), "{condition}");
    }
    assert_eq!(open_transactions(&db).await, 0);
}

#[tokio::test]
async fn persistent_conflicts_fail_after_five_retries() {
    let db = Arc::new(TestDb::new().await);
    let calls = Arc::new(AtomicU32::new(0));
    let (raising, counted) = (db.clone(), calls.clone());
    let result: Result<(), StoreError> = db
        .store
        .tx("test", move |_tx| {
            let (db, calls) = (raising.clone(), counted.clone());
            Box::pin(async move {
                calls.fetch_add(1, Ordering::SeqCst);
                Err(failure(&db, "serialization_failure").await)
            })
        })
        .await;
    assert!(result.is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn other_errors_are_not_retried() {
    let db = Arc::new(TestDb::new().await);
    for condition in ["unique_violation", "division_by_zero", "query_canceled"] {
        let calls = Arc::new(AtomicU32::new(0));
        let (raising, counted) = (db.clone(), calls.clone());
        let result: Result<(), StoreError> = db
            .store
            .tx("test", move |_tx| {
                let (db, calls) = (raising.clone(), counted.clone());
                Box::pin(async move {
                    calls.fetch_add(1, Ordering::SeqCst);
                    Err(failure(&db, condition).await)
                })
            })
            .await;
        assert!(result.is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{condition}");
    }
    assert_eq!(open_transactions(&db).await, 0);
}

#[tokio::test]
async fn only_commits_are_counted() {
    let db = Arc::new(TestDb::new().await);
    let commits = db.store.commits();
    let before = *commits.borrow();
    let refused: Result<(), StoreError> = db
        .store
        .tx("test", |_tx| Box::pin(async { Err(StoreError::Fenced) }))
        .await;
    assert!(matches!(refused, Err(StoreError::Fenced)));
    assert_eq!(*commits.borrow(), before);
    db.store
        .tx("test", |_tx| Box::pin(async { Ok::<_, StoreError>(()) }))
        .await
        .unwrap();
    assert_eq!(*commits.borrow(), before + 1);
}

/// A request dropped in the middle leaves neither an open transaction nor a connection with one.
#[tokio::test]
async fn abandoned_transactions_are_rolled_back() {
    let db = Arc::new(TestDb::new().await);
    let store = Store::new(
        db.url(),
        &Options {
            max_connections: 1,
            ..Options::default()
        },
    )
    .unwrap();
    let held = store.clone();
    let abandoned = tokio::spawn(async move {
        held.tx("test", |_tx| {
            Box::pin(async {
                std::future::pending::<()>().await;
                Ok::<_, StoreError>(())
            })
        })
        .await
    });
    wait_for_open_transactions(&db, 1).await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    wait_for_open_transactions(&db, 0).await;
    // The pool's only connection must be a new one. In the old one `begin` would pass with a warning, and this
    // transaction would see the other's changes.
    store.ping().await.unwrap();
    store
        .tx("test", |_tx| Box::pin(async { Ok::<_, StoreError>(()) }))
        .await
        .unwrap();
    assert_eq!(open_transactions(&db).await, 0);
}

#[tokio::test]
async fn abandoned_reads_leave_no_transaction_open() {
    let db = Arc::new(TestDb::new().await);
    let store = db.store.clone();
    let abandoned = tokio::spawn(async move {
        store
            .read(|_tx| {
                Box::pin(async {
                    std::future::pending::<()>().await;
                    Ok::<_, StoreError>(())
                })
            })
            .await
    });
    wait_for_open_transactions(&db, 1).await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    wait_for_open_transactions(&db, 0).await;
}

async fn commit(sql: &sqlx::PgPool) -> u64 {
    let xid: String =
        sqlx::query_scalar("with a as (update sync_lease set epoch = epoch + 1) select pg_current_xact_id()::text")
            .fetch_one(sql)
            .await
            .unwrap();
    xid.parse().unwrap()
}

/// A stamp does not include commits made during the read; it includes all earlier ones.
#[tokio::test]
async fn stamps_are_taken_before_the_read() {
    let db = Arc::new(TestDb::new().await);
    let earlier = commit(&db.sql).await;
    let mut open = db.sql.begin().await.unwrap();
    let running: String = sqlx::query_scalar("select pg_current_xact_id()::text")
        .fetch_one(&mut *open)
        .await
        .unwrap();
    let running: u64 = running.parse().unwrap();
    let sql = db.sql.clone();
    let answer = db
        .store
        .read(move |_tx| Box::pin(async move { Ok::<_, StoreError>(commit(&sql).await) }))
        .await
        .unwrap();
    open.commit().await.unwrap();
    assert!(answer.stamp.sees(earlier));
    assert!(!answer.stamp.sees(running), "still running when the answer was read");
    assert!(!answer.stamp.sees(answer.value), "committed while the answer was read");
    let later = db
        .store
        .read(|_tx| Box::pin(async { Ok::<_, StoreError>(()) }))
        .await
        .unwrap();
    assert!(later.stamp.sees(running) && later.stamp.sees(answer.value));
    assert_ne!(later.stamp, Snapshot::ORIGIN);
}

#[tokio::test]
async fn constraint_errors_name_the_constraint() {
    let db = Arc::new(TestDb::new().await);
    let error = StoreError::from(
        sqlx::raw_sql(
            "insert into games (title, slug, description, price, image, release_date) values ('T', 't', 'd', 0, 'i', now())",
        )
        .execute(&db.sql)
        .await
        .unwrap_err(),
    );
    assert_eq!(error.constraint(), Some("games_price_positive"));
    assert_eq!(
        error.to_string(),
        "the database refused the change: games_price_positive"
    );
    assert_eq!(failure(&db, "division_by_zero").await.constraint(), None);
}

#[tokio::test]
async fn transient_errors_are_distinguished_from_bugs() {
    let db = Arc::new(TestDb::new().await);
    for condition in [
        "query_canceled",
        "too_many_connections",
        "admin_shutdown",
        "disk_full",
        "read_only_sql_transaction",
        "idle_in_transaction_session_timeout",
        "lock_not_available",
        "system_error",
        "io_error",
    ] {
        let error = failure(&db, condition).await;
        assert!(matches!(error, StoreError::Unavailable(_)), "{condition}: {error:?}");
    }
    for condition in ["undefined_table", "division_by_zero"] {
        let error = failure(&db, condition).await;
        assert!(matches!(error, StoreError::Database(_)), "{condition}: {error:?}");
    }
}

/// A transaction that is running when the connections are cut fails as unavailable; later ones succeed.
#[tokio::test]
async fn the_store_reconnects_after_all_connections_are_cut() {
    let db = Arc::new(TestDb::new().await);
    let cut = db.clone();
    let result: Result<(), StoreError> = db
        .store
        .tx("test", move |_tx| {
            let db = cut.clone();
            Box::pin(async move {
                db.cut_connections().await;
                Ok(())
            })
        })
        .await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    tokio::time::timeout(DEADLINE, async {
        while let Err(error) = db.store.ping().await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
    })
    .await
    .expect("served again");
    db.store
        .tx("test", |_tx| Box::pin(async { Ok::<_, StoreError>(()) }))
        .await
        .unwrap();
}

/// Sessions that start read-only stay so: each would refuse one more write after the database accepts writes again.
#[tokio::test]
async fn read_only_connections_do_not_outlast_the_read_only_period() {
    let db = Arc::new(TestDb::new().await);
    // Without a transaction of the store, and with one.
    let write = |store: Store| async move {
        let direct = lockstep_store::idempotency::sweep(&store).await.map(|_| ());
        let limit = Limit {
            key: "test".into(),
            rule: Rule::new(1_000, 1),
        };
        let within = match limits::take(&store, &[limit]).await {
            Ok(()) => Ok(()),
            Err(LimitError::Store(error)) => Err(error),
            Err(refused) => panic!("{refused}"),
        };
        (direct, within)
    };
    db.set_read_only(true).await;
    db.cut_connections().await;
    tokio::time::timeout(DEADLINE, async { while db.store.ping().await.is_ok() {} })
        .await
        .expect("a write is tried");
    let refused = futures::future::join_all((0..8).map(|_| write(db.store.clone()))).await;
    for result in refused.into_iter().flat_map(|(direct, within)| [direct, within]) {
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    }
    db.set_read_only(false).await;
    db.store.ping().await.unwrap();
    let taken = futures::future::join_all((0..8).map(|_| write(db.store.clone()))).await;
    for result in taken.into_iter().flat_map(|(direct, within)| [direct, within]) {
        result.unwrap();
    }
}

/// However many callers ping, and however often, the database is probed at most four times a second.
#[tokio::test]
async fn probes_are_shared_and_leave_nothing_behind() {
    let db = Arc::new(TestDb::new().await);
    db.execute(
        "create table probes (at timestamptz default now());
         create function note_probe() returns trigger language plpgsql as $$ begin insert into probes default values; return null; end $$;
         create trigger note after insert or update on write_probe for each row execute function note_probe()",
    )
    .await;
    let began = std::time::Instant::now();
    for _ in 0..20 {
        for answer in futures::future::join_all((0..50).map(|_| db.store.ping())).await {
            answer.unwrap();
        }
    }
    let most = 1 + i64::try_from(began.elapsed().as_millis() / 250).unwrap();
    let probes = db.count("probes").await;
    assert!((1..=most).contains(&probes), "{probes} probes, at most {most}");
    assert_eq!(db.count("write_probe").await, 1);
    let room: i64 = sqlx::query_scalar("select pg_relation_size('space_probe')")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(room, 0, "what a probe took is given back");
}

#[tokio::test]
async fn unreachable_databases_are_unavailable() {
    let gone = Store::new(
        "postgres://lockstep@127.0.0.1:1/none",
        &Options {
            acquire_timeout: Duration::from_millis(200),
            ..Options::default()
        },
    )
    .unwrap();
    assert!(matches!(gone.ping().await, Err(StoreError::Unavailable(_))));
    let read = gone.read(|_tx| Box::pin(async { Ok::<_, StoreError>(()) })).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))));
}
