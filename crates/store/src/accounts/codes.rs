//! One-time codes and links, stored as keyed hashes while the e-mail holds the text, and the verification of an address
//! with one.

use std::time::Duration;

use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use uuid::Uuid;

use super::{AccountError, one};
use crate::mail::Claimed;
use crate::row::{count_of, nickname_of};
use crate::{Result, Store, Tx, mail};

/// Number of wrong guesses after which a verification code becomes invalid.
pub const MOST_ATTEMPTS: u32 = 5;

/// A code or link to send: the e-mail holds its text until it is sent, the database only its keyed hash.
#[derive(Debug, Clone)]
pub struct NewCode {
    /// The text that the user receives.
    pub text: Secret,
    /// The keyed hash to store.
    pub hash: [u8; 32],
    /// How long it is valid.
    pub lifetime: Duration,
}

impl NewCode {
    pub(super) fn minutes(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs() / 60).unwrap_or(u32::MAX)
    }
}

/// Replaces a user's verification code, or adds a link to the valid ones (three at most, so that a third party who
/// requests links for the user cannot invalidate the one just sent).
pub(super) async fn put_code(
    tx: &mut Tx,
    user: UserId,
    email: &str,
    purpose: &'static str,
    code: &NewCode,
) -> Result<()> {
    sqlx::query!(
        "-- store.accounts.put_code.make_room
        delete from one_time_codes where id in (
            select id from one_time_codes where user_id = $1 and purpose = $2
             order by created_at desc, id offset case $2 when 'VERIFY_EMAIL' then 0 else 2 end)",
        user.0,
        purpose
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.accounts.put_code
        insert into one_time_codes (id, user_id, purpose, hash, email, created_at, expires_at)
        values ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + make_interval(secs => $6::bigint))",
        Uuid::now_v7(),
        user.0,
        purpose,
        code.hash.as_slice(),
        email,
        i64::try_from(code.lifetime.as_secs()).unwrap_or(i64::MAX)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Queues an e-mail with a new verification code, which invalidates the previous one.
///
/// # Errors
/// [`AccountError::AlreadyVerified`], [`AccountError::NotFound`].
pub async fn send_verification(store: &Store, id: UserId, code: &NewCode) -> Result<(), AccountError> {
    let code = code.clone();
    store
        .tx_about("accounts.send_verification", &[id.into()], move |tx| {
            let code = code.clone();
            Box::pin(async move {
                let row = sqlx::query!(
                    "-- store.accounts.send_verification.look
                    select email, nickname, email_verified from users where id = $1 and deleted_at is null for no key update",
                    id.0
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::NotFound)?;
                if row.email_verified {
                    return Err(AccountError::AlreadyVerified);
                }
                put_code(tx, id, &row.email, "VERIFY_EMAIL", &code).await?;
                let letter = EmailTemplate::Verification {
                    nickname: nickname_of(row.nickname),
                    code: code.text.clone(),
                    minutes: code.minutes(),
                };
                mail::enqueue(tx, id, &row.email, &letter, code.lifetime).await?;
                Ok(())
            })
        })
        .await
}

/// A welcome e-mail gets a new code if its code expires within this number of minutes.
const MINUTES_TO_READ: i32 = 15;

/// The content of a welcome e-mail at the time it is sent, which may be hours after it was written: with its code and
/// the remaining minutes; with `fresh` instead if the code has expired or is about to; or without a code if the address
/// is already verified or a later e-mail has the valid code. An e-mail of another kind is returned unchanged.
///
/// `None` if the lease was lost; then another worker sends it.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn current_welcome(
    store: &Store,
    claimed: &Claimed,
    letter: &EmailTemplate,
    fresh: &NewCode,
) -> Result<Option<EmailTemplate>> {
    let EmailTemplate::Welcome { nickname, code, .. } = letter else {
        return Ok(Some(letter.clone()));
    };
    let say = {
        let nickname = nickname.clone();
        move |code: Option<Secret>, minutes: u32| EmailTemplate::Welcome {
            nickname: nickname.clone(),
            code,
            minutes,
        }
    };
    let Some(user) = claimed.user else {
        return Ok(Some(say(None, 0)));
    };
    let (claimed, code, fresh) = (claimed.clone(), code.clone(), fresh.clone());
    store
        .tx_about("accounts.current_welcome", &[user.into()], move |tx| {
            let (claimed, code, fresh, say) = (claimed.clone(), code.clone(), fresh.clone(), say.clone());
            Box::pin(async move {
                // A request for another code locks the same row.
                let unproved = sqlx::query_scalar!(
                    "-- store.accounts.current_welcome.account
                    select 1 from users where id = $1 and email = $2 and not email_verified and deleted_at is null
                       for no key update",
                    user.0,
                    &claimed.recipient
                )
                .fetch_optional(tx.conn())
                .await?
                .is_some();
                if !unproved {
                    return Ok(Some(say(None, 0)));
                }
                let good = sqlx::query!(
                    r#"-- store.accounts.current_welcome.code
                    select ceil(extract(epoch from c.expires_at - clock_timestamp()) / 60)::integer as "minutes!",
                           exists (select 1 from mail_outbox later, mail_outbox this
                                    where this.id = $2 and later.user_id = $1 and later.kind = 'verification'
                                      and later.seq > this.seq and later.gave_up_at is null) as "asked_again!"
                      from one_time_codes c
                     where c.user_id = $1 and c.purpose = 'VERIFY_EMAIL'
                       and c.expires_at > clock_timestamp() + make_interval(mins => $3)"#,
                    user.0,
                    claimed.id,
                    MINUTES_TO_READ
                )
                .fetch_optional(tx.conn())
                .await?;
                match good {
                    Some(row) if row.asked_again => Ok(Some(say(None, 0))),
                    Some(row) => Ok(Some(say(code, count_of(row.minutes)?))),
                    None => {
                        let letter = say(Some(fresh.text.clone()), fresh.minutes());
                        if !mail::rewrite(tx, &claimed, &letter).await? {
                            return Ok(None);
                        }
                        put_code(tx, user, &claimed.recipient, "VERIFY_EMAIL", &fresh).await?;
                        Ok(Some(letter))
                    }
                }
            })
        })
        .await
}

/// A verification code that can be compared once with a typed one.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The code's id.
    pub id: Uuid,
    /// Its keyed hash.
    pub hash: Vec<u8>,
    /// Remaining attempts after this one.
    pub left: u32,
}

/// Uses up one of the attempts of a user's verification code, before the comparison, so that parallel guesses gain
/// nothing. `None` if there is no code, it has expired, or no attempts remain.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn spend_attempt(store: &Store, id: UserId) -> Result<Option<Attempt>> {
    let row = sqlx::query!(
        "-- store.accounts.spend_attempt
        update one_time_codes set attempts = attempts + 1
         where user_id = $1 and purpose = 'VERIFY_EMAIL' and expires_at > now() and attempts < $2
        returning id, hash, attempts",
        id.0,
        i32::try_from(MOST_ATTEMPTS).unwrap_or(i32::MAX)
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(|row| {
        Ok(Attempt {
            id: row.id,
            hash: row.hash,
            left: MOST_ATTEMPTS.saturating_sub(count_of(row.attempts)?),
        })
    })
    .transpose()
}

/// Marks the address as verified and uses up the code, after the typed code was found correct.
///
/// # Errors
/// [`AccountError::NotFound`] when the code was replaced or used meanwhile.
pub async fn verify_email(store: &Store, id: UserId, code: Uuid) -> Result<(), AccountError> {
    store
        .tx_about("accounts.verify_email", &[id.into()], move |tx| {
            Box::pin(async move {
                let row = sqlx::query!(
                    "-- store.accounts.verify_email.use
                    delete from one_time_codes where id = $1 and user_id = $2 and purpose = 'VERIFY_EMAIL' returning email",
                    code,
                    id.0
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::NotFound)?;
                let done = sqlx::query!(
                    "-- store.accounts.verify_email
                    update users set email_verified = true where id = $1 and email = $2 and deleted_at is null",
                    id.0,
                    row.email
                )
                .execute(tx.conn())
                .await?;
                one(&done, AccountError::NotFound)
            })
        })
        .await
}
