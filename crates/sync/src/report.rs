//! What a run tells: while it works, and when it is over.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::SyncRunId;
use lockstep_store::sync::{Counts, Problem, RunKind, RunStatus, TermCounts};
use serde::Serialize;

/// What a run is doing at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reading pages.
    Pages,
    /// Reading what changed while the pages were read.
    Changes,
    /// Looking up, one by one, what was not met.
    Missing,
    /// Nothing any more.
    Done,
}

/// How far a run is. For a progress bar: the latest state counts, states in between may be skipped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// The run.
    pub run_id: SyncRunId,
    /// What it goes through.
    pub kind: RunKind,
    /// What it is doing.
    pub phase: Phase,
    /// Where it stands; running until [`Phase::Done`].
    pub status: RunStatus,
    /// When it first began.
    pub started_at: DateTime<Utc>,
    /// Estimate of all pages; grows when the catalogue does.
    pub pages_total: Option<i32>,
    /// What has been done.
    #[serde(flatten)]
    pub counts: Counts,
    /// Genres and so on created by this process.
    pub terms_created: TermCounts,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The run.
    pub run_id: SyncRunId,
    /// What it went through.
    pub kind: RunKind,
    /// Who asked for it.
    pub reason: String,
    /// How it ended: completed, failed or interrupted.
    pub status: RunStatus,
    /// Why it is not completed.
    pub stopped_by: Option<String>,
    /// When it first began.
    pub started_at: DateTime<Utc>,
    /// How often it was taken up again, this time included.
    pub resumes: i32,
    /// What was done, over all times it was taken up.
    #[serde(flatten)]
    pub counts: Counts,
    /// Products that are missing at G2A and were left alone, because too many are.
    pub withheld: u64,
    /// Pages read again by this process because the list moved under it.
    pub pages_reread: u32,
    /// Questions put to G2A by this process, repetitions by the client not counted.
    pub calls: u32,
    /// Genres and so on created by this process.
    pub terms_created: TermCounts,
    /// Games whose flags changed afterwards.
    pub flags_changed: u64,
    /// Time that this process took, in milliseconds.
    pub duration_ms: u64,
    /// What G2A said and could not be taken over (products, addresses of pictures), counted by reason, over all times the
    /// run was taken up.
    pub refused: BTreeMap<String, u32>,
    /// The first hundred problems.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, c) = (self.kind.as_str().to_lowercase(), self.counts);
        let how = match self.status {
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
            RunStatus::Interrupted => "interrupted, will go on where it stopped",
            RunStatus::Running => "running",
        };
        let tenths = self.duration_ms / 100;
        writeln!(f, "{kind} sync {how} after {}.{} s", tenths / 10, tenths % 10)?;
        if let Some(reason) = &self.stopped_by {
            writeln!(f, "  because: {reason}")?;
        }
        writeln!(
            f,
            "  {} products on {} pages ({} read again, {} calls): {} new, {} changed, {} unchanged, {} {}, {} skipped",
            c.seen,
            c.pages_read,
            self.pages_reread,
            self.calls,
            c.created,
            c.updated,
            c.unchanged,
            c.withdrawn,
            if self.kind == RunKind::Full {
                "withdrawn"
            } else {
                "sold out"
            },
            c.skipped
        )?;
        for (reason, count) in &self.refused {
            writeln!(f, "  not taken over: {count} × {reason}")?;
        }
        for problem in self.problems.iter().take(10) {
            match &problem.product {
                Some(product) => writeln!(f, "  product {product}: {}", problem.reason)?,
                None => writeln!(f, "  {}", problem.reason)?,
            }
        }
        if self.problems.len() > 10 {
            writeln!(f, "  ... and {} more", self.problems.len() - 10)?;
        }
        Ok(())
    }
}
