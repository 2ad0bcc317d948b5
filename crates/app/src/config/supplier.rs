//! How G2A is reached: with a complete account, or in the built-in sandbox. An incomplete account is an error and does
//! not select the sandbox.

use anyhow::{Result, anyhow, bail};
use lockstep_domain::Secret;
use lockstep_g2a::Auth;

use super::{Hidden, Settings};

/// How to reach G2A.
#[derive(Debug, Clone)]
pub(crate) enum Supplier {
    /// A real account, or any server with the same API.
    Account { url: String, auth: Auth },
    /// The built-in sandbox.
    Sandbox,
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
        value.as_ref().map(|value| value.expose().to_owned()).ok_or_else(|| anyhow!("G2A_API_URL is set, but {name} is not: all of G2A_API_HASH, G2A_API_EMAIL and G2A_API_SECRET are needed"))
    };
    let url = url.trim_end_matches('/').to_owned();
    let hash = Secret::new(need(&settings.g2a_api_hash, "G2A_API_HASH")?);
    let secret = Secret::new(need(&settings.g2a_api_secret, "G2A_API_SECRET")?);
    let auth = match settings.g2a_auth.as_deref() {
        None | Some("hash") => Auth::Hash {
            api_hash: hash,
            email: need(&settings.g2a_api_email, "G2A_API_EMAIL")?,
            secret,
        },
        Some("oauth") => {
            let host = url.strip_suffix("/v1").unwrap_or(&url);
            Auth::OAuth {
                token_url: format!("{host}/oauth/token"),
                client_id: hash,
                client_secret: secret,
            }
        }
        Some(other) => bail!("G2A_AUTH is {other:?}; it has to be hash or oauth"),
    };
    Ok(Supplier::Account { url, auth })
}
