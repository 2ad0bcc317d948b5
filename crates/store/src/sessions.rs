//! Log-in sessions: one row each, and a token is valid only while its row exists.
//!
//! Refresh tokens rotate: each can be used once, and the use of an old one shows that two parties hold the same chain,
//! so the session ends. One exception prevents false alarms: for a short time after a rotation the token just replaced
//! returns the *same* successor again, because tabs of one browser refresh at the same moment and responses get lost.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::account::Role;
use lockstep_domain::cached::CachedValue;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::language::Language;
use lockstep_domain::tax::Country;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::row::role_of;
use crate::{Result, Store, StoreError, Subject, Tx};

/// Resolution of a session's last use.
const TOUCH_EVERY: TimeDelta = TimeDelta::minutes(5);

/// `query!` of the texts with the end of session `s` of user `u` between them, regardless of its use: 90 days after the
/// log-in; for staff 7 days after it, and 12 hours after the last use.
macro_rules! query_with_ends {
    ($before:literal $(, $after:literal)+; $($value:expr),+) => {
        sqlx::query!(
            $before
                $(+ "least(s.expires_at, s.created_at + interval '90 days', case when u.role = 'ADMIN' or u.staff_role is not null
               then least(s.created_at + interval '7 days', s.last_used_at + interval '12 hours') end)" + $after)+,
            $($value),+
        )
    };
}

/// Sets the language in which a user reads pages.
macro_rules! update_language {
    ($user:expr, $language:expr) => {
        sqlx::query!(
            "-- store.sessions.set_language
            update users set language = $2 where id = $1 and language is distinct from $2 and deleted_at is null",
            $user.0,
            $language.code()
        )
    };
}

/// Maximum number of sessions per user; a new one replaces the oldest.
const MOST_SESSIONS: i64 = 50;

/// Where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    address: Option<IpAddr>,
    user_agent: Option<String>,
    language: Option<Language>,
    country: Option<Country>,
}

impl ClientInfo {
    /// An address and a user agent, shortened to what is stored.
    pub fn new(address: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        Self {
            address: address.map(|address| address.to_canonical()),
            user_agent: user_agent
                .map(|text| text.chars().filter(|c| !c.is_control()).take(500).collect::<String>())
                .filter(|text| !text.is_empty()),
            language: None,
            country: None,
        }
    }

    /// The same device, in the country that a trusted proxy has named.
    #[must_use]
    pub fn in_country(self, country: Option<Country>) -> Self {
        Self { country, ..self }
    }

    /// The country of the address, if a trusted proxy has named it.
    pub fn country(&self) -> Option<Country> {
        self.country
    }

    /// The same device, with the language in which its user reads pages.
    #[must_use]
    pub fn reading(self, language: Option<Language>) -> Self {
        Self { language, ..self }
    }

    /// The language in which the user reads pages, if known.
    pub fn language(&self) -> Option<Language> {
        self.language
    }

    /// The address.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The user agent.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The network of the address, which approximates one person or home: an IPv4 /24, an IPv6 /64.
    pub fn network(&self) -> Option<String> {
        self.address.map(|address| match address {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(v6) => {
                let prefix = u128::from(v6) & (u128::MAX << 64);
                format!("{}/64", std::net::Ipv6Addr::from(prefix))
            }
        })
    }

    pub(crate) fn address_text(&self) -> Option<String> {
        self.address.map(|address| address.to_string())
    }
}

/// A session to create.
#[derive(Debug, Clone, Copy)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Id of its first refresh token.
    pub refresh_id: Uuid,
    /// Lifetime of the refresh token.
    pub lifetime: Duration,
    /// A second factor was given at the log-in.
    pub second_factor: bool,
}

/// The user that a token authenticates, with current data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUser {
    /// The user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// Current e-mail address.
    pub email: String,
    /// Current role.
    pub role: Role,
    /// Whether the address is verified.
    pub email_verified: bool,
    /// A second factor was given in this session.
    pub second_factor: bool,
    /// Who acts as the user in this session; `None` in a session of the user's own.
    #[serde(default)]
    pub impersonated_by: Option<Impersonator>,
}

/// A member of staff who acts as a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impersonator {
    /// Who it is.
    pub user: UserId,
    /// Their own session, with which this one ends.
    pub session: SessionId,
}

/// A session in cacheable form, with the times that decide its expiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedSession {
    /// The session's user.
    pub holder: TokenUser,
    /// When the session expires unless it is used earlier.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to within a few minutes.
    pub last_used_at: DateTime<Utc>,
}

impl CachedValue for CachedSession {}

impl CachedSession {
    /// The session's user at `now`, or `None` if it has expired.
    pub fn holder_at(self, now: DateTime<Utc>) -> Option<TokenUser> {
        (now < self.expires_at).then_some(self.holder)
    }

    /// Whether its use at `now` should be recorded ([`touch`]).
    pub fn is_stale_at(&self, now: DateTime<Utc>) -> bool {
        now - self.last_used_at > TOUCH_EVERY
    }
}

/// A session in its owner's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to within a few minutes.
    pub last_used_at: DateTime<Utc>,
    /// The address of the log-in.
    pub address: Option<String>,
    /// The user agent of the log-in.
    pub user_agent: Option<String>,
    /// Staff act as the user in it.
    pub is_of_staff: bool,
}

/// The result of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// This refresh token is now valid; it was created by this call or, a moment ago, by another one for the same
    /// predecessor.
    Successor {
        /// The session's user.
        holder: TokenUser,
        /// Its id.
        refresh_id: Uuid,
        /// When it was created.
        rotated_at: DateTime<Utc>,
    },
    /// An old token was used: the session has ended for both parties.
    Reused {
        /// The session's user.
        user: UserId,
    },
    /// The session does not exist or has ended.
    Ended,
}

pub(crate) async fn begin(tx: &mut Tx, user: UserId, session: &NewSession, device: &ClientInfo) -> Result<()> {
    sqlx::query!(
        "-- store.sessions.begin
        insert into user_sessions (id, user_id, expires_at, address, user_agent, refresh_id, second_factor)
        values ($1, $2, now() + make_interval(secs => $3::bigint), $4::text::inet, $5, $6, $7)",
        session.id.0,
        user.0,
        i64::try_from(session.lifetime.as_secs()).unwrap_or(i64::MAX),
        device.address_text(),
        device.user_agent.as_deref(),
        session.refresh_id,
        session.second_factor
    )
    .execute(tx.conn())
    .await?;
    if let Some(language) = device.language {
        update_language!(user, language).execute(tx.conn()).await?;
    }
    sqlx::query!(
        "-- store.sessions.begin.make_room
        delete from user_sessions where id in (
            select id from user_sessions where user_id = $1 order by created_at desc, id offset $2)",
        user.0,
        MOST_SESSIONS
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The [`TokenUser`] in the columns of a row.
macro_rules! holder {
    ($row:ident, $impersonator:expr) => {
        TokenUser {
            user: UserId($row.user_id),
            session: SessionId($row.session_id),
            email: $row.email,
            role: role_of(&$row.role)?,
            email_verified: $row.email_verified,
            second_factor: $row.second_factor,
            impersonated_by: $impersonator,
        }
    };
}

/// Reads session `id` of `user`, to be cached under `CacheKey::UserSession`; `None` if it has ended or belongs to
/// another user.
///
/// # Errors
/// [`StoreError`].
pub async fn remember(tx: &mut Tx, id: SessionId, user: UserId) -> Result<Option<CachedSession>> {
    let row = query_with_ends!(
        r#"-- store.sessions.remember
        select s.id as session_id, s.second_factor, s.last_used_at,
               u.id as user_id, u.email, u.role::text as "role!", u.email_verified, i.id as "staff_session?",
               i.user_id as "staff?", "#,
        r#" as "expires_at!"
          from user_sessions s join users u on u.id = s.user_id left join user_sessions i on i.id = s.staff_session_id
         where s.id = $1 and s.user_id = $2 and u.deleted_at is null
           -- Nobody acts as somebody who has come to the staff meanwhile.
           and (s.staff_session_id is null or (u.role = 'USER' and u.staff_role is null)) and "#,
        " > now()";
        id.0,
        user.0
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| {
        Ok(CachedSession {
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            holder: holder!(
                row,
                row.staff.zip(row.staff_session).map(|(user, session)| Impersonator {
                    user: UserId(user),
                    session: SessionId(session),
                })
            ),
        })
    })
    .transpose()
}

/// Records that a session is in use, at most once in five minutes. Does not revive an ended session.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn touch(store: &Store, id: SessionId) -> Result<()> {
    query_with_ends!(
        "-- store.sessions.touch
        update user_sessions s set last_used_at = now() from users u
         where s.id = $1 and u.id = s.user_id and s.last_used_at < now() - interval '5 minutes' and ",
        " > now()";
        id.0
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Records the language in which a user reads pages, for e-mails.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn set_language(store: &Store, user: UserId, language: Language) -> Result<()> {
    update_language!(user, language).execute(store.alone()).await?;
    Ok(())
}

/// The language of the recipient of a queued e-mail; English if unknown.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn language_of_letter(store: &Store, letter: Uuid) -> Result<Language> {
    let code = sqlx::query_scalar!(
        r#"-- store.sessions.language_of_letter
        select u.language as "language!" from mail_outbox m join users u on u.id = m.user_id where m.id = $1 and u.language is not null"#,
        letter
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(code.and_then(|code| Language::of_code(&code)).unwrap_or_default())
}

/// Exchanges refresh token `presented` of session `id` for `successor`, valid for `lifetime`.
///
/// The newest token of the chain creates the successor; the one before it returns the same successor for `grace` after
/// the rotation; any other token of the chain ends the session.
///
/// # Errors
/// [`StoreError::Unavailable`]; the same token can then be presented again.
pub async fn rotate(
    store: &Store,
    id: SessionId,
    presented: Uuid,
    successor: Uuid,
    lifetime: Duration,
    grace: Duration,
) -> Result<Rotation> {
    let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let grace = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
    store
        .tx_about("sessions.rotate", &[Subject::Shopper(id.0)], move |tx| {
            Box::pin(async move {
                let row = query_with_ends!(
                    r#"-- store.sessions.rotate.look
                    select s.id as session_id, s.second_factor, s.refresh_id, s.previous_refresh_id, s.rotated_at,
                           s.rotated_at > clock_timestamp() - make_interval(secs => $2::bigint) as "in_grace!",
                           u.id as user_id, u.email, u.role::text as "role!", u.email_verified
                      from user_sessions s join users u on u.id = s.user_id
                     where s.id = $1 and s.staff_session_id is null and u.deleted_at is null and "#,
                    " > now() for update of s";
                    id.0,
                    grace
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(row) = row else { return Ok(Rotation::Ended) };
                let holder = holder!(row, None);
                if presented == row.refresh_id {
                    let rotated_at = sqlx::query_scalar!(
                        "-- store.sessions.rotate
                        update user_sessions
                           set previous_refresh_id = refresh_id, refresh_id = $2,
                               rotated_at = date_trunc('second', clock_timestamp()), last_used_at = now(),
                               expires_at = clock_timestamp() + make_interval(secs => $3::bigint)
                         where id = $1 returning rotated_at",
                        id.0,
                        successor,
                        lifetime
                    )
                    .fetch_one(tx.conn())
                    .await?;
                    return Ok(Rotation::Successor {
                        holder,
                        refresh_id: successor,
                        rotated_at,
                    });
                }
                if row.previous_refresh_id == Some(presented) && row.in_grace {
                    return Ok(Rotation::Successor {
                        holder,
                        refresh_id: row.refresh_id,
                        rotated_at: row.rotated_at,
                    });
                }
                delete(tx, id).await?;
                Ok::<_, StoreError>(Rotation::Reused { user: holder.user })
            })
        })
        .await
}

async fn delete(tx: &mut Tx, id: SessionId) -> Result<()> {
    sqlx::query!(
        "-- store.sessions.delete\ndelete from user_sessions where id = $1",
        id.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends one session of a user; succeeds if it has already ended. True if it existed.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn end(store: &Store, id: SessionId, user: UserId) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.sessions.end\ndelete from user_sessions where id = $1 and user_id = $2",
        id.0,
        user.0
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends all sessions of a user except `keep`; returns how many.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn end_others(store: &Store, user: UserId, keep: Option<SessionId>) -> Result<u64> {
    store
        .tx_about("sessions.end_others", &[user.into()], move |tx| {
            Box::pin(end_all_but(tx, user, keep))
        })
        .await
}

pub(crate) async fn end_all_but(tx: &mut Tx, user: UserId, keep: Option<SessionId>) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.sessions.end_all_but
        delete from user_sessions where user_id = $1 and id is distinct from $2",
        user.0,
        keep.map(|keep| keep.0)
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// A user's sessions, newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn list(store: &Store, user: UserId) -> Result<Vec<SessionView>> {
    let rows = query_with_ends!(
        "-- store.sessions.list
        select s.id, s.created_at, s.last_used_at, host(s.address) as address, s.user_agent,
               s.staff_session_id is not null as \"is_of_staff!\"
          from user_sessions s join users u on u.id = s.user_id
         where s.user_id = $1 and ",
        " > now() order by s.created_at desc";
        user.0
    )
    .fetch_all(store.alone())
    .await?;
    let views = rows.into_iter().map(|row| SessionView {
        id: SessionId(row.id),
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        address: row.address,
        user_agent: row.user_agent,
        is_of_staff: row.is_of_staff,
    });
    Ok(views.collect())
}

/// Deletes sessions whose refresh token has expired; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.sessions.sweep
        delete from user_sessions where id in (
            select id from user_sessions where expires_at <= now() order by expires_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_an_ipv4_24_or_an_ipv6_64() {
        let network = |text: &str| ClientInfo::new(Some(text.parse().unwrap()), None).network().unwrap();
        assert_eq!(network("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("::ffff:203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(ClientInfo::default().network(), None);
    }

    #[test]
    fn user_agent_is_truncated_and_sanitised() {
        let long = format!("a\r\nb{}", "x".repeat(1000));
        let device = ClientInfo::new(None, Some(&long));
        assert_eq!(device.user_agent().map(|text| text.chars().count()), Some(500));
        assert!(device.user_agent().is_some_and(|text| text.starts_with("abx")));
        assert_eq!(ClientInfo::new(None, Some("")).user_agent(), None);
    }
}
