//! A unit's steps at G2A, each fenced. Intents are committed before a call, results after it.
//!
//! Every step has one form: under its lease and from the permitted states a unit changes, or nothing changes. The
//! worker either continues with the unit, which extends the lease, or releases it until a given time has passed.

use std::time::Duration;

use lockstep_domain::Money;

use super::queue::{Lease, held, lock_order_of};
use crate::{Result, Tx};

/// Maximum length of a stored reason.
const REASON: usize = 300;

/// A reason in its stored form: bounded, without control characters.
pub(super) fn reason(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON).collect()
}

/// A step: under the `lease` and from the states `$from` the unit changes by `$change`, and is due again in `$seconds`.
/// In `$change`, `$1` to `$3` are the lease and these seconds; the `$value`s follow.
macro_rules! step {
    ($tx:ident, $lease:ident, $seconds:expr, $name:literal, $from:literal,
     $change:literal, $more:literal $(, $value:expr)*) => {{
        let done = sqlx::query!(
            "-- store.fulfilment." + $name + "\nupdate order_units set not_before = now() + make_interval(secs => $3), "
                + $change + $more + "\n where id = $1 and epoch = $2 and state " + $from,
            $lease.unit.0,
            $lease.epoch,
            $seconds
            $(, $value)*
        )
        .execute($tx.conn())
        .await?;
        held(done.rows_affected())
    }};
}

/// A [`step`] that extends the lease.
macro_rules! extend {
    ($tx:ident, $lease:ident, $name:literal, $from:literal, $change:literal $(, $value:expr)*) => {
        step!($tx, $lease, $lease.seconds, $name, $from, $change, "" $(, $value)*)
    };
}

/// A [`step`] that releases the unit for the time `$wait`; `$4` is the reason, if there is a new one.
macro_rules! release {
    ($tx:ident, $lease:ident, $wait:expr, $why:expr, $name:literal, $from:literal, $change:literal) => {
        step!(
            $tx,
            $lease,
            $wait.as_secs_f64(),
            $name,
            $from,
            $change,
            ", worker = null, last_error = coalesce($4, last_error)",
            $why
        )
    };
}

/// `NEW → ORDERING`: an order at G2A is about to be placed. The shop's order becomes `PROCESSING`.
///
/// # Errors
/// [`Fenced`](crate::StoreError::Fenced), [`Unavailable`](crate::StoreError::Unavailable); the same for every step.
pub async fn begin_ordering(tx: &mut Tx, lease: Lease) -> Result<()> {
    let order = lock_order_of(tx, lease.unit).await?;
    extend!(tx, lease, "begin_ordering", "= 'NEW'", "state = 'ORDERING'")?;
    sqlx::query!(
        "-- store.fulfilment.processing\nupdate orders set status = 'PROCESSING' where id = $1 and status = 'PENDING'",
        order.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// `ORDERING → ORDERED`: the order exists at G2A, unpaid, and its id is stored, with the mark of the account that it
/// belongs to. It must not be paid earlier.
///
/// # Errors
/// A [`Rule`](crate::StoreError::Rule) when G2A gave the same id to two orders (`g2a_orders_pkey`).
pub async fn ordered(tx: &mut Tx, lease: Lease, g2a_order_id: &str, price: Money, account: Option<&str>) -> Result<()> {
    let order = lock_order_of(tx, lease.unit).await?;
    extend!(
        tx,
        lease,
        "ordered",
        "= 'ORDERING'",
        "state = 'ORDERED', g2a_order_id = $4, g2a_price = $5, g2a_account = $6, ordered_at = now(), pay_asked_at = null,
         last_error = null",
        g2a_order_id,
        price.decimal(),
        account
    )?;
    sqlx::query!(
        "-- store.fulfilment.external_order_id
        update orders set external_order_id = $2 where id = $1 and external_order_id is null",
        order.0,
        g2a_order_id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// `ORDERED → PAYING`: a payment is about to be made.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn begin_paying(tx: &mut Tx, lease: Lease) -> Result<()> {
    extend!(
        tx,
        lease,
        "begin_paying",
        "= 'ORDERED'",
        "state = 'PAYING', pay_asked_at = now()"
    )
}

/// `PAYING` again: G2A reported that nothing was paid, and no earlier request can still be in progress.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn pay_again(tx: &mut Tx, lease: Lease) -> Result<()> {
    extend!(tx, lease, "pay_again", "= 'PAYING'", "pay_asked_at = now()")
}

/// `PAYING`: G2A reported that the payment deadline has passed. Decided after `wait`, by G2A's status of the order
/// then.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn too_late(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    release!(
        tx,
        lease,
        wait,
        reason(why),
        "too_late",
        "= 'PAYING'",
        "ordered_at = least(ordered_at, now() - interval '1 day')"
    )
}

/// `PAYING → ORDERED`: this payment did not happen, and none is in progress. Retried after `wait`.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn not_paid(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    release!(
        tx,
        lease,
        wait,
        reason(why),
        "not_paid",
        "= 'PAYING'",
        "state = 'ORDERED', pay_asked_at = null, attempts = least(attempts + 1, 1000)"
    )
}

/// `PAYING → PAID`: G2A has the money.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn paid(tx: &mut Tx, lease: Lease, transaction_id: Option<&str>) -> Result<()> {
    extend!(
        tx,
        lease,
        "paid",
        "= 'PAYING'",
        "state = 'PAID', g2a_transaction_id = coalesce($4, g2a_transaction_id), attempts = 0, refusals = 0,
         last_error = null",
        transaction_id.map(reason)
    )?;
    // Every reason that prevented payments is over.
    sqlx::query!("-- store.fulfilment.alarms_over\ndelete from supplier_alarms")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// `PAID → FETCHING`, or `FETCHING` again: the key is about to be read, which works once.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn begin_fetching(tx: &mut Tx, lease: Lease) -> Result<()> {
    extend!(
        tx,
        lease,
        "begin_fetching",
        "in ('PAID', 'FETCHING')",
        "state = 'FETCHING'"
    )
}

/// `FETCHING → PAID`: G2A has not provided the key yet.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn not_ready(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    release!(
        tx,
        lease,
        wait,
        reason(why),
        "not_ready",
        "= 'FETCHING'",
        "state = 'PAID', attempts = least(attempts + 1, 1000)"
    )
}

/// `FETCHING → LOST`: the key was read, but not by a worker that stored it. Compensated after `grace`, in case it is in
/// the spool of a worker that is down.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn lost(tx: &mut Tx, lease: Lease, grace: Duration, why: &str) -> Result<()> {
    release!(
        tx,
        lease,
        grace,
        reason(why),
        "lost",
        "= 'FETCHING'",
        "state = 'LOST', attempts = 0"
    )
}

/// `LOST → NEW`: a replacement is bought.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn bought_again(tx: &mut Tx, lease: Lease) -> Result<()> {
    extend!(
        tx,
        lease,
        "bought_again",
        "= 'LOST'",
        "state = 'NEW', g2a_order_id = null, g2a_price = null, g2a_transaction_id = null, ordered_at = null,
         pay_asked_at = null, replacements = replacements + 1"
    )
}

/// `ORDERING`, `ORDERED` or `PAYING → NEW`: the order at G2A is unpaid and is left to expire. Retried after `wait`.
/// From `PAYING` only if G2A has reported that it was never paid and no longer can be.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn give_up(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    release!(
        tx,
        lease,
        wait,
        reason(why),
        "give_up",
        "in ('ORDERING', 'ORDERED', 'PAYING')",
        "state = 'NEW', g2a_order_id = null, g2a_price = null, ordered_at = null, pay_asked_at = null,
         attempts = least(attempts + 1, 1000)"
    )
}

/// `ORDERING → NEW`: G2A refused the order, or its price is too high. Retried after `wait`; counts as a refusal.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn refused(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    release!(
        tx,
        lease,
        wait,
        reason(why),
        "refused",
        "= 'ORDERING'",
        "state = 'NEW', refusals = least(refusals + 1, 1000)"
    )
}

/// Keeps the state; due again after `wait`. `failed` counts as an attempt.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn postpone(tx: &mut Tx, lease: Lease, wait: Duration, failed: Option<&str>) -> Result<()> {
    release!(
        tx,
        lease,
        wait,
        failed.map(reason),
        "postpone",
        "not in ('DONE', 'REFUNDED')",
        "attempts = case when $4::text is null then attempts else least(attempts + 1, 1000) end"
    )
}

/// Keeps the state of a unit whose buyer is held; due again after `wait`. Counts as nothing.
///
/// # Errors
/// See [`begin_ordering`].
pub async fn hold(tx: &mut Tx, lease: Lease, wait: Duration, why: &str) -> Result<()> {
    release!(
        tx,
        lease,
        wait,
        reason(why),
        "hold",
        "in ('NEW', 'ORDERED', 'PAID')",
        "attempts = attempts"
    )
}
