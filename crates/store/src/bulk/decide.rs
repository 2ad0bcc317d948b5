//! What becomes of each game of a part, and writing it.

use std::collections::{HashMap, HashSet};

use lockstep_domain::Money;
use lockstep_domain::price::ListPrice;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::BulkKind;
use crate::row::money_of;
use crate::{Result, Tx};

/// What is done with the games.
pub(super) struct Task {
    pub(super) kind: BulkKind,
    pub(super) is_undo: bool,
    pub(super) below_cost: bool,
}

/// What was done.
pub(super) struct Done {
    /// There is no other part.
    pub(super) is_over: bool,
    /// Games that were changed, for the audit log.
    pub(super) told: Vec<Value>,
    pub(super) given_back: Vec<String>,
}

/// A game of the bulk change, as its preview has it.
struct Planned {
    game_id: Uuid,
    price_before: Decimal,
    price_after: Option<Decimal>,
    cost: Option<Decimal>,
    original_before: Option<Decimal>,
    was_own: Option<bool>,
    edits: Option<i64>,
    undo_cost: Option<Decimal>,
}

/// The game as it is, locked.
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
struct Current {
    price: Money,
    original_price: Option<Money>,
    product: Option<String>,
    g2a_price: Option<Money>,
    has_price: bool,
    is_hidden: bool,
    is_featured: bool,
    is_featured_by_hand: bool,
    is_withdrawn: bool,
    cost: Option<Decimal>,
    /// A change of the field is scheduled, or holds.
    is_scheduled: bool,
    /// How often people have changed the field.
    edits: i64,
}

/// What a game becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Price {
        price: Money,
        original: Option<Money>,
        /// The price that a synchronisation would set, beside one that is staff's.
        beside: Option<Money>,
        is_own: bool,
    },
    Hidden(bool),
    Featured {
        value: bool,
        is_by_hand: bool,
    },
}

/// Carries out the next part of a task.
pub(super) async fn carry_out(tx: &mut Tx, bulk: Uuid, task: &Task, part: u16) -> Result<Done> {
    if task.is_undo && stop(tx, bulk, part).await? {
        return Ok(Done {
            is_over: false,
            told: Vec::new(),
            given_back: Vec::new(),
        });
    }
    let state = if task.is_undo { "DONE" } else { "WAITING" };
    let planned = sqlx::query_as!(
        Planned,
        "-- store.bulk.next
        select game_id, price_before, price_after, cost, original_before, was_own, edits, undo_cost from bulk_change_games
         where bulk_id = $1 and state = $2 order by game_id limit $3",
        bulk,
        state,
        i64::from(part)
    )
    .fetch_all(tx.conn())
    .await?;
    let ids: Vec<Uuid> = planned.iter().map(|game| game.game_id).collect();
    let current = lock(tx, task, &ids).await?;
    // Read once the games are locked: an order that is at one of them is over by then.
    let sold = if task.is_undo {
        super::sold(tx, bulk, &ids).await?
    } else {
        HashSet::new()
    };
    let mut done = Done {
        is_over: planned.len() < usize::from(part),
        told: Vec::new(),
        given_back: Vec::new(),
    };
    let (mut outcomes, mut changes) = (Vec::new(), Vec::new());
    for game in &planned {
        // A game that was deleted meanwhile has taken its row along.
        let Some(now) = current.get(&game.game_id) else {
            continue;
        };
        let decided = if task.is_undo {
            take_back(task, game, now, &sold)
        } else {
            begin(task, game, now)
        }?;
        match decided {
            Ok(change) => {
                if change == Change::Hidden(false) {
                    done.given_back.extend(now.product.clone());
                }
                done.told.push(told(game.game_id, now, &change));
                outcomes.push(Outcome::done(game.game_id, task, now));
                changes.push((game.game_id, change));
            }
            Err(reason) => outcomes.push(Outcome::left(game.game_id, task, reason)),
        }
    }
    write(tx, &changes).await?;
    record(tx, bulk, task.kind.field(), &outcomes).await?;
    Ok(done)
}

/// Leaves out the next games of an undo that are not done yet; returns whether there were any.
async fn stop(tx: &mut Tx, bulk: Uuid, part: u16) -> Result<bool> {
    let stopped = sqlx::query!(
        "-- store.bulk.stop
        update bulk_change_games set state = 'SKIPPED', reason = 'STOPPED'
         where bulk_id = $1 and game_id in (select game_id from bulk_change_games where bulk_id = $1 and state = 'WAITING'
                                             order by game_id limit $2)",
        bulk,
        i64::from(part) * 10
    )
    .execute(tx.conn())
    .await?;
    Ok(stopped.rows_affected() > 0)
}

/// What is recorded of a game.
struct Outcome {
    game: Uuid,
    state: &'static str,
    reason: Option<&'static str>,
    original_before: Option<Decimal>,
    was_own: Option<bool>,
}

impl Outcome {
    fn done(game: Uuid, task: &Task, before: &Current) -> Self {
        let was_own = match task.kind {
            BulkKind::Feature | BulkKind::Unfeature => before.is_featured_by_hand,
            BulkKind::Hide | BulkKind::Show => before.is_hidden,
            _ => before.has_price,
        };
        Self {
            game,
            state: if task.is_undo { "UNDONE" } else { "DONE" },
            reason: None,
            original_before: before.original_price.map(Money::decimal).filter(|_| !task.is_undo),
            was_own: (!task.is_undo).then_some(was_own),
        }
    }

    const fn left(game: Uuid, task: &Task, reason: &'static str) -> Self {
        Self {
            game,
            state: if task.is_undo { "KEPT" } else { "SKIPPED" },
            reason: Some(reason),
            original_before: None,
            was_own: None,
        }
    }
}

type Decision = Result<std::result::Result<Change, &'static str>>;

/// What a game becomes, or why it is left out.
fn begin(task: &Task, game: &Planned, now: &Current) -> Decision {
    if now.is_withdrawn {
        return Ok(Err("WITHDRAWN"));
    }
    if now.is_scheduled {
        return Ok(Err("SCHEDULED"));
    }
    Ok(match task.kind {
        BulkKind::Hide if now.is_hidden => Err("NOTHING"),
        BulkKind::Show if !now.is_hidden => Err("NOTHING"),
        BulkKind::Hide => Ok(Change::Hidden(true)),
        BulkKind::Show => Ok(Change::Hidden(false)),
        BulkKind::Feature | BulkKind::Unfeature => {
            let value = task.kind == BulkKind::Feature;
            if now.is_featured == value {
                Err("NOTHING")
            } else {
                Ok(Change::Featured {
                    value,
                    is_by_hand: true,
                })
            }
        }
        BulkKind::PriceDrop | BulkKind::PricePercent | BulkKind::PriceAmount | BulkKind::PriceSet => {
            let Some(price) = game.price_after.map(money_of).transpose()? else {
                return Ok(Err("OUT_OF_RANGE"));
            };
            let is_drop = task.kind == BulkKind::PriceDrop;
            let is_as_seen =
                now.price.decimal() == game.price_before && (!is_drop || now.has_price && now.g2a_price == Some(price));
            if !is_as_seen {
                Err("CHANGED")
            } else if is_below(price, now.cost, game.cost.filter(|_| task.below_cost)) {
                Err("BELOW_COST")
            } else {
                let is_own = now.product.is_some() && !is_drop;
                Ok(Change::Price {
                    price,
                    original: now.original_price,
                    beside: is_own.then(|| now.g2a_price.unwrap_or(now.price)),
                    is_own,
                })
            }
        }
    })
}

/// Whether a price is below what the supplier asks by now, and not known to be: `accepted` is what it asked when staff said
/// yes to less.
fn is_below(price: Money, now: Option<Decimal>, accepted: Option<Decimal>) -> bool {
    let price = price.decimal();
    now.is_some_and(|now| price < now && accepted.is_none_or(|seen| price >= seen || now > seen))
}

/// What a game is again, or why it stays.
fn take_back(task: &Task, game: &Planned, now: &Current, sold: &HashSet<Uuid>) -> Decision {
    if sold.contains(&game.game_id) {
        return Ok(Err("SOLD"));
    }
    if now.is_withdrawn && matches!(task.kind, BulkKind::Hide) {
        return Ok(Err("WITHDRAWN"));
    }
    if now.is_scheduled {
        return Ok(Err("SCHEDULED"));
    }
    // Also when it is what the bulk change made of it: whoever set it again since has meant it.
    if game.edits != Some(now.edits) {
        return Ok(Err("CHANGED"));
    }
    let was_own = game.was_own.unwrap_or_default();
    Ok(match task.kind {
        BulkKind::Hide if now.is_hidden => Ok(Change::Hidden(false)),
        BulkKind::Show if !now.is_hidden => Ok(Change::Hidden(true)),
        BulkKind::Hide | BulkKind::Show => Err("CHANGED"),
        BulkKind::Feature | BulkKind::Unfeature => {
            let value = task.kind == BulkKind::Feature;
            if now.is_featured == value && now.is_featured_by_hand {
                Ok(Change::Featured {
                    value: !value,
                    is_by_hand: was_own,
                })
            } else {
                Err("CHANGED")
            }
        }
        BulkKind::PriceDrop | BulkKind::PricePercent | BulkKind::PriceAmount | BulkKind::PriceSet => {
            let is_drop = task.kind == BulkKind::PriceDrop;
            let is_supplied = now.product.is_some();
            // A price that was dropped follows the supplier's since.
            let is_as_done = if is_drop {
                !now.has_price
            } else {
                Some(now.price.decimal()) == game.price_after && (!is_supplied || now.has_price)
            };
            if !is_as_done {
                return Ok(Err("CHANGED"));
            }
            let before = money_of(game.price_before)?;
            // One that was set since is newer.
            let original = match now.original_price {
                None => game.original_before.map(money_of).transpose()?,
                newer => newer,
            };
            let is_own = is_supplied && was_own;
            let price = if is_supplied && !was_own {
                // It was the supplier's, and is again what that says by now.
                now.g2a_price.unwrap_or(before)
            } else {
                before
            };
            if is_below(price, now.cost, game.undo_cost) {
                return Ok(Err("BELOW_COST"));
            }
            Ok(Change::Price {
                price,
                original,
                beside: is_own.then(|| now.g2a_price.unwrap_or(now.price)),
                is_own,
            })
        }
    })
}

fn told(id: Uuid, now: &Current, change: &Change) -> Value {
    match change {
        Change::Price { price, .. } => json!({ "id": id, "before": now.price, "after": price }),
        Change::Hidden(is_hidden) => json!({ "id": id, "hidden": is_hidden }),
        Change::Featured { value, .. } => json!({ "id": id, "before": now.is_featured, "after": value }),
    }
}

/// Locks the games, by id.
async fn lock(tx: &mut Tx, task: &Task, ids: &[Uuid]) -> Result<HashMap<Uuid, Current>> {
    if task.is_undo {
        // Orders lock what they sell for key share: only this waits for them, and they for this.
        sqlx::query!(
            "-- store.bulk.lock_sales\nselect id from games where id = any($1) order by id for update",
            ids
        )
        .fetch_all(tx.conn())
        .await?;
    }
    let rows = sqlx::query!(
        r#"-- store.bulk.lock_games
        select id, price, coalesce(original_price_by_hand, original_price) as original_price, g2a_product_id, g2a_price,
               'price' = any (fields_by_hand) as "has_price!", 'in_stock' = any (fields_by_hand) as "is_hidden!",
               is_best_seller, 'is_best_seller' = any (flags_by_hand) as "is_by_hand!", withdrawn_at is not null as "is_withdrawn!",
               greatest(supplier_price, case when g2a_asked_at > now() - interval '1 day' then g2a_asked_cost end) as "cost?"
          from games where id = any($1) order by id for no key update"#,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    // A statement of its own: it sees what was committed while the games were waited for.
    let beside = sqlx::query!(
        r#"-- store.bulk.edits
        select n.id as "id!", coalesce(e.revision, 0) as "edits!",
               exists (select from scheduled_changes c
                        where c.game_id = n.id and c.field = $2 and c.state in ('WAITING', 'ACTIVE')) as "is_scheduled!"
          from unnest($1::uuid[]) n (id) left join game_edits e on e.game_id = n.id and e.field = $2"#,
        ids,
        task.kind.field()
    )
    .fetch_all(tx.conn())
    .await?;
    let beside: HashMap<Uuid, (i64, bool)> = beside
        .into_iter()
        .map(|row| (row.id, (row.edits, row.is_scheduled)))
        .collect();
    let games = rows.into_iter().map(|row| {
        let (edits, is_scheduled) = beside.get(&row.id).copied().unwrap_or_default();
        let game = Current {
            price: money_of(row.price)?,
            original_price: row.original_price.map(money_of).transpose()?,
            product: row.g2a_product_id,
            g2a_price: row.g2a_price.map(money_of).transpose()?,
            has_price: row.has_price,
            is_hidden: row.is_hidden,
            is_featured: row.is_best_seller,
            is_featured_by_hand: row.is_by_hand,
            is_withdrawn: row.is_withdrawn,
            cost: row.cost,
            is_scheduled,
            edits,
        };
        Ok((row.id, game))
    });
    games.collect()
}

/// Writes the changes, which are all of one kind.
async fn write(tx: &mut Tx, changes: &[(Uuid, Change)]) -> Result<()> {
    super::in_the_name_of_staff(tx).await?;
    let (mut ids, mut values, mut by_hand) = (Vec::new(), Vec::new(), Vec::new());
    let (mut prices, mut originals, mut discounts, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, change) in changes {
        ids.push(*id);
        match change {
            Change::Price {
                price,
                original,
                beside: next_to_it,
                is_own,
            } => {
                let list = ListPrice::of(*price, *original);
                prices.push(list.price.decimal());
                originals.push(list.original_price.map(Money::decimal));
                discounts.push(list.discount);
                beside.push(next_to_it.map(Money::decimal));
                values.push(*is_own);
            }
            Change::Hidden(is_hidden) => values.push(*is_hidden),
            Change::Featured { value, is_by_hand } => {
                values.push(*value);
                by_hand.push(*is_by_hand);
            }
        }
    }
    match changes.first() {
        None => {}
        Some((_, Change::Price { .. })) => {
            sqlx::query!(
                "-- store.bulk.set_prices
                update games g
                   set price = n.price, original_price = n.original_price, discount = n.discount, g2a_price = n.beside,
                       fields_by_hand = case when n.is_own then array_append(array_remove(g.fields_by_hand, 'price'), 'price')
                                        else array_remove(g.fields_by_hand, 'price') end
                  from unnest($1::uuid[], $2::numeric[], $3::numeric[], $4::integer[], $5::numeric[], $6::boolean[])
                       as n (id, price, original_price, discount, beside, is_own)
                 where g.id = n.id",
                &ids,
                &prices,
                &originals as _,
                &discounts,
                &beside as _,
                &values
            )
            .execute(tx.conn())
            .await?;
        }
        Some((_, Change::Hidden(_))) => {
            sqlx::query!(
                "-- store.bulk.set_hidden
                update games g
                   set fields_by_hand = case when n.is_hidden then array_append(array_remove(g.fields_by_hand, 'in_stock'), 'in_stock')
                                        else array_remove(g.fields_by_hand, 'in_stock') end,
                       in_stock = g.in_stock and not n.is_hidden, g2a_stock = g.g2a_stock and not n.is_hidden,
                       popularity = case when n.is_hidden then g.popularity - g.g2a_depth else g.popularity end,
                       g2a_depth = case when n.is_hidden then 0 else g.g2a_depth end
                  from unnest($1::uuid[], $2::boolean[]) as n (id, is_hidden)
                 where g.id = n.id",
                &ids,
                &values
            )
            .execute(tx.conn())
            .await?;
        }
        Some((_, Change::Featured { .. })) => {
            // Otherwise the database takes any change of the flag for people's, also one that gives it back.
            sqlx::query_scalar!("-- store.bulk.flags\nselect set_config('lockstep.flags', 'computed', true)")
                .fetch_one(tx.conn())
                .await?;
            sqlx::query!(
                "-- store.bulk.set_featured
                update games g
                   set is_best_seller = n.value,
                       flags_by_hand = case when n.by_hand then array_append(array_remove(g.flags_by_hand, 'is_best_seller'), 'is_best_seller')
                                       else array_remove(g.flags_by_hand, 'is_best_seller') end
                  from unnest($1::uuid[], $2::boolean[], $3::boolean[]) as n (id, value, by_hand)
                 where g.id = n.id",
                &ids,
                &values,
                &by_hand
            )
            .execute(tx.conn())
            .await?;
        }
    }
    Ok(())
}

async fn record(tx: &mut Tx, bulk: Uuid, field: &str, outcomes: &[Outcome]) -> Result<()> {
    let ids: Vec<Uuid> = outcomes.iter().map(|outcome| outcome.game).collect();
    let states: Vec<&str> = outcomes.iter().map(|outcome| outcome.state).collect();
    let reasons: Vec<Option<&str>> = outcomes.iter().map(|outcome| outcome.reason).collect();
    let originals: Vec<Option<Decimal>> = outcomes.iter().map(|outcome| outcome.original_before).collect();
    let owns: Vec<Option<bool>> = outcomes.iter().map(|outcome| outcome.was_own).collect();
    sqlx::query!(
        "-- store.bulk.record
        update bulk_change_games c
           set state = n.state, reason = n.reason, original_before = coalesce(n.original_before, c.original_before),
               was_own = coalesce(n.was_own, c.was_own),
               edits = case n.state when 'DONE' then coalesce((select e.revision from game_edits e
                                                                where e.game_id = c.game_id and e.field = $7), 0) else c.edits end
          from unnest($2::uuid[], $3::text[], $4::text[], $5::numeric[], $6::boolean[]) as n (id, state, reason, original_before, was_own)
         where c.bulk_id = $1 and c.game_id = n.id",
        bulk,
        &ids,
        &states as _,
        &reasons as _,
        &originals as _,
        &owns as _,
        field
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
