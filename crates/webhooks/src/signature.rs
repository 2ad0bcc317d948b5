//! Signatures: `v1,` and the base64 of HMAC-SHA-256 over id, timestamp and body, joined by dots.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use lockstep_clock::Random;
use lockstep_domain::Secret;
use sha2::Sha256;

/// What every secret begins with.
const PREFIX: &str = "whsec_";

/// Makes a secret of 256 bits: `whsec_` and base64.
pub fn new_secret(random: &Random) -> Secret {
    Secret::new(format!("{PREFIX}{}", STANDARD.encode(random.bytes::<32>())))
}

/// The header `webhook-signature`: one signature for each secret, separated by blanks. `None` if no secret is usable.
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|secret| {
            let key = STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        })
        .collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let signed = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(
            signed.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn every_usable_secret_signs() {
        let random = Random::seeded(1);
        let (one, two) = (new_secret(&random), new_secret(&random));
        assert_ne!(one, two);
        let signed = sign(&[one, two, Secret::new("whsec_?")], "a", 1, b"{}").unwrap();
        assert_eq!(signed.split(' ').count(), 2);
        assert_eq!(sign(&[Secret::new("other")], "a", 1, b"{}"), None);
    }
}
