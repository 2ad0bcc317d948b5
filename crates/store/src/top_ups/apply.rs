//! Applies a provider's report about an intent, once.

use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::purchase::PaymentStatus;
use uuid::Uuid;

use super::{Review, TopUp, query_top_ups, short, top_up};
use crate::row::{money_of, nickname_of};
use crate::{Result, Store, StoreError, Tx, mail};

/// How long a notice is worth sending.
const NOTICE: Duration = Duration::from_hours(72);

/// The providers whose charges are read once a top-up is credited.
const CHARGES: [&str; 3] = ["stripe", "stripe-sandbox", "mollie"];

/// Identifies the intent of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By the provider's reference.
    Reference(String),
    /// By the shop's id, for a status that the shop queried.
    Id(TopUpId),
    /// By the shop's id, which the provider returned together with its own reference. Does not match an intent that has
    /// another reference at the provider.
    Named {
        /// The shop's id.
        id: TopUpId,
        /// The provider's reference.
        reference: String,
    },
}

/// The state of a payment, as a provider reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderPaymentStatus {
    /// It was paid: this amount in this currency (ISO code in upper case).
    Paid {
        /// In units of the currency.
        amount: Money,
        /// `EUR`, for example.
        currency: String,
    },
    /// The shopper has done their part; the payment is not confirmed yet.
    Processing,
    /// No payment has been made.
    Open,
    /// It was declined.
    Declined,
    /// It can no longer be paid.
    Lapsed,
}

/// A report of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentEvent {
    /// The provider.
    pub provider: &'static str,
    /// The event's id if the provider sent it: it counts once. `None` if the shop queried.
    pub event: Option<String>,
    /// The event's type, for the record.
    pub kind: String,
    /// The intent.
    pub which: Which,
    /// The reported state.
    pub word: ProviderPaymentStatus,
}

/// The result of applying a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The balance was credited by this report.
    Credited,
    /// The intent's state was recorded.
    Noted,
    /// It changed nothing: already known, or out of order.
    Nothing,
    /// This event was applied earlier.
    Repeated,
    /// Amount or currency differ from the intent: not credited, staff has to decide.
    Mismatch,
    /// The intent does not exist.
    Unknown,
}

impl Outcome {
    /// A stable name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credited => "credited",
            Self::Noted => "noted",
            Self::Nothing => "nothing",
            Self::Repeated => "repeated",
            Self::Mismatch => "mismatch",
            Self::Unknown => "unknown",
        }
    }
}

/// Applies a report.
///
/// # Errors
/// [`StoreError`]; then nothing has changed, and the provider has to repeat the report.
pub async fn apply(store: &Store, event: &PaymentEvent) -> Result<Outcome> {
    let event = std::sync::Arc::new(event.clone());
    store
        .tx("top_ups.apply", move |tx| {
            let event = std::sync::Arc::clone(&event);
            Box::pin(async move { apply_once(tx, &event).await })
        })
        .await
}

async fn apply_once(tx: &mut Tx, event: &PaymentEvent) -> Result<Outcome> {
    let Some(top_up) = find(tx, event).await? else {
        return Ok(Outcome::Unknown);
    };
    if taken_before(tx, event).await? {
        return Ok(Outcome::Repeated);
    }
    let open = matches!(top_up.status, PaymentStatus::Pending | PaymentStatus::Processing);
    let outcome = match &event.word {
        ProviderPaymentStatus::Paid { .. } if top_up.status == PaymentStatus::Completed => Outcome::Nothing,
        ProviderPaymentStatus::Paid { amount, currency } if *amount == top_up.amount && currency == "EUR" => {
            credit(tx, &top_up).await?;
            Outcome::Credited
        }
        ProviderPaymentStatus::Paid { amount, currency } => {
            let problem = format!("paid were {amount} {currency} instead of {} EUR", top_up.amount);
            note(tx, &top_up, top_up.status, Some(&problem)).await?;
            paid_otherwise(tx, top_up.id, *amount, currency).await?;
            Outcome::Mismatch
        }
        ProviderPaymentStatus::Processing if top_up.status == PaymentStatus::Pending => {
            note(tx, &top_up, PaymentStatus::Processing, None).await?;
            Outcome::Noted
        }
        ProviderPaymentStatus::Declined if open => {
            note(tx, &top_up, PaymentStatus::Failed, None).await?;
            Outcome::Noted
        }
        ProviderPaymentStatus::Lapsed if open => {
            note(tx, &top_up, PaymentStatus::Cancelled, None).await?;
            Outcome::Noted
        }
        ProviderPaymentStatus::Processing
        | ProviderPaymentStatus::Open
        | ProviderPaymentStatus::Declined
        | ProviderPaymentStatus::Lapsed => Outcome::Nothing,
    };
    ended(tx, &top_up, &event.word).await?;
    if let Some(id) = &event.event {
        sqlx::query!(
            "-- store.top_ups.apply.event
            insert into payment_events (provider, event_id, kind, top_up_id, outcome) values ($1, $2, $3, $4, $5)",
            event.provider,
            id,
            event.kind,
            top_up.id.0,
            outcome.name()
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(outcome)
}

/// Finds the intent and locks it until the transaction ends: reports about it are serialised.
async fn find(tx: &mut Tx, event: &PaymentEvent) -> Result<Option<TopUp>> {
    let (id, reference) = match &event.which {
        Which::Id(id) => (Some(*id), None),
        Which::Reference(reference) => (None, Some(reference)),
        Which::Named { id, reference } => (Some(*id), Some(reference)),
    };
    let row = match id {
        Some(id) => {
            query_top_ups!(
                "-- store.top_ups.apply.find_ours\nselect ",
                " from top_ups where provider = $1 and id = $2 for no key update",
                event.provider,
                id.0,
            )
            .fetch_optional(tx.conn())
            .await?
        }
        None => {
            query_top_ups!(
                "-- store.top_ups.apply.find\nselect ",
                " from top_ups where provider = $1 and reference = $2 for no key update",
                event.provider,
                reference,
            )
            .fetch_optional(tx.conn())
            .await?
        }
    };
    let Some(mut found) = row.map(top_up).transpose()? else {
        return Ok(None);
    };
    let Some(reference) = reference else {
        return Ok(Some(found));
    };
    if let Some(known) = &found.reference {
        return Ok((known == reference).then_some(found));
    }
    // The answer with the reference was lost.
    sqlx::query!(
        "-- store.top_ups.apply.learn\nupdate top_ups set reference = $2 where id = $1",
        found.id.0,
        reference
    )
    .execute(tx.conn())
    .await?;
    found.reference = Some(reference.clone());
    Ok(Some(found))
}

async fn taken_before(tx: &mut Tx, event: &PaymentEvent) -> Result<bool> {
    let Some(id) = &event.event else { return Ok(false) };
    Ok(sqlx::query_scalar!(
        "-- store.top_ups.apply.taken\nselect 1 as one from payment_events where provider = $1 and event_id = $2",
        event.provider,
        id
    )
    .fetch_optional(tx.conn())
    .await?
    .is_some())
}

async fn note(tx: &mut Tx, top_up: &TopUp, status: PaymentStatus, problem: Option<&str>) -> Result<()> {
    sqlx::query!(
        "-- store.top_ups.apply.note
        update top_ups set status = $2::text::payment_status, problem = coalesce($3, problem) where id = $1",
        top_up.id.0,
        status.as_str(),
        problem.map(short)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The provider has reported, so no query is pending; after a final state there is nothing left to close or to query.
async fn ended(tx: &mut Tx, top_up: &TopUp, word: &ProviderPaymentStatus) -> Result<()> {
    let is_end = matches!(
        word,
        ProviderPaymentStatus::Paid { .. } | ProviderPaymentStatus::Declined | ProviderPaymentStatus::Lapsed
    );
    sqlx::query!(
        "-- store.top_ups.apply.ended
        update top_ups set asking_until = null,
               closing_since = case when $2 then null else closing_since end,
               review = case when $2 then nullif(review, 'NO_END') else review end,
               review_since = case when $2 and review = 'NO_END' then null else review_since end,
               reviewed_at = case when $2 and review = 'NO_END' then null else reviewed_at end
         where id = $1 and (asking_until is not null or ($2 and (closing_since is not null or review = 'NO_END')))",
        top_up.id.0,
        is_end
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Hands the intent to staff for review, even if it was reviewed earlier for another reason.
async fn hand_to_staff(tx: &mut Tx, id: TopUpId, why: Review) -> Result<()> {
    sqlx::query!(
        "-- store.top_ups.apply.hand_to_staff
        update top_ups set review = $2, review_since = now(), reviewed_at = null where id = $1 and review is distinct from $2",
        id.0,
        why.name()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Hands a payment that differs from the intent to staff: once, and again if another payment is reported.
async fn paid_otherwise(tx: &mut Tx, id: TopUpId, amount: Money, currency: &str) -> Result<()> {
    sqlx::query!(
        "-- store.top_ups.apply.paid_otherwise
        update top_ups set review = $2, review_since = now(), reviewed_at = null, paid_amount = $3, paid_currency = $4
         where id = $1 and (review, paid_amount, paid_currency) is distinct from ($2, $3, $4)",
        id.0,
        Review::OtherAmount.name(),
        amount.decimal(),
        currency.chars().take(10).collect::<String>()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Books the intent's amount and notifies its owner.
async fn credit(tx: &mut Tx, top_up: &TopUp) -> Result<()> {
    let transaction = Uuid::now_v7();
    let name = top_up.reference.clone().unwrap_or_else(|| top_up.id.to_string());
    // Its own e-mail follows: the order's, or why there is none.
    let is_of_checkout = sqlx::query_scalar!(
        r#"-- store.top_ups.apply.is_of_checkout
        select exists (select from pending_checkouts where top_up_id = $1 and state in ('WAITING', 'EXPIRED')) as "is_so!""#,
        top_up.id.0
    )
    .fetch_one(tx.conn())
    .await?;
    let is_somebodys = book(
        tx,
        &Booking {
            id: transaction,
            user: top_up.user.0,
            amount: top_up.amount,
            method: &top_up.method,
            hash: format!("{}:{name}", top_up.provider),
            is_told: !is_of_checkout,
        },
    )
    .await?;
    if let Some(reference) = (top_up.reference.as_deref()).filter(|_| CHARGES.contains(&top_up.provider.as_str())) {
        crate::cards::inbox::want_charge(tx, &top_up.provider, reference).await?;
        crate::cards::holds::unread(tx, top_up.id, top_up.user).await?;
    }
    // What this settles of a debt may be what the user's copies wait for.
    crate::cards::release_units(tx, top_up.user).await?;
    let problem = (!is_somebodys).then_some(OF_NOBODY);
    sqlx::query!(
        "-- store.top_ups.apply.credited
        update top_ups set status = 'COMPLETED', transaction_id = $2, problem = coalesce($3, problem) where id = $1",
        top_up.id.0,
        transaction,
        problem
    )
    .execute(tx.conn())
    .await?;
    if let Some(problem) = problem {
        tracing::error!(top_up = %top_up.id, "{problem}");
        hand_to_staff(tx, top_up.id, Review::NoOwner).await?;
    }
    Ok(())
}

/// The note on a paid intent whose owner deleted the account.
const OF_NOBODY: &str = "paid after its owner had deleted the account: it cannot be spent and has to be paid back";

/// A payment to book for a user.
pub(super) struct Booking<'a> {
    pub(super) id: Uuid,
    pub(super) user: Uuid,
    pub(super) amount: Money,
    pub(super) method: &'a str,
    /// The provider's reference; a second booking with it is refused.
    pub(super) hash: String,
    /// An e-mail says so.
    pub(super) is_told: bool,
}

/// Credits a balance, writes the booking, and queues an e-mail about it if it is told. False if the account was deleted meanwhile.
pub(super) async fn book(tx: &mut Tx, booking: &Booking<'_>) -> Result<bool> {
    let row = sqlx::query!(
        r#"-- store.top_ups.book
        with credited as (
            update users set balance = balance + $3 where id = $2 returning id, email, nickname, deleted_at),
        booked as (
            insert into transactions (id, user_id, type, amount, method, status, description, transaction_hash)
            select $1, id, 'TOP_UP', $3, $4, 'COMPLETED', 'Top-up', $5 from credited)
        select email, nickname, deleted_at is not null as "deleted!" from credited"#,
        booking.id,
        booking.user,
        booking.amount.decimal(),
        booking.method,
        booking.hash
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| StoreError::Schema("a top-up without its user".into()))?;
    if row.deleted {
        return Ok(false);
    }
    if !booking.is_told {
        return Ok(true);
    }
    // Read apart: what the user owed was taken from it by then.
    let balance = sqlx::query_scalar!(
        "-- store.top_ups.balance\nselect balance from users where id = $1",
        booking.user
    )
    .fetch_one(tx.conn())
    .await?;
    let template = EmailTemplate::TopUp {
        nickname: nickname_of(row.nickname),
        amount: booking.amount,
        balance: money_of(balance)?,
    };
    mail::enqueue(tx, booking.user.into(), &row.email, &template, NOTICE).await?;
    Ok(true)
}
