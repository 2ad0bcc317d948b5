//! Configuration: one table of settings, each a flag, an environment variable and a line of `lockstep.toml`.
//!
//! Flags override the environment, the environment overrides the file, and a setting that is not set has a default that
//! works on a laptop. With `LOCKSTEP_ENV=production` no such default applies silently: a missing setting is an error
//! that names the variable. Nothing outside this module reads the environment.

mod buying;
mod hidden;
mod law;
pub(crate) mod operator;
mod payments;
mod production;
mod settings;
mod shown;
mod supplier;
mod vat;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use lockstep_clock::{Clock, Random};
use lockstep_console::ConsolePath;
use lockstep_domain::cart::CartLimits;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::Duties;
use lockstep_domain::price::{PriceBasis, Pricing};
use lockstep_domain::{Money, Secret};
use lockstep_mail::SmtpAddress;
use lockstep_store::pools;
use lockstep_webhooks::AddressPolicy;
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

/// The `SMTP_URL` of a shop whose staff enter the mail server.
const MAIL_SERVER_OF_STAFF: &str = "database";

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
    /// The operator has set the public address.
    pub(crate) has_public_url: bool,
    pub(crate) public_url: String,
    /// Where e-mails and payments lead shoppers: `public_url`, unless another front-end is in front of it.
    pub(crate) front_url: String,
    /// Folder of a built single-page front-end.
    pub(crate) front: Option<PathBuf>,
    /// The part of the feeds' addresses that nobody guesses.
    pub(crate) feed_secret: Option<Secret>,
    /// Where the console is.
    pub(crate) console_path: ConsolePath,
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
    /// The mail server; `None`: the one that staff have made the active one.
    pub(crate) smtp_url: Option<String>,
    pub(crate) mail_from: String,
    /// Number of e-mails sent in parallel.
    pub(crate) mail_connections: u32,
    pub(crate) shop_name: String,
    /// The operator has set the name: it wins over the one that staff choose.
    pub(crate) shop_name_is_set: bool,
    /// Name of the shop's time zone; the database knows whether there is such a zone.
    pub(crate) time_zone: String,
    /// The operator of the shop, shown on pages.
    pub(crate) operator: lockstep_web::Operator,
    /// Who asks for consent to deliver keys at once.
    pub(crate) consent: ConsentMode,
    /// The duties that the shop fulfils.
    pub(crate) duties: Duties,
    pub(crate) rate_limits: bool,
    /// Where outgoing webhooks may go.
    pub(crate) webhook_addresses: AddressPolicy,
    pub(crate) trusted_proxies: usize,
    pub(crate) vat: vat::VatConfig,
    pub(crate) cart_limits: CartLimits,
    pub(crate) fulfilment: lockstep_fulfilment::Settings,
    /// For buying other keys in place of faulty ones within 24 hours, EUR; zero: none are bought.
    pub(crate) replacement_budget: Money,
    /// For tests of the program only.
    pub(crate) key_timeout: Option<Duration>,
    /// How long shutdown may take, and for how much of it connections are still accepted.
    pub(crate) shutdown: Duration,
    pub(crate) drain: Duration,
    /// The secret that signs the webhooks of G2A's relays; `None`: the client id in use.
    pub(crate) webhook_secret: Option<Secret>,
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

    /// The address of the console.
    pub(crate) fn console_url(&self) -> String {
        format!("{}{}", self.public_url, self.console_path.as_str())
    }

    /// The file with the address of the Stripe sandbox of a running demo.
    pub(crate) fn card_sandbox_address_file(&self) -> PathBuf {
        self.data_dir.join("stripe-sandbox.url")
    }

    /// The file with the address of the built-in sandbox of a running store.
    pub(crate) fn sandbox_address_file(&self) -> PathBuf {
        self.data_dir.join("g2a-sandbox.url")
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
        let private_webhooks = on_or_off(
            settings.lockstep_webhook_private_addresses.as_deref(),
            "LOCKSTEP_WEBHOOK_PRIVATE_ADDRESSES",
            false,
        )?;
        if production && private_webhooks {
            bail!("LOCKSTEP_WEBHOOK_PRIVATE_ADDRESSES cannot be on in production");
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
        let trusted_proxies = parsed(
            settings.lockstep_trusted_proxies.as_deref(),
            "LOCKSTEP_TRUSTED_PROXIES",
            "0",
        )?;
        let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{bind}"));
        let public_url = public_url.trim_end_matches('/').to_owned();
        let front_url = settings.front_url.as_deref().unwrap_or(&public_url);
        let front_url = front_url.trim_end_matches('/').to_owned();
        let front = settings.front.clone().map(PathBuf::from);
        if let Some(folder) = &front
            && !folder.join("index.html").is_file()
        {
            bail!(
                "LOCKSTEP_FRONT is {}, which holds no index.html; name the folder that the front-end's build made",
                folder.display()
            );
        }
        let mut config = Self {
            payments: payments::payments(settings, production, &front_url, &public_url)?,
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
            has_public_url: settings.public_url.is_some(),
            public_url,
            front_url,
            front,
            feed_secret: feed_secret(settings.lockstep_feed_secret.as_ref())?,
            console_path: console_path(settings.console_path.as_deref())?,
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
                .filter(|url| url.expose().trim() != MAIL_SERVER_OF_STAFF)
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
            shop_name_is_set: settings.lockstep_shop_name.is_some(),
            time_zone: settings.lockstep_time_zone.clone().unwrap_or_else(|| "UTC".into()),
            operator: operator::read(settings)?,
            consent: law::consent(settings, production)?,
            duties: law::duties(settings, production)?,
            rate_limits,
            webhook_addresses: AddressPolicy {
                private_addresses: private_webhooks,
                plain_http: !production,
            },
            shutdown: Duration::from_secs(shutdown),
            drain: Duration::from_secs(drain),
            trusted_proxies,
            vat: vat::read(settings, trusted_proxies)?,
            cart_limits: CartLimits {
                per_line,
                lines,
                ..CartLimits::default()
            },
            key_timeout: buying::key_timeout(settings),
            fulfilment: buying::fulfilment(settings, Pricing { basis, markup_percent }, production)?,
            replacement_budget: buying::replacement_budget(settings)?,
            webhook_secret: settings.g2a_webhook_secret.as_ref().map(exposed).map(Secret::new),
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

    /// Whether the owner of a demo may enter by a printed link: with nothing but what the program brings itself, and only
    /// programs of this machine reach it. Also behind a proxy of this machine the shop has an address of its own.
    pub(crate) fn has_demo_link(&self) -> bool {
        self.is_demo()
            && self.database_url.is_none()
            && matches!(self.payments.provider, PaymentProvider::Test)
            && self.bind.ip().is_loopback()
            && !self.has_public_url
            && self.trusted_proxies == 0
    }
}

fn exposed(hidden: &Hidden) -> String {
    hidden.expose().to_owned()
}

fn demand_what_production_needs(settings: &Settings) -> Result<()> {
    let is_of_staff = supplier::is_of_staff(settings);
    let needed = [
        ("DATABASE_URL", settings.database_url.is_some()),
        ("LOCKSTEP_PUBLIC_URL", settings.public_url.is_some()),
        ("G2A_API_URL", settings.g2a_api_url.is_some()),
        ("G2A_API_HASH", settings.g2a_api_hash.is_some()),
        ("G2A_API_EMAIL", settings.g2a_api_email.is_some() || is_of_staff),
        ("G2A_API_SECRET", settings.g2a_api_secret.is_some() || is_of_staff),
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

/// The part of the feeds' addresses that nobody guesses.
fn feed_secret(given: Option<&Hidden>) -> Result<Option<Secret>> {
    let Some(given) = given else { return Ok(None) };
    let text = given.expose();
    if !(16..=128).contains(&text.len())
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    {
        bail!("LOCKSTEP_FEED_SECRET has to be 16 to 128 letters, digits, - and _");
    }
    Ok(Some(Secret::new(text)))
}

/// The path of the console.
fn console_path(given: Option<&str>) -> Result<ConsolePath> {
    let Some(given) = given else {
        return Ok(ConsolePath::default());
    };
    let known = ConsolePath::ALL.into_iter().find(|path| path.as_str() == given);
    known.ok_or_else(|| anyhow!("LOCKSTEP_CONSOLE_PATH is {given:?}; it has to be /admin or /console"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
    fn the_console_leaves_its_path_to_a_front_end() {
        let at = |path: &str| Settings {
            console_path: Some(path.to_owned()),
            ..Settings::default()
        };
        let config = resolve(&at("/console")).unwrap();
        assert_eq!(config.console_url(), "http://127.0.0.1:8080/console");
        for wrong in ["", "/", "console", "/console/", "/games"] {
            assert!(
                refused(&at(wrong)).contains("it has to be /admin or /console"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_front_end_has_a_page_and_gets_the_links() {
        let empty = tempfile::tempdir().unwrap();
        let front = |folder: &Path| Settings {
            front: Some(folder.display().to_string()),
            front_url: Some("https://front.example/".into()),
            ..Settings::default()
        };
        assert!(refused(&front(empty.path())).contains("holds no index.html"));
        std::fs::write(empty.path().join("index.html"), "").unwrap();
        let config = resolve(&front(empty.path())).unwrap();
        assert_eq!(config.front_url, "https://front.example");
        assert_eq!(config.console_url(), "http://127.0.0.1:8080/admin");
        assert_eq!(config.public_url, "http://127.0.0.1:8080");
        assert_eq!(
            config.payments.return_url,
            "https://front.example/account/balance?topUp={id}"
        );
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
    fn the_mail_server_of_staff_is_chosen_by_name_or_by_default() {
        for smtp_url in [None, Some("database".into())] {
            let settings = Settings {
                smtp_url,
                ..Settings::default()
            };
            assert_eq!(resolve(&settings).unwrap().smtp_url, None);
        }
    }

    #[test]
    fn private_addresses_of_webhooks_are_refused_in_production() {
        let with = |env: &str, switch: &str| Settings {
            lockstep_env: Some(env.to_owned()),
            lockstep_webhook_private_addresses: Some(switch.to_owned()),
            ..Settings::default()
        };
        let config = resolve(&with("development", "on")).unwrap();
        assert!(config.webhook_addresses.private_addresses && config.webhook_addresses.plain_http);
        assert!(
            !resolve(&Settings::default())
                .unwrap()
                .webhook_addresses
                .private_addresses
        );
        assert!(refused(&with("production", "on")).starts_with("LOCKSTEP_WEBHOOK_PRIVATE_ADDRESSES"));
        assert!(refused(&with("development", "yes")).starts_with("LOCKSTEP_WEBHOOK_PRIVATE_ADDRESSES"));
    }

    #[test]
    fn incomplete_g2a_account_is_refused() {
        let url_only = Settings {
            g2a_api_url: Some("https://api.example/v1".into()),
            ..Settings::default()
        };
        assert!(refused(&url_only).contains("G2A_API_HASH"));
        let of_staff = |email: Option<&str>, env: Option<&str>| Settings {
            g2a_api_url: Some("https://sandboxapi.g2a.com/v1/".into()),
            g2a_api_hash: Some("database".into()),
            g2a_api_email: email.map(Hidden::from),
            lockstep_env: env.map(str::to_owned),
            ..Settings::default()
        };
        let config = resolve(&of_staff(None, None)).unwrap();
        assert!(matches!(&config.supplier, Supplier::Stored { oauth: false, .. }));
        assert_eq!(config.supplier.environment(true).name(), "sandbox");
        assert!(refused(&of_staff(Some("a@example.org"), None)).contains("must not be set"));
        let message = refused(&of_staff(None, Some("production")));
        assert!(
            message.contains("SMTP_URL") && !message.contains("G2A_API"),
            "{message}"
        );
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
        for secret in ["guessable", "a/secret/with/slashes"] {
            let message = refused(&Settings {
                lockstep_feed_secret: Some(secret.into()),
                ..Settings::default()
            });
            assert!(
                message.contains("LOCKSTEP_FEED_SECRET") && !message.contains(secret),
                "{message}"
            );
        }
        assert!(
            refused(&Settings {
                g2a_rate_per_minute: Some("0".into()),
                ..Settings::default()
            })
            .contains("G2A_RATE_PER_MINUTE")
        );
    }

    /// Who gets hold of the link is the owner: where anybody else reaches the program, there is none.
    #[test]
    fn a_demo_has_a_link_only_with_its_own_parts_and_on_this_machine() {
        let usual = Settings::default;
        assert!(resolve(&usual()).unwrap().has_demo_link());
        for (what, settings) in [
            (
                "another database",
                Settings {
                    database_url: Some("postgres://db/shop".into()),
                    ..usual()
                },
            ),
            (
                "another address",
                Settings {
                    bind: Some("0.0.0.0:8080".into()),
                    ..usual()
                },
            ),
            (
                "a public address",
                Settings {
                    public_url: Some("https://shop.example".into()),
                    ..usual()
                },
            ),
            (
                "a proxy",
                Settings {
                    lockstep_trusted_proxies: Some("1".into()),
                    ..usual()
                },
            ),
            (
                "real money",
                Settings {
                    stripe_secret_key: Some("sk_test_1".into()),
                    stripe_webhook_secret: Some("whsec_1".into()),
                    ..usual()
                },
            ),
        ] {
            assert!(!resolve(&settings).unwrap().has_demo_link(), "{what}");
        }
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
        let production = payments::payments(
            &with(Some("production"), None, None),
            true,
            "https://shop.example",
            "https://shop.example",
        )
        .unwrap();
        assert!(matches!(production.provider, PaymentProvider::None));
    }

    #[test]
    fn mollie_alone_or_beside_stripe() {
        let with = |key: &str, stripe: Option<&str>, named: Option<&str>| Settings {
            mollie_api_key: Some(key.into()),
            stripe_secret_key: stripe.map(Hidden::from),
            stripe_webhook_secret: stripe.map(|_| "whsec_1".into()),
            payment_provider: named.map(str::to_owned),
            ..Settings::default()
        };
        let is_mollie = |provider: &PaymentProvider| matches!(provider, PaymentProvider::Mollie { .. });
        let alone = resolve(&with("test_abc", None, None)).unwrap().payments;
        assert!(is_mollie(&alone.provider) && alone.other.is_none());
        // Mollie does not reach a shop at 127.0.0.1, unless it is a sandbox there.
        assert!(matches!(
            &alone.provider,
            PaymentProvider::Mollie { api_url, webhook_url: None, .. } if api_url == "https://api.mollie.com"
        ));
        let near = Settings {
            mollie_api_url: Some("http://127.0.0.1:9".into()),
            ..with("test_abc", None, None)
        };
        assert!(matches!(
            resolve(&near).unwrap().payments.provider,
            PaymentProvider::Mollie { webhook_url: Some(url), .. } if url == "http://127.0.0.1:8080/api/payment/webhook/mollie"
        ));
        let both = resolve(&with("live_abc", Some("sk_test_1"), None)).unwrap().payments;
        assert!(!is_mollie(&both.provider) && both.other.as_ref().is_some_and(is_mollie));
        let chosen = resolve(&with("live_abc", Some("sk_test_1"), Some("mollie"))).unwrap();
        assert!(is_mollie(&chosen.payments.provider) && chosen.payments.other.is_some());
        for key in ["", "live_", "sk_test_1", "test_a b", "access_abc"] {
            assert!(refused(&with(key, None, None)).contains("MOLLIE_API_KEY"), "{key}");
        }
        for (stripe, named) in [(None, "stripe"), (Some("sk_test_1"), "paypal")] {
            assert!(refused(&with("test_abc", stripe, Some(named))).contains("PAYMENT_PROVIDER"));
        }
        let lonely = Settings {
            payment_provider: Some("mollie".into()),
            ..Settings::default()
        };
        assert!(refused(&lonely).contains("MOLLIE_API_KEY"));
    }
}
