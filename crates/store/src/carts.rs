//! Carts: items of a user or a guest, always at current prices.
//!
//! Every write locks its shopper's row first. The writes of one shopper are therefore serialised, limits hold exactly,
//! and a move from a guest to a user sees either all of a guest's write or none of it.

mod staff;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::cart::{
    Buyable, Cart, CartLimits, CartLine, CartOwner, MiniGame, Moved, MovingLine, PriceChange, Principal, StoredLine,
    merge,
};
use lockstep_domain::ids::{GameId, UserId};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::guests::{self, ShopperError, Writer};
use crate::idempotency::{Call, Idempotency, Known};
use crate::row::{count_of, money_of};
use crate::{Result, Store, StoreError, Subject, Tx};

pub use staff::replace;

/// A statement that also selects the columns of a [`MiniGame`], between its two parts, from the row `g` of `games`.
macro_rules! query_mini_games {
    ($before:literal, $after:literal, $($value:expr),+ $(,)?) => {
        sqlx::query!(
            $before
                + r#"g.id, g.title, g.slug, g.image, g.price, g.original_price, g.discount, g.lowest_price_30d,
                   g.currency, g.in_stock,
                   g.is_best_seller, g.is_preorder,
                   array(select p.name from game_platforms l join platforms p on p.id = l.platform_id
                          where l.game_id = g.id order by p.name) as "platforms!",
                   array(select n.name from game_genres l join genres n on n.id = l.genre_id
                          where l.game_id = g.id order by n.name) as "genres!""#
                + $after,
            $($value),+
        )
    };
}
pub(crate) use query_mini_games;

/// The [`MiniGame`] in a row of [`query_mini_games`].
macro_rules! mini_game {
    ($row:ident, $reductions:expr) => {{
        let price = $crate::row::money_of($row.price)?;
        let reduction = $reductions.of(price, $row.original_price, $row.discount, $row.lowest_price_30d)?;
        lockstep_domain::cart::MiniGame {
            id: lockstep_domain::ids::GameId($row.id),
            title: $row.title,
            slug: $row.slug,
            image: $row.image,
            price,
            original_price: reduction.original_price,
            discount: reduction.discount,
            lowest_price_30d: reduction.lowest,
            currency: $row.currency,
            in_stock: $row.in_stock,
            platforms: $row.platforms,
            genres: $row.genres,
            is_best_seller: $row.is_best_seller,
            is_preorder: $row.is_preorder,
        }
    }};
}
pub(crate) use mini_game;

/// The cart of `owner`, newest item first; empty if the guest does not exist or has expired. Cache it under
/// `ValueKey::cart` with [`Cart::tags`].
///
/// # Errors
/// [`StoreError`].
pub async fn load(tx: &mut Tx, owner: CartOwner) -> Result<Cart> {
    let rows = query_mini_games!(
        "-- store.carts.load
        select c.quantity, c.added_at, c.price_seen, ",
        " from cart_items c join games g on g.id = c.game_id
         where c.user_id = $1
           and case when $2 then exists (select 1 from guest_sessions where id = $1 and expires_at > now())
                    else exists (select 1 from users where id = $1 and deleted_at is null) end
         order by c.added_at desc, c.game_id",
        owner.shopper().0,
        matches!(owner, CartOwner::Guest(_)),
    )
    .fetch_all(tx.conn())
    .await?;
    let reductions = tx.reductions().clone();
    let items = rows
        .into_iter()
        .map(|row| {
            let game: MiniGame = mini_game!(row, reductions);
            Ok(CartLine {
                game_id: game.id,
                quantity: count_of(row.quantity)?,
                added_at: row.added_at,
                price_changed: PriceChange::since(row.price_seen.map(money_of).transpose()?, game.price),
                game,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Cart::of(items).ok_or_else(|| StoreError::Schema("a cart adds up to more than can be charged".into()))
}

/// Adds `quantity` to a game's quantity in the principal's cart. Not idempotent: two calls add twice.
///
/// # Errors
/// [`ShopperError`]; then nothing has changed and no guest was created.
pub async fn add(
    store: &Store,
    principal: Principal,
    game: GameId,
    quantity: i64,
    limits: CartLimits,
) -> Result<Writer, ShopperError> {
    let quantity = positive(quantity, limits)?;
    store
        .tx_about("carts.add", &Subject::of(principal, Some(game)), |tx| {
            Box::pin(async move {
                let writer = guests::writer(tx, principal)
                    .await?
                    .ok_or(ShopperError::NoSuchShopper)?;
                put(tx, writer.owner, game, quantity, true, limits).await?;
                Ok(writer)
            })
        })
        .await
        .map_err(sold_out_meanwhile)
}

/// Like [`add`], but idempotent: calls with the same key of the same shopper add once.
///
/// # Errors
/// As [`add`]; [`ShopperError::KeyReused`] when the key was used for another request.
pub async fn add_once(
    store: &Store,
    principal: Principal,
    game: GameId,
    quantity: i64,
    limits: CartLimits,
    key: &Idempotency,
) -> Result<Writer, ShopperError> {
    let quantity = positive(quantity, limits)?;
    let key = key.clone();
    store
        .tx_about("carts.add_once", &Subject::of(principal, Some(game)), move |tx| {
            let key = key.clone();
            Box::pin(async move {
                let writer = guests::writer(tx, principal)
                    .await?
                    .ok_or(ShopperError::NoSuchShopper)?;
                let call = Call {
                    owner: writer.owner.shopper().0,
                    route: "cart.add",
                    key: &key,
                    asked: format!("{game} {quantity}"),
                };
                match call.look::<()>(tx).await? {
                    Known::Done(()) => {}
                    Known::Other => return Err(ShopperError::KeyReused),
                    Known::Nothing => {
                        put(tx, writer.owner, game, quantity, true, limits).await?;
                        call.done(tx, &()).await?;
                    }
                }
                Ok(writer)
            })
        })
        .await
        .map_err(sold_out_meanwhile)
}

/// Sets the quantity of a game in the principal's cart. Zero or less removes the item; a missing item is created.
/// Idempotent. Returns `None` if there was no item to remove and no such principal.
///
/// # Errors
/// [`ShopperError`]. The quantity of a sold-out game can be lowered, not raised.
pub async fn set(
    store: &Store,
    principal: Principal,
    game: GameId,
    quantity: i64,
    limits: CartLimits,
) -> Result<Option<Writer>, ShopperError> {
    if quantity <= 0 {
        return remove(store, principal, game).await;
    }
    let quantity = positive(quantity, limits)?;
    store
        .tx_about("carts.set", &Subject::of(principal, Some(game)), |tx| {
            Box::pin(async move {
                let writer = guests::writer(tx, principal)
                    .await?
                    .ok_or(ShopperError::NoSuchShopper)?;
                let lowered = sqlx::query!(
                    "-- store.carts.set.lower
                    update cart_items set quantity = $3 where user_id = $1 and game_id = $2 and quantity >= $3",
                    writer.owner.shopper().0,
                    game.0,
                    quantity
                )
                .execute(tx.conn())
                .await?;
                if lowered.rows_affected() == 0 {
                    put(tx, writer.owner, game, quantity, false, limits).await?;
                }
                Ok(Some(writer))
            })
        })
        .await
        .map_err(sold_out_meanwhile)
}

/// Removes a game from the principal's cart; succeeds if it is not there. Returns `None` if the principal does not exist.
///
/// # Errors
/// [`ShopperError::Store`].
pub async fn remove(store: &Store, principal: Principal, game: GameId) -> Result<Option<Writer>, ShopperError> {
    delete(store, principal, Some(game)).await
}

/// Empties the principal's cart. Returns `None` if the principal does not exist.
///
/// # Errors
/// [`ShopperError::Store`].
pub async fn clear(store: &Store, principal: Principal) -> Result<Option<Writer>, ShopperError> {
    delete(store, principal, None).await
}

async fn delete(store: &Store, principal: Principal, game: Option<GameId>) -> Result<Option<Writer>, ShopperError> {
    store
        .tx_about("carts.remove", &Subject::of(principal, None), |tx| {
            Box::pin(async move {
                let Some(owner) = guests::lock(tx, principal).await? else {
                    return Ok(None);
                };
                sqlx::query!(
                    "-- store.carts.remove
                    delete from cart_items where user_id = $1 and ($2::uuid is null or game_id = $2)",
                    owner.shopper().0,
                    game.map(|game| game.0)
                )
                .execute(tx.conn())
                .await?;
                Ok(Some(Writer { owner, minted: false }))
            })
        })
        .await
}

fn positive(quantity: i64, limits: CartLimits) -> Result<i32, ShopperError> {
    if quantity <= 0 {
        return Err(ShopperError::NotPositive);
    }
    i32::try_from(quantity)
        .ok()
        .filter(|quantity| quantity.unsigned_abs() <= limits.per_line)
        .ok_or(ShopperError::TooManyCopies { most: limits.per_line })
}

/// Writes an item, adding to its quantity or replacing it. The caller holds the lock of the shopper's row.
async fn put(
    tx: &mut Tx,
    owner: CartOwner,
    game: GameId,
    quantity: i32,
    add: bool,
    limits: CartLimits,
) -> Result<(), ShopperError> {
    let row = sqlx::query!(
        r#"-- store.carts.put.look
        select g.price, g.in_stock, c.quantity as "quantity?",
               (select count(*) from cart_items where user_id = $1) as "lines!"
          from games g left join cart_items c on c.user_id = $1 and c.game_id = g.id
         where g.id = $2 and g.withdrawn_at is null"#,
        owner.shopper().0,
        game.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(ShopperError::NoSuchGame)?;
    if !row.in_stock {
        return Err(ShopperError::OutOfStock);
    }
    let before = row.quantity;
    if before.is_none() && row.lines >= i64::from(limits.lines) {
        return Err(ShopperError::TooManyGames { most: limits.lines });
    }
    let wanted = if add {
        i64::from(before.unwrap_or(0)) + i64::from(quantity)
    } else {
        i64::from(quantity)
    };
    let wanted = positive(wanted, limits)?;
    sqlx::query!(
        "-- store.carts.put
        insert into cart_items (user_id, game_id, quantity, added_at, price_seen) values ($1, $2, $3, clock_timestamp(), $4)
        on conflict (user_id, game_id) do update set quantity = excluded.quantity, price_seen = excluded.price_seen",
        owner.shopper().0,
        game.0,
        wanted,
        row.price
    )
    .execute(tx.conn())
    .await
    .map_err(|error| ShopperError::Store(error.into()))?;
    Ok(())
}

/// Maps the schema's refusal of a game that sold out or disappeared between the read and the write.
fn sold_out_meanwhile(error: ShopperError) -> ShopperError {
    match &error {
        ShopperError::Store(store) => match store.constraint() {
            Some("cart_items_game_in_stock") => ShopperError::OutOfStock,
            Some("cart_items_game_id_fkey" | "wishlist_game_id_fkey") => ShopperError::NoSuchGame,
            _ => error,
        },
        _ => error,
    }
}

/// Moves a guest's cart to a user in one transaction: quantities are added up to the limit of an item, games that
/// cannot be bought are left out and reported, and the guest's items are deleted.
///
/// Happens exactly once under any number of repeated or concurrent calls: the guest's row is locked first, and later
/// calls find no items. An error changes nothing. A guest that does not exist has nothing to move.
///
/// # Errors
/// [`ShopperError::NoSuchShopper`] when the user does not exist, [`ShopperError::Store`].
pub async fn move_to_user(store: &Store, guest: Uuid, user: UserId, limits: CartLimits) -> Result<Moved, ShopperError> {
    let mut again = 0;
    loop {
        let result = store
            .tx_about("carts.move_to_user", &[user.into()], |tx| {
                Box::pin(move_lines(tx, guest, user, limits))
            })
            .await;
        match result {
            // A game sold out between the read and the write: retry, which leaves it out.
            Err(ShopperError::Store(error)) if again < 3 && error.constraint() == Some("cart_items_game_in_stock") => {
                again += 1;
            }
            result => return result,
        }
    }
}

async fn move_lines(tx: &mut Tx, guest: Uuid, user: UserId, limits: CartLimits) -> Result<Moved, ShopperError> {
    let Some(from) = guests::lock(tx, Principal::Guest(Some(guest))).await? else {
        return Ok(Moved::default());
    };
    let arriving = sqlx::query!(
        r#"-- store.carts.move_to_user.guest
        select c.game_id, c.quantity, c.added_at, c.price_seen, g.title, g.in_stock,
               g.withdrawn_at is not null as "withdrawn!"
          from cart_items c join games g on g.id = c.game_id where c.user_id = $1"#,
        guest
    )
    .fetch_all(tx.conn())
    .await?;
    if arriving.is_empty() {
        return Ok(Moved::default());
    }
    let to = guests::lock(tx, Principal::User(user))
        .await?
        .ok_or(ShopperError::NoSuchShopper)?;
    let own = sqlx::query!(
        "-- store.carts.move_to_user.user
        select game_id, quantity, added_at, price_seen from cart_items where user_id = $1",
        user.0
    )
    .fetch_all(tx.conn())
    .await?;
    let own = own
        .into_iter()
        .map(|row| stored_line(row.game_id, row.quantity, row.added_at, row.price_seen))
        .collect::<Result<Vec<_>>>()?;
    let arriving = arriving
        .into_iter()
        .map(|row| {
            Ok(MovingLine {
                line: stored_line(row.game_id, row.quantity, row.added_at, row.price_seen)?,
                title: row.title,
                state: match (row.withdrawn, row.in_stock) {
                    (true, _) => Buyable::Gone,
                    (false, false) => Buyable::SoldOut,
                    (false, true) => Buyable::Yes,
                },
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let (lines, moved) = merge(&own, &arriving, limits);
    let games: Vec<Uuid> = lines.iter().map(|line| line.game.0).collect();
    let quantities: Vec<i32> = lines
        .iter()
        .map(|line| i32::try_from(line.quantity).unwrap_or(i32::MAX))
        .collect();
    let added: Vec<DateTime<Utc>> = lines.iter().map(|line| line.added_at).collect();
    let prices: Vec<Option<Decimal>> = lines.iter().map(|line| line.price_seen.map(Money::decimal)).collect();
    sqlx::query!(
        "-- store.carts.move_to_user.put
        insert into cart_items (user_id, game_id, quantity, added_at, price_seen)
        select $1, * from unnest($2::uuid[], $3::integer[], $4::timestamptz[], $5::numeric[])
        on conflict (user_id, game_id) do update
           set quantity = excluded.quantity, added_at = excluded.added_at, price_seen = excluded.price_seen",
        to.shopper().0,
        &games,
        &quantities,
        &added,
        &prices as &[Option<Decimal>]
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.carts.move_to_user.delete\ndelete from cart_items where user_id = $1",
        from.shopper().0
    )
    .execute(tx.conn())
    .await?;
    Ok(moved)
}

fn stored_line(game: Uuid, quantity: i32, added_at: DateTime<Utc>, seen: Option<Decimal>) -> Result<StoredLine> {
    Ok(StoredLine {
        game: GameId(game),
        quantity: count_of(quantity)?,
        added_at,
        price_seen: seen.map(money_of).transpose()?,
    })
}
