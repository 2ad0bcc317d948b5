//! What the shop has stored in Redis, for staff: keys by family and their memory.
//!
//! Every value is listed under its families when it is written, so the survey reads those lists and then each key's size;
//! it neither scans the server nor counts what another program stores there. It ends after [`LIMIT`], whatever the
//! number of keys.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_domain::cache_key::{
    TAG_ALL_GAMES, TAG_ALL_ORDERS, TAG_ALL_SHOPPERS, TAG_ALL_USERS, TAG_CATALOG, TAG_HOME,
};
use lockstep_domain::cache_pattern::{CachePattern, FAMILY_PATTERNS, Keys, SYNC_PROGRESS_KEY, family_of};
use tokio::time::Instant;

use crate::Cache;
use crate::redis::{NoSurvey, Place, Redis};

/// Time after which a survey ends with what it has.
const LIMIT: Duration = Duration::from_secs(2);

/// The lists that name the keys of each family. A key is counted in the first of these lists that its family is for.
const LISTS: [(&str, &[&str]); 6] = [
    (TAG_HOME, &["home:*"]),
    (TAG_ALL_GAMES, &["game:*"]),
    (TAG_CATALOG, &["catalog:*"]),
    (TAG_ALL_USERS, &["user:*"]),
    (TAG_ALL_SHOPPERS, &["user:*", "session:*"]),
    (TAG_ALL_ORDERS, &["order:*"]),
];

/// Whether Redis could be surveyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It answered.
    Connected,
    /// It is not configured, or does not answer.
    Disconnected,
    /// It answers and refuses the commands of the survey (`MEMORY USAGE`, `ZRANGE`).
    Refused,
}

/// What the shop has stored in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Whether Redis could be asked; otherwise all numbers are zero.
    pub reached: Reached,
    /// Number of keys of each family of [`FAMILY_PATTERNS`].
    pub keys: BTreeMap<&'static str, u64>,
    /// Memory that these keys take, in bytes.
    pub bytes: u64,
    /// Whether every key was counted; `false` if that took too long.
    pub complete: bool,
}

impl Survey {
    fn nothing(reached: Reached) -> Self {
        Self {
            reached,
            keys: FAMILY_PATTERNS.into_iter().map(|family| (family, 0)).collect(),
            bytes: 0,
            complete: true,
        }
    }

    /// Number of all keys.
    pub fn total(&self) -> u64 {
        self.keys.values().sum()
    }

    fn count(&mut self, name: &str, size: Option<u64>) {
        let (Some(family), Some(size)) = (family_of(name), size) else {
            return;
        };
        *self.keys.entry(family).or_default() += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}

impl Cache {
    /// Counts the shop's keys in Redis.
    pub async fn survey(&self) -> Survey {
        self.survey_of(&LISTS).await
    }

    /// Number of answers that a pattern covers: keys in Redis, or entries of this process if there is no Redis.
    pub async fn count(&self, pattern: &CachePattern) -> u64 {
        let names = match pattern.keys() {
            Keys::All => return self.counted(&LISTS, pattern).await,
            Keys::Family(family) => {
                let lists: Vec<_> = LISTS
                    .into_iter()
                    .filter(|(_, families)| families.contains(family))
                    .collect();
                return self.counted(&lists, pattern).await;
            }
            Keys::Named(names) => names,
        };
        let sizes = match &self.0.redis {
            Some(redis) => redis.sizes(names).await,
            None => Err(NoSurvey::Lost),
        };
        match sizes {
            Ok(sizes) => number(sizes.iter().flatten().count()),
            Err(_) => self.local(pattern),
        }
    }

    async fn counted(&self, lists: &[(&str, &[&str])], pattern: &CachePattern) -> u64 {
        let survey = self.survey_of(lists).await;
        if survey.reached != Reached::Connected {
            return self.local(pattern);
        }
        let keys = survey.keys.iter().filter(|(family, _)| pattern.covers(family));
        keys.map(|(_, count)| count).sum()
    }

    /// Number of entries of this process that a pattern covers.
    fn local(&self, pattern: &CachePattern) -> u64 {
        let covered = self.0.l1.iter().filter(|(key, _)| pattern.covers(&key.name()));
        number(covered.count())
    }

    async fn survey_of(&self, lists: &[(&str, &[&str])]) -> Survey {
        let Some(redis) = &self.0.redis else {
            return Survey::nothing(Reached::Disconnected);
        };
        match read(redis, lists).await {
            Ok(survey) => survey,
            Err(NoSurvey::Lost) => Survey::nothing(Reached::Disconnected),
            Err(NoSurvey::Refused) => Survey::nothing(Reached::Refused),
        }
    }
}

async fn read(redis: &Redis, lists: &[(&str, &[&str])]) -> Result<Survey, NoSurvey> {
    let mut survey = Survey::nothing(Reached::Connected);
    let ends = Instant::now() + LIMIT;
    let note = [SYNC_PROGRESS_KEY.to_owned()];
    for size in redis.sizes(&note).await? {
        survey.count(SYNC_PROGRESS_KEY, size);
    }
    for (list, families) in lists {
        let mut place = Place::default();
        loop {
            if Instant::now() >= ends {
                survey.complete = false;
                return Ok(survey);
            }
            let mut names = redis.listed(list, &mut place).await?;
            if names.is_empty() {
                break;
            }
            names.retain(|name| family_of(name).is_some_and(|family| families.contains(&family)));
            for (name, size) in names.iter().zip(redis.sizes(&names).await?) {
                survey.count(name, size);
            }
        }
    }
    Ok(survey)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
