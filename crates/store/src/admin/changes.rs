//! Why a change by staff was refused.

use lockstep_domain::account::FieldError;

use crate::StoreError;
use crate::transaction::holds_store_error;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such row; the name of its kind.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// Another row of the kind has this slug.
    #[error("Another {0} has this slug")]
    SlugTaken(&'static str),
    /// Another row of the kind has this name.
    #[error("Another {0} has this name")]
    NameTaken(&'static str),
    /// A field does not fit what is stored.
    #[error("Validation failed")]
    Invalid(FieldError),
    /// Other rows refer to it and would lose something.
    #[error("{0}")]
    InUse(String),
    /// It was changed since it was shown.
    #[error("The {0} was changed meanwhile. Look at it again.")]
    Outdated(&'static str),
    /// It is not known which version the form showed.
    #[error("Look at the {0} first: somebody may have changed it.")]
    NotSeen(&'static str),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ChangeError);

impl ChangeError {
    /// The refusal that a violated constraint stands for; `kind` is the kind of the row, as a word.
    pub(super) fn of(self, kind: &'static str) -> Self {
        let Self::Store(error) = self else { return self };
        match error.constraint() {
            Some(rule) if rule.ends_with("_slug_key") => Self::SlugTaken(kind),
            Some(rule) if rule.ends_with("_name_key") => Self::NameTaken(kind),
            _ => Self::Store(error),
        }
    }
}
