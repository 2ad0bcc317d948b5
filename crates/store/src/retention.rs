//! What is forgotten after a time, of records that would only ever grow and that no other module forgets. How long each
//! table is kept, and why, stands in `docs/operations.md`.

use crate::{Result, Store};

/// Looks at sold keys: longer than anybody can dispute a payment (540 days).
const REVEALS_DAYS: i32 = 730;
/// Incidents that are closed, or whose copy is settled.
const INCIDENTS_DAYS: i32 = 365;
/// Top-ups that came to nothing. Longer than payment events are kept, which refer to them.
const UNPAID_DAYS: i32 = 180;

/// Forgets what is old enough, at most a thousand rows of each kind; returns how many. Call again while there are any.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let mut forgotten = 0;
    for (days, statement) in [
        (
            REVEALS_DAYS,
            "-- store.retention.reveals
            delete from key_reveals where id in (
                select id from key_reveals where at < now() - make_interval(days => $1)
                 order by at limit 1000 for update skip locked)",
        ),
        (
            INCIDENTS_DAYS,
            "-- store.retention.incidents
            delete from incidents where id in (
                select id from incidents i where created_at < now() - make_interval(days => $1)
                   and (resolved_at is not null or not exists (
                        select from order_units u where u.id = i.order_unit_id and u.state not in ('DONE', 'REFUNDED')))
                 order by created_at limit 1000 for update skip locked)",
        ),
        (
            UNPAID_DAYS,
            "-- store.retention.unpaid
            delete from top_ups where id in (
                select id from top_ups p where status in ('FAILED', 'CANCELLED') and updated_at < now() - make_interval(days => $1)
                   and not exists (select from payment_events e where e.top_up_id = p.id)
                 order by updated_at limit 1000 for update skip locked)",
        ),
    ] {
        let done = sqlx::query(statement).bind(days).execute(store.alone()).await?;
        forgotten += done.rows_affected();
    }
    Ok(forgotten)
}
