//! Whether the payment provider answers and accepts the credentials.

use std::time::Duration;

use lockstep_payments::{
    CardProvider, ClientError, Mollie, MollieConfig, Provider, ProviderError, STRIPE, Stripe, StripeConfig,
};

use super::Finding;
use crate::config::{Config, PaymentProvider};
use crate::words::say;

/// Timeout of the call.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a provider and its settings are called.
struct Names {
    provider: &'static str,
    address: &'static str,
    key: &'static str,
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
                    "doctor.provider.unreachable",
                    "doctor.provider.unreachable.do",
                ));
            }
            found
        }
        PaymentProvider::Test => {
            let remedy = "doctor.provider.test.do";
            vec![Finding::note("provider", "doctor.provider.test", remedy)]
        }
        PaymentProvider::None => {
            let remedy = "doctor.provider.none.do";
            vec![Finding::note("provider", "doctor.provider.none", remedy)]
        }
    }
}

async fn ask<P: Provider + CardProvider>(names: &Names, client: Result<P, ClientError>) -> Vec<Finding> {
    let Names { provider, address, key } = *names;
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            let seen = say!("doctor.provider.failed", provider, error);
            return vec![Finding::wrong(
                "provider",
                seen,
                say!("doctor.provider.settings.do", address, key),
            )];
        }
    };
    if let Err(error) = client.reach().await {
        let remedy = if matches!(error, ProviderError::Denied(_)) {
            say!("doctor.provider.denied.do", key)
        } else {
            say!("doctor.provider.silent.do", address)
        };
        let seen = say!("doctor.provider.failed", provider, error);
        return vec![Finding::wrong("provider", seen, remedy)];
    }
    let denied: Vec<Finding> = (client.probe().await.into_iter())
        .map(|(what, error)| {
            Finding::wrong(
                "provider",
                say!("doctor.provider.unread", provider, what, error),
                say!("doctor.provider.unread.do", key, what),
            )
        })
        .collect();
    if denied.is_empty() {
        return vec![Finding::well("provider", say!("doctor.provider.answers", provider))];
    }
    denied
}
