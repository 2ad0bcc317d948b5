//! Transactional e-mails: rendered from the queue and delivered to a mail server or a folder.
//!
//! `account changes → store.mail_outbox (same transaction) → [Postman] → SMTP, or the data folder`
//!
//! No request waits for this crate: an endpoint only adds a row. Delivery is at-least-once; after a crash at the wrong
//! moment a second copy goes out under the same Message-ID. Codes and links appear in the e-mail only: no log line and
//! no error text here contains any part of an e-mail.

mod delivery;
mod letters;
mod postman;
mod smtp;
mod texts;

pub use delivery::{Delivery, DeliveryError};
pub use letters::{Letterhead, Written, write};
pub use postman::{NewCodes, Postman, Round, Sending};
pub use smtp::{Encryption, SmtpAddress, SmtpAddressError};
