//! The HTTP status and stable code of each refusal of a change by staff.

use http::StatusCode;
use lockstep_admin::ChangeError;

use crate::error::ApiError;

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let code = match error {
            ChangeError::Store(error) => return error.into(),
            ChangeError::NotFound(what) => return Self::NotFound(what),
            ChangeError::Invalid(fault) => return Self::Fields(vec![fault]),
            ChangeError::SlugTaken(_) => "slug_taken",
            ChangeError::NameTaken(_) => "name_taken",
            ChangeError::InUse(_) => "in_use",
            ChangeError::Outdated(_) => "outdated",
            ChangeError::NotSeen(_) => "not_seen",
        };
        Self::refused(StatusCode::CONFLICT, code, &error)
    }
}
