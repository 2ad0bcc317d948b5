//! The work queue of units: a lease that is renewed while a worker is active, and an epoch that voids the decisions of
//! a worker that lost it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{GameId, OrderId, UnitId};
use lockstep_domain::order::UnitState;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::row::{count_of, how_many_of, money_of, span, unit_state_of};
use crate::{Result, Store, StoreError, Tx};

/// The right to decide about a unit, until it expires and another worker has claimed the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease {
    /// The unit.
    pub unit: UnitId,
    /// The unit's epoch when it was claimed.
    pub epoch: i64,
    /// How long each step extends the lease, in seconds.
    pub seconds: f64,
}

/// A claimed unit with all data that decisions about it need. Durations are as of when it was read.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Unit {
    /// The right to decide about a unit.
    pub lease: Lease,
    /// Its state.
    pub state: UnitState,
    /// Its order.
    pub order: OrderId,
    /// The game.
    pub game: GameId,
    /// G2A's product; `None` for a game that is only sold from own stock.
    pub product: Option<String>,
    /// What the shopper paid for it, EUR.
    pub price_paid: Money,
    /// The shop's price of a unit before any promo code, EUR.
    pub list_price: Money,
    /// The order at G2A.
    pub g2a_order_id: Option<String>,
    /// The mark of the account at G2A that placed it; `None` if that was not recorded.
    pub g2a_account: Option<String>,
    /// G2A's price of that order, EUR.
    pub g2a_price: Option<Money>,
    /// Attempts since its last progress, without those that G2A refused.
    pub attempts: u32,
    /// Orders that G2A refused since then.
    pub refusals: u32,
    /// Number of lost keys that were bought again.
    pub replacements: u32,
    /// Age of the reservation at G2A.
    pub ordered_for: Option<Duration>,
    /// Time since the last payment request that may still be in progress.
    pub paying_for: Option<Duration>,
    /// A refund was requested.
    pub cancel_asked: bool,
    /// Money of its buyer is disputed, owed, or reported as fraud: nothing more is bought or fetched for it.
    pub is_held: bool,
    /// Its key was faulty, and another one is bought in its place.
    pub is_replacement: bool,
    /// The buyer owes what was taken back of their payments.
    pub is_owing: bool,
    /// The game's release date, if it is known and was in the future at the time of the order.
    pub announced_for: Option<DateTime<Utc>>,
    /// Time until the release; `None` if it is out.
    pub out_in: Option<Duration>,
    /// Time since the release.
    pub out_for: Option<Duration>,
}

/// A [`Unit`] as it is read.
#[expect(clippy::struct_excessive_bools, reason = "the columns")]
struct Row {
    id: Uuid,
    epoch: i64,
    state: String,
    order_id: Uuid,
    game_id: Uuid,
    price_paid: Decimal,
    list_price: Decimal,
    g2a_order_id: Option<String>,
    g2a_account: Option<String>,
    g2a_price: Option<Decimal>,
    attempts: i32,
    refusals: i32,
    replacements: i32,
    cancel_asked: bool,
    is_held: bool,
    is_replacement: bool,
    is_owing: bool,
    g2a_product_id: Option<String>,
    ordered_for: Option<Decimal>,
    paying_for: Option<Decimal>,
    announced_for: Option<DateTime<Utc>>,
    out_in: Decimal,
}

/// A statement whose first part names the units `taken`; returns each as a [`Row`].
macro_rules! query_units {
    ($taken:literal, $order:literal, $($value:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            $taken
                + r#"
                select u.id, u.epoch, u.state, u.order_id, u.game_id, u.price_paid, i.price as list_price, u.g2a_order_id,
                       u.g2a_account, u.g2a_price, u.attempts, u.refusals, u.replacements,
                       o.cancel_asked_at is not null as "cancel_asked!", buyer_is_held(o.user_id) as "is_held!",
                       copies_go_back(o.user_id) as "is_owing!",
                       u.faulty_key_id is not null as "is_replacement!", g.g2a_product_id,
                       extract(epoch from now() - u.ordered_at) as ordered_for,
                       extract(epoch from now() - u.pay_asked_at) as paying_for,
                       case when g.release_date_known and g.release_date > o.created_at
                            then g.release_date end as announced_for,
                       extract(epoch from g.release_date - now()) as "out_in!"
                  from taken u join orders o on o.id = u.order_id join order_items i on i.id = u.order_item_id
                  join games g on g.id = u.game_id"#
                + $order,
            $($value),+
        )
    };
}

fn unit(row: Row, seconds: f64) -> Result<Unit> {
    let Row {
        announced_for, out_in, ..
    } = row;
    Ok(Unit {
        lease: Lease {
            unit: UnitId(row.id),
            epoch: row.epoch,
            seconds,
        },
        state: unit_state_of(&row.state)?,
        order: OrderId(row.order_id),
        game: GameId(row.game_id),
        product: row.g2a_product_id,
        price_paid: money_of(row.price_paid)?,
        list_price: money_of(row.list_price)?,
        g2a_order_id: row.g2a_order_id,
        g2a_account: row.g2a_account,
        g2a_price: row.g2a_price.map(money_of).transpose()?,
        attempts: count_of(row.attempts)?,
        refusals: count_of(row.refusals)?,
        replacements: count_of(row.replacements)?,
        ordered_for: row.ordered_for.map(span),
        paying_for: row.paying_for.map(span),
        cancel_asked: row.cancel_asked,
        is_held: row.is_held,
        is_replacement: row.is_replacement,
        is_owing: row.is_owing,
        announced_for,
        out_in: announced_for.filter(|_| out_in > Decimal::ZERO).map(|_| span(out_in)),
        out_for: announced_for.filter(|_| out_in <= Decimal::ZERO).map(|_| span(-out_in)),
    })
}

/// Claims up to `most` due units, the longest waiting first, for the duration `lease`, except those in `but`, which the
/// caller already holds. A claimed unit has one holder.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn claim(store: &Store, worker: Uuid, most: u32, lease: Duration, but: &[UnitId]) -> Result<Vec<Unit>> {
    let seconds = lease.as_secs_f64();
    let but: Vec<Uuid> = but.iter().map(|unit| unit.0).collect();
    store
        .tx("fulfilment.claim", move |tx| {
            let but = but.clone();
            Box::pin(async move {
                let rows = query_units!(
                    "-- store.fulfilment.claim
                    with due as (
                        select id from order_units where state not in ('DONE', 'REFUNDED') and not_before <= now()
                           and id <> all ($4)
                         order by not_before, id limit $1 for update skip locked),
                    taken as (
                        update order_units u
                           set epoch = epoch + 1, worker = $2, not_before = now() + make_interval(secs => $3)
                          from due where u.id = due.id returning u.*)",
                    " order by u.created_at, u.id",
                    i64::from(most),
                    worker,
                    seconds,
                    &but,
                )
                .fetch_all(tx.conn())
                .await?;
                rows.into_iter()
                    .map(|row| unit(row, seconds))
                    .collect::<Result<Vec<_>>>()
            })
        })
        .await
}

/// A heartbeat: restarts the lease from the current time. Has no effect on a unit that was released or claimed by
/// another worker.
///
/// # Errors
/// [`StoreError::Fenced`] when the lease is no longer held, [`StoreError::Unavailable`].
pub async fn renew(store: &Store, lease: Lease) -> Result<()> {
    let done = sqlx::query!(
        "-- store.fulfilment.renew
        update order_units set not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and worker is not null and state not in ('DONE', 'REFUNDED')",
        lease.unit.0,
        lease.epoch,
        lease.seconds
    )
    .execute(store.alone())
    .await?;
    held(done.rows_affected())
}

/// The unit's current data, if the lease still holds.
///
/// # Errors
/// [`StoreError::Fenced`] when it does not, [`StoreError::Unavailable`].
pub async fn load(store: &Store, lease: Lease) -> Result<Unit> {
    let row = query_units!(
        "-- store.fulfilment.load
        with taken as (select * from order_units where id = $1 and epoch = $2)",
        "",
        lease.unit.0,
        lease.epoch,
    )
    .fetch_optional(store.alone())
    .await?;
    unit(row.ok_or(StoreError::Fenced)?, lease.seconds)
}

/// Releases the units of a dead worker at once; returns how many. Call it only for a worker that is known to be dead.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn release_worker(store: &Store, worker: Uuid) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.fulfilment.release_worker
        update order_units set epoch = epoch + 1, worker = null, not_before = now()
         where worker = $1 and state not in ('DONE', 'REFUNDED')",
        worker
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// Time until the next unit is due (zero if one is), or `None` if none is waiting.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn next_due(store: &Store) -> Result<Option<Duration>> {
    let seconds: Option<Decimal> = sqlx::query_scalar!(
        r#"-- store.fulfilment.next_due
        select extract(epoch from not_before - now()) as "seconds!" from order_units
         where state not in ('DONE', 'REFUNDED') order by not_before, id limit 1"#
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(seconds.map(span))
}

/// The amount of pending work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Units that have not ended.
    pub open: u64,
    /// Of these, units whose payment at G2A was made, or may have been, more than an hour ago.
    pub paid_and_waiting: u64,
    /// Of these, units of unreleased games.
    pub preordered: u64,
}

/// Counts open units.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn waiting(store: &Store) -> Result<Load> {
    let row = sqlx::query!(
        r#"-- store.fulfilment.waiting
        select count(*) as "open!",
               count(*) filter (where u.state in ('PAYING', 'PAID', 'FETCHING', 'LOST') and u.pay_asked_at < now() - interval '1 hour')
                   as "paid_and_waiting!",
               count(*) filter (where g.release_date_known and g.release_date > now()) as "preordered!"
          from order_units u join games g on g.id = u.game_id where u.state not in ('DONE', 'REFUNDED')"#
    )
    .fetch_one(store.alone())
    .await?;
    Ok(Load {
        open: how_many_of(row.open),
        paid_and_waiting: how_many_of(row.paid_and_waiting),
        preordered: how_many_of(row.preordered),
    })
}

/// Maps the number of rows that a fenced statement changed to a result.
pub(super) fn held(rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Fenced) }
}

/// Locks the order of a unit: the first lock of every step that can end a unit.
pub(super) async fn lock_order_of(tx: &mut Tx, unit: UnitId) -> Result<OrderId> {
    let id: Option<Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.lock_order
        select id from orders where id = (select order_id from order_units where id = $1) for no key update",
        unit.0
    )
    .fetch_optional(tx.conn())
    .await?;
    id.map(OrderId).ok_or(StoreError::Fenced)
}
