//! `GET /feeds/{file}`: what can be bought now, at the price charged, for comparers, search engines and agents.
//!
//! A feed is a file, made from one snapshot of the database when it is asked for and the catalogue has changed since the
//! last one. Its readers read the file: however slow they are, they hold no transaction, and memory holds a part of the
//! games and a piece of the file at a time. The file is compressed once for all who accept that, and has no name as soon as
//! it is open, so nothing is left of it.

mod formats;
mod text;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::{StreamExt as _, stream};
use lockstep_domain::Secret;
use lockstep_page::visit::Preferences;
use lockstep_shop::{CatalogueMark, FeedError};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::WebState;
use crate::error::PageError;
use formats::{Format, Head, Writer};

/// First part of the addresses.
pub(crate) const FOLDER: &str = "/feeds/";

/// How long the answer may take to begin: 100,000 games are read and written meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// A feed that took longer to make than this is not made again at once, however often the catalogue changes.
const QUICK: Duration = Duration::from_millis(250);
/// For how many times as long it stands instead: making feeds takes at most a tenth of the time.
const REST: u32 = 10;
/// It stands no longer than this.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// Media type of a file that is compressed already.
pub(crate) const GZIP: &str = "application/gzip";

/// Size of the pieces in which a file is sent.
const PIECE: usize = 64 * 1024;

/// Settings of the feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSettings {
    /// The folder of their files, which have no names.
    pub folder: PathBuf,
    /// A part of their address that nobody guesses; without one they are public.
    pub secret: Option<Secret>,
}

/// The feeds of a process.
#[derive(Debug)]
pub(crate) struct Feeds {
    folder: PathBuf,
    /// The digest of the secret, so that a comparison tells nothing about it.
    secret: Option<[u8; 32]>,
    /// The newest file of each format; locked while another one is made.
    made: [Mutex<Option<Arc<Made>>>; Format::ALL.len()],
    /// Locked while a file is made: one at a time.
    making: Mutex<()>,
}

/// A finished feed.
#[derive(Debug)]
struct Made {
    mark: CatalogueMark,
    /// Compressed.
    file: Arc<File>,
    /// Its size.
    packed: u64,
    /// Its size without compression.
    bytes: u64,
    etag: HeaderValue,
    at: Instant,
    took: Duration,
}

impl Made {
    /// Whether it may be given out although or because the catalogue is at `mark`.
    fn stands(&self, mark: &CatalogueMark) -> bool {
        let rest = self.took.saturating_sub(QUICK).saturating_mul(REST).min(LONGEST_REST);
        self.mark == *mark || self.at.elapsed() < rest
    }
}

/// Why there is no feed.
#[derive(Debug, thiserror::Error)]
enum NoFeed {
    #[error(transparent)]
    Read(#[from] lockstep_shop::ReadError),
    #[error(transparent)]
    Make(#[from] FeedError),
    #[error("its file cannot be made: {0}")]
    File(#[from] io::Error),
    #[error("others are being made")]
    Busy,
}

impl From<NoFeed> for PageError {
    fn from(error: NoFeed) -> Self {
        match error {
            NoFeed::Read(error) => error.into(),
            NoFeed::Make(FeedError::Store(error)) => error.into(),
            NoFeed::Busy => Self::Offline,
            NoFeed::Make(FeedError::Write(error)) | NoFeed::File(error) => {
                tracing::error!(%error, "a feed cannot be written");
                Self::Offline
            }
        }
    }
}

impl Feeds {
    pub(crate) fn new(settings: &FeedSettings) -> Self {
        Self {
            folder: settings.folder.clone(),
            secret: settings.secret.as_ref().map(|secret| digest(secret.expose())),
            made: std::array::from_fn(|_| Mutex::default()),
            making: Mutex::default(),
        }
    }

    /// Whether `given`, the part of an address before the file's name, opens it.
    fn opens(&self, given: Option<&str>) -> bool {
        self.secret == given.map(digest)
    }

    /// The feed as of now, made if need be, once for all who ask meanwhile.
    async fn get(&self, state: &WebState, format: Format) -> Result<Arc<Made>, NoFeed> {
        let Some(place) = self.made.get(format.place()) else {
            return Err(NoFeed::Busy);
        };
        let mut place = tokio::time::timeout(PATIENCE / 2, place.lock())
            .await
            .map_err(|_elapsed| NoFeed::Busy)?;
        // Before anything is read: what is read is at least as new.
        let mark = state.shop.catalogue_mark().await?;
        if let Some(made) = place.as_ref().filter(|made| made.stands(&mark)) {
            return Ok(Arc::clone(made));
        }
        let _alone = tokio::time::timeout(PATIENCE / 2, self.making.lock())
            .await
            .map_err(|_elapsed| NoFeed::Busy)?;
        let made = Arc::new(self.make(state, format, mark).await?);
        *place = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn make(&self, state: &WebState, format: Format, mark: CatalogueMark) -> Result<Made, NoFeed> {
        let began = Instant::now();
        let site = state.site().await;
        let name = site.look.name.as_ref().filter(|_| !state.settings.shop_name_is_set);
        let head = Head {
            shop: name.unwrap_or(&state.settings.shop_name).clone(),
            url: state.settings.public_url.clone(),
            as_of: state.now(),
        };
        let file = unnamed(&self.folder)?;
        let writer = Writer::begin(format, head, file)?;
        let writer = state.shop.games_on_sale(writer, Writer::write).await?;
        let written = writer.end()?;
        let etag = format!("W/\"{}\"", written.version);
        Ok(Made {
            mark,
            packed: written.file.metadata()?.len(),
            bytes: written.bytes,
            file: Arc::new(written.file),
            etag: HeaderValue::try_from(etag).map_err(io::Error::other)?,
            at: Instant::now(),
            took: began.elapsed(),
        })
    }
}

/// A new file in `folder` that only its holder can find.
fn unnamed(folder: &FilePath) -> io::Result<File> {
    static FILES: AtomicU64 = AtomicU64::new(0);
    std::fs::create_dir_all(folder)?;
    for _ in 0..100 {
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}.part", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            // Of a process that was killed between the two.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("every name is taken"))
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// `GET /feeds/{file}`: where there is no secret.
pub(crate) async fn public(
    State(state): State<Arc<WebState>>,
    Path(file): Path<String>,
    visit: Preferences,
) -> Result<Response, PageError> {
    answer(&state, None, &file, &visit).await
}

/// `GET /feeds/{secret}/{file}`
pub(crate) async fn secret(
    State(state): State<Arc<WebState>>,
    Path((secret, file)): Path<(String, String)>,
    visit: Preferences,
) -> Result<Response, PageError> {
    answer(&state, Some(&secret), &file, &visit).await
}

async fn answer(
    state: &WebState,
    secret: Option<&str>,
    file: &str,
    visit: &Preferences,
) -> Result<Response, PageError> {
    let format = Format::of_file(file).filter(|_| state.feeds.opens(secret));
    let format = format.ok_or(PageError::NotFound)?;
    let made = state.feeds.get(state, format).await?;
    let mut response = if visit.has(&made.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        // The feed for agents is a compressed file; any other is one on its way.
        let (is_packed, is_file) = (visit.gzip, format == Format::Agentic);
        let packed = Packed {
            file: Arc::clone(&made.file),
            at: 0,
        };
        let (body, length) = if is_packed || is_file {
            (pieces(Box::new(packed)), made.packed)
        } else {
            (pieces(Box::new(GzDecoder::new(packed))), made.bytes)
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.kind()));
        headers.insert(header::CONTENT_LENGTH, length.into());
        if is_packed && !is_file {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let keep = if secret.is_some() {
        "private, no-cache"
    } else {
        "public, no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, made.etag.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

/// The bytes of a file from a place of its own: other readers have theirs.
struct Packed {
    file: Arc<File>,
    at: u64,
}

impl Read for Packed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

/// What `reader` reads, a piece at a time.
fn pieces(reader: Box<dyn Read + Send>) -> Body {
    let pieces = stream::unfold(Some(reader), |rest| async move {
        let mut reader = rest?;
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            io::Result::Ok((Bytes::from(piece), reader))
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok((piece, _)) if piece.is_empty() => None,
            Ok((piece, reader)) => Some((Ok(piece), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    });
    // Fused, because compression polls the stream once more after its end.
    Body::from_stream(pieces.fuse())
}
