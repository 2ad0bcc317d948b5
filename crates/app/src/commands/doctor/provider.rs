//! Whether the payment provider answers and accepts the credentials.

use std::time::Duration;

use lockstep_payments::{
    CardProvider, ClientError, Mollie, MollieConfig, Provider, ProviderError, STRIPE, Stripe, StripeConfig,
};

use super::Finding;
use crate::config::{Config, PaymentProvider};

/// Timeout of the call.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a provider and its settings are called.
struct Names {
    provider: &'static str,
    address: &'static str,
    key: &'static str,
    /// What else to look at when the key is not accepted.
    hint: &'static str,
}

/// Whether each answers, and whether its key may read what the shop reads.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for provider in config.payments.in_use() {
        found.extend(look_at(config, provider).await);
    }
    found
}

async fn look_at(config: &Config, provider: &PaymentProvider) -> Vec<Finding> {
    let settings = &config.payments;
    match provider {
        PaymentProvider::Stripe {
            api_url,
            secret_key,
            webhook_secrets,
        } => {
            let names = Names {
                provider: "Stripe",
                address: "STRIPE_API_URL",
                key: "STRIPE_SECRET_KEY",
                hint: "; docs/payments.md names the permissions of a restricted key",
            };
            let stripe = Stripe::new(StripeConfig {
                name: STRIPE,
                api_url: api_url.clone(),
                secret_key: secret_key.clone(),
                webhook_secrets: webhook_secrets.clone(),
                product: config.shop_name.clone(),
                return_url: settings.return_url.clone(),
                timeout: PATIENCE,
            });
            ask(&names, stripe).await
        }
        PaymentProvider::Mollie {
            api_url,
            api_key,
            webhook_url,
        } => {
            let names = Names {
                provider: "Mollie",
                address: "MOLLIE_API_URL",
                key: "MOLLIE_API_KEY",
                hint: "",
            };
            let mollie = Mollie::new(MollieConfig {
                api_url: api_url.clone(),
                api_key: api_key.clone(),
                webhook_url: webhook_url.clone(),
                description: config.shop_name.clone(),
                return_url: settings.return_url.clone(),
                timeout: PATIENCE,
                clock: config.clock.clone(),
            });
            let mut found = ask(&names, mollie).await;
            if webhook_url.is_none() {
                found.push(Finding::note(
                    "provider",
                    "Mollie cannot reach this shop: it learns of payments by asking, within minutes",
                    "set LOCKSTEP_PUBLIC_URL to an address that Mollie reaches",
                ));
            }
            found
        }
        PaymentProvider::Test => {
            let remedy = "set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET, or MOLLIE_API_KEY, to take money";
            let seen = "a built-in test page, on which no money moves";
            vec![Finding::note("provider", seen, remedy)]
        }
        PaymentProvider::None => {
            let remedy = "set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET, or MOLLIE_API_KEY";
            vec![Finding::note("provider", "none: top-ups are disabled", remedy)]
        }
    }
}

async fn ask<P: Provider + CardProvider>(names: &Names, client: Result<P, ClientError>) -> Vec<Finding> {
    let Names {
        provider,
        address,
        key,
        hint,
    } = names;
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            let remedy = format!("correct {address} and {key}");
            return vec![Finding::wrong("provider", format!("{provider}: {error}"), remedy)];
        }
    };
    if let Err(error) = client.reach().await {
        let remedy = if matches!(error, ProviderError::Denied(_)) {
            format!("correct {key}{hint}")
        } else {
            format!("check {address}, and that this machine can reach it")
        };
        return vec![Finding::wrong("provider", format!("{provider}: {error}"), remedy)];
    }
    let denied: Vec<Finding> = (client.probe().await.into_iter())
        .map(|(what, error)| {
            Finding::wrong(
                "provider",
                format!("{provider}: {what} cannot be read: {error}"),
                format!("give the key of {key} the permission to read {what}"),
            )
        })
        .collect();
    if denied.is_empty() {
        let seen = format!("{provider} answers, and the key may read what the shop reads");
        return vec![Finding::well("provider", seen)];
    }
    denied
}
