//! The books as a comparison with the provider needs them, and the differences that the last one found.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;
use uuid::Uuid;

use super::short;
use crate::row::money_of;
use crate::{Result, Store};

/// A credited top-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedCharge {
    /// The top-up.
    pub top_up: TopUpId,
    /// Its checkout session.
    pub session: Option<String>,
    /// What was credited, EUR.
    pub credited: Money,
    /// Its charge, once it was read.
    pub charge: Option<String>,
    /// Staff credited another amount than intended.
    pub by_staff: bool,
    /// What was paid, in units of `currency`.
    pub amount: Option<Money>,
    /// The currency of the payment.
    pub currency: Option<String>,
    /// What the provider kept, EUR.
    pub fee: Option<Money>,
    /// It was credited an hour ago, so that its charge has been read.
    pub is_settled: bool,
    /// When it was credited.
    pub at: DateTime<Utc>,
}

/// A refund in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedRefund {
    /// The shop's id.
    pub id: Uuid,
    /// The provider's name of it.
    pub reference: Option<String>,
    /// What the provider reported, EUR.
    pub claimed: Money,
    /// Its state.
    pub state: String,
    /// What the provider kept for it, EUR.
    pub fee: Option<Money>,
}

/// A dispute in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedDispute {
    /// The provider's name of it.
    pub reference: String,
    /// What the provider reported, EUR.
    pub claimed: Money,
    /// Its state.
    pub state: String,
    /// The provider's word.
    pub status: String,
    /// What the provider kept for it, EUR.
    pub fee: Money,
}

/// The books since a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Top-ups that were credited.
    pub charges: Vec<BookedCharge>,
    /// Refunds, and all older ones whose end is open.
    pub refunds: Vec<BookedRefund>,
    /// Disputes, and all older ones whose end is open.
    pub disputes: Vec<BookedDispute>,
    /// Warnings of fraud, by the provider's name.
    pub warnings: Vec<String>,
    /// There are more than a comparison reads.
    pub is_incomplete: bool,
}

/// Maximum number of rows of each kind.
const MOST: i64 = 100_000;

/// Reads the books of a provider since `since`.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn books(store: &Store, provider: &str, since: DateTime<Utc>) -> Result<Books> {
    let charges = sqlx::query!(
        r#"-- store.cards.comparison.charges
        select p.id, p.reference, coalesce(p.credited_amount, p.amount) as "credited!",
               p.credited_amount is not null as "by_staff!", c.charge as "charge?",
               c.amount as "amount?", c.currency as "currency?", c.fee as "fee?",
               t.created_at < now() - interval '1 hour' as "is_settled!", t.created_at
          from transactions t join top_ups p on p.transaction_id = t.id left join top_up_charges c on c.top_up_id = p.id
         where p.provider = $1 and t.type = 'TOP_UP' and t.status = 'COMPLETED' and t.created_at >= $2
         order by t.created_at limit $3"#,
        provider,
        since,
        MOST
    )
    .fetch_all(store.alone())
    .await?;
    let refunds = sqlx::query!(
        "-- store.cards.comparison.refunds
        select r.id, r.reference, r.claimed, r.state, r.fee from card_refunds r join top_ups p on p.id = r.top_up_id
         where p.provider = $1 and (r.created_at >= $2 or r.state in ('REQUESTED', 'PENDING')) order by r.created_at limit $3",
        provider,
        since,
        MOST
    )
    .fetch_all(store.alone())
    .await?;
    let disputes = sqlx::query!(
        "-- store.cards.comparison.disputes
        select d.reference, d.claimed, d.state, d.status, d.fee from disputes d join top_ups p on p.id = d.top_up_id
         where p.provider = $1
           and (d.opened_at >= $2 or d.state = 'OPEN'
                -- What was decided can be appealed, and an inquiry become a dispute, as long as cards allow one.
                or (d.status like 'appeal%' or d.status like 'warning%') and d.opened_at >= now() - interval '18 months')
         order by d.opened_at limit $3",
        provider,
        since,
        MOST
    )
    .fetch_all(store.alone())
    .await?;
    let warnings: Vec<String> = sqlx::query_scalar!(
        "-- store.cards.comparison.warnings
        select i.reference from payment_incidents i join top_ups p on p.id = i.top_up_id
         where i.kind = 'FRAUD_WARNING' and p.provider = $1 and i.created_at >= $2 limit $3",
        provider,
        since,
        MOST
    )
    .fetch_all(store.alone())
    .await?;
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    Ok(Books {
        is_incomplete: [charges.len(), refunds.len(), disputes.len(), warnings.len()].contains(&most),
        warnings,
        charges: charges
            .into_iter()
            .map(|row| {
                Ok(BookedCharge {
                    top_up: TopUpId(row.id),
                    session: row.reference,
                    credited: money_of(row.credited)?,
                    by_staff: row.by_staff,
                    charge: row.charge,
                    amount: row.amount.map(money_of).transpose()?,
                    currency: row.currency,
                    fee: row.fee.map(money_of).transpose()?,
                    is_settled: row.is_settled,
                    at: row.created_at,
                })
            })
            .collect::<Result<_>>()?,
        refunds: refunds
            .into_iter()
            .map(|row| {
                Ok(BookedRefund {
                    id: row.id,
                    reference: row.reference,
                    claimed: money_of(row.claimed)?,
                    state: row.state,
                    fee: row.fee.map(money_of).transpose()?,
                })
            })
            .collect::<Result<_>>()?,
        disputes: disputes
            .into_iter()
            .map(|row| {
                Ok(BookedDispute {
                    reference: row.reference,
                    claimed: money_of(row.claimed)?,
                    state: row.state,
                    status: row.status,
                    fee: money_of(row.fee)?,
                })
            })
            .collect::<Result<_>>()?,
    })
}

/// A difference between the books and the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which kind: `charge_missing`, `refund_state`, …
    pub kind: String,
    /// The provider's object, or the shop's id of what the provider does not know.
    pub reference: String,
    /// What differs, in words.
    pub detail: String,
}

/// From when on objects have to be compared: from `since`, or from the end of the last comparison if that is longer ago, at
/// most four hundred days.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn compared_since(store: &Store, provider: &str, since: DateTime<Utc>) -> Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar!(
        r#"-- store.cards.comparison.since
        select least($2::timestamptz, greatest($2::timestamptz - interval '400 days',
                     (select coalesce(ended_at, since) from payment_comparisons where provider = $1))) as "since!""#,
        provider,
        since
    )
    .fetch_one(store.alone())
    .await?)
}

/// Starts the comparison that is due once a day; false if it is not due, or another process makes it. One that did not end
/// is due again after an hour.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn begin_daily(store: &Store, provider: &str, since: DateTime<Utc>) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.cards.comparison.begin_daily
        insert into payment_comparisons as c (provider, began_at, since) values ($1, now(), $2)
        on conflict (provider) do update set began_at = now(), ended_at = null, since = excluded.since
         where c.began_at < now() - case when c.ended_at is null then interval '1 hour' else interval '1 day' end",
        provider,
        since
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records what a comparison found, in place of what the last one had found.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn record(
    store: &Store,
    provider: &'static str,
    since: DateTime<Utc>,
    compared: u32,
    found: &[Difference],
) -> Result<()> {
    let found: std::sync::Arc<[Difference]> = found.into();
    store
        .tx("cards.comparison.record", move |tx| {
            let found = std::sync::Arc::clone(&found);
            Box::pin(async move {
                sqlx::query!(
                    "-- store.cards.comparison.end
                    insert into payment_comparisons as c (provider, began_at, ended_at, since, compared)
                    values ($1, now(), now(), $2, $3)
                    on conflict (provider) do update set ended_at = now(), since = excluded.since, compared = excluded.compared",
                    provider,
                    since,
                    i32::try_from(compared).unwrap_or(i32::MAX)
                )
                .execute(tx.conn())
                .await?;
                sqlx::query!(
                    "-- store.cards.comparison.forget\ndelete from payment_differences where provider = $1",
                    provider
                )
                .execute(tx.conn())
                .await?;
                let column = |of: fn(&Difference) -> String| found.iter().map(of).collect::<Vec<_>>();
                sqlx::query!(
                    "-- store.cards.comparison.differences
                    insert into payment_differences (provider, kind, reference, detail)
                    select $1, kind, reference, detail from unnest($2::text[], $3::text[], $4::text[]) as found (kind, reference, detail)
                    on conflict do nothing",
                    provider,
                    &column(|one| short(&one.kind, 50)),
                    &column(|one| short(&one.reference, 200)),
                    &column(|one| short(&one.detail, 500))
                )
                .execute(tx.conn())
                .await?;
                Ok(())
            })
        })
        .await
}

/// The last comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When it ended; `None` if it did not, because the provider did not answer.
    pub ended_at: Option<DateTime<Utc>>,
    /// What differed, at most a hundred.
    pub differences: Vec<Difference>,
}

/// The last comparison with a provider, if there was one.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn last(store: &Store, provider: &str) -> Result<Option<Comparison>> {
    let row = sqlx::query!(
        "-- store.cards.comparison.last\nselect began_at, ended_at from payment_comparisons where provider = $1",
        provider
    )
    .fetch_optional(store.alone())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let differences = sqlx::query_as!(
        Difference,
        "-- store.cards.comparison.found
        select kind, reference, detail from payment_differences where provider = $1 order by kind, reference limit 100",
        provider
    )
    .fetch_all(store.alone())
    .await?;
    Ok(Some(Comparison {
        began_at: row.began_at,
        ended_at: row.ended_at,
        differences,
    }))
}
