//! People and their accounts: which addresses, passwords and names are accepted, and what an account looks like from
//! outside.

mod email;
mod forms;
mod password;
mod precis;
mod views;

use serde::{Deserialize, Serialize};

pub use email::{Email, NotAnEmail};
pub use forms::{Credentials, EMAIL_INVALID, ProfileChange, Registration};
pub use password::{MAX_PASSWORD_BYTES, NewPassword, PasswordFault, password_forms};
pub use views::{AuthData, AuthUser, Figures, Profile, ProfileFacts, ProfileStats, TokenPair};

/// The nickname of whoever chose none (the seed's default).
pub const DEFAULT_NICKNAME: &str = "Newbie Guy";

/// What somebody may do (the seed's enum).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// A shopper.
    User,
    /// Runs the shop.
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

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "USER" => Some(Self::User),
            "ADMIN" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// Why a field of a form was refused: the field, a name that programs can rely on, and a sentence for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Name of the field in the request.
    pub path: &'static str,
    /// Stable name of the reason.
    pub code: &'static str,
    /// The reason in words.
    pub msg: &'static str,
}
