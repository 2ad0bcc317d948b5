//! Reads slices from their last page down to the first, with concurrent calls where that helps, and compares the
//! products seen with G2A's count.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use lockstep_g2a::{Error as G2aError, ProductPage, ProductQuery};
use lockstep_store::sync::{self as records, RunKind};
use tokio::time::{Instant, timeout_at};

use super::patience::patiently;
use super::writing::Batch;
use super::{Pass, Stage, Stop};
use crate::position::{Position, Wanted};
use crate::slices::Slice;

/// Time for which the other calls in flight are awaited after one has failed.
const DRAIN: Duration = Duration::from_secs(15);

type Answers<'a> = FuturesUnordered<BoxFuture<'a, (Wanted, Result<ProductPage, G2aError>)>>;

impl Pass<'_> {
    fn out_of_stock_too(&self) -> bool {
        // Among changes, products that sold out matter too.
        self.kind != RunKind::Stock || self.cursor.phase == Stage::Changes
    }

    fn query(&self, slice: &Slice, page: u32) -> ProductQuery {
        slice.query(page, self.out_of_stock_too())
    }

    /// Requests a page. The request only progresses while it is awaited: during a write no answer is received.
    fn ask(&self, query: ProductQuery) -> impl Future<Output = Result<ProductPage, G2aError>> + Send + use<> {
        let (client, calls) = (self.cx.client.clone(), Arc::clone(&self.calls));
        async move { patiently(&calls, || client.products(&query)).await }
    }

    async fn page(&self, slice: &Slice, page: u32) -> Result<ProductPage, Stop> {
        Ok(self.ask(self.query(slice, page)).await?)
    }

    pub(super) async fn read_slices(&mut self) -> Result<(), Stop> {
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

    /// Gets the length of the next slice: reads a single page, divides a slice that is too long, and starts any other.
    async fn open(&mut self, slice: Slice) -> Result<(), Stop> {
        let first = self.page(&slice, 1).await?;
        self.cursor.pending.pop();
        let shown = first.products.len() + first.unreadable.len();
        let size = u32::try_from(shown).unwrap_or(u32::MAX);
        if first.total <= shown as u64 {
            return self.write_page(first).await;
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
        // A tenth is left for products that are added during the read.
        if pages > (self.cx.settings.max_page * 9 / 10).max(1) {
            if let Some((low, high)) = slice.split(self.cx.clock.now()) {
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

    /// Reads the cursor's slice from its page down to the first.
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
        self.write_page(page).await?;
        self.pace.written(1, Instant::now());
        Ok(())
    }

    /// Writes the calls in flight that are still answered, so that they need not be repeated.
    async fn drain(&mut self, mut answers: Answers<'_>) -> Result<(), Stop> {
        let end = Instant::now() + DRAIN;
        while let Ok(Some((asked, answer))) = timeout_at(end, answers.next()).await {
            if let Ok(page) = answer {
                self.take_in(asked, page).await?;
            }
        }
        Ok(())
    }

    /// Whether products were missed that another read of the changed slices may find. If all were read again and far
    /// too many are missing, the pass has failed.
    pub(super) async fn falls_short(&mut self) -> Result<bool, Stop> {
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
}
