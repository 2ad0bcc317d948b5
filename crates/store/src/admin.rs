//! Queries for staff: lists and details across all users; and what staff change of the catalogue. No function here
//! decrypts a key or returns a password hash.
//!
//! Filters are optional parameters of one statement, so the best plan depends on their values: these statements are not
//! kept prepared but planned on each execution ([`Tx::uncached`](crate::Tx)).

pub mod blog;
pub mod carts;
pub mod catalogue;
pub mod changes;
pub mod dashboard;
pub mod email_queue;
pub mod email_settings;
pub mod email_templates;
pub mod faqs;
pub mod files;
pub mod g2a_settings;
pub mod game_edits;
mod game_merge;
pub mod game_pictures;
pub mod games;
pub mod history;
pub mod key_import;
pub mod keys;
pub mod orders;
pub mod price_rules;
pub mod promo_batches;
pub mod promo_codes;
pub mod reports;
pub mod staff;
pub mod supplier;
pub mod sync;
pub mod taxonomies;
pub mod top_ups;
pub mod transactions;
pub mod user_change;
pub mod users;
pub mod webhooks;
pub mod wishes;

pub(crate) use crate::paging::{bounds, contains};

/// Found rows that are counted: nobody pages through more, and a word that a million rows have takes as long as a rare one.
const MOST_COUNTED: i64 = 10_000;

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
