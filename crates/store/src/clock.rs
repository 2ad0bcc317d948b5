//! The database's clock, by which rows are dated.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Result, Store};

impl Store {
    /// How far the database's clock is ahead of this machine's, to the time that a question takes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub async fn clock_ahead(&self) -> Result<TimeDelta> {
        let mut connection = self.pool().acquire().await?;
        let here = std::time::SystemTime::now();
        let there: DateTime<Utc> = sqlx::query_scalar("-- store.clock\nselect clock_timestamp()")
            .fetch_one(&mut *connection)
            .await?;
        Ok(there - DateTime::<Utc>::from(here))
    }
}
