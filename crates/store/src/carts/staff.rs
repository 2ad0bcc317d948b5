//! A user's cart as staff change it.

use lockstep_domain::cart::{CartLimits, Principal};
use lockstep_domain::ids::{GameId, UserId};
use serde_json::json;

use super::{positive, put, sold_out_meanwhile};
use crate::accounts::{AccountError, staff};
use crate::audit::{self, AuditEntry};
use crate::guests::{self, ShopperError};
use crate::{Store, Subject};

/// Makes `items` the cart of `user`, on behalf of `admin`: games that are not among them are removed. A game that is sold
/// out stays with at most its present quantity. Quantities of a game that is named twice add up.
///
/// # Errors
/// [`ShopperError`]; then nothing has changed. [`ShopperError::NoSuchShopper`] when there is no such user.
pub async fn replace(
    store: &Store,
    admin: UserId,
    user: UserId,
    items: &[(GameId, i64)],
    limits: CartLimits,
) -> Result<(), ShopperError> {
    let mut wanted: Vec<(GameId, i64)> = Vec::new();
    for &(game, quantity) in items {
        positive(quantity, limits)?;
        match wanted.iter_mut().find(|(known, _)| *known == game) {
            Some((_, sum)) => *sum = sum.saturating_add(quantity),
            None => wanted.push((game, quantity)),
        }
        if u32::try_from(wanted.len()).is_ok_and(|lines| lines > limits.lines) {
            return Err(ShopperError::TooManyGames { most: limits.lines });
        }
    }
    // One order for all writers, whatever the order of the request.
    wanted.sort_unstable();
    let about: Vec<Subject<'_>> = Subject::of(Principal::User(user), None);
    store
        .tx_about("carts.replace", &about, move |tx| {
            let wanted = wanted.clone();
            Box::pin(async move {
                let owner = guests::lock(tx, Principal::User(user))
                    .await?
                    .ok_or(ShopperError::NoSuchShopper)?;
                staff::not_above(tx, admin, user).await.map_err(|error| match error {
                    AccountError::Refused(refused) => ShopperError::Refused(refused),
                    AccountError::Store(error) => error.into(),
                    _ => ShopperError::NoSuchShopper,
                })?;
                let games: Vec<uuid::Uuid> = wanted.iter().map(|(game, _)| game.0).collect();
                sqlx::query!(
                    "-- store.carts.replace.remove
                    delete from cart_items where user_id = $1 and game_id <> all ($2)",
                    owner.shopper().0,
                    &games
                )
                .execute(tx.conn())
                .await?;
                for &(game, quantity) in &wanted {
                    let quantity = positive(quantity, limits)?;
                    let lowered = sqlx::query!(
                        "-- store.carts.replace.lower
                        update cart_items set quantity = $3 where user_id = $1 and game_id = $2 and quantity >= $3",
                        owner.shopper().0,
                        game.0,
                        quantity
                    )
                    .execute(tx.conn())
                    .await?;
                    if lowered.rows_affected() == 0 {
                        put(tx, owner, game, quantity, false, limits).await?;
                    }
                }
                let items: Vec<_> = wanted
                    .iter()
                    .map(|(game, quantity)| json!({ "gameId": game, "quantity": quantity }))
                    .collect();
                let entry = AuditEntry {
                    admin,
                    action: "cart.replace",
                    subject: ("user", user.0),
                    details: json!({ "items": items }),
                };
                audit::write(tx, &entry).await?;
                Ok(())
            })
        })
        .await
        .map_err(sold_out_meanwhile)
}
