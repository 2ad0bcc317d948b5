//! The whole state of a sandbox, behind one lock.
//!
//! Every call holds the lock during its short synchronous work and never across an await, so calls are atomic: a client
//! that disconnects leaves no partial change.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use crate::Config;
use crate::catalogue::{Goods, LoadError};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::faults::{Call, FaultRule};
use crate::knobs::Knobs;
use crate::market::Market;

/// Number of requests in the log: a full listing of 100,000 products takes 5,000 pages.
const REMEMBERED_REQUESTS: usize = 20_000;

/// One request to `/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Number of the request, counting from 1 since the start or the last reset.
    pub number: u64,
    /// When it arrived, by the sandbox's clock.
    pub at: DateTime<Utc>,
    /// The call; `None` for an unknown address.
    pub call: Option<Call>,
    /// `GET`, `POST` or `PUT`.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// The W3C trace context as sent.
    pub traceparent: Option<String>,
    /// The HTTP status that was or will be sent; `None` if the connection was closed instead.
    pub status: Option<u16>,
    /// When the answer was handed to the connection; `None` while it is held back, if the caller disconnected before
    /// that, and if there was none.
    pub answered_at: Option<DateTime<Utc>>,
    /// The fault that acted on it, as the `kind` of its JSON form.
    pub fault: Option<String>,
}

/// Numbers of requests since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// All of `/v1`.
    pub total: u64,
    /// By call.
    pub by_call: BTreeMap<Call, u64>,
}

/// Everything that changes.
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) goods: Goods,
    pub(crate) knobs: Knobs,
    pub(crate) market: Market,
    pub(crate) rules: Vec<FaultRule>,
    pub(crate) drift_per_second: u32,
    /// The stock limit of the next ordered product, if one is set.
    pub(crate) sell_out_next: Option<u32>,
    pub(crate) dice: Dice,
    /// Bearer tokens and their expiry.
    pub(crate) tokens: HashMap<String, DateTime<Utc>>,
    pub(crate) log: VecDeque<RequestRecord>,
    pub(crate) counts: RequestCounts,
    /// Answers that wait to be released, by the number of their request.
    pub(crate) held: BTreeMap<u64, oneshot::Sender<()>>,
    /// The calls of the last minute that were admitted.
    recent: VecDeque<DateTime<Utc>>,
}

impl State {
    pub(crate) fn new(config: &Config) -> Result<Self, LoadError> {
        let clock = Clock::starting_at(config.start_at.unwrap_or_else(Utc::now));
        Ok(Self {
            goods: Goods::open(&config.catalogue, clock.now())?,
            clock,
            knobs: config.knobs.clone(),
            market: Market::new(config.wallet),
            rules: Vec::new(),
            drift_per_second: config.drift_per_second,
            sell_out_next: None,
            dice: Dice::new(0x5EED, 0),
            tokens: HashMap::new(),
            log: VecDeque::new(),
            counts: RequestCounts::default(),
            held: BTreeMap::new(),
            recent: VecDeque::new(),
        })
    }

    /// Settles everything that is due and returns the current time.
    pub(crate) fn settle(&mut self) -> DateTime<Utc> {
        let now = self.clock.now();
        self.market.settle(&mut self.goods, &self.knobs, now);
        now
    }

    /// Admits a call.
    ///
    /// # Errors
    /// Returns the number of seconds until the oldest of the last minute's calls is a minute old.
    pub(crate) fn admit(&mut self, now: DateTime<Utc>) -> Result<(), u64> {
        let minute = TimeDelta::seconds(60);
        while self.recent.front().is_some_and(|oldest| *oldest + minute <= now) {
            self.recent.pop_front();
        }
        let limit = usize::try_from(self.knobs.rate_per_minute).unwrap_or(usize::MAX);
        if limit == 0 {
            return Ok(());
        }
        if self.recent.len() < limit {
            self.recent.push_back(now);
            return Ok(());
        }
        let oldest = self.recent.get(self.recent.len() - limit).copied().unwrap_or(now);
        let wait = (oldest + minute - now).num_milliseconds();
        Err(u64::try_from(wait).unwrap_or(0).div_ceil(1_000).max(1))
    }

    /// Records a request and returns its number.
    pub(crate) fn note(&mut self, mut record: RequestRecord) -> u64 {
        self.counts.total += 1;
        if let Some(call) = record.call {
            *self.counts.by_call.entry(call).or_insert(0) += 1;
        }
        record.number = self.counts.total;
        if self.log.len() >= REMEMBERED_REQUESTS {
            self.log.pop_front();
        }
        self.log.push_back(record);
        self.counts.total
    }

    /// Records that the answer to this request was handed to its connection.
    pub(crate) fn note_answered(&mut self, number: u64) {
        let now = self.clock.now();
        // The log is sorted by number, and may have dropped the oldest or been reset.
        if let Ok(at) = self.log.binary_search_by_key(&number, |record| record.number)
            && let Some(record) = self.log.get_mut(at)
        {
            record.answered_at = Some(now);
        }
    }
}

/// The shared parts of a running sandbox.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) drift_changed: Notify,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Result<Self, LoadError> {
        let state = Mutex::new(State::new(&config)?);
        Ok(Self {
            config,
            drift_changed: Notify::new(),
            state,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
