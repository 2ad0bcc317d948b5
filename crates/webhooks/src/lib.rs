//! Outgoing webhooks: tells addresses that staff enter what happens in the shop, as Standard Webhooks describe it
//! (<https://www.standardwebhooks.com>).
//!
//! `address` decides where requests may go, `signature` signs them, `sending` makes one request, and `worker` empties the
//! queue that the database's triggers fill.

mod address;
mod sending;
mod signature;
mod worker;

pub use address::{AddressError, AddressPolicy, reachable};
pub use sending::{Sender, SenderError};
pub use signature::{new_secret, sign};
pub use worker::{Round, Webhooks};
