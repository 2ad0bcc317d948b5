//! One pass over a list that changes while it is read.
//!
//! Pages are read from the last to the first. G2A lists by ascending id, so a product that disappears moves others
//! towards pages that are still to come, and a new one comes after the end: neither hides anything. Only a product that
//! comes in between (its price moved into the slice) pushes others onto a page that was read already; then the total
//! rises, and the pages around are read again. What moved from one slice to another has changed, so reading everything
//! that changed since the pass began finds it. At the end the number of products met is held against G2A's own.
//!
//! `reading` goes through the pages, `lookups` asks for single products, `writing` writes both; `patience` waits when G2A
//! asks to, `stop` tells why a pass does not reach its end.

mod lookups;
mod patience;
mod reading;
mod stop;
mod writing;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lockstep_store::sync::{self as records, Begun, Counts, Problem, Run, RunKind, RunStatus, TermCounts};
use serde::{Deserialize, Serialize};

use crate::mapping::Refused;
use crate::pace::Pace;
use crate::position::Position;
use crate::report::{Phase, Progress, Report};
use crate::slices::Slice;
use crate::{Context, MARGIN, What};

pub(crate) use stop::Stop;
use writing::Batch;

/// Where a pass stands; kept with the run, so that it can be taken up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cursor {
    phase: Stage,
    /// Slices still to be read, the next one last.
    pending: Vec<Slice>,
    /// The slice that is being read.
    at: Option<Position>,
    /// Slices that moved while they were read.
    moved: Vec<Slice>,
    /// Those have been read a second time.
    again: bool,
    /// Some slice could not be cut short enough to be read completely.
    incomplete: bool,
    /// Products whose id could not be read.
    nameless: u64,
    /// A few products that are certainly there.
    samples: Vec<String>,
    /// What was not taken over, by reason.
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
    /// Products that a problem was told of already.
    reported: HashSet<String>,
    problems: Vec<Problem>,
    calls: Arc<AtomicU32>,
    reread: u32,
    withheld: u64,
    flags_changed: u64,
}

impl<'a> Pass<'a> {
    /// A pass at its beginning, or where it was left. `since` bounds it to what changed from then on.
    pub(crate) fn new(cx: &'a Context, kind: RunKind, since: Option<DateTime<Utc>>, begun: Begun) -> Self {
        // A cursor that an older version has written and this one cannot read means: from the beginning.
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

    /// To the end, from wherever it stands.
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

    /// Brings the flags in line with what has changed.
    pub(crate) async fn refresh_flags(&mut self) -> Result<(), Stop> {
        let c = self.counts;
        if self.kind == RunKind::Full || c.created + c.updated + c.withdrawn > 0 {
            self.flags_changed = records::refresh_flags(&self.cx.store).await?;
        }
        Ok(())
    }

    /// What came of it.
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
