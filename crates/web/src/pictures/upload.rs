//! Reads an uploaded picture from the body of a form, within limits.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
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
/// The field with the picture.
const FIELD: &str = "name=\"picture\"";

/// Why an upload was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPicture {
    /// No file was chosen.
    Missing,
    /// It is larger than [`MOST_BYTES`].
    TooLarge,
    /// It is not a readable picture.
    Unreadable,
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
            Self::Busy => "wrong.picture_busy",
        }
    }
}

/// The bytes of the form's `picture` field.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) Result<Bytes, NoPicture>);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = PageError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, PageError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let boundary = kind
            .and_then(|kind| boundary(kind.to_str().ok()?))
            .ok_or(PageError::BadRequest)?;
        let Ok(_reader) = READERS.try_acquire() else {
            return Ok(Self(Err(NoPicture::Busy)));
        };
        let Some(body) = read(request.into_body()).await? else {
            return Ok(Self(Err(NoPicture::TooLarge)));
        };
        let picture = field(&body, &boundary).ok_or(PageError::BadRequest)?;
        Ok(Self(match picture.len() {
            0 => Err(NoPicture::Missing),
            1..=MOST_BYTES => Ok(body.slice_ref(picture)),
            _ => Err(NoPicture::TooLarge),
        }))
    }
}

/// Reads the body; `None` if it is too large for an accepted picture.
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

/// The boundary in `multipart/form-data; boundary=…`.
fn boundary(kind: &str) -> Option<String> {
    let (name, parameters) = kind.split_once(';')?;
    if !name.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let text = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    (1..=70).contains(&text.len()).then(|| text.to_owned())
}

/// The contents of the field in the body of a form (RFC 7578).
fn field<'b>(body: &'b [u8], boundary: &str) -> Option<&'b [u8]> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(delimiter.get(2..)?.as_bytes())?;
    // The last delimiter is followed by `--`.
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let (head, content) = split(part, b"\r\n\r\n")?;
        let (content, after) = split(content, delimiter.as_bytes())?;
        let is_ours = std::str::from_utf8(head)
            .ok()?
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-disposition"))
            .any(|(_, value)| value.split(';').any(|parameter| parameter.trim() == FIELD));
        if is_ours {
            return Some(content);
        }
        rest = after;
    }
    None
}

/// The parts before and after the first `by`.
fn split<'b>(bytes: &'b [u8], by: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(by.len()).position(|window| window == by)?;
    Some((bytes.get(..at)?, bytes.get(at + by.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_field_is_found_with_arbitrary_bytes() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n--x\r\n\
            content-disposition: form-data; name=\"picture\"; filename=\"a; name=\"\r\nContent-Type: image/png\r\n\r\n\
            \x89PNG\r\n--y\r\n\r\n\r\n--x--\r\n";
        assert_eq!(field(body, "x"), Some(&b"\x89PNG\r\n--y\r\n\r\n"[..]));
        let empty = b"--x\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"\"\r\n\r\n\r\n--x--";
        assert_eq!(field(empty, "x"), Some(&b""[..]));
    }

    #[test]
    fn malformed_multipart_bodies_have_no_field() {
        for body in [
            &b""[..],
            b"--x",
            b"--x--",
            b"--x\r\n",
            b"--x\r\nContent-Disposition: form-data; name=\"picture\"\r\n\r\nnever ends",
            b"--x\r\nContent-Disposition: form-data; name=\"pictures\"\r\n\r\n1\r\n--x--",
            b"--x\r\n\xff: \r\n\r\n1\r\n--x--",
        ] {
            assert_eq!(field(body, "x"), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn boundaries_are_parsed_with_and_without_quotes() {
        for (kind, read) in [
            ("multipart/form-data; boundary=----x", Some("----x")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=x", None),
            ("application/x-www-form-urlencoded", None),
        ] {
            assert_eq!(boundary(kind).as_deref(), read, "{kind}");
        }
        assert_eq!(
            boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))),
            None
        );
    }
}
