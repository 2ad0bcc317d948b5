//! Gives every game its price by new rules, in parts.
//!
//! A part is one transaction: it holds the rules, locks the open job, computes the prices of the next games by id, and
//! records how far it came. Any worker may do the next part; one that dies has done nothing of its part. A game that is
//! made meanwhile has its price by the new rules from the start.

use std::collections::HashMap;

use lockstep_domain::Money;
use lockstep_domain::price::{ListPrice, Pricing};
use lockstep_domain::price_rules::{GameFacts, PriceRules};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::price_rules::{self, PriceReason};
use crate::row::money_of;
use crate::{Result, Store, Tx};

/// Games of one part.
pub const PART: u16 = 500;

/// What a part has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The job.
    pub job: Uuid,
    /// The version of its rules.
    pub version: i64,
    /// Games of this part.
    pub games: i32,
    /// The job is over.
    pub is_over: bool,
}

/// Does the next part of the open job, of at most `part` games; `None` if there is none, or if another worker is at it.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn next_part(store: &Store, pricing: &Pricing, part: u16) -> Result<Option<Done>> {
    let pricing = *pricing;
    store
        .tx("repricing.part", move |tx| {
            Box::pin(async move { do_part(tx, &pricing, part).await })
        })
        .await
}

async fn do_part(tx: &mut Tx, pricing: &Pricing, part: u16) -> Result<Option<Done>> {
    let is_open = sqlx::query_scalar!(
        r#"-- store.repricing.is_open
        select exists (select from price_jobs where state = 'OPEN') as "is_open!""#
    )
    .fetch_one(tx.conn())
    .await?;
    if !is_open {
        return Ok(None);
    }
    let rules = price_rules::hold(tx).await?;
    let job = sqlx::query!(
        "-- store.repricing.job
        select id, version, last_game from price_jobs where state = 'OPEN' for no key update skip locked"
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(job) = job else { return Ok(None) };
    let changes = reprice(tx, &rules, pricing, job.last_game, part).await?;
    let is_over = changes.games < i32::from(part);
    sqlx::query!(
        "-- store.repricing.record
        update price_jobs
           set done = done + $2, raised = raised + $3, lowered = lowered + $4, last_game = $5,
               started_at = coalesce(started_at, now()), state = case when $6 then 'COMPLETED' else state end,
               finished_at = case when $6 then now() end
         where id = $1",
        job.id,
        changes.games,
        changes.raised,
        changes.lowered,
        changes.last.unwrap_or(job.last_game),
        is_over
    )
    .execute(tx.conn())
    .await?;
    Ok(Some(Done {
        job: job.id,
        version: job.version,
        games: changes.games,
        is_over,
    }))
}

/// What [`reprice`] has done.
struct Changes {
    games: i32,
    raised: i32,
    lowered: i32,
    last: Option<Uuid>,
}

/// What an order has shown within a day: the price in the shop is at least that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What the supplier asks, EUR; `None` in records from before there were price rules.
    cost: Option<Decimal>,
    /// The price in the shop that it needed then, EUR.
    price: Money,
}

impl Asked {
    /// From the columns of a game; `price` is null if the record is too old.
    pub(crate) fn read(cost: Option<Decimal>, price: Option<Decimal>) -> Result<Option<Self>> {
        let asked = price.map(|price| {
            Ok(Self {
                cost,
                price: money_of(price)?,
            })
        });
        asked.transpose()
    }

    /// What the supplier asks, EUR, as far as it is known.
    pub(crate) const fn cost(&self) -> Option<Decimal> {
        self.cost
    }

    /// The lowest price by the rules: for what the supplier asks, or else the one that was needed then.
    pub(crate) fn floor(&self, rules: &PriceRules, pricing: &Pricing, facts: &GameFacts) -> Money {
        let by_rules = self.cost.and_then(|cost| rules.price(pricing, facts, cost));
        by_rules.unwrap_or(self.price)
    }
}

/// A game whose price follows from the supplier's.
pub(crate) struct Priced {
    /// The supplier's price, EUR.
    pub(crate) cost: Decimal,
    /// The supplier's reference price, EUR.
    pub(crate) retail: Option<Decimal>,
    /// What an order has shown.
    pub(crate) asked: Option<Asked>,
    pub(crate) facts: GameFacts,
}

impl Priced {
    /// Its price by the rules: at least that for what an order has shown.
    pub(crate) fn by(&self, rules: &PriceRules, pricing: &Pricing) -> Option<ListPrice> {
        let list = rules.list_price(pricing, &self.facts, self.cost, self.retail)?;
        Some(self.floor(rules, pricing).map_or(list, |floor| list.at_least(floor)))
    }

    /// The lowest price that an order has shown to be needed.
    fn floor(&self, rules: &PriceRules, pricing: &Pricing) -> Option<Money> {
        self.asked.map(|asked| asked.floor(rules, pricing, &self.facts))
    }
}

/// Gives games their prices by the rules, which the transaction holds: the next ones after `after`, by id. A price that
/// staff have set stays; beside it is what it would be. Unchanged rows are not written.
async fn reprice(tx: &mut Tx, rules: &PriceRules, pricing: &Pricing, after: Uuid, most: u16) -> Result<Changes> {
    price_rules::because(tx, PriceReason::Rules).await?;
    let rows = sqlx::query!(
        r#"-- store.repricing.games
        select g.id, g.price, coalesce(g.original_price_by_hand, g.original_price) as original_price, g.supplier_price as "supplier_price!", g.supplier_retail_price,
               case when g.g2a_asked_at > now() - interval '1 day' then g.g2a_asked_price end as asked_price,
               g.g2a_asked_cost, g.fields_by_hand
          from games g
         where g.id > $1 and g.supplier_price is not null
         order by g.id limit $2 for no key update of g"#,
        after,
        i64::from(most)
    )
    .fetch_all(tx.conn())
    .await?;
    // Read after the games are locked: whoever changes what the rules look at has locked the game before.
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut facts = if rules.needs_facts() {
        price_rules::facts_of(tx, &ids).await?
    } else {
        HashMap::new()
    };
    let mut changes = Changes {
        games: 0,
        raised: 0,
        lowered: 0,
        last: None,
    };
    let (mut ids, mut prices, mut originals, mut discounts, mut beside, mut asked) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        changes.games += 1;
        changes.last = Some(row.id);
        let has = |field: &str| row.fields_by_hand.iter().any(|kept| kept == field);
        let game = Priced {
            cost: row.supplier_price,
            retail: row.supplier_retail_price,
            asked: Asked::read(row.g2a_asked_cost, row.asked_price)?,
            facts: facts.remove(&row.id).unwrap_or_default(),
        };
        // Without a price by the rules it keeps the one that it has.
        let Some(by_rules) = game.by(rules, pricing) else {
            continue;
        };
        let now = money_of(row.price)?;
        let original = if has("original_price") {
            row.original_price.map(money_of).transpose()?
        } else {
            by_rules.original_price
        };
        let list = ListPrice::of(if has("price") { now } else { by_rules.price }, original);
        changes.raised += i32::from(list.price > now);
        changes.lowered += i32::from(list.price < now);
        ids.push(row.id);
        prices.push(list.price.decimal());
        originals.push(list.original_price.map(Money::decimal));
        discounts.push(list.discount);
        beside.push(has("price").then(|| by_rules.price.decimal()));
        asked.push(game.floor(rules, pricing).map(Money::decimal));
    }
    sqlx::query!(
        "-- store.repricing.write
        update games g
           set price = n.price, original_price = n.original_price, discount = n.discount, g2a_price = n.g2a_price,
               g2a_asked_price = coalesce(n.asked, g.g2a_asked_price)
          from unnest($1::uuid[], $2::numeric[], $3::numeric[], $4::integer[], $5::numeric[], $6::numeric[])
               as n (id, price, original_price, discount, g2a_price, asked)
         where g.id = n.id and (g.price, g.original_price, g.discount, g.g2a_price, g.g2a_asked_price)
               is distinct from (n.price, n.original_price, n.discount, n.g2a_price, coalesce(n.asked, g.g2a_asked_price))",
        &ids,
        &prices,
        &originals as _,
        &discounts,
        &beside as _,
        &asked as _
    )
    .execute(tx.conn())
    .await?;
    Ok(changes)
}
