//! The output of a run: the schedule before, verdicts and figures after.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lockstep_testkit::sqlx;
use serde::Serialize;

use crate::Cli;
use crate::bounds::Samples;
use crate::buyer::Memory;
use crate::ground::Ground;
use crate::machine::Machine;
use crate::plan::{Fault, Step};
use crate::shop::Shop;
use crate::verdicts::{Rule, Tally};

/// The schedule as text.
pub(crate) fn schedule(steps: &[Step]) -> String {
    let mut text = format!("{} faults:\n", steps.len());
    for step in steps {
        writeln!(
            text,
            "{:>8} ms  {:?} for {} ms (chance {:x})",
            step.at_ms, step.fault, step.lasts_ms, step.chance
        )
        .ok();
    }
    text
}

/// How often a fault was injected, and how long the shop took to recover.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    times: u64,
    longest_recovery_ms: u64,
}

/// The result of a rule.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    rule: Rule,
    words: &'static str,
    #[serde(flatten)]
    tally: Tally,
}

/// The report of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    seed: u64,
    minutes: u64,
    buyers: u64,
    volume: String,
    seconds: u64,
    drained_ms: u64,
    skipped: Vec<String>,
    schedule: Vec<Step>,
    faults: BTreeMap<Fault, Made>,
    verdicts: Vec<Verdict>,
    first_breach: Option<(u64, Rule, String)>,
    actions: u64,
    counts: BTreeMap<&'static str, i64>,
    figures: Samples,
}

/// What is counted at the end: for each a label and a query.
const COUNTS: &[(&str, &str)] = &[
    (
        "orders of the buyers",
        "select count(*) from orders o join users u on u.id = o.user_id where u.email like 'buyer-%'",
    ),
    (
        "copies delivered",
        "select count(*) from game_keys where g2a_order_id is not null and order_unit_id is not null",
    ),
    (
        "keys that became stock",
        "select count(*) from game_keys where g2a_order_id is not null and order_unit_id is null",
    ),
    (
        "copies refunded",
        "select count(*) from order_units x join orders o on o.id = x.order_id join users u on u.id = o.user_id
          where u.email like 'buyer-%' and x.state = 'REFUNDED'",
    ),
    ("top-ups", "select count(*) from top_ups where status = 'COMPLETED'"),
    (
        "keys lost and flagged",
        "select count(*) from incidents where kind = 'KEY_LOST'",
    ),
    (
        "unreadable answers flagged",
        "select count(*) from incidents where kind = 'KEY_UNREADABLE'",
    ),
    (
        "e-mails sent",
        "select count(*) from mail_outbox where sent_at is not null",
    ),
    (
        "e-mails given up",
        "select count(*) from mail_outbox where gave_up_at is not null",
    ),
];

impl Report {
    #[expect(clippy::too_many_arguments, reason = "all that a report tells")]
    pub(crate) async fn new(
        cli: &Cli,
        machine: &Machine,
        steps: &[Step],
        took: Duration,
        drained: Duration,
        memories: &[Memory],
        samples: &Samples,
        ground: &Ground,
        shop: &Shop,
    ) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut faults: BTreeMap<Fault, Made> = BTreeMap::new();
        for period in shop.timeline.all() {
            let made = faults.entry(period.fault).or_default();
            made.times += 1;
            if let (Some(until), Some(recovered)) = (period.until, period.recovered) {
                made.longest_recovery_ms = made.longest_recovery_ms.max(millis(recovered - until));
            }
        }
        let mut counts = BTreeMap::new();
        for (what, question) in COUNTS {
            let asked = sqlx::query_scalar(*question).fetch_one(&ground.database.sql).await;
            counts.insert(*what, asked.unwrap_or(-1));
        }
        let (mails, twice) = ground.postbox.counts();
        counts.insert("e-mails that the mail server took", i64::try_from(mails).unwrap_or(-1));
        counts.insert("of these more than once", i64::try_from(twice).unwrap_or(-1));
        let verdicts = shop.verdicts.all().into_iter().map(|(rule, tally)| Verdict {
            rule,
            words: rule.words(),
            tally,
        });
        Self {
            seed: cli.seed,
            minutes: cli.minutes,
            buyers: cli.buyers,
            volume: format!("{:?}", cli.volume).to_lowercase(),
            seconds: took.as_secs(),
            drained_ms: millis(drained),
            skipped: machine.skipped.clone(),
            schedule: steps.to_vec(),
            faults,
            verdicts: verdicts.collect(),
            first_breach: shop.verdicts.first_breach(),
            actions: memories.iter().map(|memory| memory.actions).sum(),
            counts,
            figures: samples.clone(),
        }
    }

    /// Whether no rule was violated.
    pub(crate) fn passed(&self) -> bool {
        self.first_breach.is_none()
    }

    /// The report as text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "\nseed {}, {} minute(s), {} buyers, volume {}: {} s, {} actions, drained in {} ms\n",
            self.seed, self.minutes, self.buyers, self.volume, self.seconds, self.actions, self.drained_ms
        );
        // Writing to a string is infallible.
        for skipped in &self.skipped {
            writeln!(text, "skipped: {skipped}").ok();
        }
        for (fault, made) in &self.faults {
            writeln!(
                text,
                "  {:>3} x {:<28} longest recovery {} ms",
                made.times,
                format!("{fault:?}"),
                made.longest_recovery_ms
            )
            .ok();
        }
        for (what, count) in &self.counts {
            writeln!(text, "  {count:>7} {what}").ok();
        }
        for (name, figure) in &self.figures {
            let slope = figure
                .slope()
                .map_or_else(String::new, |(early, late)| format!(", from {early} to {late}"));
            writeln!(text, "  {:>7} at most: {name}{slope}", figure.most).ok();
        }
        for verdict in &self.verdicts {
            let word = match (verdict.tally.breaches, verdict.tally.checks) {
                (0, 0) => "not looked at",
                (0, _) => "held",
                _ => "BROKEN",
            };
            writeln!(
                text,
                "{word:<13} {} ({} of {} times broken)",
                verdict.words, verdict.tally.breaches, verdict.tally.checks
            )
            .ok();
        }
        match &self.first_breach {
            None => writeln!(text, "seed {}: everything held", self.seed).ok(),
            Some((at, rule, evidence)) => writeln!(
                text,
                "seed {}: FAILED; first at {at} ms: {}: {evidence}\nlogs and report: target/soak/{}",
                self.seed,
                rule.words(),
                self.seed
            )
            .ok(),
        };
        text
    }
}
