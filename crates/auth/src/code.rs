//! One-time codes and reset links: created, hashed and compared here. Only a keyed hash reaches the database; without
//! the key, a stolen database does not allow an attacker to guess six digits.

use std::time::Duration;

use lockstep_clock::Random;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use lockstep_store::accounts::NewCode;
use lockstep_vault::Keys;
use rand::Rng as _;
use subtle::ConstantTimeEq as _;

/// Lifetime of a verification code.
pub const VERIFICATION_LIFETIME: Duration = Duration::from_hours(1);
/// Lifetime of a reset link.
pub const RESET_LIFETIME: Duration = Duration::from_mins(30);

const VERIFY: &str = "verify-email";
const RESET: &str = "reset-password";

/// Creates a six-digit code with which `user` verifies the address.
pub fn verification_code(keys: &Keys, user: UserId, random: &Random) -> NewCode {
    let text = format!("{:06}", random.rng().random_range(0..1_000_000));
    let hash = keys.hash(VERIFY, &[user.0.as_bytes(), text.as_bytes()]);
    NewCode {
        text: Secret::new(text),
        hash,
        lifetime: VERIFICATION_LIFETIME,
    }
}

/// Whether the typed text is the code with this hash; spaces are ignored.
pub(crate) fn is_verification(keys: &Keys, user: UserId, typed: &str, hash: &[u8]) -> bool {
    let typed: String = typed.chars().filter(|c| !c.is_whitespace()).take(12).collect();
    let parts: [&[u8]; 2] = [user.0.as_bytes(), typed.as_bytes()];
    // Every key is tried, so that the response time does not reveal the matching one.
    keys.hashes(VERIFY, &parts)
        .fold(false, |found, candidate| bool::from(candidate.ct_eq(hash)) | found)
}

/// Creates the token of a reset link: 256 random bits.
pub(crate) fn reset(keys: &Keys, random: &Random) -> NewCode {
    let text = hex::encode(random.bytes::<32>());
    let hash = keys.hash(RESET, &[text.as_bytes()]);
    NewCode {
        text: Secret::new(text),
        hash,
        lifetime: RESET_LIFETIME,
    }
}

/// Returns the hashes under which a link may be stored: one for each key.
pub(crate) fn reset_hashes(keys: &Keys, typed: &str) -> Vec<[u8; 32]> {
    let typed = typed.trim();
    if typed.len() != 64 {
        return Vec::new();
    }
    keys.hashes(RESET, &[typed.as_bytes()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn verification_codes_are_six_digits_bound_to_one_user() {
        let keys = Keys::parse(&"11".repeat(32)).unwrap();
        let later = Keys::parse(&format!("{},{}", "22".repeat(32), "11".repeat(32))).unwrap();
        let (ada, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let code = verification_code(&keys, ada, &Random::system());
        let text = code.text.expose();
        assert!(text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()), "{text}");
        assert!(is_verification(&keys, ada, text, &code.hash));
        assert!(is_verification(
            &later,
            ada,
            &format!(" {} {} ", &text[..3], &text[3..]),
            &code.hash
        ));
        assert!(!is_verification(&keys, bob, text, &code.hash));
        assert!(!is_verification(&keys, ada, "", &code.hash));
        assert!(!format!("{code:?}").contains(text));
    }

    #[test]
    fn codes_come_from_the_random_source_alone() {
        let keys = Keys::parse(&"11".repeat(32)).unwrap();
        let made = |seed| {
            let (random, ada) = (Random::seeded(seed), UserId(Uuid::from_u128(1)));
            (verification_code(&keys, ada, &random).text, reset(&keys, &random).text)
        };
        assert_eq!(made(1), made(1));
        let (one, two) = (made(1), made(2));
        assert!(one.0 != two.0 && one.1 != two.1);
    }

    #[test]
    fn reset_links_are_long_and_unique() {
        let keys = Keys::parse(&"11".repeat(32)).unwrap();
        let random = Random::system();
        let (one, two) = (reset(&keys, &random), reset(&keys, &random));
        assert_ne!(one.text, two.text);
        assert_eq!(reset_hashes(&keys, one.text.expose()), [one.hash]);
        assert!(reset_hashes(&keys, "short").is_empty());
    }
}
