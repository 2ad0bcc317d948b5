//! Writes products together with the record of the position, in one transaction. A row that the database refuses does
//! not affect the others.

use std::sync::Arc;

use lockstep_g2a::{Product, ProductPage};
use lockstep_store::StoreError;
use lockstep_store::sync::{
    self as records, Counts, Listing, Problem, RunKind, RunStatus, Scope, Step, TermCounts, Written,
};

use super::{Pass, Stop};
use crate::mapping;

/// Maximum number of problems in the record.
const MAX_PROBLEMS: usize = 100;

/// The content of one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) listings: Vec<Listing>,
    /// Products seen, usable or not.
    pub(super) met: Vec<String>,
    /// Products that no longer exist.
    pub(super) gone: Vec<String>,
    pub(super) counts: Counts,
    pub(super) problems: Vec<Problem>,
}

impl Pass<'_> {
    pub(super) async fn write_page(&mut self, page: ProductPage) -> Result<(), Stop> {
        let mut batch = Batch::default();
        batch.counts.pages_read = 1;
        for unreadable in page.unreadable {
            batch.counts.seen += 1;
            batch.counts.skipped += 1;
            self.cursor.nameless += u64::from(unreadable.id.is_none());
            self.refuse(unreadable.reason);
            self.problem(&mut batch, unreadable.id.clone(), unreadable.reason.to_owned());
            batch.met.extend(unreadable.id);
        }
        for product in page.products {
            self.add(&mut batch, product);
        }
        if let Some(sample) = batch.listings.last() {
            self.cursor.samples.insert(0, sample.g2a_product_id.clone());
            self.cursor.samples.truncate(3);
        }
        self.save(batch).await
    }

    /// Adds a product to the rows to write or to the problems.
    pub(super) fn add(&mut self, batch: &mut Batch, product: Product) {
        batch.counts.seen += 1;
        match mapping::listing(&product, &self.cx.settings.pricing, &mut self.cursor.refused) {
            Ok(listing) => batch.listings.push(listing),
            Err(bad) => {
                batch.counts.skipped += 1;
                self.refuse(&bad.to_string());
                self.problem(batch, Some(product.id.clone()), bad.to_string());
            }
        }
        batch.met.push(product.id);
    }

    /// Counts a rejected product.
    fn refuse(&mut self, reason: &str) {
        *self.cursor.refused.entry(format!("product: {reason}")).or_default() += 1;
    }

    /// Reports a problem, once for each product.
    pub(super) fn problem(&mut self, batch: &mut Batch, product: Option<String>, reason: String) {
        let known = product.as_ref().is_some_and(|id| self.reported.contains(id));
        if !known && self.problems.len() < MAX_PROBLEMS {
            self.reported.extend(product.clone());
            let problem = Problem { product, reason };
            self.problems.push(problem.clone());
            batch.problems.push(problem);
        }
    }

    /// Reports a problem of the run as a whole, written with the next batch.
    pub(super) fn note(&mut self, reason: String) {
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
    pub(super) async fn save(&mut self, mut batch: Batch) -> Result<(), Stop> {
        // Notes come first in the record: they matter more than single products.
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
                // Another writer has just taken the slug: the next attempt sees it.
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
        let pricing = self.cx.settings.pricing;
        let (batch, cursor) = (Arc::clone(batch), cursor.clone());
        self.cx
            .store
            .tx("sync.write", move |tx| {
                let (batch, cursor) = (Arc::clone(&batch), cursor.clone());
                Box::pin(async move {
                    let written = records::write(tx, &fence, &batch.listings, scope, &pricing).await?;
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

    /// Isolates a row that violates a constraint of the database. Writes each row separately, reports those that fail,
    /// and records the batch without rows.
    async fn write_one_by_one(
        &mut self,
        batch: &Arc<Batch>,
        cursor: &serde_json::Value,
    ) -> Result<(Counts, TermCounts), StoreError> {
        let (fence, scope, pricing) = (self.begun.fence, self.scope(), self.cx.settings.pricing);
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
                        records::write(tx, &fence, one, scope, &pricing).await
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
}

/// The counts that a batch adds to its run.
fn counted(batch: &Batch, written: Written, withdrawn: i32) -> Counts {
    let usable = i32::try_from(batch.listings.len()).unwrap_or(i32::MAX);
    batch.counts.plus(Counts {
        created: written.created,
        updated: written.updated,
        // A product that was seen twice needs no second change.
        unchanged: usable - written.created - written.updated,
        withdrawn,
        ..Counts::default()
    })
}
