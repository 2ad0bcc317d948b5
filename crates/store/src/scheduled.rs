//! Scheduled changes of games: made and cancelled by staff, carried out by any worker.
//!
//! A step (the beginning or the end of a change) is one transaction under one lock, so that steps happen once, in their
//! order, and one after the other, whoever dies and however many workers there are. What people have changed since the
//! change was scheduled is not overwritten: the step is skipped, with the reason.

mod apply;

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{Page, PlannedChange, ScheduledChangeList, ScheduledChangeRow};
use lockstep_domain::ids::UserId;
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::PriceRules;
use lockstep_domain::{GameId, Money};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::paging::bounds;
use crate::price_rules::{self, PriceReason};
use crate::row::{how_many_of, money_of};
use crate::transaction::holds_store_error;
use crate::{AsStoreError as _, Result, Store, StoreError, Tx};

/// Most changes that wait.
const MOST: i64 = 10_000;

/// A change to schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewScheduledChange {
    /// The game.
    pub game: GameId,
    /// What it changes.
    pub change: PlannedChange,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it is taken back.
    pub ends_at: Option<DateTime<Utc>>,
    /// A price may be below the supplier's.
    pub below_cost: bool,
}

/// Why a change was not scheduled or cancelled.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is no such game.
    #[error("Game not found")]
    NoSuchGame,
    /// There is no such change.
    #[error("Scheduled change not found")]
    NotFound,
    /// Another change of the same field overlaps it.
    #[error("Another change of this is scheduled at that time")]
    Overlaps,
    /// The price is below the supplier's.
    #[error("This price is below the supplier's price")]
    BelowCost,
    /// Whoever asks may change prices only.
    #[error("This needs the permission catalogue.write")]
    OnlyPrices,
    /// It is over.
    #[error("This change is over")]
    Over,
    /// There are too many.
    #[error("Too many changes are scheduled")]
    TooMany,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ScheduleError);

/// Schedules a change and returns its id. The audit log records it.
///
/// # Errors
/// [`ScheduleError`]; then nothing has changed.
pub async fn create(store: &Store, by: UserId, new: &NewScheduledChange) -> Result<Uuid, ScheduleError> {
    let new = *new;
    store
        .tx_about("scheduled.create", &[new.game.into()], move |tx| {
            Box::pin(async move { create_once(tx, by, &new).await })
        })
        .await
        .map_err(
            |error: ScheduleError| match error.as_store_error().and_then(StoreError::constraint) {
                Some("scheduled_changes_do_not_overlap") => ScheduleError::Overlaps,
                Some("scheduled_changes_game_id_fkey") => ScheduleError::NoSuchGame,
                _ => error,
            },
        )
}

async fn create_once(tx: &mut Tx, by: UserId, new: &NewScheduledChange) -> Result<Uuid, ScheduleError> {
    let id = Uuid::now_v7();
    let waiting = sqlx::query_scalar!(
        r#"-- store.scheduled.count_waiting
        select count(*) as "count!" from scheduled_changes where state in ('WAITING', 'ACTIVE')"#
    )
    .fetch_one(tx.conn())
    .await?;
    if waiting >= MOST {
        return Err(ScheduleError::TooMany);
    }
    let cost = sqlx::query_scalar!(
        r#"-- store.scheduled.cost
        select greatest(supplier_price, case when g2a_asked_at > now() - interval '1 day' then g2a_asked_cost end) as "cost?"
          from games where id = $1"#,
        new.game.0
    )
    .fetch_optional(tx.conn())
    .await?;
    if !new.below_cost && is_below(new.change.price(), cost.flatten()) {
        return Err(ScheduleError::BelowCost);
    }
    // The revision is that of the beginning: what is committed while this waits for the game counts as changed since.
    sqlx::query!(
        "-- store.scheduled.create
        with game as materialized (select id from games where id = $2 for no key update)
        insert into scheduled_changes (id, game_id, field, price, is_sale, value, starts_at, ends_at, created_by, below_cost, revision)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
               coalesce((select e.revision from game_edits e, game g where e.game_id = g.id and e.field = $3), 0)",
        id,
        new.game.0,
        new.change.field(),
        new.change.price().map(Money::decimal),
        matches!(new.change, PlannedChange::Price { is_sale: true, .. }),
        new.change.value(),
        new.starts_at,
        new.ends_at,
        by.0,
        new.below_cost && new.change.price().is_some()
    )
    .execute(tx.conn())
    .await?;
    let details = json!({
        "scheduledChange": id, "field": new.change.field(), "price": new.change.price(), "value": new.change.value(),
        "startsAt": new.starts_at, "endsAt": new.ends_at, "belowCost": new.below_cost,
    });
    audit::record(tx, &By::Staff(by), "game.schedule", ("game", new.game.0), details).await?;
    Ok(id)
}

fn is_below(price: Option<Money>, cost: Option<Decimal>) -> bool {
    price.zip(cost).is_some_and(|(price, cost)| price.decimal() < cost)
}

/// Cancels a change that has not begun, or ends one that has. The audit log records it.
///
/// # Errors
/// [`ScheduleError`]; then nothing has changed.
pub async fn cancel(store: &Store, by: UserId, id: Uuid, now: DateTime<Utc>) -> Result<(), ScheduleError> {
    store
        .tx("scheduled.cancel", move |tx| {
            Box::pin(async move {
                let row = sqlx::query!(
                    "-- store.scheduled.lock
                    select game_id, state, starts_at from scheduled_changes where id = $1 for no key update",
                    id
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ScheduleError::NotFound)?;
                if !["WAITING", "ACTIVE"].contains(&row.state.as_str()) {
                    return Err(ScheduleError::Over);
                }
                sqlx::query!(
                    "-- store.scheduled.cancel
                    update scheduled_changes
                       set state = case state when 'WAITING' then 'CANCELLED' else state end,
                           finished_at = case state when 'WAITING' then now() end,
                           -- Its end is the next step. One that is due already stays before what begins after it.
                           ends_at = case state when 'ACTIVE'
                                     then least(ends_at, greatest($2, starts_at + interval '1 microsecond'))
                                     else ends_at end
                     where id = $1",
                    id,
                    now
                )
                .execute(tx.conn())
                .await?;
                let details = json!({ "scheduledChange": id, "state": row.state });
                audit::record(
                    tx,
                    &By::Staff(by),
                    "game.schedule.cancel",
                    ("game", row.game_id),
                    details,
                )
                .await?;
                Ok(())
            })
        })
        .await
}

/// Which changes are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this game.
    pub game: Option<GameId>,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only this one.
    pub id: Option<Uuid>,
}

/// The scheduled changes, those that begin last first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<ScheduledChangeList> {
    let (limit, offset) = bounds(page);
    let game = filter.game.map(|game| game.0);
    let rows = sqlx::query!(
        "-- store.scheduled.list
        select c.id, c.game_id, g.title, c.field, c.price, c.is_sale, c.value, c.starts_at, c.ends_at, c.state, c.reason,
               c.created_by, c.created_at
          from scheduled_changes c join games g on g.id = c.game_id
         where ($1::uuid is null or c.game_id = $1) and ($2::text is null or c.state = $2) and ($3::uuid is null or c.id = $3)
         order by c.starts_at desc, c.id desc limit $4 offset $5",
        game,
        filter.state,
        filter.id,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let all = sqlx::query_scalar!(
        r#"-- store.scheduled.count
        select count(*) as "count!" from scheduled_changes c
         where ($1::uuid is null or c.game_id = $1) and ($2::text is null or c.state = $2) and ($3::uuid is null or c.id = $3)"#,
        game,
        filter.state,
        filter.id
    )
    .fetch_one(tx.uncached())
    .await?;
    let changes = rows.into_iter().map(|row| {
        Ok(ScheduledChangeRow {
            id: row.id,
            game_id: row.game_id,
            title: row.title,
            change: match (row.field.as_str(), row.is_sale) {
                ("PRICE", false) => "PRICE",
                ("PRICE", true) => "SALE",
                ("VISIBLE", _) => "VISIBLE",
                _ => "FEATURED",
            },
            price: row.price.map(money_of).transpose()?,
            value: row.value,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            state: row
                .state
                .parse()
                .map_err(|why| StoreError::Schema(format!("the state of a scheduled change {why}")))?,
            reason: row.reason,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    });
    Ok(ScheduledChangeList {
        changes: changes.collect::<Result<_>>()?,
        paging: page.of(how_many_of(all)),
    })
}

/// A step that was carried out or skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The change.
    pub change: Uuid,
    /// The game.
    pub game: Uuid,
    /// Its state now.
    pub state: String,
    /// G2A's id of a game that is no longer held back: only G2A knows its stock.
    pub given_back: Option<String>,
    /// Who scheduled it.
    pub by: Option<UserId>,
}

/// A change whose step is due.
struct Due {
    id: Uuid,
    game_id: Uuid,
    field: String,
    price: Option<Decimal>,
    is_sale: bool,
    below_cost: bool,
    value: Option<bool>,
    ends_at: Option<DateTime<Utc>>,
    state: String,
    revision: i64,
    before: Option<serde_json::Value>,
    created_by: Option<Uuid>,
}

/// Steps that were due before `since`, and are not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Their number.
    pub steps: u64,
    /// When the oldest was due.
    pub oldest: DateTime<Utc>,
}

/// The steps that were due before `since`; `None` if all of them are done.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(store: &Store, since: DateTime<Utc>) -> Result<Option<Overdue>> {
    let row = sqlx::query!(
        r#"-- store.scheduled.overdue
        select count(*) as "steps!", min(due_at) as oldest
          from scheduled_changes where due_at < $1 and state in ('WAITING', 'ACTIVE')"#,
        since
    )
    .fetch_one(store.alone())
    .await?;
    Ok(row.oldest.map(|oldest| Overdue {
        steps: how_many_of(row.steps),
        oldest,
    }))
}

/// Carries out the first step that is due at `now`; `None` if none is, or if another worker is at it.
///
/// # Errors
/// [`StoreError`].
pub async fn next_step(store: &Store, pricing: &Pricing, now: DateTime<Utc>) -> Result<Option<Step>> {
    let pricing = *pricing;
    store
        .tx("scheduled.step", move |tx| {
            Box::pin(async move { step(tx, &pricing, now).await })
        })
        .await
}

async fn step(tx: &mut Tx, pricing: &Pricing, now: DateTime<Utc>) -> Result<Option<Step>> {
    let is_mine = sqlx::query_scalar!(
        r#"-- store.scheduled.is_due
        select case when exists (select from scheduled_changes where due_at <= $1 and state in ('WAITING', 'ACTIVE'))
               then pg_try_advisory_xact_lock(hashtextextended('lockstep scheduled changes', 0)) end as "is_mine: bool""#,
        now
    )
    .fetch_one(tx.conn())
    .await?;
    if is_mine != Some(true) {
        return Ok(None);
    }
    let rules = price_rules::hold(tx).await?;
    let due = sqlx::query_as!(
        Due,
        "-- store.scheduled.due
        select id, game_id, field, price, is_sale, below_cost, value, ends_at, state, revision, before, created_by
          from scheduled_changes where due_at <= $1 and state in ('WAITING', 'ACTIVE')
         -- Of steps at the same time an end ('ACTIVE') comes before a beginning ('WAITING').
         order by due_at, state, id limit 1 for no key update",
        now
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(due) = due else { return Ok(None) };
    let is_end = due.state == "ACTIVE";
    // One that a rule of the schema refuses would be refused each time, and hold up all that are due later.
    savepoint(tx, "-- store.scheduled.try\nsavepoint step").await?;
    let Applied {
        before,
        reason,
        given_back,
    } = match apply_step(tx, &due, &rules, pricing, now, is_end).await {
        Err(error @ StoreError::Rule { .. }) => {
            let constraint = error.constraint().unwrap_or_default();
            tracing::warn!(change = %due.id, constraint, "a scheduled change is skipped, because a rule of the schema refuses it");
            savepoint(tx, "-- store.scheduled.undo\nrollback to savepoint step").await?;
            Applied {
                before: due.before.clone(),
                reason: Some("A rule of the shop refuses it. Change the game by hand to see which."),
                given_back: None,
            }
        }
        applied => applied?,
    };
    let state = match (&reason, is_end, due.ends_at) {
        (Some(_), ..) => "SKIPPED",
        (None, false, Some(_)) => "ACTIVE",
        (None, ..) => "DONE",
    };
    sqlx::query!(
        "-- store.scheduled.record
        update scheduled_changes
           set state = $2, reason = $3, before = $4, started_at = coalesce(started_at, $5),
               finished_at = case when $2 <> 'ACTIVE' then $5 end
         where id = $1",
        due.id,
        state,
        reason,
        before,
        now
    )
    .execute(tx.conn())
    .await?;
    let action = match (&reason, is_end) {
        (Some(_), _) => "game.schedule.skip",
        (None, false) => "game.schedule.begin",
        (None, true) => "game.schedule.end",
    };
    let by = due.created_by.map(UserId);
    let who = by.map_or_else(|| By::Operator("schedule".to_owned()), By::Staff);
    let details = json!({
        "by": "schedule", "scheduledChange": due.id, "field": due.field, "price": due.price, "value": due.value,
        "reason": reason,
    });
    audit::record(tx, &who, action, ("game", due.game_id), details).await?;
    Ok(Some(Step {
        change: due.id,
        game: due.game_id,
        state: state.to_owned(),
        given_back,
        by,
    }))
}

/// What a step came to.
struct Applied {
    /// What staff had set before the change began.
    before: Option<serde_json::Value>,
    /// Why it was not carried out.
    reason: Option<&'static str>,
    given_back: Option<String>,
}

async fn apply_step(
    tx: &mut Tx,
    due: &Due,
    rules: &PriceRules,
    pricing: &Pricing,
    now: DateTime<Utc>,
    is_end: bool,
) -> Result<Applied> {
    price_rules::because(tx, PriceReason::Schedule).await?;
    let mut applied = Applied {
        before: due.before.clone(),
        reason: None,
        given_back: None,
    };
    let game = apply::lock(tx, due.game_id).await?;
    applied.reason = obstacle(tx, due, &game, now, is_end).await?;
    if applied.reason.is_some() {
        return Ok(applied);
    }
    applied.given_back = if is_end {
        apply::end(tx, due, &game, rules, pricing).await?
    } else {
        applied.before = Some(game.before(&due.field));
        apply::begin(tx, due, &game).await?
    };
    savepoint(tx, "-- store.scheduled.check\nset constraints all immediate").await?;
    Ok(applied)
}

async fn savepoint(tx: &mut Tx, statement: &'static str) -> Result<()> {
    sqlx::query(statement).execute(tx.conn()).await?;
    Ok(())
}

/// Why a step is not carried out.
async fn obstacle(
    tx: &mut Tx,
    due: &Due,
    game: &apply::Game,
    now: DateTime<Utc>,
    is_end: bool,
) -> Result<Option<&'static str>> {
    let row = sqlx::query!(
        r#"-- store.scheduled.obstacles
        select coalesce((select e.revision from game_edits e where e.game_id = $1 and e.field = $2), 0) as "revision!",
               exists (select from users u
                        where u.id = $3 and u.deleted_at is null
                          and (u.role = 'ADMIN' or not exists (
                               select from unnest(array['prices.write', case when $2 <> 'PRICE' then 'catalogue.write' end]) needed
                                where needed is not null
                                  and not exists (select from staff_role_permissions p
                                                   where p.role = u.staff_role and p.permission = needed))))
               as "may!""#,
        due.game_id,
        due.field,
        due.created_by
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(if row.revision != due.revision {
        Some("It was changed by hand since this was scheduled.")
    } else if is_end {
        // Whoever began it may have left: it is taken back all the same.
        None
    } else if due.ends_at.is_some_and(|end| end <= now) {
        Some("Its end had come before it could begin.")
    } else if !row.may {
        Some(if due.field == "PRICE" {
            "Its author may no longer change prices."
        } else {
            "Its author may no longer change games."
        })
    } else if !due.below_cost && is_below(due.price.map(money_of).transpose()?, game.cost()) {
        Some("It is below the supplier's price.")
    } else {
        None
    })
}
