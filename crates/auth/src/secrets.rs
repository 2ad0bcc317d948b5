//! The secrets that everything here rests on: what tokens are signed with, and the key of hashes and authenticators.
//!
//! They enter checked, never print, and are compared in constant time.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Shortest secret that tokens may be signed with, in characters (the contract's rule).
pub const MIN_SECRET_CHARS: usize = 32;

/// Why the secrets cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too short to be signed with.
    #[error("{0} must have at least {MIN_SECRET_CHARS} characters")]
    TooShort(&'static str),
    /// The two are the same, so a refresh token would pass as an access token.
    #[error("JWT_SECRET and JWT_REFRESH_SECRET must differ")]
    Same,
    /// Not a list of keys.
    #[error("LOCKSTEP_KEY_SECRET must be 64 hexadecimal digits, or several such separated by commas")]
    NotKeys,
}

/// The two secrets that tokens are signed with. Has no `Debug` on purpose.
#[derive(Clone)]
pub struct TokenSecrets {
    pub(crate) access: Vec<u8>,
    pub(crate) refresh: Vec<u8>,
}

impl TokenSecrets {
    /// Checks `JWT_SECRET` and `JWT_REFRESH_SECRET`.
    ///
    /// # Errors
    /// [`SecretError::TooShort`], [`SecretError::Same`].
    pub fn new(access: &str, refresh: &str) -> Result<Self, SecretError> {
        if access.chars().count() < MIN_SECRET_CHARS {
            return Err(SecretError::TooShort("JWT_SECRET"));
        }
        if refresh.chars().count() < MIN_SECRET_CHARS {
            return Err(SecretError::TooShort("JWT_REFRESH_SECRET"));
        }
        if access.as_bytes().ct_eq(refresh.as_bytes()).into() {
            return Err(SecretError::Same);
        }
        Ok(Self {
            access: access.into(),
            refresh: refresh.into(),
        })
    }
}

/// The keys of keyed hashes and authenticators: the first makes new ones, any recognises old ones, so that keys can be
/// changed one after the other. Has no `Debug` on purpose.
#[derive(Clone)]
pub struct Keys {
    first: [u8; 32],
    older: Vec<[u8; 32]>,
}

impl Keys {
    /// Reads `LOCKSTEP_KEY_SECRET`: 64 hexadecimal digits, or several such separated by commas.
    ///
    /// # Errors
    /// [`SecretError::NotKeys`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let key = |part: &str| {
            let mut key = [0; 32];
            hex::decode_to_slice(part.trim(), &mut key).map_err(|_| SecretError::NotKeys)?;
            Ok(key)
        };
        let mut keys = text.split(',').map(key);
        let first = keys.next().ok_or(SecretError::NotKeys)??;
        let older = keys.collect::<Result<_, _>>()?;
        Ok(Self { first, older })
    }

    /// The keyed hash of `parts` for one purpose; different purposes and different cuts give different hashes.
    pub(crate) fn hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        keyed(&self.first, purpose, parts)
    }

    /// The same under every key, newest first.
    pub(crate) fn hashes<'k>(&'k self, purpose: &'k str, parts: &'k [&'k [u8]]) -> impl Iterator<Item = [u8; 32]> + 'k {
        std::iter::once(&self.first)
            .chain(&self.older)
            .map(move |key| keyed(key, purpose, parts))
    }
}

fn keyed(key: &[u8; 32], purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    // A block-sized key of our own making: HMAC takes keys of any length, so the error cannot occur.
    let Ok(mut mac) = <Hmac<Sha256>>::new_from_slice(key) else {
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
    use super::*;

    #[test]
    fn short_or_equal_secrets_are_refused_by_name() {
        let long = "x".repeat(32);
        let other = "y".repeat(32);
        assert_eq!(
            TokenSecrets::new("short", &long).err(),
            Some(SecretError::TooShort("JWT_SECRET"))
        );
        assert_eq!(
            TokenSecrets::new(&long, "short").err(),
            Some(SecretError::TooShort("JWT_REFRESH_SECRET"))
        );
        assert_eq!(TokenSecrets::new(&long, &long).err(), Some(SecretError::Same));
        assert!(TokenSecrets::new(&long, &other).is_ok());
    }

    #[test]
    fn keys_are_a_list_whose_first_writes_and_any_reads() {
        let (old, new) = ("00".repeat(32), "11".repeat(32));
        let before = Keys::parse(&old).unwrap();
        let after = Keys::parse(&format!("{new}, {old}")).unwrap();
        let hash = before.hash("p", &[b"x"]);
        assert_ne!(after.hash("p", &[b"x"]), hash);
        assert!(after.hashes("p", &[b"x"]).any(|candidate| candidate == hash));
        for bad in ["", "zz", "0011", &format!("{new},"), &"0".repeat(63)] {
            assert_eq!(Keys::parse(bad).err(), Some(SecretError::NotKeys), "{bad}");
        }
    }

    #[test]
    fn purposes_and_cuts_do_not_collide() {
        let keys = Keys::parse(&"22".repeat(32)).unwrap();
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
}
