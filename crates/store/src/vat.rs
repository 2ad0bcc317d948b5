//! VAT: what the operator has stated, the rates, how each order is taxed, and the receipts.
//!
//! Receipts are not made here: triggers of the database make them at commit, when an order completes or is refunded
//! (migration 0370).

mod billing;
mod freeze;
mod rates;
mod receipts;
mod report;
mod settings;

use lockstep_domain::tax::Country;

use crate::{Result, StoreError};

pub use billing::{VatIdCheck, billing, put_billing};
pub(crate) use freeze::freeze;
pub use rates::{PutRatesError, put_rates, rates};
pub use receipts::{ReceiptFilter, list, of_order, open_file, receipt};
pub use report::{Standing, quarter, standing};
pub use settings::{StateError, settings, state};

/// A column that the schema constrains to codes of countries.
fn country_of(code: &str) -> Result<Country> {
    Country::new(code).ok_or_else(|| StoreError::Schema(format!("unexpected country {code:?}")))
}
