//! Wishlists: games that a user or a guest saved, with their changes since.

use lockstep_domain::cart::{
    CartLimits, CartOwner, LeftOut, LeftOutReason, Moved, PriceChange, Principal, WishItem, Wishlist,
};
use lockstep_domain::ids::{GameId, UserId};
use uuid::Uuid;

use crate::carts::{mini_game, query_mini_games};
use crate::guests::{self, ShopperError, Writer};
use crate::row::money_of;
use crate::{Result, Store, Subject, Tx};

/// The wishlist of `owner`, newest first; empty if the guest does not exist or has expired. Cache it under
/// `ValueKey::wishlist` with [`Wishlist::tags`].
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn load(tx: &mut Tx, owner: CartOwner) -> Result<Wishlist> {
    let rows = query_mini_games!(
        r#"-- store.wishlists.load
        select w.added_at, w.price_seen, coalesce(g.in_stock and g.restocked_at > w.added_at, false) as "back!", "#,
        " from wishlist w join games g on g.id = w.game_id
         where w.user_id = $1
           and case when $2 then exists (select 1 from guest_sessions where id = $1 and expires_at > now())
                    else exists (select 1 from users where id = $1 and deleted_at is null) end
         order by w.added_at desc, w.game_id",
        owner.shopper().0,
        matches!(owner, CartOwner::Guest(_)),
    )
    .fetch_all(tx.conn())
    .await?;
    let reductions = tx.reductions().clone();
    let items = rows
        .into_iter()
        .map(|row| {
            let game = mini_game!(row, reductions);
            Ok(WishItem {
                game_id: game.id,
                added_at: row.added_at,
                price_drop: PriceChange::since(row.price_seen.map(money_of).transpose()?, game.price)
                    .filter(|change| change.to < change.from),
                back_in_stock: row.back,
                game,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Wishlist { items })
}

/// Adds a game to the principal's wishlist. Idempotent.
///
/// # Errors
/// [`ShopperError`]; then nothing has changed and no guest was created.
pub async fn add(
    store: &Store,
    principal: Principal,
    game: GameId,
    limits: CartLimits,
) -> Result<Writer, ShopperError> {
    store
        .tx_about("wishlists.add", &Subject::of(principal, Some(game)), |tx| {
            Box::pin(async move {
                let writer = guests::writer(tx, principal).await?.ok_or(ShopperError::NoSuchShopper)?;
                let row = sqlx::query!(
                    r#"-- store.wishlists.add
                    with game as (select id, price from games where id = $2 and withdrawn_at is null),
                    before as (select count(*) as n, coalesce(bool_or(game_id = $2), false) as there
                                 from wishlist where user_id = $1),
                    added as (
                        insert into wishlist (user_id, game_id, added_at, price_seen)
                        select $1, game.id, clock_timestamp(), game.price from game, before where before.there or before.n < $3
                        on conflict (user_id, game_id) do nothing)
                    select exists (select 1 from game) as "known!", there or n < $3 as "fits!" from before"#,
                    writer.owner.shopper().0,
                    game.0,
                    i64::from(limits.wishes)
                )
                .fetch_one(tx.conn())
                .await?;
                if !row.known {
                    return Err(ShopperError::NoSuchGame);
                }
                if !row.fits {
                    return Err(ShopperError::TooManyGames { most: limits.wishes });
                }
                Ok(writer)
            })
        })
        .await
        .map_err(|error| match &error {
            ShopperError::Store(store) if store.constraint() == Some("wishlist_game_id_fkey") => ShopperError::NoSuchGame,
            _ => error,
        })
}

/// Removes a game from the principal's wishlist; succeeds if it is not there. Returns `None` if the principal does not
/// exist.
///
/// # Errors
/// [`ShopperError::Store`].
pub async fn remove(store: &Store, principal: Principal, game: GameId) -> Result<Option<Writer>, ShopperError> {
    store
        .tx_about("wishlists.remove", &Subject::of(principal, None), |tx| {
            Box::pin(async move {
                let Some(owner) = guests::lock(tx, principal).await? else {
                    return Ok(None);
                };
                sqlx::query!(
                    "-- store.wishlists.remove\ndelete from wishlist where user_id = $1 and game_id = $2",
                    owner.shopper().0,
                    game.0
                )
                .execute(tx.conn())
                .await?;
                Ok(Some(Writer { owner, minted: false }))
            })
        })
        .await
}

/// Moves a guest's wishlist to a user's in one transaction: the result is the union of both, games that left the shop
/// are reported, and the guest's rows are deleted. Happens exactly once, as with [`crate::carts::move_to_user`].
///
/// # Errors
/// [`ShopperError::NoSuchShopper`] when the user does not exist, [`ShopperError::Store`].
pub async fn move_to_user(store: &Store, guest: Uuid, user: UserId, limits: CartLimits) -> Result<Moved, ShopperError> {
    store
        .tx_about("wishlists.move_to_user", &[user.into()], |tx| {
            Box::pin(move_wishes(tx, guest, user, limits))
        })
        .await
}

async fn move_wishes(tx: &mut Tx, guest: Uuid, user: UserId, limits: CartLimits) -> Result<Moved, ShopperError> {
    let Some(from) = guests::lock(tx, Principal::Guest(Some(guest))).await? else {
        return Ok(Moved::default());
    };
    let any = sqlx::query_scalar!(
        "-- store.wishlists.move_to_user.any\nselect 1 as one from wishlist where user_id = $1 limit 1",
        guest
    )
    .fetch_optional(tx.conn())
    .await?;
    if any.is_none() {
        return Ok(Moved::default());
    }
    let to = guests::lock(tx, Principal::User(user))
        .await?
        .ok_or(ShopperError::NoSuchShopper)?;
    // A game on both lists keeps the user's entry; of the others, the newest are moved while there is room.
    let rows = sqlx::query!(
        r#"-- store.wishlists.move_to_user
        with gone as (delete from wishlist where user_id = $1 returning game_id, added_at, price_seen),
        room as (select $3 - count(*) as n from wishlist where user_id = $2),
        fresh as (
            select gone.*, g.title, g.withdrawn_at is not null as withdrawn,
                   row_number() over (partition by g.withdrawn_at is null order by gone.added_at desc, gone.game_id) as place
              from gone join games g on g.id = gone.game_id
             where not exists (select 1 from wishlist own where own.user_id = $2 and own.game_id = gone.game_id)),
        moved as (
            insert into wishlist (user_id, game_id, added_at, price_seen)
            select $2, game_id, added_at, price_seen from fresh, room where not withdrawn and place <= room.n
            on conflict (user_id, game_id) do nothing)
        select game_id, title, withdrawn as "withdrawn!", not withdrawn and place <= room.n as "moved!"
          from fresh, room"#,
        from.shopper().0,
        to.shopper().0,
        i64::from(limits.wishes)
    )
    .fetch_all(tx.conn())
    .await?;
    let mut report = Moved::default();
    for row in rows {
        if row.moved {
            report.moved += 1;
        } else {
            report.left_out.push(LeftOut {
                game_id: GameId(row.game_id),
                title: row.title,
                reason: if row.withdrawn {
                    LeftOutReason::Gone
                } else {
                    LeftOutReason::Full
                },
                copies: 1,
            });
        }
    }
    Ok(report)
}
