//! What a scheduled change does to its game.

use lockstep_domain::Money;
use lockstep_domain::price::{ListPrice, Pricing};
use lockstep_domain::price_rules::{GameFacts, PriceRules};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Due;
use crate::price_rules::facts_of;
use crate::repricing::{Asked, Priced};
use crate::row::money_of;
use crate::{Result, StoreError, Tx};

/// The game as it is, locked.
pub(super) struct Game {
    id: Uuid,
    price: Money,
    /// Also one that staff have set and that is not above the price.
    original_price: Option<Money>,
    product: Option<String>,
    g2a_price: Option<Money>,
    supplier_price: Option<Decimal>,
    supplier_retail_price: Option<Decimal>,
    asked: Option<Asked>,
    fields_by_hand: Vec<String>,
    flags_by_hand: Vec<String>,
    is_best_seller: bool,
}

impl Game {
    fn has(&self, field: &str) -> bool {
        self.fields_by_hand.iter().any(|kept| kept == field)
    }

    /// What the supplier asks, EUR, as far as it is known.
    pub(super) fn cost(&self) -> Option<Decimal> {
        self.supplier_price.max(self.asked.and_then(|asked| asked.cost()))
    }

    fn is_featured_by_hand(&self) -> bool {
        self.flags_by_hand.iter().any(|flag| flag == "is_best_seller")
    }

    /// What staff have set of a field.
    pub(super) fn before(&self, field: &str) -> Value {
        match field {
            "PRICE" => json!({
                "price": self.price.to_string(),
                "originalPrice": self.original_price.map(|price| price.to_string()),
                "priceIsStaffs": self.has("price"),
                "originalIsStaffs": self.has("original_price"),
            }),
            "VISIBLE" => json!({ "isHeldBack": self.has("in_stock") }),
            _ => json!({ "isByHand": self.is_featured_by_hand(), "value": self.is_best_seller }),
        }
    }

    /// Its fields by hand with or without these.
    fn fields(&self, set: &[(&str, bool)]) -> Vec<String> {
        let mut fields: Vec<String> = self.fields_by_hand.clone();
        fields.retain(|field| set.iter().all(|(name, _)| field != name));
        fields.extend(
            set.iter()
                .filter(|(_, is_set)| *is_set)
                .map(|(name, _)| (*name).to_owned()),
        );
        fields
    }
}

pub(super) async fn lock(tx: &mut Tx, id: Uuid) -> Result<Game> {
    let row = sqlx::query!(
        "-- store.scheduled.game
        select price, coalesce(original_price_by_hand, original_price) as original_price, g2a_product_id, g2a_price, supplier_price, supplier_retail_price,
               case when g2a_asked_at > now() - interval '1 day' then g2a_asked_price end as asked_price, g2a_asked_cost,
               fields_by_hand, flags_by_hand, is_best_seller
          from games where id = $1 for no key update",
        id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Game {
        id,
        price: money_of(row.price)?,
        original_price: row.original_price.map(money_of).transpose()?,
        product: row.g2a_product_id,
        g2a_price: row.g2a_price.map(money_of).transpose()?,
        supplier_price: row.supplier_price,
        supplier_retail_price: row.supplier_retail_price,
        asked: Asked::read(row.g2a_asked_cost, row.asked_price)?,
        fields_by_hand: row.fields_by_hand,
        flags_by_hand: row.flags_by_hand,
        is_best_seller: row.is_best_seller,
    })
}

/// Begins a change. Returns G2A's id of a game that is no longer held back.
pub(super) async fn begin(tx: &mut Tx, due: &Due, game: &Game) -> Result<Option<String>> {
    let value = due.value.unwrap_or_default();
    match due.field.as_str() {
        "PRICE" => {
            let price = money_of(due.price.unwrap_or_default())?;
            let original = if due.is_sale {
                Some(game.price)
            } else {
                game.original_price
            };
            let is_suppliers = game.product.is_some();
            let fields = game.fields(&[
                ("price", is_suppliers),
                (
                    "original_price",
                    is_suppliers && (due.is_sale || game.has("original_price")),
                ),
            ]);
            let beside = is_suppliers.then(|| game.g2a_price.unwrap_or(game.price));
            set_price(tx, game, price, original, beside, &fields).await?;
            Ok(None)
        }
        "VISIBLE" => hold_back(tx, game, !value).await,
        _ => feature(tx, game, value, true).await,
    }
}

/// Takes a change back: a price that was not staff's is again what the rules say by now.
pub(super) async fn end(
    tx: &mut Tx,
    due: &Due,
    game: &Game,
    rules: &PriceRules,
    pricing: &Pricing,
) -> Result<Option<String>> {
    let before = due.before.clone().unwrap_or_default();
    let was = |name: &str| before[name].as_bool().unwrap_or_default();
    match due.field.as_str() {
        "PRICE" => {
            let amount = |name: &str| -> Result<Option<Money>> {
                let text = before[name].as_str();
                let amount = text.map(str::parse::<Money>).transpose();
                amount.map_err(|error| StoreError::Schema(format!("a scheduled change: {error}")))
            };
            let (price, original) = (amount("price")?.unwrap_or(game.price), amount("originalPrice")?);
            if game.product.is_none() {
                set_price(tx, game, price, original, None, &game.fields_by_hand).await?;
                return Ok(None);
            }
            let by_rules = by_rules(tx, game, rules, pricing).await?;
            let (has_price, has_original) = (was("priceIsStaffs"), was("originalIsStaffs"));
            let fields = game.fields(&[("price", has_price), ("original_price", has_original)]);
            let beside = has_price.then_some(by_rules.price);
            let price = if has_price { price } else { by_rules.price };
            let original = if has_original {
                original
            } else {
                by_rules.original_price
            };
            set_price(tx, game, price, original, beside, &fields).await?;
            Ok(None)
        }
        "VISIBLE" => hold_back(tx, game, was("isHeldBack")).await,
        _ => feature(tx, game, was("value"), was("isByHand")).await,
    }
}

/// The price that the rules say now.
async fn by_rules(tx: &mut Tx, game: &Game, rules: &PriceRules, pricing: &Pricing) -> Result<ListPrice> {
    let facts: GameFacts = facts_of(tx, &[game.id]).await?.remove(&game.id).unwrap_or_default();
    let floor = game.asked.map(|asked| asked.floor(rules, pricing, &facts));
    let priced = game.supplier_price.map(|cost| Priced {
        cost,
        retail: game.supplier_retail_price,
        asked: game.asked,
        facts,
    });
    let list = priced.and_then(|priced| priced.by(rules, pricing));
    Ok(list.unwrap_or_else(|| {
        // Until a synchronisation has read the supplier's price: what the last one would have set.
        let last = ListPrice::of(game.g2a_price.unwrap_or(game.price), None);
        floor.map_or(last, |floor| last.at_least(floor))
    }))
}

async fn set_price(
    tx: &mut Tx,
    game: &Game,
    price: Money,
    original: Option<Money>,
    beside: Option<Money>,
    fields: &[String],
) -> Result<()> {
    let list = ListPrice::of(price, original);
    // It stays while it is not above the price.
    let by_hand = original.filter(|_| fields.iter().any(|field| field == "original_price"));
    sqlx::query!(
        "-- store.scheduled.set_price
        update games
           set price = $2, original_price = $3, discount = $4, g2a_price = $5, fields_by_hand = $6, original_price_by_hand = $7
         where id = $1",
        game.id,
        list.price.decimal(),
        list.original_price.map(Money::decimal),
        list.discount,
        beside.map(Money::decimal),
        fields,
        by_hand.map(Money::decimal)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn hold_back(tx: &mut Tx, game: &Game, is_held_back: bool) -> Result<Option<String>> {
    if is_held_back == game.has("in_stock") {
        return Ok(None);
    }
    sqlx::query!(
        "-- store.scheduled.hold_back
        update games
           set fields_by_hand = $2, in_stock = in_stock and not $3, g2a_stock = g2a_stock and not $3,
               popularity = case when $3 then popularity - g2a_depth else popularity end,
               g2a_depth = case when $3 then 0 else g2a_depth end
         where id = $1",
        game.id,
        &game.fields(&[("in_stock", is_held_back)]),
        is_held_back
    )
    .execute(tx.conn())
    .await?;
    Ok(game.product.clone().filter(|_| !is_held_back))
}

/// Sets the flag; whose it is no longer, the next refresh sets.
async fn feature(tx: &mut Tx, game: &Game, value: bool, is_by_hand: bool) -> Result<Option<String>> {
    let mut flags = game.flags_by_hand.clone();
    flags.retain(|flag| flag != "is_best_seller");
    if is_by_hand {
        flags.push("is_best_seller".to_owned());
    }
    // Otherwise the database takes any change of the flag for people's.
    sqlx::query_scalar!("-- store.scheduled.flags\nselect set_config('lockstep.flags', 'computed', true)")
        .fetch_one(tx.conn())
        .await?;
    sqlx::query!(
        "-- store.scheduled.feature\nupdate games set is_best_seller = $2, flags_by_hand = $3 where id = $1",
        game.id,
        value,
        &flags
    )
    .execute(tx.conn())
    .await?;
    Ok(None)
}
