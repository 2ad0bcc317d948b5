//! A cache entry: a complete HTTP body, so that a hit needs no serialisation, and the proof of its validity.

use std::any::Any;
use std::io::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use lockstep_store::Snapshot;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::clock;

/// Bodies up to this size in bytes are not compressed: they fit into one packet.
const GZIP_FROM: usize = 1024;

/// The result of a load, to be stored under its key.
#[derive(Debug, Clone)]
pub struct Payload {
    pub(crate) body: Option<Bytes>,
    pub(crate) tags: Vec<String>,
    pub(crate) repeatable: bool,
}

impl Payload {
    /// Creates a payload from a body in its final form.
    pub fn bytes(body: Bytes) -> Self {
        Self {
            body: Some(body),
            tags: Vec::new(),
            repeatable: true,
        }
    }

    /// Creates the payload for a missing row, so that the absence is cached too.
    pub fn missing() -> Self {
        Self {
            body: None,
            tags: Vec::new(),
            repeatable: true,
        }
    }

    /// Adds the tags of rows that the key's name does not imply, such as the games in a cart
    /// (`lockstep_domain::cache_key::game_tag`). A change of a row does not invalidate a value that lacks the row's
    /// tag.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<String>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// Marks a value whose body can differ for the same rows (random picks, time of day), so that a difference is not a
    /// violation. Such a value may be as old as its TTL; the rows that it shows are still current.
    #[must_use]
    pub fn not_repeatable(mut self) -> Self {
        self.repeatable = false;
        self
    }
}

/// One cached answer in the form in which it is served.
#[derive(Debug)]
pub struct Entry {
    /// The HTTP body; empty if the row does not exist.
    pub body: Bytes,
    /// Validator of the content as a header value. It is weak because every encoding of the content shares it.
    pub etag: Bytes,
    /// `false` if the row does not exist (404).
    pub found: bool,
    pub(crate) proof: Proof,
    /// When it was read from PostgreSQL ([`clock::now`]; for a value from Redis, derived from the writer's wall clock).
    pub(crate) made: u64,
    /// When it stops being served ([`clock::now`]).
    pub(crate) expires: u64,
    /// The generation of index that last proved it valid; a hit in the same generation skips the tag checks.
    pub(crate) checked: AtomicU64,
    /// When it was last written to Redis or seen there ([`clock::now`]); 0: never.
    pub(crate) in_redis: AtomicU64,
    /// The tags that its key does not imply, as text; `None` if only their hashes are known.
    pub(crate) shown: Option<Box<[String]>>,
    gzip: OnceLock<Option<Bytes>>,
    parsed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// The data that decides whether a value is still valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The snapshot in which it was read.
    pub(crate) stamp: Snapshot,
    /// Hashes of its tags ([`tag_hash`]), ascending.
    pub(crate) tags: Box<[u64]>,
    /// The database whose transactions `stamp` counts ([`identity_hash`]); 0: unknown, so nothing is proven.
    pub(crate) identity: u64,
    /// `true` if the same rows always give the same body.
    pub(crate) repeatable: bool,
}

impl Entry {
    pub(crate) fn new(
        body: Option<Bytes>,
        proof: Proof,
        shown: Option<Box<[String]>>,
        made: u64,
        expires: u64,
    ) -> Self {
        let found = body.is_some();
        let body = body.unwrap_or_default();
        Self {
            etag: format!("W/\"{:032x}\"", xxh3_128(&body)).into(),
            body,
            found,
            proof,
            made,
            expires,
            checked: AtomicU64::new(0),
            in_redis: AtomicU64::new(0),
            shown,
            gzip: OnceLock::new(),
            parsed: OnceLock::new(),
        }
    }

    /// Returns the gzip form of the body, computed once and shared; `None` if compression does not pay.
    pub fn gzip(&self) -> Option<Bytes> {
        self.gzip
            .get_or_init(|| {
                if self.body.len() <= GZIP_FROM {
                    return None;
                }
                let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::new(5));
                encoder.write_all(&self.body).ok()?;
                let packed = encoder.finish().ok()?;
                (packed.len() < self.body.len()).then(|| packed.into())
            })
            .clone()
    }

    /// Returns the body parsed by `read`, computed once and shared by all requests. For small bodies that many requests
    /// inspect: the result stays in memory as long as the body and is not part of the entry's weight.
    ///
    /// # Errors
    /// Returns the errors of `read`.
    pub fn parsed<T, E>(&self, read: impl FnOnce(&[u8]) -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Any + Send + Sync,
    {
        if let Some(parsed) = self.parsed.get()
            && let Ok(parsed) = Arc::clone(parsed).downcast()
        {
            return Ok(parsed);
        }
        let parsed = Arc::new(read(&self.body)?);
        // A concurrent caller that stored its result first parsed the same body.
        let _first: Result<(), _> = self.parsed.set(Arc::clone(&parsed) as Arc<dyn Any + Send + Sync>);
        Ok(parsed)
    }

    /// Time since the value was read from PostgreSQL. A value that is hours old can still be current.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(clock::now().saturating_sub(self.made))
    }

    /// Approximate memory use in bytes, including the compressed form.
    pub(crate) fn weight(&self) -> u32 {
        let shown: usize = self.shown.iter().flatten().map(|tag| tag.len() + 24).sum();
        let bytes = self.body.len()
            + self.body.len() / 2
            + self.proof.tags.len() * 8
            + self.proof.stamp.running.len() * 8
            + shown;
        u32::try_from(bytes + 384).unwrap_or(u32::MAX)
    }
}

/// Hashes a tag for values and for the index of the log. Tags with equal hashes are invalidated together; none is
/// missed.
pub(crate) fn tag_hash(tag: &str) -> u64 {
    xxh3_64(tag.as_bytes())
}

/// Hashes of a value's tags.
pub(crate) fn tag_hashes(tags: impl IntoIterator<Item = String>) -> Box<[u64]> {
    let mut hashes: Vec<u64> = tags.into_iter().map(|tag| tag_hash(&tag)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.into()
}

/// Raised with every change of the form of a body within a release.
const BODY_FORM: u32 = 2;

/// Hashes a database's identity together with this release; never 0. The release is included because another release
/// may write other bodies under the same key.
pub(crate) fn identity_hash(identity: &str) -> u64 {
    xxh3_64(format!("{identity} {} {BODY_FORM}", env!("CARGO_PKG_VERSION")).as_bytes()).max(1)
}
