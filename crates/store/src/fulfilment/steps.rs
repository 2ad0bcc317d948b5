//! A unit's way through G2A, one fenced step at a time. Intents are committed before a call, results after it.

use std::time::Duration;

use lockstep_domain::Money;

use super::queue::{Lease, held, lock_order_of};
use crate::{Result, Tx};

/// Longest reason that is kept.
const REASON: usize = 300;

/// A reason as it is stored: bounded, without control characters.
pub(super) fn reason(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON).collect()
}

/// `NEW → ORDERING`: an order at G2A is about to be made. The shop's order is `PROCESSING` from now on.
///
/// # Errors
/// [`Fenced`](crate::StoreError::Fenced), [`Unavailable`](crate::StoreError::Unavailable); so for every step.
pub async fn begin_ordering(tx: &mut Tx, lease: Lease) -> Result<()> {
    let order = lock_order_of(tx, lease.unit).await?;
    let done = sqlx::query(
        "-- store.fulfilment.begin_ordering
        update order_units set state = 'ORDERING', not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'NEW'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())?;
    sqlx::query(
        "-- store.fulfilment.processing\nupdate orders set status = 'PROCESSING' where id = $1 and status = 'PENDING'",
    )
    .bind(order.0)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// `ORDERING → ORDERED`: the order exists at G2A, unpaid, and is known here. Only now may it be paid.
///
/// # Errors
/// A [`Rule`](crate::StoreError::Rule) when G2A gave the same id to two orders (`g2a_orders_pkey`).
pub async fn ordered(tx: &mut Tx, lease: Lease, g2a_order_id: &str, price: Money) -> Result<()> {
    let order = lock_order_of(tx, lease.unit).await?;
    let done = sqlx::query(
        "-- store.fulfilment.ordered
        update order_units set state = 'ORDERED', g2a_order_id = $4, g2a_price = $5, ordered_at = now(), pay_asked_at = null,
               last_error = null, not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'ORDERING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .bind(g2a_order_id)
    .bind(price.decimal())
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())?;
    sqlx::query(
        "-- store.fulfilment.external_order_id
        update orders set external_order_id = $2 where id = $1 and external_order_id is null",
    )
    .bind(order.0)
    .bind(g2a_order_id)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// `ORDERED → PAYING`: money is about to move.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn begin_paying(tx: &mut Tx, lease: Lease) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.begin_paying
        update order_units set state = 'PAYING', pay_asked_at = now(), not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'ORDERED'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `PAYING`, once more: G2A said that nothing was paid, and no earlier request can still be under way.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn pay_again(tx: &mut Tx, lease: Lease) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.pay_again
        update order_units set pay_asked_at = now(), not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'PAYING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `PAYING`: G2A said that the time for paying is over. Decided after `wait`, by what it says of the order then.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn too_late(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.too_late
        update order_units set ordered_at = least(ordered_at, now() - interval '1 day'), worker = null, last_error = $4,
               not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'PAYING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(wait.as_secs_f64())
    .bind(reason(why))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `PAYING → ORDERED`: this payment did not happen, and none is under way. Tried again after `wait`.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn not_paid(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.not_paid
        update order_units set state = 'ORDERED', pay_asked_at = null, worker = null, attempts = least(attempts + 1, 1000),
               last_error = $4, not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'PAYING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(wait.as_secs_f64())
    .bind(reason(why))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `PAYING → PAID`: G2A has the money.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn paid(tx: &mut Tx, lease: Lease, transaction_id: Option<&str>) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.paid
        update order_units set state = 'PAID', g2a_transaction_id = coalesce($4, g2a_transaction_id), attempts = 0, refusals = 0, last_error = null,
               not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'PAYING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .bind(transaction_id.map(reason))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())?;
    // Whatever kept us from paying is over.
    sqlx::query("-- store.fulfilment.alarms_over\ndelete from supplier_alarms")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// `PAID → FETCHING`, or `FETCHING` once more: the key is about to be read, which works once.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn begin_fetching(tx: &mut Tx, lease: Lease) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.begin_fetching
        update order_units set state = 'FETCHING', not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state in ('PAID', 'FETCHING')",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `FETCHING → PAID`: G2A has not given the key out, and will later.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn not_ready(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.not_ready
        update order_units set state = 'PAID', worker = null, attempts = least(attempts + 1, 1000), last_error = $4,
               not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'FETCHING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(wait.as_secs_f64())
    .bind(reason(why))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `FETCHING → LOST`: the key was read, and not by anybody who has stored it. Compensated after `grace`, in case it
/// lies in the spool of a worker that is down.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn lost(tx: &mut Tx, lease: Lease, grace: Duration, why: &str) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.lost
        update order_units set state = 'LOST', worker = null, attempts = 0, last_error = $4,
               not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'FETCHING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(grace.as_secs_f64())
    .bind(reason(why))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `LOST → NEW`: a replacement is bought.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn bought_again(tx: &mut Tx, lease: Lease) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.bought_again
        update order_units set state = 'NEW', g2a_order_id = null, g2a_price = null, g2a_transaction_id = null, ordered_at = null,
               pay_asked_at = null, replacements = replacements + 1, not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'LOST'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `ORDERING`, `ORDERED` or `PAYING → NEW`: what was ordered at G2A is unpaid and is left to lapse. Tried again after
/// `wait`. From `PAYING` only when G2A has said that it was never paid and no longer can be.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn give_up(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.give_up
        update order_units set state = 'NEW', g2a_order_id = null, g2a_price = null, ordered_at = null, pay_asked_at = null,
               worker = null, attempts = least(attempts + 1, 1000), last_error = $4, not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state in ('ORDERING', 'ORDERED', 'PAYING')",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(wait.as_secs_f64())
    .bind(reason(why))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// `ORDERING → NEW`: G2A refused the order, or asks too much. Tried again after `wait`; counted as a refusal.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn refused(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.refused
        update order_units set state = 'NEW', worker = null, refusals = least(refusals + 1, 1000), last_error = $4,
               not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'ORDERING'",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(wait.as_secs_f64())
    .bind(reason(why))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}

/// Stays where it is; looked at again after `wait`. `failed` counts as an attempt.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn postpone(tx: &mut Tx, lease: Lease, wait: Duration, failed: Option<&str>) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.postpone
        update order_units set worker = null, not_before = now() + make_interval(secs => $3),
               attempts = case when $4::text is null then attempts else least(attempts + 1, 1000) end,
               last_error = coalesce($4, last_error)
         where id = $1 and epoch = $2 and state not in ('DONE', 'REFUNDED')",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(wait.as_secs_f64())
    .bind(failed.map(reason))
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())
}
