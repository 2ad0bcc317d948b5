//! The record of nightly runs: one at a time over all processes, and the last verdict for `lockstep doctor`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Verdict, Violation};
use crate::{Result, Store, StoreError};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every invariant was proved.
    Holds,
    /// At least one is violated.
    Violated,
    /// None is known to be violated, but some could not be checked.
    Incomplete,
    /// Its worker ended before it did.
    Interrupted,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Holds, Self::Violated, Self::Incomplete, Self::Interrupted];

    /// What a run found.
    pub fn of(verdicts: &[Verdict]) -> Self {
        if verdicts.iter().any(|verdict| verdict.violations > 0) {
            Self::Violated
        } else if verdicts.iter().all(Verdict::holds) {
            Self::Holds
        } else {
            Self::Incomplete
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Holds => "HOLDS",
            Self::Violated => "VIOLATED",
            Self::Incomplete => "INCOMPLETE",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// A check of a past run that found something or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the check.
    pub check: String,
    /// The invariant, in words.
    pub name: String,
    /// Number of rows that violate it.
    pub violations: u64,
    /// The first of them.
    pub examples: Vec<Violation>,
    /// Why it could not be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The last run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How.
    pub outcome: Outcome,
    /// Number of rows that were checked.
    pub rows: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// A run of this process.
#[derive(Debug, Clone, Copy)]
pub struct Run(Uuid);

/// Begins a run, if none began since the last time that it was `hour` o'clock (UTC, 0 to 23) and none is at work.
///
/// # Errors
/// [`StoreError`].
pub async fn begin(store: &Store, hour: u8) -> Result<Option<Run>> {
    sqlx::query!(
        "-- store.verify.interrupted
        update verifications set ended_at = now(), outcome = 'INTERRUPTED'
         where ended_at is null and renewed_at < now() - interval '10 minutes'"
    )
    .execute(store.alone())
    .await?;
    let begun = sqlx::query_scalar!(
        "-- store.verify.begin
        insert into verifications (id)
        select $1 where not exists (
            select from verifications
             where began_at >= date_trunc('day', now() - make_interval(hours => $2), 'UTC') + make_interval(hours => $2)
               and outcome is distinct from 'INTERRUPTED')
            on conflict do nothing returning id",
        Uuid::now_v7(),
        i32::from(hour)
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(begun.map(Run))
}

impl Run {
    /// Says that this process is still at work. Returns false if another one has closed the run as interrupted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew(self, store: &Store) -> Result<bool> {
        let renewed = sqlx::query!(
            "-- store.verify.renew
            update verifications set renewed_at = now() where id = $1 and ended_at is null",
            self.0
        )
        .execute(store.alone())
        .await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// Records the verdicts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(self, store: &Store, verdicts: &[Verdict]) -> Result<Outcome> {
        let outcome = Outcome::of(verdicts);
        let findings: Vec<Finding> = verdicts
            .iter()
            .filter(|verdict| !verdict.holds())
            .map(|verdict| Finding {
                check: verdict.check.to_owned(),
                name: verdict.name.to_owned(),
                violations: verdict.violations,
                examples: verdict.examples.clone(),
                error: verdict.error.clone(),
            })
            .collect();
        self.close(
            store,
            outcome,
            verdicts.iter().map(|verdict| verdict.rows).sum(),
            &findings,
        )
        .await?;
        Ok(outcome)
    }

    /// Gives the run up, so that another process can begin one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn interrupt(self, store: &Store) -> Result<()> {
        self.close(store, Outcome::Interrupted, 0, &[]).await
    }

    async fn close(self, store: &Store, outcome: Outcome, rows: u64, findings: &[Finding]) -> Result<()> {
        let findings = serde_json::to_value(findings).unwrap_or_else(|_| serde_json::Value::Array(Vec::new()));
        sqlx::query!(
            "-- store.verify.end
            update verifications set ended_at = now(), outcome = $2, rows = $3, findings = $4 where id = $1 and ended_at is null",
            self.0,
            outcome.name(),
            i64::try_from(rows).unwrap_or(i64::MAX),
            findings
        )
        .execute(store.alone())
        .await?;
        Ok(())
    }
}

/// The last run that came to an end; `None` if there is none yet.
///
/// # Errors
/// [`StoreError`].
pub async fn last(store: &Store) -> Result<Option<Last>> {
    let row = sqlx::query!(
        r#"-- store.verify.last
        select ended_at as "ended_at!", outcome as "outcome!", rows, findings from verifications
         where ended_at is not null and outcome <> 'INTERRUPTED' order by began_at desc limit 1"#
    )
    .fetch_optional(store.alone())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.name() == row.outcome);
    Ok(Some(Last {
        ended_at: row.ended_at,
        outcome: outcome.ok_or_else(|| StoreError::Schema(format!("a verification ended as {}", row.outcome)))?,
        rows: row.rows.unsigned_abs(),
        // Of a newer version, which may write other fields.
        findings: serde_json::from_value(row.findings).unwrap_or_default(),
    }))
}
