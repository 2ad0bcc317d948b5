//! Prices, numbers, dates and ages in the reader's format.

use std::fmt::Display;

use chrono::{DateTime, Datelike as _, Utc};
use lockstep_domain::Money;

use crate::i18n::Language;

/// `€1,234.56`, `1.234,56 €`, `€ 1.234,56`.
pub fn price(language: Language, price: Money) -> String {
    language.form().price(price)
}

/// An amount that is deducted: `-€5.00`.
pub fn less(language: Language, amount: Money) -> String {
    price(language, Money::ZERO.checked_sub(amount).unwrap_or(Money::ZERO))
}

/// `1,234` or `1.234`.
pub fn number(language: Language, number: u64) -> String {
    language.form().number(number)
}

/// A decimal number with the reader's separator.
pub fn decimal(language: Language, number: impl Display) -> String {
    language.form().decimal(number)
}

const MONTHS: [&str; 12] = [
    "month.1", "month.2", "month.3", "month.4", "month.5", "month.6", "month.7", "month.8", "month.9", "month.10",
    "month.11", "month.12",
];

/// `5 March 2026`, `5. März 2026`, `5 de marzo de 2026`.
pub fn date(language: Language, date: DateTime<Utc>) -> String {
    let month = MONTHS
        .get(usize::try_from(date.month0()).unwrap_or(0))
        .map_or("", |key| language.text(key));
    language.with_all("date", &[&date.day(), &month, &date.year()])
}

/// `5 March 2026, 14:05 UTC`.
pub fn moment(language: Language, moment: DateTime<Utc>) -> String {
    format!("{}, {} UTC", date(language, moment), moment.format("%H:%M"))
}

/// A date in machine-readable form: `2026-03-05`.
pub fn iso_date(date: DateTime<Utc>) -> String {
    date.format("%Y-%m-%d").to_string()
}

/// The age of something in words: `3 minutes ago`.
pub fn ago(language: Language, then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = u64::try_from((now - then).num_minutes()).unwrap_or(0);
    match minutes {
        0 => language.text("ago.now").to_owned(),
        1..60 => language.count("ago.minutes", minutes),
        60..2880 => language.count("ago.hours", minutes / 60),
        _ => language.count("ago.days", minutes / 60 / 24),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;

    #[test]
    fn prices_use_the_readers_format() {
        let written = |cents| {
            let money = Money::from_cents(cents).unwrap();
            Language::ALL.map(|language| price(language, money))
        };
        let euro = "12,34\u{a0}€";
        assert_eq!(written(1234), ["€12.34", euro, euro, euro, euro]);
        assert_eq!(
            written(123_456_789),
            [
                "€1,234,567.89",
                "1.234.567,89\u{a0}€",
                "1\u{202f}234\u{202f}567,89\u{a0}€",
                "1.234.567,89\u{a0}€",
                "1\u{a0}234\u{a0}567,89\u{a0}€",
            ]
        );
        assert_eq!(written(-150)[..2], ["-€1.50", "-1,50\u{a0}€"]);
    }

    #[test]
    fn numbers_dates_and_ages_are_localised() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(|n| number(Language::ENGLISH, n)),
            ["0", "999", "1,000", "1,234,567"]
        );
        let day = "2026-03-05T10:00:00Z".parse().unwrap();
        assert_eq!(
            Language::ALL.map(|language| date(language, day)),
            [
                "5 March 2026",
                "5. März 2026",
                "5 mars 2026",
                "5 de marzo de 2026",
                "5 marca 2026"
            ]
        );
        let ago = |minutes| Language::ALL.map(|language| ago(language, day - Duration::minutes(minutes), day));
        let now = ["just now", "gerade eben", "à l’instant", "ahora mismo", "przed chwilą"];
        assert_eq!(ago(0), now);
        assert_eq!(ago(-5), now, "a clock that is wrong");
        assert_eq!(
            ago(1),
            [
                "1 minute ago",
                "vor 1 Minute",
                "il y a 1 minute",
                "hace 1 minuto",
                "1 minutę temu"
            ]
        );
        assert_eq!(
            ago(3),
            [
                "3 minutes ago",
                "vor 3 Minuten",
                "il y a 3 minutes",
                "hace 3 minutos",
                "3 minuty temu"
            ]
        );
        assert_eq!(
            ago(300),
            [
                "5 hours ago",
                "vor 5 Stunden",
                "il y a 5 heures",
                "hace 5 horas",
                "5 godzin temu"
            ]
        );
        assert_eq!(
            ago(3000),
            [
                "2 days ago",
                "vor 2 Tagen",
                "il y a 2 jours",
                "hace 2 días",
                "2 dni temu"
            ]
        );
    }
}
