//! Objects within a body, and percentages up to 1,000.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::Form;

/// Objects within a body, and how they are read.
pub(crate) struct Objects<T> {
    /// Reads one; `None` if it is not as `msg` says.
    pub(crate) read: fn(&Map<String, Value>) -> Option<T>,
    /// Most of a list.
    pub(crate) most: usize,
    /// What they must be.
    pub(crate) msg: &'static str,
}

/// A percentage from 0 to 1,000 with at most two decimals.
pub(crate) fn rate(value: &Value) -> Option<Decimal> {
    let rate: Decimal = value.as_number()?.to_string().parse().ok()?;
    let rate = rate.normalize();
    (rate.scale() <= 2 && (Decimal::ZERO..=Decimal::ONE_THOUSAND).contains(&rate)).then_some(rate)
}

impl Form<'_> {
    /// A list of objects; an entry that `of` cannot read is an error.
    pub(crate) fn objects<T>(&mut self, path: &'static str, of: &Objects<T>) -> Vec<T> {
        let Some(value) = self.get(path) else {
            return Vec::new();
        };
        let list = value.as_array().filter(|list| list.len() <= of.most);
        let read = list.and_then(|list| list.iter().map(|entry| (of.read)(entry.as_object()?)).collect());
        read.unwrap_or_else(|| {
            self.fault(path, "invalid_items", of.msg);
            Vec::new()
        })
    }

    /// An optional object that `of` can read.
    pub(crate) fn object<T>(&mut self, path: &'static str, of: &Objects<T>) -> Option<T> {
        let value = self.get(path)?;
        let read = value.as_object().and_then(|fields| (of.read)(fields));
        if read.is_none() {
            self.fault(path, "invalid", of.msg);
        }
        read
    }

    /// An optional decimal number from 0 to 1,000 with at most two decimals.
    pub(crate) fn rate(&mut self, path: &'static str) -> Option<Decimal> {
        let value = self.get(path)?;
        let rate = rate(value);
        if rate.is_none() {
            self.fault(
                path,
                "out_of_range",
                "This field must be a number from 0 to 1000, with at most two decimals",
            );
        }
        rate
    }
}
