//! Verifies the database in use every night, in one process of the shop: what `lockstep verify` does, at half the speed. Doctor
//! reports the verdict.

use std::time::Duration;

use lockstep_auth::Keys;
use lockstep_clock::Random;
use lockstep_store::verify::{self, Outcome, Run, Verdict, Walk};
use lockstep_store::{Result, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commands::keys;

/// The hour (UTC) after which the first run of a day begins.
const HOUR: u8 = 3;
/// How often a process asks whether it is time. The first time is that long after the start, which has other work to do.
const EVERY: Duration = Duration::from_mins(10);
/// How often a run says that it is still at work.
const RENEW: Duration = Duration::from_mins(1);
/// Sealed values of each kind that are opened, from a random place; `lockstep verify` opens all.
const SAMPLE: u32 = 2_000;

/// Runs until `stop` is cancelled.
pub(crate) async fn keep(store: Store, secrets: Keys, random: Random, stop: CancellationToken) {
    let mut every = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if let Err(error) = when_due(&store, &secrets, &random, &stop).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not verify the database; it is tried again"
            );
        }
    }
}

/// Verifies the database, if that is due and no other process does. Returns what was found.
async fn when_due(store: &Store, secrets: &Keys, random: &Random, stop: &CancellationToken) -> Result<Option<Outcome>> {
    let Some(run) = verify::begin(store, HOUR).await? else {
        return Ok(None);
    };
    let mut walk = Nightly {
        store,
        run,
        renewed: Instant::now(),
    };
    let proved = stop.run_until_cancelled(async {
        let mut verdicts = verify::verify(store, &mut walk).await;
        verdicts.extend(keys::verify(random, Some(secrets), store, Some(SAMPLE)).await);
        verdicts
    });
    let Some(verdicts) = proved.await else {
        run.interrupt(store).await?;
        return Ok(None);
    };
    let outcome = run.end(store, &verdicts).await?;
    tell(&verdicts);
    Ok(Some(outcome))
}

fn tell(verdicts: &[Verdict]) {
    let violations: u64 = verdicts.iter().map(|verdict| verdict.violations).sum();
    #[expect(clippy::cast_precision_loss, reason = "a gauge; nobody counts that many violations")]
    metrics::gauge!("lockstep_verification_violations").set(violations as f64);
    for verdict in verdicts.iter().filter(|verdict| verdict.violations > 0) {
        tracing::error!(
            check = verdict.check,
            rows = verdict.violations,
            "the nightly verification found a violation: {}: {} row(s); `lockstep verify` names them",
            verdict.name,
            verdict.violations
        );
    }
    let rows: u64 = verdicts.iter().map(|verdict| verdict.rows).sum();
    tracing::info!(rows, violations, "verified the database: {violations} violation(s)");
}

struct Nightly<'s> {
    store: &'s Store,
    run: Run,
    renewed: Instant,
}

impl Walk for Nightly<'_> {
    async fn progress(&mut self, _: &'static str, _: u64) {
        if self.renewed.elapsed() >= RENEW {
            self.renewed = Instant::now();
            // Without it the run may be made by another process as well, which only costs time.
            if let Err(error) = self.run.renew(self.store).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a verification could not be renewed"
                );
            }
        }
    }

    fn rests(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use lockstep_testkit::{TestDb, secrets};

    use super::*;

    async fn due(db: &TestDb) -> Option<Outcome> {
        let (random, stop) = (Random::seeded(1), CancellationToken::new());
        when_due(&db.store, &secrets(), &random, &stop).await.unwrap()
    }

    #[tokio::test]
    async fn one_process_verifies_once_a_night_and_keeps_what_it_found() {
        let db = TestDb::new().await;
        let user = db.user("ada@example.org", "5.00").await;
        let found = futures::future::join_all((0..8).map(|_| due(&db))).await;
        assert_eq!(
            found.iter().flatten().collect::<Vec<_>>(),
            [&Outcome::Holds],
            "{found:?}"
        );
        assert_eq!(due(&db).await, None, "not before the next night");

        db.execute(&format!(
            "update verifications set began_at = began_at - interval '1 day';
             begin; set local session_replication_role = replica; update users set balance = 6 where id = '{user}'; commit"
        ))
        .await;
        assert_eq!(due(&db).await, Some(Outcome::Violated));
        let last = verify::last(&db.store).await.unwrap().unwrap();
        assert_eq!(last.outcome, Outcome::Violated);
        let checks: Vec<&str> = last.findings.iter().map(|finding| finding.check.as_str()).collect();
        assert_eq!(checks, ["balances"]);
        assert_eq!(last.findings[0].examples[0].id, user.to_string());
        assert_eq!(last.findings[0].examples[0].detail, "6.00 instead of 5.00");
    }

    #[tokio::test]
    async fn a_run_whose_process_died_is_made_again() {
        let db = TestDb::new().await;
        verify::begin(&db.store, HOUR).await.unwrap().unwrap();
        assert_eq!(due(&db).await, None, "another process is at work");
        db.execute("update verifications set renewed_at = now() - interval '11 minutes'")
            .await;
        assert_eq!(due(&db).await, Some(Outcome::Holds));
        // A process that is stopped gives its run up.
        db.execute("update verifications set began_at = began_at - interval '1 day'")
            .await;
        let (random, stop) = (Random::seeded(1), CancellationToken::new());
        stop.cancel();
        assert_eq!(when_due(&db.store, &secrets(), &random, &stop).await.unwrap(), None);
        assert_eq!(due(&db).await, Some(Outcome::Holds));
    }
}
