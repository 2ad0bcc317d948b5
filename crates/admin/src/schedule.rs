//! Scheduled changes of games.

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::admin::{Page, ScheduledChangeList, ScheduledChangeRow};
use lockstep_domain::staff::Permission;
use lockstep_store::{Result, scheduled};
use uuid::Uuid;

use crate::{BackOffice, NewScheduledChange, ScheduleError, ScheduleFilter};

impl BackOffice {
    /// The scheduled changes, those that begin last first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.scheduled_changes", skip_all)]
    pub async fn scheduled_changes(
        &self,
        _by: &Admin,
        filter: &ScheduleFilter,
        page: Page,
    ) -> Result<ScheduledChangeList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { scheduled::list(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// Schedules a change and returns it. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ScheduleError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.schedule_change", skip_all)]
    pub async fn schedule_change(
        &self,
        by: &Admin,
        new: &NewScheduledChange,
    ) -> Result<ScheduledChangeRow, ScheduleError> {
        if new.change.price().is_none() && !by.may(Permission::CatalogueWrite) {
            return Err(ScheduleError::OnlyPrices);
        }
        let id = scheduled::create(&self.store, by.caller().user(), new).await?;
        self.scheduled_change(by, id).await
    }

    /// Cancels a change that has not begun, or ends one that has, and returns it. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ScheduleError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.cancel_scheduled_change", skip_all)]
    pub async fn cancel_scheduled_change(
        &self,
        by: &Admin,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<ScheduledChangeRow, ScheduleError> {
        let change = self.scheduled_change(by, id).await?;
        if change.price.is_none() && !by.may(Permission::CatalogueWrite) {
            return Err(ScheduleError::OnlyPrices);
        }
        scheduled::cancel(&self.store, by.caller().user(), id, now).await?;
        self.scheduled_change(by, id).await
    }

    async fn scheduled_change(&self, by: &Admin, id: Uuid) -> Result<ScheduledChangeRow, ScheduleError> {
        let filter = ScheduleFilter {
            id: Some(id),
            ..ScheduleFilter::default()
        };
        let mut found = self.scheduled_changes(by, &filter, Page { number: 1, size: 1 }).await?;
        found.changes.pop().ok_or(ScheduleError::NotFound)
    }
}
