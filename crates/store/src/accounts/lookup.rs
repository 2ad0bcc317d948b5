//! An account as a log-in needs it: the stored credentials, and whether the request comes from a known network.

use lockstep_domain::account::{Email, Role};
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;

use super::logins::KNOWN_FOR_DAYS;
use crate::row::role_of;
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

/// The account for which `$condition` about `$1` is true, and whether there was a recent log-in to it from network `$2`.
macro_rules! select_account {
    ($store:expr, $name:literal, $condition:literal, $value:expr, $network:expr) => {
        sqlx::query!(
            "-- "
                + $name
                + r#"
            select u.id, u.email, u.password_hash, u.nickname, u.first_name, u.last_name, u.avatar, u.role::text as "role!",
                   u.email_verified, t.nonce as "nonce?", t.sealed as "sealed?", t.recovery_codes as "recovery_codes?",
                   t.last_step as "last_step?", t.confirmed_at is not null as "confirmed!",
                   exists (select 1 from login_history h
                            where h.user_id = u.id and h.succeeded and h.address << $2::text::cidr
                              and h.created_at > now() - make_interval(days => $3)) as "known_place!"
              from users u left join user_totp t on t.user_id = u.id
             where u.deleted_at is null and "# + $condition,
            $value,
            $network,
            KNOWN_FOR_DAYS
        )
        .fetch_optional($store.alone())
        .await?
        .map(|row| {
            let totp = match (row.nonce, row.recovery_codes, row.last_step) {
                (Some(nonce), Some(recovery), Some(last_step)) => Some(Totp {
                    nonce,
                    sealed: row.sealed,
                    recovery,
                    last_step,
                    confirmed: row.confirmed,
                }),
                _ => None,
            };
            let account = Account {
                id: UserId(row.id),
                email: row.email,
                password_hash: Secret::new(row.password_hash),
                nickname: row.nickname,
                first_name: row.first_name,
                last_name: row.last_name,
                avatar: row.avatar,
                role: role_of(&row.role)?,
                email_verified: row.email_verified,
                totp,
            };
            Ok((account, row.known_place))
        })
        .transpose()
    };
}

/// The account with this address, whichever way its accents are typed, and whether there was a recent log-in to it from
/// the device's network.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn by_email(store: &Store, email: &Email, device: &ClientInfo) -> Result<Option<(Account, bool)>> {
    // Two accounts of the existing shop may differ in nothing else: the one as typed goes first.
    select_account!(
        store,
        "store.accounts.by_email",
        "u.email = any ($1) order by array_position($1::text[], u.email) limit 1",
        &email.spellings()[..],
        device.network()
    )
}

/// The account with this id.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn by_id(store: &Store, id: UserId) -> Result<Option<Account>> {
    let found: Result<Option<(Account, bool)>> =
        select_account!(store, "store.accounts.by_id", "u.id = $1", id.0, None::<String>);
    Ok(found?.map(|(account, _)| account))
}
