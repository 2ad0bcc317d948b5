//! Accounts: which e-mail addresses, passwords and names are valid, and the views of an account.

mod avatar;
mod email;
mod forms;
mod password;
mod precis;
mod views;

use serde::{Deserialize, Serialize};

pub use avatar::{AVATARS, avatar_address, avatar_path};
pub use email::{Email, NotAnEmail};
pub(crate) use forms::is_printable;
pub use forms::{Credentials, EMAIL_INVALID, EMAIL_UNREACHABLE, ProfileChange, Registration};
pub use password::{MAX_PASSWORD_BYTES, NewPassword, PasswordFault, password_forms};
pub use views::{AuthData, AuthUser, Figures, Profile, ProfileFacts, ProfileStats, TokenPair};

/// The nickname of an account whose owner chose none (the existing shop's default).
pub const DEFAULT_NICKNAME: &str = "Newbie Guy";

/// A user's role (the `role` enum of `docs/data-model.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// A customer.
    User,
    /// An administrator of the shop.
    Admin,
}

impl Role {
    /// The name in the database and in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Admin => "ADMIN",
        }
    }

    /// Parses a role's name; `None` when it is unknown.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "USER" => Some(Self::User),
            "ADMIN" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// Why a form field was rejected: the field, a stable machine-readable code, and a message for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Name of the field in the request.
    pub path: &'static str,
    /// Stable code of the reason.
    pub code: &'static str,
    /// The reason as a sentence.
    pub msg: &'static str,
}
