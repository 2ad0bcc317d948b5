//! What buying reveals about a game: that it is sold out, which the next pass over the catalogue can correct, and its
//! real cost, which passes respect for a while (`sync::asked`).

use lockstep_domain::Money;
use lockstep_domain::ids::GameId;

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

/// Records that G2A's price requires a shop price of at least `price`. A price that staff have set stays.
///
/// # Errors
/// [`Unavailable`](crate::StoreError::Unavailable).
pub async fn asked_price(tx: &mut Tx, game: GameId, price: Money) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.asked_price
        update games
           set price = $2, g2a_asked_price = $2, g2a_asked_at = now(), g2a_asked_listed = null, g2a_last_sync = now(),
               original_price = case when original_price > $2 then original_price end,
               discount = case when original_price > $2 then floor((original_price - $2) * 100 / original_price)::integer else 0 end
         where id = $1 and price < $2 and not 'price' = any (fields_by_hand)",
        game.0,
        price.decimal()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
