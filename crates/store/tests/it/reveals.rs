//! Reveals of a sold key: repeated page loads within a minute share one row.

use futures::future::join_all;
use lockstep_domain::ids::{KeyId, UserId};
use lockstep_store::StoreError;
use lockstep_store::fulfilment::keys::{How, reveal};
use sqlx::Row as _;

use crate::world::World;

const MIGRATION: &str = include_str!("../../migrations/0150_reveals_within_a_minute.sql");

#[tokio::test]
async fn concurrent_reveals_share_one_counted_row_per_minute() {
    let world = World::new().await;
    let (key, ada) = (KeyId(world.id("sold_key")), UserId(world.id("user")));
    let look = |how: How| {
        let store = world.db.store.clone();
        async move {
            let looked: Result<(), StoreError> = store
                .tx("test", |tx| Box::pin(async move { reveal(tx, &[key], ada, how).await }))
                .await;
            looked.unwrap();
        }
    };
    join_all((0..40).map(|_| look(How::Page))).await;
    look(How::Api).await;
    let sums: Vec<(String, i64)> = sqlx::query_as("select how, sum(count) from key_reveals group by how order by how")
        .fetch_all(&world.db.sql)
        .await
        .unwrap();
    assert_eq!(sums, [("API".to_owned(), 1), ("PAGE".to_owned(), 40)]);
    // The minute may have ended during the test.
    let rows = world.db.count("key_reveals").await;
    assert!((2..=4).contains(&rows), "{rows} rows");
}

/// The migration folds rows from before the rule, and no reveal is lost.
#[tokio::test]
async fn the_migration_folds_older_reveals() {
    let world = World::new().await;
    let db = &world.db;
    // The table before the migration.
    db.execute(&world.fill(
        "drop trigger key_reveals_fold on key_reveals;
         drop function key_reveals_fold;
         drop index key_reveals_at_idx, key_reveals_user_idx;
         alter table key_reveals drop column count, drop column last_at, drop column minute;
         create index key_reveals_user_idx on key_reveals (user_id, at);
         create index key_reveals_key_idx on key_reveals (game_key_id, at);
         insert into key_reveals (game_key_id, user_id, how, at)
         select {sold_key}, {user}, 'API', '2026-01-01Z'::timestamptz + n * interval '250 milliseconds' from generate_series(1, 4000) n;
         insert into key_reveals (game_key_id, user_id, how, at) values ({sold_key}, {other_user}, 'CONSOLE', '2026-01-01 00:00:07Z')",
    ))
    .await;
    db.execute(&format!("begin; {MIGRATION}; commit")).await;
    let row = sqlx::query(
        "select count(*) filter (where how = 'API') as minutes, sum(count) as looks, min(at) = '2026-01-01 00:00:00.25Z' as first,
                max(last_at) = '2026-01-01 00:16:40Z' as last, bool_and(last_at - at < interval '1 minute') as within
           from key_reveals",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    let (minutes, looks): (i64, i64) = (row.get("minutes"), row.get("looks"));
    assert_eq!((minutes, looks), (17, 4001));
    assert!(row.get("first") && row.get("last") && row.get("within"));
}
