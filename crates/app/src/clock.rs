//! Compares this machine's clock with those of the database and of G2A. Rows carry the database's times, but access
//! tokens, authenticator codes and the schedule of synchronisations use this machine's clock, so the clocks have to
//! agree.

use std::time::Duration;

use chrono::TimeDelta;
use lockstep_clock::Clock;
use lockstep_domain::language::Sentence;
use lockstep_g2a::Client;
use lockstep_store::Store;
use tokio_util::sync::CancellationToken;

use crate::words::{english, say};

/// Interval between two comparisons.
const EVERY: Duration = Duration::from_mins(1);
/// Difference from which a warning is logged.
const OFF: TimeDelta = TimeDelta::seconds(60);
/// Difference from which tokens and codes fail.
const WRONG: TimeDelta = TimeDelta::minutes(5);

/// How well another clock agrees with this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// They differ by less than a minute.
    Agrees,
    /// They differ by less than five minutes.
    Off,
    /// They differ by five minutes or more.
    Wrong,
}

/// Judges a clock that is `ahead` of this machine's.
pub(crate) fn judge(ahead: TimeDelta) -> Agreement {
    if ahead.abs() < OFF {
        Agreement::Agrees
    } else if ahead.abs() < WRONG {
        Agreement::Off
    } else {
        Agreement::Wrong
    }
}

/// Describes the difference for people; `whose` is the key of a text.
pub(crate) fn in_words(whose: &'static str, ahead: TimeDelta) -> Sentence {
    let off = ahead.abs();
    let amount = match (off.num_days(), off.num_hours(), off.num_minutes()) {
        (days, ..) if days >= 2 => say!("doctor.clock.days", days),
        (_, hours, _) if hours >= 2 => say!("doctor.clock.hours", hours),
        (.., minutes) if minutes >= 2 => say!("doctor.clock.minutes", minutes),
        _ => say!("doctor.clock.seconds", off.num_seconds()),
    };
    let whose = Sentence::from(whose);
    if ahead > TimeDelta::zero() {
        say!("doctor.clock.behind", amount, whose)
    } else {
        say!("doctor.clock.ahead", amount, whose)
    }
}

/// Compares `clock` with the others every minute until `stop` is cancelled, and logs each change of the judgement.
pub(crate) async fn watch(store: Store, clock: Clock, client: Option<Client>, stop: CancellationToken) {
    let mut logged = [Agreement::Agrees; 2];
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let clocks = [
            ("doctor.clock.database", store.clock_ahead(&clock).await.ok()),
            ("doctor.clock.g2a", client.as_ref().and_then(Client::clock_ahead)),
        ];
        for ((whose, ahead), logged) in clocks.into_iter().zip(&mut logged) {
            let Some(ahead) = ahead else { continue };
            let now = judge(ahead);
            if now != *logged {
                log_change(whose, ahead, now);
                *logged = now;
            }
        }
    }
}

fn log_change(whose: &'static str, ahead: TimeDelta, agreement: Agreement) {
    let words = english(&in_words(whose, ahead));
    let whose = english(&whose.into());
    match agreement {
        Agreement::Agrees => tracing::info!("this machine's clock agrees with {whose} again"),
        Agreement::Off => tracing::warn!("{words}; synchronise both with NTP"),
        Agreement::Wrong => {
            tracing::error!("{words}: log-ins, authenticator codes and preorders fail; synchronise both with NTP");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_of_one_minute_is_off_and_of_five_is_wrong() {
        for sign in [1, -1] {
            assert_eq!(judge(TimeDelta::seconds(59 * sign)), Agreement::Agrees);
            assert_eq!(judge(TimeDelta::seconds(60 * sign)), Agreement::Off);
            assert_eq!(judge(TimeDelta::seconds(300 * sign)), Agreement::Wrong);
        }
        assert_eq!(
            english(&in_words("doctor.clock.database", TimeDelta::days(400))),
            "this machine's clock is 400 days behind the database's"
        );
        assert_eq!(
            english(&in_words("doctor.clock.g2a", TimeDelta::seconds(-75))),
            "this machine's clock is 75 seconds ahead of G2A's"
        );
    }
}
