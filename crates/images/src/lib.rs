//! Pictures from outside: read within limits, decoded, scaled, and encoded anew as WebP.
//!
//! What comes from people and other servers is not trusted. Nothing of a file is kept but its pixels.

mod shrink;
pub mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

pub use shrink::Unreadable;

/// How long an upload waits for its turn.
const QUEUE: Duration = Duration::from_secs(2);

/// Why an uploaded picture is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPicture {
    /// No file was chosen.
    #[error("Choose a picture first.")]
    Missing,
    /// The file is larger than allowed.
    #[error("This picture is too large.")]
    TooLarge,
    /// It is not a PNG, JPEG or WebP within the limits.
    #[error("This picture cannot be read. Send a PNG, JPEG or WebP file of at most 16 megapixels.")]
    Unreadable,
    /// The file ends before its picture does.
    #[error("Part of this file is missing. Export the picture again.")]
    Incomplete,
    /// Too many others are being processed.
    #[error("Other pictures are being processed. Try again in a few seconds.")]
    Busy,
}

/// An uploaded picture with its transparency, and what decides how it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// PNG.
    pub bytes: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The mean of its visible pixels: red, green, blue.
    pub color: [u8; 3],
    /// Whether the page shines through somewhere.
    pub is_transparent: bool,
}

/// Scales pictures, a bounded number at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scaler {
    turns: Arc<Semaphore>,
}

impl Scaler {
    /// Scales at most `most` pictures at once: each takes up to 160 MiB of memory and tens of milliseconds.
    pub fn new(most: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(most)),
        }
    }

    /// A JPEG, PNG, WebP or GIF in each of `widths`, in pixels, but never larger than it is.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub async fn scaled(&self, bytes: Bytes, widths: &[u32]) -> Result<Vec<(u32, Bytes)>, Unreadable> {
        // The blocking task holds its turn: it continues after the reader disconnects.
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            return Err(Unreadable);
        };
        let widths = widths.to_vec();
        let made = tokio::task::spawn_blocking(move || {
            let made = shrink::shrink(&bytes, &widths);
            drop(turn);
            made
        });
        made.await.map_err(|_| Unreadable)?
    }

    /// The centre of an uploaded picture as a square of at most `side` pixels and `most_bytes` bytes.
    ///
    /// # Errors
    /// [`NoPicture`].
    pub async fn square(&self, sent: Bytes, side: u32, most_bytes: usize) -> Result<Bytes, NoPicture> {
        self.uploaded(move || shrink::square(&sent, side, most_bytes)).await
    }

    /// An uploaded picture, upright, at most `width` pixels wide and `most_bytes` bytes long.
    ///
    /// # Errors
    /// [`NoPicture`].
    pub async fn fitted(&self, sent: Bytes, width: u32, most_bytes: usize) -> Result<Bytes, NoPicture> {
        self.uploaded(move || shrink::fitted(&sent, width, most_bytes)).await
    }

    /// An uploaded picture, upright, within `width` and `height` pixels and `most_bytes` bytes, as a PNG, which mail programs
    /// show as well. One without a visible pixel is unreadable.
    ///
    /// # Errors
    /// [`NoPicture`].
    pub async fn drawn(&self, sent: Bytes, width: u32, height: u32, most_bytes: usize) -> Result<Drawn, NoPicture> {
        self.uploaded(move || shrink::drawn(&sent, (width, height), most_bytes))
            .await
    }

    async fn uploaded<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> Result<T, NoPicture> + Send + 'static,
    ) -> Result<T, NoPicture> {
        let turn = tokio::time::timeout(QUEUE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(NoPicture::Busy);
        };
        let made = tokio::task::spawn_blocking(move || {
            let made = make();
            drop(turn);
            made
        });
        made.await.map_err(|_| NoPicture::Unreadable)?
    }
}
