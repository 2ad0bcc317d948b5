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

/// From this version on, migrations run while the shop sells.
const WHILE_OPEN: i64 = 260;
/// Tables that have a handful of rows in every shop.
const SMALL: &[&str] = &["staff_roles", "staff_role_permissions"];

/// The statements of a migration, without comments; a body between `$$` is one word.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = (sql.lines())
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect();
    let outside: Vec<String> = (code.join(" ").split("$$").enumerate())
        .map(|(part, text)| {
            if part % 2 == 0 {
                text.to_owned()
            } else {
                "body".to_owned()
            }
        })
        .collect();
    (outside.concat().split(';'))
        .map(|statement| {
            statement
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .to_lowercase()
        })
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// Why a migration would hold up a shop with many rows.
fn holds_up(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let word = |text: &str, after: &str| -> String {
        let rest = text.split_once(after).map_or("", |(_, rest)| rest);
        rest.split([' ', '(']).next().unwrap_or_default().to_owned()
    };
    let new: Vec<String> = (statements.iter())
        .filter(|statement| statement.starts_with("create ") && statement.contains("table "))
        .map(|statement| word(statement, "table "))
        .collect();
    let is_new = |table: &str| new.iter().any(|known| known == table);
    // The rules that this transaction has added.
    let mut added = String::new();
    let mut found = Vec::new();
    for statement in &statements {
        if statement == "commit" {
            added.clear();
        }
        if statement.contains("not valid") {
            added.push_str(statement);
        }
        let table = word(statement, "alter table ");
        let is_old = statement.starts_with("alter table ") && !is_new(&table) && !SMALL.contains(&table.as_str());
        let in_bulk = ["create index ", "create unique index "];
        let builds = in_bulk.iter().any(|start| statement.starts_with(start)) && !statement.contains(" concurrently ");
        let checks = |part: &str| {
            (part.contains("constraint ") && !part.ends_with("not valid"))
                || (part.starts_with("column ") && part.contains(" references "))
        };
        let added_at_once = statement.split_once(" add ").map_or("", |(_, added)| added);
        let why = if statement.starts_with("lock table ") {
            "locks a table"
        } else if builds && !is_new(&word(statement, " on ")) {
            "builds an index while nobody can write"
        } else if is_old && added_at_once.split(", add ").any(checks) {
            "checks every row while nobody can read"
        } else if is_old
            && statement.contains("validate constraint ")
            && added.contains(&word(statement, "validate constraint "))
        {
            "validates under the lock of the statement that added the rule"
        } else {
            continue;
        };
        found.push(format!("{why}: {statement}"));
    }
    found
}

/// The old version goes on selling during a migration: nothing in it may hold a lock for as long as a million rows take.
#[test]
fn migrations_hold_up_no_shop() {
    for (sql, is_slow) in [
        ("lock table orders in share mode", true),
        ("create index a_idx on orders (a)", true),
        ("create table a (b int); create unique index a_idx on a (b)", false),
        (
            "-- no-transaction\ncreate index concurrently a_idx on orders (a)",
            false,
        ),
        ("alter table orders add constraint a check (b > 0)", true),
        ("alter table orders add constraint a check (b > 0) not valid", false),
        (
            "alter table orders add constraint a check (b > 0) not valid; alter table orders validate constraint a",
            true,
        ),
        (
            "-- no-transaction\nbegin; alter table orders add constraint a check (b > 0) not valid; commit;
             alter table orders validate constraint a",
            false,
        ),
        ("alter table orders add column a uuid references users (id)", true),
        (
            "create function f() returns void language sql as $$ lock table orders; $$",
            false,
        ),
    ] {
        assert_eq!(!holds_up(sql).is_empty(), is_slow, "{sql}");
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name[..4].parse::<i64>().unwrap() >= WHILE_OPEN {
            let found = holds_up(&std::fs::read_to_string(&path).unwrap());
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }
}
