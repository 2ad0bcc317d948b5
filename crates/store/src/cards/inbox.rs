//! Signed events that wait until their object has been read at the provider: stored before they are answered, so that none
//! is lost while the provider or this process is away.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::short;
use crate::row::{count_of, how_many_of};
use crate::{Result, Store, StoreError, Tx};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A checkout session that was paid: its charge has to be read.
    Session,
    /// A charge: its refunds have to be read.
    Charge,
    /// A refund.
    Refund,
    /// A dispute.
    Dispute,
    /// A warning of fraud.
    Warning,
}

impl ObjectKind {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Dispute => "dispute",
            Self::Warning => "warning",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "session" => Ok(Self::Session),
            "charge" => Ok(Self::Charge),
            "refund" => Ok(Self::Refund),
            "dispute" => Ok(Self::Dispute),
            "warning" => Ok(Self::Warning),
            other => Err(StoreError::Schema(format!("unknown object {other}"))),
        }
    }
}

/// An event about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEvent {
    /// The event's id at the provider.
    pub event: String,
    /// Its type.
    pub kind: String,
    /// What it is about.
    pub object: ObjectKind,
    /// The provider's name of the object.
    pub reference: String,
    /// The object's status as the event has it, for the record.
    pub status: Option<String>,
}

/// A claimed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The event's id.
    pub event: String,
    /// What it is about.
    pub object: ObjectKind,
    /// The provider's name of the object.
    pub reference: String,
    /// How often it was claimed before.
    pub attempts: u32,
}

/// Stores an event and claims it for `lease`; false if it is known.
///
/// # Errors
/// [`StoreError`]; then it has to be delivered again.
pub async fn take(store: &Store, provider: &str, event: &ObjectEvent, lease: Duration) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.cards.inbox.take
        insert into payment_inbox (provider, event_id, kind, object, reference, status, attempts, not_before, asking_until)
        values ($1, $2, $3, $4, $5, $6, 1, now() + interval '1 minute', now() + make_interval(secs => $7))
        on conflict do nothing",
        provider,
        event.event,
        event.kind,
        event.object.as_str(),
        event.reference,
        event.status.as_deref().map(|text| short(text, 100)),
        lease.as_secs_f64()
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Has the charge of a session read that is being credited.
pub(crate) async fn want_charge(tx: &mut Tx, provider: &str, session: &str) -> Result<()> {
    sqlx::query!(
        "-- store.cards.inbox.want_charge
        insert into payment_inbox (provider, event_id, kind, object, reference)
        values ($1, 'credited:' || $2, 'credited', 'session', $2) on conflict do nothing",
        provider,
        session
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Claims events that are due, the longest waiting first, for `lease`.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(store: &Store, provider: &str, most: u32, lease: Duration) -> Result<Vec<Waiting>> {
    let rows = sqlx::query!(
        r#"-- store.cards.inbox.claim
        update payment_inbox set attempts = attempts + 1, asking_until = now() + make_interval(secs => $3),
               not_before = now() + make_interval(mins => least(60, power(2, least(attempts, 6))::integer))
         where (provider, event_id) in (
               select provider, event_id from payment_inbox
                where done_at is null and not_before <= now() and provider = $1 and (asking_until is null or asking_until <= now())
                order by not_before limit $2 for update skip locked)
        returning event_id, object, reference, attempts - 1 as "before!""#,
        provider,
        i64::from(most),
        lease.as_secs_f64()
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Waiting {
                event: row.event_id,
                object: ObjectKind::of(&row.object)?,
                reference: row.reference,
                attempts: count_of(row.before)?,
            })
        })
        .collect()
}

/// Records what came of an event.
///
/// # Errors
/// [`StoreError`].
pub async fn done(store: &Store, provider: &str, event: &str, outcome: &str) -> Result<()> {
    sqlx::query!(
        "-- store.cards.inbox.done
        update payment_inbox set done_at = now(), outcome = $3, asking_until = null, problem = null
         where provider = $1 and event_id = $2 and done_at is null",
        provider,
        event,
        outcome
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Records why an event could not be acted on; it is tried again.
///
/// # Errors
/// [`StoreError`].
pub async fn postponed(store: &Store, provider: &str, event: &str, problem: &str) -> Result<()> {
    sqlx::query!(
        "-- store.cards.inbox.postponed
        update payment_inbox set asking_until = null, problem = $3 where provider = $1 and event_id = $2 and done_at is null",
        provider,
        event,
        short(problem, 500)
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// How many events have waited for an hour, and since when the oldest does.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(store: &Store) -> Result<(u64, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        r#"-- store.cards.inbox.overdue
        select count(*) as "waiting!", min(received_at) as since from payment_inbox
         where done_at is null and received_at < now() - interval '1 hour'"#
    )
    .fetch_one(store.alone())
    .await?;
    Ok((how_many_of(row.waiting), row.since))
}

/// Deletes events that were acted on 90 days ago; an event that is delivered again after that changes nothing, because its
/// object is read. Returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let swept = sqlx::query!(
        "-- store.cards.inbox.sweep
        delete from payment_inbox where (provider, event_id) in (
            select provider, event_id from payment_inbox where done_at < now() - interval '90 days'
             order by done_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(swept.rows_affected())
}
