//! How G2A is reached: with a complete account, with the one that staff make active, or in the built-in sandbox. An
//! incomplete account is an error and selects neither.

use anyhow::{Result, anyhow, bail};
use lockstep_domain::Secret;
use lockstep_domain::admin::SupplierEnvironment;
use lockstep_g2a::Auth;

use super::{Hidden, Settings, production};

/// How to reach G2A.
#[derive(Debug, Clone)]
pub(crate) enum Supplier {
    /// A real account, or any server with the same API.
    Account { url: String, auth: Auth },
    /// The account that staff have made active, at this address.
    Stored { url: String, oauth: bool },
    /// The built-in sandbox, with the account that staff have made active or else its own.
    Sandbox,
}

/// The `G2A_API_HASH` of a shop whose staff enter the account.
pub(super) const ACCOUNT_OF_STAFF: &str = "database";

impl Supplier {
    /// Whether calls are made with a bearer token.
    pub(crate) const fn uses_oauth(&self) -> bool {
        matches!(
            self,
            Self::Account {
                auth: Auth::OAuth { .. },
                ..
            } | Self::Stored { oauth: true, .. }
        )
    }

    /// Which of G2A's worlds the shop is connected to, by the address. An address of this machine is a server for tests,
    /// except in production, where it can only be a proxy.
    pub(crate) fn environment(&self, is_production: bool) -> SupplierEnvironment {
        let (Self::Account { url, .. } | Self::Stored { url, .. }) = self else {
            return SupplierEnvironment::Sandbox;
        };
        let is_sandbox = production::host(url).eq_ignore_ascii_case("sandboxapi.g2a.com")
            || (!is_production && production::is_loopback(url));
        if is_sandbox {
            SupplierEnvironment::Sandbox
        } else {
            SupplierEnvironment::Production
        }
    }
}

pub(super) fn supplier(settings: &Settings) -> Result<Supplier> {
    let given = [
        &settings.g2a_api_hash,
        &settings.g2a_api_email,
        &settings.g2a_api_secret,
    ];
    let Some(url) = settings.g2a_api_url.clone() else {
        if given.iter().any(|value| value.is_some()) {
            bail!("G2A credentials are set, but G2A_API_URL is not (https://api.g2a.com/v1, or the sandbox's address)");
        }
        return Ok(Supplier::Sandbox);
    };
    let need = |value: &Option<Hidden>, name: &str| {
        value.as_ref().map(|value| value.expose().to_owned()).ok_or_else(|| anyhow!("G2A_API_URL is set, but {name} is not: all of G2A_API_HASH, G2A_API_EMAIL and G2A_API_SECRET are needed, or G2A_API_HASH=database for the account that staff enter"))
    };
    let url = url.trim_end_matches('/').to_owned();
    let oauth = match settings.g2a_auth.as_deref() {
        None | Some("hash") => false,
        Some("oauth") => true,
        Some(other) => bail!("G2A_AUTH is {other:?}; it has to be hash or oauth"),
    };
    if is_of_staff(settings) {
        if settings.g2a_api_email.is_some() || settings.g2a_api_secret.is_some() {
            bail!(
                "G2A_API_HASH is database, so staff enter the account: G2A_API_EMAIL and G2A_API_SECRET must not be set"
            );
        }
        return Ok(Supplier::Stored { url, oauth });
    }
    let hash = Secret::new(need(&settings.g2a_api_hash, "G2A_API_HASH")?);
    let secret = Secret::new(need(&settings.g2a_api_secret, "G2A_API_SECRET")?);
    let auth = if oauth {
        let host = url.strip_suffix("/v1").unwrap_or(&url);
        Auth::OAuth {
            token_url: format!("{host}/oauth/token"),
            client_id: hash,
            client_secret: secret,
        }
    } else {
        Auth::Hash {
            api_hash: hash,
            email: need(&settings.g2a_api_email, "G2A_API_EMAIL")?,
            secret,
        }
    };
    Ok(Supplier::Account { url, auth })
}

/// Whether staff enter the account.
pub(super) fn is_of_staff(settings: &Settings) -> bool {
    let hash = settings.g2a_api_hash.as_ref().map(Hidden::expose);
    hash.is_some_and(|hash| hash.trim() == ACCOUNT_OF_STAFF)
}
