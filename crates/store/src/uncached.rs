//! Statements whose best plan depends on their values, such as lists with optional filters.
//!
//! A statement that is kept prepared is planned once for all values after its fifth execution. What goes through
//! [`Tx::uncached`] is planned on each execution and then forgotten.

use futures::future::{self, BoxFuture, FutureExt as _};
use futures::stream::{self, BoxStream, StreamExt as _};
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Describe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr};

use crate::Tx;

/// Executes statements without keeping them prepared. (`query!` has no `persistent(false)`.)
#[derive(Debug)]
pub(crate) struct Uncached<'c>(&'c mut PgConnection);

impl Tx {
    /// An executor for statements that are planned on each execution.
    pub(crate) fn uncached(&mut self) -> Uncached<'_> {
        Uncached(self.conn())
    }
}

fn uncached<'q>(mut statement: impl Execute<'q, Postgres>) -> Result<Query<'q, Postgres, PgArguments>, Error> {
    let arguments = statement.take_arguments().map_err(Error::Encode)?.unwrap_or_default();
    Ok(sqlx::query_with(statement.sql(), arguments).persistent(false))
}

impl<'c> Executor<'c> for Uncached<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, statement: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match uncached(statement) {
            Ok(statement) => self.0.fetch_many(statement),
            Err(error) => stream::once(future::ready(Err(error))).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, statement: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match uncached(statement) {
            Ok(statement) => self.0.fetch_optional(statement),
            Err(error) => future::ready(Err(error)).boxed(),
        }
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

    use crate::{Options, Store, StoreError};

    #[tokio::test]
    async fn statement_is_not_kept_prepared() {
        let db = TestDb::new().await;
        let store = Store::new(db.url(), &Options::default()).unwrap();
        let kept: Vec<String> = store
            .tx("test", |tx| {
                Box::pin(async move {
                    let forgotten = || sqlx::query_scalar::<_, i32>("-- not kept\nselect $1::integer").bind(7);
                    assert_eq!(forgotten().fetch_one(tx.uncached()).await?, 7);
                    assert_eq!(forgotten().fetch_all(tx.uncached()).await?, [7]);
                    let kept = sqlx::query_scalar::<_, i32>("-- kept\nselect $1::integer").bind(7);
                    assert_eq!(kept.fetch_one(tx.conn()).await?, 7);
                    Ok::<_, StoreError>(
                        sqlx::query_scalar(
                            "select statement from pg_prepared_statements where statement like '-- %kept%'",
                        )
                        .fetch_all(tx.conn())
                        .await?,
                    )
                })
            })
            .await
            .unwrap();
        assert_eq!(kept, ["-- kept\nselect $1::integer"]);
    }
}
