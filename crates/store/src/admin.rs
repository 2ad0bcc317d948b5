//! Queries for staff: lists and details across all users. No function here decrypts a key or returns a password hash.
//!
//! Filters are optional parameters of one statement, so the best plan depends on their values: these statements are not
//! kept prepared but planned on each execution.

pub mod carts;
pub mod dashboard;
pub mod games;
pub mod orders;
pub mod sync;
pub mod transactions;
pub mod users;

use lockstep_domain::admin::{Page, UserBrief};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::Result;
use crate::row::nickname;

/// `limit` and `offset` of a page.
fn bounds(page: Page) -> (i64, i64) {
    (i64::from(page.size), i64::try_from(page.offset()).unwrap_or(i64::MAX))
}

/// The columns `user_id`, `email`, `nickname`, `first_name`, `last_name`.
fn user_brief(row: &PgRow) -> Result<UserBrief> {
    Ok(UserBrief {
        id: row.try_get("user_id")?,
        email: row.try_get("email")?,
        nickname: nickname(row)?,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
    })
}

/// An `ilike` pattern that matches `text` anywhere.
fn contains(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_text_is_escaped_in_patterns() {
        assert_eq!(contains(r"50%_a\b"), r"%50\%\_a\\b%");
    }
}
