//! The schema installs, and matches this version of the program.

use std::time::Duration;

use lockstep_store::StoreError;
use lockstep_testkit::TestDb;
use sqlx::Executor as _;

#[tokio::test]
async fn migrations_run_once_on_a_new_database() {
    let db = TestDb::new().await;
    let status = db.store.migration_status().await.unwrap();
    assert!(status.pending.is_empty() && !status.applied.is_empty(), "{status:?}");
    assert_eq!(db.store.migrate().await.unwrap(), []);
}

/// The names of the invalid indexes, and the validity of one.
async fn validity(db: &TestDb, index: &str) -> (Vec<String>, Option<bool>) {
    sqlx::query_as(
        "select array(select indexrelid::regclass::text from pg_index where not indisvalid order by 1),
                (select indisvalid from pg_index where indexrelid = to_regclass($1))",
    )
    .bind(index)
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

/// Builds the index as its migration does, and ends the session in the middle.
async fn interrupt_the_build(db: &TestDb) {
    db.execute("drop index top_ups_user_id_idx").await;
    // The build waits for a transaction that writes to the table.
    let mut writer = db.sql.begin().await.unwrap();
    writer
        .execute("lock table top_ups in row exclusive mode")
        .await
        .unwrap();
    let mut builder = db.sql.acquire().await.unwrap().detach();
    let session: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut builder)
        .await
        .unwrap();
    let build = tokio::spawn(async move {
        builder
            .execute("create index concurrently top_ups_user_id_idx on top_ups (user_id, created_at, id)")
            .await
    });
    tokio::time::timeout(Duration::from_secs(20), async {
        while validity(db, "top_ups_user_id_idx").await.1.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the build begins");
    // A running build is left alone.
    let started: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_progress_create_index where index_relid = 'top_ups_user_id_idx'::regclass",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert_eq!(started, 1);
    sqlx::query("select pg_terminate_backend($1)")
        .bind(session)
        .execute(&db.sql)
        .await
        .unwrap();
    assert!(build.await.unwrap().is_err());
    writer.rollback().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_build_of_an_index_is_repeated_at_the_next_start() {
    let index = "top_ups_user_id_idx";
    // The end came during the build, before its migration was recorded, and in a later repair.
    for is_recorded in [false, true] {
        let db = TestDb::new().await;
        interrupt_the_build(&db).await;
        assert_eq!(validity(&db, index).await, (vec![index.to_owned()], Some(false)));
        if !is_recorded {
            db.execute("delete from _sqlx_migrations where version = 151").await;
        }
        let applied = db.store.migrate().await.unwrap();
        assert_eq!(applied.len(), usize::from(!is_recorded), "{applied:?}");
        assert_eq!(validity(&db, index).await, (vec![], Some(true)));
        assert_eq!(db.store.migrate().await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_index_without_its_record_is_no_obstacle() {
    let db = TestDb::new().await;
    db.execute("delete from _sqlx_migrations where version in (151, 155, 159)")
        .await;
    assert_eq!(db.store.migrate().await.unwrap().len(), 3);
    assert_eq!(validity(&db, "sync_runs_kind_idx").await, (vec![], Some(true)));
}

/// Every index that is ever found invalid is built again as it was, half-made copies of `reindex` are removed, and many
/// processes that start at once do it once.
#[tokio::test]
async fn invalid_indexes_are_built_again_as_they_were() {
    let db = TestDb::new().await;
    let definitions = "select pg_get_indexdef(indexrelid) from pg_index
        where indrelid in ('top_ups'::regclass, 'games'::regclass) order by 1";
    let before: Vec<String> = sqlx::query_scalar(definitions).fetch_all(&db.sql).await.unwrap();
    db.execute(
        "create index top_ups_user_id_idx_ccnew on top_ups (user_id, created_at, id);
         update pg_index set indisvalid = false
          where indrelid in ('top_ups'::regclass, 'games'::regclass)
            and not exists (select from pg_constraint where conindid = indexrelid)",
    )
    .await;
    let started = futures::future::join_all((0..6).map(|_| db.store.migrate())).await;
    assert!(
        started.iter().all(|applied| applied.as_ref().unwrap().is_empty()),
        "{started:?}"
    );
    assert_eq!(validity(&db, "top_ups_user_id_idx").await, (vec![], Some(true)));
    let after: Vec<String> = sqlx::query_scalar(definitions).fetch_all(&db.sql).await.unwrap();
    assert_eq!(after, before);
}

#[tokio::test]
async fn databases_of_newer_versions_are_refused() {
    let db = TestDb::new().await;
    db.execute("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'future', true, '', 0)")
        .await;
    let error = db.store.migrate().await.unwrap_err().to_string();
    assert!(error.contains("9999"), "{error}");
}

/// A start that is refused changes nothing: an invalid index waits for the program that may build it.
#[tokio::test]
async fn databases_with_an_edited_migration_are_refused_unchanged() {
    let db = TestDb::new().await;
    db.execute(
        "update _sqlx_migrations set checksum = sha384('edited') where version = 152;
         update pg_index set indisvalid = false where indexrelid = 'top_ups_user_id_idx'::regclass",
    )
    .await;
    let error = db.store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::Schema(_)), "{error:?}");
    assert!(error.to_string().contains("152"), "{error}");
    assert_eq!(validity(&db, "top_ups_user_id_idx").await.1, Some(false));
}

#[tokio::test]
async fn addresses_from_before_are_composed_unless_another_account_has_that_form() {
    let db = TestDb::new().await;
    for email in [
        "zoe\u{308}@example.org",
        "jose\u{301}@example.org",
        "jos\u{e9}@example.org",
    ] {
        db.user(email, "0.00").await;
    }
    db.execute(include_str!("../../migrations/0231_composed_addresses.sql"))
        .await;
    let emails: Vec<String> = sqlx::query_scalar("select email from users order by email collate \"C\"")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    assert_eq!(
        emails,
        [
            "jose\u{301}@example.org",
            "jos\u{e9}@example.org",
            "zo\u{eb}@example.org"
        ]
    );
}

#[tokio::test]
async fn the_data_model_describes_every_table() {
    let db = TestDb::new().await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data-model.md");
    let text = std::fs::read_to_string(path).unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace
           and relname <> '_sqlx_migrations'",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    let missing: Vec<&String> = tables
        .iter()
        .filter(|table| !text.contains(&format!("`{table}`")))
        .collect();
    assert!(missing.is_empty(), "docs/data-model.md does not name {missing:?}");
}
