//! One pass over a list that changes while it is read.
//!
//! Pages are read from the last to the first. G2A lists by ascending id, so a product that disappears moves others
//! towards unread pages, and a new one comes after the end: neither hides anything. Only a product that is inserted in
//! between (its price moved into the slice) pushes others onto a page that was already read; then the total rises, and
//! the pages around are read again. A product that moved between slices has changed, so reading all changes since the
//! start of the pass finds it. At the end the number of products seen is compared with G2A's own.
//!
//! `reading` reads the pages, `lookups` requests single products, `writing` writes both; `patience` waits when G2A asks
//! for it, `stop` has the reasons why a pass ends early.

mod lookups;
mod patience;
mod reading;
mod stop;
mod writing;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_store::sync::{self as records, Begun, Counts, Problem, Run, RunKind, RunStatus, TermCounts};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::mapping::Refused;
use crate::pace::Pace;
use crate::position::Position;
use crate::report::{Phase, Progress, Report};
use crate::slices::Slice;
use crate::{Context, MARGIN, What};

pub(crate) use stop::Stop;
use writing::Batch;

/// The position of a pass, stored with the run, so that it can resume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cursor {
    phase: Stage,
    /// Unread slices; the last is read next.
    pending: Vec<Slice>,
    /// The slice that is being read, and the position in it.
    at: Option<Position>,
    /// Slices that changed while they were read.
    moved: Vec<Slice>,
    /// The changed slices have been read a second time.
    again: bool,
    /// Some slice could not be divided enough to be read completely.
    incomplete: bool,
    /// Number of products without a readable id.
    nameless: u64,
    /// Sample of products that certainly exist.
    samples: Vec<String>,
    /// Number of rejected values by reason.
    #[serde(default)]
    refused: Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Pages,
    Changes,
    Missing,
    Done,
}

pub(crate) struct Pass<'a> {
    cx: &'a Context,
    kind: RunKind,
    begun: Begun,
    cursor: Cursor,
    pace: Pace,
    pages_total: Option<i32>,
    counts: Counts,
    terms: TermCounts,
    /// Products that already have a reported problem.
    reported: HashSet<String>,
    problems: Vec<Problem>,
    calls: Arc<AtomicU32>,
    reread: u32,
    withheld: u64,
    flags_changed: u64,
}

impl<'a> Pass<'a> {
    /// Creates a pass at its start or at its stored position. `since` limits it to changes from then on.
    pub(crate) fn new(cx: &'a Context, kind: RunKind, since: Option<DateTime<Utc>>, begun: Begun) -> Self {
        // An unreadable cursor of an older version means: start over.
        let cursor = serde_json::from_value(begun.cursor.clone()).unwrap_or_else(|_| Cursor {
            phase: Stage::Pages,
            pending: vec![since.map_or_else(Slice::default, Slice::changed_since)],
            at: None,
            moved: Vec::new(),
            again: false,
            incomplete: false,
            nameless: 0,
            samples: Vec::new(),
            refused: Refused::new(),
        });
        let pass = Self {
            cx,
            kind,
            cursor,
            pace: Pace::new(
                cx.settings.calls_per_minute,
                cx.settings.in_flight_at_first,
                cx.settings.max_in_flight,
                Instant::now(),
            ),
            pages_total: begun.pages_total,
            counts: begun.counts,
            terms: TermCounts::default(),
            reported: begun
                .problems
                .iter()
                .filter_map(|problem| problem.product.clone())
                .collect(),
            problems: begun.problems.clone(),
            calls: Arc::default(),
            reread: 0,
            withheld: 0,
            flags_changed: 0,
            begun,
        };
        pass.tell(RunStatus::Running);
        pass
    }

    /// Reads from the current position to the end.
    pub(crate) async fn go_through(&mut self, what: &What) -> Result<(), Stop> {
        if let What::Product(id) = what {
            return self.one_product(id).await;
        }
        loop {
            match self.cursor.phase {
                Stage::Pages => {
                    self.read_slices().await?;
                    if self.kind == RunKind::Incremental {
                        self.enter(Stage::Done, Vec::new()).await?;
                    } else {
                        let since = Slice::changed_since(self.begun.started_at - MARGIN);
                        self.enter(Stage::Changes, vec![since]).await?;
                    }
                }
                Stage::Changes => {
                    self.read_slices().await?;
                    if self.kind == RunKind::Full && self.falls_short().await? {
                        self.cursor.again = true;
                        let moved = std::mem::take(&mut self.cursor.moved);
                        self.enter(Stage::Pages, moved).await?;
                    } else {
                        self.enter(Stage::Missing, Vec::new()).await?;
                    }
                }
                Stage::Missing => {
                    self.look_up_missing().await?;
                    self.enter(Stage::Done, Vec::new()).await?;
                }
                Stage::Done => return Ok(()),
            }
        }
    }

    /// Updates the flags of games according to the changes.
    pub(crate) async fn refresh_flags(&mut self) -> Result<(), Stop> {
        let c = self.counts;
        if self.kind == RunKind::Full || c.created + c.updated + c.withdrawn > 0 {
            self.flags_changed = records::refresh_flags(&self.cx.store).await?;
        }
        Ok(())
    }

    /// Returns the result.
    pub(crate) fn report(&self, run: Run, took: Duration) -> Report {
        self.tell(run.status);
        Report {
            run_id: run.id,
            kind: run.kind,
            reason: run.reason,
            status: run.status,
            stopped_by: run.stopped_by,
            started_at: run.started_at,
            resumes: run.resumes,
            counts: run.counts,
            withheld: self.withheld,
            pages_reread: self.reread,
            calls: self.calls.load(Ordering::Relaxed),
            terms_created: self.terms,
            flags_changed: self.flags_changed,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            refused: self.cursor.refused.clone(),
            problems: run.problems,
        }
    }

    fn tell(&self, status: RunStatus) {
        let phase = match self.cursor.phase {
            _ if status != RunStatus::Running => Phase::Done,
            Stage::Pages => Phase::Pages,
            Stage::Changes => Phase::Changes,
            Stage::Missing => Phase::Missing,
            Stage::Done => Phase::Done,
        };
        self.cx.progress.send_replace(Some(Progress {
            run_id: self.begun.fence.run,
            kind: self.kind,
            phase,
            status,
            started_at: self.begun.started_at,
            pages_total: self.pages_total,
            counts: self.counts,
            terms_created: self.terms,
        }));
    }

    async fn enter(&mut self, stage: Stage, pending: Vec<Slice>) -> Result<(), Stop> {
        self.cursor.phase = stage;
        self.cursor.pending = pending;
        self.save(Batch::default()).await
    }
}
