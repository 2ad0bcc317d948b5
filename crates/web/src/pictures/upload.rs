//! Reads a member's picture from the body of a form, within limits.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use lockstep_images::NoPicture;
use lockstep_images::upload::{self, UploadError};

use crate::error::PageError;

/// Maximum size of an uploaded picture in bytes.
const MOST_BYTES: usize = 1024 * 1024;
/// The path of the form.
pub(crate) const PATH: &str = "/account/profile/picture";
/// The field with the picture.
const FIELD: &str = "picture";

/// The key of the text that says why a picture is refused.
pub(crate) const fn text_of(why: NoPicture) -> &'static str {
    match why {
        NoPicture::Missing => "wrong.picture_missing",
        NoPicture::TooLarge => "wrong.picture_too_large",
        NoPicture::Unreadable => "wrong.picture_unreadable",
        NoPicture::Incomplete => "wrong.picture_incomplete",
        NoPicture::Busy => "wrong.picture_busy",
    }
}

/// The bytes of the form's `picture` field.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) Result<Bytes, NoPicture>);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = PageError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, PageError> {
        match upload::read(request, FIELD, MOST_BYTES).await {
            Ok(upload) => Ok(Self(Ok(upload.file))),
            Err(UploadError::Refused(why)) => Ok(Self(Err(why))),
            Err(UploadError::NotAForm) => Err(PageError::BadRequest),
        }
    }
}
