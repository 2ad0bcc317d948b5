//! Addresses of uploaded pictures.

use lockstep_domain::account::{AVATARS, ProfileFacts};
use uuid::Uuid;

use crate::WebState;
use crate::error::PageError;

/// The path of the reader's picture, if it was uploaded here and is still stored.
pub(super) async fn path<'f>(state: &WebState, facts: &'f ProfileFacts) -> Result<Option<&'f str>, PageError> {
    let path = facts.avatar.as_deref();
    let Some((path, id)) = path.and_then(|path| Some((path, id_in(path.strip_prefix(AVATARS)?)?))) else {
        return Ok(None);
    };
    Ok(state.shop.picture(id).await?.map(|_| path))
}

/// The id in the name of a picture's file.
pub(super) fn id_in(file: &str) -> Option<Uuid> {
    file.strip_suffix(".webp")?.parse().ok()
}
