//! The second factor: offered, confirmed by a first code, and taken away; and that each of its codes works once.

use lockstep_domain::ids::{SessionId, UserId};

use super::{AccountError, one};
use crate::{Result, Store, Tx, sessions};

/// A code of the authenticator works once, and so do all older ones afterwards: not at all. Without a step there must be
/// no confirmed authenticator.
pub(super) async fn use_totp_step(tx: &mut Tx, user: UserId, step: Option<i64>) -> Result<(), AccountError> {
    let fine = match step {
        Some(step) => {
            sqlx::query(
                "-- store.accounts.use_totp_step
                update user_totp set last_step = $2 where user_id = $1 and confirmed_at is not null and last_step < $2",
            )
            .bind(user.0)
            .bind(step)
            .execute(tx.conn())
            .await?
            .rows_affected()
                == 1
        }
        None => sqlx::query(
            "-- store.accounts.no_totp
            select 1 from user_totp where user_id = $1 and confirmed_at is not null",
        )
        .bind(user.0)
        .fetch_optional(tx.conn())
        .await?
        .is_none(),
    };
    if fine { Ok(()) } else { Err(AccountError::Outdated) }
}

/// Offers a user an authenticator; an earlier offer that was not confirmed is replaced.
///
/// # Errors
/// [`AccountError::SecondFactorExists`] when one is confirmed already.
pub async fn offer_totp(store: &Store, id: UserId, nonce: [u8; 32]) -> Result<(), AccountError> {
    let done = sqlx::query(
        "-- store.accounts.offer_totp
        insert into user_totp (user_id, nonce) values ($1, $2)
        on conflict (user_id) do update set nonce = excluded.nonce, created_at = now(), last_step = 0
         where user_totp.confirmed_at is null",
    )
    .bind(id.0)
    .bind(nonce.as_slice())
    .execute(store.alone())
    .await?;
    one(&done, AccountError::SecondFactorExists)
}

/// The first code was right: log-ins ask for one from now on, and this session counts as having given it. Other
/// sessions end.
///
/// # Errors
/// [`AccountError::Outdated`] when the offer is not the one that was checked any more.
pub async fn confirm_totp(
    store: &Store,
    id: UserId,
    nonce: &[u8],
    step: i64,
    session: SessionId,
) -> Result<(), AccountError> {
    let nonce = nonce.to_vec();
    store
        .tx_about("accounts.confirm_totp", &[id.into()], move |tx| {
            let nonce = nonce.clone();
            Box::pin(async move {
                let done = sqlx::query(
                    "-- store.accounts.confirm_totp
                    update user_totp set confirmed_at = now(), last_step = $3
                     where user_id = $1 and nonce = $2 and confirmed_at is null",
                )
                .bind(id.0)
                .bind(nonce)
                .bind(step)
                .execute(tx.conn())
                .await?;
                one(&done, AccountError::Outdated)?;
                sessions::end_all_but(tx, id, Some(session)).await?;
                sqlx::query("-- store.accounts.confirm_totp.session\nupdate user_sessions set second_factor = true where id = $1")
                    .bind(session.0)
                    .execute(tx.conn())
                    .await?;
                Ok(())
            })
        })
        .await
}

/// Takes the authenticator away (the owner, with a code; or the operator, for somebody who lost it). Sessions that gave
/// a code do not count as having done so any more. True when there was one.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn remove_totp(store: &Store, id: UserId) -> Result<bool> {
    store
        .tx_about("accounts.remove_totp", &[id.into()], move |tx| {
            Box::pin(drop_totp(tx, id))
        })
        .await
}

pub(super) async fn drop_totp(tx: &mut Tx, id: UserId) -> Result<bool> {
    let done = sqlx::query("-- store.accounts.remove_totp\ndelete from user_totp where user_id = $1")
        .bind(id.0)
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "-- store.accounts.remove_totp.sessions\nupdate user_sessions set second_factor = false where user_id = $1",
    )
    .bind(id.0)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}
