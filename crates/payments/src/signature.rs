//! Signed deliveries, as documented by Stripe: `t=<seconds>,v1=<hex>` where the hex is HMAC-SHA-256 of `<seconds>.<body
//! as sent>` under a shared secret. Any of several `v1` may match (two secrets during a rotation).

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use lockstep_domain::Secret;
use sha2::Sha256;

/// Tolerance for clock skew and delivery time.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// A delivery without a valid signature. The sender learns no further reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the delivery has no valid signature")]
pub struct NotSigned;

/// Verifies that `header` signs `body` with one of `secrets`, at about `now`. The comparison takes constant time.
///
/// # Errors
/// [`NotSigned`].
pub fn verify(header: &str, body: &[u8], secrets: &[Secret], now: DateTime<Utc>) -> Result<(), NotSigned> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let stamp = parts().find(|(name, _)| *name == "t").ok_or(NotSigned)?.1;
    let at = stamp
        .parse::<i64>()
        .ok()
        .filter(|_| stamp.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or(NotSigned)?;
    if (now - at).abs() > TOLERANCE {
        return Err(NotSigned);
    }
    let signed = parts()
        .filter(|(name, _)| *name == "v1")
        .take(8)
        .filter_map(|(_, digits)| hex::decode(digits).ok())
        .any(|signature| {
            secrets
                .iter()
                .any(|secret| mac(secret, stamp, body).verify_slice(&signature).is_ok())
        });
    if signed { Ok(()) } else { Err(NotSigned) }
}

/// The header that signs `body` at `now`.
pub fn sign(body: &[u8], secret: &Secret, now: DateTime<Utc>) -> String {
    let stamp = now.timestamp().to_string();
    let signature = mac(secret, &stamp, body).finalize().into_bytes();
    format!("t={stamp},v1={}", hex::encode(signature))
}

fn mac(secret: &Secret, stamp: &str, body: &[u8]) -> Hmac<Sha256> {
    // HMAC accepts keys of any length, so the other arm is unreachable.
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(secret.expose().as_bytes())
        .unwrap_or_else(|_| <Hmac<Sha256> as hmac::Mac>::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
    mac.update(stamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn secrets(list: &[&str]) -> Vec<Secret> {
        list.iter().map(|text| Secret::new(*text)).collect()
    }

    /// Computed with `printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn signature_matches_openssl() {
        let ours = sign(br#"{"id":"evt_1"}"#, &Secret::new("whsec_test"), at(0));
        assert_eq!(
            ours,
            "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
        );
    }

    #[test]
    fn rejects_wrong_secret_changed_body_and_wrong_time() {
        let body = b"{}";
        let header = sign(body, &Secret::new("one"), at(0));
        let check = |header: &str, body: &[u8], list: &[&str], now| verify(header, body, &secrets(list), now);
        assert_eq!(check(&header, body, &["one"], at(0)), Ok(()));
        assert_eq!(check(&header, body, &["new", "one"], at(300)), Ok(()));
        assert_eq!(check(&header, body, &["one"], at(-300)), Ok(()));
        for (header, body, list, now) in [
            (header.as_str(), &b"{} "[..], &["one"][..], at(0)),
            (&header, body, &["two"], at(0)),
            (&header, body, &[], at(0)),
            (&header, body, &["one"], at(301)),
            (&header, body, &["one"], at(-301)),
            ("", body, &["one"], at(0)),
            ("t=1700000000", body, &["one"], at(0)),
            ("t=1700000000,v1=", body, &["one"], at(0)),
            ("t=1700000000,v1=zz", body, &["one"], at(0)),
            (&header.replace("v1", "v0"), body, &["one"], at(0)),
            (&header.replace("t=", "t=+"), body, &["one"], at(0)),
            (&header.replace("t=17", "t=18"), body, &["one"], at(0)),
        ] {
            assert_eq!(check(header, body, list, now), Err(NotSigned), "{header} {list:?}");
        }
        // One of several signatures matches.
        let both = header.replace(",v1", ",v1=00ff,v1");
        assert_eq!(check(&both, body, &["one"], at(0)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in ".*", body in prop::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(verify(&header, &body, &secrets(&["s"]), at(0)), Err(NotSigned));
        }
    }
}
