//! A signed token that assigns the concurrent first writes of a browser to one guest.
//!
//! A browser becomes a guest with its first write and learns its session from the response. Two concurrent first writes
//! would create two guests, of which the browser would keep only one. So a per-client response (the cart, the personal
//! part of the page header) gives a browser without a session a short-lived token before its first write: a signed
//! random number; nothing is stored. Both writes send it, and the ID of the guest that they create is derived from it.
//!
//! The token can create that guest, and can join it within the next minute (`lockstep_store::guests`). It does not
//! reveal the guest's ID, which is the session, and other clients cannot forge a token of this browser.

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{HeaderMap, HeaderValue};
use lockstep_clock::Random;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{Auth, Keys, cookies};

/// Name of the token's cookie.
pub const COOKIE: &str = "nextGuest";

/// Lifetime of a token.
const LIFETIME: TimeDelta = TimeDelta::hours(1);
/// Lifetime of the cookie in seconds.
const SECONDS: u32 = 3600;

impl Auth {
    /// Builds the cookie for a browser without a session.
    pub fn set_guest_token(&self, production: bool) -> HeaderValue {
        let token = make(&self.0.keys, &self.0.random, self.0.clock.now());
        cookies::set(COOKIE, &token, SECONDS, production)
    }

    /// Returns the ID of the guest that the browser's first write creates, if it has a valid token.
    pub fn newcomer(&self, headers: &HeaderMap) -> Option<Uuid> {
        let now = self.0.clock.now();
        cookies::values(headers, COOKIE).find_map(|text| read(&self.0.keys, text, now))
    }
}

fn make(keys: &Keys, random: &Random, now: DateTime<Utc>) -> String {
    let nonce: [u8; 16] = random.bytes();
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
    // A remaining lifetime above the maximum means that the clock was set back since.
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

    const RANDOM: Random = Random::system();

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn keys(byte: &str) -> Keys {
        Keys::parse(&byte.repeat(32)).unwrap()
    }

    #[test]
    fn a_token_denotes_one_guest_for_an_hour_and_hides_its_id() {
        let (keys, now) = (keys("11"), now());
        let token = make(&keys, &RANDOM, now);
        let guest = read(&keys, &token, now).unwrap();
        assert_eq!(read(&keys, &token, now + TimeDelta::minutes(59)), Some(guest));
        assert_eq!(read(&keys, &token, now + TimeDelta::minutes(61)), None);
        assert_ne!(read(&keys, &make(&keys, &RANDOM, now), now), Some(guest));
        assert!(!token.contains(&guest.simple().to_string()));
    }

    #[test]
    fn foreign_tokens_are_rejected() {
        let (ours, now) = (keys("11"), now());
        let token = make(&ours, &RANDOM, now);
        assert_eq!(read(&keys("22"), &token, now), None);
        let mut parts: Vec<&str> = token.split('.').collect();
        let other = make(&ours, &RANDOM, now);
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
