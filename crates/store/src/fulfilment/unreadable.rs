//! Answers to key calls without a readable key: stored, sealed, until a person decides; and games that are not bought
//! for a while because they return only such answers.
//!
//! The caller seals an answer for its row ([`place`]). Views and decisions are written to the audit log in the same
//! transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::{GameId, UnitId, UserId};
use lockstep_domain::order::UnitState;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::steps::reason as bounded;
use crate::audit::{self, AuditEntry};
use crate::row::{span, unit_state_of};
use crate::{Result, Store, Tx};

/// The context that an answer is sealed for.
pub fn place(answer: Uuid) -> String {
    format!("unreadable_answers.sealed/{answer}")
}

/// An answer to store.
#[derive(Clone)]
pub struct Unreadable {
    /// The id of its file in the spool: the same answer is stored once.
    pub id: Uuid,
    /// The unit it was for.
    pub unit: UnitId,
    /// The order at G2A.
    pub g2a_order_id: String,
    /// Sealed for its [`place`].
    pub sealed: Vec<u8>,
    /// Length of the answer in bytes.
    pub bytes: usize,
    /// The answer was received completely.
    pub complete: bool,
    /// The machine that received it.
    pub machine: String,
}

/// When to stop buying a game.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Number of orders at G2A with an unreadable answer.
    pub orders: u32,
    /// The period in which they are counted.
    pub within: Duration,
    /// Duration of the stop, unless a person lifts it.
    pub stop: Duration,
}

/// The result of storing an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Number of complete unreadable answers to this order at G2A, including this one.
    pub of_this_order: u32,
    /// The game that is not bought from now on, if this answer stopped it.
    pub stopped: Option<String>,
}

/// Stores an answer, and stops buying its game if the limit is reached.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn keep(tx: &mut Tx, answer: &Unreadable, patience: Patience) -> Result<Kept> {
    sqlx::query!(
        "-- store.fulfilment.keep_unreadable
        insert into unreadable_answers (id, order_unit_id, game_id, g2a_order_id, sealed, bytes, complete, machine)
        select $1, id, game_id, $3, $4, $5, $6, $7 from order_units where id = $2 on conflict (id) do nothing",
        answer.id,
        answer.unit.0,
        &answer.g2a_order_id,
        answer.sealed,
        i32::try_from(answer.bytes).unwrap_or(i32::MAX),
        answer.complete,
        bounded(&answer.machine)
    )
    .execute(tx.conn())
    .await?;
    let of_this_order: i64 = sqlx::query_scalar!(
        r#"-- store.fulfilment.unreadable_of_order
        select count(*) as "answers!" from unreadable_answers where order_unit_id = $1 and g2a_order_id = $2 and complete"#,
        answer.unit.0,
        &answer.g2a_order_id
    )
    .fetch_one(tx.conn())
    .await?;
    // After a person has lifted a stop, only later answers count.
    let stopped: Option<String> = sqlx::query_scalar!(
        "-- store.fulfilment.stop_game
        with game as (select u.game_id as id, g.title, s.lifted_at, s.until from order_units u
                        join games g on g.id = u.game_id left join game_stops s on s.game_id = g.id where u.id = $1),
        bad as (select count(distinct a.g2a_order_id) as orders from unreadable_answers a, game
                 where a.game_id = game.id and a.complete and a.received_at > now() - make_interval(secs => $3)
                   and a.received_at > coalesce(game.lifted_at, '-infinity')),
        stopped as (
            insert into game_stops as s (game_id, until, reason)
            select game.id, now() + make_interval(secs => $4), bad.orders || ' orders at G2A were answered without a readable key'
              from game, bad where bad.orders >= $2 and (game.until is null or game.until <= now() or game.lifted_at is not null)
            on conflict (game_id) do update
               set since = now(), until = excluded.until, reason = excluded.reason, lifted_at = null
            returning s.game_id)
        select game.title from game join stopped on stopped.game_id = game.id",
        answer.unit.0,
        i64::from(patience.orders),
        patience.within.as_secs_f64(),
        patience.stop.as_secs_f64()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(Kept {
        of_this_order: u32::try_from(of_this_order).unwrap_or(u32::MAX),
        stopped,
    })
}

/// Whether a complete answer of this order waits for a person, who may find the key in it.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn waits(tx: &mut Tx, unit: UnitId, g2a_order_id: &str) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.fulfilment.unreadable_waits
        select exists (select 1 from unreadable_answers
                        where order_unit_id = $1 and g2a_order_id = $2 and complete and decided_at is null) as "waits!""#,
        unit.0,
        g2a_order_id
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Marks answers as obsolete, because the key of this order came another way.
pub(super) async fn obsolete(tx: &mut Tx, unit: UnitId, g2a_order_id: &str) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.unreadable_obsolete
        update unreadable_answers set decision = 'OBSOLETE', decided_at = now()
         where order_unit_id = $1 and g2a_order_id = $2 and decided_at is null",
        unit.0,
        g2a_order_id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An answer that waits for a decision.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The id of its row.
    pub id: Uuid,
    /// The game.
    pub game: String,
    /// The unit it was for.
    pub unit: UnitId,
    /// The unit's state.
    pub state: UnitState,
    /// The unit still waits for the key of this order at G2A.
    pub is_awaited: bool,
    /// The order at G2A.
    pub g2a_order_id: String,
    /// Length of the answer in bytes.
    pub bytes: i32,
    /// The answer was received completely.
    pub complete: bool,
    /// The machine that received it.
    pub machine: String,
    /// When it was received.
    pub received_at: DateTime<Utc>,
}

/// The oldest answers that wait for a decision, at most `most`.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn waiting(store: &Store, most: u32) -> Result<Vec<Waiting>> {
    let rows = sqlx::query!(
        r#"-- store.fulfilment.unreadable_waiting
        select a.id, g.title, a.order_unit_id, u.state, a.g2a_order_id, a.bytes, a.complete, a.machine, a.received_at,
               u.g2a_order_id is not distinct from a.g2a_order_id and u.state in ('FETCHING', 'LOST') as "is_awaited!"
          from unreadable_answers a join order_units u on u.id = a.order_unit_id join games g on g.id = a.game_id
         where a.decided_at is null order by a.received_at limit $1"#,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Waiting {
                id: row.id,
                game: row.title,
                unit: UnitId(row.order_unit_id),
                state: unit_state_of(&row.state)?,
                is_awaited: row.is_awaited,
                g2a_order_id: row.g2a_order_id,
                bytes: row.bytes,
                complete: row.complete,
                machine: row.machine,
                received_at: row.received_at,
            })
        })
        .collect()
}

/// A stored answer.
#[derive(Clone)]
pub struct Sealed {
    /// The unit it was for.
    pub unit: UnitId,
    /// The order at G2A.
    pub g2a_order_id: String,
    /// Sealed for its [`place`].
    pub sealed: Vec<u8>,
}

/// An undecided answer, for `admin` to view; the audit log records it.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn show(tx: &mut Tx, id: Uuid, admin: UserId) -> Result<Option<Sealed>> {
    let row = sqlx::query!(
        "-- store.fulfilment.unreadable_show
        select order_unit_id, g2a_order_id, sealed from unreadable_answers where id = $1 and decided_at is null for update",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let found = Sealed {
        unit: UnitId(row.order_unit_id),
        g2a_order_id: row.g2a_order_id,
        sealed: row.sealed,
    };
    record(tx, id, admin, "answer.show", &found.g2a_order_id).await?;
    Ok(Some(found))
}

/// A person's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The answer holds a key, which is stored in the same transaction.
    Accepted,
    /// The answer holds no key: the unit that waited for it continues at once.
    Discarded,
}

/// Decides about an answer, and records it in the audit log. `None` if there is no undecided one with this id.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn decide(tx: &mut Tx, id: Uuid, decision: Decision, admin: UserId) -> Result<Option<(UnitId, String)>> {
    let (name, action) = match decision {
        Decision::Accepted => ("ACCEPTED", "answer.accept"),
        Decision::Discarded => ("DISCARDED", "answer.discard"),
    };
    // The lock order is orders and units before their answers.
    let unit: Option<Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.unreadable_unit\nselect order_unit_id from unreadable_answers where id = $1",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(unit) = unit.map(UnitId) else { return Ok(None) };
    super::queue::lock_order_of(tx, unit).await?;
    let order: Option<String> = sqlx::query_scalar!(
        "-- store.fulfilment.unreadable_decide
        update unreadable_answers set decision = $2, decided_at = now()
         where id = $1 and decided_at is null returning g2a_order_id",
        id,
        name
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(order) = order else { return Ok(None) };
    record(tx, id, admin, action, &order).await?;
    super::incidents::resolve(tx, "KEY_UNREADABLE", &order).await?;
    if decision == Decision::Discarded {
        sqlx::query!(
            "-- store.fulfilment.unreadable_wake
            update order_units set not_before = now()
             where id = $1 and g2a_order_id = $2 and state = 'LOST' and worker is null and not_before > now()",
            unit.0,
            order
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(Some((unit, order)))
}

async fn record(tx: &mut Tx, id: Uuid, admin: UserId, action: &'static str, order: &str) -> Result<()> {
    let deed = AuditEntry {
        admin,
        action,
        subject: ("key answer", id),
        details: serde_json::json!({ "g2aOrderId": order }),
    };
    audit::write(tx, &deed).await
}

/// The admin with this address, for the audit log.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn admin(store: &Store, email: &str) -> Result<Option<UserId>> {
    let id: Option<Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.admin_of
        select id from users where email = lower($1) and role = 'ADMIN' and deleted_at is null",
        email
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(id.map(UserId))
}

/// A game that is not bought for a while.
#[derive(Debug, Clone)]
pub struct GameStop {
    /// Its title.
    pub game: String,
    /// G2A's product.
    pub product: Option<String>,
    /// Start of the stop.
    pub since: DateTime<Utc>,
    /// End of the stop, unless a person lifts it earlier.
    pub until: DateTime<Utc>,
    /// The reason.
    pub reason: String,
}

/// The games that are not bought at the moment.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn game_stops(store: &Store) -> Result<Vec<GameStop>> {
    let rows = sqlx::query_as!(
        GameStop,
        "-- store.fulfilment.game_stops
        select g.title as game, g.g2a_product_id as product, s.since, s.until, s.reason
          from game_stops s join games g on g.id = s.game_id
         where s.lifted_at is null and s.until > now() order by s.since"
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows)
}

/// Remaining time for which this game is not bought; `None` if it is bought.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn game_stops_for(store: &Store, game: GameId) -> Result<Option<Duration>> {
    let seconds: Option<Decimal> = sqlx::query_scalar!(
        r#"-- store.fulfilment.game_stops_for
        select extract(epoch from until - now()) as "seconds!" from game_stops
         where game_id = $1 and lifted_at is null and until > now()"#,
        game.0
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(seconds.map(span))
}

/// Resumes buying the game with this G2A product, and records it in the audit log; waiting units become due at once.
/// False if it was not stopped.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn lift(tx: &mut Tx, product: &str, admin: UserId) -> Result<bool> {
    let game: Option<Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.lift_game_stop
        update game_stops s set lifted_at = now() from games g
         where g.g2a_product_id = $1 and s.game_id = g.id and s.lifted_at is null and s.until > now() returning g.id",
        product
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(game) = game else { return Ok(false) };
    let deed = AuditEntry {
        admin,
        action: "game.buy_again",
        subject: ("game", game),
        details: serde_json::json!({ "product": product }),
    };
    audit::write(tx, &deed).await?;
    sqlx::query!(
        "-- store.fulfilment.lift_game_stop.wake
        update order_units set not_before = now()
         where game_id = $1 and state in ('NEW', 'ORDERED') and worker is null and not_before > now()
           and not_before < now() + interval '1 year'",
        game
    )
    .execute(tx.conn())
    .await?;
    Ok(true)
}

/// A page of sealed undecided answers, by id, for a rotation of secrets.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn page(store: &Store, after: Option<Uuid>, most: u32) -> Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query!(
        "-- store.fulfilment.unreadable_page
        select id, sealed from unreadable_answers
         where decided_at is null and ($1::uuid is null or id > $1) order by id limit $2",
        after,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.sealed)).collect())
}

/// Replaces the sealed form of an answer if it is still the one that was read.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn reseal(store: &Store, id: Uuid, before: &[u8], after: &[u8]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.fulfilment.unreadable_reseal
        update unreadable_answers set sealed = $3 where id = $1 and sealed = $2",
        id,
        before,
        after
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}
