//! Access and refresh tokens (JWT, HS256).
//!
//! Each kind has its own secret. The claims of the HTTP contract (`docs/http-api.md`) are `userId`, `email`, `role`,
//! `iat` and `exp`; additional claims name the session (`sid`), the step of its chain (`jti`) and the kind. A token
//! depends only on these claims, so the same step of a chain always has the same two tokens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use lockstep_domain::account::{Role, TokenPair};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::secret::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secrets::TokenSecrets;

/// Maximum length of a token in bytes; longer ones are rejected unread.
const MAX_TOKEN_BYTES: usize = 4096;

/// Constant value of `expiresIn` in seconds; the front-end's refresh timer depends on it (`docs/http-api.md`).
const EXPIRES_IN: u64 = 604_800;

/// Lifetime of the token of staff who act as a customer. Their session may end earlier; the database permits half an hour.
pub(crate) const IMPERSONATION_LIFETIME: Duration = Duration::from_mins(20);

/// Kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Authenticates requests, for days.
    Access,
    /// Obtains a new pair once, for weeks.
    Refresh,
    /// Authenticates requests of staff who act as the user, for minutes. To versions that do not know it, it is no token.
    Impersonation,
}

/// Claims of a token. Trustworthy only if returned by [`Tokens::read`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// ID of the user.
    pub user_id: UserId,
    /// E-mail address when the token was issued.
    pub email: String,
    /// Role when the token was issued; the database decides.
    pub role: Role,
    /// Time of issue, in seconds since 1970.
    pub iat: i64,
    /// Expiry, in seconds since 1970.
    pub exp: i64,
    /// ID of the session.
    pub sid: SessionId,
    /// Step of the session's chain.
    pub jti: Uuid,
    /// Kind of the token.
    pub kind: Kind,
}

/// The reason why a token is rejected. Clients learn only that they are not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Valid once, but expired.
    #[error("the token has expired")]
    Expired,
    /// Not issued by this shop, or of the other kind.
    #[error("the token is not valid")]
    Invalid,
}

/// The user for whom a pair is issued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenSubject<'a> {
    pub(crate) user: UserId,
    pub(crate) email: &'a str,
    pub(crate) role: Role,
    pub(crate) session: SessionId,
}

/// Signs and verifies tokens.
#[derive(Clone)]
pub struct Tokens {
    access: (EncodingKey, DecodingKey),
    refresh: (EncodingKey, DecodingKey),
    access_lifetime: Duration,
    refresh_lifetime: Duration,
    validation: Validation,
}

impl Tokens {
    /// Creates a signer with these secrets and lifetimes.
    pub fn new(secrets: &TokenSecrets, access_lifetime: Duration, refresh_lifetime: Duration) -> Self {
        crate::hs256::install();
        let keys = |secret: &[u8]| (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        // Only this algorithm is accepted: the `alg` header of a token is not trusted.
        let mut validation = Validation::new(Algorithm::HS256);
        // `read` checks the expiry, by the clock that it is given.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp"]);
        Self {
            access: keys(&secrets.access),
            refresh: keys(&secrets.refresh),
            access_lifetime,
            refresh_lifetime,
            validation,
        }
    }

    /// Lifetime of a refresh token.
    pub(crate) fn refresh_lifetime(&self) -> Duration {
        self.refresh_lifetime
    }

    /// Issues the pair of step `jti` at the time `now`.
    pub(crate) fn pair(
        &self,
        bearer: TokenSubject<'_>,
        jti: Uuid,
        now: DateTime<Utc>,
    ) -> Result<TokenPair, TokenError> {
        Ok(TokenPair {
            token: self.sign(bearer, jti, Kind::Access, now)?,
            refresh_token: self.sign(bearer, jti, Kind::Refresh, now)?,
            expires_in: EXPIRES_IN,
        })
    }

    fn sign(&self, bearer: TokenSubject<'_>, jti: Uuid, kind: Kind, now: DateTime<Utc>) -> Result<Secret, TokenError> {
        let lifetime = match kind {
            Kind::Access => self.access_lifetime,
            Kind::Refresh => self.refresh_lifetime,
            Kind::Impersonation => IMPERSONATION_LIFETIME,
        };
        let (key, _) = self.keys(kind);
        let iat = now.timestamp();
        let claims = Claims {
            user_id: bearer.user,
            email: bearer.email.to_owned(),
            role: bearer.role,
            iat,
            exp: iat.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
            sid: bearer.session,
            jti,
            kind,
        };
        // Serialisation of plain fields and an HMAC cannot fail; a bug would appear as a token that is not issued.
        encode(&Header::new(Algorithm::HS256), &claims, key)
            .map(Secret::new)
            .map_err(|_| TokenError::Invalid)
    }

    /// Issues the token of staff who act as the user `subject` from `now`. There is none to refresh it.
    pub(crate) fn impersonation(&self, subject: TokenSubject<'_>, now: DateTime<Utc>) -> Result<Secret, TokenError> {
        self.sign(subject, Uuid::new_v4(), Kind::Impersonation, now)
    }

    fn keys(&self, kind: Kind) -> &(EncodingKey, DecodingKey) {
        match kind {
            Kind::Access | Kind::Impersonation => &self.access,
            Kind::Refresh => &self.refresh,
        }
    }

    /// Returns the claims of a token, if it is valid, of this kind and, at the time `now`, unexpired.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(&self, text: &str, kind: Kind, now: DateTime<Utc>) -> Result<Claims, TokenError> {
        let (_, key) = self.keys(kind);
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let claims = decode::<Claims>(text, key, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.kind != kind || claims.email.is_empty() {
            return Err(TokenError::Invalid);
        }
        if claims.exp <= now.timestamp() {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_hours(24);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn tokens(seed: &str) -> Tokens {
        let secrets = TokenSecrets::new(
            &format!("{seed}-access-{}", "a".repeat(32)),
            &format!("{seed}-refresh-{}", "r".repeat(32)),
        )
        .unwrap();
        Tokens::new(&secrets, 7 * DAY, 30 * DAY)
    }

    fn pair(tokens: &Tokens, at: DateTime<Utc>) -> TokenPair {
        let bearer = TokenSubject {
            user: UserId(Uuid::from_u128(1)),
            email: "ada@example.com",
            role: Role::User,
            session: SessionId(Uuid::from_u128(2)),
        };
        tokens.pair(bearer, Uuid::from_u128(3), at).unwrap()
    }

    fn part(token: &Secret, index: usize) -> serde_json::Value {
        let part = token.expose().split('.').nth(index).unwrap();
        serde_json::from_slice(&decode_base64(part)).unwrap()
    }

    fn decode_base64(text: &str) -> Vec<u8> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bits = 0u32;
        let mut held = 0;
        let mut bytes = Vec::new();
        for letter in text.bytes() {
            bits = (bits << 6) | u32::try_from(ALPHABET.iter().position(|a| *a == letter).unwrap()).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
            }
        }
        bytes
    }

    fn encode_base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        bytes
            .chunks(3)
            .flat_map(|chunk| {
                let word =
                    chunk.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
                (0..=chunk.len())
                    .map(move |i| char::from(ALPHABET[usize::try_from((word >> (18 - 6 * i)) & 63).unwrap()]))
            })
            .collect()
    }

    #[test]
    fn tokens_have_the_documented_claims_and_lifetimes() {
        let now = now();
        let pair = pair(&tokens("x"), now);
        let access = part(&pair.token, 1);
        assert_eq!(access["userId"], Uuid::from_u128(1).to_string());
        assert_eq!(
            (&access["email"], &access["role"]),
            (&"ada@example.com".into(), &"USER".into())
        );
        assert_eq!(access["iat"], now.timestamp());
        assert_eq!(access["exp"].as_i64().unwrap() - now.timestamp(), 604_800);
        assert_eq!(
            part(&pair.refresh_token, 1)["exp"].as_i64().unwrap() - now.timestamp(),
            30 * 86_400
        );
        assert_eq!(part(&pair.token, 0)["alg"], "HS256");
        assert_eq!(pair.expires_in, 604_800);
    }

    #[test]
    fn the_same_step_has_the_same_tokens() {
        let now = now();
        assert_eq!(pair(&tokens("x"), now), pair(&tokens("x"), now));
    }

    #[test]
    fn token_kinds_are_not_interchangeable() {
        let tokens = tokens("x");
        let pair = pair(&tokens, now());
        assert!(tokens.read(pair.token.expose(), Kind::Access, now()).is_ok());
        assert!(tokens.read(pair.refresh_token.expose(), Kind::Refresh, now()).is_ok());
        assert_eq!(
            tokens.read(pair.refresh_token.expose(), Kind::Access, now()),
            Err(TokenError::Invalid)
        );
        assert_eq!(
            tokens.read(pair.token.expose(), Kind::Refresh, now()),
            Err(TokenError::Invalid)
        );
        let ada = TokenSubject {
            user: UserId(Uuid::from_u128(1)),
            email: "ada@example.com",
            role: Role::User,
            session: SessionId(Uuid::from_u128(2)),
        };
        let impersonation = tokens.impersonation(ada, now()).unwrap();
        assert!(tokens.read(impersonation.expose(), Kind::Impersonation, now()).is_ok());
        for (token, kind) in [
            (&impersonation, Kind::Access),
            (&impersonation, Kind::Refresh),
            (&pair.token, Kind::Impersonation),
        ] {
            assert_eq!(tokens.read(token.expose(), kind, now()), Err(TokenError::Invalid));
        }
        // Not even if it is signed with the other secret.
        let mut claims = tokens.read(pair.refresh_token.expose(), Kind::Refresh, now()).unwrap();
        let forged = encode(&Header::new(Algorithm::HS256), &claims, &tokens.access.0).unwrap();
        assert_eq!(tokens.read(&forged, Kind::Access, now()), Err(TokenError::Invalid));
        claims.kind = Kind::Access;
        let fine = encode(&Header::new(Algorithm::HS256), &claims, &tokens.access.0).unwrap();
        assert!(tokens.read(&fine, Kind::Access, now()).is_ok());
    }

    #[test]
    fn tokens_of_another_secret_or_algorithm_are_refused() {
        let ours = tokens("x");
        let theirs = pair(&tokens("y"), now());
        assert_eq!(
            ours.read(theirs.token.expose(), Kind::Access, now()),
            Err(TokenError::Invalid)
        );
        let good = pair(&ours, now());
        let claims = ours.read(good.token.expose(), Kind::Access, now()).unwrap();
        for algorithm in [Algorithm::HS384, Algorithm::HS512, Algorithm::RS256] {
            assert!(
                encode(&Header::new(algorithm), &claims, &ours.access.0).is_err(),
                "{algorithm:?}"
            );
        }
        let payload = good.token.expose().split('.').nth(1).unwrap();
        for header in [
            r#"{"alg":"none","typ":"JWT"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"HS384","typ":"JWT"}"#,
            r#"{"alg":"HS512","typ":"JWT"}"#,
            r#"{"alg":"RS256"}"#,
            "{}",
        ] {
            let header = encode_base64(header.as_bytes());
            for signature in ["", good.token.expose().rsplit('.').next().unwrap()] {
                assert_eq!(
                    ours.read(&format!("{header}.{payload}.{signature}"), Kind::Access, now()),
                    Err(TokenError::Invalid)
                );
            }
        }
    }

    #[test]
    fn changing_the_role_inside_breaks_the_signature() {
        let tokens = tokens("x");
        let good = pair(&tokens, now());
        let mut claims = part(&good.token, 1);
        claims["role"] = "ADMIN".into();
        let parts: Vec<&str> = good.token.expose().split('.').collect();
        let forged = format!(
            "{}.{}.{}",
            parts[0],
            encode_base64(claims.to_string().as_bytes()),
            parts[2]
        );
        assert_eq!(tokens.read(&forged, Kind::Access, now()), Err(TokenError::Invalid));
    }

    #[test]
    fn expired_tokens_are_reported_and_tokens_of_the_existing_shop_refused() {
        let tokens = tokens("x");
        let pair = pair(&tokens, now());
        let second = Duration::from_secs(1);
        for (token, kind, lifetime) in [
            (&pair.token, Kind::Access, 7 * DAY),
            (&pair.refresh_token, Kind::Refresh, 30 * DAY),
        ] {
            let at = |now| tokens.read(token.expose(), kind, now).map(|claims| claims.kind);
            assert_eq!(at(now() + lifetime - second), Ok(kind));
            assert_eq!(
                at(now() + lifetime),
                Err(TokenError::Expired),
                "not on or after its expiry"
            );
            assert_eq!(at(now() + lifetime + second), Err(TokenError::Expired));
        }
        let at = now().timestamp();
        let stateless =
            serde_json::json!({"userId": Uuid::nil(), "email": "a@b.cc", "role": "USER", "iat": at, "exp": at + 1000});
        let stateless = encode(&Header::new(Algorithm::HS256), &stateless, &tokens.access.0).unwrap();
        assert_eq!(tokens.read(&stateless, Kind::Access, now()), Err(TokenError::Invalid));
    }

    proptest! {
        #[test]
        fn arbitrary_text_neither_panics_nor_passes(text in ".*") {
            prop_assert!(tokens("x").read(&text, Kind::Access, now()).is_err());
        }

        #[test]
        fn a_single_changed_character_is_refused(at in 0usize..200, letter in "[A-Za-z0-9_-]") {
            let tokens = tokens("x");
            let good = pair(&tokens, now());
            let mut text: Vec<u8> = good.token.expose().bytes().collect();
            let at = at % text.len();
            if text[at] != b'.' && text[at] != letter.as_bytes()[0] {
                // The last character of a part may contain unused bits.
                let last = text.get(at + 1).is_none_or(|next| *next == b'.');
                text[at] = letter.as_bytes()[0];
                let read = tokens.read(std::str::from_utf8(&text).unwrap(), Kind::Access, now());
                prop_assert!(read.is_err() || last);
            }
        }
    }
}
