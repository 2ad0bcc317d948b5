//! Reads an uploaded picture from the body of a form, within limits.

use axum::body::Body;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::sync::Semaphore;

use crate::error::PageError;

/// Maximum size of an uploaded picture in bytes.
const MOST_BYTES: usize = 1024 * 1024;
/// Allowance for the rest of the form in bytes.
const AROUND: usize = 8 * 1024;
/// A larger body is read up to this size and discarded: a browser that is still sending shows no response.
const DRAINED: usize = 16 * 1024 * 1024;
/// Bodies that are read at the same time: a slow line may take a minute ([`crate::edge`]), and only uploads wait for it.
static READERS: Semaphore = Semaphore::const_new(16);
/// The path of the form.
pub(crate) const PATH: &str = "/account/profile/picture";
/// The type of the body, before its boundary.
const FORM: &[u8] = b"multipart/form-data";
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

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_form = kind
            .and_then(|kind| kind.get(..FORM.len()))
            .is_some_and(|kind| kind.eq_ignore_ascii_case(FORM));
        if !is_form {
            return Err(PageError::BadRequest);
        }
        let Ok(_reader) = READERS.try_acquire() else {
            return Ok(Self(Err(NoPicture::Busy)));
        };
        let (parts, body) = request.into_parts();
        let Some(body) = read(body).await? else {
            return Ok(Self(Err(NoPicture::TooLarge)));
        };
        let form = Request::from_parts(parts, Body::from(body));
        let mut form = Multipart::from_request(form, state)
            .await
            .map_err(|_| PageError::BadRequest)?;
        let picture = picture(&mut form).await.map_err(|_| PageError::BadRequest)?;
        picture.map(Self).ok_or(PageError::BadRequest)
    }
}

/// Reads the body; `None` if it is too large for an accepted picture.
///
/// The form's parser gets it whole: while it looks for the next boundary it keeps all that it has read.
async fn read(body: Body) -> Result<Option<Bytes>, PageError> {
    let mut stream = body.into_data_stream();
    let (mut kept, mut seen) = (BytesMut::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| PageError::BadRequest)?;
        seen = seen.saturating_add(chunk.len());
        if seen > DRAINED {
            break;
        }
        if seen <= MOST_BYTES + AROUND {
            kept.extend_from_slice(&chunk);
        }
    }
    Ok((seen <= MOST_BYTES + AROUND).then(|| kept.freeze()))
}

/// The first field with the picture; `None` if there is no such field.
async fn picture(form: &mut Multipart) -> Result<Option<Result<Bytes, NoPicture>>, MultipartError> {
    while let Some(field) = form.next_field().await? {
        if field.name() == Some(FIELD) {
            let picture = field.bytes().await?;
            return Ok(Some(match picture.len() {
                0 => Err(NoPicture::Missing),
                1..=MOST_BYTES => Ok(picture),
                _ => Err(NoPicture::TooLarge),
            }));
        }
    }
    Ok(None)
}
