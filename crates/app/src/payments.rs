//! The payment service, with the providers that the settings name: Stripe, Mollie, or in a demo the built-in sandbox of Stripe.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lockstep_auth::Keys;
use lockstep_domain::Secret;
use lockstep_payments::{
    Limits, Mollie, MollieConfig, Payments, Provider, Relay, STRIPE, STRIPE_SANDBOX, Stripe, StripeConfig, TestProvider,
};
use lockstep_store::Store;
use lockstep_stripe_sandbox::{Delivery, StripeSandbox};

use crate::config::{Config, PaymentProvider};
use crate::supplier::running_sandbox;

/// Timeout of calls to the payment provider; the shopper is then told that it is unavailable, before the request itself
/// times out.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(7);

/// The sandbox of Stripe in which a demo pays: a page with cards that pay, are declined, need 3-D Secure, are disputed.
pub(crate) struct CardSandbox {
    url: String,
    /// The server, if this process runs it, and the file with its address.
    server: Option<(StripeSandbox, PathBuf)>,
}

impl CardSandbox {
    /// Joins the sandbox of a running demo; `None` if there is none.
    pub(crate) async fn join(config: &Config) -> Option<Self> {
        if !config.has_demo_link() {
            return None;
        }
        let url = running_sandbox(&config.card_sandbox_address_file()).await?;
        Some(Self { url, server: None })
    }

    /// Joins the sandbox of a running demo or starts it; `None` if this is no demo that pays there.
    ///
    /// # Errors
    /// When it cannot listen, or its file cannot be used.
    pub(crate) async fn open(config: &Config, keys: &Keys) -> Result<Option<Self>> {
        if !config.has_demo_link() {
            return Ok(None);
        }
        if let Some(joined) = Self::join(config).await {
            return Ok(Some(joined));
        }
        let (api_key, webhook_secret) = sandbox_secrets(keys);
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let file = config.data_dir.join("stripe-sandbox.json");
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("cannot write {}", config.data_dir.display()))?;
        let server = StripeSandbox::start_kept(any_port, api_key, webhook_secret, file)
            .await
            .context("starting the Stripe sandbox")?;
        if config.bind.port() != 0 {
            let address = format!("http://{}/api/payment/webhook", config.bind);
            server.set_delivery(Some(address), Delivery::default());
        }
        // Commands that run beside the store find it by this file, which is replaced atomically.
        let address_file = config.card_sandbox_address_file();
        let partial = address_file.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
        std::fs::write(&partial, server.url())
            .and_then(|()| std::fs::rename(&partial, &address_file))
            .with_context(|| format!("cannot write {}", address_file.display()))?;
        Ok(Some(Self {
            url: server.url(),
            server: Some((server, address_file)),
        }))
    }

    /// Stops the sandbox, if this process runs it.
    pub(crate) fn close(self) {
        if let Some((_server, address_file)) = self.server {
            drop(std::fs::remove_file(address_file));
        }
    }
}

/// The key and the signing secret of the sandbox. All processes of a store have the same key, and so the same secrets.
fn sandbox_secrets(keys: &Keys) -> (String, String) {
    let secret = |purpose: &str| hex::encode(keys.hash(purpose, &[]));
    (
        format!("sk_test_{}", secret("payments.sandbox.key")),
        format!("whsec_{}", secret("payments.sandbox.webhooks")),
    )
}

/// The service as the settings describe it; in a demo, with the sandbox of Stripe.
///
/// # Errors
/// When the provider's address or certificates cannot be used.
pub(crate) fn open(config: &Config, store: &Store, keys: &Keys, sandbox: Option<&CardSandbox>) -> Result<Payments> {
    let settings = &config.payments;
    let relay = (!settings.relay_secrets.is_empty()).then(|| Relay {
        secrets: settings.relay_secrets.clone(),
    });
    let provider = provider(config, &settings.provider, keys, sandbox)?;
    if provider.is_none() {
        tracing::warn!(
            "no payment provider is configured: top-ups are disabled; set STRIPE_SECRET_KEY or MOLLIE_API_KEY"
        );
    }
    let payments = Payments::new(store.clone(), provider, relay, Limits::default());
    match &settings.other {
        Some(other) => Ok(match self::provider(config, other, keys, None)? {
            Some(other) => payments.with_provider(other),
            None => payments,
        }),
        None => Ok(payments),
    }
}

/// A provider; `None` where there is none.
fn provider(
    config: &Config,
    named: &PaymentProvider,
    keys: &Keys,
    sandbox: Option<&CardSandbox>,
) -> Result<Option<Box<dyn Provider>>> {
    let return_url = &config.payments.return_url;
    let product = format!("Balance at {}", config.shop_name);
    let stripe = |name, api_url: &str, secret_key: Secret, webhook_secrets: Vec<Secret>| {
        Stripe::new(StripeConfig {
            name,
            api_url: api_url.to_owned(),
            secret_key,
            webhook_secrets,
            product: product.clone(),
            return_url: return_url.clone(),
            timeout: PROVIDER_TIMEOUT,
        })
    };
    let found: Option<Box<dyn Provider>> = match (named, sandbox) {
        (
            PaymentProvider::Stripe {
                api_url,
                secret_key,
                webhook_secrets,
            },
            _,
        ) => Some(Box::new(stripe(
            STRIPE,
            api_url,
            secret_key.clone(),
            webhook_secrets.clone(),
        )?)),
        (
            PaymentProvider::Mollie {
                api_url,
                api_key,
                webhook_url,
            },
            _,
        ) => Some(Box::new(Mollie::new(MollieConfig {
            api_url: api_url.clone(),
            api_key: api_key.clone(),
            webhook_url: webhook_url.clone(),
            description: product,
            return_url: return_url.clone(),
            timeout: PROVIDER_TIMEOUT,
            clock: config.clock.clone(),
        })?)),
        (PaymentProvider::Test, Some(sandbox)) => {
            tracing::warn!(
                "no payment provider is configured: top-ups are paid in a sandbox of Stripe, no money moves"
            );
            let (api_key, webhook_secret) = sandbox_secrets(keys);
            Some(Box::new(stripe(
                STRIPE_SANDBOX,
                &sandbox.url,
                Secret::new(api_key),
                vec![Secret::new(webhook_secret)],
            )?))
        }
        (PaymentProvider::Test, None) => {
            tracing::warn!("no payment provider is configured: top-ups are paid on a test page, no money moves");
            // All processes of a store have the same key, and so the same secret.
            let secret = hex::encode(keys.hash("payments.test", &[]));
            Some(Box::new(TestProvider::new(
                Secret::new(secret),
                format!("{}/test-payment", config.public_url),
                return_url.clone(),
                config.clock.clone(),
                config.random.clone(),
            )))
        }
        (PaymentProvider::None, _) => None,
    };
    Ok(found)
}
