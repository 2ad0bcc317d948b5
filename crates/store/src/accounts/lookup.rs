//! An account as a log-in needs it: the stored credentials, and whether the request comes from a known network.

use lockstep_domain::account::{Email, Role};
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::logins::KNOWN_FOR_DAYS;
use crate::row::role;
use crate::sessions::ClientInfo;
use crate::{Result, Store};

/// The data that a log-in checks.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user's id.
    pub id: UserId,
    /// Normalised address.
    pub email: String,
    /// The bcrypt hash.
    pub password_hash: Secret,
    /// Display name.
    pub nickname: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// URL of a picture.
    pub avatar: Option<String>,
    /// The user's role.
    pub role: Role,
    /// Whether the address is verified.
    pub email_verified: bool,
    /// The authenticator, if one was set up or offered.
    pub totp: Option<Totp>,
}

/// An account's authenticator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// 32 random bytes; older versions derive the secret from them.
    pub nonce: Vec<u8>,
    /// The secret, sealed for [`place`](super::totp::place). `None` if an older version created it.
    pub sealed: Option<Vec<u8>>,
    /// Hashes of the unused recovery codes.
    pub recovery: Vec<Vec<u8>>,
    /// Latest time step whose code was used.
    pub last_step: i64,
    /// Whether a first code has proved that the user has it.
    pub confirmed: bool,
}

impl Account {
    /// The authenticator that a log-in must ask for.
    pub fn second_factor(&self) -> Option<&Totp> {
        self.totp.as_ref().filter(|totp| totp.confirmed)
    }
}

/// Selects an [`Account`]; `where` compares with `$1`.
macro_rules! select_account {
    ($name:literal, $condition:literal) => {
        concat!(
            "-- ", $name,
            "
            select u.id, u.email, u.password_hash, u.nickname, u.first_name, u.last_name, u.avatar, u.role::text as role,
                   u.email_verified, t.nonce, t.sealed, t.recovery_codes, t.last_step, t.confirmed_at is not null as confirmed,
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
            sealed: row.try_get("sealed")?,
            recovery: row.try_get("recovery_codes")?,
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

/// The account with this address, whichever way its accents are typed, and whether there was a recent log-in to it from the device's network.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn by_email(store: &Store, email: &Email, device: &ClientInfo) -> Result<Option<(Account, bool)>> {
    // Two accounts of the existing shop may differ in nothing else: the one as typed goes first.
    let row = sqlx::query(select_account!(
        "store.accounts.by_email",
        "u.email = any ($1) order by array_position($1, u.email) limit 1"
    ))
    .bind(email.spellings())
    .bind(device.network())
    .bind(KNOWN_FOR_DAYS)
    .fetch_optional(store.alone())
    .await?;
    row.map(|row| Ok((account(&row)?, row.try_get("known_place")?)))
        .transpose()
}

/// The account with this id.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn by_id(store: &Store, id: UserId) -> Result<Option<Account>> {
    let row = sqlx::query(select_account!("store.accounts.by_id", "u.id = $1"))
        .bind(id.0)
        .bind(None::<String>)
        .bind(KNOWN_FOR_DAYS)
        .fetch_optional(store.alone())
        .await?;
    row.as_ref().map(account).transpose()
}
