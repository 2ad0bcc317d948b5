//! Dates in JSON as the shop's front-end writes them: UTC with exactly three decimals, `2025-01-31T10:00:00.000Z`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

/// For `#[serde(serialize_with = "iso::serialize")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}

/// The text form.
pub fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_always_three_decimals_and_a_z() {
        let at = DateTime::from_timestamp(1_738_317_600, 123_456_789).unwrap();
        assert_eq!(text(at), "2025-01-31T10:00:00.123Z");
        assert_eq!(
            text(DateTime::from_timestamp(0, 0).unwrap()),
            "1970-01-01T00:00:00.000Z"
        );
    }
}
