//! What `lockstep import` writes: runs, the ids that rows of a source have here, and batches of rows.
//!
//! Ids are the caller's and follow from those of the source, and each statement skips what is there. So a batch that is
//! written twice is written once, and a run that was killed is simply run again. A batch is one transaction, and every rule of
//! the books holds at its end: imported orders begin as `PENDING`, their units as `NEW`, and go from there to the state that
//! the other shop's row stands for.

mod catalogue;
mod customers;
mod rest;
mod runs;
mod settle;

pub use catalogue::{Game, GameTerm, Known, TermKind, put_games, put_links, put_term, supplier_costs};
pub use customers::{Booking, CustomerBatch, Item, Key, Order, Unit, User, Wrote, gone, of_addresses, put_customers};
pub use rest::{
    Article, CartRow, Faq, G2aAccount, Guest, Login, MailServer, Promo, StockKey, WishRow, find_games, note_aliases,
    owners_of_keys, put_article, put_carts, put_faq, put_g2a_settings, put_guests, put_keys, put_logins,
    put_mail_server, put_promo, put_wishes,
};
pub use runs::{Run, Source, Undone, begin, end, find, known, undo};
pub use settle::{Settled, settle};

/// Rows as one value, which a statement reads with `jsonb_to_recordset`: a batch has dozens of columns.
fn rows<T: serde::Serialize + ?Sized>(rows: &T) -> crate::Result<serde_json::Value> {
    serde_json::to_value(rows).map_err(|error| crate::StoreError::Database(sqlx::Error::Encode(error.into())))
}

/// Waiting units of imported orders are not due before this many years have passed: only staff, or `--settle`, decide about
/// them.
pub const PARKED_YEARS: i32 = 1_000;
