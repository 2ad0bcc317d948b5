//! Calls that their caller may repeat: a key of the caller's makes them have one effect.
//!
//! What a call came to is written in the transaction of its effect, so there is no effect without its key and no key without
//! its effect; a call that was refused leaves nothing, and may be tried again under the same key. Calls with the same key
//! wait for each other, so of many at once one has the effect and the others learn what it came to.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::types::Json;
use uuid::Uuid;

use crate::orders::Idempotency;
use crate::{Result, Store, Tx};

/// A call under a key.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Whose key it is.
    pub(crate) owner: Uuid,
    /// What is called; another route's keys are others.
    pub(crate) route: &'static str,
    /// The caller's key.
    pub(crate) key: &'a Idempotency,
    /// Everything that is asked for, in a form in which two different calls differ.
    pub(crate) asked: String,
}

/// What is known of a call.
#[derive(Debug)]
pub(crate) enum Known<T> {
    /// Nothing: it is new, and nobody else can begin it until this transaction ends.
    Nothing,
    /// What it came to before.
    Done(T),
    /// The key was used for something else.
    Other,
}

impl Call<'_> {
    /// Looks whether the call was made before; who makes the same one now waits until this transaction has ended.
    pub(crate) async fn look<T: DeserializeOwned>(&self, tx: &mut Tx) -> Result<Known<T>> {
        // A statement of its own: the next one then sees what was waited for.
        sqlx::query(
            "-- store.idempotency.lock
            select pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'idempotency', $1::uuid, $2::text, $3::text), 0))",
        )
        .bind(self.owner)
        .bind(self.route)
        .bind(self.key.as_str())
        .execute(tx.conn())
        .await?;
        let row = sqlx::query(
            "-- store.idempotency.look
            select answer, request_hash = sha256(convert_to($4, 'UTF8')) as same
              from idempotency_keys where owner = $1 and route = $2 and key = $3",
        )
        .bind(self.owner)
        .bind(self.route)
        .bind(self.key.as_str())
        .bind(&self.asked)
        .fetch_optional(tx.conn())
        .await?;
        let Some(row) = row else { return Ok(Known::Nothing) };
        if !row.try_get::<bool, _>("same")? {
            return Ok(Known::Other);
        }
        let Json(answer): Json<T> = row.try_get("answer")?;
        Ok(Known::Done(answer))
    }

    /// Writes what the call came to.
    pub(crate) async fn done(&self, tx: &mut Tx, answer: &(impl Serialize + Sync)) -> Result<()> {
        sqlx::query(
            "-- store.idempotency.done
            insert into idempotency_keys (owner, route, key, request_hash, answer)
            values ($1, $2, $3, sha256(convert_to($4, 'UTF8')), $5)",
        )
        .bind(self.owner)
        .bind(self.route)
        .bind(self.key.as_str())
        .bind(&self.asked)
        .bind(Json(answer))
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// Forgets calls that are older than a day; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query(
        "-- store.idempotency.sweep
        delete from idempotency_keys where (owner, route, key) in (
            select owner, route, key from idempotency_keys where at < now() - interval '24 hours'
             order by at limit $1 for update skip locked)",
    )
    .bind(i64::from(crate::SWEEP))
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
