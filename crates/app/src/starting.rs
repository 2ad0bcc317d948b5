//! Steps of the start that need the database. One that meets a broken connection is repeated as soon as the database answers:
//! a start beside a restart of the database, or a cut of all connections, is not the end of a process.

use std::time::Duration;

use anyhow::Result;
use lockstep_store::{Store, StoreError};
use tokio::time::Instant;

/// Between two attempts.
const RETRY: Duration = Duration::from_secs(2);

/// How often the log says that it still does not answer.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// Runs `step`, again and again while the database is not available. Each attempt may be cut at any point, so a step must be
/// repeatable. Why it is not available stands in the log.
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
    let (mut attempts, mut told) = (0_u32, None);
    let mut tell_at = Instant::now();
    loop {
        match step().await {
            Err(error) if is_away(&error) => {
                attempts += 1;
                // Between the two it may have come.
                let why = why().await.unwrap_or_else(|| format!("{error:#}"));
                if told.as_ref() != Some(&why) || Instant::now() >= tell_at {
                    tracing::warn!(
                        attempts,
                        "the database does not answer yet: {why} (attempt {attempts}; tried again every {} s, until then \
                         every page answers 503)",
                        pause.as_secs()
                    );
                    told = Some(why);
                    tell_at = Instant::now() + TELL_AGAIN;
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
    async fn a_step_whose_connection_breaks_is_repeated() {
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
    async fn a_step_that_is_refused_is_not() {
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
