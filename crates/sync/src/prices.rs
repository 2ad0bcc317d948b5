//! Gives games their prices by new rules (`store::repricing`), and carries out scheduled changes (`store::scheduled`) and
//! bulk changes (`store::bulk`).

use std::time::Duration;

use lockstep_domain::ids::UserId;
use lockstep_store::StoreError;
use lockstep_store::audit::By;
use lockstep_store::bulk;
use lockstep_store::jobs::{self, JobKind, NewJob};
use lockstep_store::repricing::{PART, next_part};
use lockstep_store::scheduled::next_step;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Context;

/// How often a worker looks for something to do.
const LOOK: Duration = Duration::from_secs(1);

/// Does what is due until `stop` is cancelled. Any number of workers may do so at once.
pub async fn work(cx: &Context, stop: &CancellationToken) {
    let (mut changes, mut bulk, mut prices) = (Streak::default(), Streak::default(), Streak::default());
    while !stop.is_cancelled() {
        // Scheduled changes have a time; for bulk changes somebody waits; prices by rules only have to be done.
        if !carry_out(cx, &mut changes).await && !change_many(cx, &mut bulk).await && !reprice(cx, &mut prices).await {
            stop.run_until_cancelled(sleep(LOOK)).await;
        }
    }
}

/// Failures in a row. Each is tried again within a second, so only the first is a warning.
#[derive(Default)]
struct Streak(bool);

impl Streak {
    fn end(&mut self) {
        self.0 = false;
    }

    fn failed(&mut self, what: &str, error: &StoreError) {
        let error: &dyn std::error::Error = error;
        if std::mem::replace(&mut self.0, true) {
            tracing::debug!(error, "{what}");
        } else {
            tracing::warn!(error, "{what}");
        }
    }
}

/// Carries out the next step that is due; returns whether there was one.
async fn carry_out(cx: &Context, failures: &mut Streak) -> bool {
    match next_step(&cx.store, &cx.settings.pricing, cx.clock.now()).await {
        Ok(Some(step)) => {
            failures.end();
            tracing::info!(change = %step.change, game = %step.game, state = step.state, "a scheduled change was carried out");
            look_at_stock(cx, step.given_back.into_iter().collect(), step.by).await;
            true
        }
        Ok(None) => {
            failures.end();
            false
        }
        Err(error) => {
            failures.failed(
                "scheduled changes could not be carried out; they are tried again",
                &error,
            );
            false
        }
    }
}

/// Asks G2A for the stock of games that are no longer held back. If another synchronisation is open, that one brings it.
async fn look_at_stock(cx: &Context, products: Vec<String>, by: Option<UserId>) {
    let (false, Some(by)) = (products.is_empty(), by) else {
        return;
    };
    let look = NewJob {
        products,
        ..NewJob::new(JobKind::Products)
    };
    if let Err(error) = jobs::submit(&cx.store, &By::Staff(by), &look).await {
        tracing::debug!("the stock of games comes with the next synchronisation: {error}");
    }
}

/// Does the next part of a bulk change; returns whether there was one.
async fn change_many(cx: &Context, failures: &mut Streak) -> bool {
    match bulk::next_part(&cx.store, bulk::PART).await {
        Ok(Some(part)) => {
            failures.end();
            if part.is_over {
                tracing::info!(bulk = %part.bulk, "a bulk change is done");
            }
            look_at_stock(cx, part.given_back, part.by).await;
            true
        }
        Ok(None) => {
            failures.end();
            false
        }
        Err(error) => {
            failures.failed("a bulk change could not go on; it is tried again", &error);
            false
        }
    }
}

/// Gives the next games their prices; returns whether there were any.
async fn reprice(cx: &Context, failures: &mut Streak) -> bool {
    match next_part(&cx.store, &cx.settings.pricing, PART).await {
        Ok(Some(done)) => {
            failures.end();
            if done.is_over {
                tracing::info!(job = %done.job, rules = done.version, "all games have their prices by the new rules");
            }
            true
        }
        Ok(None) => {
            failures.end();
            false
        }
        Err(error) => {
            failures.failed(
                "prices could not be computed by the rules; they are tried again",
                &error,
            );
            false
        }
    }
}
