//! What can go wrong with the database, as callers need to tell it apart: try again, broke a rule, or a bug.

use crate::{readiness, trust};

/// Shorthand.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failed statement or transaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is overloaded, takes no writes, or somebody else holds a row for too long; nothing
    /// is known to have changed. Try again.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// A rule of the schema refused the change; `constraint` is its name (`games_price_positive`).
    #[error("the database refused the change: {constraint}")]
    Rule {
        /// Name of the constraint.
        constraint: String,
        /// The refusal itself.
        #[source]
        source: sqlx::Error,
    },
    /// What is between us and the database refuses how we connect; waiting does not mend that.
    #[error(
        "a pooler before the database refuses how Lockstep connects ({0}); leave `options` out of the address, set \
             PgBouncer's ignore_startup_parameters to what it names, or use PostgreSQL's own address"
    )]
    Refused(String),
    /// The address of the database cannot be used.
    #[error("the address of the database cannot be used: {0}")]
    Address(String),
    /// The database is of a kind that cannot hold this shop ([`Unsuitable`](crate::Unsuitable)).
    #[error("{0}")]
    Unsuitable(crate::Unsuitable),
    /// The schema is not the one this program knows.
    #[error("schema: {0}")]
    Schema(String),
    /// The writer was overtaken: somebody else holds the lease by now, so nothing was written.
    #[error("overtaken by a newer holder of the lease")]
    Fenced,
    /// Anything else: a bug, or a database that does not keep its word.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// For callers that stopped waiting by themselves.
    pub fn timed_out() -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }

    /// For callers that waited too long for others who are about the same rows.
    pub(crate) fn crowded() -> Self {
        let why = "too many others wait for the same rows";
        Self::Unavailable(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::WouldBlock,
            why,
        )))
    }

    /// Whether somebody else holds what was to be changed, and the rest of the database is well.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Io(error)) => error.kind() == std::io::ErrorKind::WouldBlock,
            Self::Unavailable(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code == LOCK_NOT_AVAILABLE)
            }
            _ => false,
        }
    }

    /// Name of the rule that refused the change, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Rule { constraint, .. } => Some(constraint),
            _ => None,
        }
    }

    /// Whether the change was refused because the account it was for was deleted meanwhile: the caller is signed in no more.
    pub fn is_account_deleted(&self) -> bool {
        self.constraint().is_some_and(|constraint| {
            constraint == "users_deleted_own_nothing"
                || constraint.ends_with("_user_id_fkey")
                || constraint == "idempotency_keys_owner_fkey"
        })
    }

    /// Whether the same transaction, run again at once, may succeed (serialisation failure or deadlock).
    pub(crate) fn is_conflict(&self) -> bool {
        let (Self::Database(source) | Self::Unavailable(source) | Self::Rule { source, .. }) = self else {
            return false;
        };
        is_conflict(source)
    }
}

/// A serialisation failure or a deadlock: what failed has changed nothing, and is right when it is tried again.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "40001" || code == "40P01")
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // The last is what is read when the other side closes in the middle of the greeting.
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                trust::lose();
                Self::Unavailable(error)
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error)
            }
            sqlx::Error::Database(db) => {
                let code = db.code().unwrap_or_default();
                // PgBouncer says so under the same code as a server that is away.
                if code == "08P01" && db.message().contains("unsupported startup parameter") {
                    return Self::Refused(db.message().to_owned());
                }
                if code == DISK_FULL {
                    readiness::doubt_room();
                }
                if spoils_connections(&code) {
                    trust::lose();
                    Self::Unavailable(error)
                } else if passes(&code) {
                    Self::Unavailable(error)
                } else if let Some(constraint) = db.constraint().filter(|_| code.starts_with("23")) {
                    Self::Rule {
                        constraint: constraint.to_owned(),
                        source: error,
                    }
                } else {
                    Self::Database(error)
                }
            }
            _ => Self::Database(error),
        }
    }
}

/// PostgreSQL's disk has no room.
const DISK_FULL: &str = "53100";
/// A row is held by somebody else for longer than `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Failures after which the session, and the others of its time, cannot be relied on: class 08 connection, 57P shutdown,
/// 58 the system below the server (its disk), 25006 a session that was born read-only and stays so, 25P03 a session that
/// was ended in the middle of a transaction.
fn spoils_connections(code: &str) -> bool {
    ["08", "57P", "58"].iter().any(|class| code.starts_with(class)) || matches!(code, "25006" | "25P03")
}

/// Failures that pass by waiting: class 53 resources (a full disk, too many connections), 57 (57014 is our own statement
/// timeout), 55P03 a row that somebody else holds.
fn passes(code: &str) -> bool {
    code.starts_with("53") || code.starts_with("57") || code == LOCK_NOT_AVAILABLE
}
