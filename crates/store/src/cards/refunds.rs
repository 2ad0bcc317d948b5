//! Refunds to the card: the balance first, in the transaction that writes the intent; the card next, by a worker.
//!
//! A refund's id makes its idempotency key at the provider, so that it is never made twice.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::staff::Refused;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::incidents::{self, Incident, IncidentKind};
use super::{
    Applied, Object, Owned, PaymentRef, divide, euro_of, lock_user, owner_of, release_units, short, tell_of_no_owner,
};
use crate::accounts::{AccountError, staff};
use crate::audit::{self, AuditEntry};
use crate::row::{count_of, money_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// State of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// The provider has not answered yet.
    Requested,
    /// The provider has it, and its end is open.
    Pending,
    /// The money is on its way to the card.
    Succeeded,
    /// The money is back on the balance.
    Failed,
}

impl RefundState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "REQUESTED" => Ok(Self::Requested),
            "PENDING" => Ok(Self::Pending),
            "SUCCEEDED" => Ok(Self::Succeeded),
            "FAILED" => Ok(Self::Failed),
            other => Err(StoreError::Schema(format!("unknown state of a refund {other}"))),
        }
    }
}

/// A refund to the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRefund {
    /// Its id.
    pub id: Uuid,
    /// The top-up whose money goes back.
    pub top_up: TopUpId,
    /// Its owner.
    pub user: UserId,
    /// The amount, EUR.
    pub amount: Money,
    /// Its state.
    pub state: RefundState,
    /// The provider's name of it.
    pub reference: Option<String>,
    /// Why it failed, in the provider's words.
    pub failure: Option<String>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
}

/// Why a refund was not requested.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    /// No such top-up.
    #[error("Top-up not found")]
    NotFound,
    /// It was not paid.
    #[error("Only a top-up that was paid by card can be refunded.")]
    NotPaid,
    /// It was paid with a provider that is not in use, or has no cards: nobody would make the refund.
    #[error("This payment was made with another provider. Refund it there.")]
    OtherProvider,
    /// It is the caller's own.
    #[error("This is your own payment. Ask somebody else to refund it.")]
    Own,
    /// More than the caller may refund within a day without giving the password again.
    #[error("This is more than {limit} EUR within a day. Enter your password again.")]
    NotConfirmed {
        /// The limit, EUR.
        limit: Money,
    },
    /// It was paid in another currency, in which the card would get another amount than the balance pays.
    #[error("This payment was not in euro. Refund it at the payment provider.")]
    OtherCurrency,
    /// The amount is zero or negative.
    #[error("The amount must be positive.")]
    NotPositive,
    /// More than the top-up or the balance still holds.
    #[error("The refund exceeds what is left of this top-up: {left} EUR.")]
    TooMuch {
        /// What can be refunded, EUR.
        left: Money,
    },
    /// The owner has a permission that the caller lacks.
    #[error(transparent)]
    Refused(Refused),
    /// The idempotency key was used for another refund.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(RefundError);

struct Row {
    id: Uuid,
    top_up_id: Uuid,
    user_id: Uuid,
    amount: Decimal,
    state: String,
    reference: Option<String>,
    failure: Option<String>,
    created_at: DateTime<Utc>,
}

fn card_refund(row: Row) -> Result<CardRefund> {
    Ok(CardRefund {
        id: row.id,
        top_up: TopUpId(row.top_up_id),
        user: UserId(row.user_id),
        amount: money_of(row.amount)?,
        state: RefundState::of(&row.state)?,
        reference: row.reference,
        failure: row.failure,
        created_at: row.created_at,
    })
}

/// What staff want to refund.
#[derive(Debug, Clone)]
pub struct NewRefund {
    /// Who asks.
    pub admin: UserId,
    /// The top-up.
    pub top_up: TopUpId,
    /// EUR; `None` for all that is left of the top-up and of the balance.
    pub amount: Option<Money>,
    /// Why, for the record.
    pub reason: Option<String>,
    /// With it, repeated calls make the same refund once.
    pub key: Option<String>,
    /// They gave their password a moment ago.
    pub confirmed: bool,
    /// The providers in use that take cards.
    pub providers: Vec<&'static str>,
}

/// Takes the amount from the balance and writes the refund, which a worker makes at the provider next.
///
/// # Errors
/// [`RefundError`]; then nothing has changed.
pub async fn request(store: &Store, new: NewRefund) -> Result<CardRefund, RefundError> {
    if new.amount.is_some_and(|amount| !amount.is_positive()) {
        return Err(RefundError::NotPositive);
    }
    let new = std::sync::Arc::new(new);
    store
        .tx("cards.refunds.request", move |tx| {
            let new = std::sync::Arc::clone(&new);
            Box::pin(async move { request_once(tx, &new).await })
        })
        .await
}

pub(crate) async fn request_once(tx: &mut Tx, new: &NewRefund) -> Result<CardRefund, RefundError> {
    let top_up = sqlx::query!(
        r#"-- store.cards.refunds.top_up
        select p.user_id, p.status = 'COMPLETED' as "is_paid!", p.provider = any ($2) as "is_in_use!",
               coalesce(p.paid_currency, 'EUR') = 'EUR'
               and not exists (select from top_up_charges c where c.top_up_id = p.id and c.currency <> 'EUR') as "is_euro!"
          from top_ups p where p.id = $1 for no key update of p"#,
        new.top_up.0,
        &new.providers.iter().map(|&provider| provider.to_owned()).collect::<Vec<_>>()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::from)?
    .ok_or(RefundError::NotFound)?;
    if !top_up.is_paid {
        return Err(RefundError::NotPaid);
    }
    if !top_up.is_in_use {
        return Err(RefundError::OtherProvider);
    }
    if top_up.user_id == new.admin.0 {
        return Err(RefundError::Own);
    }
    if !top_up.is_euro {
        return Err(RefundError::OtherCurrency);
    }
    let user = UserId(top_up.user_id);
    lock_user(tx, user).await?;
    staff::not_above(tx, new.admin, user)
        .await
        .map_err(|error| match error {
            AccountError::Refused(refused) => RefundError::Refused(refused),
            AccountError::Store(error) => error.into(),
            _ => RefundError::NotFound,
        })?;
    if let Some(key) = &new.key {
        let before = sqlx::query_as!(
            Row,
            "-- store.cards.refunds.before
            select id, top_up_id, user_id, amount, state, reference, failure, created_at from card_refunds
             where top_up_id = $1 and idempotency_key = $2",
            new.top_up.0,
            key
        )
        .fetch_optional(tx.conn())
        .await
        .map_err(StoreError::from)?;
        if let Some(before) = before.map(card_refund).transpose()? {
            return match new.amount {
                Some(amount) if amount != before.amount => Err(RefundError::KeyReused),
                _ => Ok(before),
            };
        }
    }
    let left = sqlx::query_scalar!(
        r#"-- store.cards.refunds.left
        select greatest(0, least(top_up_left($1), balance)) as "left!" from users where id = $2"#,
        new.top_up.0,
        user.0
    )
    .fetch_one(tx.conn())
    .await
    .map_err(StoreError::from)?;
    let left = money_of(left)?;
    let amount = new.amount.unwrap_or(left);
    if amount > left || !amount.is_positive() {
        return Err(RefundError::TooMuch { left });
    }
    if !new.confirmed
        && let Some((limit, refunded)) = staff::refund_limit(tx, new.admin).await?
        && refunded.checked_add(amount).is_none_or(|sum| sum > limit)
    {
        return Err(RefundError::NotConfirmed { limit });
    }
    let row = sqlx::query_as!(
        Row,
        "-- store.cards.refunds.request
        insert into card_refunds (id, top_up_id, user_id, amount, reason, requested_by, idempotency_key)
        values ($1, $2, $3, $4, $5, $6, $7)
        returning id, top_up_id, user_id, amount, state, reference, failure, created_at",
        Uuid::now_v7(),
        new.top_up.0,
        user.0,
        amount.decimal(),
        new.reason.as_deref().map(|text| short(text, 500)),
        new.admin.0,
        new.key
    )
    .fetch_one(tx.conn())
    .await
    .map_err(StoreError::from)?;
    let refund = card_refund(row)?;
    let deed = AuditEntry {
        admin: new.admin,
        action: "payment.card_refund",
        subject: ("top_up", new.top_up.0),
        details: serde_json::json!({
            "refund": refund.id, "user": user, "amount": amount, "reason": new.reason.as_deref(),
        }),
    };
    audit::write(tx, &deed).await?;
    Ok(refund)
}

/// A refund that the provider has to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRefund {
    /// Its id, which makes the idempotency key.
    pub id: Uuid,
    /// The top-up.
    pub top_up: TopUpId,
    /// The amount, EUR.
    pub amount: Money,
    /// The provider's name of it, once it has answered.
    pub reference: Option<String>,
    /// How often it was claimed before.
    pub attempts: u32,
    /// The payment at the provider, if it is known.
    pub intent: Option<String>,
    /// The checkout session of the top-up.
    pub session: Option<String>,
}

/// Claims refunds that are due, the longest waiting first, for `lease`: one process asks the provider about each.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(store: &Store, provider: &str, most: u32, lease: Duration) -> Result<Vec<DueRefund>> {
    let rows = sqlx::query!(
        r#"-- store.cards.refunds.claim
        with taken as (
            update card_refunds set attempts = attempts + 1, asking_until = now() + make_interval(secs => $3),
                   not_before = now() + make_interval(mins => least(60, power(2, least(attempts, 6))::integer))
             where id in (select r.id from card_refunds r join top_ups p on p.id = r.top_up_id
                           where r.state in ('REQUESTED', 'PENDING') and r.not_before <= now() and p.provider = $1
                             and (r.asking_until is null or r.asking_until <= now())
                           order by r.not_before limit $2 for no key update of r skip locked)
            returning id, top_up_id, amount, reference, attempts)
        select t.id, t.top_up_id, t.amount, t.reference, t.attempts - 1 as "before!", c.payment_intent as "intent?",
               p.reference as session
          from taken t join top_ups p on p.id = t.top_up_id left join top_up_charges c on c.top_up_id = t.top_up_id"#,
        provider,
        i64::from(most),
        lease.as_secs_f64()
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(DueRefund {
                id: row.id,
                top_up: TopUpId(row.top_up_id),
                amount: money_of(row.amount)?,
                reference: row.reference,
                attempts: count_of(row.before)?,
                intent: row.intent,
                session: row.session,
            })
        })
        .collect()
}

/// A refund that staff want to withdraw, claimed for `lease`: nobody else asks the provider about it meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// The refund.
    pub due: DueRefund,
    /// The provider of its top-up.
    pub provider: String,
}

/// Why a refund was not withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// No such refund.
    #[error("Refund not found")]
    NotFound,
    /// The provider has made it, or it has failed.
    #[error("The payment provider has this refund already.")]
    Made,
    /// A worker asks the provider about it right now.
    #[error("The payment provider is being asked about this refund. Try again in two minutes.")]
    Busy,
    /// It is the caller's own.
    #[error("This is your own payment. Ask somebody else to decide about it.")]
    Own,
    /// The owner has a permission that the caller lacks.
    #[error(transparent)]
    Refused(Refused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(WithdrawError);

/// Claims a refund that waits, so that it can be withdrawn.
///
/// # Errors
/// [`WithdrawError`].
pub async fn claim_one(store: &Store, id: Uuid, lease: Duration) -> Result<Withdrawn, WithdrawError> {
    let row = sqlx::query!(
        r#"-- store.cards.refunds.claim_one
        with taken as (
            update card_refunds set attempts = attempts + 1, asking_until = now() + make_interval(secs => $2)
             where id = $1 and state = 'REQUESTED' and reference is null and (asking_until is null or asking_until <= now())
            returning id, top_up_id, amount, attempts)
        select r.state, t.attempts - 1 as "before?", r.amount, r.top_up_id, c.payment_intent as "intent?", p.reference as session,
               p.provider
          from card_refunds r join top_ups p on p.id = r.top_up_id left join taken t on t.id = r.id
          left join top_up_charges c on c.top_up_id = r.top_up_id where r.id = $1"#,
        id,
        lease.as_secs_f64()
    )
    .fetch_optional(store.alone())
    .await
    .map_err(StoreError::from)?
    .ok_or(WithdrawError::NotFound)?;
    let Some(before) = row.before else {
        let is_waiting = row.state == RefundState::Requested.as_str();
        return Err(if is_waiting {
            WithdrawError::Busy
        } else {
            WithdrawError::Made
        });
    };
    Ok(Withdrawn {
        due: DueRefund {
            id,
            top_up: TopUpId(row.top_up_id),
            amount: money_of(row.amount)?,
            reference: None,
            attempts: count_of(before)?,
            intent: row.intent,
            session: row.session,
        },
        provider: row.provider,
    })
}

/// Ends the claim of [`claim_one`].
///
/// # Errors
/// [`StoreError`].
pub async fn released(store: &Store, id: Uuid) -> Result<()> {
    sqlx::query!(
        "-- store.cards.refunds.released\nupdate card_refunds set asking_until = null where id = $1 and state = 'REQUESTED'",
        id
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Withdraws a refund that the provider has not made: the money returns to the balance. If the provider turns out to have made
/// it after all, the comparison takes the money again.
///
/// # Errors
/// [`WithdrawError`]; then nothing has changed.
pub async fn withdraw(store: &Store, admin: UserId, id: Uuid, reason: &str) -> Result<CardRefund, WithdrawError> {
    let reason = reason.to_owned();
    store
        .tx("cards.refunds.withdraw", move |tx| {
            let reason = reason.clone();
            Box::pin(async move {
                let row = sqlx::query!(
                    r#"-- store.cards.refunds.withdraw.find
                    select r.top_up_id, r.user_id, r.amount, coalesce(p.credited_amount, p.amount) as "credited!"
                      from card_refunds r join top_ups p on p.id = r.top_up_id where r.id = $1 for no key update of p"#,
                    id
                )
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::from)?
                .ok_or(WithdrawError::NotFound)?;
                let (top_up, user) = (TopUpId(row.top_up_id), UserId(row.user_id));
                if user == admin {
                    return Err(WithdrawError::Own);
                }
                lock_user(tx, user).await?;
                staff::not_above(tx, admin, user).await.map_err(|error| match error {
                    AccountError::Refused(refused) => WithdrawError::Refused(refused),
                    AccountError::Store(error) => error.into(),
                    _ => WithdrawError::NotFound,
                })?;
                let changed = sqlx::query_as!(
                    Row,
                    "-- store.cards.refunds.withdraw
                    update card_refunds set state = 'FAILED', failure = 'withdrawn by staff', asking_until = null
                     where id = $1 and state = 'REQUESTED' and reference is null
                    returning id, top_up_id, user_id, amount, state, reference, failure, created_at",
                    id
                )
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::from)?
                .ok_or(WithdrawError::Made)?;
                incidents::resolve(tx, IncidentKind::RefundWaiting, &id.to_string()).await?;
                let owned = Owned {
                    top_up,
                    user,
                    credited: money_of(row.credited)?,
                };
                divide(tx, owned).await?;
                release_units(tx, user).await?;
                tell_of_no_owner(tx, top_up, user, &id.to_string()).await?;
                let deed = AuditEntry {
                    admin,
                    action: "payment.card_refund.withdraw",
                    subject: ("top_up", top_up.0),
                    details: serde_json::json!({
                        "refund": id, "user": user, "amount": money_of(row.amount)?, "reason": reason,
                    }),
                };
                audit::write(tx, &deed).await?;
                Ok(card_refund(changed)?)
            })
        })
        .await
}

/// Records that the provider gave no usable answer; the refund is asked about again. What will not pass by itself is an
/// incident.
///
/// # Errors
/// [`StoreError`].
pub async fn unanswered(store: &Store, id: Uuid, problem: &str, needs_person: bool) -> Result<()> {
    if needs_person {
        wait_for_person(store, Some(id), problem).await?;
    }
    sqlx::query!(
        "-- store.cards.refunds.unanswered
        update card_refunds set failure = $2, asking_until = null where id = $1 and state in ('REQUESTED', 'PENDING')",
        id,
        short(problem, 500)
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Writes an incident of each refund that was requested a day ago and has no answer: of a provider that is no longer in use,
/// or of a payment that cannot be found.
///
/// # Errors
/// [`StoreError`].
pub async fn tell_of_waiting(store: &Store) -> Result<()> {
    wait_for_person(store, None, "no answer for a day").await
}

async fn wait_for_person(store: &Store, id: Option<Uuid>, problem: &str) -> Result<()> {
    let told = sqlx::query!(
        "-- store.cards.refunds.wait_for_person
        insert into payment_incidents (kind, reference, top_up_id, user_id, detail)
        select 'REFUND_WAITING', r.id::text, r.top_up_id, r.user_id,
               left('the refund of ' || r.amount || ' EUR of top-up ' || r.top_up_id || ' to the card waits: ' || $2, 500)
          from card_refunds r
         where r.state = 'REQUESTED' and (r.id = $1 or ($1::uuid is null and r.created_at < now() - interval '1 day'))
        on conflict do nothing",
        id,
        short(problem, 300)
    )
    .execute(store.alone())
    .await?;
    if told.rows_affected() > 0 {
        tracing::warn!(refunds = told.rows_affected(), "refunds to cards wait for a person");
    }
    Ok(())
}

/// Records that the provider refused a refund that it had never made: the money returns to the balance, and staff learn of
/// it. Nothing changes if the provider has answered otherwise.
///
/// # Errors
/// [`StoreError`].
pub async fn refused(store: &Store, id: Uuid, why: &str) -> Result<()> {
    let why = why.to_owned();
    store
        .tx("cards.refunds.refused", move |tx| {
            let why = why.clone();
            Box::pin(async move {
                let row = sqlx::query!(
                    r#"-- store.cards.refunds.refused.find
                    select r.top_up_id, r.user_id, r.amount, coalesce(p.credited_amount, p.amount) as "credited!"
                      from card_refunds r join top_ups p on p.id = r.top_up_id where r.id = $1 for no key update of p"#,
                    id
                )
                .fetch_one(tx.conn())
                .await?;
                let (top_up, user) = (TopUpId(row.top_up_id), UserId(row.user_id));
                lock_user(tx, user).await?;
                let done = sqlx::query!(
                    "-- store.cards.refunds.refused
                    update card_refunds set state = 'FAILED', failure = $2, asking_until = null
                     where id = $1 and state = 'REQUESTED' and reference is null",
                    id,
                    short(&why, 500)
                )
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 1 {
                    incidents::resolve(tx, IncidentKind::RefundWaiting, &id.to_string()).await?;
                    let owned = Owned {
                        top_up,
                        user,
                        credited: money_of(row.credited)?,
                    };
                    divide(tx, owned).await?;
                    failed(tx, top_up, user, id, money_of(row.amount)?, &why).await?;
                }
                Ok(())
            })
        })
        .await
}

/// What follows when a refund has failed.
async fn failed(tx: &mut Tx, top_up: TopUpId, user: UserId, id: Uuid, amount: Money, why: &str) -> Result<()> {
    let incident = Incident::new(
        IncidentKind::RefundFailed,
        &id.to_string(),
        format!(
            "the refund of {amount} EUR of top-up {top_up} to the card failed ({why}); the money is back on the balance"
        ),
    );
    incidents::add(tx, top_up, user, &incident).await?;
    tell_of_no_owner(tx, top_up, user, &id.to_string()).await?;
    release_units(tx, user).await
}

/// A refund as it was read at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundReading {
    /// The provider's name of it.
    pub reference: String,
    /// The shop's id, which came back in the metadata.
    pub named: Option<Uuid>,
    /// What it is about.
    pub payment: PaymentRef,
    /// The amount, EUR; `None` in another currency: then the part of what was credited that `paid_back` is of the charge.
    pub amount: Option<Money>,
    /// What was refunded, in units of `currency`.
    pub paid_back: Money,
    /// ISO code, upper case.
    pub currency: String,
    /// What the provider kept for it, EUR; `None` while it is not known.
    pub fee: Option<Money>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// The provider's word.
    pub status: String,
    /// What the word means.
    pub state: RefundState,
    /// Why it failed, in the provider's words.
    pub failure: Option<String>,
    /// The number of the reading.
    pub read_number: i64,
}

/// Applies a reading of a refund, whoever made it. One that was made in the provider's own pages takes its amount from the
/// balance, and what the balance lacks is a debt.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub async fn apply(store: &Store, provider: &'static str, read: &RefundReading) -> Result<Applied> {
    let read = std::sync::Arc::new(read.clone());
    store
        .tx("cards.refunds.apply", move |tx| {
            let read = std::sync::Arc::clone(&read);
            Box::pin(async move { apply_once(tx, provider, &read).await })
        })
        .await
}

async fn apply_once(tx: &mut Tx, provider: &str, read: &RefundReading) -> Result<Applied> {
    let mut payment = read.payment.clone();
    if let Some(named) = read.named {
        let top_up: Option<Uuid> = sqlx::query_scalar!(
            "-- store.cards.refunds.named\nselect top_up_id from card_refunds where id = $1",
            named
        )
        .fetch_optional(tx.conn())
        .await?;
        payment.top_up = top_up.map(TopUpId).or(payment.top_up);
    }
    let object = Object {
        reference: &read.reference,
        status: &read.status,
        // One that was made here is in the books.
        made_at: Some(read.made_at).filter(|_| read.named.is_none()),
    };
    let owned = match owner_of(tx, provider, &payment, object).await? {
        Ok(owned) => owned,
        Err(unusable) => return Ok(unusable),
    };
    let status = short(&read.status, 100);
    let failure = read.failure.as_deref().map(|text| short(text, 500));
    let known = sqlx::query!(
        "-- store.cards.refunds.known
        select id, amount, made_here, state, status, read_number, reference from card_refunds
         where reference = $1 or (id = $2 and top_up_id = $3 and (reference is null or reference = $1))
         order by reference nulls last limit 1 for no key update",
        read.reference,
        read.named,
        owned.top_up.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let (id, amount, was_failed) = match known {
        Some(row) if row.read_number >= read.read_number => return Ok(Applied::Stale),
        Some(row) => {
            sqlx::query!(
                "-- store.cards.refunds.change
                update card_refunds set reference = $2, state = $3, status = $4, failure = $5, read_number = $6, asking_until = null,
                       fee = coalesce($7, fee)
                 where id = $1",
                row.id,
                read.reference,
                read.state.as_str(),
                status,
                failure,
                read.read_number,
                read.fee.map(Money::decimal)
            )
            .execute(tx.conn())
            .await?;
            incidents::resolve(tx, IncidentKind::RefundWaiting, &row.id.to_string()).await?;
            divide(tx, owned).await?;
            if row.made_here && read.amount.map(Money::decimal) != Some(row.amount) {
                let incident = Incident::new(
                    IncidentKind::Amount,
                    &row.id.to_string(),
                    format!(
                        "{} {} were refunded of top-up {}, and {} EUR were taken from the balance",
                        read.paid_back, read.currency, owned.top_up, row.amount
                    ),
                );
                incidents::add(tx, owned.top_up, owned.user, &incident).await?;
            }
            if row.state == read.state.as_str() {
                let is_same = row.reference.is_some() && row.status.as_deref() == Some(&status);
                return Ok(if is_same { Applied::Same } else { Applied::Changed });
            }
            (row.id, money_of(row.amount)?, row.state == RefundState::Failed.as_str())
        }
        None => {
            let claimed = match read.amount {
                Some(amount) => amount,
                None => euro_of(tx, owned, read.paid_back, &read.currency).await?,
            };
            let id = Uuid::now_v7();
            sqlx::query!(
                "-- store.cards.refunds.outside
                insert into card_refunds (id, top_up_id, user_id, claimed, amount, reference, state, status, failure, read_number,
                                          made_here, fee)
                values ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, false, $10)",
                id,
                owned.top_up.0,
                owned.user.0,
                claimed.decimal(),
                read.reference,
                read.state.as_str(),
                status,
                failure,
                read.read_number,
                read.fee.map(Money::decimal)
            )
            .execute(tx.conn())
            .await?;
            divide(tx, owned).await?;
            let incident = Incident::new(
                IncidentKind::RefundOutside,
                &read.reference,
                format!(
                    "{} {} of top-up {} were refunded at the provider, not here",
                    read.paid_back, read.currency, owned.top_up
                ),
            );
            incidents::add(tx, owned.top_up, owned.user, &incident).await?;
            (id, claimed, false)
        }
    };
    if read.state == RefundState::Failed && !was_failed {
        let why = failure.as_deref().unwrap_or(&status);
        failed(tx, owned.top_up, owned.user, id, amount, why).await?;
    }
    Ok(Applied::Changed)
}

/// A refund by its id.
///
/// # Errors
/// [`StoreError`].
pub async fn of_id(store: &Store, id: Uuid) -> Result<Option<CardRefund>> {
    let row = sqlx::query_as!(
        Row,
        "-- store.cards.refunds.of_id
        select id, top_up_id, user_id, amount, state, reference, failure, created_at from card_refunds where id = $1",
        id
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(card_refund).transpose()
}

/// The refunds of a top-up, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn of_top_up(store: &Store, top_up: TopUpId) -> Result<Vec<CardRefund>> {
    let rows = sqlx::query_as!(
        Row,
        "-- store.cards.refunds.of_top_up
        select id, top_up_id, user_id, amount, state, reference, failure, created_at from card_refunds
         where top_up_id = $1 order by created_at, id limit 100",
        top_up.0
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter().map(card_refund).collect()
}

/// A refund.
///
/// # Errors
/// [`StoreError`].
pub async fn one(store: &Store, id: Uuid) -> Result<Option<CardRefund>> {
    let row = sqlx::query_as!(
        Row,
        "-- store.cards.refunds.one
        select id, top_up_id, user_id, amount, state, reference, failure, created_at from card_refunds where id = $1",
        id
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(card_refund).transpose()
}
