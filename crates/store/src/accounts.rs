//! Accounts: each function is one thing that happens to one, as one transaction with everything that belongs to it: the
//! session, the log-in history, the letter.
//!
//! Passwords and codes arrive here hashed; this module compares none of them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::account::{DEFAULT_NICKNAME, Email, ProfileChange, ProfileFacts, Role};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::letter::Letter;
use lockstep_domain::secret::Secret;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::row::{money, role};
use crate::sessions::{self, Device, NewSession};
use crate::{AsStoreError, Result, Store, StoreError, Tx, mail};

/// How many wrong guesses a verification code survives.
pub const MOST_ATTEMPTS: u32 = 5;

/// How long a place counts as known after a log-in from there.
const KNOWN_FOR_DAYS: i32 = 90;

/// How long a notice (no code in it) is worth sending.
const NOTICE: TimeDelta = TimeDelta::days(3);

/// Why something did not happen to an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is an account with this address.
    #[error("an account with this e-mail address already exists")]
    EmailTaken,
    /// There is no such account (any more).
    #[error("account not found")]
    NotFound,
    /// The account changed since it was looked at (the password, the second factor): look again.
    #[error("the account has just been changed")]
    Outdated,
    /// The address is proved already.
    #[error("the e-mail address is verified already")]
    AlreadyVerified,
    /// A second factor is set up already.
    #[error("a second factor is set up already")]
    SecondFactorExists,
    /// The last admin may neither go nor step down.
    #[error("this is the last admin")]
    LastAdmin,
    /// Orders are still being delivered or refunded.
    #[error("orders are still under way")]
    OrdersUnderWay,
    /// There is money on the account.
    #[error("there is still money on the account")]
    HasBalance,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AsStoreError for AccountError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        let error = StoreError::from(error);
        if error.constraint() == Some("users_email_key") {
            Self::EmailTaken
        } else {
            Self::Store(error)
        }
    }
}

/// What has to be known to let somebody in.
#[derive(Debug, Clone)]
pub struct Account {
    /// Who.
    pub id: UserId,
    /// Normalised address.
    pub email: String,
    /// bcrypt's text.
    pub password_hash: Secret,
    /// Display name.
    pub nickname: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Address of a picture.
    pub avatar: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether the address is proved.
    pub email_verified: bool,
    /// The authenticator, if one was offered.
    pub totp: Option<Totp>,
}

/// An authenticator of an account. Its secret is derived from the nonce by whoever holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// 32 random bytes.
    pub nonce: Vec<u8>,
    /// Newest time step whose code was used.
    pub last_step: i64,
    /// A first code has proved that the person has it.
    pub confirmed: bool,
}

impl Account {
    /// The authenticator that a log-in has to ask for.
    pub fn second_factor(&self) -> Option<&Totp> {
        self.totp.as_ref().filter(|totp| totp.confirmed)
    }
}

/// Selects an [`Account`]; `$1` is what `where` compares.
macro_rules! select_account {
    ($name:literal, $condition:literal) => {
        concat!(
            "-- ", $name,
            "
            select u.id, u.email, u.password_hash, u.nickname, u.first_name, u.last_name, u.avatar, u.role::text as role,
                   u.email_verified, t.nonce, t.last_step, t.confirmed_at is not null as confirmed,
                   exists (select 1 from login_history h
                            where h.user_id = u.id and h.succeeded and h.address << $2::text::cidr
                              and h.created_at > now() - make_interval(days => $3)) as known_place
              from users u left join user_totp t on t.user_id = u.id
             where u.deleted_at is null and ",
            $condition
        )
    };
}

fn account(row: &PgRow) -> Result<Account> {
    let nonce: Option<Vec<u8>> = row.try_get("nonce")?;
    let totp = match nonce {
        Some(nonce) => Some(Totp {
            nonce,
            last_step: row.try_get("last_step")?,
            confirmed: row.try_get("confirmed")?,
        }),
        None => None,
    };
    Ok(Account {
        id: UserId(row.try_get("id")?),
        email: row.try_get("email")?,
        password_hash: Secret::new(row.try_get::<String, _>("password_hash")?),
        nickname: row.try_get("nickname")?,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        avatar: row.try_get("avatar")?,
        role: role(row, "role")?,
        email_verified: row.try_get("email_verified")?,
        totp,
    })
}

/// The account with this address, and whether somebody has logged in to it from the device's network lately.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn by_email(store: &Store, email: &Email, device: &Device) -> Result<Option<(Account, bool)>> {
    let row = sqlx::query(select_account!("store.accounts.by_email", "u.email = $1"))
        .bind(email.as_str())
        .bind(device.network())
        .bind(KNOWN_FOR_DAYS)
        .fetch_optional(store.pool())
        .await?;
    row.map(|row| Ok((account(&row)?, row.try_get("known_place")?)))
        .transpose()
}

/// The account of this id.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn by_id(store: &Store, id: UserId) -> Result<Option<Account>> {
    let row = sqlx::query(select_account!("store.accounts.by_id", "u.id = $1"))
        .bind(id.0)
        .bind(None::<String>)
        .bind(KNOWN_FOR_DAYS)
        .fetch_optional(store.pool())
        .await?;
    row.as_ref().map(account).transpose()
}

/// An account about to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its id.
    pub id: UserId,
    /// Normalised address.
    pub email: Email,
    /// bcrypt's text.
    pub password_hash: Secret,
    /// `None`: the default.
    pub nickname: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
}

/// A code or link about to be sent: the letter holds it until it is sent, the database only its keyed hash.
#[derive(Debug, Clone)]
pub struct NewCode {
    /// What the person gets.
    pub text: Secret,
    /// What is kept.
    pub hash: [u8; 32],
    /// How long it is good for.
    pub lifetime: Duration,
}

impl NewCode {
    fn minutes(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs() / 60).unwrap_or(u32::MAX)
    }

    fn expires_at(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::from_std(self.lifetime).unwrap_or(TimeDelta::days(1))
    }
}

/// Makes an account and its first session, and owes it a welcome with a verification code.
///
/// # Errors
/// [`AccountError::EmailTaken`], [`AccountError::Store`]; nothing is made then.
pub async fn register(
    store: &Store,
    new: &NewAccount,
    session: NewSession,
    device: &Device,
    code: &NewCode,
) -> Result<(), AccountError> {
    let (new, device, code) = (new.clone(), device.clone(), code.clone());
    store
        .tx("accounts.register", move |tx| {
            let (new, device, code) = (new.clone(), device.clone(), code.clone());
            Box::pin(async move {
                insert(tx, &new, Role::User, false).await?;
                sessions::begin(tx, new.id, &session, &device).await?;
                note_login(tx, Some(new.id), true, &device).await?;
                let letter = Letter::Welcome {
                    nickname: new.nickname.clone().unwrap_or_else(|| DEFAULT_NICKNAME.to_owned()),
                    code: code.text.clone(),
                    minutes: code.minutes(),
                };
                put_code(tx, new.id, new.email.as_str(), "VERIFY_EMAIL", &code).await?;
                mail::enqueue(tx, new.id, new.email.as_str(), &letter, code.expires_at()).await?;
                Ok(())
            })
        })
        .await
}

async fn insert(tx: &mut Tx, new: &NewAccount, role: Role, verified: bool) -> Result<(), AccountError> {
    sqlx::query(
        "-- store.accounts.insert
        insert into users (id, email, password_hash, nickname, first_name, last_name, role, email_verified)
        values ($1, $2, $3, coalesce($4, 'Newbie Guy'), $5, $6, $7::text::role, $8)",
    )
    .bind(new.id.0)
    .bind(new.email.as_str())
    .bind(new.password_hash.expose())
    .bind(&new.nickname)
    .bind(&new.first_name)
    .bind(&new.last_name)
    .bind(role.name())
    .bind(verified)
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn note_login(tx: &mut Tx, user: Option<UserId>, succeeded: bool, device: &Device) -> Result<()> {
    sqlx::query(
        "-- store.accounts.note_login
        insert into login_history (id, user_id, succeeded, address, user_agent) values ($1, $2, $3, $4::text::inet, $5)",
    )
    .bind(Uuid::now_v7())
    .bind(user.map(|user| user.0))
    .bind(succeeded)
    .bind(device.address_text())
    .bind(device.user_agent())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Replaces a user's verification code, or adds a link to those still good (three at most, so that somebody who asks
/// for links in another's name cannot make the one just sent useless).
async fn put_code(tx: &mut Tx, user: UserId, email: &str, purpose: &'static str, code: &NewCode) -> Result<()> {
    sqlx::query(
        "-- store.accounts.put_code.make_room
        delete from one_time_codes where id in (
            select id from one_time_codes where user_id = $1 and purpose = $2
             order by created_at desc, id offset case $2 when 'VERIFY_EMAIL' then 0 else 2 end)",
    )
    .bind(user.0)
    .bind(purpose)
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "-- store.accounts.put_code
        insert into one_time_codes (id, user_id, purpose, hash, email, created_at, expires_at)
        values ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + make_interval(secs => $6::bigint))",
    )
    .bind(Uuid::now_v7())
    .bind(user.0)
    .bind(purpose)
    .bind(code.hash.as_slice())
    .bind(email)
    .bind(i64::try_from(code.lifetime.as_secs()).unwrap_or(i64::MAX))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A log-in that succeeded: what was checked, so that nothing can have changed in between.
#[derive(Debug, Clone)]
pub struct Login {
    /// Who.
    pub user: UserId,
    /// The hash that the password matched.
    pub password_hash: Secret,
    /// The time step of the authenticator's code, if one was asked for.
    pub totp_step: Option<i64>,
    /// The new session.
    pub session: NewSession,
    /// From where.
    pub device: Device,
}

/// Begins the session of a log-in and notes it. When somebody has logged in before, but never from this network, the
/// owner is owed a letter about it.
///
/// # Errors
/// [`AccountError::Outdated`] when the password was changed while it was checked, or the code was used meanwhile.
pub async fn log_in(store: &Store, login: &Login) -> Result<(), AccountError> {
    let login = login.clone();
    store
        .tx("accounts.log_in", move |tx| {
            let login = login.clone();
            Box::pin(async move {
                let row = sqlx::query(
                    "-- store.accounts.log_in.check
                    select email, nickname from users
                     where id = $1 and password_hash = $2 and deleted_at is null for share",
                )
                .bind(login.user.0)
                .bind(login.password_hash.expose())
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::Outdated)?;
                use_totp_step(tx, login.user, login.totp_step).await?;
                let place: Option<bool> = sqlx::query_scalar(
                    "-- store.accounts.log_in.place
                    select bool_or(address << $2::text::cidr) from login_history
                     where user_id = $1 and succeeded and address is not null
                       and created_at > now() - make_interval(days => $3)",
                )
                .bind(login.user.0)
                .bind(login.device.network())
                .bind(KNOWN_FOR_DAYS)
                .fetch_one(tx.conn())
                .await?;
                if place == Some(false) {
                    let letter = Letter::NewDevice {
                        nickname: nickname(&row)?,
                        address: login.device.address_text(),
                        user_agent: login.device.user_agent().map(str::to_owned),
                    };
                    let email: String = row.try_get("email")?;
                    mail::enqueue(tx, login.user, &email, &letter, Utc::now() + NOTICE).await?;
                }
                note_login(tx, Some(login.user), true, &login.device).await?;
                sessions::begin(tx, login.user, &login.session, &login.device).await?;
                Ok(())
            })
        })
        .await
}

fn nickname(row: &PgRow) -> Result<String> {
    Ok(row
        .try_get::<Option<String>, _>("nickname")?
        .unwrap_or_else(|| DEFAULT_NICKNAME.to_owned()))
}

/// A code of the authenticator works once, and so do all older ones afterwards: not at all. Without a step there must be
/// no confirmed authenticator.
async fn use_totp_step(tx: &mut Tx, user: UserId, step: Option<i64>) -> Result<(), AccountError> {
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

/// Notes a log-in that failed. One for an address that has no account is noted as well, as nobody's: both cases do the
/// same work, so the time of the answer does not tell them apart.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn note_failure(store: &Store, user: Option<UserId>, device: &Device) -> Result<()> {
    let device = device.clone();
    store
        .tx("accounts.note_failure", move |tx| {
            let device = device.clone();
            Box::pin(async move { note_login(tx, user, false, &device).await })
        })
        .await
}

/// One log-in or attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// From which address.
    pub address: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
}

/// A user's latest log-ins and attempts, newest first, at most `most`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn login_history(store: &Store, user: UserId, most: u32) -> Result<Vec<LoginRecord>> {
    let rows = sqlx::query(
        "-- store.accounts.login_history
        select created_at, succeeded, host(address) as address, user_agent from login_history
         where user_id = $1 order by created_at desc, id desc limit $2",
    )
    .bind(user.0)
    .bind(i64::from(most))
    .fetch_all(store.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(LoginRecord {
                at: row.try_get("created_at")?,
                succeeded: row.try_get("succeeded")?,
                address: row.try_get("address")?,
                user_agent: row.try_get("user_agent")?,
            })
        })
        .collect()
}

/// A user's profile. Cache it under `CacheKey::UserProfile`; a change of their orders makes that untrue too.
///
/// # Errors
/// [`StoreError`].
pub async fn profile(tx: &mut Tx, id: UserId) -> Result<Option<ProfileFacts>> {
    let row = sqlx::query(
        "-- store.accounts.profile
        select u.email, u.nickname, u.first_name, u.last_name, u.avatar, u.balance, u.role::text as role, u.email_verified,
               u.created_at,
               exists (select 1 from user_totp t where t.user_id = u.id and t.confirmed_at is not null) as second_factor,
               (select count(*) from orders o join order_units n on n.order_id = o.id
                 where o.user_id = u.id and n.state = 'DONE') as games,
               (select count(*) from orders o where o.user_id = u.id) as orders,
               (select coalesce(sum(discount), 0) from orders o
                 where o.user_id = u.id and o.status = 'COMPLETED')::numeric(12,2) as saved
          from users u where u.id = $1 and u.deleted_at is null",
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
            games_purchased: u64::try_from(row.try_get::<i64, _>("games")?).unwrap_or(0),
            total_orders: u64::try_from(row.try_get::<i64, _>("orders")?).unwrap_or(0),
            total_saved: money(&row, "saved")?,
        })
    })
    .transpose()
}

/// Changes a user's names.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::Store`].
pub async fn change_profile(store: &Store, id: UserId, change: &ProfileChange) -> Result<(), AccountError> {
    let change = change.clone();
    store
        .tx("accounts.change_profile", move |tx| {
            let change = change.clone();
            Box::pin(async move {
                let done = sqlx::query(
                    "-- store.accounts.change_profile
                    update users set nickname = case when $2 then $3 else nickname end,
                                     first_name = case when $4 then $5 else first_name end,
                                     last_name = case when $6 then $7 else last_name end
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
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 1 {
                    Ok(())
                } else {
                    Err(AccountError::NotFound)
                }
            })
        })
        .await
}

/// Sets a new password in place of the one that was checked, ends all sessions but `keep`, makes reset links useless
/// and owes the owner a letter about it.
///
/// # Errors
/// [`AccountError::Outdated`] when the password was changed in between.
pub async fn change_password(
    store: &Store,
    id: UserId,
    checked: &Secret,
    new: &Secret,
    keep: Option<SessionId>,
) -> Result<(), AccountError> {
    let (checked, new) = (checked.clone(), new.clone());
    store
        .tx("accounts.change_password", move |tx| {
            let (checked, new) = (checked.clone(), new.clone());
            Box::pin(async move {
                let row = sqlx::query(
                    "-- store.accounts.change_password.check
                    select 1 from users where id = $1 and password_hash = $2 and deleted_at is null for no key update",
                )
                .bind(id.0)
                .bind(checked.expose())
                .fetch_optional(tx.conn())
                .await?;
                if row.is_none() {
                    return Err(AccountError::Outdated);
                }
                set_password(tx, id, &new, keep).await
            })
        })
        .await
}

async fn set_password(tx: &mut Tx, id: UserId, new: &Secret, keep: Option<SessionId>) -> Result<(), AccountError> {
    let row = sqlx::query(
        "-- store.accounts.set_password
        update users set password_hash = $2 where id = $1 and deleted_at is null returning email, nickname",
    )
    .bind(id.0)
    .bind(new.expose())
    .fetch_optional(tx.conn())
    .await?
    .ok_or(AccountError::NotFound)?;
    sessions::end_all_but(tx, id, keep).await?;
    sqlx::query(
        "-- store.accounts.set_password.links
        delete from one_time_codes where user_id = $1 and purpose = 'RESET_PASSWORD'",
    )
    .bind(id.0)
    .execute(tx.conn())
    .await?;
    let email: String = row.try_get("email")?;
    let letter = Letter::PasswordChanged {
        nickname: nickname(&row)?,
    };
    mail::enqueue(tx, id, &email, &letter, Utc::now() + NOTICE).await?;
    Ok(())
}

/// Owes the account with this address a link to set a new password; nothing happens when there is none. Earlier links
/// stay good. Whether there is such an account is not told.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn send_reset(store: &Store, email: &Email, code: &NewCode) -> Result<()> {
    let (email, code) = (email.clone(), code.clone());
    store
        .tx("accounts.send_reset", move |tx| {
            let (email, code) = (email.clone(), code.clone());
            Box::pin(async move {
                let row = sqlx::query(
                    "-- store.accounts.send_reset.look
                    select id, nickname from users where email = $1 and deleted_at is null for key share",
                )
                .bind(email.as_str())
                .fetch_optional(tx.conn())
                .await?;
                let Some(row) = row else { return Ok(()) };
                let user = UserId(row.try_get("id")?);
                put_code(tx, user, email.as_str(), "RESET_PASSWORD", &code).await?;
                let letter = Letter::Reset {
                    nickname: nickname(&row)?,
                    token: code.text.clone(),
                    minutes: code.minutes(),
                };
                mail::enqueue(tx, user, email.as_str(), &letter, code.expires_at()).await
            })
        })
        .await
}

/// Whose reset link this is, while it is good.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reset_owner(store: &Store, hash: &[u8; 32]) -> Result<Option<(UserId, String)>> {
    let row = sqlx::query(
        "-- store.accounts.reset_owner
        select c.user_id, u.email from one_time_codes c join users u on u.id = c.user_id
         where c.purpose = 'RESET_PASSWORD' and c.hash = $1 and c.expires_at > now() and u.deleted_at is null",
    )
    .bind(hash.as_slice())
    .fetch_optional(store.pool())
    .await?;
    row.map(|row| Ok((UserId(row.try_get("user_id")?), row.try_get("email")?)))
        .transpose()
}

/// Uses a reset link: sets the password, ends every session, proves the address, and makes the place known, so that the
/// owner gets in from there even while somebody else is guessing. A link works once.
///
/// # Errors
/// [`AccountError::NotFound`] when the link is not good (any more).
pub async fn reset_password(
    store: &Store,
    hash: &[u8; 32],
    new: &Secret,
    device: &Device,
) -> Result<UserId, AccountError> {
    let (hash, new, device) = (*hash, new.clone(), device.clone());
    store
        .tx("accounts.reset_password", move |tx| {
            let (new, device) = (new.clone(), device.clone());
            Box::pin(async move {
                let row = sqlx::query(
                    "-- store.accounts.reset_password.use
                    delete from one_time_codes
                     where purpose = 'RESET_PASSWORD' and hash = $1 and expires_at > now() returning user_id, email",
                )
                .bind(hash.as_slice())
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::NotFound)?;
                let user = UserId(row.try_get("user_id")?);
                set_password(tx, user, &new, None).await?;
                sqlx::query(
                    "-- store.accounts.reset_password.verified
                    update users set email_verified = true where id = $1 and email = $2 and not email_verified",
                )
                .bind(user.0)
                .bind(row.try_get::<String, _>("email")?)
                .execute(tx.conn())
                .await?;
                note_login(tx, Some(user), true, &device).await?;
                Ok(user)
            })
        })
        .await
}

/// Owes a user a new verification code; the one before is useless then.
///
/// # Errors
/// [`AccountError::AlreadyVerified`], [`AccountError::NotFound`].
pub async fn send_verification(store: &Store, id: UserId, code: &NewCode) -> Result<(), AccountError> {
    let code = code.clone();
    store
        .tx("accounts.send_verification", move |tx| {
            let code = code.clone();
            Box::pin(async move {
                let row = sqlx::query(
                    "-- store.accounts.send_verification.look
                    select email, nickname, email_verified from users where id = $1 and deleted_at is null for no key update",
                )
                .bind(id.0)
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::NotFound)?;
                if row.try_get("email_verified")? {
                    return Err(AccountError::AlreadyVerified);
                }
                let email: String = row.try_get("email")?;
                put_code(tx, id, &email, "VERIFY_EMAIL", &code).await?;
                let letter = Letter::Verification {
                    nickname: nickname(&row)?,
                    code: code.text.clone(),
                    minutes: code.minutes(),
                };
                mail::enqueue(tx, id, &email, &letter, code.expires_at()).await?;
                Ok(())
            })
        })
        .await
}

/// A verification code that may be compared once with what somebody typed.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which code.
    pub id: Uuid,
    /// Its keyed hash.
    pub hash: Vec<u8>,
    /// Attempts left after this one.
    pub left: u32,
}

/// Spends one of the attempts that a user's verification code has, before the comparison, so that guessing in parallel
/// gains nothing. `None`: there is no code, it has run out, or its attempts are spent.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn spend_attempt(store: &Store, id: UserId) -> Result<Option<Attempt>> {
    let row = sqlx::query(
        "-- store.accounts.spend_attempt
        update one_time_codes set attempts = attempts + 1
         where user_id = $1 and purpose = 'VERIFY_EMAIL' and expires_at > now() and attempts < $2
        returning id, hash, attempts",
    )
    .bind(id.0)
    .bind(i32::try_from(MOST_ATTEMPTS).unwrap_or(i32::MAX))
    .fetch_optional(store.pool())
    .await?;
    row.map(|row| {
        Ok(Attempt {
            id: row.try_get("id")?,
            hash: row.try_get("hash")?,
            left: MOST_ATTEMPTS.saturating_sub(crate::row::count(&row, "attempts")?),
        })
    })
    .transpose()
}

/// The typed code was right: the address is proved and the code used up.
///
/// # Errors
/// [`AccountError::NotFound`] when the code was replaced or used meanwhile.
pub async fn verify_email(store: &Store, id: UserId, code: Uuid) -> Result<(), AccountError> {
    store
        .tx("accounts.verify_email", move |tx| {
            Box::pin(async move {
                let row = sqlx::query(
                    "-- store.accounts.verify_email.use
                    delete from one_time_codes where id = $1 and user_id = $2 and purpose = 'VERIFY_EMAIL' returning email",
                )
                .bind(code)
                .bind(id.0)
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::NotFound)?;
                let done = sqlx::query(
                    "-- store.accounts.verify_email
                    update users set email_verified = true where id = $1 and email = $2 and deleted_at is null",
                )
                .bind(id.0)
                .bind(row.try_get::<String, _>("email")?)
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 1 { Ok(()) } else { Err(AccountError::NotFound) }
            })
        })
        .await
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
    .execute(store.pool())
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(AccountError::SecondFactorExists)
    }
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
        .tx("accounts.confirm_totp", move |tx| {
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
                if done.rows_affected() != 1 {
                    return Err(AccountError::Outdated);
                }
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
/// [`StoreError::Unavailable`].
pub async fn remove_totp(store: &Store, id: UserId) -> Result<bool> {
    store
        .tx("accounts.remove_totp", move |tx| {
            Box::pin(async move {
                let done = sqlx::query("-- store.accounts.remove_totp\ndelete from user_totp where user_id = $1")
                    .bind(id.0)
                    .execute(tx.conn())
                    .await?;
                sqlx::query("-- store.accounts.remove_totp.sessions\nupdate user_sessions set second_factor = false where user_id = $1")
                    .bind(id.0)
                    .execute(tx.conn())
                    .await?;
                Ok(done.rows_affected() == 1)
            })
        })
        .await
}

/// How an admin came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminMade {
    /// A new account.
    Created,
    /// An existing account, which keeps its password.
    Promoted,
}

/// Makes an admin: a new account with a proved address, or an existing one promoted. Meant for the operator.
///
/// # Errors
/// [`AccountError::Store`].
pub async fn create_admin(store: &Store, new: &NewAccount) -> Result<AdminMade, AccountError> {
    let new = new.clone();
    store
        .tx("accounts.create_admin", move |tx| {
            let new = new.clone();
            Box::pin(async move {
                let promoted = sqlx::query(
                    "-- store.accounts.create_admin.promote
                    update users set role = 'ADMIN' where email = $1 and deleted_at is null",
                )
                .bind(new.email.as_str())
                .execute(tx.conn())
                .await?;
                if promoted.rows_affected() == 1 {
                    return Ok(AdminMade::Promoted);
                }
                insert(tx, &new, Role::Admin, true).await?;
                Ok(AdminMade::Created)
            })
        })
        .await
}

/// Changes what a user may do, from their next request on.
///
/// # Errors
/// [`AccountError::LastAdmin`], [`AccountError::NotFound`].
pub async fn change_role(store: &Store, id: UserId, role: Role) -> Result<(), AccountError> {
    store
        .tx("accounts.change_role", move |tx| {
            Box::pin(async move {
                if role != Role::Admin {
                    not_the_last_admin(tx, id).await?;
                }
                let done = sqlx::query(
                    "-- store.accounts.change_role
                    update users set role = $2::text::role where id = $1 and deleted_at is null",
                )
                .bind(id.0)
                .bind(role.name())
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 1 {
                    Ok(())
                } else {
                    Err(AccountError::NotFound)
                }
            })
        })
        .await
}

/// Locks all admins, so that two cannot step down at the same moment.
async fn not_the_last_admin(tx: &mut Tx, id: UserId) -> Result<(), AccountError> {
    let admins: Vec<Uuid> = sqlx::query_scalar(
        "-- store.accounts.not_the_last_admin
        select id from users where role = 'ADMIN' order by id for no key update",
    )
    .fetch_all(tx.conn())
    .await?;
    if admins == [id.0] {
        Err(AccountError::LastAdmin)
    } else {
        Ok(())
    }
}

/// What became of a deleted account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Nothing is left.
    Completely,
    /// Orders and money records stay, without anything that says whose they were.
    Anonymised,
}

/// Deletes an account: cart, wishlist, sessions, codes, letters and history go, the address is free again. Orders and
/// bookings stay under a row that says nothing about the person.
///
/// # Errors
/// [`AccountError::OrdersUnderWay`]; [`AccountError::HasBalance`] unless `give_up_balance`; [`AccountError::LastAdmin`];
/// [`AccountError::NotFound`].
pub async fn delete(store: &Store, id: UserId, give_up_balance: bool) -> Result<Deleted, AccountError> {
    store
        .tx("accounts.delete", move |tx| {
            Box::pin(delete_in(tx, id, give_up_balance))
        })
        .await
}

async fn delete_in(tx: &mut Tx, id: UserId, give_up_balance: bool) -> Result<Deleted, AccountError> {
    not_the_last_admin(tx, id).await?;
    // Orders and bookings reference this row, so none can be added while it is locked; looking for them is a statement
    // of its own, because one that had to wait for the lock would not see what was waited for.
    sqlx::query("-- store.accounts.delete.lock\nselect 1 from users where id = $1 and deleted_at is null for update")
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await?
        .ok_or(AccountError::NotFound)?;
    let row = sqlx::query(
        "-- store.accounts.delete.look
        select u.balance <> 0 as has_balance,
               exists (select 1 from orders o where o.user_id = u.id and o.status in ('PENDING', 'PROCESSING')) as under_way,
               exists (select 1 from orders o where o.user_id = u.id)
                   or exists (select 1 from transactions t where t.user_id = u.id) as has_records
          from users u where u.id = $1",
    )
    .bind(id.0)
    .fetch_one(tx.conn())
    .await?;
    if row.try_get("under_way")? {
        return Err(AccountError::OrdersUnderWay);
    }
    if row.try_get("has_balance")? && !give_up_balance {
        return Err(AccountError::HasBalance);
    }
    if !row.try_get::<bool, _>("has_records")? {
        sqlx::query("-- store.accounts.delete\ndelete from users where id = $1")
            .bind(id.0)
            .execute(tx.conn())
            .await?;
        return Ok(Deleted::Completely);
    }
    for statement in [
        "-- store.accounts.delete.cart\ndelete from cart_items where user_id = $1",
        "-- store.accounts.delete.wishlist\ndelete from wishlist where user_id = $1",
        "-- store.accounts.delete.stock_alerts\ndelete from stock_alerts where user_id = $1",
        "-- store.accounts.delete.sessions\ndelete from user_sessions where user_id = $1",
        "-- store.accounts.delete.totp\ndelete from user_totp where user_id = $1",
        "-- store.accounts.delete.codes\ndelete from one_time_codes where user_id = $1",
        "-- store.accounts.delete.history\ndelete from login_history where user_id = $1",
        "-- store.accounts.delete.mail\ndelete from mail_outbox where user_id = $1",
        // What a payment service told about the person, beside the booking itself.
        "-- store.accounts.delete.gateway
        update transactions set gateway_response = gateway_response - array['email', 'name', 'surname']
         where user_id = $1 and jsonb_typeof(gateway_response) = 'object'
           and gateway_response ?| array['email', 'name', 'surname']",
        // A hash of the right form that nobody knows a password for; the row is not looked at by log-ins anyway.
        "-- store.accounts.delete.anonymise
        update users set email = 'deleted-' || id || '@deleted.invalid', nickname = null, first_name = null,
               last_name = null, avatar = null, role = 'USER', email_verified = false, deleted_at = now(),
               password_hash = '$2b$12$' || repeat('.', 53)
         where id = $1",
    ] {
        sqlx::query(statement).bind(id.0).execute(tx.conn()).await?;
    }
    Ok(Deleted::Anonymised)
}

/// Everything stored about a user, for them to take along: one JSON object with a list for each kind of row. Password
/// hash, codes and the keys' ciphertext are left out; the keys themselves are shown with their orders.
///
/// # Errors
/// [`StoreError`].
pub async fn export(tx: &mut Tx, id: UserId) -> Result<Option<serde_json::Value>> {
    let data: Option<Json<serde_json::Value>> = sqlx::query_scalar(
        "-- store.accounts.export
        select jsonb_build_object(
            'user', to_jsonb(u) - array['password_hash', 'kind', 'deleted_at'],
            'orders', (select coalesce(jsonb_agg(to_jsonb(o) || jsonb_build_object(
                    'items', (select coalesce(jsonb_agg(to_jsonb(i) || jsonb_build_object('title', g.title)), '[]')
                                from order_items i join games g on g.id = i.game_id where i.order_id = o.id),
                    'keys', (select coalesce(jsonb_agg(to_jsonb(k) - array['key_ciphertext', 'key_hash']), '[]')
                               from game_keys k where k.order_id = o.id)) order by o.created_at), '[]')
                         from orders o where o.user_id = u.id),
            'transactions', (select coalesce(jsonb_agg(to_jsonb(t) order by t.created_at), '[]')
                               from transactions t where t.user_id = u.id),
            'cart', (select coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('title', g.title) order by c.added_at), '[]')
                       from cart_items c join games g on g.id = c.game_id where c.user_id = u.id),
            'wishlist', (select coalesce(jsonb_agg(to_jsonb(w) || jsonb_build_object('title', g.title) order by w.added_at), '[]')
                           from wishlist w join games g on g.id = w.game_id where w.user_id = u.id),
            'stockAlerts', (select coalesce(jsonb_agg(to_jsonb(a) || jsonb_build_object('title', g.title) order by a.created_at), '[]')
                              from stock_alerts a join games g on g.id = a.game_id where a.user_id = u.id),
            'sessions', (select coalesce(jsonb_agg(to_jsonb(s) - array['refresh_id', 'previous_refresh_id'] order by s.created_at), '[]')
                           from user_sessions s where s.user_id = u.id),
            'loginHistory', (select coalesce(jsonb_agg(to_jsonb(h) order by h.created_at), '[]')
                               from login_history h where h.user_id = u.id),
            'letters', (select coalesce(jsonb_agg(to_jsonb(m) - array['letter', 'lease'] order by m.created_at), '[]')
                          from mail_outbox m where m.user_id = u.id))
          from users u where u.id = $1 and u.deleted_at is null",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    Ok(data.map(|data| data.0))
}

/// Forgets codes and links that have run out, log-ins and attempts older than half a year, and
/// attempts on accounts that do not exist after a week; returns how many rows. At
/// most a few thousand at a time.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let codes = sqlx::query(
        "-- store.accounts.sweep.codes
        delete from one_time_codes where id in (
            select id from one_time_codes where expires_at <= now() limit 1000 for update skip locked)",
    )
    .execute(store.pool())
    .await?;
    let history = sqlx::query(
        "-- store.accounts.sweep.history
        delete from login_history where id in (
            select id from login_history
             where created_at < now() - interval '7 days'
               and (user_id is null or created_at < now() - interval '180 days') limit 1000 for update skip locked)",
    )
    .execute(store.pool())
    .await?;
    Ok(codes.rows_affected() + history.rows_affected())
}
