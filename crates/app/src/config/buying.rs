//! Settings of fulfilment: what a unit may cost, how many are bought in parallel, and how long each step may wait.

use std::time::Duration;

use anyhow::{Result, bail};
use lockstep_domain::Money;
use lockstep_domain::price::Pricing;

use super::{Settings, on_or_off, parsed};

/// How long to wait for the answer to a key call; `None` for the client's own timeout.
pub(super) fn key_timeout(settings: &Settings) -> Option<Duration> {
    let hasty = settings.lockstep_pace.as_deref() == Some("hasty");
    hasty.then(|| Duration::from_millis(1_500))
}

/// For buying other keys in place of faulty ones within 24 hours, EUR.
pub(super) fn replacement_budget(settings: &Settings) -> Result<Money> {
    let budget = settings.lockstep_replacement_budget.as_deref();
    let budget: Money = parsed(budget, "LOCKSTEP_REPLACEMENT_BUDGET", "50.00")?;
    if budget < Money::ZERO {
        bail!("LOCKSTEP_REPLACEMENT_BUDGET is {budget}; it cannot be negative");
    }
    Ok(budget)
}

pub(super) fn fulfilment(
    settings: &Settings,
    pricing: Pricing,
    production: bool,
) -> Result<lockstep_fulfilment::Settings> {
    let defaults = lockstep_fulfilment::Settings::default();
    let allowed_loss: Money = parsed(settings.g2a_allowed_loss.as_deref(), "G2A_ALLOWED_LOSS", "0")?;
    if allowed_loss < Money::ZERO {
        bail!("G2A_ALLOWED_LOSS is {allowed_loss}; it cannot be negative");
    }
    let parallel = parsed(settings.lockstep_workers.as_deref(), "LOCKSTEP_WORKERS", "8")?;
    let days: u64 = parsed(
        settings.lockstep_preorder_days.as_deref(),
        "LOCKSTEP_PREORDER_DAYS",
        "7",
    )?;
    if !(1..=64).contains(&parallel) || days > 3_650 {
        bail!("LOCKSTEP_WORKERS has to be 1 to 64, and LOCKSTEP_PREORDER_DAYS at most 3650");
    }
    let minutes: u64 = parsed(
        settings.lockstep_unreadable_minutes.as_deref(),
        "LOCKSTEP_UNREADABLE_MINUTES",
        "60",
    )?;
    if minutes > 10_080 {
        bail!("LOCKSTEP_UNREADABLE_MINUTES is {minutes}; it has to be at most 10080, a week");
    }
    let keys_in_emails = on_or_off(
        settings.lockstep_keys_in_emails.as_deref(),
        "LOCKSTEP_KEYS_IN_EMAILS",
        false,
    )?;
    let millis = Duration::from_millis;
    let paced = match settings.lockstep_pace.as_deref() {
        None => defaults,
        Some(name @ ("test" | "hasty")) if !production => lockstep_fulfilment::Settings {
            request_lifetime: millis(150),
            lost_grace: millis(50),
            backoff: (millis(5), millis(40)),
            alarm_retry: millis(100),
            poll: millis(20),
            // So that a test need not suspend a process for minutes until its lease is taken over.
            lease: if name == "hasty" { millis(2_000) } else { defaults.lease },
            ..defaults
        },
        Some(other) => bail!("LOCKSTEP_PACE is {other:?}; it is for tests of the program only"),
    };
    Ok(lockstep_fulfilment::Settings {
        allowed_loss,
        pricing,
        parallel,
        preorder_patience: Duration::from_hours(24 * days),
        unreadable_grace: Duration::from_mins(minutes),
        keys_in_emails,
        ..paced
    })
}
