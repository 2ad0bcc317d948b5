//! Transactional e-mails: rendered from the queue and delivered to a mail server or a folder.
//!
//! `account changes → store.mail_outbox (same transaction) → [EmailWorker] → SMTP, or the data folder`
//!
//! No request waits for this crate: an endpoint only adds a row. Delivery is at-least-once: after a crash at the wrong
//! moment a second copy is sent with the same Message-ID. Codes and links appear in the e-mail only: no log line and
//! no error text here contains any part of an e-mail.

mod delivery;
pub mod edited;
mod render;
mod smtp;
mod texts;
mod transport;
mod worker;

pub use delivery::{ActiveServer, Delivery};
pub use render::{EmailBranding, RenderedEmail, write};
pub use smtp::{Encryption, SmtpAddress, SmtpAddressError};
pub use transport::{EmailTransport, EmailTransportError};
pub use worker::{EmailWorker, NewCodes, Round, Sending};
