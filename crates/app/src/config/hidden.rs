//! The type of every setting that others must not see: a secret, or an address that may hold a password.
//!
//! That a setting is one is said by its type and nowhere else. `lockstep config`, the help, logs and errors can show a value
//! only through `Debug` or `Serialize`, and these say [`MASK`].

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands for a secret.
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

    /// Whether a setting of the command line is of this type.
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
    fn whichever_way_it_is_shown_it_is_not() {
        let hidden = Hidden::from("hunter2");
        assert_eq!(hidden.expose(), "hunter2");
        assert_eq!(format!("{hidden:?} {:#?}", Some(&hidden)).matches("hunter2").count(), 0);
        assert_eq!(serde_json::to_value(&hidden).unwrap(), MASK);
        assert_eq!(serde_json::from_value::<Hidden>("hunter2".into()).unwrap(), hidden);
    }
}
