//! Who works on which unit: a lease that is renewed while somebody works, and an epoch that makes an overtaken worker's
//! decisions void.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{GameId, OrderId, UnitId};
use lockstep_domain::order::UnitState;
use rust_decimal::Decimal;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::row::{count, how_many, money, money_or_null, span, unit_state};
use crate::{Result, Store, StoreError, Tx};

/// The right to decide about a unit, until it runs out and somebody else has taken it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease {
    /// Which unit.
    pub unit: UnitId,
    /// Epoch that the unit was taken with.
    pub epoch: i64,
    /// How long each step extends the lease, in seconds.
    pub seconds: f64,
}

/// A unit in somebody's hands, and all that deciding about it takes. Ages are as of when it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// The right to decide about it.
    pub lease: Lease,
    /// Where it stands.
    pub state: UnitState,
    /// The order it belongs to.
    pub order: OrderId,
    /// What was bought.
    pub game: GameId,
    /// G2A's product; `None` for a game that only our own stock can serve.
    pub product: Option<String>,
    /// What the shopper gave for it, EUR.
    pub price_paid: Money,
    /// What the shop asked for a copy before any promo code, EUR.
    pub list_price: Money,
    /// The order at G2A.
    pub g2a_order_id: Option<String>,
    /// What G2A asks for it, EUR.
    pub g2a_price: Option<Money>,
    /// Attempts since it last came forward, without those that G2A refused.
    pub attempts: u32,
    /// Orders that G2A refused since then.
    pub refusals: u32,
    /// Lost keys that were bought again.
    pub replacements: u32,
    /// How long ago the reservation at G2A began.
    pub ordered_for: Option<Duration>,
    /// How long ago the last payment was asked for that may still be under way.
    pub paying_for: Option<Duration>,
    /// Somebody asked for the money back.
    pub cancel_asked: bool,
    /// When the game comes out, when that is known and was in the future at the time of the order.
    pub announced_for: Option<DateTime<Utc>>,
    /// Time until then; `None` when it is out.
    pub out_in: Option<Duration>,
    /// Time since then.
    pub out_for: Option<Duration>,
}

const COLUMNS: &str =
    "u.id, u.epoch, u.state, u.order_id, u.game_id, u.price_paid, i.price as list_price, u.g2a_order_id, u.g2a_price,
    u.attempts, u.refusals, u.replacements, o.cancel_asked_at is not null as cancel_asked, g.g2a_product_id,
    extract(epoch from now() - u.ordered_at) as ordered_for, extract(epoch from now() - u.pay_asked_at) as paying_for,
    case when g.release_date_known and g.release_date > o.created_at then g.release_date end as announced_for,
    extract(epoch from g.release_date - now()) as out_in
      from taken u join orders o on o.id = u.order_id join order_items i on i.id = u.order_item_id
      join games g on g.id = u.game_id";

fn unit(row: &PgRow, seconds: f64) -> Result<Unit> {
    let announced_for: Option<DateTime<Utc>> = row.try_get("announced_for")?;
    let out_in = row.try_get::<Decimal, _>("out_in")?;
    Ok(Unit {
        lease: Lease {
            unit: UnitId(row.try_get("id")?),
            epoch: row.try_get("epoch")?,
            seconds,
        },
        state: unit_state(row, "state")?,
        order: OrderId(row.try_get("order_id")?),
        game: GameId(row.try_get("game_id")?),
        product: row.try_get("g2a_product_id")?,
        price_paid: money(row, "price_paid")?,
        list_price: money(row, "list_price")?,
        g2a_order_id: row.try_get("g2a_order_id")?,
        g2a_price: money_or_null(row, "g2a_price")?,
        attempts: count(row, "attempts")?,
        refusals: count(row, "refusals")?,
        replacements: count(row, "replacements")?,
        ordered_for: row.try_get::<Option<Decimal>, _>("ordered_for")?.map(span),
        paying_for: row.try_get::<Option<Decimal>, _>("paying_for")?.map(span),
        cancel_asked: row.try_get("cancel_asked")?,
        announced_for,
        out_in: announced_for.filter(|_| out_in > Decimal::ZERO).map(|_| span(out_in)),
        out_for: announced_for.filter(|_| out_in <= Decimal::ZERO).map(|_| span(-out_in)),
    })
}

/// Takes up to `most` units that are due, the longest waiting first, for as long as `lease`, and none of `but`, which the
/// caller has in hand. Nobody else holds them then.
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
                let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
                    "-- store.fulfilment.claim
                    with due as (
                        select id from order_units where state not in ('DONE', 'REFUNDED') and not_before <= now()
                           and id <> all ($4)
                         order by not_before, id limit $1 for update skip locked),
                    taken as (
                        update order_units u
                           set epoch = epoch + 1, worker = $2, not_before = now() + make_interval(secs => $3)
                          from due where u.id = due.id returning u.*)
                    select {COLUMNS} order by u.created_at, u.id"
                )))
                .bind(i64::from(most))
                .bind(worker)
                .bind(seconds)
                .bind(but)
                .fetch_all(tx.conn())
                .await?;
                rows.iter().map(|row| unit(row, seconds)).collect::<Result<Vec<_>>>()
            })
        })
        .await
}

/// A sign of life: the lease runs from now on. A unit that was let go or taken by somebody else is left alone.
///
/// # Errors
/// [`StoreError::Fenced`] when it is not held any more, [`StoreError::Unavailable`].
pub async fn renew(store: &Store, lease: Lease) -> Result<()> {
    let done = sqlx::query(
        "-- store.fulfilment.renew
        update order_units set not_before = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and worker is not null and state not in ('DONE', 'REFUNDED')",
    )
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .bind(lease.seconds)
    .execute(store.alone())
    .await?;
    held(done.rows_affected())
}

/// The unit as it is now, if the lease still holds.
///
/// # Errors
/// [`StoreError::Fenced`] when it does not, [`StoreError::Unavailable`].
pub async fn load(store: &Store, lease: Lease) -> Result<Unit> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "-- store.fulfilment.load
        with taken as (select * from order_units where id = $1 and epoch = $2) select {COLUMNS}"
    )))
    .bind(lease.unit.0)
    .bind(lease.epoch)
    .fetch_optional(store.alone())
    .await?;
    unit(&row.ok_or(StoreError::Fenced)?, lease.seconds)
}

/// Frees what a dead worker held, at once; returns how much. Call it only for a worker that is known to be dead.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn release_worker(store: &Store, worker: Uuid) -> Result<u64> {
    let done = sqlx::query(
        "-- store.fulfilment.release_worker
        update order_units set epoch = epoch + 1, worker = null, not_before = now()
         where worker = $1 and state not in ('DONE', 'REFUNDED')",
    )
    .bind(worker)
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// Time until the next unit is due (zero when one is), or `None` when nothing waits.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn next_due(store: &Store) -> Result<Option<Duration>> {
    let seconds: Option<Decimal> = sqlx::query_scalar(
        "-- store.fulfilment.next_due
        select extract(epoch from not_before - now()) from order_units
         where state not in ('DONE', 'REFUNDED') order by not_before, id limit 1",
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(seconds.map(span))
}

/// How much work there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Units that are not at their end.
    pub open: u64,
    /// Of these, units that G2A has been paid for, or may have been, for more than an hour.
    pub paid_and_waiting: u64,
    /// Of these, units of games that are not out yet.
    pub preordered: u64,
}

/// Counts what is open.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn waiting(store: &Store) -> Result<Load> {
    let row = sqlx::query(
        "-- store.fulfilment.waiting
        select count(*),
               count(*) filter (where u.state in ('PAYING', 'PAID', 'FETCHING', 'LOST') and u.pay_asked_at < now() - interval '1 hour'),
               count(*) filter (where g.release_date_known and g.release_date > now())
          from order_units u join games g on g.id = u.game_id where u.state not in ('DONE', 'REFUNDED')",
    )
    .fetch_one(store.alone())
    .await?;
    Ok(Load {
        open: how_many(&row, 0)?,
        paid_and_waiting: how_many(&row, 1)?,
        preordered: how_many(&row, 2)?,
    })
}

/// Turns the number of rows that a fenced statement changed into an answer.
pub(super) fn held(rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Fenced) }
}

/// Locks the order that a unit belongs to: the first lock of every step that can end a unit.
pub(super) async fn lock_order_of(tx: &mut Tx, unit: UnitId) -> Result<OrderId> {
    let id: Option<Uuid> = sqlx::query_scalar(
        "-- store.fulfilment.lock_order
        select id from orders where id = (select order_id from order_units where id = $1) for no key update",
    )
    .bind(unit.0)
    .fetch_optional(tx.conn())
    .await?;
    id.map(OrderId).ok_or(StoreError::Fenced)
}
