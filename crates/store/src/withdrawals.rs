//! Withdrawals from contracts: declared by anybody, decided by staff, once.
//!
//! A declaration is stored whether or not it names an order, and its answer is the same. It is tied to an order only if the
//! contact is the address of the order's buyer. A decision moves its money in the transaction that records it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::Page;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{OrderId, TopUpId, UserId};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, AuditEntry};
use crate::cards::refunds::{self, CardRefund, NewRefund, RefundError};
use crate::fulfilment::{EmailSettings, NotRefundable};
use crate::orders;
use crate::paging::bounds;
use crate::row::{how_many_of, money_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx, mail};

/// How long the acknowledgement and the decision are worth sending.
const NOTICE: Duration = Duration::from_hours(14 * 24);

/// What somebody declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Drawn with the form; the same one sent again changes nothing.
    pub id: Uuid,
    /// Their name.
    pub name: String,
    /// The order number as they write it.
    pub order_number: String,
    /// Their address for the answer, normalised.
    pub contact: String,
    /// ISO 639-1 code of the language of the page.
    pub language: &'static str,
    /// IP address of the client, if it is known.
    pub address: Option<String>,
}

/// State of a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawalState {
    /// Undecided.
    Open,
    /// Its money went back.
    Accepted,
    /// It was refused, with a reason.
    Refused,
}

impl WithdrawalState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Accepted => "ACCEPTED",
            Self::Refused => "REFUSED",
        }
    }
}

/// A withdrawal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Its id.
    pub id: Uuid,
    /// The name that was given.
    pub name: String,
    /// The order number that was given.
    pub order_ref: String,
    /// The contact that was given.
    pub contact: String,
    /// The order, if the contact is its buyer's.
    pub order: Option<Uuid>,
    /// The account with the contact.
    pub user: Option<Uuid>,
    /// Its state.
    pub state: String,
    /// What staff said.
    pub reason: Option<String>,
    /// Refunded to the balance, EUR.
    pub refunded: Money,
    /// The refund to the card.
    pub card_refund: Option<Uuid>,
    /// When it was declared.
    pub created_at: DateTime<Utc>,
    /// When it was decided.
    pub decided_at: Option<DateTime<Utc>>,
}

struct Row {
    id: Uuid,
    name: String,
    order_ref: String,
    contact: String,
    order_id: Option<Uuid>,
    user_id: Option<Uuid>,
    state: String,
    reason: Option<String>,
    refunded: Decimal,
    card_refund_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    decided_at: Option<DateTime<Utc>>,
}

fn withdrawal(row: Row) -> Result<Withdrawal> {
    Ok(Withdrawal {
        id: row.id,
        name: row.name,
        order_ref: row.order_ref,
        contact: row.contact,
        order: row.order_id,
        user: row.user_id,
        state: row.state,
        reason: row.reason,
        refunded: money_of(row.refunded)?,
        card_refund: row.card_refund_id,
        created_at: row.created_at,
        decided_at: row.decided_at,
    })
}

/// Stores a declaration and queues its acknowledgement; returns when it arrived. The same id again changes nothing and sends
/// nothing.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub async fn declare(store: &Store, said: &Declaration) -> Result<DateTime<Utc>> {
    let said = Arc::new(said.clone());
    store
        .tx("withdrawals.declare", move |tx| {
            let said = Arc::clone(&said);
            Box::pin(async move { declare_once(tx, &said).await })
        })
        .await
}

async fn declare_once(tx: &mut Tx, said: &Declaration) -> Result<DateTime<Utc>> {
    let number = orders::typed_number(&said.order_number);
    let arrived = sqlx::query_scalar!(
        "-- store.withdrawals.declare
        insert into withdrawals (id, name, order_ref, contact, language, address, user_id, order_id)
        select $1, $2, $3, $4, $5, $6, u.id, o.id
          from (select 1) one left join users u on u.email = $4 and u.deleted_at is null
          left join orders o on o.number = $7 and o.user_id = u.id
        on conflict (id) do nothing returning created_at",
        said.id,
        said.name,
        said.order_number,
        said.contact,
        said.language,
        said.address.as_deref(),
        number
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(arrived) = arrived else {
        return Ok(sqlx::query_scalar!(
            "-- store.withdrawals.declared\nselect created_at from withdrawals where id = $1",
            said.id
        )
        .fetch_one(tx.conn())
        .await?);
    };
    let template = EmailTemplate::WithdrawalReceived {
        nickname: said.name.clone(),
        reference: said.order_number.clone(),
        contact: said.contact.clone(),
        at: arrived.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        language: said.language.to_owned(),
    };
    mail::enqueue_to_address(tx, &said.contact, &template, NOTICE).await?;
    Ok(arrived)
}

/// Withdrawals, newest first, and their number.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, state: Option<WithdrawalState>, page: Page) -> Result<(Vec<Withdrawal>, u64)> {
    let (limit, offset) = bounds(page);
    let state = state.map(WithdrawalState::as_str);
    let rows = sqlx::query_as!(
        Row,
        "-- store.withdrawals.list
        select id, name, order_ref, contact, order_id, user_id, state, reason, refunded, card_refund_id, created_at, decided_at
          from withdrawals where $1::text is null or state = $1 order by created_at desc, id desc offset $2 limit $3",
        state,
        offset,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let total: i64 = sqlx::query_scalar!(
        r#"-- store.withdrawals.count
        select count(*) as "count!" from withdrawals where $1::text is null or state = $1"#,
        state
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((
        rows.into_iter().map(withdrawal).collect::<Result<_>>()?,
        how_many_of(total),
    ))
}

/// A unit of a withdrawn order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawnUnit {
    /// Its id.
    pub id: Uuid,
    /// The game's title.
    pub title: String,
    /// What was paid for it, EUR.
    pub price: Money,
    /// Its key was delivered.
    pub is_delivered: bool,
    /// Its price was refunded.
    pub is_refunded: bool,
    /// When its key was first shown to its owner.
    pub first_shown_at: Option<DateTime<Utc>>,
}

/// The consent of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsent {
    /// Who asked.
    pub source: String,
    /// Version of the wording.
    pub wording: Option<String>,
    /// The wording.
    pub text: Option<String>,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// A top-up with money that can go back to its card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundableTopUp {
    /// Its id.
    pub id: Uuid,
    /// What was paid, EUR.
    pub amount: Money,
    /// What is left of it and of the balance, EUR.
    pub left: Money,
    /// When it was started.
    pub created_at: DateTime<Utc>,
}

/// A withdrawal with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The withdrawal.
    pub withdrawal: Withdrawal,
    /// The consent of its order.
    pub consent: Option<StoredConsent>,
    /// The units of its order.
    pub units: Vec<WithdrawnUnit>,
    /// Top-ups of its account with money left, newest first.
    pub top_ups: Vec<RefundableTopUp>,
}

/// A withdrawal with its order and the money that can go back to cards.
///
/// # Errors
/// [`StoreError`].
pub async fn case(tx: &mut Tx, id: Uuid) -> Result<Option<Case>> {
    let row = sqlx::query_as!(
        Row,
        "-- store.withdrawals.of_id
        select id, name, order_ref, contact, order_id, user_id, state, reason, refunded, card_refund_id, created_at, decided_at
          from withdrawals where id = $1",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(withdrawal) = row.map(withdrawal).transpose()? else {
        return Ok(None);
    };
    let units = sqlx::query!(
        r#"-- store.withdrawals.units
        select u.id, g.title, u.price_paid, u.state = 'DONE' as "is_delivered!", u.state = 'REFUNDED' as "is_refunded!",
               (select min(r.at) from game_keys k join key_reveals r on r.game_key_id = k.id
                 where k.order_unit_id = u.id and r.how <> 'CONSOLE') as first_shown_at
          from order_units u join games g on g.id = u.game_id where u.order_id = $1 order by u.order_item_id, u.position"#,
        withdrawal.order
    )
    .fetch_all(tx.conn())
    .await?;
    let consent = sqlx::query_as!(
        StoredConsent,
        "-- store.withdrawals.consent\nselect source, wording, text, at from order_consents where order_id = $1",
        withdrawal.order
    )
    .fetch_optional(tx.conn())
    .await?;
    let top_ups = sqlx::query!(
        r#"-- store.withdrawals.top_ups
        select p.id, p.amount, p.created_at, greatest(0, least(top_up_left(p.id), u.balance)) as "left!"
          from top_ups p join users u on u.id = p.user_id
         where p.user_id = $1 and p.status = 'COMPLETED' and p.provider <> 'test' and top_up_left(p.id) > 0
         order by p.created_at desc, p.id desc limit 20"#,
        withdrawal.user
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(Some(Case {
        units: units
            .into_iter()
            .map(|row| {
                Ok(WithdrawnUnit {
                    id: row.id,
                    title: row.title,
                    price: money_of(row.price_paid)?,
                    is_delivered: row.is_delivered,
                    is_refunded: row.is_refunded,
                    first_shown_at: row.first_shown_at,
                })
            })
            .collect::<Result<_>>()?,
        top_ups: top_ups
            .into_iter()
            .map(|row| {
                Ok(RefundableTopUp {
                    id: row.id,
                    amount: money_of(row.amount)?,
                    left: money_of(row.left)?,
                    created_at: row.created_at,
                })
            })
            .collect::<Result<_>>()?,
        withdrawal,
        consent,
    }))
}

/// What staff decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who decides.
    pub admin: UserId,
    /// Accepted, or else refused.
    pub is_accepted: bool,
    /// Why; the customer reads it.
    pub reason: Option<String>,
    /// A top-up whose money goes on to its card.
    pub top_up: Option<TopUpId>,
    /// How much of it, EUR; `None`: what the order gave back, or without an order all that is left.
    pub amount: Option<Money>,
    /// They gave their password a moment ago: more than the limit of their role may go to the card.
    pub confirmed: bool,
    /// The providers in use that take cards.
    pub providers: Vec<&'static str>,
}

/// Why a withdrawal was not decided.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such withdrawal.
    #[error("Withdrawal not found")]
    NotFound,
    /// It was decided otherwise before.
    #[error("This withdrawal has been decided already.")]
    Decided,
    /// A refusal has to say why.
    #[error("Give a reason; the customer reads it.")]
    NoReason,
    /// Nothing is left that goes back by itself.
    #[error("Everything is delivered or refunded. Refund keys on the order's page, and accept with a reason.")]
    NothingLeft,
    /// The top-up belongs to another account.
    #[error("This top-up belongs to another account.")]
    OtherAccount,
    /// The order was not cancelled.
    #[error(transparent)]
    Order(NotRefundable),
    /// The top-up was not refunded.
    #[error(transparent)]
    Card(RefundError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(DecisionError);

impl From<NotRefundable> for DecisionError {
    fn from(error: NotRefundable) -> Self {
        match error {
            NotRefundable::Store(error) => Self::Store(error),
            error => Self::Order(error),
        }
    }
}

impl From<RefundError> for DecisionError {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::Store(error) => Self::Store(error),
            error => Self::Card(error),
        }
    }
}

/// Decides about a withdrawal: once, whoever decides at the same time. If it is accepted, what is not delivered of its order
/// is refunded to the balance, and money of a top-up goes on to its card, in the same transaction. The same decision again
/// changes nothing.
///
/// # Errors
/// [`DecisionError`]; then nothing has changed.
pub async fn decide(store: &Store, id: Uuid, decision: &Decision, emails: &EmailSettings) -> Result<(), DecisionError> {
    if !decision.is_accepted && decision.reason.is_none() {
        return Err(DecisionError::NoReason);
    }
    let asked = Arc::new((decision.clone(), emails.clone()));
    store
        .tx("withdrawals.decide", move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { decide_once(tx, id, &asked.0, &asked.1).await })
        })
        .await
}

async fn decide_once(tx: &mut Tx, id: Uuid, decision: &Decision, emails: &EmailSettings) -> Result<(), DecisionError> {
    let known = sqlx::query!(
        "-- store.withdrawals.lock
        select name, order_ref, contact, language, order_id, user_id, state from withdrawals where id = $1 for update",
        id
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(DecisionError::NotFound)?;
    let state = if decision.is_accepted {
        WithdrawalState::Accepted
    } else {
        WithdrawalState::Refused
    };
    if known.state == state.as_str() {
        return Ok(());
    }
    if known.state != WithdrawalState::Open.as_str() {
        return Err(DecisionError::Decided);
    }
    let (refunded, to_card) = if decision.is_accepted {
        give_back(tx, id, known.order_id, known.user_id, decision, emails).await?
    } else {
        (Money::ZERO, None)
    };
    sqlx::query!(
        "-- store.withdrawals.decide
        update withdrawals set state = $2, reason = $3, refunded = $4, card_refund_id = $5, decided_by = $6, decided_at = now()
         where id = $1",
        id,
        state.as_str(),
        decision.reason.as_deref(),
        refunded.decimal(),
        to_card.as_ref().map(|refund| refund.id),
        decision.admin.0
    )
    .execute(tx.conn())
    .await?;
    let deed = AuditEntry {
        admin: decision.admin,
        action: "withdrawal.decide",
        subject: ("withdrawal", id),
        details: json!({
            "state": state.as_str(), "order": known.order_id, "refunded": refunded,
            "cardRefund": to_card.as_ref().map(|refund| refund.id), "reason": decision.reason,
        }),
    };
    audit::write(tx, &deed).await?;
    let template = EmailTemplate::WithdrawalDecided {
        nickname: known.name,
        reference: known.order_ref,
        is_accepted: decision.is_accepted,
        reason: decision.reason.clone(),
        refunded,
        to_card: to_card.map(|refund| refund.amount),
        language: known.language,
    };
    mail::enqueue_to_address(tx, &known.contact, &template, NOTICE).await?;
    Ok(())
}

/// What goes back to the balance, and what goes on to the card.
async fn give_back(
    tx: &mut Tx,
    id: Uuid,
    order: Option<Uuid>,
    user: Option<Uuid>,
    decision: &Decision,
    emails: &EmailSettings,
) -> Result<(Money, Option<CardRefund>), DecisionError> {
    let reason = decision.reason.as_deref();
    let mut refunded = Money::ZERO;
    if let Some(order) = order {
        match orders::cancel_now(
            tx,
            decision.admin,
            OrderId(order),
            Some(reason.unwrap_or("withdrawal")),
            emails,
        )
        .await
        {
            Ok(cancelled) => refunded = cancelled.refunded,
            // Delivered, or refunded before: nothing goes back by itself.
            Err(NotRefundable::Bought | NotRefundable::Refunded) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Some(top_up) = decision.top_up else {
        return if refunded.is_positive() || reason.is_some() {
            Ok((refunded, None))
        } else {
            Err(DecisionError::NothingLeft)
        };
    };
    let owner = sqlx::query_scalar!(
        "-- store.withdrawals.owner\nselect user_id from top_ups where id = $1",
        top_up.0
    )
    .fetch_optional(tx.conn())
    .await?;
    if owner.is_none() || owner != user {
        return Err(DecisionError::OtherAccount);
    }
    let new = NewRefund {
        admin: decision.admin,
        top_up,
        amount: decision.amount.or(Some(refunded).filter(|amount| amount.is_positive())),
        reason: Some(reason.unwrap_or("withdrawal").to_owned()),
        key: Some(format!("withdrawal-{id}")),
        confirmed: decision.confirmed,
        providers: decision.providers.clone(),
    };
    let refund = refunds::request_once(tx, &new).await?;
    Ok((refunded, Some(refund)))
}

/// Deletes withdrawals that were decided three years ago, at most a thousand; returns how many.
pub(crate) async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.withdrawals.sweep
        delete from withdrawals where id in (
            select id from withdrawals where created_at < now() - interval '1095 days' and state <> 'OPEN'
             order by created_at limit 1000 for update skip locked)"
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
