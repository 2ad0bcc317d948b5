//! Configuration: one table of settings, each a flag, an environment variable and a line of `lockstep.toml`.
//!
//! Flags beat the environment, the environment beats the file, and what nobody set falls back to a default that works
//! on a laptop. With `LOCKSTEP_ENV=production` no such default is silent: what is missing is an error that names the
//! variable. Nothing outside this module reads the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;
use lockstep_domain::cart::CartLimits;
use lockstep_domain::price::{PriceBasis, Pricing};
use lockstep_domain::{Money, Secret};
use lockstep_g2a::{Auth, SecretText};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::operator;

/// Everything that can be set, as somebody set it. Field names are the keys of `lockstep.toml`.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[command(next_help_heading = "Settings (also as environment variables and in lockstep.toml)")]
pub(crate) struct Settings {
    /// PostgreSQL, `postgres://user:password@host/database`. Default: a private one in the data folder
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<String>,
    /// Redis, `redis://host:6379`. Default: no Redis, the in-process cache only
    #[arg(long, env = "REDIS_URL", hide_env_values = true, global = true, value_name = "URL")]
    pub(crate) redis_url: Option<String>,
    /// Prefix of all keys in Redis, when it is shared with another program
    #[arg(long, env = "LOCKSTEP_REDIS_PREFIX", global = true, value_name = "TEXT")]
    pub(crate) redis_prefix: Option<String>,
    /// `development` or `production`; production has no silent defaults
    #[arg(
        long = "environment",
        id = "lockstep_env",
        env = "LOCKSTEP_ENV",
        global = true,
        value_name = "NAME"
    )]
    pub(crate) lockstep_env: Option<String>,
    /// Address to listen on. Default: 127.0.0.1:8080
    #[arg(long, env = "LOCKSTEP_BIND", global = true, value_name = "ADDRESS:PORT")]
    pub(crate) bind: Option<String>,
    /// Folder for the private database and generated files. Default: ./data
    #[arg(long, env = "LOCKSTEP_DATA_DIR", global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// Where shoppers reach the store, `https://shop.example`
    #[arg(long, env = "LOCKSTEP_PUBLIC_URL", global = true, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Folder with PostgreSQL's programs for the private database
    #[arg(long, env = "LOCKSTEP_PG_BIN", global = true, value_name = "FOLDER")]
    pub(crate) pg_bin: Option<String>,
    /// G2A's buyer API, ending in /v1. Default: the built-in sandbox
    #[arg(long, env = "G2A_API_URL", global = true, value_name = "URL")]
    pub(crate) g2a_api_url: Option<String>,
    /// G2A client id ("API hash")
    #[arg(
        long,
        env = "G2A_API_HASH",
        hide_env_values = true,
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) g2a_api_hash: Option<String>,
    /// E-mail address of the G2A account
    #[arg(
        long,
        env = "G2A_API_EMAIL",
        hide_env_values = true,
        global = true,
        value_name = "EMAIL"
    )]
    pub(crate) g2a_api_email: Option<String>,
    /// G2A client secret
    #[arg(
        long,
        env = "G2A_API_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) g2a_api_secret: Option<String>,
    /// `hash` (header made of hash, e-mail and secret) or `oauth` (bearer token for hash and secret). Default: hash
    #[arg(long, env = "G2A_AUTH", global = true, value_name = "FORM")]
    pub(crate) g2a_auth: Option<String>,
    /// Calls to G2A a minute, for all processes together. Default: 600, G2A's limit
    #[arg(long, env = "G2A_RATE_PER_MINUTE", global = true, value_name = "CALLS")]
    pub(crate) g2a_rate_per_minute: Option<String>,
    /// Mark-up on G2A's price in percent. Default: 2
    #[arg(long, env = "G2A_MARKUP_PERCENT", global = true, value_name = "PERCENT")]
    pub(crate) g2a_markup_percent: Option<String>,
    /// Which of G2A's prices counts: minPrice, retail_min_price or max. Default: minPrice
    #[arg(long, env = "G2A_PRICE_BASIS", global = true, value_name = "NAME")]
    pub(crate) g2a_price_basis: Option<String>,
    /// What G2A's relays sign their webhooks with. Default: the API hash
    #[arg(
        long,
        env = "G2A_WEBHOOK_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) g2a_webhook_secret: Option<String>,
    /// What access tokens are signed with, at least 32 characters. Default: made once, kept in the data folder
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, global = true, value_name = "TEXT")]
    pub(crate) jwt_secret: Option<String>,
    /// What refresh tokens are signed with; another one
    #[arg(
        long,
        env = "JWT_REFRESH_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) jwt_refresh_secret: Option<String>,
    /// What seals game keys: 64 hexadecimal digits. A comma list rotates: the first writes, any reads
    #[arg(
        long = "key-secret",
        id = "lockstep_key_secret",
        env = "LOCKSTEP_KEY_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "HEX"
    )]
    pub(crate) lockstep_key_secret: Option<String>,
    /// Stripe's secret key, `sk_…`. Default: the built-in test provider, with which no money moves; none in production
    #[arg(
        long,
        env = "STRIPE_SECRET_KEY",
        hide_env_values = true,
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) stripe_secret_key: Option<String>,
    /// What Stripe signs its webhooks with, `whsec_…`. A comma list while it is being changed
    #[arg(
        long,
        env = "STRIPE_WEBHOOK_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) stripe_webhook_secret: Option<String>,
    /// Stripe's API. Default: `https://api.stripe.com`
    #[arg(long, env = "STRIPE_API_URL", global = true, value_name = "URL")]
    pub(crate) stripe_api_url: Option<String>,
    /// What a relay signs payments with that it reports in the old store's form. Default: none may. A comma list rotates
    #[arg(
        long,
        env = "PAYMENT_WEBHOOK_SECRET",
        hide_env_values = true,
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) payment_webhook_secret: Option<String>,
    /// Where browsers come back to after paying; {id} stands for the top-up. Default: the balance page of the store
    #[arg(long, env = "PAYMENT_RETURN_URL", global = true, value_name = "URL")]
    pub(crate) payment_return_url: Option<String>,
    /// Mail server, `smtps://user:password@host:465`. Default: letters are written into the data folder
    #[arg(long, env = "SMTP_URL", hide_env_values = true, global = true, value_name = "URL")]
    pub(crate) smtp_url: Option<String>,
    /// Who letters come from, `Lockstep <shop@example.com>`
    #[arg(
        long = "mail-from",
        id = "lockstep_mail_from",
        env = "LOCKSTEP_MAIL_FROM",
        global = true,
        value_name = "ADDRESS"
    )]
    pub(crate) lockstep_mail_from: Option<String>,
    /// The shop's name, as pages, letters and authenticators show it. Default: Lockstep
    #[arg(
        long = "shop-name",
        id = "lockstep_shop_name",
        env = "LOCKSTEP_SHOP_NAME",
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) lockstep_shop_name: Option<String>,
    /// Where shoppers write to; the pages show it. Default: not shown
    #[arg(
        long = "contact-email",
        id = "lockstep_contact_email",
        env = "LOCKSTEP_CONTACT_EMAIL",
        global = true,
        value_name = "EMAIL"
    )]
    pub(crate) lockstep_contact_email: Option<String>,
    /// Your page that says who runs the shop; linked on every page. Default: not linked
    #[arg(
        long = "imprint-url",
        id = "lockstep_imprint_url",
        env = "LOCKSTEP_IMPRINT_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_imprint_url: Option<String>,
    /// Your terms and conditions; linked on every page and above the button that buys. Default: not linked
    #[arg(
        long = "terms-url",
        id = "lockstep_terms_url",
        env = "LOCKSTEP_TERMS_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_terms_url: Option<String>,
    /// Your privacy policy; linked on every page and where accounts are created. Default: not linked
    #[arg(
        long = "privacy-url",
        id = "lockstep_privacy_url",
        env = "LOCKSTEP_PRIVACY_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_privacy_url: Option<String>,
    /// `on` or `off`: limits on log-ins and other attempts. Off only outside production. Default: on
    #[arg(
        long = "rate-limits",
        id = "lockstep_rate_limits",
        env = "LOCKSTEP_RATE_LIMITS",
        global = true,
        value_name = "on|off"
    )]
    pub(crate) lockstep_rate_limits: Option<String>,
    /// How many reverse proxies stand in front; so many entries of X-Forwarded-For are believed. Default: 0
    #[arg(
        long = "trusted-proxies",
        id = "lockstep_trusted_proxies",
        env = "LOCKSTEP_TRUSTED_PROXIES",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_trusted_proxies: Option<String>,
    /// Most copies of one game in a cart. Default: 99
    #[arg(
        long = "cart-max-copies",
        id = "lockstep_cart_max_copies",
        env = "LOCKSTEP_CART_MAX_COPIES",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_cart_max_copies: Option<String>,
    /// Most different games in a cart. Default: 100
    #[arg(
        long = "cart-max-lines",
        id = "lockstep_cart_max_lines",
        env = "LOCKSTEP_CART_MAX_LINES",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_cart_max_lines: Option<String>,
    /// What a copy may cost at G2A above what the shop asked for it, in euro; beyond it is refunded. Default: 0
    #[arg(long, env = "G2A_ALLOWED_LOSS", global = true, value_name = "EUR")]
    pub(crate) g2a_allowed_loss: Option<String>,
    /// Copies bought at the same time by this process. Default: 8
    #[arg(
        long = "workers",
        id = "lockstep_workers",
        env = "LOCKSTEP_WORKERS",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_workers: Option<String>,
    /// Days after its release that a preorder is waited for before it is refunded. Default: 7
    #[arg(
        long = "preorder-days",
        id = "lockstep_preorder_days",
        env = "LOCKSTEP_PREORDER_DAYS",
        global = true,
        value_name = "DAYS"
    )]
    pub(crate) lockstep_preorder_days: Option<String>,
    /// `on` or `off`: letters carry the keys themselves and not only a link. Default: off
    #[arg(
        long = "keys-in-letters",
        id = "lockstep_keys_in_letters",
        env = "LOCKSTEP_KEYS_IN_LETTERS",
        global = true,
        value_name = "on|off"
    )]
    pub(crate) lockstep_keys_in_letters: Option<String>,
    /// `test`: buying waits milliseconds where it waits minutes. For tests of the program
    #[arg(
        long = "pace",
        id = "lockstep_pace",
        env = "LOCKSTEP_PACE",
        global = true,
        hide = true,
        value_name = "NAME"
    )]
    pub(crate) lockstep_pace: Option<String>,
    /// Origins that browsers may call the API from, comma-separated
    #[arg(long, env = "CORS_ORIGINS", global = true, value_name = "LIST")]
    pub(crate) cors_origins: Option<String>,
    /// What to log, in tracing's filter language. Default: info
    #[arg(
        long = "log",
        id = "rust_log",
        env = "RUST_LOG",
        global = true,
        value_name = "FILTER"
    )]
    pub(crate) rust_log: Option<String>,
}

/// Settings whose values are never shown.
const SECRET: &[&str] = &[
    "database_url",
    "redis_url",
    "g2a_api_hash",
    "g2a_api_secret",
    "g2a_webhook_secret",
    "jwt_secret",
    "jwt_refresh_secret",
    "lockstep_key_secret",
    "stripe_secret_key",
    "stripe_webhook_secret",
    "payment_webhook_secret",
    "smtp_url",
];

/// Where a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Flag,
    Environment,
    File,
    Default,
}

/// How to reach G2A.
#[derive(Debug, Clone)]
pub(crate) enum Supplier {
    /// A real account, or any server of the same contract.
    Account { url: String, auth: Auth },
    /// The built-in sandbox.
    Sandbox,
}

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

/// The effective configuration, checked. Has no `Debug` on purpose: it holds secrets.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) production: bool,
    pub(crate) database_url: Option<String>,
    pub(crate) redis_url: Option<String>,
    pub(crate) redis_prefix: String,
    pub(crate) bind: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) public_url: String,
    pub(crate) pg_bin: Option<PathBuf>,
    pub(crate) supplier: Supplier,
    pub(crate) rate_per_minute: u32,
    pub(crate) pricing: Pricing,
    pub(crate) cors_origins: Vec<String>,
    /// `JWT_SECRET`, `JWT_REFRESH_SECRET` and `LOCKSTEP_KEY_SECRET`, where given.
    pub(crate) secrets: (Option<String>, Option<String>, Option<String>),
    pub(crate) payments: PaymentSettings,
    pub(crate) smtp_url: Option<String>,
    pub(crate) mail_from: String,
    pub(crate) shop_name: String,
    /// Who runs the shop, for the pages.
    pub(crate) operator: lockstep_web::Operator,
    pub(crate) rate_limits: bool,
    pub(crate) trusted_proxies: usize,
    pub(crate) cart_limits: CartLimits,
    /// How buying goes about it.
    pub(crate) fulfilment: lockstep_fulfil::Settings,
    /// What webhooks of G2A's relays are signed with.
    pub(crate) webhook_secret: SecretText,
    /// For `lockstep config`: name, value as shown, source.
    pub(crate) shown: Vec<(String, String, Source)>,
}

/// The file that holds settings, if it exists: `--config`, else `lockstep.toml` in the working folder.
pub(crate) const FILE: &str = "lockstep.toml";

impl Settings {
    /// These settings over those of the file.
    pub(crate) fn over_file(
        self,
        file: Option<&Path>,
        matches: &ArgMatches,
    ) -> Result<(Self, BTreeMap<String, Source>)> {
        let mut sources = BTreeMap::new();
        let mut merged = toml::Table::new();
        let path = file.unwrap_or_else(|| Path::new(FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let read: Self = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
                merged = toml::Table::try_from(read)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
            Err(error) => return Err(anyhow!(error).context(format!("cannot read {}", path.display()))),
        }
        for key in merged.keys() {
            sources.insert(key.clone(), Source::File);
        }
        for (key, value) in toml::Table::try_from(self)? {
            let flag = deepest(matches).value_source(&key) == Some(ValueSource::CommandLine);
            sources.insert(key.clone(), if flag { Source::Flag } else { Source::Environment });
            merged.insert(key, value);
        }
        // An empty variable is one that nobody set: `G2A_API_URL= lockstep serve` means the sandbox.
        merged.retain(|_, value| value.as_str() != Some(""));
        sources.retain(|key, _| merged.contains_key(key));
        Ok((merged.try_into()?, sources))
    }
}

/// The matches of the innermost subcommand: global arguments are found there.
fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| deepest(inner))
}

impl Config {
    /// Checks settings one by one and against each other.
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
        let rate_limits = match settings.lockstep_rate_limits.as_deref() {
            None | Some("on") => true,
            Some("off") if production => bail!("LOCKSTEP_RATE_LIMITS cannot be off in production"),
            Some("off") => false,
            Some(other) => bail!("LOCKSTEP_RATE_LIMITS is {other:?}; it has to be on or off"),
        };
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
        let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{bind}"));
        let public_url = public_url.trim_end_matches('/').to_owned();
        let config = Self {
            payments: payments(settings, production, &public_url)?,
            production,
            database_url: settings.database_url.clone(),
            redis_url: settings.redis_url.clone(),
            redis_prefix: settings.redis_prefix.clone().unwrap_or_default(),
            bind,
            data_dir: settings.data_dir.clone().unwrap_or_else(|| "data".into()).into(),
            public_url,
            pg_bin: settings.pg_bin.clone().map(PathBuf::from),
            supplier: supplier(settings)?,
            rate_per_minute,
            pricing: Pricing { basis, markup_percent },
            cors_origins: settings
                .cors_origins
                .iter()
                .flat_map(|list| list.split(','))
                .map(|origin| origin.trim().trim_end_matches('/').to_owned())
                .filter(|origin| !origin.is_empty())
                .collect(),
            secrets: (
                settings.jwt_secret.clone(),
                settings.jwt_refresh_secret.clone(),
                settings.lockstep_key_secret.clone(),
            ),
            smtp_url: settings.smtp_url.clone(),
            mail_from: settings
                .lockstep_mail_from
                .clone()
                .unwrap_or_else(|| "Lockstep <shop@localhost>".into()),
            shop_name: settings.lockstep_shop_name.clone().unwrap_or_else(|| "Lockstep".into()),
            operator: operator::read(settings)?,
            rate_limits,
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
            fulfilment: fulfilment(settings, Pricing { basis, markup_percent }, production)?,
            webhook_secret: SecretText::new(
                settings
                    .g2a_webhook_secret
                    .clone()
                    .or_else(|| settings.g2a_api_hash.clone())
                    .unwrap_or_else(|| lockstep_g2a_sandbox::Credentials::default().hash),
            ),
            shown: shown(settings, sources)?,
        };
        if production {
            demand_what_production_needs(settings)?;
        }
        Ok(config)
    }
}

fn payments(settings: &Settings, production: bool, public_url: &str) -> Result<PaymentSettings> {
    let secrets = |list: &Option<String>| -> Vec<Secret> {
        list.iter()
            .flat_map(|list| list.split(','))
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
            secret_key: Secret::new(key.clone()),
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

/// How buying goes about it.
fn fulfilment(settings: &Settings, pricing: Pricing, production: bool) -> Result<lockstep_fulfil::Settings> {
    let defaults = lockstep_fulfil::Settings::default();
    let allowed_loss: Money = parsed(settings.g2a_allowed_loss.as_deref(), "G2A_ALLOWED_LOSS", "0")?;
    if allowed_loss < Money::ZERO {
        bail!("G2A_ALLOWED_LOSS is {allowed_loss}; it cannot be negative");
    }
    let parallel = parsed(settings.lockstep_workers.as_deref(), "LOCKSTEP_WORKERS", "8")?;
    let days: u64 = parsed(
        settings.lockstep_preorder_days.as_deref(),
        "LOCKSTEP_PREORDER_DAYS",
        "7",
    )?;
    if !(1..=64).contains(&parallel) || days > 3_650 {
        bail!("LOCKSTEP_WORKERS has to be 1 to 64, and LOCKSTEP_PREORDER_DAYS at most 3650");
    }
    let keys_in_letters = match settings.lockstep_keys_in_letters.as_deref() {
        None | Some("off") => false,
        Some("on") => true,
        Some(other) => bail!("LOCKSTEP_KEYS_IN_LETTERS is {other:?}; it has to be on or off"),
    };
    let millis = Duration::from_millis;
    let paced = match settings.lockstep_pace.as_deref() {
        None => defaults,
        Some("test") if !production => lockstep_fulfil::Settings {
            request_lifetime: millis(150),
            lost_grace: millis(50),
            backoff: (millis(5), millis(40)),
            alarm_retry: millis(100),
            poll: millis(20),
            ..defaults
        },
        Some(other) => bail!("LOCKSTEP_PACE is {other:?}; it is for tests of the program only"),
    };
    Ok(lockstep_fulfil::Settings {
        allowed_loss,
        pricing,
        parallel,
        preorder_patience: Duration::from_hours(24 * days),
        keys_in_letters,
        ..paced
    })
}

fn supplier(settings: &Settings) -> Result<Supplier> {
    let given = [
        &settings.g2a_api_hash,
        &settings.g2a_api_email,
        &settings.g2a_api_secret,
    ];
    let Some(url) = settings.g2a_api_url.clone() else {
        if given.iter().any(|value| value.is_some()) {
            bail!("G2A credentials are set, but G2A_API_URL is not (https://api.g2a.com/v1, or the sandbox's address)");
        }
        return Ok(Supplier::Sandbox);
    };
    let need = |value: &Option<String>, name: &str| {
        value.clone().ok_or_else(|| anyhow!("G2A_API_URL is set, but {name} is not: all of G2A_API_HASH, G2A_API_EMAIL and G2A_API_SECRET are needed"))
    };
    let url = url.trim_end_matches('/').to_owned();
    let hash = SecretText::new(need(&settings.g2a_api_hash, "G2A_API_HASH")?);
    let secret = SecretText::new(need(&settings.g2a_api_secret, "G2A_API_SECRET")?);
    let auth = match settings.g2a_auth.as_deref() {
        None | Some("hash") => Auth::Hash {
            api_hash: hash,
            email: need(&settings.g2a_api_email, "G2A_API_EMAIL")?,
            secret,
        },
        Some("oauth") => {
            let host = url.strip_suffix("/v1").unwrap_or(&url);
            Auth::OAuth {
                token_url: format!("{host}/oauth/token"),
                client_id: hash,
                client_secret: secret,
            }
        }
        Some(other) => bail!("G2A_AUTH is {other:?}; it has to be hash or oauth"),
    };
    Ok(Supplier::Account { url, auth })
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

/// Every setting with its value (secrets masked) and source, in the order of the help.
fn shown(settings: &Settings, sources: &BTreeMap<String, Source>) -> Result<Vec<(String, String, Source)>> {
    let values = toml::Table::try_from(settings)?;
    let names = <Settings as clap::Args>::augment_args(clap::Command::new("settings"));
    let mut rows = Vec::new();
    for arg in names.get_arguments() {
        let name = arg.get_id().as_str();
        let variable = arg
            .get_env()
            .map_or_else(|| name.to_uppercase(), |env| env.to_string_lossy().into_owned());
        let source = sources.get(name).copied().unwrap_or(Source::Default);
        let value = match values.get(name).and_then(toml::Value::as_str) {
            Some(_) if SECRET.contains(&name) => "********".to_owned(),
            Some(text) => text.to_owned(),
            None => String::new(),
        };
        rows.push((variable, value, source));
    }
    Ok(rows)
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
    fn with_nothing_set_it_runs_on_a_laptop() {
        let config = resolve(&Settings::default()).unwrap();
        assert!(!config.production && config.database_url.is_none() && matches!(config.supplier, Supplier::Sandbox));
        assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(config.pricing, Pricing::default());
        assert_eq!(config.rate_per_minute, 600);
    }

    #[test]
    fn production_names_every_variable_that_is_missing() {
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
    fn half_a_g2a_account_is_refused() {
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
    fn a_wrong_value_is_refused_by_the_name_of_its_variable() {
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
                g2a_rate_per_minute: Some("0".into()),
                ..Settings::default()
            })
            .contains("G2A_RATE_PER_MINUTE")
        );
    }

    #[test]
    fn shoppers_pay_through_stripe_the_test_provider_or_nobody() {
        let with = |env: Option<&str>, key: Option<&str>, webhook: Option<&str>| Settings {
            lockstep_env: env.map(str::to_owned),
            stripe_secret_key: key.map(str::to_owned),
            stripe_webhook_secret: webhook.map(str::to_owned),
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
        let production = payments(&with(Some("production"), None, None), true, "https://shop.example").unwrap();
        assert!(matches!(production.provider, PaymentProvider::None));
    }

    #[test]
    fn secrets_are_masked() {
        let settings = Settings {
            database_url: Some("postgres://u:hunter2@h/d".into()),
            stripe_secret_key: Some("sk_hunter2".into()),
            stripe_webhook_secret: Some("whsec_hunter2".into()),
            payment_webhook_secret: Some("hunter2".into()),
            ..Settings::default()
        };
        let config = resolve(&settings).unwrap();
        assert!(config.shown.iter().all(|(_, value, _)| !value.contains("hunter2")));
        assert!(
            config
                .shown
                .iter()
                .any(|(name, value, _)| name == "DATABASE_URL" && value == "********")
        );
    }
}
