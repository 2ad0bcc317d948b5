//! Price rules, for staff: what a set would change, saving it, its jobs, and the history of a game's price.

use lockstep_domain::GameId;
use lockstep_domain::admin::{
    Exact, Page, PriceChangeRow, PriceHistory, PriceHistoryRow, PriceJobList, PriceJobRow, PricePreview, PriceRuleSet,
};
use lockstep_domain::ids::UserId;
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::{GameFacts, PriceEnding, PriceRules, RuleEnding};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bounds;
use crate::audit::{self, By};
use crate::price_rules;
use crate::repricing::{Asked, Priced};
use crate::row::{how_many_of, money_of};
use crate::transaction::holds_store_error;
use crate::{AsStoreError as _, Result, Store, StoreError, Tx};

/// Games that a preview reads at once.
const AT_ONCE: i64 = 2_000;
/// The biggest changes that a preview names, each way.
const BIGGEST: usize = 20;

/// Why rules were not saved.
#[derive(Debug, thiserror::Error)]
pub enum PriceRulesError {
    /// Others have saved rules since.
    #[error("These rules change version {asked}, but version {} is in force by now.", .current.version)]
    Outdated {
        /// The version that was to be changed.
        asked: i64,
        /// The rules in force.
        current: Box<PriceRules>,
    },
    /// There is no such genre.
    #[error("A rule names a genre that does not exist")]
    NoSuchGenre,
    /// There is no such platform.
    #[error("A rule names a platform that does not exist")]
    NoSuchPlatform,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(PriceRulesError);

/// The rules in force with the newest job.
///
/// # Errors
/// [`StoreError`].
pub async fn shown(tx: &mut Tx, pricing: &Pricing) -> Result<PriceRuleSet> {
    let rules = price_rules::current(tx).await?;
    let newest = jobs(tx, Page { number: 1, size: 1 }).await?.jobs.pop();
    Ok(PriceRuleSet::of(&rules, pricing.markup_percent, newest))
}

/// Saves rules in place of version `version`, and asks for a job that gives all games their prices by them. The audit log
/// records it. Rules that change nothing are not saved.
///
/// # Errors
/// [`PriceRulesError`]; then nothing has changed.
pub async fn save(store: &Store, by: UserId, version: i64, new: &PriceRules) -> Result<(), PriceRulesError> {
    let new = new.clone();
    store
        .tx("price_rules.save", move |tx| {
            let new = new.clone();
            Box::pin(async move { save_once(tx, by, version, &new).await })
        })
        .await
        .map_err(|error| match error.as_store_error().and_then(StoreError::constraint) {
            Some("price_rules_genre_id_fkey") => PriceRulesError::NoSuchGenre,
            Some("price_rules_platform_id_fkey") => PriceRulesError::NoSuchPlatform,
            _ => error,
        })
}

async fn save_once(tx: &mut Tx, by: UserId, version: i64, new: &PriceRules) -> Result<(), PriceRulesError> {
    let before = price_rules::lock(tx).await?;
    if before.version != version {
        return Err(PriceRulesError::Outdated {
            asked: version,
            current: Box::new(before),
        });
    }
    let new = PriceRules {
        version: before.version + 1,
        ..new.clone()
    };
    if (before.min_margin, before.ending, &before.rules) == (new.min_margin, new.ending, &new.rules) {
        return Ok(());
    }
    sqlx::query!(
        "-- store.price_rules.save
        update price_policy
           set version = $1, min_margin = $2, min_margin_percent = $3, ending = $4, rounding = $5, saved_at = now(),
               saved_by = $6",
        new.version,
        new.min_margin.amount.decimal(),
        new.min_margin.percent,
        new.ending.map(cents),
        new.ending.map(|ending| ending.rounding().name()),
        by.0
    )
    .execute(tx.conn())
    .await?;
    write_rules(tx, &new).await?;
    let job = Uuid::now_v7();
    sqlx::query!(
        "-- store.price_rules.supersede
        update price_jobs set state = 'SUPERSEDED', finished_at = now() where state = 'OPEN'"
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.price_rules.submit
        insert into price_jobs (id, version, requested_by, total)
        select $1, $2, $3, count(*) from games where supplier_price is not null",
        job,
        new.version,
        by.0
    )
    .execute(tx.conn())
    .await?;
    let details = json!({ "before": told(&before), "after": told(&new) });
    audit::record(tx, &By::Staff(by), "prices.rules", ("price_job", job), details).await?;
    Ok(())
}

/// The rules for the audit log.
fn told(rules: &PriceRules) -> Value {
    let shown = PriceRuleSet::of(rules, Decimal::ZERO, None);
    json!({
        "version": shown.version, "minMargin": shown.min_margin, "minMarginPercent": shown.min_margin_percent,
        "ending": shown.ending, "rules": shown.rules,
    })
}

fn cents(ending: PriceEnding) -> i16 {
    i16::try_from(ending.cents()).unwrap_or_default()
}

async fn write_rules(tx: &mut Tx, new: &PriceRules) -> Result<()> {
    sqlx::query!("-- store.price_rules.clear\ndelete from price_rules")
        .execute(tx.conn())
        .await?;
    for (position, rule) in (1_i32..).zip(&new.rules) {
        let (ending, rounding) = match rule.ending {
            RuleEnding::OfSet => (None, None),
            RuleEnding::None => (None, Some("NONE")),
            RuleEnding::Some(ending) => (Some(cents(ending)), Some(ending.rounding().name())),
        };
        sqlx::query!(
            "-- store.price_rules.write
            insert into price_rules (position, name, priority, genre_id, platform_id, activation_service, cost_from, cost_to,
                                     markup_percent, min_margin, min_margin_percent, ending, rounding)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            position,
            rule.name,
            rule.priority,
            rule.genre,
            rule.platform,
            rule.activation_service,
            rule.cost_from.map(lockstep_domain::Money::decimal),
            rule.cost_to.map(lockstep_domain::Money::decimal),
            rule.markup_percent,
            rule.min_margin.amount.decimal(),
            rule.min_margin.percent,
            ending,
            rounding
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// What `candidate` would change, with a page of the changes. Reads the whole catalogue in the snapshot of `tx`.
///
/// # Errors
/// [`StoreError`].
pub async fn preview(tx: &mut Tx, candidate: &PriceRules, pricing: &Pricing, page: Page) -> Result<PricePreview> {
    let version = price_rules::current(tx).await?.version;
    let as_of = sqlx::query_scalar!("-- store.price_rules.now\nselect now() as \"now!\"")
        .fetch_one(tx.conn())
        .await?;
    let mut preview = PricePreview {
        version,
        as_of,
        games: 0,
        raised: 0,
        lowered: 0,
        unchanged: 0,
        own_prices: 0,
        below_cost: 0,
        held_back: 0,
        unknown_cost: 0,
        biggest_rises: Vec::new(),
        biggest_falls: Vec::new(),
        changes: Vec::new(),
        paging: page.of(0),
    };
    let mut after = Uuid::nil();
    loop {
        let rows = sqlx::query!(
            r#"-- store.price_rules.preview
            select g.id, g.title, g.slug, g.price, g.supplier_price, g.supplier_retail_price,
                   case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_price end as asked_price,
                   g.g2a_asked_cost,
                   'price' = any (g.fields_by_hand) as "is_own!", g.activation_service,
                   array(select l.genre_id from game_genres l where l.game_id = g.id) as "genres!",
                   array(select l.platform_id from game_platforms l where l.game_id = g.id) as "platforms!"
              from games g where g.id > $1 and g.g2a_product_id is not null order by g.id limit $2"#,
            after,
            AT_ONCE
        )
        .fetch_all(tx.conn())
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        for row in rows {
            preview.games += 1;
            let Some(cost) = row.supplier_price else {
                preview.unknown_cost += 1;
                continue;
            };
            let price = money_of(row.price)?;
            if row.is_own {
                preview.own_prices += 1;
                preview.unchanged += 1;
                preview.below_cost += u64::from(price.decimal() < cost);
                continue;
            }
            let game = Priced {
                cost,
                retail: row.supplier_retail_price,
                asked: Asked::read(row.g2a_asked_cost, row.asked_price)?,
                facts: GameFacts {
                    genres: row.genres,
                    platforms: row.platforms,
                    activation_service: row.activation_service,
                },
            };
            let Some(list) = game.by(candidate, pricing) else {
                preview.held_back += 1;
                continue;
            };
            let change = PriceChangeRow {
                game_id: row.id,
                title: row.title,
                slug: row.slug,
                supplier_price: Exact(cost),
                price,
                new_price: list.price,
                rule: candidate.rule_for(&game.facts, cost).map(|rule| rule.name.clone()),
            };
            count(&mut preview, change, page);
        }
    }
    preview.paging = page.of(preview.raised + preview.lowered);
    Ok(preview)
}

fn count(preview: &mut PricePreview, change: PriceChangeRow, page: Page) {
    let rise = change.new_price.cents() - change.price.cents();
    if rise == 0 {
        preview.unchanged += 1;
        return;
    }
    let position = preview.raised + preview.lowered;
    let has_room = preview.changes.len() < usize::try_from(page.size).unwrap_or_default();
    if position >= page.offset() && has_room {
        preview.changes.push(change.clone());
    }
    let size = |row: &PriceChangeRow| (row.new_price.cents() - row.price.cents()).abs();
    let biggest = if rise > 0 {
        preview.raised += 1;
        &mut preview.biggest_rises
    } else {
        preview.lowered += 1;
        &mut preview.biggest_falls
    };
    let at = biggest.partition_point(|row| size(row) >= rise.abs());
    if at < BIGGEST {
        biggest.insert(at, change);
        biggest.truncate(BIGGEST);
    }
}

/// The jobs, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn jobs(tx: &mut Tx, page: Page) -> Result<PriceJobList> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query!(
        "-- store.price_rules.jobs
        select id, version, state, total, done, raised, lowered, requested_at, finished_at
          from price_jobs order by requested_at desc, id desc limit $1 offset $2",
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let all = sqlx::query_scalar!("-- store.price_rules.count_jobs\nselect count(*) as \"count!\" from price_jobs")
        .fetch_one(tx.conn())
        .await?;
    let jobs = rows.into_iter().map(|row| PriceJobRow {
        id: row.id,
        version: row.version,
        state: row.state,
        games_total: row.total,
        games_done: row.done,
        raised: row.raised,
        lowered: row.lowered,
        requested_at: row.requested_at,
        finished_at: row.finished_at,
    });
    Ok(PriceJobList {
        jobs: jobs.collect(),
        paging: page.of(how_many_of(all)),
    })
}

/// The history of a game's price, newest first; `None` if there is no such game.
///
/// # Errors
/// [`StoreError`].
pub async fn history(tx: &mut Tx, game: GameId, page: Page) -> Result<Option<PriceHistory>> {
    let (limit, offset) = bounds(page);
    let all = sqlx::query_scalar!(
        r#"-- store.price_rules.count_history
        select (select count(*) from price_changes c where c.game_id = g.id) as "count!" from games g where g.id = $1"#,
        game.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(all) = all else { return Ok(None) };
    let rows = sqlx::query!(
        "-- store.price_rules.history
        select at, previous_price, price, original_price, g2a_price, supplier_price, reason
          from price_changes where game_id = $1 order by id desc limit $2 offset $3",
        game.0,
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let changes = rows.into_iter().map(|row| {
        Ok(PriceHistoryRow {
            at: row.at,
            previous_price: money_of(row.previous_price)?,
            price: money_of(row.price)?,
            original_price: row.original_price.map(money_of).transpose()?,
            g2a_price: row.g2a_price.map(money_of).transpose()?,
            supplier_price: row.supplier_price.map(Exact),
            reason: row.reason,
        })
    });
    Ok(Some(PriceHistory {
        changes: changes.collect::<Result<_>>()?,
        paging: page.of(how_many_of(all)),
    }))
}
