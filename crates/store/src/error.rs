//! Database errors, classified by what callers do: retry, report a violated rule, or treat it as a bug.

use crate::trust;

/// The result of database operations.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failed statement or transaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is overloaded, accepts no writes, or a row was locked for too long; no change is
    /// known to have happened. Retry.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// A rule of the schema refused the change; `constraint` is its name (`games_price_positive`).
    #[error("the database refused the change: {constraint}")]
    Rule {
        /// Name of the constraint.
        constraint: String,
        /// The database's error.
        #[source]
        source: sqlx::Error,
    },
    /// A pooler between the shop and the database refuses the connection options; waiting does not help.
    #[error(
        "a pooler before the database refuses how Lockstep connects ({0}); leave `options` out of the address, set \
             PgBouncer's ignore_startup_parameters to what it names, or use PostgreSQL's own address"
    )]
    Refused(String),
    /// The database's address is invalid.
    #[error("the address of the database cannot be used: {0}")]
    Address(String),
    /// The database cannot hold this shop ([`Unsuitable`](crate::Unsuitable)).
    #[error("{0}")]
    Unsuitable(crate::Unsuitable),
    /// The schema does not match this program.
    #[error("schema: {0}")]
    Schema(String),
    /// The writer lost its lease to another one, so nothing was written.
    #[error("overtaken by a newer holder of the lease")]
    Fenced,
    /// Any other error: a bug, or a database that breaks its guarantees.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// An error for callers that ran into their own timeout.
    pub fn timed_out() -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }

    /// An error for callers that waited too long for others with the same rows.
    pub(crate) fn crowded() -> Self {
        let why = "too many others wait for the same rows";
        Self::Unavailable(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::WouldBlock,
            why,
        )))
    }

    /// Whether the rows to change are locked by another transaction while the database is otherwise healthy.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Io(error)) => error.kind() == std::io::ErrorKind::WouldBlock,
            Self::Unavailable(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code == LOCK_NOT_AVAILABLE)
            }
            _ => false,
        }
    }

    /// Whether the database is healthy and the statement took longer than it may.
    pub fn is_too_slow(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Database(error)) => error.code().is_some_and(|code| code == QUERY_CANCELED),
            _ => false,
        }
    }

    /// Name of the constraint that refused the change, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Rule { constraint, .. } => Some(constraint),
            _ => None,
        }
    }

    /// Whether the change was refused because its account was deleted meanwhile, which ends the caller's session.
    pub fn is_account_deleted(&self) -> bool {
        self.constraint().is_some_and(|constraint| {
            constraint == "users_deleted_own_nothing"
                || constraint.ends_with("_user_id_fkey")
                || constraint == "idempotency_keys_owner_fkey"
        })
    }

    /// Whether retrying the same transaction at once can succeed (serialisation failure or deadlock).
    pub(crate) fn is_conflict(&self) -> bool {
        let (Self::Database(source) | Self::Unavailable(source) | Self::Rule { source, .. }) = self else {
            return false;
        };
        is_conflict(source)
    }
}

/// A serialisation failure or a deadlock: the statement changed nothing and can be retried.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "40001" || code == "40P01")
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // A protocol error is also what a client reads when the server closes the connection during the handshake.
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                trust::lose();
                Self::Unavailable(error)
            }
            sqlx::Error::PoolTimedOut => {
                // Connections to a machine that is gone are neither opened nor refused.
                trust::suspect();
                Self::Unavailable(error)
            }
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(db) => {
                let code = db.code().unwrap_or_default();
                // PgBouncer reports this with the same code as an unreachable server.
                if code == "08P01" && db.message().contains("unsupported startup parameter") {
                    return Self::Refused(db.message().to_owned());
                }
                if code == DISK_FULL {
                    trust::doubt_room();
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

/// PostgreSQL's disk is full.
const DISK_FULL: &str = "53100";
/// A statement was ended: by its time limit, or by hand.
const QUERY_CANCELED: &str = "57014";
/// A row was locked by another transaction for longer than `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Errors after which this session, and others of the same time, are unreliable: class 08 connection, 57P shutdown, 58
/// the system below the server (its disk), 25006 a session that started read-only and remains so, 25P03 a session that
/// was terminated inside a transaction.
fn spoils_connections(code: &str) -> bool {
    ["08", "57P", "58"].iter().any(|class| code.starts_with(class)) || matches!(code, "25006" | "25P03")
}

/// Transient errors: class 53 resources (a full disk, too many connections), 57 (57014 is the shop's own statement
/// timeout), 55P03 a row locked by another transaction.
fn passes(code: &str) -> bool {
    code.starts_with("53") || code.starts_with("57") || code == LOCK_NOT_AVAILABLE
}
