//! Intents to top up a balance, and what payment providers say about them.
//!
//! An intent is written before its provider is asked. Whatever the provider says (`apply`) meets the intent's locked row:
//! it is credited once, with its own amount, however often and in whatever order it is told.

mod apply;
mod outside;

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::purchase::{PaymentStatus, TopUpStatus, TopUpView};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::row::{money, payment_status};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError};

pub use apply::{Outcome, Said, Which, Word, apply};
pub use outside::{Outside, OutsideError, OutsideOutcome, credit_outside};

/// The most intents of one user that may be unpaid at a time.
pub const MOST_OPEN: i64 = 20;

/// An intent that the provider never heard of is given up after so long.
const FORGOTTEN_AFTER_MINUTES: i32 = 15;

/// An intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// Which.
    pub id: TopUpId,
    /// Whose.
    pub user: UserId,
    /// What is to be paid, EUR.
    pub amount: Money,
    /// As the shopper chose.
    pub method: String,
    /// Through whom.
    pub provider: String,
    /// How it stands.
    pub status: PaymentStatus,
    /// The provider's name for it.
    pub reference: Option<String>,
    /// Where it is paid.
    pub redirect_url: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

impl TopUp {
    /// As its owner sees it.
    pub fn view(&self) -> TopUpView {
        let status = match self.status {
            PaymentStatus::Pending => TopUpStatus::Pending,
            PaymentStatus::Processing => TopUpStatus::Processing,
            PaymentStatus::Completed => TopUpStatus::Completed,
            PaymentStatus::Failed | PaymentStatus::Cancelled => TopUpStatus::Failed,
        };
        TopUpView {
            id: self.id,
            amount: self.amount,
            currency: "EUR".into(),
            payment_method: self.method.clone(),
            redirect_url: self.redirect_url.clone().filter(|_| status == TopUpStatus::Pending),
            status,
            created_at: self.created_at,
        }
    }
}

/// A new intent.
#[derive(Debug, Clone)]
pub struct NewTopUp {
    /// Whose.
    pub user: UserId,
    /// What is to be paid, EUR; positive.
    pub amount: Money,
    /// As the shopper chose.
    pub method: String,
    /// Through whom.
    pub provider: &'static str,
    /// The caller's idempotency key.
    pub key: Option<String>,
}

/// Why an intent was not written.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Too many that nobody has paid.
    #[error("Too many payments are open; finish or wait for one of them")]
    TooManyOpen,
    /// The idempotency key was used for another intent.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The account is gone.
    #[error("account not found")]
    NoSuchUser,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(BeginError);

/// The columns of a [`TopUp`].
macro_rules! columns {
    () => {
        "id, user_id, amount, method, provider, status::text as status, reference, redirect_url, created_at"
    };
}
pub(crate) use columns;

fn top_up(row: &PgRow) -> Result<TopUp> {
    Ok(TopUp {
        id: TopUpId(row.try_get("id")?),
        user: UserId(row.try_get("user_id")?),
        amount: money(row, "amount")?,
        method: row.try_get("method")?,
        provider: row.try_get("provider")?,
        status: payment_status(row, "status")?,
        reference: row.try_get("reference")?,
        redirect_url: row.try_get("redirect_url")?,
        created_at: row.try_get("created_at")?,
    })
}

/// Writes an intent, or finds the one that was written under the same idempotency key.
///
/// # Errors
/// [`BeginError`]; nothing was written then.
pub async fn begin(store: &Store, new: NewTopUp) -> Result<TopUp, BeginError> {
    store
        .tx("top_ups.begin", move |tx| {
            let new = new.clone();
            Box::pin(async move {
                // One shopper's intents come one after the other, so that neither the key nor the limit is passed by two.
                crate::guests::lock(tx, lockstep_domain::cart::Visitor::User(new.user))
                    .await?
                    .ok_or(BeginError::NoSuchUser)?;
                if let Some(key) = &new.key {
                    let before = sqlx::query(concat!(
                        "-- store.top_ups.begin.before\nselect ",
                        columns!(),
                        " from top_ups where user_id = $1 and idempotency_key = $2"
                    ))
                    .bind(new.user.0)
                    .bind(key)
                    .fetch_optional(tx.conn())
                    .await?;
                    if let Some(row) = before {
                        let before = top_up(&row)?;
                        if (before.amount, &before.method) != (new.amount, &new.method) {
                            return Err(BeginError::KeyReused);
                        }
                        return Ok(before);
                    }
                }
                let row = sqlx::query(concat!(
                    "-- store.top_ups.begin
                    insert into top_ups (id, user_id, amount, method, provider, idempotency_key, not_before)
                    select $1, $2, $3, $4, $5, $6, now() + interval '1 minute'
                     where (select count(*) from top_ups where user_id = $2 and status = 'PENDING'
                               and created_at > now() - interval '1 day') < $7
                    returning ",
                    columns!()
                ))
                // Shown to the provider and in addresses: random, not sorted by age.
                .bind(Uuid::new_v4())
                .bind(new.user.0)
                .bind(new.amount.decimal())
                .bind(&new.method)
                .bind(new.provider)
                .bind(&new.key)
                .bind(MOST_OPEN)
                .fetch_optional(tx.conn())
                .await?
                .ok_or(BeginError::TooManyOpen)?;
                Ok(top_up(&row)?)
            })
        })
        .await
}

/// The provider knows the intent: under which name, and where it is paid.
///
/// # Errors
/// [`StoreError`].
pub async fn announced(store: &Store, id: TopUpId, reference: &str, redirect_url: &str) -> Result<()> {
    sqlx::query(
        "-- store.top_ups.announced
        update top_ups set reference = $2, redirect_url = $3 where id = $1 and (reference is null or reference = $2)",
    )
    .bind(id.0)
    .bind(reference)
    .bind(redirect_url)
    .execute(store.pool())
    .await?;
    Ok(())
}

/// The provider refused the intent, or did not answer: nobody can pay it.
///
/// # Errors
/// [`StoreError`].
pub async fn not_announced(store: &Store, id: TopUpId, problem: &str) -> Result<()> {
    sqlx::query(
        "-- store.top_ups.not_announced
        update top_ups set status = 'FAILED', problem = $2 where id = $1 and status = 'PENDING' and reference is null",
    )
    .bind(id.0)
    .bind(short(problem))
    .execute(store.pool())
    .await?;
    Ok(())
}

/// The intent of `user`; nobody else's.
///
/// # Errors
/// [`StoreError`].
pub async fn by_id(store: &Store, user: UserId, id: TopUpId) -> Result<Option<TopUp>> {
    let row = sqlx::query(concat!(
        "-- store.top_ups.by_id\nselect ",
        columns!(),
        " from top_ups where id = $1 and user_id = $2"
    ))
    .bind(id.0)
    .bind(user.0)
    .fetch_optional(store.pool())
    .await?;
    row.as_ref().map(top_up).transpose()
}

/// The intent that `provider` knows as `reference`.
///
/// # Errors
/// [`StoreError`].
pub async fn by_reference(store: &Store, provider: &str, reference: &str) -> Result<Option<TopUp>> {
    // It stands in addresses that anybody may write; the database takes no such text.
    if reference.contains('\0') {
        return Ok(None);
    }
    let row = sqlx::query(concat!(
        "-- store.top_ups.by_reference\nselect ",
        columns!(),
        " from top_ups where provider = $1 and reference = $2"
    ))
    .bind(provider)
    .bind(reference)
    .fetch_optional(store.pool())
    .await?;
    row.as_ref().map(top_up).transpose()
}

/// Takes up to `most` intents without a last word whose time has come; each is somebody else's to ask about again after a
/// wait that doubles from one minute to an hour. Those that no provider ever heard of are given up on the way.
///
/// # Errors
/// [`StoreError`].
pub async fn due(store: &Store, provider: &str, most: u32) -> Result<Vec<TopUp>> {
    let provider = provider.to_owned();
    store
        .tx("top_ups.due", move |tx| {
            let provider = provider.clone();
            Box::pin(async move {
                sqlx::query(
                    "-- store.top_ups.due.forgotten
                    update top_ups set status = 'FAILED', problem = 'the provider was never told'
                     where id in (select id from top_ups where status = 'PENDING' and reference is null
                                     and created_at < now() - make_interval(mins => $1) limit 100 for update skip locked)",
                )
                .bind(FORGOTTEN_AFTER_MINUTES)
                .execute(tx.conn())
                .await?;
                let rows = sqlx::query(concat!(
                    "-- store.top_ups.due
                    update top_ups set attempts = attempts + 1,
                           not_before = now() + make_interval(mins => least(60, power(2, least(attempts, 6))::integer))
                     where id in (select id from top_ups where status in ('PENDING', 'PROCESSING') and reference is not null
                                     and provider = $1 and not_before <= now()
                                   order by not_before limit $2 for update skip locked)
                    returning ",
                    columns!()
                ))
                .bind(&provider)
                .bind(i64::from(most))
                .fetch_all(tx.conn())
                .await?;
                rows.iter().map(top_up).collect::<Result<Vec<_>>>()
            })
        })
        .await
}

/// Forgets what providers said more than `age` ago; the bookings stay. At most a thousand at a time; returns how many.
///
/// # Errors
/// [`StoreError`].
pub async fn sweep(store: &Store, age: Duration) -> Result<u64> {
    let done = sqlx::query(
        "-- store.top_ups.sweep
        delete from payment_events where (provider, event_id) in (
            select provider, event_id from payment_events where received_at < now() - make_interval(secs => $1)
             order by received_at limit 1000 for update skip locked)",
    )
    .bind(age.as_secs_f64())
    .execute(store.pool())
    .await?;
    Ok(done.rows_affected())
}

/// As much as a column holds.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
