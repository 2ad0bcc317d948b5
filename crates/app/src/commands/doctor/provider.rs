//! Whether the payment provider answers and accepts the credentials.

use std::time::Duration;

use lockstep_payments::{Provider as _, ProviderError, Stripe, StripeConfig};

use super::Finding;
use crate::config::{Config, PaymentProvider};

/// Timeout of the call.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn look(config: &Config) -> Finding {
    let settings = &config.payments;
    let (api_url, secret_key, webhook_secrets) = match &settings.provider {
        PaymentProvider::Stripe {
            api_url,
            secret_key,
            webhook_secrets,
        } => (api_url, secret_key, webhook_secrets),
        PaymentProvider::Test => {
            let remedy = "set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET to take money";
            return Finding::note("provider", "the built-in test page, on which no money moves", remedy);
        }
        PaymentProvider::None => {
            let remedy = "set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET";
            return Finding::note("provider", "none: top-ups are disabled", remedy);
        }
    };
    let stripe = Stripe::new(StripeConfig {
        api_url: api_url.clone(),
        secret_key: secret_key.clone(),
        webhook_secrets: webhook_secrets.clone(),
        product: config.shop_name.clone(),
        return_url: settings.return_url.clone(),
        timeout: PATIENCE,
    });
    let reached = match &stripe {
        Ok(stripe) => stripe.reach().await.map_err(|error| match error {
            ProviderError::Denied(_) => (
                error.to_string(),
                "correct STRIPE_SECRET_KEY; a restricted key needs Checkout Sessions",
            ),
            error => (
                error.to_string(),
                "check STRIPE_API_URL, and that this machine can reach it",
            ),
        }),
        Err(error) => Err((
            error.to_string(),
            "correct STRIPE_API_URL, STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET",
        )),
    };
    match reached {
        Ok(()) => Finding::well("provider", "Stripe answers and accepts the key"),
        Err((seen, remedy)) => Finding::wrong("provider", format!("Stripe: {seen}"), remedy),
    }
}
