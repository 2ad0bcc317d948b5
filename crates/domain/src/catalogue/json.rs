//! Numbers and dates in the front-end's JSON forms, exact in both directions.

/// Dates in the front-end's form: `2025-01-31T10:00:00.000Z`.
pub mod iso_millis {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes three decimals and a `Z`; finer parts are cut off.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }

    /// Reads any RFC 3339 time.
    ///
    /// # Errors
    /// When the text is not such a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }
}

/// Exact decimals as bare JSON numbers, written and read as digits.
pub(crate) mod decimal_number {
    use rust_decimal::Decimal;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_json::value::RawValue;

    use crate::money::exact_decimal;

    /// The supported types: a decimal, or an optional one.
    pub(crate) trait Number: Sized {
        fn get(&self) -> Option<Decimal>;
        fn from(value: Option<Decimal>) -> Option<Self>;
    }

    impl Number for Decimal {
        fn get(&self) -> Option<Decimal> {
            Some(*self)
        }

        fn from(value: Option<Decimal>) -> Option<Self> {
            value
        }
    }

    impl Number for Option<Decimal> {
        fn get(&self) -> Option<Decimal> {
            *self
        }

        fn from(value: Option<Decimal>) -> Option<Self> {
            Some(value)
        }
    }

    pub(crate) fn serialize<N: Number, S: Serializer>(number: &N, serializer: S) -> Result<S::Ok, S::Error> {
        match number.get() {
            Some(value) => RawValue::from_string(value.normalize().to_string())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, N: Number, D: Deserializer<'de>>(deserializer: D) -> Result<N, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let value = match raw.get() {
            "null" => None,
            digits => Some(exact_decimal(digits).ok_or_else(|| serde::de::Error::custom("not a decimal number"))?),
        };
        N::from(value).ok_or_else(|| serde::de::Error::custom("a number is missing"))
    }
}
