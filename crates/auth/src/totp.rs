//! Two-factor authentication with TOTP: six digits that change every 30 seconds.
//!
//! The secret shared with the authenticator is stored encrypted, so a copy of the database alone cannot produce codes,
//! and a rotation of `LOCKSTEP_KEY_SECRET` encrypts it again. Older versions stored only a nonce and derived the secret
//! from it and the key; new secrets are still created that way, so that such a version can run beside this one during
//! an update.

use chrono::{DateTime, Utc};
use lockstep_clock::Random;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use lockstep_store::accounts::Totp;
use lockstep_store::accounts::totp::{SealedTotp, place};
use lockstep_vault::{Keys, Unreadable};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use totp_rs::{Algorithm, TOTP};

/// Validity of a code in seconds.
const STEP: u64 = 30;

/// Secret shared with an authenticator: 160 bits, the length that authenticators expect with SHA-1.
pub(crate) type Shared = [u8; 20];

/// Data to set up an authenticator.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// Base32 secret, to type in.
    pub secret: Secret,
    /// `otpauth://` URL, to show as a QR code.
    pub url: Secret,
}

fn authenticator(secret: &Shared, issuer: &str, account: &str) -> Option<TOTP> {
    let clean = |text: &str| text.replace(':', " ");
    let secret = secret.to_vec();
    TOTP::new(Algorithm::SHA1, 6, 1, STEP, secret, Some(clean(issuer)), clean(account)).ok()
}

fn cut(hash: [u8; 32]) -> Shared {
    let mut shared = [0; 20];
    for (to, from) in shared.iter_mut().zip(hash) {
        *to = from;
    }
    shared
}

/// Creates a secret; returns its nonce, the secret, and its encrypted form.
pub(crate) fn make(keys: &Keys, user: UserId, random: &Random) -> ([u8; 32], Shared, Vec<u8>) {
    let nonce = random.bytes();
    let shared = cut(keys.hash("totp", &[user.0.as_bytes(), &nonce]));
    let sealed = keys.seal(&place(user), &shared);
    (nonce, shared, sealed)
}

/// Returns the secret of an authenticator; several if it is unknown with which key an older version derived it.
pub(crate) fn secrets(keys: &Keys, user: UserId, totp: &Totp) -> Result<Vec<Shared>, Unreadable> {
    stored(keys, user, &totp.nonce, totp.sealed.as_deref())
}

fn stored(keys: &Keys, user: UserId, nonce: &[u8], sealed: Option<&[u8]>) -> Result<Vec<Shared>, Unreadable> {
    let Some(sealed) = sealed else {
        let parts: [&[u8]; 2] = [user.0.as_bytes(), nonce];
        return Ok(keys.hashes("totp", &parts).map(cut).collect());
    };
    let plain = keys.open(&place(user), sealed)?;
    let (shared, rest) = plain.as_chunks::<20>();
    if shared.is_empty() || !rest.is_empty() {
        return Err(Unreadable);
    }
    Ok(shared.to_vec())
}

/// What a rotation of `LOCKSTEP_KEY_SECRET` stores for a second factor: a nonce and an encrypted secret.
pub type SealedAnew = ([u8; 32], Vec<u8>);

/// Encrypts a second factor with the newest key; `None` if it already is.
///
/// # Errors
/// [`Unreadable`] if no key of the list decrypts it.
pub fn sealed_anew(keys: &Keys, totp: &SealedTotp, random: &Random) -> Result<Option<SealedAnew>, Unreadable> {
    if totp.sealed.as_ref().is_some_and(|sealed| keys.is_current(sealed)) {
        return Ok(None);
    }
    let shared = stored(keys, totp.user, &totp.nonce, totp.sealed.as_deref())?;
    let sealed = keys.seal(&place(totp.user), shared.as_flattened());
    Ok(Some((random.bytes(), sealed)))
}

/// Returns the data to set up an authenticator.
pub(crate) fn enrolment(shared: &Shared, issuer: &str, account: &str) -> Option<Enrolment> {
    let totp = authenticator(shared, issuer, account)?;
    Some(Enrolment {
        secret: Secret::new(totp.get_secret_base32()),
        url: Secret::new(totp.get_url()),
    })
}

/// Returns the time step of the typed code: the current, previous or next one (clocks differ).
pub(crate) fn step_of(secrets: &[Shared], typed: &Secret, now: DateTime<Utc>) -> Option<i64> {
    let typed: String = typed.expose().chars().filter(|c| !c.is_whitespace()).take(12).collect();
    let current = u64::try_from(now.timestamp()).ok()? / STEP;
    let mut found = None;
    // All secrets are tried, so that the response time does not reveal the matching one.
    for secret in secrets {
        let totp = authenticator(secret, "", "")?;
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

/// Returns the code that an authenticator set up with `enrolment` shows at `now`: for tests of other crates, and to
/// check a set-up by hand.
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

    const RANDOM: Random = Random::system();
    const ADA: UserId = UserId(Uuid::from_u128(1));

    fn keys(list: &[&str]) -> Keys {
        let list: Vec<String> = list.iter().map(|byte| byte.repeat(32)).collect();
        Keys::parse(&list.join(",")).unwrap()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn code(shared: &Shared) -> Secret {
        Secret::new(code_at(&enrolment(shared, "L", "a").unwrap(), now()).unwrap())
    }

    #[test]
    fn a_code_is_accepted_one_step_before_and_after() {
        let (_, shared, _) = make(&keys(&["11"]), ADA, &RANDOM);
        let enrolment = enrolment(&shared, "Lock:step", "ada@example.com").unwrap();
        assert!(
            enrolment
                .url
                .expose()
                .starts_with("otpauth://totp/Lock%20step:ada%40example.com?"),
            "{}",
            enrolment.url.expose()
        );
        let typed = code(&shared);
        let step = |seconds: i64| step_of(&[shared], &typed, now() + TimeDelta::seconds(seconds));
        assert_eq!(step(0), Some(60_000_000));
        assert_eq!((step(30), step(-30)), (Some(60_000_000), Some(60_000_000)));
        assert_eq!((step(60), step(-31)), (None, None));
        let (_, other, _) = make(&keys(&["11"]), ADA, &RANDOM);
        assert_eq!(step_of(&[other], &typed, now()), None);
        assert_eq!(step_of(&[other, shared], &typed, now()), Some(60_000_000));
        assert_eq!(step_of(&[shared], &Secret::new(""), now()), None);
    }

    /// A second factor of an older version: a nonce, and no encrypted secret.
    fn derived(keys: &Keys) -> (SealedTotp, Secret) {
        let (nonce, shared, _) = make(keys, ADA, &RANDOM);
        let totp = SealedTotp {
            user: ADA,
            nonce: nonce.to_vec(),
            sealed: None,
        };
        (totp, code(&shared))
    }

    fn opens(keys: &Keys, totp: &SealedTotp, typed: &Secret) -> bool {
        stored(keys, ADA, &totp.nonce, totp.sealed.as_deref())
            .is_ok_and(|secrets| step_of(&secrets, typed, now()).is_some())
    }

    #[test]
    fn an_authenticator_survives_the_loss_of_its_derivation_key() {
        let (mut totp, typed) = derived(&keys(&["11"]));
        let list = keys(&["22", "11"]);
        assert!(opens(&list, &totp, &typed));
        let (nonce, sealed) = sealed_anew(&list, &totp, &RANDOM).unwrap().unwrap();
        totp.nonce = nonce.to_vec();
        totp.sealed = Some(sealed);
        let new = keys(&["22"]);
        assert!(opens(&new, &totp, &typed));
        assert_eq!(sealed_anew(&new, &totp, &RANDOM), Ok(None), "nothing is left to do");
        // And the rotation after it.
        let (nonce, sealed) = sealed_anew(&keys(&["33", "22"]), &totp, &RANDOM).unwrap().unwrap();
        let totp = SealedTotp {
            nonce: nonce.to_vec(),
            sealed: Some(sealed),
            ..totp
        };
        assert!(opens(&keys(&["33"]), &totp, &typed));
        assert!(!opens(&new, &totp, &typed));
        assert_eq!(sealed_anew(&new, &totp, &RANDOM), Err(Unreadable));
    }

    #[test]
    fn an_encrypted_secret_is_bound_to_its_owner() {
        let list = keys(&["11"]);
        let (_, shared, sealed) = make(&list, ADA, &RANDOM);
        assert_eq!(stored(&list, ADA, &[], Some(&sealed)), Ok(vec![shared]));
        let bob = UserId(Uuid::from_u128(2));
        assert_eq!(stored(&list, bob, &[], Some(&sealed)), Err(Unreadable));
    }
}
