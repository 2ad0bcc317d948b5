//! How shoppers pay: through Stripe or Mollie, in a demo through the built-in provider, or not at all.

use anyhow::{Result, bail};
use lockstep_domain::Secret;

use super::{Hidden, Settings, production};

/// Settings of payments.
#[derive(Debug, Clone)]
pub(crate) struct PaymentSettings {
    /// Takes new payments.
    pub(crate) provider: PaymentProvider,
    /// Takes no new payments; settles and refunds those that were made through it.
    pub(crate) other: Option<PaymentProvider>,
    /// The secrets that a relay may sign with; empty if there is no relay.
    pub(crate) relay_secrets: Vec<Secret>,
    /// The address that browsers return to after paying.
    pub(crate) return_url: String,
}

impl PaymentSettings {
    /// The one that takes new payments first.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &PaymentProvider> {
        std::iter::once(&self.provider).chain(&self.other)
    }
}

/// A payment provider.
#[derive(Debug, Clone)]
pub(crate) enum PaymentProvider {
    /// Stripe, or a server with the same API.
    Stripe {
        api_url: String,
        secret_key: Secret,
        webhook_secrets: Vec<Secret>,
    },
    /// Mollie, or a server with the same API.
    Mollie {
        api_url: String,
        api_key: Secret,
        /// Where it reports news of a payment; `None` if it cannot reach the shop.
        webhook_url: Option<String>,
    },
    /// The built-in provider, with which no money moves.
    Test,
    /// No provider: balances cannot be topped up.
    None,
}

/// Path of the API that takes Mollie's webhooks.
const MOLLIE_WEBHOOK: &str = "/api/payment/webhook/mollie";

pub(super) fn payments(
    settings: &Settings,
    is_production: bool,
    front_url: &str,
    public_url: &str,
) -> Result<PaymentSettings> {
    let secrets = |list: &Option<Hidden>| -> Vec<Secret> {
        list.iter()
            .flat_map(|list| list.expose().split(','))
            .map(str::trim)
            .filter(|secret| !secret.is_empty())
            .map(Secret::new)
            .collect()
    };
    let webhook_secrets = secrets(&settings.stripe_webhook_secret);
    let stripe = match &settings.stripe_secret_key {
        Some(_) if webhook_secrets.is_empty() => {
            bail!("STRIPE_SECRET_KEY is set and STRIPE_WEBHOOK_SECRET is not; no event of Stripe could be verified")
        }
        Some(key) => Some(PaymentProvider::Stripe {
            api_url: settings
                .stripe_api_url
                .clone()
                .unwrap_or_else(|| "https://api.stripe.com".into()),
            secret_key: Secret::new(key.expose()),
            webhook_secrets,
        }),
        None => None,
    };
    let mollie = mollie(settings, public_url)?;
    let (provider, other) = match (settings.payment_provider.as_deref(), stripe, mollie) {
        (None | Some("stripe"), Some(stripe), mollie) => (stripe, mollie),
        (None, None, Some(mollie)) => (mollie, None),
        (Some("mollie"), stripe, Some(mollie)) => (mollie, stripe),
        (Some("stripe"), None, _) => bail!("PAYMENT_PROVIDER is stripe, and STRIPE_SECRET_KEY is not set"),
        (Some("mollie"), _, None) => bail!("PAYMENT_PROVIDER is mollie, and MOLLIE_API_KEY is not set"),
        (Some(name), ..) => bail!("PAYMENT_PROVIDER is {name:?}; it has to be stripe or mollie"),
        // Test money buys nothing in production.
        (None, None, None) if is_production => (PaymentProvider::None, None),
        (None, None, None) => (PaymentProvider::Test, None),
    };
    Ok(PaymentSettings {
        provider,
        other,
        relay_secrets: secrets(&settings.payment_webhook_secret),
        return_url: settings
            .payment_return_url
            .clone()
            .unwrap_or_else(|| format!("{front_url}/account/balance?topUp={{id}}")),
    })
}

fn mollie(settings: &Settings, public_url: &str) -> Result<Option<PaymentProvider>> {
    let Some(key) = &settings.mollie_api_key else {
        return Ok(None);
    };
    let rest = (key.expose().strip_prefix("live_")).or_else(|| key.expose().strip_prefix("test_"));
    if !rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
        bail!("MOLLIE_API_KEY is not an API key of Mollie's; it begins with live_ or test_");
    }
    let api_url = settings
        .mollie_api_url
        .clone()
        .unwrap_or_else(|| "https://api.mollie.com".into());
    // Mollie refuses payments that name an address which it cannot reach; without one, the shop asks.
    let is_reachable = !production::is_loopback(public_url) || production::is_loopback(&api_url);
    Ok(Some(PaymentProvider::Mollie {
        webhook_url: is_reachable.then(|| format!("{public_url}{MOLLIE_WEBHOOK}")),
        api_url,
        api_key: Secret::new(key.expose()),
    }))
}
