//! A picture that a reader sends with a form: read within limits and taken out of the form's body.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use crate::error::PageError;

/// The largest picture that is taken, in bytes.
const MOST_BYTES: usize = 1024 * 1024;
/// Room for what stands around it in the form.
const AROUND: usize = 8 * 1024;
/// A larger body is read to its end, up to here, and thrown away: a browser that is still sending shows no answer.
const DRAINED: usize = 16 * 1024 * 1024;
/// The field that holds the picture.
const FIELD: &str = "name=\"picture\"";

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPicture {
    /// None was chosen.
    Missing,
    /// It has more than [`MOST_BYTES`].
    TooLarge,
    /// It is none that can be read.
    Unreadable,
    /// Too many others are being made at the moment.
    Busy,
}

impl NoPicture {
    /// The text that says so.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Missing => "wrong.picture_missing",
            Self::TooLarge => "wrong.picture_too_large",
            Self::Unreadable => "wrong.picture_unreadable",
            Self::Busy => "wrong.picture_busy",
        }
    }
}

/// The bytes of the field `picture` of a form.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) Result<Bytes, NoPicture>);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = PageError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, PageError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let boundary = kind
            .and_then(|kind| boundary(kind.to_str().ok()?))
            .ok_or(PageError::BadRequest)?;
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

/// The body; `None` when it is too large to hold a picture that is taken.
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

/// The boundary that `multipart/form-data; boundary=…` names.
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

/// What the field holds in a form's body (RFC 7578).
fn field<'b>(body: &'b [u8], boundary: &str) -> Option<&'b [u8]> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(delimiter.get(2..)?.as_bytes())?;
    // Behind the last part stands `--`.
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

/// What stands before and behind the first `by`.
fn split<'b>(bytes: &'b [u8], by: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(by.len()).position(|window| window == by)?;
    Some((bytes.get(..at)?, bytes.get(at + by.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_found_whatever_its_bytes_are() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n--x\r\n\
            content-disposition: form-data; name=\"picture\"; filename=\"a; name=\"\r\nContent-Type: image/png\r\n\r\n\
            \x89PNG\r\n--y\r\n\r\n\r\n--x--\r\n";
        assert_eq!(field(body, "x"), Some(&b"\x89PNG\r\n--y\r\n\r\n"[..]));
        let empty = b"--x\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"\"\r\n\r\n\r\n--x--";
        assert_eq!(field(empty, "x"), Some(&b""[..]));
    }

    #[test]
    fn what_is_no_such_form_has_no_field() {
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
    fn the_boundary_is_read_quoted_or_not() {
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
