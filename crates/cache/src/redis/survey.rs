//! Reads what is stored without searching Redis: the lists of families name every value, and no other program's key is in
//! them.

use redis::cmd;

use super::{DROPS, Redis};
use crate::RedisLost;

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSurvey {
    /// Redis does not answer.
    Lost,
    /// Redis answers and refuses the commands.
    Refused,
}

/// A place in a list: behind so many names with this score, which is when they expire.
pub(crate) struct Place {
    score: String,
    passed: usize,
}

impl Default for Place {
    /// The beginning.
    fn default() -> Self {
        Self {
            score: "-inf".to_owned(),
            passed: 0,
        }
    }
}

impl From<RedisLost> for NoSurvey {
    fn from(RedisLost: RedisLost) -> Self {
        Self::Lost
    }
}

impl Redis {
    /// Names in a list from `place` on, at most [`DROPS`], and moves `place` behind them. Some may have expired.
    ///
    /// Positions would not do: what ends or is dropped meanwhile moves all behind it forward, past the reader.
    pub(crate) async fn listed(&self, tag: &str, place: &mut Place) -> Result<Vec<String>, NoSurvey> {
        if !self.is_up() {
            return Err(NoSurvey::Lost);
        }
        let mut connection = self.writes.clone();
        let mut command = cmd("ZRANGE");
        command.arg(self.list(tag)).arg(&place.score).arg("+inf").arg("BYSCORE");
        command.arg("LIMIT").arg(place.passed).arg(DROPS).arg("WITHSCORES");
        let listed: Vec<(String, String)> = self
            .answered(command.query_async(&mut connection))
            .await?
            .map_err(|reason| refused(&reason))?;
        if let Some((_, last)) = listed.last() {
            let of_last = listed.iter().rev().take_while(|(_, score)| score == last).count();
            place.passed = if *last == place.score {
                place.passed + of_last
            } else {
                of_last
            };
            place.score.clone_from(last);
        }
        Ok(listed.into_iter().map(|(name, _)| name).collect())
    }

    /// The memory that each of these keys takes in bytes; `None` for one that does not exist.
    pub(crate) async fn sizes(&self, names: &[String]) -> Result<Vec<Option<u64>>, NoSurvey> {
        if !self.is_up() {
            return Err(NoSurvey::Lost);
        }
        let mut sizes = Vec::with_capacity(names.len());
        for batch in names.chunks(DROPS) {
            let mut connection = self.writes.clone();
            let mut pipeline = redis::pipe();
            for name in batch {
                pipeline.cmd("MEMORY").arg("USAGE").arg(self.full(name));
            }
            let answer: Vec<Option<u64>> = self
                .answered(pipeline.query_async(&mut connection))
                .await?
                .map_err(|reason| refused(&reason))?;
            sizes.extend(answer);
        }
        Ok(sizes)
    }
}

fn refused(reason: &str) -> NoSurvey {
    tracing::debug!("Redis refused to say what it stores: {reason}");
    NoSurvey::Refused
}
