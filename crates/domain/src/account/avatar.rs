//! Addresses of users' pictures. Of an uploaded picture only the path is stored, so that its address follows the shop's
//! public URL; a picture elsewhere has an absolute address.

use uuid::Uuid;

/// Path of uploaded pictures.
pub const AVATARS: &str = "/avatars/";

/// The path of the uploaded picture with this id.
pub fn avatar_path(id: Uuid) -> String {
    format!("{AVATARS}{id}.webp")
}

/// The absolute address of a stored avatar in a shop at `public_url` (without a slash at its end): under `/api`, which is all
/// that a front-end of one's own passes on.
pub fn avatar_address(stored: &str, public_url: &str) -> String {
    if stored.starts_with(AVATARS) {
        format!("{public_url}/api{stored}")
    } else {
        stored.to_owned()
    }
}

/// Whether `sent` is the address of the `stored` avatar, under this public URL of the shop or another one.
pub(super) fn is_same_avatar(stored: &str, sent: &str) -> bool {
    // The id in the path is random: nothing else ends in it.
    sent == stored || (stored.starts_with(AVATARS) && sent.ends_with(stored))
}
