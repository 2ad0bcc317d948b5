//! Whether the payment provider answers and accepts the credentials.

use std::time::Duration;

use lockstep_payments::{CardProvider as _, Provider as _, ProviderError, STRIPE, Stripe, StripeConfig};

use super::Finding;
use crate::config::{Config, PaymentProvider};
use crate::words::say;

/// Timeout of the call.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether it answers, and whether the key may read what the shop reads.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let settings = &config.payments;
    let (api_url, secret_key, webhook_secrets) = match &settings.provider {
        PaymentProvider::Stripe {
            api_url,
            secret_key,
            webhook_secrets,
        } => (api_url, secret_key, webhook_secrets),
        PaymentProvider::Test => {
            let remedy = "doctor.provider.test.do";
            let seen = "doctor.provider.test";
            return vec![Finding::note("provider", seen, remedy)];
        }
        PaymentProvider::None => {
            let remedy = "doctor.provider.none.do";
            return vec![Finding::note("provider", "doctor.provider.none", remedy)];
        }
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
    let reached = match &stripe {
        Ok(stripe) => stripe.reach().await.map_err(|error| match error {
            ProviderError::Denied(_) => (error.to_string(), "doctor.provider.denied.do"),
            error => (error.to_string(), "doctor.provider.silent.do"),
        }),
        Err(error) => Err((error.to_string(), "doctor.provider.settings.do")),
    };
    match (reached, stripe) {
        (Ok(()), Ok(stripe)) => {
            let denied = stripe.probe().await;
            let denied: Vec<Finding> = (denied.into_iter())
                .map(|(what, error)| {
                    Finding::wrong(
                        "provider",
                        say!("doctor.provider.unread", what, error),
                        say!("doctor.provider.unread.do", what),
                    )
                })
                .collect();
            if denied.is_empty() {
                vec![Finding::well("provider", "doctor.provider.answers")]
            } else {
                denied
            }
        }
        (Err((seen, remedy)), _) => vec![Finding::wrong("provider", say!("doctor.provider.failed", seen), remedy)],
        // It was reached.
        (Ok(()), Err(_)) => Vec::new(),
    }
}
