//! The second factor: six digits that change every half minute, as authenticator programs show them.
//!
//! The secret shared with the authenticator is derived from a random nonce in the database and a key that the database
//! does not know, so a copy of the database alone makes no codes.

use chrono::{DateTime, Utc};
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use lockstep_vault::Keys;
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use totp_rs::{Algorithm, TOTP};

/// Seconds a code is shown for.
const STEP: u64 = 30;

/// What an authenticator is set up with.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// To type in: base32.
    pub secret: Secret,
    /// To show as a picture: an `otpauth://` address.
    pub url: Secret,
}

fn authenticator(secret: &[u8; 32], issuer: &str, account: &str) -> Option<TOTP> {
    let clean = |text: &str| text.replace(':', " ");
    // 160 bits, the length that authenticators expect with SHA-1.
    let secret = secret.get(..20)?.to_vec();
    TOTP::new(Algorithm::SHA1, 6, 1, STEP, secret, Some(clean(issuer)), clean(account)).ok()
}

/// What to set an authenticator up with.
pub(crate) fn enrolment(keys: &Keys, user: UserId, nonce: &[u8], issuer: &str, account: &str) -> Option<Enrolment> {
    let totp = authenticator(&keys.hash("totp", &[user.0.as_bytes(), nonce]), issuer, account)?;
    Some(Enrolment {
        secret: Secret::new(totp.get_secret_base32()),
        url: Secret::new(totp.get_url()),
    })
}

/// The time step whose code was typed: this one, the one before or the one after (clocks differ).
pub(crate) fn step_of(keys: &Keys, user: UserId, nonce: &[u8], typed: &Secret, now: DateTime<Utc>) -> Option<i64> {
    let typed: String = typed.expose().chars().filter(|c| !c.is_whitespace()).take(12).collect();
    let current = u64::try_from(now.timestamp()).ok()? / STEP;
    let parts: [&[u8]; 2] = [user.0.as_bytes(), nonce];
    let mut found = None;
    // All are tried, so that the time does not tell which one it was.
    for secret in keys.hashes("totp", &parts) {
        let totp = authenticator(&secret, "", "")?;
        for step in [current.saturating_sub(1), current, current.saturating_add(1)] {
            if totp
                .generate(step.saturating_mul(STEP))
                .as_bytes()
                .ct_eq(typed.as_bytes())
                .into()
            {
                found = i64::try_from(step).ok();
            }
        }
    }
    found
}

/// The code that an authenticator set up with `enrolment` shows at `now`: for tests of whoever uses this crate, and for
/// a person's own check of the set-up.
pub fn code_at(enrolment: &Enrolment, now: DateTime<Utc>) -> Option<String> {
    let secret = totp_rs::Secret::Encoded(enrolment.secret.expose().to_owned())
        .to_bytes()
        .ok()?;
    let totp = TOTP::new(Algorithm::SHA1, 6, 1, STEP, secret, None, String::new()).ok()?;
    Some(totp.generate(u64::try_from(now.timestamp()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use uuid::Uuid;

    #[test]
    fn a_code_is_good_for_its_neighbours_only() {
        let keys = Keys::parse(&"11".repeat(32)).unwrap();
        let user = UserId(Uuid::from_u128(1));
        let enrolment = enrolment(&keys, user, &[7; 32], "Lock:step", "ada@example.com").unwrap();
        assert!(
            enrolment
                .url
                .expose()
                .starts_with("otpauth://totp/Lock%20step:ada%40example.com?"),
            "{}",
            enrolment.url.expose()
        );
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let typed = Secret::new(code_at(&enrolment, now).unwrap());
        let step = |seconds: i64| step_of(&keys, user, &[7; 32], &typed, now + TimeDelta::seconds(seconds));
        assert_eq!(step(0), Some(60_000_000));
        assert_eq!((step(30), step(-30)), (Some(60_000_000), Some(60_000_000)));
        assert_eq!((step(60), step(-31)), (None, None));
        assert_eq!(step_of(&keys, user, &[8; 32], &typed, now), None);
        assert_eq!(step_of(&keys, UserId(Uuid::from_u128(2)), &[7; 32], &typed, now), None);
        assert_eq!(step_of(&keys, user, &[7; 32], &Secret::new(""), now), None);
    }

    #[test]
    fn an_authenticator_survives_a_change_of_the_key() {
        let old = Keys::parse(&"11".repeat(32)).unwrap();
        let new = Keys::parse(&format!("{},{}", "22".repeat(32), "11".repeat(32))).unwrap();
        let user = UserId(Uuid::from_u128(1));
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let typed = Secret::new(code_at(&enrolment(&old, user, &[7; 32], "L", "a").unwrap(), now).unwrap());
        assert!(step_of(&new, user, &[7; 32], &typed, now).is_some());
    }
}
