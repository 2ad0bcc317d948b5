//! Deletes old records that would otherwise grow without limit and that no other module deletes. `docs/operations.md`
//! states the retention time of each table and its reason.

use crate::{Result, Store};

/// Reveals of sold keys: longer than a payment can be disputed (540 days).
const REVEALS_DAYS: i32 = 730;
/// Incidents that are closed, or whose order unit is settled.
const INCIDENTS_DAYS: i32 = 365;
/// Top-ups that were never paid. Longer than payment events, which refer to them.
const UNPAID_DAYS: i32 = 180;

/// Changes of prices: longer than any rule about advertised reductions looks back.
const PRICES_DAYS: i32 = 730;

/// Deletes expired rows, at most a thousand of each kind; returns how many. Call again while there are any.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let reveals = sqlx::query!(
        "-- store.retention.reveals
            delete from key_reveals where id in (
                select id from key_reveals where at < now() - make_interval(days => $1)
                 order by at limit 1000 for update skip locked)",
        REVEALS_DAYS
    );
    let incidents = sqlx::query!(
        "-- store.retention.incidents
            delete from incidents where id in (
                select id from incidents i where created_at < now() - make_interval(days => $1)
                   and (resolved_at is not null or not exists (
                        select from order_units u where u.id = i.order_unit_id and u.state not in ('DONE', 'REFUNDED')))
                 order by created_at limit 1000 for update skip locked)",
        INCIDENTS_DAYS
    );
    let unpaid = sqlx::query!(
        "-- store.retention.unpaid
            delete from top_ups where id in (
                select id from top_ups p where status in ('FAILED', 'CANCELLED') and updated_at < now() - make_interval(days => $1)
                   and not exists (select from payment_events e where e.top_up_id = p.id)
                 order by updated_at limit 1000 for update skip locked)",
        UNPAID_DAYS
    );
    let prices = sqlx::query!(
        "-- store.retention.prices
            delete from price_changes where id in (
                select id from price_changes where at < now() - make_interval(days => $1)
                 order by at limit 1000 for update skip locked)",
        PRICES_DAYS
    );
    let mut forgotten = 0;
    for statement in [reveals, incidents, unpaid, prices] {
        forgotten += statement.execute(store.alone()).await?.rows_affected();
    }
    Ok(forgotten)
}
