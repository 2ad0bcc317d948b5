//! Guests: shoppers without an account who have put something into a cart or on a wishlist.
//!
//! A guest is created by the first write, never by a read, and expires 24 hours after the last use. The cookie alone
//! proves nothing: a guest is only an id with a row in `guest_sessions`, so another user's id grants no access.

use lockstep_domain::cart::{CartOwner, Principal};
use lockstep_domain::ids::ShopperId;
use lockstep_domain::staff::Refused;
use uuid::Uuid;

use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// For how long requests with the same newcomer's token join the guest that it created: this covers concurrent
/// requests.
const JOINED_WITHIN: std::time::Duration = std::time::Duration::from_mins(1);

/// The shopper of a write, and whether the write created the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// The owner of the cart or wishlist that was written.
    pub owner: CartOwner,
    /// A guest session was created: the response must set its cookie.
    pub minted: bool,
}

/// Records that a guest is active, with at most one write a minute. True while the guest exists.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn touch(store: &Store, guest: Uuid) -> Result<bool> {
    let alive = sqlx::query_scalar!(
        r#"-- store.guests.touch
        with alive as (select id, last_used_at from guest_sessions where id = $1 and expires_at > now()),
        touched as (
            update guest_sessions set last_used_at = now(), expires_at = now() + interval '24 hours'
             where id = (select id from alive where last_used_at < now() - interval '1 minute') and expires_at > now())
        select exists (select 1 from alive) as "alive!""#,
        guest
    )
    .fetch_one(store.alone())
    .await?;
    Ok(alive)
}

/// Deletes expired guests with their carts and wishlists; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.guests.sweep
        delete from guest_sessions where id in (
            select id from guest_sessions where expires_at <= now() order by expires_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// Returns the principal as a writer: locks the shopper's row until the transaction ends, which serialises the writes of
/// one shopper, and creates a guest for a principal who is not one yet.
pub(crate) async fn writer(tx: &mut Tx, principal: Principal) -> Result<Option<Writer>> {
    // A request that joins does not have the session's cookie yet either.
    let minted = matches!(principal, Principal::Newcomer(_));
    if let Some(owner) = lock(tx, principal).await? {
        return Ok(Some(Writer { owner, minted }));
    }
    if matches!(principal, Principal::User(_)) {
        return Ok(None);
    }
    if let Principal::Newcomer(id) = principal {
        // Of concurrent requests one creates the guest; the others wait for it here.
        sqlx::query!(
            "-- store.guests.mint_newcomer\ninsert into guest_sessions (id) values ($1) on conflict do nothing",
            id
        )
        .execute(tx.conn())
        .await?;
        if let Some(owner) = lock(tx, principal).await? {
            return Ok(Some(Writer { owner, minted }));
        }
        // The token was used earlier and is no longer valid: the guest has another id.
    }
    // The guest's id is a secret: random, not sorted by age.
    let id = Uuid::new_v4();
    sqlx::query!("-- store.guests.mint\ninsert into guest_sessions (id) values ($1)", id)
        .execute(tx.conn())
        .await?;
    Ok(Some(Writer {
        owner: CartOwner::Guest(ShopperId(id)),
        minted: true,
    }))
}

/// Locks the principal's row until the transaction ends; `None` if the user or guest does not exist or has expired. This
/// and the deletion of an account wait for each other (`accounts::delete`).
pub(crate) async fn lock(tx: &mut Tx, principal: Principal) -> Result<Option<CartOwner>> {
    match principal {
        Principal::Guest(None) => Ok(None),
        Principal::Newcomer(id) => {
            let found = sqlx::query_scalar!(
                "-- store.guests.lock_newcomer
                select 1 from shoppers s join guest_sessions g on g.id = s.id
                 where s.id = $1 and s.kind = 'GUEST' and g.expires_at > now()
                   and g.created_at > now() - make_interval(secs => $2) for no key update of s",
                id,
                JOINED_WITHIN.as_secs_f64()
            )
            .fetch_optional(tx.conn())
            .await?;
            Ok(found.map(|_| CartOwner::Guest(ShopperId(id))))
        }
        Principal::User(user) => {
            let found = sqlx::query_scalar!(
                "-- store.guests.lock_user
                select 1 from shoppers s join users u on u.id = s.id
                 where s.id = $1 and s.kind = 'USER' and u.deleted_at is null
                   for no key update of s for key share of u",
                user.0
            )
            .fetch_optional(tx.conn())
            .await?;
            Ok(found.map(|_| CartOwner::User(user)))
        }
        Principal::Guest(Some(id)) => {
            let stale = sqlx::query_scalar!(
                r#"-- store.guests.lock_guest
                select g.last_used_at < now() - interval '1 minute' as "stale!"
                  from shoppers s join guest_sessions g on g.id = s.id
                 where s.id = $1 and s.kind = 'GUEST' and g.expires_at > now() for no key update of s"#,
                id
            )
            .fetch_optional(tx.conn())
            .await?;
            let Some(stale) = stale else { return Ok(None) };
            if stale {
                sqlx::query!(
                    "-- store.guests.lock_guest.touch
                    update guest_sessions set last_used_at = now(), expires_at = now() + interval '24 hours' where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
            }
            Ok(Some(CartOwner::Guest(ShopperId(id))))
        }
    }
}

impl From<Writer> for CartOwner {
    fn from(writer: Writer) -> Self {
        writer.owner
    }
}

/// Why a write to a cart or wishlist was refused.
#[derive(Debug, thiserror::Error)]
pub enum ShopperError {
    /// No such game in the shop.
    #[error("Game not found")]
    NoSuchGame,
    /// The game cannot be bought at the moment.
    #[error("Game is out of stock")]
    OutOfStock,
    /// The game can be bought, so there is no alert to wait for.
    #[error("This game is in stock. Add it to the cart.")]
    InStock,
    /// A quantity that is not positive.
    #[error("quantity must be a whole number from 1")]
    NotPositive,
    /// The quantity exceeds the maximum of one item.
    #[error("At most {most} copies of one game fit into a cart")]
    TooManyCopies {
        /// The maximum.
        most: u32,
    },
    /// The number of games exceeds the maximum.
    #[error("At most {most} games fit. Remove one first.")]
    TooManyGames {
        /// The maximum.
        most: u32,
    },
    /// The idempotency key was used for another request.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The account does not exist (deleted while its token was still in use).
    #[error("Account not found")]
    NoSuchShopper,
    /// A member of staff changes the cart of somebody who has a permission that they lack.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ShopperError);
