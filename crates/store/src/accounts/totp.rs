//! Two-factor authentication: offering an authenticator, confirming it with a first code, and removing it; one-time use
//! of its codes; and recovery codes for a lost authenticator.

use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{SessionId, UserId};

use super::{AccountError, NOTICE, one};
use crate::row::nickname_of;
use crate::{Result, Store, Tx, audit, mail, sessions};

/// SHA-256 of a recovery code.
pub type RecoveryHash = [u8; 32];

/// A verified second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The time step of the code.
    Step(i64),
    /// A recovery code.
    Recovery(RecoveryHash),
}

/// The context that a secret is sealed for.
pub fn place(user: UserId) -> String {
    format!("user_totp.sealed/{user}")
}

/// Uses up a proof: a code of the authenticator works once and also invalidates all older ones; a recovery code is
/// deleted. Without a proof the user must have no confirmed authenticator.
pub(super) async fn use_proof(tx: &mut Tx, user: UserId, proof: Option<Proof>) -> Result<(), AccountError> {
    let fine = match proof {
        Some(Proof::Step(step)) => {
            sqlx::query!(
                "-- store.accounts.use_totp_step
                update user_totp set last_step = $2 where user_id = $1 and confirmed_at is not null and last_step < $2",
                user.0,
                step
            )
            .execute(tx.conn())
            .await?
            .rows_affected()
                == 1
        }
        Some(Proof::Recovery(hash)) => {
            sqlx::query!(
                "-- store.accounts.use_recovery_code
                update user_totp set recovery_codes = array_remove(recovery_codes, $2)
                 where user_id = $1 and confirmed_at is not null and $2 = any (recovery_codes)",
                user.0,
                hash.as_slice()
            )
            .execute(tx.conn())
            .await?
            .rows_affected()
                == 1
        }
        None => sqlx::query_scalar!(
            "-- store.accounts.no_totp
            select 1 from user_totp where user_id = $1 and confirmed_at is not null",
            user.0
        )
        .fetch_optional(tx.conn())
        .await?
        .is_none(),
    };
    if fine { Ok(()) } else { Err(AccountError::Outdated) }
}

/// Offers a user an authenticator with this secret, sealed for its [`place`]; replaces an earlier unconfirmed offer.
/// `nonce` identifies the offer.
///
/// # Errors
/// [`AccountError::SecondFactorExists`] when one is already confirmed.
pub async fn offer_totp(store: &Store, id: UserId, nonce: [u8; 32], sealed: &[u8]) -> Result<(), AccountError> {
    let done = sqlx::query!(
        "-- store.accounts.offer_totp
        insert into user_totp (user_id, nonce, sealed) values ($1, $2, $3)
        on conflict (user_id) do update
           set nonce = excluded.nonce, sealed = excluded.sealed, created_at = now(), last_step = 0
         where user_totp.confirmed_at is null",
        id.0,
        nonce.as_slice(),
        sealed
    )
    .execute(store.alone())
    .await?;
    one(&done, AccountError::SecondFactorExists)
}

/// Confirms the authenticator after its first code was verified: log-ins ask for a code from now on, and this session
/// counts as having given one. Other sessions end, and the owner gets an e-mail.
///
/// # Errors
/// [`AccountError::Outdated`] when the offer is no longer the one that was verified.
pub async fn confirm_totp(
    store: &Store,
    id: UserId,
    nonce: &[u8],
    step: i64,
    recovery: &[RecoveryHash],
    session: SessionId,
) -> Result<(), AccountError> {
    let (nonce, recovery) = (nonce.to_vec(), bytes(recovery));
    store
        .tx_about("accounts.confirm_totp", &[id.into()], move |tx| {
            let (nonce, recovery) = (nonce.clone(), recovery.clone());
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.accounts.confirm_totp
                    update user_totp set confirmed_at = now(), last_step = $3, recovery_codes = $4
                     where user_id = $1 and nonce = $2 and confirmed_at is null",
                    id.0,
                    &nonce,
                    step,
                    &recovery
                )
                .execute(tx.conn())
                .await?;
                one(&done, AccountError::Outdated)?;
                sessions::end_all_but(tx, id, Some(session)).await?;
                sqlx::query!("-- store.accounts.confirm_totp.session\nupdate user_sessions set second_factor = true where id = $1", session.0)
                    .execute(tx.conn())
                    .await?;
                notify(tx, id, |nickname| EmailTemplate::SecondFactorAdded { nickname }).await?;
                Ok(())
            })
        })
        .await
}

/// Replaces the recovery codes; the previous ones become invalid.
///
/// # Errors
/// [`AccountError::Outdated`] when the proof was used meanwhile.
pub async fn replace_recovery_codes(
    store: &Store,
    id: UserId,
    proof: Proof,
    recovery: &[RecoveryHash],
) -> Result<(), AccountError> {
    let recovery = bytes(recovery);
    store
        .tx_about("accounts.replace_recovery_codes", &[id.into()], move |tx| {
            let recovery = recovery.clone();
            Box::pin(async move {
                use_proof(tx, id, Some(proof)).await?;
                sqlx::query!(
                    "-- store.accounts.replace_recovery_codes
                    update user_totp set recovery_codes = $2 where user_id = $1",
                    id.0,
                    &recovery
                )
                .execute(tx.conn())
                .await?;
                Ok(())
            })
        })
        .await
}

/// Removes the authenticator at its owner's request. Sessions no longer count as having given a code, and the owner
/// gets an e-mail. Succeeds if there is none and no proof.
///
/// # Errors
/// [`AccountError::Outdated`] when the proof was used meanwhile.
pub async fn remove_totp(store: &Store, id: UserId, proof: Option<Proof>) -> Result<(), AccountError> {
    store
        .tx_about("accounts.remove_totp", &[id.into()], move |tx| {
            Box::pin(async move {
                use_proof(tx, id, proof).await?;
                if drop_totp(tx, id).await? {
                    notify(tx, id, |nickname| EmailTemplate::SecondFactorRemoved { nickname }).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Removes the authenticator of the account with this address at the operator's request, because its owner lost it. All
/// sessions end, the audit log records it, and the owner gets an e-mail. False if there was none.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn reset_totp(store: &Store, email: &str, machine: &str) -> Result<bool, AccountError> {
    let (email, machine) = (email.to_owned(), machine.to_owned());
    store
        .tx("accounts.reset_totp", move |tx| {
            let (email, machine) = (email.clone(), machine.clone());
            Box::pin(async move {
                let id = sqlx::query_scalar!(
                    "-- store.accounts.reset_totp.look
                    select id from users where email = $1 and deleted_at is null for no key update",
                    &email
                )
                .fetch_optional(tx.conn())
                .await?;
                let id = UserId(id.ok_or(AccountError::NotFound)?);
                if !drop_totp(tx, id).await? {
                    return Ok(false);
                }
                sessions::end_all_but(tx, id, None).await?;
                let details = serde_json::json!({ "machine": machine });
                audit::write_operators(tx, "account.second_factor_reset", ("user", id.0), &details).await?;
                notify(tx, id, |nickname| EmailTemplate::SecondFactorReset { nickname }).await?;
                Ok(true)
            })
        })
        .await
}

/// Removes the authenticator; true if a confirmed one existed.
pub(super) async fn drop_totp(tx: &mut Tx, id: UserId) -> Result<bool> {
    let confirmed = sqlx::query_scalar!(
        r#"-- store.accounts.remove_totp
    delete from user_totp where user_id = $1 returning confirmed_at is not null as "confirmed!""#,
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.accounts.remove_totp.sessions\nupdate user_sessions set second_factor = false where user_id = $1",
        id.0
    )
    .execute(tx.conn())
    .await?;
    Ok(confirmed == Some(true))
}

/// Removes the authenticator that was set up before the address was verified, possibly by a stranger, and sends the
/// address an e-mail about it.
pub(super) async fn drop_strangers_totp(tx: &mut Tx, id: UserId) -> Result<()> {
    if drop_totp(tx, id).await? {
        notify(tx, id, |nickname| EmailTemplate::SecondFactorRemoved { nickname }).await?;
    }
    Ok(())
}

/// Queues an e-mail to the owner.
async fn notify(tx: &mut Tx, id: UserId, template: impl FnOnce(String) -> EmailTemplate + Send) -> Result<()> {
    let row = sqlx::query!(
        "-- store.accounts.notify\nselect email, nickname from users where id = $1",
        id.0
    )
    .fetch_one(tx.conn())
    .await?;
    mail::enqueue(tx, id, &row.email, &template(nickname_of(row.nickname)), NOTICE).await
}

fn bytes(hashes: &[RecoveryHash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}

/// A second factor, for a rotation of `LOCKSTEP_KEY_SECRET`.
#[derive(Debug, Clone)]
pub struct SealedTotp {
    /// Its owner.
    pub user: UserId,
    /// The bytes that older versions derive the secret from.
    pub nonce: Vec<u8>,
    /// The secret, sealed for its [`place`]; `None` if an older version created it.
    pub sealed: Option<Vec<u8>>,
}

/// A page of second factors, by user, for a rotation.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn totp_page(store: &Store, after: Option<UserId>, most: u32) -> Result<Vec<SealedTotp>> {
    let rows = sqlx::query_as!(
        SealedTotp,
        "-- store.accounts.totp_page
        select user_id as user, nonce, sealed from user_totp where $1::uuid is null or user_id > $1 order by user_id limit $2",
        after.map(|user| user.0),
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows)
}

/// Replaces the sealed secret and the nonce if both are still those that were read. The nonce is replaced too: the
/// holder of an old key could derive the secret from it.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn reseal_totp(store: &Store, before: &SealedTotp, nonce: [u8; 32], sealed: &[u8]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.accounts.reseal_totp
        update user_totp set nonce = $4, sealed = $5
         where user_id = $1 and nonce = $2 and sealed is not distinct from $3",
        before.user.0,
        &before.nonce,
        before.sealed.as_deref(),
        nonce.as_slice(),
        sealed
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}
