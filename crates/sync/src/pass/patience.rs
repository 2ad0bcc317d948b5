//! Calls that wait as long as G2A or the budget requires, up to a limit.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lockstep_g2a::{BudgetError, Code, Error as G2aError, NotSent, Repeat, TokenFailure};

/// Maximum number of waits of one call.
const MAX_WAITS: u32 = 20;
/// Maximum length of a single wait.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// Repeats a call, up to a limit, until its answer is not "slow down". The client has already retried what it can.
pub(super) async fn patiently<T, F: Future<Output = Result<T, G2aError>>>(
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

/// The time to wait, if waiting is all that is needed.
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
        // The call has already waited in the budget.
        Repeat::Safe(_) if no_call_free => Some(Duration::ZERO),
        _ => None,
    }
}
