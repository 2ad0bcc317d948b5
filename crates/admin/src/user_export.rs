//! What is stored about a user, taken out by staff.

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::ids::UserId;
use lockstep_store::admin::users;
use lockstep_store::{Result, StoreError};

use crate::{BackOffice, user_report};

impl BackOffice {
    /// The report about a user as of `now`, a PDF document; `None` if there is no such user. Recorded in the audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.user_report", skip_all)]
    pub async fn user_report(&self, by: &Admin, id: UserId, now: DateTime<Utc>) -> Result<Option<Vec<u8>>> {
        let read = self.store.read(|tx| Box::pin(users::detail(tx, id))).await?;
        let Some(user) = read.value else { return Ok(None) };
        self.record_export(by, id, "pdf").await?;
        let report = user_report::render(&user, now);
        report
            .map(Some)
            .map_err(|error| StoreError::Schema(format!("the font of reports: {error}")))
    }

    /// Records in the audit log that the caller takes out what is stored about a user.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_export(&self, by: &Admin, id: UserId, format: &'static str) -> Result<()> {
        users::record_export(&self.store, by.caller().user(), id, format).await
    }
}
