//! Accounts at G2A as staff see and enter them.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::ServerSource;
use super::checks::Checks;
use super::emails::MASKED_PASSWORD;
use crate::account::FieldError;
use crate::catalogue::iso_millis;
use crate::purchase::iso_millis_or_none;
use crate::secret::Secret;

/// Maximum length of a client id and of a client secret, in characters.
const MAX_CREDENTIAL: usize = 200;

/// Which of G2A's two worlds an account belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SupplierEnvironment {
    /// G2A's sandbox, or the built-in one: no real keys, no real money.
    Sandbox,
    /// The real G2A.
    Production,
}

impl SupplierEnvironment {
    /// The name in the API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Production => "production",
        }
    }

    /// The environment with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sandbox" => Some(Self::Sandbox),
            "production" => Some(Self::Production),
            _ => None,
        }
    }
}

impl fmt::Display for SupplierEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The mark by which orders remember the account that placed them: the first 16 hexadecimal digits of the SHA-256 of its
/// client id. It stays the same when the account's secret changes.
pub fn account_mark(client_id: &str) -> String {
    let mut mark = format!("{:x}", Sha256::digest(client_id.as_bytes()));
    mark.truncate(16);
    mark
}

/// The API key of an account: the hexadecimal SHA-256 of client id, e-mail address and client secret, joined.
pub fn api_key(client_id: &str, email: &str, client_secret: &str) -> Secret {
    let digest = Sha256::new()
        .chain_update(client_id)
        .chain_update(email)
        .chain_update(client_secret)
        .finalize();
    Secret::new(format!("{digest:x}"))
}

/// An account at G2A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SupplierAccount {
    /// Identifier; all zeros for that of the environment.
    pub id: Uuid,
    /// Client id ("API hash").
    pub client_id: String,
    /// E-mail address of the account.
    pub email: String,
    /// Client secret, masked.
    pub client_secret: String,
    /// API key, masked; it follows from the other three.
    pub api_key: Option<String>,
    /// Which of G2A's worlds it belongs to.
    pub environment: SupplierEnvironment,
    /// Whether it is the active one.
    pub is_active: bool,
    /// Whether the shop buys with it: it is active, and the environment names no other.
    pub in_use: bool,
    /// Who decides about it.
    pub source: ServerSource,
    /// Number of its last change; sent back, a change over another one is refused.
    pub version: i64,
    /// When G2A last accepted just these credentials.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub tested_at: Option<DateTime<Utc>>,
    /// When it was entered; for that of the environment, when the process started.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it was changed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
}

/// The API key of three credentials.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SupplierApiKey {
    /// 64 hexadecimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub api_key: Secret,
}

/// A bearer token of G2A.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SupplierToken {
    /// The token.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub access_token: Secret,
    /// Seconds for which it is valid.
    pub expires_in: u64,
    /// Always `bearer`.
    pub token_type: &'static str,
    /// Where it is valid.
    pub environment: SupplierEnvironment,
    /// When it expires.
    #[serde(rename = "expiresAt", with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: DateTime<Utc>,
}

/// What staff enter about an account. Of a known account, what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SupplierAccountForm {
    /// Client id.
    pub client_id: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Client secret; `None` keeps the stored one.
    pub client_secret: Option<Secret>,
    /// API key, which has to be the one that follows from the other three.
    pub api_key: Option<Secret>,
    /// `sandbox` or `production`.
    pub environment: Option<String>,
    /// Whether it shall be the active one.
    pub is_active: Option<bool>,
    /// The version that the form showed.
    pub version: Option<i64>,
}

/// A secret that was entered: neither empty nor the mask.
fn entered(secret: Option<Secret>) -> Option<Secret> {
    secret.filter(|secret| !secret.expose().is_empty() && secret.expose() != MASKED_PASSWORD)
}

impl SupplierAccountForm {
    /// The form with valid fields, in which a masked or empty secret is none.
    ///
    /// # Errors
    /// Every invalid field.
    pub fn checked(self) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        let form = Self {
            client_id: self.client_id.map(|id| checks.credential("clientId", id.trim())),
            email: self.email.map(|email| checks.address("email", &email)),
            client_secret: entered(self.client_secret)
                .map(|secret| Secret::new(checks.credential("clientSecret", secret.expose().trim()))),
            api_key: entered(self.api_key),
            environment: self.environment,
            is_active: self.is_active,
            version: self.version,
        };
        if form
            .environment
            .as_deref()
            .is_some_and(|name| SupplierEnvironment::from_name(name).is_none())
        {
            checks.fault("environment", "unknown", "This field must be sandbox or production");
        }
        if form.version.is_some_and(|version| version < 0) {
            checks.fault("version", "out_of_range", "This field must not be negative");
        }
        checks.finish(form)
    }
}

impl Checks {
    /// A text that can be sent in an HTTP header: visible ASCII characters.
    fn credential(&mut self, path: &'static str, text: &str) -> String {
        if text.is_empty() {
            self.fault(path, "required", "This field is required");
        } else if text.len() > MAX_CREDENTIAL {
            self.fault(path, "too_long", "This field is too long");
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.fault(
                path,
                "not_a_credential",
                "This field must hold letters, digits and signs only, without blanks",
            );
        }
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_key_is_the_published_one() {
        let key = api_key("games-games-games", "test123@integration-api.g2a", "quite-nice-secret");
        assert_eq!(
            key.expose(),
            "5feaefae655d6d2dcfb27f22e700495aa90e255fc0ad93bc22dfc0ed770fae21"
        );
    }

    #[test]
    fn a_mark_does_not_show_the_client_id() {
        let mark = account_mark("games-games-games");
        assert!(mark.len() == 16 && !mark.contains("games"), "{mark}");
        assert_ne!(mark, account_mark("games-games-game"));
    }

    #[test]
    fn masked_and_empty_secrets_are_none_and_odd_ones_are_refused() {
        let with = |secret: &str| SupplierAccountForm {
            client_secret: Some(Secret::new(secret)),
            ..SupplierAccountForm::default()
        };
        for kept in ["", MASKED_PASSWORD] {
            assert_eq!(with(kept).checked().unwrap().client_secret, None);
        }
        for odd in ["two words", "line\nbreak", "nul\0", "ümlaut", &"x".repeat(201)] {
            let faults = with(odd).checked().unwrap_err();
            assert_eq!(faults[0].path, "clientSecret", "{odd:?}");
        }
    }
}
