//! Encryption of game keys at rest and keyed hashes of secrets, with the keys in `LOCKSTEP_KEY_SECRET`.
//!
//! The setting is a list: the first key encrypts, and every key decrypts, so that keys can be rotated. A sealed value
//! is bound to its place (table, column and row), so that it cannot be moved to another row and opened there. Nothing
//! here logs or prints.

pub mod signing;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use hmac::{Hmac, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;

/// First byte of a sealed value: XChaCha20-Poly1305 under a subkey, `version | key mark | nonce | ciphertext and tag`.
const VERSION: u8 = 1;
/// Length in bytes of the mark that identifies the key of the list, so that rotation finds values sealed with an old
/// one.
const MARK: usize = 4;
/// Length of the random nonce in bytes, enough to make collisions of random nonces negligible.
const NONCE: usize = 24;

/// `LOCKSTEP_KEY_SECRET` is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("LOCKSTEP_KEY_SECRET must be 64 hexadecimal digits, or several such separated by commas")]
pub struct NotKeys;

/// A sealed value cannot be opened: wrong key, wrong place, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value cannot be opened with LOCKSTEP_KEY_SECRET")]
pub struct Unreadable;

/// The keys of `LOCKSTEP_KEY_SECRET`. It has no `Debug` on purpose.
#[derive(Clone)]
pub struct Keys {
    first: [u8; 32],
    older: Vec<[u8; 32]>,
}

impl Keys {
    /// Parses `LOCKSTEP_KEY_SECRET`: 64 hexadecimal digits, or several such keys separated by commas.
    ///
    /// # Errors
    /// Returns [`NotKeys`] if the text has any other form.
    pub fn parse(text: &str) -> Result<Self, NotKeys> {
        let key = |part: &str| {
            let mut key = [0; 32];
            hex::decode_to_slice(part.trim(), &mut key).map_err(|_| NotKeys)?;
            Ok(key)
        };
        let mut keys = text.split(',').map(key);
        let first = keys.next().ok_or(NotKeys)??;
        let older = keys.collect::<Result<_, _>>()?;
        Ok(Self { first, older })
    }

    /// Returns the keyed hash of `parts` for `purpose` under the newest key. Different purposes and different divisions
    /// into parts give different hashes.
    pub fn hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        keyed(&self.first, purpose, parts)
    }

    /// Returns the keyed hash of `parts` under each key, newest first.
    pub fn hashes<'k>(&'k self, purpose: &'k str, parts: &'k [&'k [u8]]) -> impl Iterator<Item = [u8; 32]> + 'k {
        self.all().map(move |key| keyed(key, purpose, parts))
    }

    /// Seals `plain` with the newest key for `place` (`game_keys.key_ciphertext/{id}`).
    ///
    /// # Panics
    /// If `plain` has 256 GB or more: what the cipher refuses must not be stored as sealed.
    #[expect(
        clippy::expect_used,
        reason = "no caller holds 256 GB, and an empty seal would lose what it was to hold"
    )]
    pub fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        #[expect(
            clippy::disallowed_methods,
            reason = "a nonce must never repeat, so nobody may choose the source"
        )]
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: place.as_bytes(),
        };
        let sealed = cipher(&self.first)
            .encrypt(&nonce.into(), payload)
            .expect("the cipher takes plaintexts of less than 256 GB");
        [&[VERSION][..], &mark(&self.first), &nonce, &sealed].concat()
    }

    /// Opens a value that [`seal`](Self::seal) made for the same place, with any key of the list.
    ///
    /// # Errors
    /// Returns [`Unreadable`].
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (head, rest) = sealed.split_at_checked(1 + MARK).ok_or(Unreadable)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Unreadable)?;
        let key = self
            .all()
            .find(|key| head == [&[VERSION][..], &mark(key)].concat())
            .ok_or(Unreadable)?;
        let payload = Payload {
            msg: sealed,
            aad: place.as_bytes(),
        };
        cipher(key).decrypt(nonce.into(), payload).map_err(|_| Unreadable)
    }

    /// Whether a value was sealed with the newest key. A rotation seals the others again.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&[&[VERSION][..], &mark(&self.first)].concat())
    }

    fn all(&self) -> impl Iterator<Item = &[u8; 32]> {
        std::iter::once(&self.first).chain(&self.older)
    }
}

/// Each use has its own key, derived from the key in the list.
fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&keyed(key, "seal", &[]).into())
}

fn mark(key: &[u8; 32]) -> [u8; MARK] {
    let [a, b, c, d, ..] = keyed(key, "mark", &[]);
    [a, b, c, d]
}

fn keyed(key: &[u8; 32], purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length, so the error cannot occur.
    let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(list: &str) -> Keys {
        Keys::parse(list).unwrap()
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let (old, new) = ("00".repeat(32), "11".repeat(32));
        let before = keys(&old);
        let after = keys(&format!("{new}, {old}"));
        let hash = before.hash("p", &[b"x"]);
        assert_ne!(after.hash("p", &[b"x"]), hash);
        assert!(after.hashes("p", &[b"x"]).any(|candidate| candidate == hash));
        let sealed = before.seal("place", b"AAAA-BBBB");
        assert_eq!(after.open("place", &sealed).as_deref(), Ok(&b"AAAA-BBBB"[..]));
        assert!(before.is_current(&sealed) && !after.is_current(&sealed));
        assert_eq!(keys(&new).open("place", &sealed), Err(Unreadable));
        for bad in ["", "zz", "0011", &format!("{new},"), &"0".repeat(63)] {
            assert_eq!(Keys::parse(bad).err(), Some(NotKeys), "{bad}");
        }
    }

    #[test]
    fn different_purposes_and_divisions_do_not_collide() {
        let keys = keys(&"22".repeat(32));
        let all = [
            keys.hash("a", &[b"bc"]),
            keys.hash("ab", &[b"c"]),
            keys.hash("a", &[b"b", b"c"]),
            keys.hash("a", &[b"bc", b""]),
        ];
        for (i, hash) in all.iter().enumerate() {
            assert!(!all[..i].contains(hash));
        }
    }

    proptest! {
        #[test]
        fn sealed_values_open_only_unchanged_and_in_their_place(plain in ".{0,80}", place in ".{0,20}", other in ".{0,20}", at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let keys = keys(&"33".repeat(32));
            let sealed = keys.seal(&place, plain.as_bytes());
            prop_assert_eq!(keys.open(&place, &sealed), Ok(plain.into_bytes()));
            prop_assert_ne!(&sealed, &keys.seal(&place, b""));
            if other != place {
                prop_assert_eq!(keys.open(&other, &sealed), Err(Unreadable));
            }
            let mut damaged = sealed.clone();
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            prop_assert_eq!(keys.open(&place, &damaged), Err(Unreadable));
            prop_assert_eq!(keys.open(&place, &sealed[..at]), Err(Unreadable));
        }
    }
}
