//! Configuration: one table of settings, each a flag, an environment variable and a line of `lockstep.toml`.
//!
//! Flags override the environment, the environment overrides the file, and a setting that is not set has a default that
//! works on a laptop. With `LOCKSTEP_ENV=production` no such default applies silently: a missing setting is an error
//! that names the variable. Nothing outside this module reads the environment.

mod buying;
mod hidden;
pub(crate) mod operator;
mod payments;
mod production;
mod settings;
mod shown;
mod supplier;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use lockstep_clock::{Clock, Random};
use lockstep_domain::Secret;
use lockstep_domain::cart::CartLimits;
use lockstep_domain::price::{PriceBasis, Pricing};
use lockstep_mail::SmtpAddress;
use lockstep_store::pools;
use rust_decimal::Decimal;

pub(crate) use hidden::Hidden;
pub(crate) use payments::{PaymentProvider, PaymentSettings};
pub(crate) use settings::{Settings, Source, hiding_values};
pub(crate) use shown::{Shown, sample};
pub(crate) use supplier::Supplier;

/// Where Prometheus metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metrics {
    /// At the address of the pages.
    Pages,
    /// At a separate address.
    At {
        address: SocketAddr,
        /// Whether the operator chose the address. If not, a second process on the machine that finds it taken serves
        /// no metrics.
        is_chosen: bool,
    },
}

/// The default address in production.
const METRICS_IN_PRODUCTION: &str = "127.0.0.1:9464";

/// The effective configuration, validated. It has no `Debug` because it holds secrets.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches that do not depend on each other")]
pub(crate) struct Config {
    pub(crate) production: bool,
    pub(crate) database_url: Option<String>,
    /// Maximum number of connections of this process to PostgreSQL.
    pub(crate) db_connections: u32,
    pub(crate) redis_url: Option<String>,
    pub(crate) redis_prefix: String,
    pub(crate) bind: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) data_dir: PathBuf,
    pub(crate) public_url: String,
    pub(crate) pg_bin: Option<PathBuf>,
    pub(crate) supplier: Supplier,
    pub(crate) rate_per_minute: u32,
    pub(crate) pricing: Pricing,
    /// Whether a promo code may sell a supplier's game below its cost.
    pub(crate) promo_below_cost: bool,
    pub(crate) cors_origins: Vec<String>,
    /// `JWT_SECRET`, `JWT_REFRESH_SECRET` and `LOCKSTEP_KEY_SECRET`, where given.
    pub(crate) secrets: (Option<String>, Option<String>, Option<String>),
    /// The operator accepts that the secret of stored keys is lost for good. From the command line only.
    pub(crate) accept_lost_keys: bool,
    pub(crate) payments: PaymentSettings,
    pub(crate) smtp_url: Option<String>,
    pub(crate) mail_from: String,
    /// Number of e-mails sent in parallel.
    pub(crate) mail_connections: u32,
    pub(crate) shop_name: String,
    /// The operator of the shop, shown on pages.
    pub(crate) operator: lockstep_web::Operator,
    pub(crate) rate_limits: bool,
    pub(crate) trusted_proxies: usize,
    pub(crate) cart_limits: CartLimits,
    pub(crate) fulfilment: lockstep_fulfilment::Settings,
    /// For tests of the program only.
    pub(crate) key_timeout: Option<Duration>,
    /// How long shutdown may take, and for how much of it connections are still accepted.
    pub(crate) shutdown: Duration,
    pub(crate) drain: Duration,
    /// The secret that signs the webhooks of G2A's relays.
    pub(crate) webhook_secret: Secret,
    /// The settings file that was named.
    pub(crate) settings_file: Option<PathBuf>,
    /// The rows of `lockstep config`.
    pub(crate) shown: Vec<Shown>,
    /// The time of day, for every part of the program.
    pub(crate) clock: Clock,
    /// The random source, for every part of the program.
    pub(crate) random: Random,
}

impl Config {
    /// The folder that holds answers with keys until they are recorded.
    pub(crate) fn spool_folder(&self) -> PathBuf {
        self.data_dir.join("spool")
    }

    /// Validates the settings, each on its own and against each other.
    pub(crate) fn resolve(settings: &Settings, sources: &BTreeMap<String, Source>) -> Result<Self> {
        let production = match settings.lockstep_env.as_deref() {
            None | Some("development") => false,
            Some("production") => true,
            Some(other) => bail!("LOCKSTEP_ENV is {other:?}; it has to be development or production"),
        };
        let bind = parsed(settings.bind.as_deref(), "LOCKSTEP_BIND", "127.0.0.1:8080")?;
        let rate_per_minute: u32 = parsed(settings.g2a_rate_per_minute.as_deref(), "G2A_RATE_PER_MINUTE", "600")?;
        if !(1..=1_000_000).contains(&rate_per_minute) {
            bail!("G2A_RATE_PER_MINUTE is {rate_per_minute}; it has to be at least 1");
        }
        let markup_percent: Decimal = parsed(settings.g2a_markup_percent.as_deref(), "G2A_MARKUP_PERCENT", "2")?;
        if markup_percent < Decimal::ZERO || markup_percent > Decimal::ONE_THOUSAND {
            bail!("G2A_MARKUP_PERCENT is {markup_percent}; it has to be between 0 and 1000");
        }
        let basis: PriceBasis = match settings.g2a_price_basis.as_deref() {
            None => PriceBasis::default(),
            Some(text) => text
                .parse()
                .map_err(|expected| anyhow!("G2A_PRICE_BASIS is {text:?}; {expected}"))?,
        };
        let rate_limits = on_or_off(settings.lockstep_rate_limits.as_deref(), "LOCKSTEP_RATE_LIMITS", true)?;
        if production && !rate_limits {
            bail!("LOCKSTEP_RATE_LIMITS cannot be off in production");
        }
        let mail_connections: u32 = parsed(
            settings.lockstep_mail_connections.as_deref(),
            "LOCKSTEP_MAIL_CONNECTIONS",
            "8",
        )?;
        if !(1..=50).contains(&mail_connections) {
            bail!("LOCKSTEP_MAIL_CONNECTIONS is {mail_connections}; it has to be between 1 and 50");
        }
        let per_line = parsed(
            settings.lockstep_cart_max_copies.as_deref(),
            "LOCKSTEP_CART_MAX_COPIES",
            "99",
        )?;
        let lines = parsed(
            settings.lockstep_cart_max_lines.as_deref(),
            "LOCKSTEP_CART_MAX_LINES",
            "100",
        )?;
        if !(1..=10_000).contains(&per_line) || !(1..=1_000).contains(&lines) {
            bail!("LOCKSTEP_CART_MAX_COPIES has to be 1 to 10000, and LOCKSTEP_CART_MAX_LINES 1 to 1000");
        }
        let shutdown = parsed(
            settings.lockstep_shutdown_seconds.as_deref(),
            "LOCKSTEP_SHUTDOWN_SECONDS",
            "25",
        )?;
        let drain = parsed(
            settings.lockstep_drain_seconds.as_deref(),
            "LOCKSTEP_DRAIN_SECONDS",
            "0",
        )?;
        if !(2..=3_600).contains(&shutdown) || drain > shutdown / 2 {
            bail!("LOCKSTEP_SHUTDOWN_SECONDS has to be 2 to 3600, and LOCKSTEP_DRAIN_SECONDS at most half of it");
        }
        let db_connections = parsed(
            settings.lockstep_db_connections.as_deref(),
            "LOCKSTEP_DB_CONNECTIONS",
            &pools::USUAL.to_string(),
        )?;
        if !(pools::LEAST..=1_000).contains(&db_connections) {
            bail!("LOCKSTEP_DB_CONNECTIONS is {db_connections}; it has to be 12 to 1000");
        }
        let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{bind}"));
        let public_url = public_url.trim_end_matches('/').to_owned();
        let mut config = Self {
            payments: payments::payments(settings, production, &public_url)?,
            production,
            database_url: settings.database_url.as_ref().map(exposed),
            db_connections,
            redis_url: settings.redis_url.as_ref().map(exposed),
            redis_prefix: settings.redis_prefix.clone().unwrap_or_default(),
            bind,
            metrics: match settings.metrics_bind.as_deref() {
                None if !production => Metrics::Pages,
                Some("pages") => Metrics::Pages,
                chosen => Metrics::At {
                    address: parsed(chosen, "LOCKSTEP_METRICS_BIND", METRICS_IN_PRODUCTION)?,
                    is_chosen: chosen.is_some(),
                },
            },
            data_dir: settings.data_dir.clone().unwrap_or_else(|| "data".into()).into(),
            public_url,
            pg_bin: settings.pg_bin.clone().map(PathBuf::from),
            supplier: supplier::supplier(settings)?,
            rate_per_minute,
            pricing: Pricing { basis, markup_percent },
            promo_below_cost: match settings.lockstep_promo_below_cost.as_deref() {
                None => !production,
                Some("allow") => true,
                Some("refuse") => false,
                Some(other) => bail!("LOCKSTEP_PROMO_BELOW_COST is {other:?}; it has to be allow or refuse"),
            },
            cors_origins: settings
                .cors_origins
                .iter()
                .flat_map(|list| list.split(','))
                .map(|origin| origin.trim().trim_end_matches('/').to_owned())
                .filter(|origin| !origin.is_empty())
                .collect(),
            secrets: (
                settings.jwt_secret.as_ref().map(exposed),
                settings.jwt_refresh_secret.as_ref().map(exposed),
                settings.lockstep_key_secret.as_ref().map(exposed),
            ),
            accept_lost_keys: false,
            smtp_url: settings
                .smtp_url
                .as_ref()
                .map(|url| match SmtpAddress::parse(url.expose()) {
                    Ok(_) => Ok(exposed(url)),
                    Err(error) => bail!("SMTP_URL: {error}"),
                })
                .transpose()?,
            mail_connections,
            mail_from: settings
                .lockstep_mail_from
                .clone()
                .unwrap_or_else(|| "Lockstep <shop@localhost>".into()),
            shop_name: settings.lockstep_shop_name.clone().unwrap_or_else(|| "Lockstep".into()),
            operator: operator::read(settings)?,
            rate_limits,
            shutdown: Duration::from_secs(shutdown),
            drain: Duration::from_secs(drain),
            trusted_proxies: parsed(
                settings.lockstep_trusted_proxies.as_deref(),
                "LOCKSTEP_TRUSTED_PROXIES",
                "0",
            )?,
            cart_limits: CartLimits {
                per_line,
                lines,
                ..CartLimits::default()
            },
            key_timeout: buying::key_timeout(settings),
            fulfilment: buying::fulfilment(settings, Pricing { basis, markup_percent }, production)?,
            webhook_secret: Secret::new(
                settings
                    .g2a_webhook_secret
                    .as_ref()
                    .or(settings.g2a_api_hash.as_ref())
                    .map_or_else(|| lockstep_g2a_sandbox::Credentials::default().hash, exposed),
            ),
            settings_file: None,
            shown: Vec::new(),
            clock: Clock::system(),
            random: Random::system(),
        };
        if production {
            demand_what_production_needs(settings)?;
            production::refuse_what_is_unsafe(settings)?;
        }
        config.shown = shown::rows(&config, settings, sources)?;
        Ok(config)
    }
}

impl Config {
    /// Whether this is a demo: made-up games from the built-in sandbox, and no real money.
    pub(crate) fn is_demo(&self) -> bool {
        !self.production && matches!(self.supplier, Supplier::Sandbox)
    }
}

fn exposed(hidden: &Hidden) -> String {
    hidden.expose().to_owned()
}

fn demand_what_production_needs(settings: &Settings) -> Result<()> {
    let needed = [
        ("DATABASE_URL", settings.database_url.is_some()),
        ("LOCKSTEP_PUBLIC_URL", settings.public_url.is_some()),
        ("G2A_API_URL", settings.g2a_api_url.is_some()),
        ("G2A_API_HASH", settings.g2a_api_hash.is_some()),
        ("G2A_API_EMAIL", settings.g2a_api_email.is_some()),
        ("G2A_API_SECRET", settings.g2a_api_secret.is_some()),
        ("JWT_SECRET", settings.jwt_secret.is_some()),
        ("JWT_REFRESH_SECRET", settings.jwt_refresh_secret.is_some()),
        ("LOCKSTEP_KEY_SECRET", settings.lockstep_key_secret.is_some()),
        ("SMTP_URL", settings.smtp_url.is_some()),
        ("LOCKSTEP_MAIL_FROM", settings.lockstep_mail_from.is_some()),
    ];
    let missing: Vec<&str> = needed.iter().filter(|(_, set)| !set).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        bail!(
            "LOCKSTEP_ENV is production, which has no silent defaults; set {}",
            missing.join(", ")
        );
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(value: Option<&str>, name: &str, default: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    let text = value.unwrap_or(default);
    text.trim()
        .parse()
        .map_err(|error| anyhow!("{name} is {text:?}: {error}"))
}

fn on_or_off(value: Option<&str>, name: &str, default: bool) -> Result<bool> {
    match value {
        None => Ok(default),
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => bail!("{name} is {other:?}; it has to be on or off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(settings: &Settings) -> Result<Config> {
        Config::resolve(settings, &BTreeMap::new())
    }

    fn refused(settings: &Settings) -> String {
        resolve(settings)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn defaults_are_for_a_laptop() {
        let config = resolve(&Settings::default()).unwrap();
        assert!(!config.production && config.database_url.is_none() && matches!(config.supplier, Supplier::Sandbox));
        assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(config.pricing, Pricing::default());
        assert_eq!(config.rate_per_minute, 600);
    }

    #[test]
    fn production_names_every_missing_variable() {
        let message = refused(&Settings {
            lockstep_env: Some("production".into()),
            ..Settings::default()
        });
        for name in [
            "DATABASE_URL",
            "LOCKSTEP_PUBLIC_URL",
            "G2A_API_URL",
            "G2A_API_HASH",
            "G2A_API_EMAIL",
            "G2A_API_SECRET",
            "JWT_SECRET",
            "JWT_REFRESH_SECRET",
            "LOCKSTEP_KEY_SECRET",
            "SMTP_URL",
            "LOCKSTEP_MAIL_FROM",
        ] {
            assert!(message.contains(name), "{name} in {message}");
        }
    }

    #[test]
    fn invalid_smtp_url_error_names_the_faulty_part() {
        let message = refused(&Settings {
            smtp_url: Some("smtp://u:hunt/er2@mail.example:587".into()),
            ..Settings::default()
        });
        assert!(
            message.starts_with("SMTP_URL: ")
                && message.contains("percent-encode / as %2F")
                && !message.contains("hunt"),
            "{message}"
        );
    }

    #[test]
    fn incomplete_g2a_account_is_refused() {
        let url_only = Settings {
            g2a_api_url: Some("https://api.example/v1".into()),
            ..Settings::default()
        };
        assert!(refused(&url_only).contains("G2A_API_HASH"));
        let secret_only = Settings {
            g2a_api_secret: Some("s".into()),
            ..Settings::default()
        };
        assert!(refused(&secret_only).contains("G2A_API_URL"));
    }

    #[test]
    fn invalid_value_error_names_the_variable() {
        assert!(
            refused(&Settings {
                bind: Some("8080".into()),
                ..Settings::default()
            })
            .contains("LOCKSTEP_BIND")
        );
        assert!(
            refused(&Settings {
                g2a_markup_percent: Some("-1".into()),
                ..Settings::default()
            })
            .contains("G2A_MARKUP_PERCENT")
        );
        assert!(
            refused(&Settings {
                g2a_price_basis: Some("cheapest".into()),
                ..Settings::default()
            })
            .contains("G2A_PRICE_BASIS")
        );
        assert!(
            refused(&Settings {
                lockstep_env: Some("prod".into()),
                ..Settings::default()
            })
            .contains("LOCKSTEP_ENV")
        );
        assert!(
            refused(&Settings {
                lockstep_db_connections: Some("11".into()),
                ..Settings::default()
            })
            .contains("LOCKSTEP_DB_CONNECTIONS")
        );
        assert!(
            refused(&Settings {
                g2a_rate_per_minute: Some("0".into()),
                ..Settings::default()
            })
            .contains("G2A_RATE_PER_MINUTE")
        );
    }

    #[test]
    fn payment_provider_is_stripe_test_or_none() {
        let with = |env: Option<&str>, key: Option<&str>, webhook: Option<&str>| Settings {
            lockstep_env: env.map(str::to_owned),
            stripe_secret_key: key.map(Hidden::from),
            stripe_webhook_secret: webhook.map(Hidden::from),
            ..Settings::default()
        };
        let config = resolve(&with(None, None, None)).unwrap();
        assert!(matches!(config.payments.provider, PaymentProvider::Test));
        assert_eq!(
            config.payments.return_url,
            "http://127.0.0.1:8080/account/balance?topUp={id}"
        );
        let config = resolve(&with(None, Some("sk_test_1"), Some("whsec_1, whsec_2"))).unwrap();
        assert!(
            matches!(config.payments.provider, PaymentProvider::Stripe { webhook_secrets, .. } if webhook_secrets.len() == 2)
        );
        assert!(refused(&with(None, Some("sk_test_1"), None)).contains("STRIPE_WEBHOOK_SECRET"));
        let production =
            payments::payments(&with(Some("production"), None, None), true, "https://shop.example").unwrap();
        assert!(matches!(production.provider, PaymentProvider::None));
    }
}
