//! Letters to people: written here from what waits in the queue, and handed to a mail server or put into a folder.
//!
//! `account changes → store.mail_outbox (same transaction) → [Postman] → SMTP, or the data folder`
//!
//! Nothing that somebody waits for passes through here: an endpoint only adds a row. A letter is delivered at least once;
//! after a crash in the wrong moment a second copy goes out under the same Message-ID. Codes and links are in the letter
//! and nowhere else: no log line and no error text here contains what a letter says.

mod delivery;
mod letters;
mod postman;
mod smtp;
mod texts;

pub use delivery::{Delivery, DeliveryError};
pub use letters::{Letterhead, Written, write};
pub use postman::{NewCodes, Postman, Round, Sending};
pub use smtp::{Encryption, SmtpAddress, SmtpAddressError};
