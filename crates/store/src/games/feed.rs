//! The games that can be bought now, in parts, for feeds of comparers.

use lockstep_domain::GameId;
use lockstep_domain::catalogue::Game;
use sqlx::types::Uuid;

use super::{Detail, views};
use crate::{Result, Tx};

/// At most `most` of the games that an order can have now, by id, after the game `after`. Each is as its page shows it.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn on_sale(tx: &mut Tx, after: Option<GameId>, most: u32) -> Result<Vec<Game>> {
    // As orders ask (store.orders.place.games), and only what its page offers: nothing that is out of stock.
    let ids = sqlx::query_scalar!(
        "-- store.games.on_sale
        select id from games
         where withdrawn_at is null and in_stock and currency = 'EUR' and id > $1 order by id limit $2",
        after.map_or(Uuid::nil(), |game| game.0),
        i64::from(most)
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids, Detail::List).await
}
