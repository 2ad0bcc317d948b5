//! Reads an uploaded picture, and the fields beside it, from the body of a form (`multipart/form-data`), within limits.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use multer::Multipart;
use tokio::sync::Semaphore;

use crate::NoPicture;

/// Allowance for the rest of the form in bytes.
pub const AROUND: usize = 8 * 1024;
/// A larger body is read up to this size and discarded: a browser that is still sending shows no response.
const DRAINED: usize = 16 * 1024 * 1024;
/// Bodies that are read at the same time: a slow line may take a minute, and only uploads wait for it.
static READERS: Semaphore = Semaphore::const_new(16);
/// The type of the body, before its boundary.
const FORM: &[u8] = b"multipart/form-data";

/// A form with a file.
#[derive(Debug)]
pub struct Upload {
    /// The file, not empty.
    pub file: Bytes,
    /// The other fields, by name.
    pub fields: BTreeMap<String, String>,
}

/// Why there is no [`Upload`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadError {
    /// The body is no such form, or ends early.
    NotAForm,
    /// The picture is refused.
    Refused(NoPicture),
}

impl From<NoPicture> for UploadError {
    fn from(why: NoPicture) -> Self {
        Self::Refused(why)
    }
}

/// Reads a form whose file is the field `name`, of at most `most_bytes`.
///
/// # Errors
/// [`UploadError`].
pub async fn read(request: Request, name: &str, most_bytes: usize) -> Result<Upload, UploadError> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_form = kind
        .and_then(|kind| kind.get(..FORM.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(FORM));
    if !is_form {
        return Err(UploadError::NotAForm);
    }
    let boundary = kind
        .and_then(|kind| std::str::from_utf8(kind).ok())
        .and_then(|kind| multer::parse_boundary(kind).ok())
        .ok_or(UploadError::NotAForm)?;
    let Ok(_reader) = READERS.try_acquire() else {
        return Err(NoPicture::Busy.into());
    };
    let Some(body) = whole(request.into_body(), most_bytes + AROUND).await? else {
        return Err(NoPicture::TooLarge.into());
    };
    let form = Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
    fields(form, name, most_bytes).await
}

/// Reads the body; `None` if it is longer than `most`.
///
/// The form's parser gets it whole: while it looks for the next boundary it keeps all that it has read.
async fn whole(body: Body, most: usize) -> Result<Option<Bytes>, UploadError> {
    let mut stream = body.into_data_stream();
    let (mut kept, mut seen) = (BytesMut::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| UploadError::NotAForm)?;
        seen = seen.saturating_add(chunk.len());
        if seen > DRAINED {
            break;
        }
        if seen <= most {
            kept.extend_from_slice(&chunk);
        }
    }
    Ok((seen <= most).then(|| kept.freeze()))
}

/// The first file of this name, and the other fields.
async fn fields(mut form: Multipart<'_>, name: &str, most_bytes: usize) -> Result<Upload, UploadError> {
    let (mut file, mut fields) = (None, BTreeMap::new());
    while let Some(field) = form.next_field().await.map_err(|_| UploadError::NotAForm)? {
        let Some(known) = field.name().map(str::to_owned) else {
            continue;
        };
        if known == name {
            let bytes = field.bytes().await.map_err(|_| UploadError::NotAForm)?;
            file.get_or_insert(bytes);
        } else {
            let text = field.text().await.map_err(|_| UploadError::NotAForm)?;
            fields.insert(known, text);
        }
    }
    let file = file.ok_or(UploadError::NotAForm)?;
    match file.len() {
        0 => Err(NoPicture::Missing.into()),
        size if size > most_bytes => Err(NoPicture::TooLarge.into()),
        _ => Ok(Upload { file, fields }),
    }
}
