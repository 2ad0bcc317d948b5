//! Pictures that users uploaded.

use std::sync::Arc;

use lockstep_domain::account::avatar_path;
use lockstep_domain::ids::UserId;
use sqlx::types::Uuid;

use super::{AccountError, one};
use crate::{Result, Store, Tx};

/// Sets the picture of a user: `image`, WebP of at most 128 KiB, under `id`, which has to be new. The previous picture
/// is deleted.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::Store`].
pub async fn set_avatar(store: &Store, user: UserId, id: Uuid, image: Arc<[u8]>) -> Result<(), AccountError> {
    store
        .tx_about("accounts.set_avatar", &[user.into()], move |tx| {
            let image = Arc::clone(&image);
            Box::pin(async move {
                // Changing the address deletes the previous picture (`avatars_forget`).
                set_address(tx, user, Some(&avatar_path(id))).await?;
                sqlx::query!(
                    "-- store.accounts.set_avatar\ninsert into avatars (user_id, id, image) values ($1, $2, $3)",
                    user.0,
                    id,
                    &*image
                )
                .execute(tx.conn())
                .await?;
                Ok(())
            })
        })
        .await
}

/// Removes the picture of a user, uploaded or external.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::Store`].
pub async fn remove_avatar(store: &Store, user: UserId) -> Result<(), AccountError> {
    store
        .tx_about("accounts.remove_avatar", &[user.into()], move |tx| {
            Box::pin(set_address(tx, user, None))
        })
        .await
}

async fn set_address(tx: &mut Tx, user: UserId, address: Option<&str>) -> Result<(), AccountError> {
    let done = sqlx::query!(
        "-- store.accounts.set_avatar_address
        update users set avatar = $2 where id = $1 and deleted_at is null",
        user.0,
        address
    )
    .execute(tx.conn())
    .await?;
    one(&done, AccountError::NotFound)
}

/// The picture with this id, WebP; `None` if there is none (any more).
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn avatar(store: &Store, id: Uuid) -> Result<Option<Vec<u8>>> {
    Ok(
        sqlx::query_scalar!("-- store.accounts.avatar\nselect image from avatars where id = $1", id)
            .fetch_optional(store.alone())
            .await?,
    )
}
