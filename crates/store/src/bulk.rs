//! Bulk changes: one change of many games, seen exactly before it counts, carried out by any worker, and taken back on request.
//!
//! A preview is stored, so that what staff confirm is what they saw: a game whose price or state is another one by then is
//! left out, by name. A part is one transaction: it locks the open change, then its next games by id, writes them, records
//! each, and adds to the audit log. One that dies has done nothing of its part.

mod decide;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::{Page, Paging};
use lockstep_domain::ids::UserId;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::admin::catalogue::{Filter, of_matching};
use crate::audit::{self, By};
use crate::paging::{bounds, contains};
use crate::price_rules::{self, PriceReason};
use crate::row::{how_many_of, money_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Games of one part.
pub const PART: u16 = 100;
/// Most games of a bulk change.
pub const MOST_GAMES: i64 = 200_000;
/// Sold games that are named when a bulk change is not undone.
pub const SOLD_NAMED: usize = 20;
/// Games that a page of a bulk change names, of each group.
const NAMED: i64 = 50;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkKind {
    /// The price, by a percentage.
    PricePercent,
    /// The price, by an amount.
    PriceAmount,
    /// The price, to an amount.
    PriceSet,
    /// Prices that staff have set become the supplier's with its mark-up again.
    PriceDrop,
    /// The game is taken off sale.
    Hide,
    /// It is given back to its stock.
    Show,
    /// It is among the best sellers.
    Feature,
    /// It is not.
    Unfeature,
}

impl BulkKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PricePercent,
        Self::PriceAmount,
        Self::PriceSet,
        Self::PriceDrop,
        Self::Hide,
        Self::Show,
        Self::Feature,
        Self::Unfeature,
    ];

    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PricePercent => "PRICE_PERCENT",
            Self::PriceAmount => "PRICE_AMOUNT",
            Self::PriceSet => "PRICE_SET",
            Self::PriceDrop => "PRICE_DROP",
            Self::Hide => "HIDE",
            Self::Show => "SHOW",
            Self::Feature => "FEATURE",
            Self::Unfeature => "UNFEATURE",
        }
    }

    /// The kind with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it is about the price.
    pub const fn is_price(self) -> bool {
        matches!(
            self,
            Self::PricePercent | Self::PriceAmount | Self::PriceSet | Self::PriceDrop
        )
    }

    /// The field that it changes, as scheduled changes and `game_edits` name it.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::PricePercent | Self::PriceAmount | Self::PriceSet | Self::PriceDrop => "PRICE",
            Self::Hide | Self::Show => "VISIBLE",
            Self::Feature | Self::Unfeature => "FEATURED",
        }
    }

    /// Whether it has an amount: percent or EUR.
    pub const fn has_amount(self) -> bool {
        matches!(self, Self::PricePercent | Self::PriceAmount | Self::PriceSet)
    }
}

/// The games of a bulk change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These, each with the version in which it was shown ([`Row::version`](crate::admin::catalogue::Row::version)).
    Games(Vec<(Uuid, String)>),
    /// All of a filter.
    Matching(Filter),
}

/// A bulk change to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBulk {
    /// What is changed.
    pub kind: BulkKind,
    /// Percent, or EUR, with at most two decimals.
    pub amount: Option<Decimal>,
    /// The games.
    pub selection: Selection,
    /// When staff looked at the list.
    pub as_of: DateTime<Utc>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// There is no such bulk change.
    #[error("Bulk change not found")]
    NotFound,
    /// The amount is missing, superfluous or out of range.
    #[error("The amount is out of range")]
    Amount,
    /// No game is selected, or none would change.
    #[error("No game would change")]
    Nothing,
    /// Too many games are selected.
    #[error("Too many games are selected")]
    TooMany,
    /// It was confirmed or undone already.
    #[error("This was done already")]
    Over,
    /// It changes prices, which its author may not.
    #[error("Prices may not be changed")]
    Forbidden,
    /// Games were sold since.
    #[error("Games were sold since")]
    Sold {
        /// The titles of at most [`SOLD_NAMED`].
        titles: Vec<String>,
        /// There are more.
        has_more: bool,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(BulkError);

/// Works out what a bulk change would do, and keeps it as a preview; returns its id. Changes no game.
///
/// # Errors
/// [`BulkError::Amount`], [`BulkError::Nothing`], [`BulkError::TooMany`], [`BulkError::Store`].
pub async fn look(store: &Store, by: UserId, new: &NewBulk) -> Result<Uuid, BulkError> {
    if new.amount.is_some() != new.kind.has_amount() {
        return Err(BulkError::Amount);
    }
    let new = new.clone();
    let looked = store.tx("bulk.look", move |tx| {
        let new = new.clone();
        Box::pin(async move { look_once(tx, by, &new).await })
    });
    looked.await.map_err(|error: BulkError| match &error {
        BulkError::Store(refused) if refused.constraint() == Some("bulk_changes_amount_of_prices") => BulkError::Amount,
        _ => error,
    })
}

async fn look_once(tx: &mut Tx, by: UserId, new: &NewBulk) -> Result<Uuid, BulkError> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "-- store.bulk.create
        insert into bulk_changes (id, kind, amount, as_of, created_by) values ($1, $2, $3, $4, $5)",
        id,
        new.kind.name(),
        new.amount,
        new.as_of,
        by.0
    )
    .execute(tx.conn())
    .await?;
    let (mut ids, mut versions) = (Vec::new(), Vec::new());
    let selected = match &new.selection {
        Selection::Games(games) => {
            (ids, versions) = games.iter().cloned().unzip();
            sqlx::query!(
                "-- store.bulk.select_games
                insert into bulk_change_games (bulk_id, game_id, price_before)
                select $1, g.id, g.price from games g where g.id = any($2) and g.withdrawn_at is null",
                id,
                &ids
            )
            .execute(tx.conn())
            .await?
        }
        Selection::Matching(filter) => {
            of_matching!(
                query,
                "-- store.bulk.select_matching
                insert into bulk_change_games (bulk_id, game_id, price_before) select $12, g.id, g.price",
                " limit $13",
                filter,
                id,
                MOST_GAMES + 1
            )
            .execute(tx.uncached())
            .await?
        }
    };
    match i64::try_from(selected.rows_affected()).unwrap_or(i64::MAX) {
        0 => return Err(BulkError::Nothing),
        games if games > MOST_GAMES => return Err(BulkError::TooMany),
        _ => {}
    }
    // Games that were picked one by one are compared with what was shown; all of a filter with the time of the list.
    let as_of = ids.is_empty().then_some(new.as_of);
    sqlx::query!(
        "-- store.bulk.work_out
        update bulk_change_games b
           set price_before = s.price, cost = s.cost, price_after = case when s.reason is null then s.after end,
               state = case when s.reason is null then 'WAITING' else 'SKIPPED' end, reason = s.reason
          from (select g.id, g.price, n.after,
                       greatest(g.supplier_price, case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_cost end) as cost,
                       -- A row that only a pass over the stock has touched is as it was.
                       case when g.updated_at > $6
                                 and (exists (select from price_changes p where p.game_id = g.id and p.at > $6)
                                      or exists (select from game_edits e where e.game_id = g.id and e.at > $6))
                              or exists (select from unnest($4::uuid[], $5::text[]) v (id, version)
                                          where v.id = g.id and v.version <> offer_version(g)) then 'CHANGED'
                            -- Its beginning or end would find the field changed by hand, and be skipped: a sale would not end.
                            when exists (select from scheduled_changes c
                                          where c.game_id = g.id and c.field = $7 and c.state in ('WAITING', 'ACTIVE')) then 'SCHEDULED'
                            when $2 = 'PRICE_DROP' and (n.after is null or g.g2a_product_id is null or 'price' <> all (g.fields_by_hand))
                                 then 'NOTHING'
                            when $2 = 'HIDE' and 'in_stock' = any (g.fields_by_hand) then 'NOTHING'
                            when $2 = 'SHOW' and 'in_stock' <> all (g.fields_by_hand) then 'NOTHING'
                            when $2 = 'FEATURE' and g.is_best_seller then 'NOTHING'
                            when $2 = 'UNFEATURE' and not g.is_best_seller then 'NOTHING'
                            when n.after not between 0.01 and 1000000 then 'OUT_OF_RANGE'
                            when n.after = g.price and $2 <> 'PRICE_DROP' then 'NOTHING' end as reason
                  from bulk_change_games x join games g on g.id = x.game_id,
                       lateral (select case $2 when 'PRICE_PERCENT' then round(g.price * (100 + $3::numeric) / 100, 2)
                                               when 'PRICE_AMOUNT' then g.price + $3 when 'PRICE_SET' then $3
                                               when 'PRICE_DROP' then g.g2a_price end as after) n
                 where x.bulk_id = $1) s
         where b.bulk_id = $1 and b.game_id = s.id",
        id,
        new.kind.name(),
        new.amount,
        &ids,
        &versions,
        as_of,
        new.kind.field()
    )
    .execute(tx.conn())
    .await?;
    Ok(id)
}

/// Lets a worker carry out what a preview shows; prices below the supplier's only with `below_cost`. The audit log
/// records it.
///
/// # Errors
/// [`BulkError::NotFound`], [`BulkError::Over`], [`BulkError::Nothing`], [`BulkError::Store`].
pub async fn confirm(store: &Store, by: UserId, id: Uuid, below_cost: bool) -> Result<(), BulkError> {
    store
        .tx("bulk.confirm", move |tx| {
            Box::pin(async move {
                let row = lock(tx, id).await?;
                if row.state != "PREVIEW" {
                    return Err(BulkError::Over);
                }
                let waiting = sqlx::query_scalar!(
                    r#"-- store.bulk.count_waiting
                    select count(*) as "count!" from bulk_change_games
                     where bulk_id = $1 and state = 'WAITING' and ($2 or price_after is null or cost is null or price_after >= cost)"#,
                    id,
                    below_cost
                )
                .fetch_one(tx.conn())
                .await?;
                if waiting == 0 {
                    return Err(BulkError::Nothing);
                }
                sqlx::query!(
                    "-- store.bulk.confirm
                    update bulk_changes set state = 'OPEN', below_cost = $2, created_by = $3, confirmed_at = now() where id = $1",
                    id,
                    below_cost,
                    by.0
                )
                .execute(tx.conn())
                .await?;
                let details =
                    json!({ "kind": row.kind, "amount": row.amount, "games": waiting, "belowCost": below_cost });
                audit::record(tx, &By::Staff(by), "catalogue.bulk", ("bulk_change", id), details).await?;
                Ok(())
            })
        })
        .await
}

/// Lets a worker take back what was done, unless something was sold by it; what is not done yet stays undone. Prices that
/// are below the supplier's by now come back only with `below_cost`. The audit log records it.
///
/// # Errors
/// [`BulkError::NotFound`], [`BulkError::Over`], [`BulkError::Sold`], [`BulkError::Store`].
pub async fn undo(store: &Store, by: UserId, id: Uuid, below_cost: bool) -> Result<(), BulkError> {
    store
        .tx("bulk.undo", move |tx| {
            Box::pin(async move {
                let row = lock(tx, id).await?;
                if !matches!(row.state.as_str(), "OPEN" | "COMPLETED") {
                    return Err(BulkError::Over);
                }
                let mut titles = titles_of_sold(tx, id).await?;
                if !titles.is_empty() {
                    let has_more = titles.len() > SOLD_NAMED;
                    titles.truncate(SOLD_NAMED);
                    return Err(BulkError::Sold { titles, has_more });
                }
                if below_cost {
                    accept_costs(tx, id).await?;
                }
                sqlx::query!(
                    "-- store.bulk.ask_undo
                    update bulk_changes set state = 'UNDOING', undone_by = $2, undo_at = now(), finished_at = coalesce(finished_at, now())
                     where id = $1",
                    id,
                    by.0
                )
                .execute(tx.conn())
                .await?;
                let details = json!({ "kind": row.kind, "amount": row.amount, "belowCost": below_cost });
                audit::record(tx, &By::Staff(by), "catalogue.bulk.undo", ("bulk_change", id), details).await?;
                Ok(())
            })
        })
        .await
}

struct Locked {
    kind: String,
    amount: Option<Decimal>,
    state: String,
}

async fn lock(tx: &mut Tx, id: Uuid) -> Result<Locked, BulkError> {
    let row = sqlx::query_as!(
        Locked,
        "-- store.bulk.lock\nselect kind, amount, state from bulk_changes where id = $1 for no key update",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(BulkError::NotFound)
}

/// How many prices an undo would bring back below what the supplier asks by now.
///
/// # Errors
/// [`StoreError`].
pub async fn undo_below_cost(tx: &mut Tx, id: Uuid) -> Result<u64> {
    let games = sqlx::query_scalar!(
        r#"-- store.bulk.undo_below_cost
        select count(*) as "count!" from bulk_change_games c join games g on g.id = c.game_id
         where c.bulk_id = $1 and c.state = 'DONE' and c.price_after is not null
           and case when g.g2a_product_id is null or c.was_own then c.price_before else coalesce(g.g2a_price, c.price_before) end
               < greatest(g.supplier_price, case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_cost end)"#,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(how_many_of(games))
}

/// Accepts that prices come back below what the supplier asks now, but not below what it asks later.
async fn accept_costs(tx: &mut Tx, id: Uuid) -> Result<()> {
    sqlx::query!(
        "-- store.bulk.accept_costs
        update bulk_change_games c
           set undo_cost = greatest(g.supplier_price, case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_cost end)
          from games g
         where g.id = c.game_id and c.bulk_id = $1 and c.state = 'DONE' and c.price_after is not null
           and case when g.g2a_product_id is null or c.was_own then c.price_before else coalesce(g.g2a_price, c.price_before) end
               < greatest(g.supplier_price, case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_cost end)",
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Of these games, those that were sold by a bulk change: at its price, or because it is on sale again.
async fn sold(tx: &mut Tx, id: Uuid, games: &[Uuid]) -> Result<HashSet<Uuid>> {
    // An order that began before a part was committed may have read its prices: a minute is more than an order takes.
    let sold = sqlx::query_scalar!(
        "-- store.bulk.sold
        select c.game_id from bulk_changes b join bulk_change_games c on c.bulk_id = b.id and c.state = 'DONE'
         where b.id = $1 and c.game_id = any($2)
           and exists (select from order_items i join orders o on o.id = i.order_id
                        where i.game_id = c.game_id and o.created_at > b.confirmed_at - interval '1 minute'
                          and (c.price_after = i.price or b.kind = 'SHOW'))",
        id,
        games
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(sold.into_iter().collect())
}

/// The titles of some games that were sold by a bulk change: one more than are named, if there are.
async fn titles_of_sold(tx: &mut Tx, id: Uuid) -> Result<Vec<String>> {
    let titles = sqlx::query_scalar!(
        "-- store.bulk.titles_of_sold
        select g.title from bulk_changes b join bulk_change_games c on c.bulk_id = b.id and c.state = 'DONE' join games g on g.id = c.game_id
         where b.id = $1
           and exists (select from order_items i join orders o on o.id = i.order_id
                        where i.game_id = c.game_id and o.created_at > b.confirmed_at - interval '1 minute'
                          and (c.price_after = i.price or b.kind = 'SHOW'))
         limit $2",
        id,
        i64::try_from(SOLD_NAMED + 1).unwrap_or(i64::MAX)
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(titles)
}

/// What a part has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The bulk change.
    pub bulk: Uuid,
    /// It is over.
    pub is_over: bool,
    /// G2A's ids of games that are no longer held back: only G2A knows their stock.
    pub given_back: Vec<String>,
    /// Who asked for it.
    pub by: Option<UserId>,
}

/// Does the next part of the open bulk changes, of at most `part` games; `None` if there is none, or if other workers are
/// at them.
///
/// # Errors
/// [`StoreError`].
pub async fn next_part(store: &Store, part: u16) -> Result<Option<Part>> {
    store
        .tx("bulk.part", move |tx| Box::pin(async move { do_part(tx, part).await }))
        .await
}

async fn do_part(tx: &mut Tx, part: u16) -> Result<Option<Part>> {
    // One at a time: a later one would find the games of an earlier one changed.
    let is_mine = sqlx::query_scalar!(
        r#"-- store.bulk.is_open
        select case when exists (select from bulk_changes where state in ('OPEN', 'UNDOING'))
               then pg_try_advisory_xact_lock(hashtextextended('lockstep bulk changes', 0)) end as "is_mine: bool""#
    )
    .fetch_one(tx.conn())
    .await?;
    if is_mine != Some(true) {
        return Ok(None);
    }
    let open = sqlx::query!(
        "-- store.bulk.open
        select id, kind, state, below_cost, created_by, undone_by from bulk_changes where state in ('OPEN', 'UNDOING')
         order by confirmed_at, id limit 1 for no key update"
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(open) = open else { return Ok(None) };
    let kind = BulkKind::of_name(&open.kind)
        .ok_or_else(|| StoreError::Schema(format!("unexpected kind of a bulk change {:?}", open.kind)))?;
    let is_undo = open.state == "UNDOING";
    let task = decide::Task {
        kind,
        is_undo,
        below_cost: open.below_cost,
    };
    let done = decide::carry_out(tx, open.id, &task, part).await?;
    let is_over = done.is_over;
    if is_over {
        sqlx::query!(
            "-- store.bulk.finish
            update bulk_changes
               set state = case state when 'OPEN' then 'COMPLETED' else 'UNDONE' end, finished_at = coalesce(finished_at, now()),
                   undone_at = case state when 'UNDOING' then now() end
             where id = $1",
            open.id
        )
        .execute(tx.conn())
        .await?;
    }
    let by = if is_undo { open.undone_by } else { open.created_by }.map(UserId);
    if !done.told.is_empty() {
        let who = by.map_or_else(|| By::Operator("bulk change".to_owned()), By::Staff);
        let action = if is_undo {
            "catalogue.bulk.revert"
        } else {
            "catalogue.bulk.apply"
        };
        let details = json!({ "kind": open.kind, "games": done.told });
        audit::record(tx, &who, action, ("bulk_change", open.id), details).await?;
    }
    Ok(Some(Part {
        bulk: open.id,
        is_over,
        given_back: done.given_back,
        by,
    }))
}

/// Says why prices change, and that flags are not computed, until the transaction ends.
async fn in_the_name_of_staff(tx: &mut Tx) -> Result<()> {
    price_rules::because(tx, PriceReason::Staff).await
}

/// A bulk change in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct Bulk {
    pub id: Uuid,
    pub kind: BulkKind,
    /// Percent, or EUR.
    pub amount: Option<Decimal>,
    pub below_cost: bool,
    /// `PREVIEW`, `OPEN`, `COMPLETED`, `UNDOING` or `UNDONE`.
    pub state: String,
    /// When staff looked at the list.
    pub as_of: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub undone_at: Option<DateTime<Utc>>,
    /// Address of who asked for it.
    pub by: Option<String>,
}

/// The figures of a bulk change, in games.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "figures")]
pub struct BulkCounts {
    pub total: u64,
    /// Not yet done.
    pub waiting: u64,
    pub done: u64,
    pub skipped: u64,
    pub undone: u64,
    /// Not taken back.
    pub kept: u64,
    /// Of those that wait or are done: the price goes up.
    pub raised: u64,
    /// It goes down.
    pub lowered: u64,
    /// It is below what the supplier asks; `None` for staff who may not know.
    pub below_cost: Option<u64>,
    /// Changed since staff looked, or since the preview.
    pub changed: u64,
    /// Are so already.
    pub nothing: u64,
    /// Would have no price that can be stored.
    pub out_of_range: u64,
    /// Have a scheduled change of the same field.
    pub scheduled: u64,
}

/// A game of a bulk change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct BulkGame {
    pub id: Uuid,
    pub title: String,
    pub state: String,
    /// Why it was left out, or not taken back.
    pub reason: Option<String>,
    pub price_before: Money,
    pub price_after: Option<Money>,
    /// EUR, what the supplier asks.
    pub cost: Option<Decimal>,
}

/// Games of a bulk change that are listed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkGroup {
    /// Those that change.
    Changes,
    /// Of these, those whose price would be below the supplier's.
    BelowCost,
    /// Those that are left out, other than those that are so already.
    LeftOut,
}

impl BulkGroup {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BelowCost, Self::LeftOut, Self::Changes];

    /// Its name in statements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changes => "CHANGES",
            Self::BelowCost => "BELOW_COST",
            Self::LeftOut => "LEFT_OUT",
        }
    }
}

/// A bulk change with its figures, and some of its games.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkSheet {
    /// The change.
    pub bulk: Bulk,
    /// Its figures.
    pub counts: BulkCounts,
    /// Games that change, the biggest changes of a price first.
    pub changes: Vec<BulkGame>,
    /// Games whose price would be below the supplier's.
    pub below_cost: Vec<BulkGame>,
    /// Games that are left out, other than those that are so already.
    pub left_out: Vec<BulkGame>,
}

/// A row of `bulk_changes`.
struct Stored {
    id: Uuid,
    kind: String,
    amount: Option<Decimal>,
    below_cost: bool,
    state: String,
    as_of: DateTime<Utc>,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    undone_at: Option<DateTime<Utc>>,
    by: Option<String>,
}

/// How far a bulk change is: its state, and the next game of a worker. Cheap, however many games it has.
///
/// # Errors
/// [`StoreError`].
pub async fn position(tx: &mut Tx, id: Uuid) -> Result<Option<(String, Option<Uuid>)>> {
    let row = sqlx::query!(
        r#"-- store.bulk.position
        select b.state, (select g.game_id from bulk_change_games g
                          where g.bulk_id = b.id and g.state = case b.state when 'UNDOING' then 'DONE' else 'WAITING' end
                          order by g.game_id limit 1) as next
          from bulk_changes b where b.id = $1"#,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (row.state, row.next)))
}

/// What a bulk change is about; `None` if there is no such.
///
/// # Errors
/// [`StoreError`].
pub async fn kind(tx: &mut Tx, id: Uuid) -> Result<Option<BulkKind>> {
    let name = sqlx::query_scalar!("-- store.bulk.kind\nselect kind from bulk_changes where id = $1", id)
        .fetch_optional(tx.conn())
        .await?;
    Ok(name.as_deref().and_then(BulkKind::of_name))
}

fn bulk(row: Stored) -> Result<Bulk> {
    Ok(Bulk {
        kind: BulkKind::of_name(&row.kind)
            .ok_or_else(|| StoreError::Schema(format!("unexpected kind of a bulk change {:?}", row.kind)))?,
        id: row.id,
        amount: row.amount,
        below_cost: row.below_cost,
        state: row.state,
        as_of: row.as_of,
        created_at: row.created_at,
        confirmed_at: row.confirmed_at,
        finished_at: row.finished_at,
        undone_at: row.undone_at,
        by: row.by,
    })
}

/// The bulk changes that were confirmed, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, page: Page) -> Result<(Vec<Bulk>, Paging)> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query_as!(
        Stored,
        r#"-- store.bulk.list
        select b.id, b.kind, b.amount, b.below_cost, b.state, b.as_of, b.created_at, b.confirmed_at, b.finished_at, b.undone_at,
               u.email as "by?"
          from bulk_changes b left join users u on u.id = b.created_by
         where b.state <> 'PREVIEW' order by b.created_at desc, b.id desc limit $1 offset $2"#,
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let all = sqlx::query_scalar!(
        "-- store.bulk.count\nselect count(*) as \"count!\" from bulk_changes where state <> 'PREVIEW'"
    )
    .fetch_one(tx.conn())
    .await?;
    let bulks = rows.into_iter().map(bulk).collect::<Result<_>>()?;
    Ok((bulks, page.of(how_many_of(all))))
}

/// A bulk change with its figures and some of its games.
///
/// # Errors
/// [`StoreError`].
pub async fn sheet(tx: &mut Tx, id: Uuid) -> Result<Option<BulkSheet>> {
    let row = sqlx::query_as!(
        Stored,
        r#"-- store.bulk.shown
        select b.id, b.kind, b.amount, b.below_cost, b.state, b.as_of, b.created_at, b.confirmed_at, b.finished_at, b.undone_at,
               u.email as "by?"
          from bulk_changes b left join users u on u.id = b.created_by where b.id = $1"#,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let count = sqlx::query!(
        r#"-- store.bulk.counts
        select count(*) as "total!", count(*) filter (where state = 'WAITING') as "waiting!",
               count(*) filter (where state = 'DONE') as "done!", count(*) filter (where state = 'SKIPPED') as "skipped!",
               count(*) filter (where state = 'UNDONE') as "undone!", count(*) filter (where state = 'KEPT') as "kept!",
               count(*) filter (where state <> 'SKIPPED' and price_after > price_before) as "raised!",
               count(*) filter (where state <> 'SKIPPED' and price_after < price_before) as "lowered!",
               count(*) filter (where state <> 'SKIPPED' and price_after < cost) as "below_cost!",
               count(*) filter (where reason = 'CHANGED') as "changed!", count(*) filter (where reason = 'NOTHING') as "nothing!",
               count(*) filter (where reason = 'OUT_OF_RANGE') as "out_of_range!",
               count(*) filter (where reason = 'SCHEDULED') as "scheduled!"
          from bulk_change_games where bulk_id = $1"#,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    let number = how_many_of;
    Ok(Some(BulkSheet {
        bulk: bulk(row)?,
        counts: BulkCounts {
            total: number(count.total),
            waiting: number(count.waiting),
            done: number(count.done),
            skipped: number(count.skipped),
            undone: number(count.undone),
            kept: number(count.kept),
            raised: number(count.raised),
            lowered: number(count.lowered),
            below_cost: Some(number(count.below_cost)),
            changed: number(count.changed),
            nothing: number(count.nothing),
            out_of_range: number(count.out_of_range),
            scheduled: number(count.scheduled),
        },
        changes: games(tx, id, BulkGroup::Changes, NAMED, 0).await?,
        below_cost: games(tx, id, BulkGroup::BelowCost, NAMED, 0).await?,
        left_out: games(tx, id, BulkGroup::LeftOut, NAMED, 0).await?,
    }))
}

/// A page of the games of a group, in the order of [`sheet`].
///
/// # Errors
/// [`StoreError`].
pub async fn group(tx: &mut Tx, id: Uuid, group: BulkGroup, page: Page) -> Result<(Vec<BulkGame>, Paging)> {
    let (limit, offset) = bounds(page);
    let games = games(tx, id, group, limit, offset).await?;
    let all = sqlx::query_scalar!(
        r#"-- store.bulk.group_count
        select count(*) as "count!" from bulk_change_games c
         where c.bulk_id = $1
           and case $2 when 'LEFT_OUT' then c.state = 'KEPT' or c.state = 'SKIPPED' and c.reason <> 'NOTHING'
                       when 'BELOW_COST' then c.state <> 'SKIPPED' and c.price_after < c.cost
                       else c.state <> 'SKIPPED' end"#,
        id,
        group.name()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((games, page.of(how_many_of(all))))
}

/// Some games of a group: those with the biggest changes of the price first.
async fn games(tx: &mut Tx, id: Uuid, group: BulkGroup, limit: i64, offset: i64) -> Result<Vec<BulkGame>> {
    let rows = sqlx::query!(
        "-- store.bulk.games
        select c.game_id, g.title, c.state, c.reason, c.price_before, c.price_after, c.cost
          from bulk_change_games c join games g on g.id = c.game_id
         where c.bulk_id = $1
           and case $2 when 'LEFT_OUT' then c.state = 'KEPT' or c.state = 'SKIPPED' and c.reason <> 'NOTHING'
                       when 'BELOW_COST' then c.state <> 'SKIPPED' and c.price_after < c.cost
                       else c.state <> 'SKIPPED' end
         order by abs(c.price_after - c.price_before) desc nulls last, lower(g.title), c.game_id limit $3 offset $4",
        id,
        group.name(),
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let games = rows.into_iter().map(|row| {
        Ok(BulkGame {
            id: row.game_id,
            title: row.title,
            state: row.state,
            reason: row.reason,
            price_before: money_of(row.price_before)?,
            price_after: row.price_after.map(money_of).transpose()?,
            cost: row.cost,
        })
    });
    games.collect()
}
