//! The supplier: jobs, history, calls, reservations, incidents; and cached answers.

use std::time::Duration;

use lockstep_auth::Admin;
use lockstep_domain::Money;
use lockstep_domain::admin::{
    IncidentList, IncidentRow, JobList, JobRow, Page, ReservationList, SupplierBudget, SupplierMetrics, SyncRunList,
};
use lockstep_domain::cache_pattern::CachePattern;
use lockstep_domain::ids::UnitId;
use lockstep_domain::staff::Permission;
use lockstep_store::admin::supplier::{self, job_row};
use lockstep_store::fulfilment::{EmailSettings, NotRefundable};
use lockstep_store::jobs::{self, Job, Lane, Which};
use lockstep_store::{Result, invalidation};
use tokio::time::Instant;
use uuid::Uuid;

use crate::changes::by_staff;
use crate::{BackOffice, CloseError, JobCancelled, NewJob, ReservationFilter, Submitted};

/// How often the end of a job is looked for while nothing tells of it: without a reader of the log in this process, or while
/// it cannot be read.
const LOOK: Duration = Duration::from_secs(1);
/// Minimum time between two looks.
const CALM: Duration = Duration::from_millis(50);

/// Most products that the categories of a request may stand for.
pub const MAX_PRODUCTS: usize = 1_000;

impl BackOffice {
    /// Asks for a job, which a worker does. Returns the open job instead if there is one.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.submit_job", skip_all, fields(kind = new.kind.as_str()))]
    pub async fn submit_job(&self, by: &Admin, new: &NewJob) -> Result<Submitted> {
        jobs::submit(&self.store, &by_staff(by), new).await
    }

    /// Waits for the end of a job, for at most `within`, and returns its state then.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn wait_for_job(&self, by: &Admin, job: Job, within: Duration) -> Result<Job> {
        let until = Instant::now() + within;
        let (mut job, mut news) = (job, self.news.clone());
        while !job.state.has_ended() && Instant::now() < until {
            // Before the look, so that an end after it counts as new.
            if let Some(news) = &mut news {
                news.mark_unchanged();
            }
            match self.job(by, job.id).await? {
                Some(now) => job = now,
                None => break,
            }
            if !job.state.has_ended() {
                let next = until.min(Instant::now() + LOOK);
                let told = async {
                    let changed = match &mut news {
                        Some(news) => news.changed().await.is_ok(),
                        None => false,
                    };
                    if !changed {
                        std::future::pending::<()>().await;
                    }
                };
                // Either is a reason to look. In a busy shop there is news all the time.
                let calm = Instant::now() + CALM;
                let _elapsed = tokio::time::timeout_at(next, told).await;
                tokio::time::sleep_until(calm).await;
            }
        }
        Ok(job)
    }

    /// A job.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn job(&self, _by: &Admin, id: Uuid) -> Result<Option<Job>> {
        jobs::by_id(&self.store, id).await
    }

    /// A job as it is shown.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn job_shown(&self, by: &Admin, id: Uuid) -> Result<Option<JobRow>> {
        Ok(self.job(by, id).await?.map(job_row))
    }

    /// The jobs, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn jobs(&self, _by: &Admin, page: Page) -> Result<JobList> {
        let read = self.store.read(|tx| Box::pin(supplier::job_list(tx, page))).await?;
        Ok(read.value)
    }

    /// Cancels the open synchronisation that staff asked for; `None` if there is none.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn cancel_sync(&self, by: &Admin) -> Result<Option<JobCancelled>> {
        jobs::cancel(&self.store, &by_staff(by), Which::Catalogue).await
    }

    /// Cancels an open job, of any kind; `None` if it is not open.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn cancel_job(&self, by: &Admin, id: Uuid) -> Result<Option<JobCancelled>> {
        jobs::cancel(&self.store, &by_staff(by), Which::Job(id)).await
    }

    /// The open synchronisation that staff asked for.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn open_sync(&self, _by: &Admin) -> Result<Option<Job>> {
        let read = self.store.read(|tx| Box::pin(jobs::open(tx, Lane::Catalogue))).await?;
        Ok(read.value)
    }

    /// G2A's ids of the listed games in one of these categories, at most one more than [`MAX_PRODUCTS`].
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn products_in(&self, _by: &Admin, categories: &[String]) -> Result<Vec<String>> {
        let most = i64::try_from(MAX_PRODUCTS + 1).unwrap_or(i64::MAX);
        jobs::products_in(&self.store, categories, most).await
    }

    /// Whether a worker runs, which does jobs.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn has_worker(&self, _by: &Admin) -> Result<bool> {
        let read = self.store.read(|tx| Box::pin(supplier::has_worker(tx))).await?;
        Ok(read.value)
    }

    /// The runs of the synchronisation, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn sync_runs(&self, _by: &Admin, page: Page) -> Result<SyncRunList> {
        let read = self.store.read(|tx| Box::pin(supplier::run_list(tx, page))).await?;
        Ok(read.value)
    }

    /// Calls to the supplier and webhooks of all processes.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn supplier_metrics(&self, _by: &Admin) -> Result<SupplierMetrics> {
        Ok(self.store.read(|tx| Box::pin(supplier::metrics(tx))).await?.value)
    }

    /// The request budget, the workers' circuit breakers and what stops all buying.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn supplier_budget(&self, _by: &Admin) -> Result<SupplierBudget> {
        Ok(self.store.read(|tx| Box::pin(supplier::budget(tx))).await?.value)
    }

    /// Units that are being bought at the supplier.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn reservations(&self, by: &Admin, filter: &ReservationFilter, page: Page) -> Result<ReservationList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { supplier::reservations(tx, &filter, page).await }));
        let mut list = read.await?.value;
        if !by.may(Permission::OrdersRead) {
            for row in &mut list.reservations {
                row.order = None;
            }
        }
        Ok(list)
    }

    /// Gives up a unit that nothing has been paid for at the supplier, and refunds it; returns the amount, EUR.
    ///
    /// # Errors
    /// [`NotRefundable`]; then nothing has changed.
    pub async fn cancel_reservation(&self, by: &Admin, unit: UnitId) -> Result<Money, NotRefundable> {
        supplier::cancel_reservation(&self.store, &by_staff(by), unit, &EmailSettings::default()).await
    }

    /// Incidents, newest first: open ones, closed ones, or all.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn incidents(&self, _by: &Admin, open: Option<bool>, page: Page) -> Result<IncidentList> {
        let read = self
            .store
            .read(|tx| Box::pin(supplier::incidents(tx, open, page)))
            .await?;
        Ok(read.value)
    }

    /// Closes an incident with a note of 1 to 500 characters, and returns it.
    ///
    /// # Errors
    /// [`CloseError`]; then nothing has changed.
    pub async fn close_incident(&self, by: &Admin, id: Uuid, note: &str) -> Result<IncidentRow, CloseError> {
        supplier::close_incident(&self.store, &by_staff(by), id, note).await
    }

    /// Makes the cached answers that a pattern covers invalid in all processes.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn drop_answers(&self, by: &Admin, pattern: &CachePattern) -> Result<()> {
        invalidation::drop_answers(&self.store, &by_staff(by), &pattern.to_string(), pattern.tags()).await
    }
}
