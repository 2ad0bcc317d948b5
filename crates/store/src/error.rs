//! What can go wrong with the database, as callers need to tell it apart: try again, broke a rule, or a bug.

/// Shorthand.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failed statement or transaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or is overloaded; nothing is known to have changed. Try again.
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
        source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code == "40001" || code == "40P01")
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            // What is read when the other side closes in the middle of the greeting.
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(db) => {
                let code = db.code().unwrap_or_default();
                // PgBouncer says so under the same code as a server that is away.
                if code == "08P01" && db.message().contains("unsupported startup parameter") {
                    return Self::Refused(db.message().to_owned());
                }
                // Class 08 connection, 53 resources, 57P shutdown and cancel (57014 is our own statement timeout).
                if code.starts_with("08") || code.starts_with("53") || code.starts_with("57") {
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
