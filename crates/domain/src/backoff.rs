//! Exponential backoff. The caller adds chance, so that processes that fail together do not retry together.

use std::time::Duration;

/// Returns `base`, doubled `doublings` times, at most `cap`.
pub fn exponential(base: Duration, doublings: u32, cap: Duration) -> Duration {
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let wait = |doublings| exponential(Duration::from_secs(2), doublings, Duration::from_mins(5)).as_secs();
        assert_eq!(
            [0, 1, 7, 8, 31, 32, u32::MAX].map(wait),
            [2, 4, 256, 300, 300, 300, 300]
        );
        assert_eq!(exponential(Duration::ZERO, 5, Duration::MAX), Duration::ZERO);
    }
}
