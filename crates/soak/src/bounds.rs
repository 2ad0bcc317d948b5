//! Samples memory, handles, threads, queues and tables during the run and checks them against the bounds stated here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinHandle;

use crate::ground::Ground;
use crate::process;
use crate::verdicts::{Rule, Verdicts};

/// Bounds for one process of the shop (a debug build): resident memory in MiB, handles, threads.
const MOST: [(&str, u64); 3] = [("rss_mib", 512), ("handles", 1_024), ("threads", 128)];

/// Queues: for each a query for its length and the highest allowed length.
const QUEUES: [(&str, &str, u64); 4] = [
    (
        "copies on their way",
        "select count(*) from order_units where state not in ('DONE', 'REFUNDED')",
        5_000,
    ),
    (
        "e-mails to send",
        "select count(*) from mail_outbox where sent_at is null and gave_up_at is null",
        20_000,
    ),
    (
        "rows of the invalidation log",
        "select count(*) from cache_inval",
        200_000,
    ),
    (
        "connections",
        "select count(*) from pg_stat_activity where datname = 'lockstep'",
        150,
    ),
];

/// The samples of one metric.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figure {
    /// The largest value.
    pub(crate) most: u64,
    /// All values in chronological order; when there are too many, each pair of neighbours is reduced to its larger
    /// value.
    #[serde(skip)]
    seen: Vec<u64>,
}

/// Highest number of values kept per metric.
const MOST_SEEN: usize = 4_096;

impl Figure {
    fn add(&mut self, value: u64) {
        self.most = self.most.max(value);
        self.seen.push(value);
        if self.seen.len() > MOST_SEEN {
            self.seen = self
                .seen
                .chunks(2)
                .map(|two| two.iter().copied().max().unwrap_or(0))
                .collect();
        }
    }

    /// The medians of the second and of the last fifth of the run; `None` when there are too few values.
    pub(crate) fn slope(&self) -> Option<(u64, u64)> {
        let fifth = self.seen.len() / 5;
        let median = |part: usize| {
            let mut values = self.seen.get(part * fifth..(part + 1) * fifth)?.to_vec();
            values.sort_unstable();
            values.get(values.len() / 2).copied()
        };
        (fifth >= 60).then(|| Some((median(1)?, median(4)?))).flatten()
    }
}

/// All metrics by name.
pub(crate) type Samples = BTreeMap<String, Figure>;

/// Samples every second until `stop` is set.
pub(crate) fn start(ground: &Arc<Ground>, stop: &Arc<AtomicBool>) -> JoinHandle<Samples> {
    let (ground, stop) = (ground.clone(), stop.clone());
    tokio::spawn(async move {
        let mut samples = Samples::new();
        let mut queues = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            for instance in &ground.instances {
                if let Some(usage) = instance.pid().and_then(process::usage) {
                    let values = [usage.rss_kib / 1_024, usage.handles, usage.threads];
                    for ((name, _), value) in MOST.iter().zip(values) {
                        let figure = samples.entry(format!("{}: {name}", instance.name)).or_default();
                        figure.add(value);
                    }
                }
            }
            if queues.elapsed() > Duration::from_secs(5) {
                queues = Instant::now();
                for (name, question, _) in QUEUES {
                    // Skipped while the database is unreachable.
                    if let Ok(Ok(count)) = ground.database.number(question).await.map(u64::try_from) {
                        samples.entry(name.to_owned()).or_default().add(count);
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        samples
    })
}

/// Checks the metrics against their bounds, and for unbounded growth.
pub(crate) fn judge(samples: &Samples, verdicts: &Verdicts) {
    for (name, figure) in samples {
        let bounds = MOST.iter().map(|(name, most)| (*name, *most));
        let bounds = bounds.chain(QUEUES.iter().map(|(name, _, most)| (*name, *most)));
        let bound = bounds.into_iter().find(|(bound, _)| name.ends_with(bound));
        if let Some((_, most)) = bound {
            verdicts.judge(
                Rule::Bounded,
                (figure.most > most).then(|| format!("{name}: {} is above the bound {most}", figure.most)),
            );
        }
        // A process that is killed now and then starts afresh; in a long run its growth shows all the same.
        if name.contains(": ")
            && let Some((early, late)) = figure.slope()
        {
            let grown = late > early + early / 2 + 32;
            verdicts.judge(
                Rule::Bounded,
                grown.then(|| format!("{name} grew from {early} to {late}")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_detected_and_a_constant_level_is_not() {
        let (mut level, mut growing) = (Figure::default(), Figure::default());
        for second in 0..10_000 {
            level.add(100 + second % 7);
            growing.add(100 + second / 10);
        }
        assert!(level.seen.len() <= MOST_SEEN && growing.most == 1_099);
        let (early, late) = level.slope().unwrap();
        assert!(late <= early + 7);
        let (early, late) = growing.slope().unwrap();
        assert!(late > early + 200, "{early} {late}");
    }
}
