//! The two ways to access the database: a stamped read, and a transaction that cannot be left open.
//!
//! Transactions begin and end with the simple protocol (`raw_sql`), where several commands fit in one message.

use std::fmt;
use std::marker::PhantomData;

use futures_core::future::BoxFuture;
use lockstep_telemetry::call_span;
use sqlx::{PgConnection, PgPool};
use tracing::Instrument as _;

use crate::error::{Result, StoreError};
use crate::snapshot::{NotASnapshot, Snapshot, Stamped};
use crate::{Store, Subject, acting, games, mail, traces};

/// How often a transaction, or a statement outside one, is retried after a serialisation failure or a deadlock.
pub(crate) const MAX_CONFLICTS: u32 = 5;

/// An open transaction. Only functions of this crate can send SQL through it.
#[derive(Debug)]
pub struct Tx {
    conn: sqlx::pool::PoolConnection<sqlx::Postgres>,
    /// The transaction has ended and the connection may return to the pool.
    ended: bool,
    seal: mail::Seal,
    reductions: games::Reductions,
}

impl Tx {
    /// A connection without a transaction, kept out of the pool unless [`finish`](Self::finish) reports that it is
    /// clean.
    pub(crate) fn outside(conn: sqlx::pool::PoolConnection<sqlx::Postgres>) -> Self {
        Self {
            conn,
            ended: false,
            seal: mail::Seal::default(),
            reductions: games::Reductions::default(),
        }
    }

    /// The secrets that e-mails of this transaction are sealed with.
    pub(crate) const fn seal(&self) -> &mail::Seal {
        &self.seal
    }

    /// How reductions are announced in what this transaction reads.
    pub(crate) const fn reductions(&self) -> &games::Reductions {
        &self.reductions
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl Store {
    /// Runs `body` in one read-only snapshot and stamps the result with it.
    ///
    /// The snapshot is taken first and applies to every statement of `body`, so the stamp is never later than what was
    /// read. `body` is called once.
    ///
    /// # Errors
    /// Those of `body`, and [`StoreError::Unavailable`].
    pub async fn read<T, E>(
        &self,
        body: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<Stamped<T>, E>
    where
        E: From<StoreError>,
    {
        let span = call_span(format_args!("db.{}.read", Kind(PhantomData::<T>)));
        self.read_stamped(body).instrument(span).await
    }

    async fn read_stamped<T, E>(
        &self,
        body: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<Stamped<T>, E>
    where
        E: From<StoreError>,
    {
        let mut tx = begin(&self.reads, "begin isolation level repeatable read read only").await?;
        tx.reductions = self.reductions.clone();
        let result = async {
            let stamp = current_snapshot(tx.conn()).await?;
            let value = body(&mut tx).await?;
            Ok(Stamped { stamp, value })
        }
        .await;
        // A read has nothing to keep: the rollback can only fail if the connection is lost, and then it is closed.
        let ended = sqlx::raw_sql("rollback").execute(tx.conn()).await;
        tx.finish(ended.is_ok());
        result
    }

    /// Runs `body` in one transaction: commits if it returns `Ok`, rolls back otherwise.
    ///
    /// After a serialisation failure or a deadlock `body` is run again, up to five times, so it must be repeatable: no
    /// HTTP, no Redis, only database access. `name` appears in logs and metrics.
    ///
    /// # Errors
    /// Those of `body`. If the commit itself got no answer, the error is [`StoreError::Unavailable`] and the outcome is
    /// unknown.
    pub async fn tx<T, E>(
        &self,
        name: &'static str,
        body: impl for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        self.tx_about(name, &[], body).await
    }

    /// Like [`tx`](Self::tx), for a transaction that locks rows of these subjects or waits for such locks: the number
    /// of concurrent transactions per subject is limited, so that they do not take all connections while a row is
    /// locked.
    ///
    /// # Errors
    /// As [`tx`](Self::tx); [`StoreError::is_locked`] when the wait for a place, or for a row, takes too long.
    pub async fn tx_about<T, E>(
        &self,
        name: &'static str,
        about: &[Subject<'_>],
        body: impl for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        let span = call_span(format_args!("db.{name}"));
        let value = self.repeat_tx(name, about, body).instrument(span).await?;
        self.announce_commit();
        Ok(value)
    }

    /// Like [`tx`](Self::tx), for a worker's own bookkeeping: the waiters of [`commits`](Self::commits) are not woken, among
    /// them the worker itself.
    pub(crate) async fn quiet_tx<T, E>(
        &self,
        name: &'static str,
        body: impl for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        let span = call_span(format_args!("db.{name}"));
        self.repeat_tx(name, &[], body).instrument(span).await
    }

    async fn repeat_tx<T, E>(
        &self,
        name: &'static str,
        about: &[Subject<'_>],
        mut body: impl for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        let _places = self.gate.enter(name, about).await.ok_or_else(StoreError::crowded)?;
        let mut conflicts = 0;
        loop {
            let mut tx = begin(&self.pool, "begin").await?;
            if let Some(parent) = lockstep_telemetry::current() {
                traces::set(tx.conn(), parent).await?;
            }
            if let Some(session) = acting::customer() {
                acting::mark(tx.conn(), session).await?;
            }
            tx.seal = self.seal.clone();
            tx.reductions = self.reductions.clone();
            let result = match body(&mut tx).await {
                // The first statement fails if `body` ignored a failed statement: PostgreSQL answers the commit of such
                // a transaction with a rollback and no error.
                Ok(value) => match sqlx::raw_sql("select 1; commit").execute(tx.conn()).await {
                    Ok(_) => {
                        tx.finish(true);
                        return Ok(value);
                    }
                    Err(error) => Err(E::from(StoreError::from(error))),
                },
                Err(error) => Err(error),
            };
            let ended = sqlx::raw_sql("rollback").execute(tx.conn()).await;
            tx.finish(ended.is_ok());
            match result {
                Err(error)
                    if conflicts < MAX_CONFLICTS && error.as_store_error().is_some_and(StoreError::is_conflict) =>
                {
                    conflicts += 1;
                    tracing::debug!(
                        transaction = name,
                        conflicts,
                        "retrying transaction {name} after a conflict"
                    );
                }
                result => return result,
            }
        }
    }
}

/// What a stamped read returns, as a word for its span: `cart` for `Option<Cart>`.
struct Kind<T>(PhantomData<T>);

impl<T> fmt::Display for Kind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = std::any::type_name::<T>();
        let last = name.rsplit("::").next().unwrap_or(name);
        let word = last.split(|letter: char| !letter.is_alphanumeric()).next();
        let word = word.filter(|word| !word.is_empty()).unwrap_or("rows");
        f.write_str(&word.to_lowercase())
    }
}

async fn begin(pool: &PgPool, statement: &'static str) -> Result<Tx> {
    // A pooled connection may have died since its last use, which the first statement reveals. The next connection may
    // be healthy, so a few are tried before the database is reported as unavailable.
    let mut last = None;
    for _ in 0..3 {
        let mut tx = Tx::outside(pool.acquire().await?);
        match sqlx::raw_sql(statement).execute(tx.conn()).await {
            Ok(_) => return Ok(tx),
            Err(error) => {
                tx.finish(false);
                last = Some(error);
            }
        }
    }
    Err(last.map_or_else(StoreError::timed_out, StoreError::from))
}

impl Tx {
    /// Returns the connection to the pool, or closes it if its state is unknown.
    pub(crate) fn finish(mut self, clean: bool) {
        self.ended = clean;
    }
}

/// A transaction whose caller was cancelled must not stay open for the next user: its connection is closed, and
/// PostgreSQL rolls back.
impl Drop for Tx {
    fn drop(&mut self) {
        if !self.ended {
            self.conn.close_on_drop();
        }
    }
}

/// Lets [`Store::tx`] detect a conflict inside a caller's error type.
pub trait AsStoreError {
    /// The database error, if this is one.
    fn as_store_error(&self) -> Option<&StoreError>;
}

/// For error types of use cases that contain the database's error as `Store`.
macro_rules! holds_store_error {
    ($error:ident) => {
        impl crate::AsStoreError for $error {
            fn as_store_error(&self) -> Option<&crate::StoreError> {
                if let Self::Store(error) = self {
                    Some(error)
                } else {
                    None
                }
            }
        }

        impl From<sqlx::Error> for $error {
            fn from(error: sqlx::Error) -> Self {
                Self::Store(error.into())
            }
        }
    };
}
pub(crate) use holds_store_error;

impl AsStoreError for StoreError {
    fn as_store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}

pub(crate) async fn current_snapshot(conn: &mut PgConnection) -> Result<Snapshot> {
    let text = sqlx::query_scalar!(
        r#"-- store.snapshot
        select pg_current_snapshot()::text as "snapshot!""#
    )
    .fetch_one(conn)
    .await?;
    text.parse()
        .map_err(|NotASnapshot| StoreError::Schema(format!("unexpected snapshot {text:?}")))
}

#[cfg(test)]
mod tests {
    use lockstep_testkit::TestDb;

    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn ignored_statement_failure_prevents_the_commit() {
        let db = TestDb::new().await;
        let store = Store::new(db.url(), &Options::default()).unwrap();
        let commits = store.commits();
        let result: Result<()> = store
            .tx("test", |tx| {
                Box::pin(async move {
                    sqlx::query("update sync_lease set epoch = 7")
                        .execute(tx.conn())
                        .await?;
                    assert!(sqlx::query("select 1 / 0").execute(tx.conn()).await.is_err());
                    Ok(())
                })
            })
            .await;
        let told = result.unwrap_err();
        assert!(matches!(told, StoreError::Database(_)), "{told:?}");
        assert_eq!(*commits.borrow(), 0);
    }

    /// Constraints checked at commit are reported like any other.
    #[tokio::test]
    async fn deferred_constraint_is_reported_by_name() {
        let db = TestDb::new().await;
        let store = Store::new(db.url(), &Options::default()).unwrap();
        let result: Result<()> = store
            .tx("test", |tx| {
                Box::pin(async move {
                    sqlx::query("insert into shoppers (kind) values ('GUEST')")
                        .execute(tx.conn())
                        .await?;
                    Ok(())
                })
            })
            .await;
        assert_eq!(result.unwrap_err().constraint(), Some("shoppers_are_somebody"));
    }
}
