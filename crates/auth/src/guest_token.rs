//! What makes two first writes of one browser one guest.
//!
//! A browser becomes a guest by its first write, and learns its session from the answer. Two first writes at once would
//! make two guests, and of one the browser never hears. So an answer that is its alone (its cart, the header's personal
//! part) gives a browser without a session a short-lived token, before it writes anything: only a random number, signed;
//! nothing is stored. Both writes carry it, and the guest that they make has an id that follows from it.
//!
//! The token is good for making that guest, and for joining it during the minute after (`lockstep_store::guests`). It does not
//! say the guest's id, which is the session, and nobody can make one that belongs to another browser.

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{HeaderMap, HeaderValue};
use rand::RngCore as _;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{Auth, Keys, cookies};

/// Carries the token.
pub const COOKIE: &str = "nextGuest";

/// How long a token is good for.
const LIFETIME: TimeDelta = TimeDelta::hours(1);
/// The same for the cookie, in seconds.
const SECONDS: u32 = 3600;

impl Auth {
    /// The cookie for a browser that has no session.
    pub fn set_guest_token(&self, production: bool) -> HeaderValue {
        cookies::set(COOKIE, &make(&self.0.keys, Utc::now()), SECONDS, production)
    }

    /// The guest that a browser becomes by its first write, if it has a token that is good.
    pub fn newcomer(&self, headers: &HeaderMap) -> Option<Uuid> {
        let now = Utc::now();
        cookies::values(headers, COOKIE).find_map(|text| read(&self.0.keys, text, now))
    }
}

fn make(keys: &Keys, now: DateTime<Utc>) -> String {
    let mut nonce = [0_u8; 16];
    rand::rng().fill_bytes(&mut nonce);
    let until = (now + LIFETIME).timestamp();
    format!(
        "{}.{until}.{}",
        hex::encode(nonce),
        hex::encode(seal(keys, &nonce, until))
    )
}

fn seal(keys: &Keys, nonce: &[u8], until: i64) -> [u8; 32] {
    keys.hash("guest.token", &[nonce, &until.to_be_bytes()])
}

fn read(keys: &Keys, text: &str, now: DateTime<Utc>) -> Option<Uuid> {
    let (nonce, rest) = text.split_once('.')?;
    let (until, sealed) = rest.split_once('.')?;
    let (nonce, sealed) = (hex::decode(nonce).ok()?, hex::decode(sealed).ok()?);
    let until: i64 = until.parse().ok()?;
    let is_ours = nonce.len() == 16 && bool::from(sealed.ct_eq(&seal(keys, &nonce, until)));
    // One that lasts longer than any that is made was made before the clock was set back.
    let left = until.checked_sub(now.timestamp())?;
    if !is_ours || !(0..=LIFETIME.num_seconds() * 2).contains(&left) {
        return None;
    }
    let id = keys.hash("guest.id", &[&nonce, &until.to_be_bytes()]);
    let id: [u8; 16] = id[..16].try_into().ok()?;
    Some(uuid::Builder::from_random_bytes(id).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: &str) -> Keys {
        Keys::parse(&byte.repeat(32)).unwrap()
    }

    #[test]
    fn a_token_is_one_guest_for_an_hour_and_never_says_which() {
        let (keys, now) = (keys("11"), Utc::now());
        let token = make(&keys, now);
        let guest = read(&keys, &token, now).unwrap();
        assert_eq!(read(&keys, &token, now + TimeDelta::minutes(59)), Some(guest));
        assert_eq!(read(&keys, &token, now + TimeDelta::minutes(61)), None);
        assert_ne!(read(&keys, &make(&keys, now), now), Some(guest));
        assert!(!token.contains(&guest.simple().to_string()));
    }

    #[test]
    fn a_token_that_was_not_made_here_is_none() {
        let (ours, now) = (keys("11"), Utc::now());
        let token = make(&ours, now);
        assert_eq!(read(&keys("22"), &token, now), None);
        let mut parts: Vec<&str> = token.split('.').collect();
        let other = make(&ours, now);
        parts[0] = other.split('.').next().unwrap();
        assert_eq!(read(&ours, &parts.join("."), now), None, "another nonce");
        let later = (now + TimeDelta::days(1)).timestamp().to_string();
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[1] = &later;
        assert_eq!(read(&ours, &parts.join("."), now), None, "another end");
        for text in ["", ".", "..", "a.b.c", "00.0.00", &"x".repeat(10_000), &token[1..]] {
            assert_eq!(read(&ours, text, now), None, "{text}");
        }
    }
}
