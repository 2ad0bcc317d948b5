//! What is kept under a key: a whole HTTP body, so that a hit costs no serialisation, with what proves it true.

use std::any::Any;
use std::io::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use lockstep_store::Snapshot;
use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::clock;

/// Bodies up to this size are not worth compressing: they fit into one packet as they are.
const GZIP_FROM: usize = 1024;

/// What a load found, to be kept under its key.
#[derive(Debug, Clone)]
pub struct Payload {
    pub(crate) body: Option<Bytes>,
    pub(crate) tags: Vec<String>,
    pub(crate) repeatable: bool,
}

impl Payload {
    /// A body that is already in its final form.
    pub fn bytes(body: Bytes) -> Self {
        Self {
            body: Some(body),
            tags: Vec::new(),
            repeatable: true,
        }
    }

    /// `value` as JSON.
    ///
    /// # Errors
    /// When `value` has no JSON form (a map whose keys are not text).
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::bytes(serde_json::to_vec(value)?.into()))
    }

    /// There is no such thing; that is worth remembering too.
    pub fn missing() -> Self {
        Self {
            body: None,
            tags: Vec::new(),
            repeatable: true,
        }
    }

    /// Adds the tags of rows that the key's name does not imply, such as the games in a cart
    /// (`lockstep_domain::cache_key::game_tag`). A value that lacks the tag of a row it shows is not invalidated with
    /// that row.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<String>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// The same rows need not give the same body (random picks, or the time of day has a say in it), so that a
    /// difference proves nothing. Such a value is as old as its TTL allows; what the rows say is still true.
    #[must_use]
    pub fn not_repeatable(mut self) -> Self {
        self.repeatable = false;
        self
    }
}

/// One answer, as it is served.
#[derive(Debug)]
pub struct Entry {
    /// The HTTP body; empty when nothing was found.
    pub body: Bytes,
    /// A validator of the content, in the form of a header: weak, because it is the same for every encoding of it.
    pub etag: Bytes,
    /// `false`: there is no such thing (404).
    pub found: bool,
    pub(crate) proof: Proof,
    /// When it was read from PostgreSQL ([`clock::now`]; for a value from Redis, by the other machine's account).
    pub(crate) made: u64,
    /// From then on it is not served any more ([`clock::now`]).
    pub(crate) expires: u64,
    /// The generation of knowledge under which it was last found true, so that a hit need not look at every tag.
    pub(crate) checked: AtomicU64,
    /// When it was last written to Redis, or seen there ([`clock::now`]); 0: never.
    pub(crate) in_redis: AtomicU64,
    /// The tags beyond those of its key, in words; `None` when only their hashes are known.
    pub(crate) shown: Option<Box<[String]>>,
    gzip: OnceLock<Option<Bytes>>,
    said: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// What a value's truth hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The snapshot it was read in.
    pub(crate) stamp: Snapshot,
    /// Hashes of its tags ([`tag_hash`]), ascending.
    pub(crate) tags: Box<[u64]>,
    /// The database whose transactions `stamp` counts ([`identity_hash`]); 0: not known, so nothing is proven.
    pub(crate) identity: u64,
    /// The same rows give the same body.
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
            said: OnceLock::new(),
        }
    }

    /// The body compressed, once for all requests; `None` when it is too small for that to be of use.
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

    /// What the body says, read by `read` once for all requests. For small bodies that many requests look into: what was
    /// read stays in memory as long as the body, and is not counted.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn said<T, E>(&self, read: impl FnOnce(&[u8]) -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Any + Send + Sync,
    {
        if let Some(said) = self.said.get()
            && let Ok(said) = Arc::clone(said).downcast()
        {
            return Ok(said);
        }
        let said = Arc::new(read(&self.body)?);
        // Whoever was quicker has read the same.
        let _first: Result<(), _> = self.said.set(Arc::clone(&said) as Arc<dyn Any + Send + Sync>);
        Ok(said)
    }

    /// How long ago the value was read from PostgreSQL. It may be hours and the value still true.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(clock::now().saturating_sub(self.made))
    }

    /// About how much memory it takes, the compressed form included.
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

/// A tag as values and the log's readers hold it. Two tags with one hash are invalidated together; none is missed.
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

/// A database's identity as values carry it; never 0. The release is part of it: another one may write other bodies
/// under the same key.
pub(crate) fn identity_hash(identity: &str) -> u64 {
    xxh3_64(format!("{identity} {}", env!("CARGO_PKG_VERSION")).as_bytes()).max(1)
}
