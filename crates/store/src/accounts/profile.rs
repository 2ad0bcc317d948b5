//! The part of an account that its user sees and can change without a password.

use lockstep_domain::account::{DEFAULT_NICKNAME, ProfileChange, ProfileFacts};
use lockstep_domain::ids::UserId;

use super::{AccountError, one};
use crate::row::{how_many_of, money_of, role_of};
use crate::{Result, Store, Tx};

/// A user's profile. Cache it under `CacheKey::UserProfile`; changes of their orders invalidate it too.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn profile(tx: &mut Tx, id: UserId) -> Result<Option<ProfileFacts>> {
    let row = sqlx::query!(
        r#"-- store.accounts.profile
        select u.email, u.nickname, u.first_name, u.last_name, u.avatar, u.balance, u.role::text as "role!", u.email_verified,
               u.created_at,
               exists (select 1 from user_totp f where f.user_id = u.id and f.confirmed_at is not null) as "second_factor!",
               coalesce(t.games, 0) as "games!", coalesce(t.orders, 0) as "orders!", coalesce(t.saved, 0)::numeric(12,2) as "saved!"
          from users u left join user_totals t on t.user_id = u.id where u.id = $1 and u.deleted_at is null"#,
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| {
        Ok(ProfileFacts {
            id,
            email: row.email,
            nickname: row.nickname,
            first_name: row.first_name,
            last_name: row.last_name,
            avatar: row.avatar,
            balance: money_of(row.balance)?,
            role: role_of(&row.role)?,
            email_verified: row.email_verified,
            second_factor: row.second_factor,
            created_at: row.created_at,
            games_purchased: how_many_of(row.games),
            total_orders: how_many_of(row.orders),
            total_saved: money_of(row.saved)?,
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
            Box::pin(async move { change_profile_in(tx, id, &change).await })
        })
        .await
}

/// As [`change_profile`], in a transaction.
pub(crate) async fn change_profile_in(tx: &mut Tx, id: UserId, change: &ProfileChange) -> Result<(), AccountError> {
    let change = change.clone();
    let done = sqlx::query!(
        "-- store.accounts.change_profile
        update users set nickname = case when $2 then $3 else nickname end,
                         first_name = case when $4 then $5 else first_name end,
                         last_name = case when $6 then $7 else last_name end,
                         avatar = case when $8 then $9 else avatar end
         where id = $1 and deleted_at is null",
        id.0,
        change.nickname.is_some(),
        change
            .nickname
            .map(|name| name.unwrap_or_else(|| DEFAULT_NICKNAME.to_owned())),
        change.first_name.is_some(),
        change.first_name.flatten(),
        change.last_name.is_some(),
        change.last_name.flatten(),
        change.avatar.is_some(),
        change.avatar.flatten()
    )
    .execute(tx.conn())
    .await?;
    one(&done, AccountError::NotFound)
}
