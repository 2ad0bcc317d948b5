//! How shoppers pay: through Stripe, in a demo through the built-in provider, or not at all.

use anyhow::{Result, bail};
use lockstep_domain::Secret;

use super::{Hidden, Settings};

/// Settings of payments.
#[derive(Debug, Clone)]
pub(crate) struct PaymentSettings {
    pub(crate) provider: PaymentProvider,
    /// The secrets that a relay may sign with; empty if there is no relay.
    pub(crate) relay_secrets: Vec<Secret>,
    /// The address that browsers return to after paying.
    pub(crate) return_url: String,
}

/// The payment provider.
#[derive(Debug, Clone)]
pub(crate) enum PaymentProvider {
    /// Stripe, or a server with the same API.
    Stripe {
        api_url: String,
        secret_key: Secret,
        webhook_secrets: Vec<Secret>,
    },
    /// The built-in provider, with which no money moves.
    Test,
    /// No provider: balances cannot be topped up.
    None,
}

pub(super) fn payments(settings: &Settings, production: bool, front_url: &str) -> Result<PaymentSettings> {
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
            bail!("STRIPE_SECRET_KEY is set and STRIPE_WEBHOOK_SECRET is not; no event of Stripe could be verified")
        }
        Some(key) => PaymentProvider::Stripe {
            api_url: settings
                .stripe_api_url
                .clone()
                .unwrap_or_else(|| "https://api.stripe.com".into()),
            secret_key: Secret::new(key.expose()),
            webhook_secrets,
        },
        // Test money buys nothing in production.
        None if production => PaymentProvider::None,
        None => PaymentProvider::Test,
    };
    Ok(PaymentSettings {
        provider,
        relay_secrets: secrets(&settings.payment_webhook_secret),
        return_url: settings
            .payment_return_url
            .clone()
            .unwrap_or_else(|| format!("{front_url}/account/balance?topUp={{id}}")),
    })
}
