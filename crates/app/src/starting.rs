//! Steps of the start that need the database. A step that meets a broken connection is retried as soon as the database
//! answers: a start during a restart of the database, or a loss of all connections, does not end the process.

use std::time::Duration;

use anyhow::Result;
use lockstep_store::{Store, StoreError};
use tokio::time::Instant;

/// Pause between two attempts.
const RETRY: Duration = Duration::from_secs(2);

/// How often the log repeats that the database does not answer.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// Runs `step`, repeatedly while the database is unavailable. An attempt may be cancelled at any point, so a step must
/// be repeatable. The reason for the outage is logged.
///
/// # Errors
/// Those of the step that are not about availability.
pub(crate) async fn when_there<T>(store: &Store, step: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    repeated(RETRY, async || store.why_unreachable().await, step).await
}

async fn repeated<T>(
    pause: Duration,
    why: impl AsyncFn() -> Option<String>,
    mut step: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let (mut attempts, mut logged) = (0_u32, None);
    let mut log_again_at = Instant::now();
    loop {
        match step().await {
            Err(error) if is_away(&error) => {
                attempts += 1;
                // It may have become available between the two calls.
                let why = why().await.unwrap_or_else(|| format!("{error:#}"));
                if logged.as_ref() != Some(&why) || Instant::now() >= log_again_at {
                    tracing::warn!(
                        attempts,
                        "the database does not answer yet: {why} (attempt {attempts}; retried every {} s, until then \
                         every page answers 503)",
                        pause.as_secs()
                    );
                    logged = Some(why);
                    log_again_at = Instant::now() + TELL_AGAIN;
                }
                tokio::time::sleep(pause).await;
            }
            result => return result,
        }
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    let away = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref::<StoreError>(), Some(StoreError::Unavailable(_)))
    };
    error.chain().any(away)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, bail};

    use super::*;

    fn cut() -> StoreError {
        StoreError::Unavailable(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into())
    }

    #[tokio::test]
    async fn step_is_retried_after_a_broken_connection() {
        let mut attempts = 0;
        let done = repeated(
            Duration::ZERO,
            async || None,
            async || {
                attempts += 1;
                if attempts < 4 {
                    Err(cut()).context("looking at other instances")?;
                }
                Ok(attempts)
            },
        );
        assert_eq!(done.await.unwrap(), 4);
    }

    #[tokio::test]
    async fn refused_step_is_not_retried() {
        let mut attempts = 0;
        let refused = repeated(
            Duration::ZERO,
            async || None,
            async || -> Result<()> {
                attempts += 1;
                bail!("another key secret");
            },
        );
        refused.await.unwrap_err();
        assert_eq!(attempts, 1);
    }
}
