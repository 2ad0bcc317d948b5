//! The type of every setting that must not be shown: a secret, or an address that may hold a password.
//!
//! The type alone marks a setting as secret. `lockstep config`, the help, logs and errors can show a value only through
//! `Debug` or `Serialize`, which print [`MASK`].

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Shown in place of a secret.
pub(crate) const MASK: &str = "********";

/// A text that is read and used, and never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(String);

impl Hidden {
    /// The text itself. Never pass it to a log, an error or an answer.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether an argument of the command line is of this type.
    pub(crate) fn is_of(argument: &clap::Arg) -> bool {
        argument.get_value_parser().type_id() == std::any::TypeId::of::<Self>()
    }
}

impl<T: Into<String>> From<T> for Hidden {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_value_is_masked_in_every_format() {
        let hidden = Hidden::from("hunter2");
        assert_eq!(hidden.expose(), "hunter2");
        assert_eq!(format!("{hidden:?} {:#?}", Some(&hidden)).matches("hunter2").count(), 0);
        assert_eq!(serde_json::to_value(&hidden).unwrap(), MASK);
        assert_eq!(serde_json::from_value::<Hidden>("hunter2".into()).unwrap(), hidden);
    }
}
