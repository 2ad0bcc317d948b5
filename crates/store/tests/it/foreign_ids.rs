//! Transaction ids of another server, as restored by `pg_dump`, are told apart from this server's own ids and deleted.

use std::time::Duration;

use futures::future::join_all;
use lockstep_store::{Forgotten, Snapshot};
use lockstep_testkit::TestDb;

/// Larger than any id that the test's server has assigned.
const FOREIGN: &str = "9000000000";

/// Adds `rows` log rows, a floor and a relay cursor with another server's ids.
async fn restore(db: &TestDb, rows: u32) {
    db.execute(&format!(
        "insert into cache_inval (xid, tags) select ({FOREIGN} + n)::text::xid8, '{{home}}' from generate_series(1, {rows}) n;
         update cache_floor set floor = '{FOREIGN}';
         insert into relay_cursor values ('redis', '{FOREIGN}:{FOREIGN}:')"
    ))
    .await;
}

async fn floor(db: &TestDb) -> String {
    sqlx::query_scalar("select floor::text from cache_floor")
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn foreign_ids_are_deleted_and_own_ids_kept() {
    let db = TestDb::new().await;
    db.execute("insert into cache_inval (tags) values ('{mine}')").await;
    db.execute("update cache_floor set floor = '7'; insert into relay_cursor values ('mine', '7:7:')")
        .await;
    let before = db.store.look_at_invalidations(&Snapshot::ORIGIN).await.unwrap();
    assert!(!before.foreign && !db.store.has_foreign_ids().await.unwrap());
    assert_eq!(db.store.forget_foreign_ids().await.unwrap(), Forgotten::default());

    restore(&db, 3).await;
    let restored = db.store.look_at_invalidations(&Snapshot::ORIGIN).await.unwrap();
    assert!(restored.foreign && db.store.has_foreign_ids().await.unwrap());
    assert_eq!(restored.identity, before.identity);
    let forgotten = db.store.forget_foreign_ids().await.unwrap();
    assert_eq!(
        forgotten,
        Forgotten {
            rows: 3,
            floor: true,
            places: 1
        }
    );

    let after = db.store.look_at_invalidations(&Snapshot::ORIGIN).await.unwrap();
    assert!(!after.foreign && !db.store.has_foreign_ids().await.unwrap());
    assert_eq!(after.floor, 0);
    assert!(after.news.iter().any(|row| row.tags == ["mine"]), "{:?}", after.news);
    assert_ne!(after.identity, before.identity, "every process has to begin anew");
    let places: Vec<String> = sqlx::query_scalar("select name from relay_cursor")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    assert_eq!(places, ["mine"]);
}

#[tokio::test]
async fn each_kind_of_foreign_id_is_detected() {
    for statement in [
        format!("insert into cache_inval (xid, tags) values ('{FOREIGN}', '{{home}}')"),
        format!("update cache_floor set floor = '{FOREIGN}'"),
        format!("insert into relay_cursor values ('redis', '{FOREIGN}:{FOREIGN}:')"),
    ] {
        let db = TestDb::new().await;
        db.execute(&statement).await;
        assert!(db.store.has_foreign_ids().await.unwrap(), "{statement}");
        assert!(
            db.store.forget_foreign_ids().await.unwrap().is_something(),
            "{statement}"
        );
        assert!(!db.store.has_foreign_ids().await.unwrap(), "{statement}");
    }
}

/// Many instances start at once while users continue to make changes.
#[tokio::test]
async fn concurrent_cleanups_keep_every_own_row() {
    let db = TestDb::new().await;
    restore(&db, 2_000).await;
    let writers = join_all((0..8).map(|writer| {
        let sql = db.sql.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                sqlx::query("insert into cache_inval (tags) values (array[$1])")
                    .bind(format!("w{writer}-{n}"))
                    .execute(&sql)
                    .await
                    .unwrap();
            }
        })
    }));
    let forgetters = join_all((0..6).map(|_| db.store.forget_foreign_ids()));
    let (written, forgotten) = tokio::join!(writers, forgetters);
    assert!(written.into_iter().all(|task| task.is_ok()));
    let rows: Vec<u64> = forgotten.into_iter().map(|result| result.unwrap().rows).collect();
    assert_eq!(rows.iter().sum::<u64>(), 2_000, "{rows:?}");
    assert_eq!(rows.iter().filter(|rows| **rows > 0).count(), 1, "{rows:?}");
    let kept: i64 = sqlx::query_scalar("select count(*) from cache_inval where tags[1] like 'w%'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(kept, 8 * 25);
    assert_eq!(floor(&db).await, "0");
}

#[tokio::test]
async fn pruning_restored_rows_does_not_raise_the_floor_into_the_future() {
    let db = TestDb::new().await;
    db.execute(&format!(
        "insert into cache_inval (tags, at) values ('{{mine}}', now() - interval '2 days');
         insert into cache_inval (xid, tags, at) values ('{FOREIGN}', '{{home}}', now() - interval '2 days')"
    ))
    .await;
    let next = db
        .store
        .look_at_invalidations(&Snapshot::ORIGIN)
        .await
        .unwrap()
        .snapshot
        .xmax;
    assert_eq!(db.store.prune_invalidations(Duration::from_hours(25)).await.unwrap(), 2);
    let floor: u64 = floor(&db).await.parse().unwrap();
    assert!(0 < floor && floor <= next, "{floor} of {next}");
}
