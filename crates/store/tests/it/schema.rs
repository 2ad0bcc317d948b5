//! The schema installs, and matches this version of the program.

use lockstep_testkit::TestDb;

#[tokio::test]
async fn migrations_run_once_on_a_new_database() {
    let db = TestDb::new().await;
    let status = db.store.migration_status().await.unwrap();
    assert!(status.pending.is_empty() && !status.applied.is_empty(), "{status:?}");
    assert_eq!(db.store.migrate().await.unwrap(), []);
}

#[tokio::test]
async fn databases_of_newer_versions_are_refused() {
    let db = TestDb::new().await;
    db.execute("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'future', true, '', 0)")
        .await;
    let error = db.store.migrate().await.unwrap_err().to_string();
    assert!(error.contains("9999"), "{error}");
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
