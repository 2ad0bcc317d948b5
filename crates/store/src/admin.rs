//! Queries for staff: lists and details across all users; and what staff change of the catalogue. No function here
//! decrypts a key or returns a password hash.
//!
//! Filters are optional parameters of one statement, so the best plan depends on their values: these statements are not
//! kept prepared but planned on each execution ([`Tx::uncached`](crate::Tx)).

pub mod blog;
pub mod carts;
pub mod changes;
pub mod dashboard;
pub mod faqs;
pub mod game_edits;
mod game_merge;
pub mod games;
pub mod orders;
pub mod promo_codes;
pub mod sync;
pub mod taxonomies;
pub mod transactions;
pub mod user_change;
pub mod users;
pub mod wishes;

pub(crate) use crate::paging::{bounds, contains};

/// The [`UserBrief`](lockstep_domain::admin::UserBrief) in a row with the columns `user_id`, `email`, `nickname`,
/// `first_name` and `last_name`.
macro_rules! user_brief {
    ($row:ident) => {
        lockstep_domain::admin::UserBrief {
            id: $row.user_id,
            email: $row.email,
            nickname: crate::row::nickname_of($row.nickname),
            first_name: $row.first_name,
            last_name: $row.last_name,
        }
    };
}
use user_brief;
