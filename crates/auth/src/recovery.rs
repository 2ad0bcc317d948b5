//! Recovery codes, each of which replaces an authenticator code once. They are shown when they are created and stored
//! as hashes. A code has 80 random bits, so its hash needs no key and remains valid if `LOCKSTEP_KEY_SECRET` is lost.

use lockstep_clock::Random;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use lockstep_store::accounts::totp::RecoveryHash;
use rand::seq::IndexedRandom as _;
use sha2::{Digest as _, Sha256};

/// Number of codes of an account.
pub const RECOVERY_CODES: usize = 10;
/// Characters of a code, without the hyphens.
const LENGTH: usize = 16;
/// 32 characters that are hard to confuse.
const CHARACTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Creates new codes, `XXXX-XXXX-XXXX-XXXX`, and the hashes to store.
pub(crate) fn make(user: UserId, random: &Random) -> (Vec<Secret>, Vec<RecoveryHash>) {
    (0..RECOVERY_CODES)
        .map(|_| {
            let characters: Vec<u8> = (0..LENGTH)
                .filter_map(|_| CHARACTERS.choose(&mut random.rng()).copied())
                .collect();
            let groups: Vec<String> = characters
                .chunks(4)
                .map(|group| String::from_utf8_lossy(group).into_owned())
                .collect();
            (Secret::new(groups.join("-")), hash(user, &characters))
        })
        .unzip()
}

/// Returns the hash of a typed code, if it has the form of one. Case, spaces and hyphens are ignored.
pub(crate) fn typed(user: UserId, typed: &Secret) -> Option<RecoveryHash> {
    let characters: Vec<u8> = typed
        .expose()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
        .map(|byte| byte.to_ascii_uppercase())
        .take(LENGTH + 1)
        .collect();
    let is_one = characters.len() == LENGTH && characters.iter().all(|byte| CHARACTERS.contains(byte));
    is_one.then(|| hash(user, &characters))
}

fn hash(user: UserId, characters: &[u8]) -> RecoveryHash {
    Sha256::new()
        .chain_update(b"lockstep recovery code")
        .chain_update(user.0.as_bytes())
        .chain_update(characters)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use uuid::Uuid;

    #[test]
    fn codes_match_in_any_notation_and_only_for_their_owner() {
        let (ada, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let (codes, hashes) = make(ada, &Random::system());
        assert_eq!((codes.len(), hashes.len()), (10, 10));
        assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), 10);
        for (code, hash) in codes.iter().zip(&hashes) {
            let text = code.expose();
            assert_eq!(text.len(), 19);
            for form in [
                text.to_owned(),
                text.to_lowercase(),
                text.replace('-', ""),
                format!(" {} ", text.replace('-', " ")),
            ] {
                assert_eq!(typed(ada, &Secret::new(form)), Some(*hash));
            }
            assert_ne!(typed(bob, code), Some(*hash));
        }
        for other in [
            "",
            "123456",
            "ABCD-EFGH-JKLM-NPQ",
            "ABCD-EFGH-JKLM-NPQR-S",
            "ABCD-EFGH-JKLM-NPQ0",
            &"A".repeat(9999),
        ] {
            assert_eq!(typed(ada, &Secret::new(other)), None, "{other}");
        }
    }
}
