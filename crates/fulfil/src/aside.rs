//! Answers without a readable key, in the hands of staff: they look, and decide whether a key is in it. For the command
//! line, the API of admins and the console alike; whoever calls has made sure that `admin` is one.

use lockstep_domain::Secret;
use lockstep_domain::ids::{KeyId, UserId};
use lockstep_store::fulfilment::Letters;
use lockstep_store::fulfilment::keys::{self, Arrived, Recorded};
use lockstep_store::fulfilment::unreadable::{self, Decision};
use lockstep_store::{Store, StoreError, Tx};
use lockstep_vault::Keys;
use uuid::Uuid;

/// Longest key that is taken from a person: a file in base64 is taken from answers only.
const LONGEST: usize = 4096;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// There is none of this id, or it was decided before.
    #[error("no undecided answer has this id")]
    NotFound,
    /// No secret of the list opens it.
    #[error("it cannot be opened with any secret of LOCKSTEP_KEY_SECRET")]
    Sealed,
    /// What was given is no key.
    #[error("a key is 1 to {LONGEST} characters, and not blank")]
    NoKey,
    /// The same key is stored already, of another order.
    #[error("this key is stored already, from another order; nothing was changed")]
    Twice,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came, for a person's eyes. That it was looked at is on record before it is returned.
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

/// Stores the key that a person found: its copy gets it, or it becomes stock when that needs it no more.
///
/// # Errors
/// [`AsideError`]; then nothing was changed.
pub async fn accept(
    store: &Store,
    secrets: &Keys,
    letters: &Letters,
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
    let letters = letters.clone();
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
            let (sealed, hashes, letters) = (sealed.clone(), hashes.clone(), letters.clone());
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
                keys::record(tx, &arrived, &letters).await.map(Some)
            })
        })
        .await?
        .ok_or(AsideError::NotFound)
}

/// There is no key in it: its copy is made good at once, as for any lost key.
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

/// Buys a game again that was stopped because its answers hold no keys. False when it was not.
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

/// As text that a terminal and a page can show: what is not text is written as numbers.
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
    fn what_is_not_text_is_shown_as_numbers() {
        assert_eq!(readable(b"<p>AB\xff\x1b[2J\n</p>"), "<p>AB\\xff\\u{1b}[2J\n</p>");
        assert_eq!(readable(b""), "");
    }
}
