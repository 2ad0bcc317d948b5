//! Guests: people without an account who have put something into a cart or on a wishlist.
//!
//! A guest begins with the first write, never with a look, and lives 24 hours after the last use. What the cookie says
//! is never believed: a guest is who has a row in `guest_sessions`, so somebody else's user id leads nowhere.

use lockstep_domain::cart::{Owner, Visitor};
use lockstep_domain::ids::ShopperId;
use sqlx::Row as _;
use uuid::Uuid;

use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// A guest that a newcomer's token makes can be joined with the same token for so long: by requests that were under way
/// together.
const JOINED_WITHIN: std::time::Duration = std::time::Duration::from_mins(1);

/// Who wrote, and whether they became a guest by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// Whose cart or wishlist was written.
    pub owner: Owner,
    /// A guest session was made: the answer has to carry its cookie.
    pub minted: bool,
}

/// Says that a guest is still there; at most one write a minute. True while there is such a guest.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn touch(store: &Store, guest: Uuid) -> Result<bool> {
    let row = sqlx::query(
        "-- store.guests.touch
        with alive as (select id, last_used_at from guest_sessions where id = $1 and expires_at > now()),
        touched as (
            update guest_sessions set last_used_at = now(), expires_at = now() + interval '24 hours'
             where id = (select id from alive where last_used_at < now() - interval '1 minute') and expires_at > now())
        select exists (select 1 from alive)",
    )
    .bind(guest)
    .fetch_one(store.alone())
    .await?;
    Ok(row.try_get(0)?)
}

/// Deletes guests whose time is up, with their carts and wishlists; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query(
        "-- store.guests.sweep
        delete from guest_sessions where id in (
            select id from guest_sessions where expires_at <= now() order by expires_at limit $1 for update skip locked)",
    )
    .bind(i64::from(crate::SWEEP))
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// Whether the owner `$1` of a cart or wishlist is still there; `$2` says that it is a guest.
macro_rules! owner_lives {
    () => {
        "case when $2 then exists (select 1 from guest_sessions where id = $1 and expires_at > now())
              else exists (select 1 from users where id = $1 and deleted_at is null) end"
    };
}
pub(crate) use owner_lives;

/// The visitor as a writer: locks the shopper's row until the transaction ends, so that writes of one shopper come one
/// after the other, and makes a guest of a visitor who is none yet.
pub(crate) async fn writer(tx: &mut Tx, visitor: Visitor) -> Result<Option<Writer>> {
    // Who joins has not heard of the session either.
    let minted = matches!(visitor, Visitor::Newcomer(_));
    if let Some(owner) = lock(tx, visitor).await? {
        return Ok(Some(Writer { owner, minted }));
    }
    if matches!(visitor, Visitor::User(_)) {
        return Ok(None);
    }
    if let Visitor::Newcomer(id) = visitor {
        // Of several at once one makes the guest; the others wait for it here.
        sqlx::query(
            "-- store.guests.mint_newcomer\ninsert into guest_sessions (id) values ($1) on conflict do nothing",
        )
        .bind(id)
        .execute(tx.conn())
        .await?;
        if let Some(owner) = lock(tx, visitor).await? {
            return Ok(Some(Writer { owner, minted }));
        }
        // The token was used before, and is good for nothing more: the guest is another one.
    }
    // The id is a secret of the guest's: random, not sorted by age.
    let id = Uuid::new_v4();
    sqlx::query("-- store.guests.mint\ninsert into guest_sessions (id) values ($1)")
        .bind(id)
        .execute(tx.conn())
        .await?;
    Ok(Some(Writer {
        owner: Owner::Guest(ShopperId(id)),
        minted: true,
    }))
}

/// The visitor's row, locked until the transaction ends; `None` when there is no such user or living guest. A deletion of
/// the account waits for it, and is waited for (`accounts::delete`).
pub(crate) async fn lock(tx: &mut Tx, visitor: Visitor) -> Result<Option<Owner>> {
    match visitor {
        Visitor::Guest(None) => Ok(None),
        Visitor::Newcomer(id) => {
            let found = sqlx::query(
                "-- store.guests.lock_newcomer
                select 1 from shoppers s join guest_sessions g on g.id = s.id
                 where s.id = $1 and s.kind = 'GUEST' and g.expires_at > now()
                   and g.created_at > now() - make_interval(secs => $2) for no key update of s",
            )
            .bind(id)
            .bind(JOINED_WITHIN.as_secs_f64())
            .fetch_optional(tx.conn())
            .await?;
            Ok(found.map(|_| Owner::Guest(ShopperId(id))))
        }
        Visitor::User(user) => {
            let found = sqlx::query(
                "-- store.guests.lock_user
                select 1 from shoppers s join users u on u.id = s.id
                 where s.id = $1 and s.kind = 'USER' and u.deleted_at is null
                   for no key update of s for key share of u",
            )
            .bind(user.0)
            .fetch_optional(tx.conn())
            .await?;
            Ok(found.map(|_| Owner::User(user)))
        }
        Visitor::Guest(Some(id)) => {
            let found = sqlx::query(
                "-- store.guests.lock_guest
                select g.last_used_at < now() - interval '1 minute' as stale
                  from shoppers s join guest_sessions g on g.id = s.id
                 where s.id = $1 and s.kind = 'GUEST' and g.expires_at > now() for no key update of s",
            )
            .bind(id)
            .fetch_optional(tx.conn())
            .await?;
            let Some(row) = found else { return Ok(None) };
            if row.try_get("stale")? {
                sqlx::query(
                    "-- store.guests.lock_guest.touch
                    update guest_sessions set last_used_at = now(), expires_at = now() + interval '24 hours' where id = $1",
                )
                .bind(id)
                .execute(tx.conn())
                .await?;
            }
            Ok(Some(Owner::Guest(ShopperId(id))))
        }
    }
}

impl From<Writer> for Owner {
    fn from(writer: Writer) -> Self {
        writer.owner
    }
}

/// Why something could not be put into a cart or on a wishlist.
#[derive(Debug, thiserror::Error)]
pub enum ShopperError {
    /// No such game in the shop.
    #[error("game not found")]
    NoSuchGame,
    /// The game cannot be bought now.
    #[error("game is out of stock")]
    OutOfStock,
    /// The game can be bought now: there is nothing to wait for.
    #[error("game is in stock")]
    InStock,
    /// A quantity that is not positive.
    #[error("quantity must be a positive whole number")]
    NotPositive,
    /// More copies than one line may have.
    #[error("at most {most} copies of one game fit into a cart")]
    TooManyCopies {
        /// The most.
        most: u32,
    },
    /// More games than fit.
    #[error("at most {most} games fit")]
    TooManyGames {
        /// The most.
        most: u32,
    },
    /// The idempotency key was used for something else.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The account is gone (deleted while its token was still in use).
    #[error("account not found")]
    NoSuchShopper,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ShopperError);
