//! The wait before a read is retried: the time that G2A requests, else a random time that grows. It is random over the
//! whole range ("full jitter"), so that processes that fail together do not retry together.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::backoff::exponential;
use rand::Rng;

use crate::config::RetryConfig;

/// Returns a random wait before the attempt after `attempt` (1 for the first): between zero and `base · 2^(attempt-1)`,
/// at most `cap`.
pub(crate) fn backoff(config: &RetryConfig, attempt: u32, random: &mut impl Rng) -> Duration {
    let upper = exponential(config.base, attempt.saturating_sub(1), config.cap);
    let upper_ms = u64::try_from(upper.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random.random_range(0..=upper_ms))
}

/// Parses `Retry-After`: whole seconds or an HTTP date. A past date gives zero, an invalid value `None`.
pub(crate) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let moment = DateTime::parse_from_rfc2822(value).ok()?.with_timezone(&Utc);
    Some((moment - now).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn config() -> RetryConfig {
        RetryConfig {
            attempts: 4,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(10),
            total: Duration::from_mins(1),
            rate_limit_pause: Duration::from_secs(5),
        }
    }

    fn moment(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn retry_after_parses_seconds() {
        let now = moment("2026-01-01T00:00:00Z");
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(" 0 ", now), Some(Duration::ZERO));
        assert!(retry_after("99999999999999999999999", now) > Some(Duration::from_secs(1_000_000)));
    }

    #[test]
    fn retry_after_parses_http_dates() {
        let now = moment("1994-11-06T08:49:30Z");
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(7))
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
    }

    #[test]
    fn an_invalid_retry_after_is_ignored() {
        for text in ["", "soon", "-5", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(text, moment("2026-01-01T00:00:00Z")), None, "{text}");
        }
    }

    #[test]
    fn backoff_uses_the_whole_range_and_doubles_it() {
        let mut random = StdRng::seed_from_u64(1);
        for (attempt, upper_ms) in [(1, 500), (2, 1_000), (3, 2_000), (6, 10_000), (60, 10_000)] {
            let waits: Vec<_> = (0..500).map(|_| backoff(&config(), attempt, &mut random)).collect();
            assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(upper_ms)));
            assert!(waits.iter().any(|wait| *wait < Duration::from_millis(upper_ms / 10)));
            assert!(
                waits
                    .iter()
                    .any(|wait| *wait > Duration::from_millis(upper_ms / 10 * 9))
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_value_panics(text in ".*") {
            let _unused = retry_after(&text, moment("2026-01-01T00:00:00Z"));
        }
    }
}
