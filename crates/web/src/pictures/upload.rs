//! Reads an uploaded picture from the body of a form, within limits.

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;

use crate::error::PageError;

/// Maximum size of an uploaded picture in bytes.
const MOST_BYTES: usize = 1024 * 1024;
/// A larger body is read up to this size and discarded: a browser that is still sending shows no response.
const DRAINED: usize = 16 * 1024 * 1024;
/// Bodies that are read at the same time: a slow line may take a minute ([`crate::edge`]), and only uploads wait for it.
static READERS: Semaphore = Semaphore::const_new(16);
/// The path of the form.
pub(crate) const PATH: &str = "/account/profile/picture";
/// The field with the picture.
const FIELD: &str = "picture";

/// Why an upload was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPicture {
    /// No file was chosen.
    Missing,
    /// It is larger than [`MOST_BYTES`].
    TooLarge,
    /// It is not a readable picture.
    Unreadable,
    /// The file ends before its picture does.
    Incomplete,
    /// Too many others are being processed.
    Busy,
}

impl NoPicture {
    /// The key of the error text.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Missing => "wrong.picture_missing",
            Self::TooLarge => "wrong.picture_too_large",
            Self::Unreadable => "wrong.picture_unreadable",
            Self::Incomplete => "wrong.picture_incomplete",
            Self::Busy => "wrong.picture_busy",
        }
    }
}

/// The bytes of the form's `picture` field.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) Result<Bytes, NoPicture>);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = PageError;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, PageError> {
        DefaultBodyLimit::max(DRAINED).apply(&mut request);
        let mut form = Multipart::from_request(request, state)
            .await
            .map_err(|_| PageError::BadRequest)?;
        let Ok(_reader) = READERS.try_acquire() else {
            return Ok(Self(Err(NoPicture::Busy)));
        };
        match read(&mut form).await {
            Ok(Some(picture)) => Ok(Self(picture)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Ok(Self(Err(NoPicture::TooLarge))),
            Ok(None) | Err(_) => Err(PageError::BadRequest),
        }
    }
}

/// Reads the whole form, of which it keeps the first field with the picture and at most [`MOST_BYTES`] of it; `None` if
/// there is no such field.
async fn read(form: &mut Multipart) -> Result<Option<Result<Bytes, NoPicture>>, MultipartError> {
    let mut picture = None;
    while let Some(mut field) = form.next_field().await? {
        let is_wanted = picture.is_none() && field.name() == Some(FIELD);
        let (mut kept, mut size) = (BytesMut::new(), 0_usize);
        while let Some(chunk) = field.chunk().await? {
            size = size.saturating_add(chunk.len());
            if is_wanted && size <= MOST_BYTES {
                kept.extend_from_slice(&chunk);
            }
        }
        if is_wanted {
            picture = Some(match size {
                0 => Err(NoPicture::Missing),
                1..=MOST_BYTES => Ok(kept.freeze()),
                _ => Err(NoPicture::TooLarge),
            });
        }
    }
    Ok(picture)
}
