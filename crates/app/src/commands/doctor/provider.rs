//! Whether the payment provider answers and accepts the credentials.

use std::time::Duration;

use lockstep_payments::{CardProvider as _, Provider as _, ProviderError, STRIPE, Stripe, StripeConfig};

use super::Finding;
use crate::config::{Config, PaymentProvider};

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
            let remedy = "set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET to take money";
            let seen = "a built-in test page, on which no money moves";
            return vec![Finding::note("provider", seen, remedy)];
        }
        PaymentProvider::None => {
            let remedy = "set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET";
            return vec![Finding::note("provider", "none: top-ups are disabled", remedy)];
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
            ProviderError::Denied(_) => (
                error.to_string(),
                "correct STRIPE_SECRET_KEY; docs/payments.md names the permissions of a restricted key",
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
    match (reached, stripe) {
        (Ok(()), Ok(stripe)) => {
            let denied = stripe.probe().await;
            let denied: Vec<Finding> = (denied.into_iter())
                .map(|(what, error)| {
                    Finding::wrong(
                        "provider",
                        format!("Stripe: {what} cannot be read: {error}"),
                        format!("give the restricted key of STRIPE_SECRET_KEY the permission to read {what}"),
                    )
                })
                .collect();
            if denied.is_empty() {
                vec![Finding::well(
                    "provider",
                    "Stripe answers, and the key may read what the shop reads",
                )]
            } else {
                denied
            }
        }
        (Err((seen, remedy)), _) => vec![Finding::wrong("provider", format!("Stripe: {seen}"), remedy)],
        // It was reached.
        (Ok(()), Err(_)) => Vec::new(),
    }
}
