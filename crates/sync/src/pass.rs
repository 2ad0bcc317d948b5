//! One pass over a list that changes while it is read.
//!
//! Pages are read from the last to the first. G2A lists by ascending id, so a product that disappears moves others
//! towards pages that are still to come, and a new one comes after the end: neither hides anything. Only a product that
//! comes in between (its price moved into the slice) pushes others onto a page that was read already; then the total
//! rises, and the pages around are read again. What moved from one slice to another has changed, so reading everything
//! that changed since the pass began finds it. At the end the number of products met is held against G2A's own.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, StreamExt as _};
use lockstep_g2a::{
    BudgetError, Code, Error as G2aError, NotSent, Product, ProductPage, ProductQuery, Repeat, TokenFailure,
};
use lockstep_store::StoreError;
use lockstep_store::sync::{
    self as records, Among, Begun, Counts, Listing, Problem, Run, RunKind, RunStatus, Scope, Step, TermCounts, Written,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout_at;

use crate::mapping;
use crate::pace::Pace;
use crate::position::{Position, Wanted};
use crate::report::{Phase, Progress, Report};
use crate::slices::Slice;
use crate::{Context, MARGIN, What, chain};

/// How often a call waits because G2A or the budget asks to slow down.
const MAX_WAITS: u32 = 20;
/// Longest single wait.
const MAX_WAIT: Duration = Duration::from_mins(5);
/// When one call has failed, how long the others that are under way are still waited for.
const DRAIN: Duration = Duration::from_secs(15);
/// Products that are looked up one by one in a pass; the others wait for the next.
const MAX_LOOKUPS: usize = 2_000;
/// So many may always be missing.
const MISSING_ALLOWED: usize = 50;
/// Problems that are kept.
const MAX_PROBLEMS: usize = 100;

/// Why a pass did not reach its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Somebody has to do something before it can succeed.
    Failed(String),
    /// It can go on later.
    Interrupted(String),
    /// The database failed, or somebody else has begun.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<G2aError> for Stop {
    fn from(error: G2aError) -> Self {
        let refused_us = matches!(error.status(), Some(401 | 403))
            || matches!(
                error.code(),
                Some(Code::NoAuthorization | Code::WrongCredentials | Code::AddressNotAllowed | Code::NoPrivilege)
            )
            || matches!(
                &error,
                G2aError::NotSent {
                    reason: NotSent::Token(TokenFailure::Refused { .. }),
                    ..
                }
            );
        let text = chain(&error);
        if error.code() == Some(&Code::AddressNotAllowed) {
            Self::Failed(format!(
                "{text}; the address of this machine is not on the list of the G2A account"
            ))
        } else if refused_us {
            Self::Failed(format!(
                "{text}; G2A does not accept the credentials: check G2A_API_HASH, G2A_API_EMAIL and G2A_API_SECRET"
            ))
        } else if error.repeat() == Repeat::Never {
            Self::Failed(text)
        } else {
            Self::Interrupted(text)
        }
    }
}

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Pages,
    Changes,
    Missing,
    Done,
}

/// What one transaction writes.
#[derive(Default)]
struct Batch {
    listings: Vec<Listing>,
    /// Met, usable or not.
    met: Vec<String>,
    /// Not there any more.
    gone: Vec<String>,
    counts: Counts,
    problems: Vec<Problem>,
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

    // Reading.

    fn out_of_stock_too(&self) -> bool {
        // Of what has changed, what has sold out matters as well.
        self.kind != RunKind::Stock || self.cursor.phase == Stage::Changes
    }

    fn query(&self, slice: &Slice, page: u32) -> ProductQuery {
        slice.query(page, self.out_of_stock_too())
    }

    /// Asks for a page. It makes way only while it is waited for: what a write holds up is not taken in meanwhile.
    fn ask(&self, query: ProductQuery) -> impl Future<Output = Result<ProductPage, G2aError>> + Send + use<> {
        let (client, calls) = (self.cx.client.clone(), Arc::clone(&self.calls));
        async move { patiently(&calls, || client.products(&query)).await }
    }

    async fn page(&self, slice: &Slice, page: u32) -> Result<ProductPage, Stop> {
        Ok(self.ask(self.query(slice, page)).await?)
    }

    async fn read_slices(&mut self) -> Result<(), Stop> {
        loop {
            if self.cursor.at.is_some() {
                self.read_downwards().await?;
            }
            let Some(slice) = self.cursor.pending.last().cloned() else {
                return Ok(());
            };
            self.open(slice).await?;
        }
    }

    /// Looks how long the next slice is: reads it if it is a single page, cuts it if it is too long, and begins it
    /// otherwise.
    async fn open(&mut self, slice: Slice) -> Result<(), Stop> {
        let first = self.page(&slice, 1).await?;
        self.cursor.pending.pop();
        let shown = first.products.len() + first.unreadable.len();
        let size = u32::try_from(shown).unwrap_or(u32::MAX);
        if first.total <= shown as u64 {
            return self.write_pages(vec![first]).await;
        }
        if shown == 0 {
            return Err(Stop::Interrupted(format!(
                "G2A counts {} products and lists none of them",
                first.total
            )));
        }
        let mut pages = u32::try_from(first.total.div_ceil(u64::from(size))).unwrap_or(u32::MAX);
        if self.pages_total.is_none() {
            self.pages_total = i32::try_from(pages).ok();
        }
        // A tenth is left free for what is added while it is read.
        if pages > (self.cx.settings.max_page * 9 / 10).max(1) {
            if let Some((low, high)) = slice.split(Utc::now()) {
                self.cursor.pending.extend([high, low]);
                return self.save(Batch::default()).await;
            }
            if pages > self.cx.settings.max_page {
                self.note(format!(
                    "{} products share one price and one moment of change, more than G2A gives out; \
                     nothing is withdrawn after this pass",
                    first.total
                ));
                self.cursor.incomplete = true;
                pages = self.cx.settings.max_page;
            }
        }
        self.cursor.at = Some(Position::at_the_end(slice, pages, size, first.total));
        self.save(Batch::default()).await
    }

    /// Reads the slice of the cursor from its page down to the first.
    async fn read_downwards(&mut self) -> Result<(), Stop> {
        let (mut answers, mut under_way) = (FuturesUnordered::new(), Vec::new());
        loop {
            while answers.len() < self.pace.window()
                && let Some((wanted, query)) = self.next_wanted(&under_way)
            {
                under_way.push(wanted);
                let answer = self.ask(query);
                let asked: BoxFuture<'_, _> = Box::pin(async move { (wanted, answer.await) });
                answers.push(asked);
            }
            let Some((asked, answer)) = answers.next().await else {
                return Ok(());
            };
            under_way.retain(|one| *one != asked);
            match answer {
                Ok(page) => self.take_in(asked, page).await?,
                Err(error) => {
                    self.drain(answers).await?;
                    return Err(error.into());
                }
            }
        }
    }

    fn next_wanted(&self, under_way: &[Wanted]) -> Option<(Wanted, ProductQuery)> {
        let at = self.cursor.at.as_ref()?;
        let wanted = at.wanted(under_way)?;
        Some((wanted, self.query(&at.slice, wanted.page)))
    }

    /// Writes a page together with the record that it is written.
    async fn take_in(&mut self, asked: Wanted, page: ProductPage) -> Result<(), Stop> {
        if let Some(at) = &mut self.cursor.at {
            at.take_in(asked, page.total, self.cx.settings.max_page);
            self.reread += u32::from(asked.again);
            if at.is_done() {
                let done = self.cursor.at.take();
                let moved = done.filter(Position::has_moved).map(|at| at.slice);
                let new = moved.filter(|slice| !self.cursor.moved.contains(slice));
                self.cursor.moved.extend(new);
            }
        }
        self.write_pages(vec![page]).await?;
        self.pace.written(1, Instant::now());
        Ok(())
    }

    /// Writes what is still answered of the calls that are under way, so that nobody has to make them again.
    async fn drain(&mut self, mut answers: Answers<'_>) -> Result<(), Stop> {
        let end = tokio::time::Instant::now() + DRAIN;
        while let Ok(Some((asked, answer))) = timeout_at(end, answers.next()).await {
            if let Ok(page) = answer {
                self.take_in(asked, page).await?;
            }
        }
        Ok(())
    }

    /// Whether products were overlooked that reading the moved slices again may bring to light. When none is left to
    /// be read again and far too many are missing the pass has failed.
    async fn falls_short(&mut self) -> Result<bool, Stop> {
        if self.cursor.incomplete {
            return Ok(false);
        }
        let listed = self.page(&Slice::default(), 1).await?.total;
        let fence = self.begun.fence;
        let met: i64 = self
            .cx
            .store
            .tx("sync.count_seen", move |tx| {
                Box::pin(async move { records::count_seen(tx, &fence).await })
            })
            .await?;
        let met = u64::try_from(met).unwrap_or(0) + self.cursor.nameless;
        if met >= listed {
            return Ok(false);
        }
        if !self.cursor.again && !self.cursor.moved.is_empty() {
            return Ok(true);
        }
        if listed - met > (listed / 50).max(20) {
            return Err(Stop::Failed(format!(
                "G2A counts {listed} products and gave out only {met} of them; nothing is withdrawn"
            )));
        }
        self.note(format!("G2A counts {listed} products, {met} were met"));
        Ok(false)
    }

    // Writing.

    async fn write_pages(&mut self, pages: Vec<ProductPage>) -> Result<(), Stop> {
        let mut batch = Batch::default();
        batch.counts.pages_read = i32::try_from(pages.len()).unwrap_or(i32::MAX);
        for page in pages {
            for unreadable in page.unreadable {
                batch.counts.seen += 1;
                batch.counts.skipped += 1;
                self.cursor.nameless += u64::from(unreadable.id.is_none());
                self.problem(&mut batch, unreadable.id.clone(), unreadable.reason.to_owned());
                batch.met.extend(unreadable.id);
            }
            for product in page.products {
                self.add(&mut batch, product);
            }
        }
        if let Some(sample) = batch.listings.last() {
            self.cursor.samples.insert(0, sample.g2a_product_id.clone());
            self.cursor.samples.truncate(3);
        }
        self.save(batch).await
    }

    /// Adds a product to what is written, or to what is told.
    fn add(&mut self, batch: &mut Batch, product: Product) {
        batch.counts.seen += 1;
        match mapping::listing(&product, &self.cx.settings.pricing) {
            Ok(listing) => batch.listings.push(listing),
            Err(bad) => {
                batch.counts.skipped += 1;
                self.problem(batch, Some(product.id.clone()), bad.to_string());
            }
        }
        batch.met.push(product.id);
    }

    /// Tells of a problem, once for each product.
    fn problem(&mut self, batch: &mut Batch, product: Option<String>, reason: String) {
        let known = product.as_ref().is_some_and(|id| self.reported.contains(id));
        if !known && self.problems.len() < MAX_PROBLEMS {
            self.reported.extend(product.clone());
            let problem = Problem { product, reason };
            self.problems.push(problem.clone());
            batch.problems.push(problem);
        }
    }

    /// Tells of something that is not about one product; written with the next batch.
    fn note(&mut self, reason: String) {
        tracing::warn!(run.id = %self.begun.fence.run, "{reason}");
        self.problems.push(Problem { product: None, reason });
    }

    fn scope(&self) -> Scope {
        if self.kind == RunKind::Stock {
            Scope::PriceAndStock
        } else {
            Scope::Everything
        }
    }

    /// Writes a batch together with the cursor, in one transaction.
    async fn save(&mut self, mut batch: Batch) -> Result<(), Stop> {
        // Notes go first in the record: they matter more than single products.
        let noted = self
            .problems
            .iter()
            .filter(|p| p.product.is_none() && !self.begun.problems.contains(p));
        let noted: Vec<Problem> = noted.cloned().collect();
        self.begun.problems.extend(noted.iter().cloned());
        batch
            .problems
            .retain(|problem| problem.product.is_some() || !noted.contains(problem));
        batch.problems.splice(0..0, noted);

        let cursor = serde_json::to_value(&self.cursor).unwrap_or_default();
        let least = self.counts.pages_read + batch.counts.pages_read;
        self.pages_total = self.pages_total.map(|total| total.max(least));
        let batch = Arc::new(batch);
        let mut slug_taken = 0;
        let (counts, terms) = loop {
            match self.write(&batch, &cursor).await {
                // Somebody has taken an address in this very moment: the next attempt sees it.
                Err(StoreError::Rule { constraint, .. }) if constraint == "games_slug_key" && slug_taken < 3 => {
                    slug_taken += 1;
                }
                Err(StoreError::Rule { .. }) if !batch.listings.is_empty() => {
                    break self.write_one_by_one(&batch, &cursor).await?;
                }
                result => break result?,
            }
        };
        self.counts = self.counts.plus(counts);
        self.terms = self.terms.plus(terms);
        self.tell(RunStatus::Running);
        Ok(())
    }

    async fn write(&self, batch: &Arc<Batch>, cursor: &serde_json::Value) -> Result<(Counts, TermCounts), StoreError> {
        let (fence, scope, kind, pages_total) = (self.begun.fence, self.scope(), self.kind, self.pages_total);
        let (batch, cursor) = (Arc::clone(batch), cursor.clone());
        self.cx
            .store
            .tx("sync.write", move |tx| {
                let (batch, cursor) = (Arc::clone(&batch), cursor.clone());
                Box::pin(async move {
                    let written = records::write(tx, &fence, &batch.listings, scope).await?;
                    if matches!(kind, RunKind::Full | RunKind::Stock) && !batch.met.is_empty() {
                        let met: Vec<&str> = batch.met.iter().map(String::as_str).collect();
                        records::mark_seen(tx, &fence, &met).await?;
                    }
                    let mut withdrawn = 0;
                    if !batch.gone.is_empty() {
                        let gone: Vec<&str> = batch.gone.iter().map(String::as_str).collect();
                        withdrawn = if kind == RunKind::Full {
                            records::withdraw(tx, &fence, &gone).await?
                        } else {
                            records::sell_out(tx, &fence, &gone).await?
                        };
                    }
                    let withdrawn = i32::try_from(withdrawn).unwrap_or(i32::MAX);
                    let counts = counted(&batch, written, withdrawn);
                    let problems = batch.problems.clone();
                    records::record(
                        tx,
                        &fence,
                        &Step {
                            cursor,
                            pages_total,
                            counts,
                            problems,
                        },
                    )
                    .await?;
                    Ok((counts, written.terms))
                })
            })
            .await
    }

    /// A row that breaks a rule of the database must not keep the others of its page out. Each is written by itself;
    /// those that fail are told, and the batch is recorded without rows.
    async fn write_one_by_one(
        &mut self,
        batch: &Arc<Batch>,
        cursor: &serde_json::Value,
    ) -> Result<(Counts, TermCounts), StoreError> {
        let (fence, scope) = (self.begun.fence, self.scope());
        let mut rest = Batch {
            listings: Vec::new(),
            met: batch.met.clone(),
            gone: batch.gone.clone(),
            counts: batch.counts,
            problems: batch.problems.clone(),
        };
        let mut terms = TermCounts::default();
        for at in 0..batch.listings.len() {
            let alone = Arc::clone(batch);
            let result = self
                .cx
                .store
                .tx("sync.write_one", move |tx| {
                    let alone = Arc::clone(&alone);
                    Box::pin(async move {
                        let one = alone.listings.get(at).map(std::slice::from_ref).unwrap_or_default();
                        records::write(tx, &fence, one, scope).await
                    })
                })
                .await;
            let reason = match result {
                Ok(one) => {
                    rest.counts.created += one.created;
                    rest.counts.updated += one.updated;
                    rest.counts.unchanged += one.unchanged;
                    terms = terms.plus(one.terms);
                    continue;
                }
                Err(StoreError::Rule { constraint, .. }) => constraint,
                Err(error) => return Err(error),
            };
            rest.counts.skipped += 1;
            let id = batch.listings.get(at).map(|listing| listing.g2a_product_id.clone());
            self.problem(&mut rest, id, format!("the database refused it: {reason}"));
        }
        let (counts, _) = self.write(&Arc::new(rest), cursor).await?;
        Ok((counts, terms))
    }

    // Looking up single products.

    /// Asks G2A by id for every game that the pass should have met and has not: what is there is written, what is gone
    /// is withdrawn (by a stock check: sold out). Nothing is, when too much is gone to be believed.
    async fn look_up_missing(&mut self) -> Result<(), Stop> {
        if self.cursor.incomplete && self.kind == RunKind::Full {
            return Ok(());
        }
        let fence = self.begun.fence;
        let among = if self.kind == RunKind::Full {
            Among::Listed
        } else {
            Among::InStock
        };
        let read = self.cx.store.tx("sync.missing", move |tx| {
            Box::pin(async move {
                let missing = records::unseen(tx, &fence, among).await?;
                Ok::<_, StoreError>((missing, records::count_known(tx, among).await?))
            })
        });
        let (missing, known) = read.await?;
        if missing.is_empty() {
            return Ok(());
        }
        let known = usize::try_from(known).unwrap_or(0);
        let percent = usize::try_from(self.cx.settings.max_missing_percent).unwrap_or(100);
        if missing.len() > MISSING_ALLOWED && missing.len().saturating_mul(100) > known.saturating_mul(percent) {
            self.withheld = missing.len() as u64;
            self.note(format!(
                "{} of {known} games are missing at G2A, more than {percent} percent: that is not believed, \
                 they stay as they are",
                missing.len()
            ));
            return Ok(());
        }
        if !self.lookups_work().await? {
            self.withheld = missing.len() as u64;
            self.note(format!(
                "{} games are missing at G2A, but it does not find single products that it lists either; \
                 they stay as they are",
                missing.len()
            ));
            return Ok(());
        }
        let (now, later) = missing.split_at(missing.len().min(MAX_LOOKUPS));
        if !later.is_empty() {
            self.note(format!(
                "{} more games were not met; the next pass looks them up",
                later.len()
            ));
        }
        let (client, calls) = (self.cx.client.clone(), Arc::clone(&self.calls));
        let mut answers = stream::iter(now.to_vec())
            .map(|id| {
                let (client, calls) = (client.clone(), Arc::clone(&calls));
                async move {
                    let found = patiently(&calls, || client.product(&id)).await;
                    (id, found)
                }
            })
            .buffer_unordered(self.cx.settings.max_in_flight.max(1))
            .boxed();
        // Each is written as it comes, for the same reason as pages are.
        while let Some((id, found)) = answers.next().await {
            let mut batch = Batch::default();
            match found {
                Ok(Some(product)) => self.add(&mut batch, product),
                Ok(None) => batch.gone.push(id),
                // It is there, only not to be read; or G2A does not take the question. No reason to let it go.
                Err(error @ G2aError::BadAnswer { .. }) => self.doubt(&mut batch, &id, &error),
                Err(error @ G2aError::Refused { .. })
                    if error.repeat() == Repeat::Never && !matches!(error.status(), Some(401 | 403)) =>
                {
                    self.doubt(&mut batch, &id, &error);
                }
                Err(error) => return Err(error.into()),
            }
            self.save(batch).await?;
        }
        Ok(())
    }

    fn doubt(&mut self, batch: &mut Batch, id: &str, error: &G2aError) {
        batch.met.push(id.to_owned());
        self.problem(
            batch,
            Some(id.to_owned()),
            format!("it was not listed and cannot be looked up: {}", chain(error)),
        );
    }

    async fn look_up(&self, id: &str) -> Result<Option<Product>, G2aError> {
        patiently(&self.calls, || self.cx.client.product(id)).await
    }

    /// Whether asking for a single product finds one that was just listed.
    async fn lookups_work(&self) -> Result<bool, Stop> {
        for sample in &self.cursor.samples {
            if self.look_up(sample).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn one_product(&mut self, id: &str) -> Result<(), Stop> {
        let mut batch = Batch::default();
        if let Some(product) = self.look_up(id).await? {
            self.add(&mut batch, product);
        } else {
            // Withdrawing is for complete passes.
            batch.gone.push(id.to_owned());
            self.problem(&mut batch, Some(id.to_owned()), "G2A does not list it".to_owned());
        }
        self.save(batch).await
    }
}

type Answers<'a> = FuturesUnordered<BoxFuture<'a, (Wanted, Result<ProductPage, G2aError>)>>;

/// What a batch adds to the counts of its run.
fn counted(batch: &Batch, written: Written, withdrawn: i32) -> Counts {
    let usable = i32::try_from(batch.listings.len()).unwrap_or(i32::MAX);
    batch.counts.plus(Counts {
        created: written.created,
        updated: written.updated,
        // A product that was met twice needs no second change.
        unchanged: usable - written.created - written.updated,
        withdrawn,
        ..Counts::default()
    })
}

/// Calls until there is an answer that is not "slow down", within reason. The client has repeated what can be repeated.
async fn patiently<T, F: Future<Output = Result<T, G2aError>>>(
    calls: &AtomicU32,
    call: impl Fn() -> F,
) -> Result<T, G2aError> {
    let mut waits = 0;
    loop {
        calls.fetch_add(1, Ordering::Relaxed);
        match call().await {
            Err(error)
                if waits < MAX_WAITS
                    && let Some(wait) = asked_to_wait(&error) =>
            {
                waits += 1;
                tokio::time::sleep(wait.min(MAX_WAIT)).await;
            }
            result => return result,
        }
    }
}

/// How long to wait, if waiting is all that is needed.
fn asked_to_wait(error: &G2aError) -> Option<Duration> {
    let busy = error.status() == Some(429)
        || error.code() == Some(&Code::TooManyRequests)
        || matches!(
            &error,
            G2aError::NotSent {
                reason: NotSent::Token(TokenFailure::RateLimited { .. }),
                ..
            }
        );
    let no_call_free = matches!(
        &error,
        G2aError::NotSent {
            reason: NotSent::Budget(BudgetError::TimedOut { .. }),
            ..
        }
    );
    match error.repeat() {
        Repeat::Safe(wait) if busy => Some(wait.unwrap_or(Duration::from_secs(5))),
        // It has waited in the budget already.
        Repeat::Safe(_) if no_call_free => Some(Duration::ZERO),
        _ => None,
    }
}
