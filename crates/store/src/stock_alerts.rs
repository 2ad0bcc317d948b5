//! "Tell me when it is back": members wait for sold-out games and get one letter each.
//!
//! The letter is owed in the transaction that brings the game back (a trigger on `games`, migration 0081), and the alert
//! goes with it. [`sweep`] tells those whom that left over: of a change that brought back more than it could tell of at once,
//! and who began to wait in the very moment of the change.

use chrono::{DateTime, Utc};
use lockstep_domain::cart::{CartLimits, StockAlert, Visitor};
use lockstep_domain::ids::{GameId, UserId};
use sqlx::Row as _;

use crate::carts::{mini_game, mini_game_columns};
use crate::guests::{self, ShopperError};
use crate::{Result, Store, Tx};

/// What `user` waits for, newest first.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn list(tx: &mut Tx, user: UserId) -> Result<Vec<StockAlert>> {
    let rows = sqlx::query(concat!(
        "-- store.stock_alerts.list
        select a.created_at, ",
        mini_game_columns!(),
        " from stock_alerts a join games g on g.id = a.game_id
         where a.user_id = $1 order by a.created_at desc, a.game_id"
    ))
    .bind(user.0)
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            let game = mini_game(row)?;
            Ok(StockAlert {
                game_id: game.id,
                created_at: row.try_get::<DateTime<Utc>, _>("created_at")?,
                game,
            })
        })
        .collect()
}

/// Lets `user` wait for a game. Called twice it changes nothing more.
///
/// # Errors
/// [`ShopperError::NoSuchGame`]; [`ShopperError::InStock`] when there is nothing to wait for;
/// [`ShopperError::TooManyGames`] beyond as many as fit on a wishlist; [`ShopperError::NoSuchShopper`];
/// [`ShopperError::Store`].
pub async fn add(store: &Store, user: UserId, game: GameId, limits: CartLimits) -> Result<(), ShopperError> {
    store
        .tx_about("stock_alerts.add", &[user.into(), game.into()], |tx| {
            Box::pin(async move {
                guests::lock(tx, Visitor::User(user))
                    .await?
                    .ok_or(ShopperError::NoSuchShopper)?;
                let row = sqlx::query(
                    "-- store.stock_alerts.add
                    with game as (select id, in_stock from games where id = $2 and withdrawn_at is null),
                    before as (select count(*) as n, coalesce(bool_or(game_id = $2), false) as there
                                 from stock_alerts where user_id = $1),
                    added as (
                        insert into stock_alerts (user_id, game_id)
                        select $1, game.id from game, before where not game.in_stock and (before.there or before.n < $3)
                        on conflict (user_id, game_id) do nothing)
                    select (select not in_stock from game) as out, there or n < $3 as fits from before",
                )
                .bind(user.0)
                .bind(game.0)
                .bind(i64::from(limits.wishes))
                .fetch_one(tx.conn())
                .await?;
                match row.try_get::<Option<bool>, _>("out")? {
                    None => Err(ShopperError::NoSuchGame),
                    Some(false) => Err(ShopperError::InStock),
                    Some(true) if row.try_get("fits")? => Ok(()),
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

/// Lets `user` wait no longer; fine when they did not.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn remove(store: &Store, user: UserId, game: GameId) -> Result<()> {
    sqlx::query("-- store.stock_alerts.remove\ndelete from stock_alerts where user_id = $1 and game_id = $2")
        .bind(user.0)
        .bind(game.0)
        .execute(store.alone())
        .await?;
    Ok(())
}

/// Tells those who still wait for a game that is there, the longest first; returns how many, at most
/// [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    store
        .tx("stock_alerts.sweep", |tx| {
            Box::pin(async move {
                let told: i64 = sqlx::query_scalar("-- store.stock_alerts.sweep\nselect tell_back_in_stock(null, $1)")
                    .bind(i32::try_from(crate::SWEEP).unwrap_or(i32::MAX))
                    .fetch_one(tx.conn())
                    .await?;
                Ok(u64::try_from(told).unwrap_or(0))
            })
        })
        .await
}
