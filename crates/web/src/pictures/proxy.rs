//! `GET /images/{game}/{place}/{width}.webp`: a game's pictures, scaled down and served by this site.
//!
//! Place 0 is the cover, 1 and up the gallery. The address that is fetched is the catalogue's entry for that game and
//! place, so a client cannot make the proxy fetch anything else. When a picture is not available, the generated cover
//! is served for five minutes.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use lockstep_clock::Clock;
use lockstep_domain::GameId;
use lockstep_domain::catalogue::PICTURES;
use lockstep_images::{NoPicture, Scaler, Unreadable};
use tokio::sync::{Mutex, Semaphore};
use tracing::Instrument as _;
use uuid::Uuid;

use super::fetch::{FetchError, Fetcher};
use super::keep::Keep;
use super::{COVER_WIDTHS, GALLERY_WIDTHS, THUMB_WIDTH, name_of};
use crate::assets::FOR_EVER;
use crate::error::PageError;
use crate::{WebState, covers};

/// Maximum number of concurrent fetches.
const FETCHES: usize = 8;
/// Maximum number of pictures that are scaled at once.
const SHRINKS: usize = 2;
/// How long a reader waits before the generated cover is served instead.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long a fetch waits for a permit.
const QUEUE: Duration = Duration::from_secs(2);
/// How long an address is not fetched again after a failure.
const PAUSE: Duration = Duration::from_mins(5);
/// Number of locks, chosen by a hash of the address: concurrent requests for one address wait for the same fetch.
const LOCKS: usize = 64;
/// Width and height of a user's picture in pixels.
const AVATAR_SIDE: u32 = 256;
/// Maximum size of a user's picture in bytes, as in the database.
const AVATAR_BYTES: usize = 128 * 1024;

/// Settings of the picture proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureSettings {
    /// The folder of scaled pictures.
    pub folder: PathBuf,
    /// Approximate maximum size of that folder in bytes.
    pub most_bytes: u64,
    /// Also fetches from addresses of the machine and its network. Only for an operator's own picture server, and for
    /// tests.
    pub trusts_private_addresses: bool,
}

/// The picture proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    fetcher: Option<Fetcher>,
    keep: Keep,
    failed: moka::sync::Cache<String, ()>,
    locks: Vec<Mutex<()>>,
    fetches: Semaphore,
    scaler: Scaler,
}

/// Why a picture is not available.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Shrink(#[from] Unreadable),
    /// A fetch of it failed less than [`PAUSE`] ago.
    #[error("it failed a moment ago")]
    Paused,
    /// Too many other pictures are being fetched.
    #[error("too many pictures are being fetched")]
    Busy,
}

impl Proxy {
    pub(crate) fn new(settings: &PictureSettings, clock: &Clock) -> Self {
        let fetcher = Fetcher::new(settings.trusts_private_addresses)
            .inspect_err(|error| tracing::error!("pictures cannot be fetched: {error}"))
            .ok();
        Self {
            fetcher,
            keep: Keep::new(settings.folder.clone(), settings.most_bytes, clock.clone()),
            failed: moka::sync::Cache::builder()
                .max_capacity(10_000)
                .time_to_live(PAUSE)
                .build(),
            locks: std::iter::repeat_with(Mutex::default).take(LOCKS).collect(),
            fetches: Semaphore::new(FETCHES),
            scaler: Scaler::new(SHRINKS),
        }
    }

    /// A picture in one width. The fetch continues when the reader disconnects or has waited too long.
    async fn picture(self: &Arc<Self>, address: &str, width: u32, widths: &[u32]) -> Result<Bytes, Missing> {
        let name = name_of(address, width);
        if let Some(bytes) = self.keep.get(&name).await {
            return Ok(bytes);
        }
        let (proxy, address, widths, wanted) = (Arc::clone(self), address.to_owned(), widths.to_vec(), name.clone());
        let work = async move { proxy.fetch_and_store(&address, &wanted, &widths).await };
        let work = tokio::spawn(work.in_current_span());
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(fetched)) => fetched?,
            _ => return Err(Missing::Busy),
        }
        self.keep.get(&name).await.ok_or(Missing::Busy)
    }

    /// Fetches the picture at `address` and stores it in every width, once for all concurrent requests.
    async fn fetch_and_store(&self, address: &str, wanted: &str, widths: &[u32]) -> Result<(), Missing> {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        let lock = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0);
        let Some(lock) = self.locks.get(lock) else {
            return Err(Missing::Busy);
        };
        let _alone = tokio::time::timeout(PATIENCE, lock.lock())
            .await
            .map_err(|_| Missing::Busy)?;
        if self.failed.contains_key(address) {
            return Err(Missing::Paused);
        }
        // The previous holder of the lock may have stored it.
        if self.keep.get(wanted).await.is_some() {
            return Ok(());
        }
        let made = self.make(address, widths).await;
        if let Err(error @ (Missing::Fetch(_) | Missing::Shrink(_))) = &made {
            tracing::debug!(error = error as &dyn std::error::Error, "a picture is missing");
            self.failed.insert(address.to_owned(), ());
        }
        for (width, bytes) in made? {
            self.keep.put(name_of(address, width), bytes).await;
        }
        Ok(())
    }

    /// Scales a picture that a user has sent to a square of [`AVATAR_SIDE`] pixels.
    pub(crate) async fn avatar(&self, sent: Bytes) -> Result<Bytes, NoPicture> {
        self.scaler.square(sent, AVATAR_SIDE, AVATAR_BYTES).await
    }

    /// An uploaded picture of a game in one width. `bytes` are read only when it is not stored yet.
    async fn own(
        &self,
        address: &str,
        width: u32,
        widths: &[u32],
        bytes: impl AsyncFnOnce() -> Result<Option<Vec<u8>>, PageError>,
    ) -> Result<Option<Bytes>, PageError> {
        let name = name_of(address, width);
        if let Some(kept) = self.keep.get(&name).await {
            return Ok(Some(kept));
        }
        let Some(bytes) = bytes().await? else {
            return Ok(None);
        };
        let made = self.scaler.scaled(bytes.into(), widths).await;
        let made = made.map_err(|Unreadable| PageError::Internal)?;
        let mut wanted = None;
        for (made_width, bytes) in made {
            if made_width == width {
                wanted = Some(bytes.clone());
            }
            self.keep.put(name_of(address, made_width), bytes).await;
        }
        Ok(wanted)
    }

    async fn make(&self, address: &str, widths: &[u32]) -> Result<Vec<(u32, Bytes)>, Missing> {
        let fetcher = self.fetcher.as_ref().ok_or(Missing::Busy)?;
        let turn = tokio::time::timeout(QUEUE, self.fetches.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Missing::Busy);
        };
        let bytes = fetcher.fetch(address).await?;
        Ok(self.scaler.scaled(bytes, widths).await?)
    }
}

/// `GET /images/{game}/{place}/{width}.webp`
pub(crate) async fn picture(
    State(state): State<Arc<WebState>>,
    Path((id, place, file)): Path<(String, String, String)>,
) -> Result<Response, PageError> {
    let id: GameId = id.parse().map_err(|_| PageError::NotFound)?;
    let place: usize = place.parse().map_err(|_| PageError::NotFound)?;
    let widths: HashSet<u32> = if place == 0 {
        COVER_WIDTHS.into()
    } else {
        GALLERY_WIDTHS.into_iter().chain([THUMB_WIDTH]).collect()
    };
    let width: u32 = file
        .strip_suffix(".webp")
        .and_then(|width| width.parse().ok())
        .filter(|width| widths.contains(width))
        .ok_or(PageError::NotFound)?;
    let game = state.shop.catalogue().game(id).await?;
    let game = game.ok_or(PageError::NotFound)?.value()?;
    let address = match place.checked_sub(1) {
        None => &game.image,
        Some(i) => game.images.get(i).ok_or(PageError::NotFound)?,
    };
    let widths: Vec<u32> = widths.into_iter().collect();
    if let Some(id) = uploaded(address) {
        let read = async || Ok(state.shop.game_picture(id).await?);
        if let Some(bytes) = state.pictures.own(address, width, &widths, read).await? {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("image/webp")),
                (header::CACHE_CONTROL, FOR_EVER),
            ];
            return Ok((StatusCode::OK, headers, bytes).into_response());
        }
    }
    if (address.starts_with("https://") || address.starts_with("http://"))
        && let Ok(bytes) = state.pictures.picture(address, width, &widths).await
    {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("image/webp")),
            (header::CACHE_CONTROL, FOR_EVER),
        ];
        return Ok((StatusCode::OK, headers, bytes).into_response());
    }
    Ok(covers::instead(&game.slug, place > 0))
}

/// The id in the address of an uploaded picture.
pub(crate) fn uploaded(address: &str) -> Option<Uuid> {
    address.strip_prefix(PICTURES)?.strip_suffix(".webp")?.parse().ok()
}

/// `GET /api/pictures/{id}.webp`: an uploaded picture as it is stored. Its address changes with every upload.
pub(crate) async fn stored(
    State(state): State<Arc<WebState>>,
    Path(file): Path<String>,
) -> Result<Response, PageError> {
    let id = uploaded(&format!("{PICTURES}{file}")).ok_or(PageError::NotFound)?;
    let bytes = state.shop.game_picture(id).await?.ok_or(PageError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/webp")),
        (header::CACHE_CONTROL, FOR_EVER),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        ),
    ];
    Ok((headers, bytes).into_response())
}
