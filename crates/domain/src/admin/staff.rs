//! Staff and their roles, as staff see them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::Money;
use crate::staff::Permission;

/// A member of staff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaffMember {
    /// The account.
    pub id: Uuid,
    /// Its e-mail address.
    pub email: String,
    /// `OWNER`, or a role of [`RoleDetail`].
    pub role: String,
    /// Whether an authenticator is set up.
    pub has_second_factor: bool,
    /// When the newest session began.
    pub last_login: Option<DateTime<Utc>>,
    /// Number of API tokens that work.
    pub tokens: u64,
}

/// A role: a set of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDetail {
    /// Its name, in upper case.
    pub name: String,
    /// What it permits, by name.
    pub permissions: Vec<Permission>,
    /// What its members may refund within a day without their password, EUR; `None` for no limit.
    pub refund_limit: Option<Money>,
    /// Number of accounts that have it.
    pub members: u64,
}

impl RoleDetail {
    /// Whether `name` can be the name of a role: 2 to 40 letters, digits and `_`, beginning with a letter, and no name that
    /// stands for something else.
    pub fn is_name(name: &str) -> bool {
        let mut bytes = name.bytes();
        (2..=40).contains(&name.len())
            && bytes.next().is_some_and(|byte| byte.is_ascii_uppercase())
            && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && !["USER", "ADMIN", "OWNER"].contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_roles_are_those_that_the_database_takes() {
        for name in ["AB", "NIGHT_SHIFT", "SHIFT2"] {
            assert!(RoleDetail::is_name(name), "{name}");
        }
        let long = "A".repeat(41);
        for name in ["", "A", "night", "2ND", "A B", "ÄB", "OWNER", "USER", "ADMIN", &long] {
            assert!(!RoleDetail::is_name(name), "{name}");
        }
    }
}
