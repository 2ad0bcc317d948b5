//! Locale-dependent formats of amounts and numbers, from the table that `forms.mjs` generates from CLDR.
//!
//! A table, because a library with the data of every locale takes megabytes, and pages have five languages.

mod forms;

use std::fmt::{Display, Write as _};

use crate::money::Money;

use forms::FORMS;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) locales: &'static [&'static str],
    /// Text before and after a positive amount in euro.
    pub(crate) positive: (&'static str, &'static str),
    /// Text before and after a negative amount.
    pub(crate) negative: (&'static str, &'static str),
    /// Group separator in amounts. The last group has three digits.
    pub(crate) group: &'static str,
    /// Decimal separator in amounts.
    pub(crate) decimal: &'static str,
    /// Number of digits of every group but the last.
    pub(crate) secondary: usize,
    /// Number of digits from which on numbers are grouped.
    pub(crate) fewest: usize,
    /// Group separator in other numbers.
    pub(crate) number_group: &'static str,
    /// Decimal separator in other numbers.
    pub(crate) number_decimal: &'static str,
}

/// The format of a locale for amounts and numbers. Locales with equal formats share one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MoneyForm(usize);

impl MoneyForm {
    /// The format of `language` (ISO 639-1) in `region` (ISO 3166-1), both case-insensitive. A region without a format
    /// of its own uses the language's, and an unknown language uses that of English.
    pub fn of(language: &str, region: Option<&str>) -> Self {
        let find = |wanted: &str| {
            FORMS
                .iter()
                .position(|form| form.locales.iter().any(|locale| locale.eq_ignore_ascii_case(wanted)))
        };
        let regional = region.and_then(|region| find(&format!("{language}-{region}")));
        Self(regional.or_else(|| find(language)).unwrap_or_default())
    }

    /// A number that identifies the format within this build.
    pub const fn id(self) -> usize {
        self.0
    }

    fn row(self) -> &'static Form {
        FORMS.get(self.0).unwrap_or(&FORMS[0])
    }

    /// An amount in euro: `€1,234.56`, `1.234,56 €`, `-€ 1.234,56`.
    pub fn price(self, price: Money) -> String {
        let form = self.row();
        let text = price.to_string();
        let (digits, (before, after)) = match text.strip_prefix('-') {
            Some(digits) => (digits, form.negative),
            None => (text.as_str(), form.positive),
        };
        let (euro, cents) = digits.split_once('.').unwrap_or((digits, "00"));
        let euro = form.grouped(euro, form.group);
        format!("{before}{euro}{}{cents}{after}", form.decimal)
    }

    /// A whole number: `1,234`, `1.234`.
    pub fn number(self, number: u64) -> String {
        let form = self.row();
        form.grouped(&number.to_string(), form.number_group)
    }

    /// A decimal as `Display` writes it, with the region's separator: `4.5`, `4,5`.
    pub fn decimal(self, number: impl Display) -> String {
        number.to_string().replace('.', self.row().number_decimal)
    }
}

impl Form {
    /// The last three digits are a group, those before them groups of `secondary`; a number of fewer than `fewest`
    /// digits has none.
    fn grouped(&self, digits: &str, separator: &str) -> String {
        if digits.len() < self.fewest {
            return digits.to_owned();
        }
        let mut out = String::with_capacity(digits.len() * 2);
        for (at, digit) in digits.chars().enumerate() {
            let left = digits.len() - at;
            if at > 0 && left >= 3 && (left - 3).is_multiple_of(self.secondary) {
                out.push_str(separator);
            }
            let _infallible = write!(out, "{digit}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of Node 20 (ICU 78.2, CLDR 48) and Chromium 156 for `new Intl.NumberFormat(locale, {style:
    /// "currency", currency: "EUR"})`.
    #[test]
    fn prices_match_the_output_of_browsers() {
        for (language, region, cents, written) in [
            ("en", None, 123_450, "€1,234.50"),
            ("en", Some("GB"), 123_450, "€1,234.50"),
            ("en", Some("IE"), -123_450, "-€1,234.50"),
            ("en", Some("IN"), 1_234_567_890, "€1,23,45,678.90"),
            ("en", Some("in"), 12_345_678, "€1,23,456.78"),
            ("en", Some("AU"), 123_450, "EUR\u{a0}1,234.50"),
            ("en", Some("ZA"), 123_450, "€1\u{a0}234,50"),
            ("en", Some("XX"), 123_450, "€1,234.50"),
            ("de", None, 123_450, "1.234,50\u{a0}€"),
            ("de", Some("DE"), -123_450, "-1.234,50\u{a0}€"),
            ("de", Some("FR"), 5, "0,05\u{a0}€"),
            ("DE", Some("at"), 123_450, "€\u{a0}1.234,50"),
            ("de", Some("AT"), -123_450, "-€\u{a0}1.234,50"),
            ("de", Some("CH"), 123_456_789, "EUR\u{a0}1'234'567.89"),
            ("de", Some("CH"), -99, "EUR-0.99"),
            ("de", Some("LI"), -99, "-EUR\u{a0}0.99"),
            ("fr", None, 123_450, "1\u{202f}234,50\u{a0}€"),
            ("fr", Some("BE"), -1_234_550, "-12\u{202f}345,50\u{a0}€"),
            ("fr", Some("CA"), 123_450, "1\u{a0}234,50\u{a0}€"),
            ("fr", Some("CH"), 123_456_789, "1\u{202f}234\u{202f}567.89\u{a0}€"),
            ("fr", Some("LU"), 123_450, "1.234,50\u{a0}€"),
            ("es", None, 123_450, "1234,50\u{a0}€"),
            ("es", Some("ES"), -1_234_550, "-12.345,50\u{a0}€"),
            ("es", Some("MX"), 123_450, "EUR\u{a0}1,234.50"),
            ("es", Some("AR"), 123_450, "EUR\u{a0}1.234,50"),
            ("pl", None, 123_450, "1234,50\u{a0}€"),
            ("pl", Some("PL"), 123_456_789, "1\u{a0}234\u{a0}567,89\u{a0}€"),
            ("tlh", Some("QO"), 100, "€1.00"),
        ] {
            let form = MoneyForm::of(language, region);
            assert_eq!(
                form.price(Money::from_cents(cents).unwrap()),
                written,
                "{language}-{region:?}"
            );
        }
    }

    #[test]
    fn numbers_use_the_regions_separators() {
        for (language, region, whole, decimal) in [
            ("en", None, "1,234,567", "4.5"),
            ("en", Some("IN"), "12,34,567", "4.5"),
            ("en", Some("CH"), "1'234'567", "4.5"),
            ("de", None, "1.234.567", "4,5"),
            ("de", Some("AT"), "1\u{a0}234\u{a0}567", "4,5"),
            ("de", Some("CH"), "1'234'567", "4.5"),
            ("fr", None, "1\u{202f}234\u{202f}567", "4,5"),
            ("es", None, "1.234.567", "4,5"),
            ("pl", None, "1\u{a0}234\u{a0}567", "4,5"),
        ] {
            let form = MoneyForm::of(language, region);
            assert_eq!(
                (form.number(1_234_567), form.decimal("4.5")),
                (whole.to_owned(), decimal.to_owned()),
                "{language}-{region:?}"
            );
            assert_eq!([0, 7, 999].map(|n| form.number(n)), ["0", "7", "999"]);
        }
        // Spanish and Polish separate no thousands before there are ten.
        for (language, four, five) in [
            ("en", "1,234", "12,345"),
            ("es", "1234", "12.345"),
            ("pl", "1234", "12\u{a0}345"),
        ] {
            let form = MoneyForm::of(language, None);
            assert_eq!(
                (form.number(1_234), form.number(12_345)),
                (four.to_owned(), five.to_owned())
            );
        }
    }

    #[test]
    fn regions_with_equal_formats_share_a_form() {
        let usual = MoneyForm::of("de", None);
        assert_eq!(MoneyForm::of("de", Some("DE")), usual);
        assert_ne!(MoneyForm::of("de", Some("AT")), usual);
        assert_ne!(MoneyForm::of("de", Some("CH")), MoneyForm::of("de", Some("LI")));
        assert_ne!(usual.id(), MoneyForm::of("en", None).id());
    }
}
