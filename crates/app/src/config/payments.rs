//! How shoppers pay: through Stripe, in a demonstration through the built-in provider, or not at all.

use anyhow::{Result, bail};
use lockstep_domain::Secret;

use super::{Hidden, Settings};

/// How shoppers pay.
#[derive(Debug, Clone)]
pub(crate) struct PaymentSettings {
    /// Through whom.
    pub(crate) provider: PaymentProvider,
    /// What a relay may sign with; none: no relay.
    pub(crate) relay_secrets: Vec<Secret>,
    /// Where browsers come back to.
    pub(crate) return_url: String,
}

/// Through whom shoppers pay.
#[derive(Debug, Clone)]
pub(crate) enum PaymentProvider {
    /// Stripe, or a server of the same contract.
    Stripe {
        api_url: String,
        secret_key: Secret,
        webhook_secrets: Vec<Secret>,
    },
    /// The built-in one, with which no money moves.
    Test,
    /// Nobody: balances cannot be topped up.
    None,
}

pub(super) fn payments(settings: &Settings, production: bool, public_url: &str) -> Result<PaymentSettings> {
    let secrets = |list: &Option<Hidden>| -> Vec<Secret> {
        list.iter()
            .flat_map(|list| list.expose().split(','))
            .map(str::trim)
            .filter(|secret| !secret.is_empty())
            .map(Secret::new)
            .collect()
    };
    let webhook_secrets = secrets(&settings.stripe_webhook_secret);
    let provider = match &settings.stripe_secret_key {
        Some(_) if webhook_secrets.is_empty() => {
            bail!(
                "STRIPE_SECRET_KEY is set and STRIPE_WEBHOOK_SECRET is not; nothing that Stripe says could be believed"
            )
        }
        Some(key) => PaymentProvider::Stripe {
            api_url: settings
                .stripe_api_url
                .clone()
                .unwrap_or_else(|| "https://api.stripe.com".into()),
            secret_key: Secret::new(key.expose()),
            webhook_secrets,
        },
        // Money that does not move buys nothing in production.
        None if production => PaymentProvider::None,
        None => PaymentProvider::Test,
    };
    Ok(PaymentSettings {
        provider,
        relay_secrets: secrets(&settings.payment_webhook_secret),
        return_url: settings
            .payment_return_url
            .clone()
            .unwrap_or_else(|| format!("{public_url}/account/balance?topUp={{id}}")),
    })
}
