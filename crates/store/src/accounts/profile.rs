//! The part of an account that its user sees and can change without a password.

use lockstep_domain::account::{DEFAULT_NICKNAME, ProfileChange, ProfileFacts};
use lockstep_domain::ids::UserId;
use sqlx::Row as _;

use super::{AccountError, one};
use crate::row::{how_many, money, role};
use crate::{Result, Store, Tx};

/// A user's profile. Cache it under `CacheKey::UserProfile`; changes of their orders invalidate it too.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn profile(tx: &mut Tx, id: UserId) -> Result<Option<ProfileFacts>> {
    let row = sqlx::query(
        "-- store.accounts.profile
        select u.email, u.nickname, u.first_name, u.last_name, u.avatar, u.balance, u.role::text as role, u.email_verified,
               u.created_at,
               exists (select 1 from user_totp f where f.user_id = u.id and f.confirmed_at is not null) as second_factor,
               coalesce(t.games, 0) as games, coalesce(t.orders, 0) as orders, coalesce(t.saved, 0)::numeric(12,2) as saved
          from users u left join user_totals t on t.user_id = u.id where u.id = $1 and u.deleted_at is null",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| {
        Ok(ProfileFacts {
            id,
            email: row.try_get("email")?,
            nickname: row.try_get("nickname")?,
            first_name: row.try_get("first_name")?,
            last_name: row.try_get("last_name")?,
            avatar: row.try_get("avatar")?,
            balance: money(&row, "balance")?,
            role: role(&row, "role")?,
            email_verified: row.try_get("email_verified")?,
            second_factor: row.try_get("second_factor")?,
            created_at: row.try_get("created_at")?,
            games_purchased: how_many(&row, "games")?,
            total_orders: how_many(&row, "orders")?,
            total_saved: money(&row, "saved")?,
        })
    })
    .transpose()
}

/// Changes a user's names and picture.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::Store`].
pub async fn change_profile(store: &Store, id: UserId, change: &ProfileChange) -> Result<(), AccountError> {
    let change = change.clone();
    store
        .tx_about("accounts.change_profile", &[id.into()], move |tx| {
            let change = change.clone();
            Box::pin(async move {
                let done = sqlx::query(
                    "-- store.accounts.change_profile
                    update users set nickname = case when $2 then $3 else nickname end,
                                     first_name = case when $4 then $5 else first_name end,
                                     last_name = case when $6 then $7 else last_name end,
                                     avatar = case when $8 then $9 else avatar end
                     where id = $1 and deleted_at is null",
                )
                .bind(id.0)
                .bind(change.nickname.is_some())
                .bind(
                    change
                        .nickname
                        .map(|name| name.unwrap_or_else(|| DEFAULT_NICKNAME.to_owned())),
                )
                .bind(change.first_name.is_some())
                .bind(change.first_name.flatten())
                .bind(change.last_name.is_some())
                .bind(change.last_name.flatten())
                .bind(change.avatar.is_some())
                .bind(change.avatar.flatten())
                .execute(tx.conn())
                .await?;
                one(&done, AccountError::NotFound)
            })
        })
        .await
}
