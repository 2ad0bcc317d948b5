//! Which processes of the shop are running, what they are set to, and which secret seals keys now.
//!
//! A process renews its row every few seconds and deletes it when it ends; one that was killed is gone when its row is
//! older than [`LEASE`]. The clock is the database's.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, Store, Tx};

/// How long a process is believed to run after it was last seen.
pub const LEASE: Duration = Duration::from_secs(15);

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Made at its start.
    pub id: Uuid,
    /// For people: the machine and the process.
    pub name: String,
    /// Name of a setting to its value, or to a keyed hash of it.
    pub settings: BTreeMap<String, String>,
}

/// Another process, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// It.
    pub instance: Instance,
    /// When it renewed its row.
    pub seen_at: DateTime<Utc>,
}

/// Lets no other process begin before this transaction has ended: of two that differ, one sees the other.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn one_at_a_time(tx: &mut Tx) -> Result<()> {
    sqlx::query("-- store.instances.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep instances', 0))")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The processes that run, but for `id`.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn others(tx: &mut Tx, id: Uuid) -> Result<Vec<Running>> {
    sqlx::query(
        "-- store.instances.others
        select id, name, settings, seen_at from instances
         where id <> $1 and seen_at > clock_timestamp() - make_interval(secs => $2::bigint) order by name, id",
    )
    .bind(id)
    .bind(i64::try_from(LEASE.as_secs()).unwrap_or(i64::MAX))
    .fetch_all(tx.conn())
    .await?
    .iter()
    .map(|row| {
        Ok(Running {
            instance: Instance {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                settings: row.try_get::<Json<_>, _>("settings")?.0,
            },
            seen_at: row.try_get("seen_at")?,
        })
    })
    .collect()
}

/// Says that `instance` runs, and forgets those that have not for a day.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn announce(tx: &mut Tx, instance: &Instance) -> Result<()> {
    sqlx::query(
        "-- store.instances.announce
        with gone as (delete from instances where id <> $1 and seen_at < clock_timestamp() - interval '1 day')
        insert into instances (id, name, settings, seen_at) values ($1, $2, $3, clock_timestamp())
        on conflict (id) do update set settings = excluded.settings, seen_at = excluded.seen_at",
    )
    .bind(instance.id)
    .bind(&instance.name)
    .bind(Json(&instance.settings))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Says that a process has ended.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable); it is gone after [`LEASE`] by itself.
pub async fn withdraw(store: &Store, id: Uuid) -> Result<()> {
    sqlx::query("-- store.instances.withdraw\ndelete from instances where id = $1")
        .bind(id)
        .execute(store.alone())
        .await?;
    Ok(())
}

/// The mark of the secret that seals keys now; `None` before the first start.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn key_secret(tx: &mut Tx) -> Result<Option<String>> {
    Ok(
        sqlx::query_scalar("-- store.instances.key_secret\nselect mark from key_secret_in_use")
            .fetch_optional(tx.conn())
            .await?,
    )
}

/// From now on the secret with this mark seals keys.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn set_key_secret(tx: &mut Tx, mark: &str) -> Result<()> {
    sqlx::query(
        "-- store.instances.set_key_secret
        insert into key_secret_in_use (mark) values ($1)
        on conflict (only_row) do update set mark = excluded.mark, since = now()
         where key_secret_in_use.mark <> excluded.mark",
    )
    .bind(mark)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether anything is stored that only the secret can read: game keys and answers that may hold one, second factors,
/// and e-mails that wait.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn something_is_sealed(tx: &mut Tx) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "-- store.instances.something_is_sealed
        select exists (select from game_keys) or exists (select from user_totp) or exists (select from unreadable_answers where decided_at is null)
            or exists (select from mail_outbox where sealed is not null)",
    )
    .fetch_one(tx.conn())
    .await?)
}
