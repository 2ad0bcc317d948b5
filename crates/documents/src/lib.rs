//! Documents for people and their programs: PDF files, receipts, and electronic invoices of EN 16931.
//!
//! No I/O and no clock: a document is made from the data that it shows, and the same data makes the same document.

mod e_invoice;
mod paper;
mod receipt;
#[cfg(test)]
mod sample;

pub use e_invoice::{EInvoiceError, e_invoice};
pub use paper::{Columns, MARGIN, Paper, WIDTH};
pub use receipt::receipt_pdf;
pub use ttf_parser::FaceParsingError;
