//! Review of answers without a readable key: staff look at one and decide whether it contains a key. Used by the
//! command line, the admin API and the console; the caller has checked that `admin` is an admin.

use lockstep_domain::Secret;
use lockstep_domain::ids::{KeyId, UserId};
use lockstep_store::fulfilment::EmailSettings;
use lockstep_store::fulfilment::keys::{self, Arrived, Recorded};
use lockstep_store::fulfilment::unreadable::{self, Decision};
use lockstep_store::{Store, StoreError, Tx};
use lockstep_vault::Keys;
use uuid::Uuid;

/// Longest key that staff may enter, in bytes. Files in base64 come from answers only.
const LONGEST: usize = 4096;

/// Why a decision was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// No answer has this id, or it is already decided.
    #[error("no undecided answer has this id")]
    NotFound,
    /// No configured secret opens it.
    #[error("it cannot be opened with any secret of LOCKSTEP_KEY_SECRET")]
    Sealed,
    /// The given text is not a key.
    #[error("a key is 1 to {LONGEST} characters, and not blank")]
    NoKey,
    /// The same key is already stored for another order.
    #[error("this key is stored already, from another order; nothing was changed")]
    Twice,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns the content of an answer as displayable text. The access is recorded in the audit log first.
///
/// # Errors
/// [`AsideError`].
pub async fn show(store: &Store, secrets: &Keys, id: Uuid, admin: UserId) -> Result<Secret, AsideError> {
    let found = store
        .tx("fulfil.show_unreadable", move |tx: &mut Tx| {
            Box::pin(async move { unreadable::show(tx, id, admin).await })
        })
        .await?;
    let sealed = found.ok_or(AsideError::NotFound)?.sealed;
    let plain = secrets
        .open(&unreadable::place(id), &sealed)
        .map_err(|_| AsideError::Sealed)?;
    Ok(Secret::new(readable(&plain)))
}

/// Stores the key that staff found in an answer. It goes to the answer's unit, or to stock when the unit no longer
/// needs it.
///
/// # Errors
/// [`AsideError`]; nothing is changed.
pub async fn accept(
    store: &Store,
    secrets: &Keys,
    emails: &EmailSettings,
    id: Uuid,
    key: &Secret,
    admin: UserId,
) -> Result<Recorded, AsideError> {
    let text = key.expose().trim();
    if text.is_empty() || text.len() > LONGEST {
        return Err(AsideError::NoKey);
    }
    let key = KeyId(Uuid::now_v7());
    let sealed = secrets.seal(&keys::place(key), text.as_bytes());
    let hashes: Vec<[u8; 32]> = secrets.hashes(keys::HASH, &[text.as_bytes()]).collect();
    let emails = emails.clone();
    let is_known = store
        .tx("fulfil.known_key", {
            let hashes = hashes.clone();
            move |tx: &mut Tx| {
                let hashes = hashes.clone();
                Box::pin(async move { keys::find(tx, &hashes).await })
            }
        })
        .await?
        .is_some();
    if is_known {
        return Err(AsideError::Twice);
    }
    store
        .tx("fulfil.accept_unreadable", move |tx: &mut Tx| {
            let (sealed, hashes, emails) = (sealed.clone(), hashes.clone(), emails.clone());
            Box::pin(async move {
                let Some((unit, g2a_order_id)) = unreadable::decide(tx, id, Decision::Accepted, admin).await? else {
                    return Ok(None);
                };
                let arrived = Arrived {
                    id: key,
                    unit,
                    g2a_order_id,
                    sealed,
                    hashes,
                    is_file: false,
                };
                keys::record(tx, &arrived, &emails).await.map(Some)
            })
        })
        .await?
        .ok_or(AsideError::NotFound)
}

/// Records that the answer contains no key. Its unit is compensated at once, as for any lost key.
///
/// # Errors
/// [`AsideError`].
pub async fn discard(store: &Store, id: Uuid, admin: UserId) -> Result<(), AsideError> {
    let decided = store
        .tx("fulfil.discard_unreadable", move |tx: &mut Tx| {
            Box::pin(async move { unreadable::decide(tx, id, Decision::Discarded, admin).await })
        })
        .await?;
    decided.map(drop).ok_or(AsideError::NotFound)
}

/// Resumes purchases of a game that were stopped because its answers contained no keys. Returns false when they were
/// not stopped.
///
/// # Errors
/// [`AsideError::Store`].
pub async fn buy_again(store: &Store, product: &str, admin: UserId) -> Result<bool, AsideError> {
    let product = product.to_owned();
    Ok(store
        .tx("fulfil.buy_again", move |tx: &mut Tx| {
            let product = product.clone();
            Box::pin(async move { unreadable::lift(tx, &product, admin).await })
        })
        .await?)
}

/// Text that a terminal or a page can show: control characters and invalid UTF-8 are escaped as hex.
fn readable(plain: &[u8]) -> String {
    let mut text = String::with_capacity(plain.len());
    for chunk in plain.utf8_chunks() {
        for sign in chunk.valid().chars() {
            if sign.is_control() && !matches!(sign, '\n' | '\t') {
                text.extend(sign.escape_unicode());
            } else {
                text.push(sign);
            }
        }
        for byte in chunk.invalid() {
            text.push_str("\\x");
            text.push_str(&hex::encode([*byte]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_escaped_as_hex() {
        assert_eq!(readable(b"<p>AB\xff\x1b[2J\n</p>"), "<p>AB\\xff\\u{1b}[2J\n</p>");
        assert_eq!(readable(b""), "");
    }
}
