//! The statements that are composed at run time: pages with any combination of filters, searches, and facet counts.
//!
//! Only here is SQL put together while the program runs. Every other statement of this crate is fixed and checked when
//! the crate is compiled (`sqlx::query!`). What is composed are fixed pieces, chosen by the filters that are set; values
//! are always parameters.

mod counts;
mod filter;
mod list;
mod search;

pub use counts::facet_counts;
pub use list::{MAX_LISTED, page};
pub use search::{MAX_HITS, search, suggest};
