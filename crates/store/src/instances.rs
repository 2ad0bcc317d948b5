//! The running processes of the shop, their settings, and which secret currently seals keys.
//!
//! A process renews its row every few seconds and deletes it when it ends; a killed process counts as gone when its row
//! is older than [`LEASE`]. All times are the database's.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, Store, Tx};

/// How long a process counts as running after its last renewal.
pub const LEASE: Duration = Duration::from_secs(15);

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Generated when the process starts.
    pub id: Uuid,
    /// Machine and process, in readable form.
    pub name: String,
    /// Each setting's value, or a keyed hash of it, by name.
    pub settings: BTreeMap<String, String>,
}

/// Another running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The process.
    pub instance: Instance,
    /// When it last renewed its row.
    pub seen_at: DateTime<Utc>,
}

/// Makes other starting processes wait until this transaction has ended: of two that differ, one sees the other.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn one_at_a_time(tx: &mut Tx) -> Result<()> {
    sqlx::query!("-- store.instances.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep instances', 0))")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The running processes except `id`.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn others(tx: &mut Tx, id: Uuid) -> Result<Vec<Running>> {
    let others = sqlx::query!(
        r#"-- store.instances.others
        select id, name, settings as "settings: Json<BTreeMap<String, String>>", seen_at from instances
         where id <> $1 and seen_at > clock_timestamp() - make_interval(secs => $2::bigint) order by name, id"#,
        id,
        i64::try_from(LEASE.as_secs()).unwrap_or(i64::MAX)
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(others
        .into_iter()
        .map(|row| Running {
            instance: Instance {
                id: row.id,
                name: row.name,
                settings: row.settings.0,
            },
            seen_at: row.seen_at,
        })
        .collect())
}

/// Records that `instance` is running, and deletes rows that were not renewed for a day.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn announce(tx: &mut Tx, instance: &Instance) -> Result<()> {
    sqlx::query!(
        "-- store.instances.announce
        with gone as (delete from instances where id <> $1 and seen_at < clock_timestamp() - interval '1 day')
        insert into instances (id, name, settings, seen_at) values ($1, $2, $3, clock_timestamp())
        on conflict (id) do update set settings = excluded.settings, seen_at = excluded.seen_at",
        instance.id,
        instance.name,
        Json(&instance.settings) as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Records that a process has ended.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable); the process then counts as gone after [`LEASE`].
pub async fn withdraw(store: &Store, id: Uuid) -> Result<()> {
    sqlx::query!("-- store.instances.withdraw\ndelete from instances where id = $1", id)
        .execute(store.alone())
        .await?;
    Ok(())
}

/// The identifier of the secret that currently seals keys; `None` before the first start.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn key_secret(tx: &mut Tx) -> Result<Option<String>> {
    Ok(
        sqlx::query_scalar!("-- store.instances.key_secret\nselect mark from key_secret_in_use")
            .fetch_optional(tx.conn())
            .await?,
    )
}

/// Records that the secret with this identifier seals keys from now on.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn set_key_secret(tx: &mut Tx, mark: &str) -> Result<()> {
    sqlx::query!(
        "-- store.instances.set_key_secret
        insert into key_secret_in_use (mark) values ($1)
        on conflict (only_row) do update set mark = excluded.mark, since = now()
         where key_secret_in_use.mark <> excluded.mark",
        mark
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether data is stored that only the secret can decrypt: game keys and answers that may hold one, second factors,
/// and e-mails in the queue.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn something_is_sealed(tx: &mut Tx) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.instances.something_is_sealed
        select exists (select from game_keys) or exists (select from user_totp)
            or exists (select from unreadable_answers where decided_at is null)
            or exists (select from mail_outbox where sealed is not null)
            or exists (select from email_settings where password is not null)
            or exists (select from g2a_settings) or exists (select from webhook_secrets) or exists (select from evidence_key) as "sealed!""#
    )
    .fetch_one(tx.conn())
    .await?)
}
