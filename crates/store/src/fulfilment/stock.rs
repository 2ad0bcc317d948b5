//! What buying reveals about a game: that it is sold out, which the next pass over the catalogue can correct, and its
//! real cost, which passes respect for a while (`sync::asked`).

use lockstep_domain::Money;
use lockstep_domain::ids::GameId;
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::SUPPLIER_DECIMALS;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::price_rules::{self, PriceReason};
use crate::{Result, Tx};

/// Records that G2A has no stock of the game.
///
/// # Errors
/// [`Unavailable`](crate::StoreError::Unavailable).
pub async fn sold_out(tx: &mut Tx, game: GameId) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.sold_out
        update games
           set in_stock = false, g2a_stock = false, popularity = popularity - g2a_depth, g2a_depth = 0,
               g2a_last_sync = now()
         where id = $1 and g2a_product_id is not null and in_stock",
        game.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What an order has revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedPrice {
    /// The shop price that it requires, EUR.
    pub price: Money,
    /// Staff have set a lower price, so the game is off sale.
    pub is_off_sale: bool,
}

/// Records that G2A asks `cost`, which requires a shop price by the price rules. A price that staff have set stays; if it is
/// lower, the game is off sale until staff raise it or G2A's listing changes. `None` if no price can be that high.
///
/// # Errors
/// [`Unavailable`](crate::StoreError::Unavailable).
pub async fn asked_price(tx: &mut Tx, game: GameId, cost: Decimal, pricing: &Pricing) -> Result<Option<AskedPrice>> {
    let rules = price_rules::hold(tx).await?;
    // The price follows from what is stored, so that it is the same when it is computed again.
    let cost = cost.round_dp_with_strategy(SUPPLIER_DECIMALS, RoundingStrategy::AwayFromZero);
    // Locked before what the rules look at is read: a price by what has changed since would stay.
    sqlx::query!(
        "-- store.fulfilment.asked_price.lock\nselect id from games where id = $1 for no key update",
        game.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let facts = price_rules::facts_of(tx, &[game.0]).await?.remove(&game.0);
    let Some(price) = rules.price(pricing, &facts.unwrap_or_default(), cost) else {
        return Ok(None);
    };
    price_rules::because(tx, PriceReason::Order).await?;
    let kept_off_sale = sqlx::query_scalar!(
        r#"-- store.fulfilment.asked_price
        update games g
           set price = n.price, g2a_price = case when n.is_set then $2 end,
               g2a_asked_price = $2, g2a_asked_cost = $3, g2a_asked_at = now(), g2a_asked_listed = null, g2a_last_sync = now(),
               original_price = n.original_price,
               discount = case when n.original_price is null then 0
                               else floor((n.original_price - n.price) * 100 / n.original_price)::integer end,
               in_stock = g.in_stock and not n.is_set, g2a_stock = g.g2a_stock and not n.is_set,
               popularity = case when n.is_set then g.popularity - g.g2a_depth else g.popularity end,
               g2a_depth = case when n.is_set then 0 else g.g2a_depth end
          from (select id, 'price' = any (fields_by_hand) as is_set,
                       case when 'price' = any (fields_by_hand) then price else $2 end as price,
                       case when 'price' = any (fields_by_hand) then original_price
                            when coalesce(original_price_by_hand, original_price) > $2
                            then coalesce(original_price_by_hand, original_price) end as original_price
                  from games where id = $1 and price < $2 for no key update) n
         where g.id = n.id
        returning n.is_set as "is_set!""#,
        game.0,
        price.decimal(),
        cost
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(Some(AskedPrice {
        price,
        is_off_sale: kept_off_sale.unwrap_or_default(),
    }))
}
