//! The secrets that sign tokens. They are checked on creation, never printed, and compared in constant time.

use subtle::ConstantTimeEq as _;

/// Minimum length of a signing secret in characters, from the HTTP contract (`docs/http-api.md`).
pub const MIN_SECRET_CHARS: usize = 32;

/// The reason why the secrets cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The named secret is too short.
    #[error("{0} must have at least {MIN_SECRET_CHARS} characters")]
    TooShort(&'static str),
    /// Both secrets are equal, so a refresh token would be valid as an access token.
    #[error("JWT_SECRET and JWT_REFRESH_SECRET must differ")]
    Same,
}

/// The two signing secrets. Deliberately without `Debug`.
#[derive(Clone)]
pub struct TokenSecrets {
    pub(crate) access: Vec<u8>,
    pub(crate) refresh: Vec<u8>,
}

impl TokenSecrets {
    /// Checks `JWT_SECRET` and `JWT_REFRESH_SECRET`.
    ///
    /// # Errors
    /// [`SecretError::TooShort`], [`SecretError::Same`].
    pub fn new(access: &str, refresh: &str) -> Result<Self, SecretError> {
        if access.chars().count() < MIN_SECRET_CHARS {
            return Err(SecretError::TooShort("JWT_SECRET"));
        }
        if refresh.chars().count() < MIN_SECRET_CHARS {
            return Err(SecretError::TooShort("JWT_REFRESH_SECRET"));
        }
        if access.as_bytes().ct_eq(refresh.as_bytes()).into() {
            return Err(SecretError::Same);
        }
        Ok(Self {
            access: access.into(),
            refresh: refresh.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_or_equal_secrets_are_refused_by_name() {
        let long = "x".repeat(32);
        let other = "y".repeat(32);
        assert_eq!(
            TokenSecrets::new("short", &long).err(),
            Some(SecretError::TooShort("JWT_SECRET"))
        );
        assert_eq!(
            TokenSecrets::new(&long, "short").err(),
            Some(SecretError::TooShort("JWT_REFRESH_SECRET"))
        );
        assert_eq!(TokenSecrets::new(&long, &long).err(), Some(SecretError::Same));
        assert!(TokenSecrets::new(&long, &other).is_ok());
    }
}
