//! Idempotent calls: repeated calls with the same key have one effect.
//!
//! The result of a call is stored in the transaction of its effect, so neither exists without the other. A refused call
//! stores nothing and can be retried under the same key. Calls with the same key wait for each other: of concurrent
//! calls one has the effect and the others get its result.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, Store, Tx};

/// A caller's idempotency key: 1 to 200 characters, unique per user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency(String);

impl Idempotency {
    /// A key of 1 to 200 visible ASCII characters; `None` for anything else.
    pub fn new(key: &str) -> Option<Self> {
        ((1..=200).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic() || b == b' '))
            .then(|| Self(key.to_owned()))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A call with an idempotency key.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The owner of the key.
    pub(crate) owner: Uuid,
    /// The route; each route has its own keys.
    pub(crate) route: &'static str,
    /// The caller's key.
    pub(crate) key: &'a Idempotency,
    /// All parameters, in a form that differs between different calls.
    pub(crate) asked: String,
}

/// The recorded state of a call.
#[derive(Debug)]
pub(crate) enum Known<T> {
    /// The call is new, and no other transaction can start it until this one ends.
    Nothing,
    /// The result of the earlier call.
    Done(T),
    /// The key was used for another request.
    Other,
}

impl Call<'_> {
    /// Looks up the call; concurrent calls with the same key wait until this transaction has ended.
    pub(crate) async fn look<T: DeserializeOwned>(&self, tx: &mut Tx) -> Result<Known<T>> {
        // A separate statement: the next one then sees what this one waited for.
        sqlx::query!(
            "-- store.idempotency.lock
            select pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'idempotency', $1::uuid, $2::text, $3::text), 0))",
            self.owner,
            self.route,
            self.key.as_str()
        )
        .execute(tx.conn())
        .await?;
        let row = sqlx::query!(
            r#"-- store.idempotency.look
            select answer, request_hash = sha256(convert_to($4, 'UTF8')) as "same!"
              from idempotency_keys where owner = $1 and route = $2 and key = $3"#,
            self.owner,
            self.route,
            self.key.as_str(),
            &self.asked
        )
        .fetch_optional(tx.conn())
        .await?;
        let Some(row) = row else { return Ok(Known::Nothing) };
        if !row.same {
            return Ok(Known::Other);
        }
        let answer = serde_json::from_value(row.answer).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Known::Done(answer))
    }

    /// Stores the result of the call.
    pub(crate) async fn done(&self, tx: &mut Tx, answer: &(impl Serialize + Sync)) -> Result<()> {
        sqlx::query!(
            "-- store.idempotency.done
            insert into idempotency_keys (owner, route, key, request_hash, answer)
            values ($1, $2, $3, sha256(convert_to($4, 'UTF8')), $5)",
            self.owner,
            self.route,
            self.key.as_str(),
            &self.asked,
            Json(answer) as _
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// Deletes calls older than a day; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.idempotency.sweep
        delete from idempotency_keys where (owner, route, key) in (
            select owner, route, key from idempotency_keys where at < now() - interval '24 hours'
             order by at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
