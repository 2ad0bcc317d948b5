//! Addresses of uploaded pictures.

use lockstep_domain::account::ProfileFacts;
use uuid::Uuid;

use crate::WebState;
use crate::error::PageError;

/// Path of uploaded pictures.
pub(super) const PLACE: &str = "/avatars/";

/// The path of the reader's picture, if it was uploaded here: its address ends in the id of a stored picture. It begins
/// with the public URL of the time of the upload, which may have changed.
pub(super) async fn path<'f>(state: &WebState, facts: &'f ProfileFacts) -> Result<Option<&'f str>, PageError> {
    let place = facts
        .avatar
        .as_deref()
        .and_then(|address| address.rfind(PLACE).map(|at| address.split_at(at).1));
    let Some((path, id)) = place.and_then(|path| Some((path, id_in(path.strip_prefix(PLACE)?)?))) else {
        return Ok(None);
    };
    Ok(state.shop.picture(id).await?.map(|_| path))
}

/// The id in the name of a picture's file.
pub(super) fn id_in(file: &str) -> Option<Uuid> {
    file.strip_suffix(".webp")?.parse().ok()
}
