//! API tokens. Only a hash of a token is stored; what it permits is decided with every request, from the database.

use chrono::{DateTime, Utc};
use lockstep_domain::account::Role;
use lockstep_domain::admin::{ApiToken, TokenForm};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::staff::{Permission, Permissions, Refused};
use serde_json::json;
use uuid::Uuid;

use crate::accounts::{AccountError, staff};
use crate::acting::ActingToken;
use crate::audit::{self, By};
use crate::row::role_of;
use crate::sessions::TokenUser;
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError};

/// Maximum number of tokens that a member of staff has at one time, also expired ones.
pub const MAX_TOKENS: i64 = 50;
/// Maximum number of tokens in the list.
const MOST: i64 = 1_000;

/// Why a token was not created or deleted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no such token, or it is somebody else's and the caller may not see it.
    #[error("Token not found")]
    NotFound,
    /// The caller lacks a permission.
    #[error(transparent)]
    Refused(Refused),
    /// The caller has as many tokens as one may have.
    #[error("You have {MAX_TOKENS} tokens. Delete one first.")]
    TooMany,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(TokenError);

/// A token to store.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// Its first characters.
    pub hint: String,
    /// What it is for, and what it permits.
    pub form: TokenForm,
}

/// A valid token and whose it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// The token.
    pub token: ActingToken,
    /// Its owner; the session is the token.
    pub owner: TokenUser,
    /// What it permits now: what it was given and its owner still has.
    pub permissions: Permissions,
}

/// Finds the valid token with this hash, and notes that it is used, at most once a minute.
///
/// # Errors
/// [`StoreError`].
pub async fn find(store: &Store, hash: &[u8; 32]) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"-- store.api_tokens.find
        select t.id, t.user_id, t.permissions, u.email, u.role::text as "role!", u.email_verified,
               t.last_used_at is null or t.last_used_at < now() - interval '1 minute' as "is_stale!",
               array(select p.permission from staff_role_permissions p where p.role = u.staff_role) as "theirs!",
               exists (select 1 from user_totp f where f.user_id = u.id and f.confirmed_at is not null) as "second_factor!"
          from api_tokens t join users u on u.id = t.user_id
         where t.hash = $1 and t.expires_at > now() and u.deleted_at is null"#,
        hash
    )
    .fetch_optional(store.alone())
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.is_stale {
        let noted = sqlx::query!(
            "-- store.api_tokens.used
            update api_tokens set last_used_at = now()
             where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')",
            row.id
        )
        .execute(store.alone())
        .await;
        if let Err(error) = noted {
            tracing::debug!(token = %row.id, %error, "the use of a token could not be noted");
        }
    }
    let role = role_of(&row.role)?;
    let theirs = if role == Role::Admin {
        Permissions::all()
    } else {
        staff::known(&row.theirs)
    };
    let (user, given) = (UserId(row.user_id), staff::known(&row.permissions));
    Ok(Some(Found {
        permissions: theirs.shared_with(&given),
        token: ActingToken {
            id: row.id,
            user,
            permissions: given,
        },
        owner: TokenUser {
            user,
            session: SessionId(row.id),
            email: row.email,
            role,
            email_verified: row.email_verified,
            second_factor: row.second_factor,
            impersonated_by: None,
        },
    }))
}

/// A row of a list.
struct Row {
    id: Uuid,
    user_id: Uuid,
    name: String,
    hint: String,
    permissions: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
}

impl Row {
    fn view(self) -> ApiToken {
        ApiToken {
            id: self.id,
            user_id: self.user_id,
            name: self.name,
            hint: self.hint,
            permissions: self.permissions,
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
        }
    }
}

/// The tokens of `owner`, or of everybody, newest first; at most 1,000.
///
/// # Errors
/// [`StoreError`].
pub async fn list(store: &Store, owner: Option<UserId>) -> Result<Vec<ApiToken>> {
    let rows = sqlx::query_as!(
        Row,
        "-- store.api_tokens.list
        select id, user_id, name, hint, permissions, created_at, expires_at, last_used_at from api_tokens
         where $1::uuid is null or user_id = $1 order by created_at desc, id desc limit $2",
        owner.map(|owner| owner.0),
        MOST
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(Row::view).collect())
}

/// Stores a token of `owner`. Recorded in the audit log.
///
/// # Errors
/// [`TokenError::Refused`] if it permits something that its owner lacks; [`TokenError::TooMany`]; [`TokenError::Store`].
pub async fn create(store: &Store, owner: UserId, new: &NewToken) -> Result<ApiToken, TokenError> {
    let new = new.clone();
    store
        .tx("api_tokens.create", move |tx| {
            let new = new.clone();
            Box::pin(async move {
                // The owner's row: of two requests at once the second counts the token of the first.
                let is_there = sqlx::query_scalar!(
                    "-- store.api_tokens.create.lock
                    select 1 as one from users where id = $1 and deleted_at is null for no key update",
                    owner.0
                )
                .fetch_optional(tx.conn())
                .await?;
                if is_there.is_none() {
                    return Err(TokenError::NotFound);
                }
                let wanted: Permissions = new.form.permissions.iter().copied().collect();
                if !staff::of_staff(tx, owner).await?.cover(&wanted) {
                    return Err(TokenError::Refused(Refused::GivesMore));
                }
                let has = sqlx::query_scalar!(
                    r#"-- store.api_tokens.create.count
                    select count(*) as "count!" from api_tokens where user_id = $1"#,
                    owner.0
                )
                .fetch_one(tx.conn())
                .await?;
                if has >= MAX_TOKENS {
                    return Err(TokenError::TooMany);
                }
                let names: Vec<String> = new.form.permissions.iter().map(ToString::to_string).collect();
                let row = sqlx::query_as!(
                    Row,
                    "-- store.api_tokens.create
                    insert into api_tokens (id, user_id, name, hash, hint, permissions, expires_at)
                    values ($1, $2, $3, $4, $5, $6, now() + make_interval(days => $7))
                    returning id, user_id, name, hint, permissions, created_at, expires_at, last_used_at",
                    Uuid::now_v7(),
                    owner.0,
                    new.form.name,
                    new.hash.as_slice(),
                    new.hint,
                    &names,
                    i32::try_from(new.form.days).unwrap_or(1)
                )
                .fetch_one(tx.conn())
                .await?;
                let details = json!({ "permissions": names, "days": new.form.days });
                audit::record(tx, &By::Staff(owner), "token.create", ("token", row.id), details).await?;
                Ok(row.view())
            })
        })
        .await
}

/// Deletes a token, in every process from its next request: one's own, or with the permission staff.write anybody's who has
/// no permission that `by` lacks. Recorded in the audit log.
///
/// # Errors
/// [`TokenError::NotFound`]; [`TokenError::Refused`]; [`TokenError::Store`].
pub async fn delete(store: &Store, by: UserId, id: Uuid) -> Result<(), TokenError> {
    store
        .tx("api_tokens.delete", move |tx| {
            Box::pin(async move {
                let owner = sqlx::query_scalar!(
                    "-- store.api_tokens.delete.owner\nselect user_id from api_tokens where id = $1 for update",
                    id
                )
                .fetch_optional(tx.conn())
                .await?;
                let owner = UserId(owner.ok_or(TokenError::NotFound)?);
                if owner != by {
                    if !staff::of_staff(tx, by).await?.contains(Permission::StaffWrite) {
                        return Err(TokenError::NotFound);
                    }
                    staff::not_above(tx, by, owner).await.map_err(|error| match error {
                        AccountError::Refused(refused) => TokenError::Refused(refused),
                        AccountError::Store(error) => error.into(),
                        _ => TokenError::NotFound,
                    })?;
                }
                sqlx::query!("-- store.api_tokens.delete\ndelete from api_tokens where id = $1", id)
                    .execute(tx.conn())
                    .await?;
                let details = json!({ "owner": owner.0 });
                audit::record(tx, &By::Staff(by), "token.delete", ("token", id), details)
                    .await
                    .map_err(TokenError::from)
            })
        })
        .await
}
