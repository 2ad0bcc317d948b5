//! Counters. The hit path increments atomics; the metrics recorder receives their values at an interval.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::invalidation_index::Refusal;
use crate::status::Counters;

macro_rules! tally {
    ($($field:ident => $metric:literal $(, $label:literal = $value:literal)?;)+) => {
        /// One atomic for each field of [`Counters`].
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $field: AtomicU64,)+
        }

        impl Tally {
            /// Returns the current counts.
            pub(crate) fn counters(&self) -> Counters {
                Counters {
                    $($field: self.$field.load(Ordering::Relaxed),)+
                }
            }

            /// Publishes the counts to the process's metrics recorder.
            pub(crate) fn publish(&self) {
                $(metrics::counter!($metric $(, $label => $value)?).absolute(self.$field.load(Ordering::Relaxed));)+
            }
        }
    };
}

tally! {
    l1_hits => "lockstep_cache_reads_total", "from" = "process";
    redis_hits => "lockstep_cache_reads_total", "from" = "redis";
    loads => "lockstep_cache_reads_total", "from" = "database";
    load_errors => "lockstep_cache_load_errors_total";
    redis_misses => "lockstep_cache_redis_misses_total";
    redis_errors => "lockstep_cache_redis_errors_total";
    refused_lease => "lockstep_cache_refused_total", "reason" = "lease";
    refused_tag => "lockstep_cache_refused_total", "reason" = "tag";
    refused_horizon => "lockstep_cache_refused_total", "reason" = "horizon";
    refused_identity => "lockstep_cache_refused_total", "reason" = "identity";
    refused_garbage => "lockstep_cache_refused_total", "reason" = "checksum";
    fills => "lockstep_cache_fills_total";
    returned => "lockstep_cache_returned_total";
    fills_dropped => "lockstep_cache_fills_dropped_total";
    keys_dropped => "lockstep_cache_keys_dropped_total";
    polls => "lockstep_cache_polls_total";
    poll_errors => "lockstep_cache_poll_errors_total";
    compared => "lockstep_cache_compared_total";
    violations => "lockstep_cache_violations_total";
}

impl Tally {
    pub(crate) fn refuse(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Lease => &self.refused_lease,
            Refusal::Tag => &self.refused_tag,
            Refusal::Horizon => &self.refused_horizon,
            Refusal::Identity => &self.refused_identity,
        };
        add(counter);
    }
}

/// Adds one.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
