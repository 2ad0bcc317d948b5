//! Session settings of new connections, so that nothing depends on the configuration of a role, a database or a pooler.
//!
//! They are sent in a statement and not in the startup message: poolers refuse or drop parameters that they do not know
//! there.

use std::time::Duration;

use sqlx::postgres::PgConnection;

/// Settings of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    /// [`crate::Options::statement_timeout`].
    pub(crate) statement_timeout: Duration,
    /// [`crate::Options::lock_timeout`].
    pub(crate) lock_timeout: Duration,
}

impl Session {
    /// Sends the settings to a new connection.
    ///
    /// - Isolation: a role may default to `serializable`, under which statements fail that are correct as they are.
    /// - `jit`: compiling a count over a million rows takes longer than running it.
    /// - `search_path`: the schema that holds the shop's tables, regardless of the role's current setting; on a new
    ///   database the one that the role specifies, or `public` without one. `pg_trgm` may have been installed elsewhere
    ///   by the host.
    pub(crate) async fn tell(self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query!(
            "-- store.session
            select set_config('statement_timeout', $1::text || 'ms', false) as statement_timeout,
                   set_config('lock_timeout', $2::text || 'ms', false) as lock_timeout,
                   set_config('idle_in_transaction_session_timeout', '30s', false) as idle_timeout,
                   set_config('default_transaction_isolation', 'read committed', false) as isolation,
                   set_config('timezone', 'UTC', false) as timezone,
                   set_config('jit', 'off', false) as jit,
                   set_config('search_path', concat_ws(', ',
                       coalesce(
                           (select relnamespace::regnamespace::text from pg_class
                             where relname = 'cache_floor' and relkind = 'r'
                             order by (oid = to_regclass('cache_floor')) is true desc, relnamespace limit 1),
                           quote_ident(current_schema()), 'public'),
                       (select extnamespace::regnamespace::text from pg_extension where extname = 'pg_trgm')), false) as search_path",
            self.statement_timeout.as_millis().to_string(),
            self.lock_timeout.as_millis().to_string()
        )
        .fetch_one(connection)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lockstep_testkit::TestDb;

    use super::*;
    use crate::{Options, Store};

    async fn settings(connection: &mut PgConnection) -> Vec<String> {
        sqlx::query_scalar(
            "select current_setting(name) from unnest(array['search_path', 'transaction_isolation', 'timezone',
                'statement_timeout', 'jit']) name",
        )
        .fetch_all(connection)
        .await
        .unwrap()
    }

    async fn override_settings(db: &TestDb) {
        for setting in [
            "search_path = elsewhere, pg_catalog",
            "default_transaction_isolation = serializable",
            "timezone = 'Asia/Tokyo'",
            "statement_timeout = '7s'",
            "jit = on",
        ] {
            db.execute(&format!("alter database {} set {setting}", db.name())).await;
        }
        db.execute("create schema elsewhere").await;
    }

    #[tokio::test]
    async fn session_settings_override_database_defaults() {
        let db = TestDb::new().await;
        override_settings(&db).await;
        let store = Store::new(db.url(), &Options::default()).unwrap();
        let ours = ["public, public", "read committed", "UTC", "15s", "off"];
        assert_eq!(settings(&mut store.pool().acquire().await.unwrap()).await, ours);
        assert_eq!(
            settings(&mut store.apart(1).pool().acquire().await.unwrap()).await,
            ours
        );
        assert_eq!(settings(&mut store.connect().await.unwrap()).await, ours);
        assert!(store.migrate().await.unwrap().is_empty(), "our tables are found");
    }

    #[tokio::test]
    async fn new_schema_goes_to_the_configured_search_path() {
        let db = TestDb::new().await;
        db.execute("drop schema public cascade; create schema shop; create schema extensions; create extension pg_trgm schema extensions")
            .await;
        db.execute(&format!("alter database {} set search_path = shop", db.name()))
            .await;
        let store = Store::new(db.url(), &Options::default()).unwrap();
        store.migrate().await.unwrap();
        db.execute(&format!("alter database {} set search_path = nowhere", db.name()))
            .await;
        let store = Store::new(db.url(), &Options::default()).unwrap();
        assert!(store.migrate().await.unwrap().is_empty(), "our tables are found");
        assert_eq!(
            settings(&mut store.connect().await.unwrap()).await[0],
            "shop, extensions"
        );
    }
}
