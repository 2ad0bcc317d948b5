//! Statements outside explicit transactions, each of which is its own transaction.
//!
//! PostgreSQL resolves a deadlock by failing one of its statements, and can fail any statement under a stricter
//! isolation level. A statement that failed this way has changed nothing and can be retried. [`Store::tx`] retries
//! whole transactions; this module retries single statements.

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use lockstep_telemetry::call_span;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Error, Execute, Executor, PgPool, Postgres, SqlStr};
use tracing::Instrument as _;

use crate::Store;
use crate::error::is_conflict;
use crate::transaction::MAX_CONFLICTS;

/// Executes single statements and retries those that met a conflict.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alone<'s>(&'s PgPool);

impl Store {
    /// An executor for statements outside explicit transactions.
    pub(crate) fn alone(&self) -> Alone<'_> {
        Alone(self.pool())
    }
}

type Step = Either<PgQueryResult, PgRow>;

/// The name in the first line of a statement, `-- store.aggregate.verb`, without the crate's.
fn name(sql: &str) -> &str {
    let first = sql.trim_start().lines().next().unwrap_or_default();
    first
        .strip_prefix("-- ")
        .map_or("statement", |name| name.strip_prefix("store.").unwrap_or(name))
}

/// Sends one statement and collects its whole result.
async fn send<'q>(pool: &PgPool, mut statement: impl Execute<'q, Postgres>) -> Result<Vec<Step>, Error> {
    let arguments = statement.take_arguments().map_err(Error::Encode)?;
    let persistent = statement.persistent();
    let sql = statement.sql();
    let mut conflicts = 0;
    loop {
        let steps = match arguments.clone() {
            Some(arguments) => pool.fetch_many(sqlx::query_with(sql.clone(), arguments).persistent(persistent)),
            None => pool.fetch_many(sqlx::raw_sql(sql.clone())),
        };
        let span = call_span(format_args!("db.{}", name(sql.as_str())));
        match steps.try_collect().instrument(span).await {
            Err(error) if conflicts < MAX_CONFLICTS && is_conflict(&error) => {
                conflicts += 1;
                let statement = sql.as_str().lines().next().unwrap_or_default();
                tracing::debug!(statement, conflicts, "retrying a statement after a conflict");
            }
            result => return result,
        }
    }
}

impl<'c> Executor<'c> for Alone<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, statement: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // Collected completely before it is returned: retrying a statement that failed half-way would otherwise
        // duplicate rows.
        let steps = async move {
            let steps = send(self.0, statement).await?;
            Ok::<_, Error>(futures::stream::iter(steps.into_iter().map(Ok::<_, Error>)))
        };
        futures::stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, statement: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move { Ok(send(self.0, statement).await?.into_iter().find_map(Either::right)) })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.0.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.0.describe(sql)
    }
}

#[cfg(test)]
mod tests {
    use lockstep_testkit::TestDb;
    use sqlx::{Connection as _, Executor as _, PgConnection};

    use super::*;
    use crate::Options;

    async fn two_rows() -> TestDb {
        let db = TestDb::new().await;
        db.execute("create table pair (id int primary key, n int not null); insert into pair values (1, 0), (2, 0)")
            .await;
        db
    }

    /// A competing transaction that holds row 2, then requests row 1, and is never the deadlock victim.
    async fn holder(db: &TestDb) -> PgConnection {
        let mut other = PgConnection::connect(db.url()).await.unwrap();
        other.execute("set deadlock_timeout = '60s'").await.unwrap();
        other
            .execute("begin; update pair set n = 100 where id = 2")
            .await
            .unwrap();
        other
    }

    async fn waits(db: &TestDb) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        let question = "select count(*) from pg_stat_activity
                         where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(question).fetch_one(&db.sql).await.unwrap() == 0 {
            assert!(tokio::time::Instant::now() < deadline, "nobody waits");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn deadlocked_statement_is_retried_and_applied_once() {
        let db = two_rows().await;
        let mut other = holder(&db).await;
        let statement = {
            // The deadlock is detected after three seconds, which lets the other transaction request row 1 even on a
            // busy machine.
            db.execute(&format!("alter database {} set deadlock_timeout = '3s'", db.name()))
                .await;
            let options = Options {
                lock_timeout: std::time::Duration::from_secs(30),
                ..Options::default()
            };
            let store = Store::new(db.url(), &options).unwrap();
            tokio::spawn(async move {
                // Locks row 1 first, then waits for row 2.
                sqlx::query(
                    "with first as (update pair set n = n + $1 where id = 1 returning n)
                             update pair set n = pair.n + $1 from first where id = 2 returning pair.n",
                )
                .bind(1)
                .fetch_all(store.alone())
                .await
            })
        };
        waits(&db).await;
        // Proceeds once the statement has failed.
        other
            .execute("update pair set n = 100 where id = 1; commit")
            .await
            .unwrap();
        let rows = statement.await.unwrap().expect("it was sent again");
        assert_eq!(rows.len(), 1);
        let n: Vec<i32> = sqlx::query_scalar("select n from pair order by id")
            .fetch_all(&db.sql)
            .await
            .unwrap();
        assert_eq!(n, [101, 101]);
    }

    #[tokio::test]
    async fn other_errors_are_not_retried_and_retries_are_bounded() {
        let db = two_rows().await;
        let store = Store::new(db.url(), &Options::default()).unwrap();
        db.execute("create sequence tries").await;
        let broken = "select 1 / (select count(*) - 2 from pair where nextval('tries') > 0)";
        let error = sqlx::query(broken).fetch_one(store.alone()).await.unwrap_err();
        assert!(!is_conflict(&error), "{error}");
        let tries = "select last_value from tries";
        assert_eq!(
            sqlx::query_scalar::<_, i64>(tries).fetch_one(&db.sql).await.unwrap(),
            2,
            "one for each row"
        );

        db.execute(
            "alter sequence tries restart;
             create function conflict() returns int language plpgsql as $$
             begin perform nextval('tries'); raise exception using errcode = '40001'; end $$",
        )
        .await;
        let error = sqlx::query("select conflict()")
            .execute(store.alone())
            .await
            .unwrap_err();
        assert!(is_conflict(&error), "{error}");
        let tried: i64 = sqlx::query_scalar(tries).fetch_one(&db.sql).await.unwrap();
        assert_eq!(tried, i64::from(MAX_CONFLICTS) + 1, "bounded");
    }
}
