//! Indexes whose build was interrupted.
//!
//! An index that is built while the shop is open (`create index concurrently`) belongs to no transaction. When the process
//! or the server ends during the build, the index remains, invalid: queries ignore it, every write maintains it, and the
//! migration that creates it fails forever because the name is taken. The same name is taken when the end came between
//! the build and the record of the migration.

use std::time::Duration;

use sqlx::migrate::Migration;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::Result;

/// Key of the session's lock under which schemas are changed.
const LOCK: i64 = 0x10c4_57e9_5c8e_3a01;
/// Interval at which a taken lock is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Takes the lock for changes of the schema, until the connection is closed. A session that waits in a statement would
/// hold a snapshot, and the build of an index waits for the end of every snapshot: both would wait for each other.
pub(crate) async fn lock(conn: &mut PgConnection) -> Result<()> {
    loop {
        let is_ours: bool = sqlx::query_scalar("-- store.migrations.lock\nselect pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *conn)
            .await?;
        if is_ours {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Removes what interrupted builds have left: indexes of `pending` migrations, which create them again, and invalid
/// indexes of applied ones, which are built again here. Of the latter, those that another session builds at this moment
/// and those of other owners are left alone. An earlier version that migrates at the same moment does not know the lock.
pub(crate) async fn clear(conn: &mut PgConnection, pending: impl Iterator<Item = &Migration>) -> Result<()> {
    for index in pending.filter_map(built_while_open) {
        run(
            conn,
            format!("-- store.migrations.drop_pending\ndrop index concurrently if exists {index}"),
        )
        .await?;
    }
    let invalid: Vec<(String, String, Option<String>, bool)> = sqlx::query_as(
        r"-- store.migrations.invalid
        select c.relname::text, format('%I.%I', n.nspname, c.relname),
               -- Half of an interrupted `reindex concurrently`: its other half is valid.
               case when c.relname !~ '_cc(new|old)\d*$'
                    then regexp_replace(pg_get_indexdef(c.oid), '^CREATE (UNIQUE )?INDEX ', 'CREATE \1INDEX CONCURRENTLY ') end,
               -- Not so after an interrupted `drop index concurrently`.
               i.indislive
          from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
         where not i.indisvalid and c.relkind = 'i' and n.nspname = current_schema() and pg_has_role(c.relowner, 'USAGE')
           and not exists (select from pg_constraint k where k.conindid = c.oid)
           and not exists (select from pg_stat_progress_create_index b where b.index_relid = c.oid)
         order by c.relname",
    )
    .fetch_all(&mut *conn)
    .await?;
    for (name, place, definition, is_live) in invalid {
        tracing::info!(index = name, "the build of an index was interrupted; it is built again");
        // One statement: an end between a drop and a build would leave no index, and nothing that tells of it.
        if is_live && definition.is_some() {
            run(
                conn,
                format!("-- store.migrations.build_again\nreindex index concurrently {place}"),
            )
            .await?;
            continue;
        }
        run(
            conn,
            format!("-- store.migrations.drop_invalid\ndrop index concurrently if exists {place}"),
        )
        .await?;
        if let Some(definition) = definition {
            run(conn, format!("-- store.migrations.build_anew\n{definition}")).await?;
        }
    }
    Ok(())
}

/// The index that a migration builds outside a transaction.
fn built_while_open(migration: &Migration) -> Option<&str> {
    let statement = migration.sql.as_str().split_once("create index concurrently ");
    let (_, rest) = statement.filter(|_| migration.no_tx)?;
    rest.split_whitespace().next()
}

/// Runs a statement that the database has written or that names an index of a migration.
async fn run(conn: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}
