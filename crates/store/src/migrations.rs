//! The migrations of the schema. Applied files are never edited; a change is a new file.

use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use sqlx::migrate::Migrator;

use crate::suitable::Verdict;
use crate::{Result, Store, StoreError, unfinished};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The migrations of the database and of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Versions in the database, ascending.
    pub applied: Vec<i64>,
    /// Versions that this program knows and the database lacks, with their names.
    pub pending: Vec<(i64, String)>,
}

impl Store {
    /// Whether the database holds no user tables: a restore would overwrite nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_no_schema(&self) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"-- store.has_no_schema
            select not exists (
                select from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace) as "none!""#
        )
        .fetch_one(self.alone())
        .await?)
    }

    /// Applies pending migrations and returns them. Concurrent calls wait for each other. Indexes whose build was
    /// interrupted are built again.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when the database is newer than this program or an applied file was edited;
    /// [`StoreError::Unsuitable`] when a shop should not, or cannot, live in it.
    pub async fn migrate(&self) -> Result<Vec<(i64, String)>> {
        let before = self.migration_status().await?;
        if !before.pending.is_empty() {
            let is_new = before.applied.is_empty();
            let against = self.unsuitable().await?;
            let refuses = |verdict| match verdict {
                Verdict::Refused => true,
                Verdict::RefusedWhenNew => is_new,
                Verdict::Limited => false,
            };
            if let Some(unsuitable) = against.into_iter().find(|one| refuses(one.verdict)) {
                return Err(StoreError::Unsuitable(unsuitable));
            }
        }
        let mut conn = self.connect().await?;
        // A migration has no time limit, and waits for conflicting locks.
        sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0")
            .execute(&mut conn)
            .await?;
        unfinished::lock(&mut conn).await?;
        // Another process may have applied them meanwhile.
        let Status { pending, .. } = self.migration_status().await?;
        let is_pending = |version| pending.iter().any(|(pending, _)| *pending == version);
        unfinished::clear(&mut conn, MIGRATIONS.iter().filter(|one| is_pending(one.version))).await?;
        MIGRATIONS
            .run_direct(None, &mut conn, false)
            .await
            .map_err(|error| match error {
                // A lost connection arrives as either.
                sqlx::migrate::MigrateError::Execute(error)
                | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => StoreError::from(error),
                error => StoreError::Schema(error.to_string()),
            })?;
        conn.close().await?;
        Ok(pending)
    }

    /// When the schema was installed, which is when the shop began; `None` before that.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn installed_at(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(sqlx::query_scalar!(
            "-- store.migrations.installed_at\nselect min(installed_on) from _sqlx_migrations where success"
        )
        .fetch_one(self.alone())
        .await?)
    }

    /// The version of PostgreSQL, such as `15.13`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn server_version(&self) -> Result<String> {
        Ok(sqlx::query_scalar!(
            r#"-- store.migrations.server_version
            select current_setting('server_version') as "version!""#
        )
        .fetch_one(self.alone())
        .await?)
    }

    /// Compares the database with what this program knows.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when the database holds versions that this program does not know, or knows in another form.
    pub async fn migration_status(&self) -> Result<Status> {
        let exists = sqlx::query_scalar!(
            r#"-- store.migrations.exists
            select to_regclass('_sqlx_migrations') is not null as "exists!""#
        )
        .fetch_one(self.alone())
        .await?;
        let applied = if exists {
            sqlx::query!(
                "-- store.migrations.applied
                select version, checksum from _sqlx_migrations where success order by version"
            )
            .fetch_all(self.alone())
            .await?
        } else {
            Vec::new()
        };
        for row in &applied {
            let Some(known) = MIGRATIONS.iter().find(|known| known.version == row.version) else {
                return Err(StoreError::Schema(format!(
                    "the database has version {}, which this program does not know: it was written by a newer Lockstep",
                    row.version
                )));
            };
            if *known.checksum != *row.checksum {
                return Err(StoreError::Schema(format!(
                    "version {} of the database is not this program's: its file was changed after it was applied",
                    row.version
                )));
            }
        }
        let applied: Vec<i64> = applied.into_iter().map(|row| row.version).collect();
        let pending = MIGRATIONS
            .iter()
            .filter(|migration| !applied.contains(&migration.version))
            .map(|migration| (migration.version, migration.description.to_string()))
            .collect();
        Ok(Status { applied, pending })
    }
}

/// A digest of all migrations: two programs with the same digest create the same schema.
pub fn digest() -> String {
    MIGRATIONS
        .iter()
        .flat_map(|migration| migration.checksum.iter().take(4))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
        .to_string()
}
