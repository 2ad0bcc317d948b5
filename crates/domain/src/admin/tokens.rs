//! API tokens: what programs of staff sign in with.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::checks::{Checks, MAX_NAME};
use crate::account::FieldError;
use crate::catalogue::iso_millis;
use crate::purchase::iso_millis_or_none;
use crate::secret::Secret;
use crate::staff::Permission;

/// What every token begins with, so that people and scanners for leaked secrets recognise one.
pub const TOKEN_PREFIX: &str = "lsk_";

/// Maximum lifetime of a token, in days.
pub const MAX_TOKEN_DAYS: u32 = 366;

/// A checked form of a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenForm {
    /// What it is for, 1–100 characters.
    pub name: String,
    /// What it permits, as far as its owner has it: at least one.
    pub permissions: Vec<Permission>,
    /// Its lifetime in days, 1 to [`MAX_TOKEN_DAYS`].
    pub days: u32,
}

impl TokenForm {
    /// Checks what was entered. The default lifetime is 90 days.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn new(name: &str, permissions: &[String], days: Option<i64>) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        let known: Vec<Permission> = permissions
            .iter()
            .filter_map(|name| Permission::from_name(name))
            .collect();
        if permissions.is_empty() {
            checks.fault("permissions", "required", "This field is required");
        } else if known.len() < permissions.len() {
            checks.fault(
                "permissions",
                "unknown_permission",
                "This field must name permissions, such as orders.read",
            );
        }
        let days = days.unwrap_or(90);
        let in_range = u32::try_from(days)
            .ok()
            .filter(|days| (1..=MAX_TOKEN_DAYS).contains(days));
        if in_range.is_none() {
            checks.fault("expiresInDays", "out_of_range", "This field must be from 1 to 366");
        }
        let mut permissions = known;
        permissions.sort_unstable();
        permissions.dedup();
        let form = Self {
            name: checks.line("name", name, MAX_NAME),
            permissions,
            days: in_range.unwrap_or(1),
        };
        checks.finish(form)
    }
}

/// An API token, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiToken {
    /// Identifier; the audit log names it with every change that was made with the token.
    pub id: Uuid,
    /// The member of staff for whom it acts.
    pub user_id: Uuid,
    /// What it is for.
    pub name: String,
    /// Its first characters, to recognise it.
    pub hint: String,
    /// The permissions that it was given. Those that its owner has lost do not count.
    pub permissions: Vec<String>,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it stops to work.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: DateTime<Utc>,
    /// When it was last used, accurate to a minute.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A token that was just created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewApiToken {
    /// The token, as it is listed.
    #[serde(flatten)]
    pub listed: ApiToken,
    /// The token itself. It is shown in this response only.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_name_known_permissions_and_an_end() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let form = TokenForm::new(" Nightly ", &named(&["orders.read", "games", "orders.read"]), None);
        assert_eq!(form.unwrap_err()[0].path, "permissions");
        let form = TokenForm::new(" Nightly ", &named(&["users.read", "orders.read", "orders.read"]), None).unwrap();
        assert_eq!((form.name.as_str(), form.days), ("Nightly", 90));
        assert_eq!(form.permissions, [Permission::OrdersRead, Permission::UsersRead]);
        for (name, permissions, days, fault) in [
            ("", named(&["orders.read"]), None, "name"),
            ("n", named(&[]), None, "permissions"),
            ("n", named(&["orders.read"]), Some(0), "expiresInDays"),
            ("n", named(&["orders.read"]), Some(367), "expiresInDays"),
        ] {
            assert_eq!(TokenForm::new(name, &permissions, days).unwrap_err()[0].path, fault);
        }
    }
}
