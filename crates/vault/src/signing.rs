//! Ed25519 signatures (RFC 8032) of what a third party checks without the shop.

use rand::RngCore as _;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// A key that signs. It has no `Debug` on purpose.
pub struct Key(Ed25519KeyPair);

impl Key {
    /// Draws a key; returns its seed, 64 hexadecimal digits, and the key.
    #[expect(
        clippy::disallowed_methods,
        reason = "a key that others can repeat signs for everybody, so nobody may choose the source"
    )]
    #[expect(clippy::expect_used, reason = "every 32 bytes are a seed")]
    pub fn generate() -> (String, Self) {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
        (hex::encode(seed), Self(key))
    }

    /// The key of a seed; `None` if it is not 64 hexadecimal digits.
    pub fn of_seed(seed: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(seed.trim(), &mut bytes).ok()?;
        Ed25519KeyPair::from_seed_unchecked(&bytes).ok().map(Self)
    }

    /// Its public part.
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        for (to, from) in public.iter_mut().zip(self.0.public_key().as_ref()) {
            *to = *from;
        }
        public
    }

    /// The signature of a content.
    pub fn sign(&self, content: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        for (to, from) in signature.iter_mut().zip(self.0.sign(content).as_ref()) {
            *to = *from;
        }
        signature
    }
}

/// Whether `signature` is that of `content` by the key whose public part this is.
pub fn is_signed(public: &[u8], content: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(content, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second test of RFC 8032, section 7.1.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = Key::of_seed("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        assert_eq!(
            hex::encode(key.public()),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        assert_eq!(
            hex::encode(key.sign(&[0x72])),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn a_changed_content_signature_or_key_is_noticed() {
        let (seed, key) = Key::generate();
        let same = Key::of_seed(&seed).unwrap();
        assert_eq!(same.public(), key.public());
        let (public, mut signature) = (key.public(), key.sign(b"content"));
        assert!(is_signed(&public, b"content", &signature));
        assert!(!is_signed(&public, b"Content", &signature));
        assert!(!is_signed(&Key::generate().1.public(), b"content", &signature));
        assert!(!is_signed(b"short", b"content", &signature));
        signature[0] ^= 1;
        assert!(!is_signed(&public, b"content", &signature));
        assert!(Key::of_seed("abc").is_none());
    }
}
