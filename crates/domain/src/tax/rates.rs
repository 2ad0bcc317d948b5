//! Standard rates of the member states, as a set with its source and date.
//!
//! The set that ships with the program is `rates.json`; `lockstep vat update` stores a newer one in the database.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use rust_decimal::Decimal;
use serde_json::Value;

use super::country::{Country, MEMBER_STATES};

const SHIPPED: &str = include_str!("rates.json");
/// No member state may have a lower standard rate (Directive 2006/112/EC, Art. 97).
const LOWEST: i64 = 15;
/// None has ever had a higher one.
const HIGHEST: i64 = 30;
/// The largest change of a rate that is believed, in percentage points.
const LARGEST_STEP: i64 = 5;
/// Maximum length of the name of a source.
const MAX_SOURCE: usize = 200;

/// A set of rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VatRates {
    /// Where the rates come from.
    pub source: String,
    /// As of when.
    pub date: NaiveDate,
    /// Percent, by country.
    rates: BTreeMap<Country, Decimal>,
}

/// Why a set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatesFault {
    /// It is not JSON with a date and rates.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A member state is missing, or its rate is no number.
    #[error("it has no rate for {0}")]
    NoRate(&'static str),
    /// A rate that no member state may or would have.
    #[error("the rate of {country}, {rate} %, is not between {LOWEST} and {HIGHEST}")]
    Implausible {
        /// The country.
        country: Country,
        /// Percent.
        rate: Decimal,
    },
    /// A rate that has moved too far.
    #[error("the rate of {country} would go from {before} % to {after} %, more than {LARGEST_STEP} points")]
    TooLargeAStep {
        /// The country.
        country: Country,
        /// Percent, in force.
        before: Decimal,
        /// Percent, in the new set.
        after: Decimal,
    },
    /// Its date lies in the future.
    #[error("its date, {0}, is in the future")]
    Future(NaiveDate),
    /// It is older than what is in force.
    #[error("its date, {found}, is before that of the rates in force, {known}")]
    Older {
        /// Of the new set.
        found: NaiveDate,
        /// Of the set in force.
        known: NaiveDate,
    },
}

impl VatRates {
    /// The set that ships with the program.
    #[expect(clippy::expect_used, reason = "a test reads the same text")]
    pub fn shipped() -> Self {
        let set = serde_json::from_str(SHIPPED)
            .ok()
            .and_then(|json| Self::read(&json, None).ok());
        set.expect("the shipped rates are complete")
    }

    /// Reads a set: `{"source": …, "date": "2026-09-29", "rates": {"AT": "20", …}}`. A rate may be a number, a text, or an
    /// object with `standard`; the date may be called `version`. Countries outside the EU are left out. `source` replaces the
    /// name of the source.
    ///
    /// # Errors
    /// [`RatesFault`].
    pub fn read(json: &Value, source: Option<&str>) -> Result<Self, RatesFault> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let date = text("date")
            .or_else(|| text("version"))
            .and_then(|date| date.get(..10))
            .and_then(|date| NaiveDate::parse_from_str(date, "%Y-%m-%d").ok())
            .ok_or(RatesFault::Missing("date"))?;
        let source: String = source
            .or_else(|| text("source"))
            .map(|source| source.chars().filter(|c| !c.is_control()).take(MAX_SOURCE).collect())
            .filter(|source: &String| !source.trim().is_empty())
            .ok_or(RatesFault::Missing("source"))?;
        let all = json
            .get("rates")
            .and_then(Value::as_object)
            .ok_or(RatesFault::Missing("rates"))?;
        let mut rates = BTreeMap::new();
        for code in MEMBER_STATES {
            let rate = all
                .get(code)
                .and_then(|rate| number(rate.get("standard").unwrap_or(rate)))
                .ok_or(RatesFault::NoRate(code))?;
            let country = Country::new(code).ok_or(RatesFault::NoRate(code))?;
            if rate < Decimal::from(LOWEST) || rate > Decimal::from(HIGHEST) || rate.scale() > 2 {
                return Err(RatesFault::Implausible { country, rate });
            }
            rates.insert(country, rate);
        }
        Ok(Self { source, date, rates })
    }

    /// The rate of a country in percent; `None` outside the EU.
    pub fn of(&self, country: Country) -> Option<Decimal> {
        self.rates.get(&country).copied()
    }

    /// All rates, by country.
    pub fn all(&self) -> impl Iterator<Item = (Country, Decimal)> {
        self.rates.iter().map(|(country, rate)| (*country, *rate))
    }

    /// The rates as they are stored.
    pub fn to_json(&self) -> Value {
        let rates = self.rates.iter();
        Value::Object(
            rates
                .map(|(country, rate)| (country.to_string(), Value::String(rate.to_string())))
                .collect(),
        )
    }

    /// Whether this set may replace `known` on the day `today`.
    ///
    /// # Errors
    /// [`RatesFault`].
    pub fn may_replace(&self, known: &Self, today: NaiveDate) -> Result<(), RatesFault> {
        // A day ahead of a clock in another time zone is no future.
        if self.date > today.checked_add_signed(TimeDelta::days(1)).unwrap_or(today) {
            return Err(RatesFault::Future(self.date));
        }
        if self.date < known.date {
            return Err(RatesFault::Older {
                found: self.date,
                known: known.date,
            });
        }
        for (country, after) in self.all() {
            let before = known.of(country).unwrap_or(after);
            if (after - before).abs() > Decimal::from(LARGEST_STEP) {
                return Err(RatesFault::TooLargeAStep { country, before, after });
            }
        }
        Ok(())
    }

    /// The newer of both.
    #[must_use]
    pub fn or_newer(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.date >= self.date => other,
            _ => self,
        }
    }
}

/// A number as it is written, so that 25.5 is exactly that.
fn number(value: &Value) -> Option<Decimal> {
    let rate: Decimal = match value {
        Value::String(text) => text.parse().ok()?,
        Value::Number(number) => number.to_string().parse().ok()?,
        _ => return None,
    };
    Some(rate.normalize())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(change: impl FnOnce(&mut Value)) -> Result<VatRates, RatesFault> {
        let mut json: Value = serde_json::from_str(SHIPPED).unwrap();
        change(&mut json);
        VatRates::read(&json, None)
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn the_shipped_set_has_every_member_state_its_source_and_its_date() {
        let rates = VatRates::shipped();
        assert_eq!(rates.all().count(), 27);
        assert_eq!(rates.date, day("2026-09-29"));
        assert!(rates.source.contains("TEDB"));
        let of = |code| rates.of(Country::new(code).unwrap()).map(|rate| rate.to_string());
        assert_eq!(
            [of("DE"), of("FI"), of("GR"), of("US")],
            [Some("19".into()), Some("25.5".into()), Some("24".into()), None]
        );
        let stored = json!({"source": rates.source, "date": rates.date.to_string(), "rates": rates.to_json()});
        assert_eq!(VatRates::read(&stored, None).unwrap(), rates);
    }

    #[test]
    fn numbers_and_richer_sets_are_read_exactly() {
        let rates = with(|json| {
            json["rates"]["FI"] = json!(25.5);
            json["rates"]["DE"] = json!({"standard": 19.0, "reduced": [7.0]});
            json["rates"]["CH"] = json!(8.1);
        });
        assert_eq!(rates.unwrap(), VatRates::shipped());
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(VatRates::read(&json!([]), None), Err(RatesFault::Missing("date")));
        assert_eq!(
            with(|json| json["date"] = json!("soon")),
            Err(RatesFault::Missing("date"))
        );
        assert_eq!(
            with(|json| json["source"] = json!(" ")),
            Err(RatesFault::Missing("source"))
        );
        assert_eq!(with(|json| json["rates"] = json!(3)), Err(RatesFault::Missing("rates")));
        assert_eq!(
            with(|json| json["rates"]["SI"] = json!(null)),
            Err(RatesFault::NoRate("SI"))
        );
        assert_eq!(
            with(|json| json["rates"]["SI"] = json!("much")),
            Err(RatesFault::NoRate("SI"))
        );
        for rate in [json!(-19), json!(0), json!(14.9), json!(31), json!("19.001")] {
            let refused = with(|json| json["rates"]["SI"] = rate);
            assert!(matches!(refused, Err(RatesFault::Implausible { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_set_replaces_only_an_older_one_that_it_resembles() {
        let known = VatRates::shipped();
        let today = day("2026-12-01");
        let dated = |date: &str| with(|json| json["date"] = json!(date)).unwrap();
        assert_eq!(dated("2026-12-02").may_replace(&known, today), Ok(()));
        assert_eq!(known.may_replace(&known, today), Ok(()));
        assert_eq!(
            dated("2026-12-03").may_replace(&known, today),
            Err(RatesFault::Future(day("2026-12-03")))
        );
        assert!(matches!(
            dated("2026-09-28").may_replace(&known, today),
            Err(RatesFault::Older { .. })
        ));
        let moved = with(|json| json["rates"]["LU"] = json!(22.5)).unwrap();
        assert!(matches!(
            moved.may_replace(&known, today),
            Err(RatesFault::TooLargeAStep { .. })
        ));
        assert_eq!(known.clone().or_newer(Some(dated("2026-09-28"))), known);
        assert_eq!(known.or_newer(Some(dated("2026-12-01"))).date, day("2026-12-01"));
    }
}
