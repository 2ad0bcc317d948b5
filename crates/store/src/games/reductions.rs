//! How reductions are announced: by the price that a game is compared with, or by the lowest price of the 30 days before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockstep_domain::Money;
use lockstep_domain::price::Reduction;
use rust_decimal::Decimal;

use crate::row::money_of;
use crate::{Result, Store};

/// Shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reductions(Arc<AtomicBool>);

impl Reductions {
    /// The reduction of a game's row.
    pub(crate) fn of(
        &self,
        price: Money,
        original: Option<Decimal>,
        discount: Option<i32>,
        lowest: Option<Decimal>,
    ) -> Result<Reduction> {
        Ok(Reduction::announced(
            price,
            original.map(money_of).transpose()?,
            discount,
            lowest.map(money_of).transpose()?,
            self.0.load(Ordering::Relaxed),
        ))
    }
}

impl Store {
    /// Announces reductions from the lowest price of the 30 days before they began, and none without that. Holds for all
    /// clones of this store, and is set before anything is read.
    pub fn measure_reductions(&self, is_measured: bool) {
        self.reductions.0.store(is_measured, Ordering::Relaxed);
    }
}
