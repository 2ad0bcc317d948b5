//! Top-up intents, and what payment providers report about them.
//!
//! An intent is written before its provider is called. Every report of the provider (`apply`) locks the intent's row:
//! it is credited once, with its own amount, regardless of the number and order of reports.

mod apply;
mod due;
mod outside;
mod settle;

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::purchase::{OtherPayment, PaymentStatus, TopUpStatus, TopUpView};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::cards::holds;
use crate::row::{money_of, payment_status_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

pub use apply::{Outcome, PaymentEvent, ProviderPaymentStatus, Which, apply};
pub use due::{Review, ToReview, due, to_review, without_end};
pub use outside::{Outside, OutsideError, OutsideOutcome, credit_outside};
pub use settle::{SettleError, credit_by_staff, in_review, reviewed, waiting_for_staff};

/// Maximum number of unpaid intents per user.
pub const MOST_OPEN: i64 = 20;

/// A top-up intent.
#[expect(clippy::struct_excessive_bools, reason = "they do not depend on each other")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// Its id.
    pub id: TopUpId,
    /// Its owner.
    pub user: UserId,
    /// The amount to pay, EUR.
    pub amount: Money,
    /// The payment that the provider reported, if its amount or currency differs.
    pub paid: Option<OtherPayment>,
    /// What staff credited instead of the amount, EUR.
    pub credited: Option<Money>,
    /// The payment method that the shopper chose.
    pub method: String,
    /// The payment provider.
    pub provider: String,
    /// Its state.
    pub status: PaymentStatus,
    /// The provider's reference.
    pub reference: Option<String>,
    /// The provider's payment page.
    pub redirect_url: Option<String>,
    /// A process holds the lease to query the provider about it.
    pub is_asked: bool,
    /// Its owner deleted the account, or has begun another checkout: it has to be closed at the provider.
    pub is_closing: bool,
    /// Staff has handled it.
    pub is_reviewed: bool,
    /// The card's bank is asked for 3-D Secure.
    pub authenticate: bool,
    /// Staff decide about the payment: what is bought meanwhile waits.
    pub is_held: bool,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// The result of [`begin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The caller holds the lease and has to request the payment page from the provider.
    Ask {
        /// The intent.
        top_up: TopUp,
        /// This is the first request, so a refusal is final.
        is_first: bool,
    },
    /// Another caller with the same idempotency key is calling the provider.
    Asked(TopUp),
    /// The provider has already answered.
    Known(TopUp),
}

impl TopUp {
    /// The view of its owner. A payment that differs from the intent stays pending until staff has settled it.
    pub fn view(&self) -> TopUpView {
        let status = match self.status {
            PaymentStatus::Completed => TopUpStatus::Completed,
            _ if self.paid.is_some() && !self.is_reviewed => TopUpStatus::Processing,
            PaymentStatus::Pending => TopUpStatus::Pending,
            PaymentStatus::Processing => TopUpStatus::Processing,
            PaymentStatus::Failed | PaymentStatus::Cancelled => TopUpStatus::Failed,
        };
        TopUpView {
            id: self.id,
            amount: self.credited.unwrap_or(self.amount),
            other_payment: self.paid.clone().filter(|_| status != TopUpStatus::Completed),
            currency: "EUR".into(),
            payment_method: self.method.clone(),
            held: self.is_held,
            redirect_url: self.redirect_url.clone().filter(|_| status == TopUpStatus::Pending),
            status,
            created_at: self.created_at,
        }
    }
}

/// A new intent.
#[derive(Debug, Clone)]
pub struct NewTopUp {
    /// Its owner.
    pub user: UserId,
    /// The amount to pay, EUR; positive.
    pub amount: Money,
    /// The payment method that the shopper chose.
    pub method: String,
    /// The payment provider.
    pub provider: &'static str,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// Of a payment by card, to which the rules against fraud apply.
    pub card: Option<CardOrigin>,
}

/// From where a payment by card was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardOrigin {
    /// The country of the browser's address, two letters, if it is known.
    pub country: Option<String>,
}

/// Why an intent was not stored.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The user has too many unpaid intents.
    #[error("Too many payments are open. Finish one of them first.")]
    TooManyOpen,
    /// The idempotency key was used for another intent.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The account would exceed what may be paid in within these hours.
    #[error("This is more than can be paid in within {hours} hours. Try a smaller amount, or try again later.")]
    Limited {
        /// The hours.
        hours: u32,
    },
    /// The account does not exist.
    #[error("Account not found")]
    NoSuchUser,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(BeginError);

/// A [`TopUp`] as it is read.
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
struct Row {
    id: Uuid,
    user_id: Uuid,
    amount: Decimal,
    method: String,
    provider: String,
    status: String,
    reference: Option<String>,
    redirect_url: Option<String>,
    created_at: DateTime<Utc>,
    is_asked: bool,
    is_closing: bool,
    is_reviewed: bool,
    authenticate: bool,
    is_held: bool,
    paid_amount: Option<Decimal>,
    paid_currency: Option<String>,
    credited_amount: Option<Decimal>,
}

/// A statement that returns the columns of a [`Row`] of `top_ups`, between its two parts.
macro_rules! query_top_ups {
    ($before:literal, $after:literal, $($value:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::top_ups::Row,
            $before
                + r#"id, user_id, amount, method, provider, status::text as "status!", reference, redirect_url, created_at,
                   coalesce(asking_until > now(), false) as "is_asked!", closing_since is not null as "is_closing!",
                   reviewed_at is not null as "is_reviewed!", paid_amount, paid_currency, credited_amount,
                   exists (select from top_up_origins o where o.top_up_id = top_ups.id and o.authenticate) as "authenticate!",
                   exists (select from payment_holds h where h.top_up_id = top_ups.id and h.state in ('OPEN', 'REFUNDING')
                              and h.rule <> 'UNREAD') as "is_held!""#
                + $after,
            $($value),+
        )
    };
}
use query_top_ups;

fn top_up(row: Row) -> Result<TopUp> {
    Ok(TopUp {
        id: TopUpId(row.id),
        user: UserId(row.user_id),
        amount: money_of(row.amount)?,
        // The database has both or neither.
        paid: match (row.paid_amount, row.paid_currency) {
            (Some(amount), Some(currency)) => Some(OtherPayment {
                amount: money_of(amount)?,
                currency,
            }),
            _ => None,
        },
        credited: row.credited_amount.map(money_of).transpose()?,
        method: row.method,
        provider: row.provider,
        status: payment_status_of(&row.status)?,
        reference: row.reference,
        redirect_url: row.redirect_url,
        is_asked: row.is_asked,
        is_closing: row.is_closing,
        is_reviewed: row.is_reviewed,
        authenticate: row.authenticate,
        is_held: row.is_held,
        created_at: row.created_at,
    })
}

/// Writes an intent, or finds the one written under the same idempotency key. Of all callers with one key, one gets the
/// lease to call the provider; it lasts for `lease`, or until [`announced`], [`refused`] or [`unanswered`].
///
/// # Errors
/// [`BeginError`]; then nothing was written.
pub async fn begin(store: &Store, new: NewTopUp, lease: Duration) -> Result<Begun, BeginError> {
    store
        .tx_about("top_ups.begin", &[new.user.into()], move |tx| {
            let new = new.clone();
            Box::pin(async move { begin_once(tx, &new, lease).await })
        })
        .await
}

/// The same in a transaction.
///
/// # Errors
/// [`BeginError`]; then the transaction has to be rolled back.
pub(crate) async fn begin_once(tx: &mut Tx, new: &NewTopUp, lease: Duration) -> Result<Begun, BeginError> {
    // Serialises the intents of one shopper, so that concurrent calls can bypass neither the key nor the limit.
    crate::guests::lock(tx, lockstep_domain::cart::Principal::User(new.user))
        .await?
        .ok_or(BeginError::NoSuchUser)?;
    if let Some(before) = under_key(tx, new).await? {
        if (before.amount, &before.method) != (new.amount, &new.method) {
            return Err(BeginError::KeyReused);
        }
        return again(tx, before, new.provider, lease).await;
    }
    if new.card.is_some()
        && let Some((rule, hours)) = holds::limit(tx, new.user, new.amount).await?
    {
        tracing::info!(rule, "a top-up is refused by a rule against fraud");
        return Err(BeginError::Limited { hours });
    }
    let row = query_top_ups!(
        "-- store.top_ups.begin
        insert into top_ups (id, user_id, amount, method, provider, idempotency_key, not_before, asking_until)
        select $1, $2, $3, $4, $5, $6, now() + interval '1 minute', now() + make_interval(secs => $8)
         where (select count(*) from top_ups where user_id = $2 and status = 'PENDING'
                   and created_at > now() - interval '1 day') < $7
        returning ",
        "",
        // Shown to the provider and in URLs: random, not sorted by age.
        Uuid::new_v4(),
        new.user.0,
        new.amount.decimal(),
        new.method,
        new.provider,
        new.key,
        MOST_OPEN,
        lease.as_secs_f64(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(BeginError::TooManyOpen)?;
    let mut written = top_up(row)?;
    if let Some(origin) = &new.card {
        written.authenticate = holds::begun(tx, written.id, origin.country.as_deref()).await?;
    }
    Ok(Begun::Ask {
        top_up: written,
        is_first: true,
    })
}

/// The intent `before`, which a repeated call names: the caller gets the lease to ask `provider` if nobody has it and the
/// provider has not answered yet.
///
/// # Errors
/// [`BeginError`]; then the transaction has to be rolled back.
pub(crate) async fn again(tx: &mut Tx, before: TopUp, provider: &str, lease: Duration) -> Result<Begun, BeginError> {
    let is_known = before.reference.is_some() || before.status != PaymentStatus::Pending;
    if is_known || before.provider != provider {
        return Ok(Begun::Known(before));
    }
    if before.is_asked {
        return Ok(Begun::Asked(before));
    }
    sqlx::query!(
        "-- store.top_ups.begin.again
        update top_ups set asking_until = now() + make_interval(secs => $2) where id = $1",
        before.id.0,
        lease.as_secs_f64()
    )
    .execute(tx.conn())
    .await?;
    Ok(Begun::Ask {
        top_up: before,
        is_first: false,
    })
}

/// The intent `id`, in a transaction.
pub(crate) async fn read(tx: &mut Tx, id: TopUpId) -> Result<Option<TopUp>> {
    let row = query_top_ups!("-- store.top_ups.read\nselect ", " from top_ups where id = $1", id.0,)
        .fetch_optional(tx.conn())
        .await?;
    row.map(top_up).transpose()
}

/// The intent that the user wrote with this idempotency key.
async fn under_key(tx: &mut Tx, new: &NewTopUp) -> Result<Option<TopUp>> {
    let Some(key) = &new.key else { return Ok(None) };
    let before = query_top_ups!(
        "-- store.top_ups.begin.before\nselect ",
        " from top_ups where user_id = $1 and idempotency_key = $2",
        new.user.0,
        key,
    )
    .fetch_optional(tx.conn())
    .await?;
    before.map(top_up).transpose()
}

/// Records the provider's reference and payment page. Returns the intent as it is now; if it is to be closed
/// meanwhile, it has no page and is due to be closed at once.
///
/// # Errors
/// [`StoreError`].
pub async fn announced(store: &Store, id: TopUpId, reference: &str, redirect_url: &str) -> Result<Option<TopUp>> {
    let row = query_top_ups!(
        "-- store.top_ups.announced
        update top_ups set reference = $2, redirect_url = case when closing_since is null then $3 end, asking_until = null,
               problem = null, not_before = case when closing_since is null then not_before else now() end
         where id = $1 and (reference is null or reference = $2)
        returning ",
        "",
        id.0,
        reference,
        redirect_url,
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(top_up).transpose()
}

/// Records that the provider refused the intent permanently: it cannot be paid.
///
/// # Errors
/// [`StoreError`].
pub async fn refused(store: &Store, id: TopUpId, problem: &str) -> Result<()> {
    sqlx::query!(
        "-- store.top_ups.refused
        update top_ups set status = case status when 'PENDING' then 'FAILED' else status end, problem = $2,
               asking_until = null, closing_since = null,
               review = nullif(review, 'NO_END'), review_since = case when review = 'NO_END' then null else review_since end,
               reviewed_at = case when review = 'NO_END' then null else reviewed_at end
         where id = $1 and reference is null",
        id.0,
        short(problem)
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Records that the provider gave no usable answer: it may know the intent or not, and will be called again.
///
/// # Errors
/// [`StoreError`].
pub async fn unanswered(store: &Store, id: TopUpId, problem: &str) -> Result<()> {
    sqlx::query!(
        "-- store.top_ups.unanswered
        update top_ups set problem = $2, asking_until = null where id = $1 and status in ('PENDING', 'PROCESSING', 'CANCELLED')",
        id.0,
        short(problem)
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// The intent `id` of `user`; `None` for another user's.
///
/// # Errors
/// [`StoreError`].
pub async fn by_id(store: &Store, user: UserId, id: TopUpId) -> Result<Option<TopUp>> {
    let row = query_top_ups!(
        "-- store.top_ups.by_id\nselect ",
        " from top_ups where id = $1 and user_id = $2",
        id.0,
        user.0,
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(top_up).transpose()
}

/// The intent `id`, whoever owns it.
///
/// # Errors
/// [`StoreError`].
pub async fn of_id(store: &Store, id: TopUpId) -> Result<Option<TopUp>> {
    let row = query_top_ups!("-- store.top_ups.of_id\nselect ", " from top_ups where id = $1", id.0,)
        .fetch_optional(store.alone())
        .await?;
    row.map(top_up).transpose()
}

/// The intent with this `reference` at `provider`.
///
/// # Errors
/// [`StoreError`].
pub async fn by_reference(store: &Store, provider: &str, reference: &str) -> Result<Option<TopUp>> {
    // The reference comes from URLs, which anyone can write; the database rejects this character.
    if reference.contains('\0') {
        return Ok(None);
    }
    let row = query_top_ups!(
        "-- store.top_ups.by_reference\nselect ",
        " from top_ups where provider = $1 and reference = $2",
        provider,
        reference,
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(top_up).transpose()
}

/// Deletes provider events older than 90 days; a delivery repeated after that is recognised by its booking, which
/// stays. Returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.top_ups.sweep
        delete from payment_events where (provider, event_id) in (
            select provider, event_id from payment_events where received_at < now() - interval '90 days'
             order by received_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// Shortens the text to the size of its column.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
