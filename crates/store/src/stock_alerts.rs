//! Back-in-stock alerts: users subscribe to sold-out games and get one e-mail each.
//!
//! The e-mail is queued in the transaction that restocks the game (a trigger on `games`, migration 0081), which also
//! deletes the alert. [`sweep`] notifies those whom the trigger missed: users beyond the trigger's limit per change,
//! and those who subscribed at the same moment as the change.

use lockstep_domain::cart::{CartLimits, Principal, StockAlert};
use lockstep_domain::ids::{GameId, UserId};

use crate::carts::{mini_game, query_mini_games};
use crate::guests::{self, ShopperError};
use crate::{Result, Store, Tx};

/// The games that `user` waits for, newest alert first.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn list(tx: &mut Tx, user: UserId) -> Result<Vec<StockAlert>> {
    let rows = query_mini_games!(
        "-- store.stock_alerts.list
        select a.created_at, ",
        " from stock_alerts a join games g on g.id = a.game_id
         where a.user_id = $1 order by a.created_at desc, a.game_id",
        user.0,
    )
    .fetch_all(tx.conn())
    .await?;
    let reductions = tx.reductions().clone();
    rows.into_iter()
        .map(|row| {
            let game = mini_game!(row, reductions);
            Ok(StockAlert {
                game_id: game.id,
                created_at: row.created_at,
                game,
            })
        })
        .collect()
}

/// Subscribes `user` to a game. Idempotent.
///
/// # Errors
/// [`ShopperError::NoSuchGame`]; [`ShopperError::InStock`] when the game is available; [`ShopperError::TooManyGames`]
/// beyond the maximum number of games on a wishlist; [`ShopperError::NoSuchShopper`]; [`ShopperError::Store`].
pub async fn add(store: &Store, user: UserId, game: GameId, limits: CartLimits) -> Result<(), ShopperError> {
    store
        .tx_about("stock_alerts.add", &[user.into(), game.into()], |tx| {
            Box::pin(async move {
                guests::lock(tx, Principal::User(user))
                    .await?
                    .ok_or(ShopperError::NoSuchShopper)?;
                let row = sqlx::query!(
                    r#"-- store.stock_alerts.add
                    with game as (select id, in_stock from games where id = $2 and withdrawn_at is null),
                    before as (select count(*) as n, coalesce(bool_or(game_id = $2), false) as there
                                 from stock_alerts where user_id = $1),
                    added as (
                        insert into stock_alerts (user_id, game_id)
                        select $1, game.id from game, before where not game.in_stock and (before.there or before.n < $3)
                        on conflict (user_id, game_id) do nothing)
                    select (select not in_stock from game) as "out", there or n < $3 as "fits!" from before"#,
                    user.0,
                    game.0,
                    i64::from(limits.wishes)
                )
                .fetch_one(tx.conn())
                .await?;
                match row.out {
                    None => Err(ShopperError::NoSuchGame),
                    Some(false) => Err(ShopperError::InStock),
                    Some(true) if row.fits => Ok(()),
                    Some(true) => Err(ShopperError::TooManyGames { most: limits.wishes }),
                }
            })
        })
        .await
        .map_err(|error| match &error {
            ShopperError::Store(store) if store.constraint() == Some("stock_alerts_game_id_fkey") => {
                ShopperError::NoSuchGame
            }
            _ => error,
        })
}

/// Removes a user's alert; succeeds if there is none.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn remove(store: &Store, user: UserId, game: GameId) -> Result<()> {
    sqlx::query!(
        "-- store.stock_alerts.remove\ndelete from stock_alerts where user_id = $1 and game_id = $2",
        user.0,
        game.0
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Notifies users who still wait for a game that is in stock, the longest wait first; returns how many, at most
/// [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    store
        .tx("stock_alerts.sweep", |tx| {
            Box::pin(async move {
                let told: i64 = sqlx::query_scalar!(
                    r#"-- store.stock_alerts.sweep
                    select tell_back_in_stock(null, $1)::bigint as "told!""#,
                    i32::try_from(crate::SWEEP).unwrap_or(i32::MAX)
                )
                .fetch_one(tx.conn())
                .await?;
                Ok(u64::try_from(told).unwrap_or(0))
            })
        })
        .await
}
