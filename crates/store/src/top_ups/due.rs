//! Top-ups whose state has to be queried from the provider, and those that staff has to review because queries returned
//! no final state.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;

use super::{TopUp, query_top_ups, top_up};
use crate::row::money_of;
use crate::{Result, Store};

/// A provider ends unpaid payments within 24 hours (Stripe's longest session), and has an hour to report it. What is
/// still open then goes to staff.
const NO_END_AFTER_HOURS: i32 = 25;
/// The same for payments in progress: a bank debit takes up to two weeks.
const NO_END_OF_PROCESSING_AFTER_DAYS: i32 = 30;

/// Claims up to `most` due top-ups of `provider` without a final state, oldest first. Each is due again after a wait
/// that doubles from one minute to an hour, and once a day while it is with staff. The claim holds for `lease`.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn due(store: &Store, provider: &str, most: u32, lease: Duration) -> Result<Vec<TopUp>> {
    let rows = query_top_ups!(
        "-- store.top_ups.due
        update top_ups set attempts = attempts + 1,
               asking_until = now() + make_interval(secs => $3),
               not_before = now() + case when review = 'NO_END' then interval '1 day'
                                         else make_interval(mins => least(60, power(2, least(attempts, 6))::integer)) end
         where id in (select id from top_ups
                       where (status in ('PENDING', 'PROCESSING') or closing_since is not null) and reviewed_at is null
                         and not_before <= now() and provider = $1 and (asking_until is null or asking_until <= now())
                       order by not_before limit $2 for update skip locked)
        returning ",
        "",
        provider,
        i64::from(most),
        lease.as_secs_f64(),
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter().map(top_up).collect()
}

/// Hands top-ups of all providers to staff that reached no final state in time; at most a hundred per call. Queries
/// about them continue.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn without_end(store: &Store) -> Result<Vec<TopUpId>> {
    let ids = sqlx::query_scalar!(
        "-- store.top_ups.without_end
        update top_ups set review = 'NO_END', review_since = now()
         where id in (select id from top_ups
                       where (status in ('PENDING', 'PROCESSING') or closing_since is not null) and reviewed_at is null
                         and review is null
                         and created_at < now() - case status when 'PROCESSING' then make_interval(days => $2)
                                                              else make_interval(hours => $1) end
                       limit 100 for update skip locked)
        returning id",
        NO_END_AFTER_HOURS,
        NO_END_OF_PROCESSING_AFTER_DAYS
    )
    .fetch_all(store.alone())
    .await?;
    Ok(ids.into_iter().map(TopUpId).collect())
}

/// Why staff has to review a top-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// The provider reported no final state in time.
    NoEnd,
    /// Another amount or currency was paid.
    OtherAmount,
    /// It was paid after its account was deleted.
    NoOwner,
}

impl Review {
    /// The name in the database.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NoEnd => "NO_END",
            Self::OtherAmount => "OTHER_AMOUNT",
            Self::NoOwner => "NO_OWNER",
        }
    }
}

/// A top-up for staff to review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToReview {
    /// Its id, which the provider stores as metadata `top_up`.
    pub id: TopUpId,
    /// The provider's name in the database.
    pub provider: String,
    /// The provider's id of the payment; `None` if its answer was lost.
    pub reference: Option<String>,
    /// The amount to pay, EUR.
    pub amount: Money,
    /// The reason for the review.
    pub why: Review,
    /// Start of the review.
    pub since: DateTime<Utc>,
    /// Details.
    pub problem: Option<String>,
}

/// The top-ups for staff to review, the longest waiting first, at most `most`.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn to_review(store: &Store, most: u32) -> Result<Vec<ToReview>> {
    let rows = sqlx::query!(
        r#"-- store.top_ups.to_review
        select id, provider, reference, amount, review as "review!", review_since as "review_since!", problem from top_ups
         where review is not null and reviewed_at is null order by review_since limit $1"#,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            let why = match row.review.as_str() {
                "NO_END" => Review::NoEnd,
                "OTHER_AMOUNT" => Review::OtherAmount,
                "NO_OWNER" => Review::NoOwner,
                other => return Err(crate::StoreError::Schema(format!("unknown review {other}"))),
            };
            Ok(ToReview {
                id: TopUpId(row.id),
                provider: row.provider,
                reference: row.reference,
                amount: money_of(row.amount)?,
                why,
                since: row.review_since,
                problem: row.problem,
            })
        })
        .collect()
}
