//! What a person has to look at: each incident is written once, and stays open until somebody closes it.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::staff::Refused;
use uuid::Uuid;

use super::{Applied, Object, PaymentRef, lock_user, owner_of, release_units, short};
use crate::accounts::{AccountError, staff};
use crate::audit::{self, AuditEntry};
use crate::row::how_many_of;
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Kinds of incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentKind {
    /// A payment is disputed.
    Dispute,
    /// A dispute has a status that this version does not know.
    DisputeStatus,
    /// The card's bank reports fraud.
    FraudWarning,
    /// A refund failed; its money is back on the balance.
    RefundFailed,
    /// A refund was made in the provider's own pages.
    RefundOutside,
    /// A refund that the provider does not make.
    RefundWaiting,
    /// The provider refunded another amount than was asked for.
    Amount,
    /// Money of a top-up that staff review, or have reviewed without a credit.
    InReview,
    /// An object from before these books.
    BeforeBooks,
    /// A lost dispute of somebody with copies that are paid for at the supplier and wait.
    CopiesWait,
    /// Money came back to the balance of a deleted account.
    NoOwner,
    /// The provider does not take the evidence about a dispute.
    Evidence,
}

impl IncidentKind {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispute => "DISPUTE",
            Self::DisputeStatus => "DISPUTE_STATUS",
            Self::FraudWarning => "FRAUD_WARNING",
            Self::RefundFailed => "REFUND_FAILED",
            Self::RefundOutside => "REFUND_OUTSIDE",
            Self::RefundWaiting => "REFUND_WAITING",
            Self::Amount => "AMOUNT",
            Self::InReview => "IN_REVIEW",
            Self::BeforeBooks => "BEFORE_BOOKS",
            Self::CopiesWait => "COPIES_WAIT",
            Self::NoOwner => "NO_OWNER",
            Self::Evidence => "EVIDENCE",
        }
    }
}

/// A new incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) kind: IncidentKind,
    /// Written once for each kind and reference.
    pub(super) reference: String,
    pub(super) detail: String,
    /// By when it has to be decided.
    pub(super) due_at: Option<DateTime<Utc>>,
    /// The same as a time from now, as the database's clock counts it.
    pub(super) due_in: Option<TimeDelta>,
}

impl Incident {
    /// An incident that may be decided whenever.
    pub(super) fn new(kind: IncidentKind, reference: &str, detail: String) -> Self {
        Self {
            kind,
            reference: short(reference, 200),
            detail,
            due_at: None,
            due_in: None,
        }
    }
}

/// How long staff have to decide about a warning of fraud. After that, copies that are not paid for at the supplier go back.
const WARNING_DECIDED_IN: TimeDelta = TimeDelta::days(3);

/// Writes an incident, once.
pub(super) async fn add(tx: &mut Tx, top_up: TopUpId, user: UserId, incident: &Incident) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.cards.incidents.add
        insert into payment_incidents (id, kind, reference, top_up_id, user_id, detail, due_at)
        values ($1, $2, $3, $4, $5, $6, coalesce($7::timestamptz, now() + make_interval(secs => $8::float8)))
        on conflict do nothing",
        Uuid::now_v7(),
        incident.kind.as_str(),
        incident.reference,
        top_up.0,
        user.0,
        short(&incident.detail, 500),
        incident.due_at,
        incident.due_in.map(TimeDelta::as_seconds_f64)
    )
    .execute(tx.conn())
    .await?;
    let is_new = done.rows_affected() == 1;
    if is_new {
        tracing::warn!(kind = incident.kind.as_str(), top_up = %top_up, "a payment needs a person: {}", incident.detail);
    }
    Ok(is_new)
}

/// Moves the time by which an open incident has to be decided; where it moves, the log says it again.
pub(super) async fn due(tx: &mut Tx, kind: IncidentKind, reference: &str, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "-- store.cards.incidents.due
        update payment_incidents set due_at = $3, alarmed_at = null
         where kind = $1 and reference = $2 and resolved_at is null and due_at is distinct from $3",
        kind.as_str(),
        reference,
        at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Logs each open incident that has to be decided within a day, once. Returns how many.
///
/// # Errors
/// [`StoreError`].
pub async fn alarm(store: &Store) -> Result<u64> {
    let near = sqlx::query!(
        r#"-- store.cards.incidents.alarm
        update payment_incidents set alarmed_at = now()
         where id in (select id from payment_incidents
                       where resolved_at is null and alarmed_at is null and due_at <= now() + interval '1 day'
                       order by due_at limit 100 for no key update skip locked)
        returning kind, reference, top_up_id, due_at as "due_at!""#
    )
    .fetch_all(store.alone())
    .await?;
    for one in &near {
        tracing::error!(
            kind = one.kind,
            reference = one.reference,
            top_up = %one.top_up_id,
            "a payment has to be decided by {}",
            one.due_at.format("%Y-%m-%d %H:%M UTC")
        );
    }
    Ok(u64::try_from(near.len()).unwrap_or(u64::MAX))
}

/// How many open incidents have passed the time by which they had to be decided.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(store: &Store) -> Result<u64> {
    let late: i64 = sqlx::query_scalar!(
        r#"-- store.cards.incidents.overdue
        select count(*) as "count!" from payment_incidents where resolved_at is null and due_at <= now()"#
    )
    .fetch_one(store.alone())
    .await?;
    Ok(how_many_of(late))
}

/// Closes an incident whose cause has ended.
pub(super) async fn resolve(tx: &mut Tx, kind: IncidentKind, reference: &str) -> Result<()> {
    sqlx::query!(
        "-- store.cards.incidents.resolve
        update payment_incidents set resolved_at = now() where kind = $1 and reference = $2 and resolved_at is null",
        kind.as_str(),
        reference
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A warning of fraud as it was read at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarningReading {
    /// The provider's name of it.
    pub reference: String,
    /// What it is about.
    pub payment: PaymentRef,
    /// The kind of fraud, in the provider's words.
    pub kind: Option<String>,
}

/// Applies a warning: undelivered copies of the user wait until staff close the incident. A repeated one changes nothing.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub async fn warn(store: &Store, provider: &'static str, read: &WarningReading) -> Result<Applied> {
    let read = std::sync::Arc::new(read.clone());
    store
        .tx("cards.incidents.warn", move |tx| {
            let read = std::sync::Arc::clone(&read);
            Box::pin(async move {
                let object = Object {
                    reference: &read.reference,
                    status: "warning",
                    made_at: None,
                };
                let owned = match owner_of(tx, provider, &read.payment, object).await? {
                    Ok(owned) => owned,
                    Err(unusable) => return Ok(unusable),
                };
                let incident = Incident {
                    due_in: Some(WARNING_DECIDED_IN),
                    ..Incident::new(
                        IncidentKind::FraudWarning,
                        &read.reference,
                        format!(
                            "the card's bank reports fraud with top-up {} ({}); undelivered copies of its owner wait",
                            owned.top_up,
                            read.kind.as_deref().unwrap_or("no kind given")
                        ),
                    )
                };
                let is_new = add(tx, owned.top_up, owned.user, &incident).await?;
                Ok(if is_new { Applied::Changed } else { Applied::Same })
            })
        })
        .await
}

/// An open incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIncident {
    /// Its id.
    pub id: Uuid,
    /// Its kind.
    pub kind: String,
    /// The provider's object.
    pub reference: String,
    /// The top-up.
    pub top_up: TopUpId,
    /// Its owner.
    pub user: UserId,
    /// What happened.
    pub detail: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// By when it has to be decided.
    pub due_at: Option<DateTime<Utc>>,
}

/// Open incidents, the oldest first, at most `most`.
///
/// # Errors
/// [`StoreError`].
pub async fn open(store: &Store, most: u32) -> Result<Vec<OpenIncident>> {
    open_of(store, None, most).await
}

/// Open incidents of a top-up, or of all, the oldest first, at most `most`.
///
/// # Errors
/// [`StoreError`].
pub async fn open_of(store: &Store, top_up: Option<TopUpId>, most: u32) -> Result<Vec<OpenIncident>> {
    let rows = sqlx::query!(
        "-- store.cards.incidents.open
        select id, kind, reference, top_up_id, user_id, detail, created_at, due_at from payment_incidents where resolved_at is null
           and ($2::uuid is null or top_up_id = $2)
         order by created_at limit $1",
        i64::from(most),
        top_up.map(|id| id.0)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OpenIncident {
            id: row.id,
            kind: row.kind,
            reference: row.reference,
            top_up: TopUpId(row.top_up_id),
            user: UserId(row.user_id),
            detail: row.detail,
            created_at: row.created_at,
            due_at: row.due_at,
        })
        .collect())
}

/// An open incident.
///
/// # Errors
/// [`StoreError`].
pub async fn one(store: &Store, id: Uuid) -> Result<Option<OpenIncident>> {
    let row = sqlx::query!(
        "-- store.cards.incidents.one
        select id, kind, reference, top_up_id, user_id, detail, created_at, due_at from payment_incidents
         where id = $1 and resolved_at is null",
        id
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(row.map(|row| OpenIncident {
        id: row.id,
        kind: row.kind,
        reference: row.reference,
        top_up: TopUpId(row.top_up_id),
        user: UserId(row.user_id),
        detail: row.detail,
        created_at: row.created_at,
        due_at: row.due_at,
    }))
}

/// How many incidents are open.
///
/// # Errors
/// [`StoreError`].
pub async fn count(store: &Store) -> Result<u64> {
    let open: i64 = sqlx::query_scalar!(
        r#"-- store.cards.incidents.count
        select count(*) as "count!" from payment_incidents where resolved_at is null"#
    )
    .fetch_one(store.alone())
    .await?;
    Ok(how_many_of(open))
}

/// Why an incident was not closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// None is open with this id.
    #[error("Incident not found")]
    NotFound,
    /// It holds the caller's own copies.
    #[error("This is about your own payment. Ask somebody else to close it.")]
    Own,
    /// The owner has a permission that the caller lacks.
    #[error(transparent)]
    Refused(Refused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(CloseError);

/// Closes an incident for a member of staff; copies that waited for it are bought.
///
/// # Errors
/// [`CloseError`]; then nothing has changed.
pub async fn close(store: &Store, admin: UserId, id: Uuid, reason: &str) -> Result<(), CloseError> {
    let reason = reason.to_owned();
    store
        .tx("cards.incidents.close", move |tx| {
            let reason = reason.clone();
            Box::pin(async move {
                let user: Option<Uuid> = sqlx::query_scalar!(
                    "-- store.cards.incidents.find\nselect user_id from payment_incidents where id = $1",
                    id
                )
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::from)?;
                let user = user.map(UserId).ok_or(CloseError::NotFound)?;
                if user == admin {
                    return Err(CloseError::Own);
                }
                lock_user(tx, user).await?;
                staff::not_above(tx, admin, user).await.map_err(|error| match error {
                    AccountError::Refused(refused) => CloseError::Refused(refused),
                    AccountError::Store(error) => error.into(),
                    _ => CloseError::NotFound,
                })?;
                let kind: Option<String> = sqlx::query_scalar!(
                    "-- store.cards.incidents.close
                    update payment_incidents set resolved_at = now(), resolved_by = $2 where id = $1 and resolved_at is null
                    returning kind",
                    id,
                    admin.0
                )
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::from)?;
                let kind = kind.ok_or(CloseError::NotFound)?;
                release_units(tx, user).await?;
                let deed = AuditEntry {
                    admin,
                    action: "payment.incident.close",
                    subject: ("payment_incident", id),
                    details: serde_json::json!({"kind": kind, "user": user, "reason": reason}),
                };
                audit::write(tx, &deed).await?;
                Ok(())
            })
        })
        .await
}
