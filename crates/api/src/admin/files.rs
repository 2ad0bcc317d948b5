//! Lists of staff as CSV: the same path and parameters with `format=csv`.

use axum::body::Body;
use futures::{StreamExt as _, stream};
use http::header::{self, HeaderValue};
use lockstep_admin::{FileError, List};

use super::RequireStaff;
use crate::answer::{self, Answered};
use crate::error::ApiError;
use crate::params::Ask;

/// Whether a list is asked for as a file.
pub(super) fn wanted(ask: &Ask) -> Result<bool, ApiError> {
    match ask.text("format")?.as_deref() {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(ApiError::invalid("format", "must be json or csv")),
    }
}

/// The file of `list`; only its head if `is_empty`.
pub(super) async fn csv(staff: &RequireStaff, list: List, is_empty: bool) -> Answered {
    let name = format!(
        "attachment; filename=\"{}-{}.csv\"",
        list.name(),
        staff.now.format("%Y-%m-%d")
    );
    let file = staff.office.file(&staff.admin, list, is_empty).await?;
    // Fused, because compression polls once more after the end.
    let pieces = stream::unfold(file, |mut file| async move { Some((file.next().await?, file)) }).fuse();
    let mut response = answer::streamed(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
    );
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Bug(Some(std::sync::Arc::new(error))))?;
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Busy => Self::Busy,
            FileError::Store(error) => error.into(),
        }
    }
}
