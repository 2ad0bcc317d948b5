//! Progress and result of a run.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::SyncRunId;
use lockstep_store::sync::{Counts, Problem, RunKind, RunStatus, TermCounts};
use serde::Serialize;

/// The current activity of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reads pages.
    Pages,
    /// Reads changes made while the pages were read.
    Changes,
    /// Looks up expected products that were not seen, one by one.
    Missing,
    /// Finished.
    Done,
}

/// Progress of a run. For a progress bar: only the latest state matters, intermediate states may be skipped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// The run.
    pub run_id: SyncRunId,
    /// What it reads.
    pub kind: RunKind,
    /// Its current activity.
    pub phase: Phase,
    /// Its status; running until [`Phase::Done`].
    pub status: RunStatus,
    /// When it first began, before any resumption.
    pub started_at: DateTime<Utc>,
    /// Estimated number of all pages; grows with the catalogue.
    pub pages_total: Option<i32>,
    /// What it has done so far.
    #[serde(flatten)]
    pub counts: Counts,
    /// Terms (genres etc.) created by this process.
    pub terms_created: TermCounts,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The run.
    pub run_id: SyncRunId,
    /// What it read.
    pub kind: RunKind,
    /// The requester.
    pub reason: String,
    /// Its result: completed, failed or interrupted.
    pub status: RunStatus,
    /// Why it did not complete.
    pub stopped_by: Option<String>,
    /// When it first began, before any resumption.
    pub started_at: DateTime<Utc>,
    /// Number of resumptions, including this one.
    pub resumes: i32,
    /// What it did, including before resumptions.
    #[serde(flatten)]
    pub counts: Counts,
    /// Products missing at G2A that were left unchanged because too many are missing.
    pub withheld: u64,
    /// Pages read again by this process because the list changed.
    pub pages_reread: u32,
    /// Calls to G2A by this process, without the client's retries.
    pub calls: u32,
    /// Terms (genres etc.) created by this process.
    pub terms_created: TermCounts,
    /// Games whose flags changed afterwards.
    pub flags_changed: u64,
    /// Duration in this process, in milliseconds.
    pub duration_ms: u64,
    /// Rejected values of G2A (products, image addresses), counted by reason, including before resumptions.
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
