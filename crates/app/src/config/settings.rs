//! The table of all settings: their names in each place where they can be set, and the source of each value.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use clap::ArgMatches;
use clap::parser::ValueSource;
use lockstep_telemetry::Collector;
use serde::{Deserialize, Serialize};

use super::Hidden;

/// All settings, as given. Field names are the keys of `lockstep.toml`.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[command(next_help_heading = "Settings (also as environment variables and in lockstep.toml)")]
pub(crate) struct Settings {
    /// PostgreSQL, `postgres://user:password@host/database`; of several hosts, `a,b`, the primary is found. Default: a private one in the data folder
    #[arg(long, env = "DATABASE_URL", global = true, value_name = "URL")]
    pub(crate) database_url: Option<Hidden>,
    /// Maximum number of connections of this process to PostgreSQL, 12 to 1000. Default: 24
    #[arg(
        long = "db-connections",
        id = "lockstep_db_connections",
        env = "LOCKSTEP_DB_CONNECTIONS",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_db_connections: Option<String>,
    /// Redis, `redis://host:6379`. Default: no Redis, the in-process cache only
    #[arg(long, env = "REDIS_URL", global = true, value_name = "URL")]
    pub(crate) redis_url: Option<Hidden>,
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
    /// Where Prometheus metrics are served (/metrics): an address and port, or `pages` for the address of the shop.
    /// Default: 127.0.0.1:9464 in production, else pages
    #[arg(
        long,
        env = "LOCKSTEP_METRICS_BIND",
        global = true,
        value_name = "ADDRESS:PORT|pages"
    )]
    pub(crate) metrics_bind: Option<String>,
    /// Folder for the private database and generated files. Default: ./data
    #[arg(long, env = "LOCKSTEP_DATA_DIR", global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// Where shoppers reach the store, `https://shop.example`
    #[arg(long, env = "LOCKSTEP_PUBLIC_URL", global = true, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Folder of a built single-page front-end (with index.html) that is served in place of the shop's own pages
    #[arg(long, env = "LOCKSTEP_FRONT", global = true, value_name = "FOLDER")]
    pub(crate) front: Option<String>,
    /// A part of the addresses of the feeds that nobody guesses, at least 16 letters, digits, `-` or `_`: they are then below
    /// `/feeds/SECRET/`. Default: the feeds are public
    #[arg(
        long = "feed-secret",
        id = "lockstep_feed_secret",
        env = "LOCKSTEP_FEED_SECRET",
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) lockstep_feed_secret: Option<Hidden>,
    /// Where links in e-mails and the way back from payments lead, when that is not LOCKSTEP_PUBLIC_URL
    #[arg(long, env = "LOCKSTEP_FRONT_URL", global = true, value_name = "URL")]
    pub(crate) front_url: Option<String>,
    /// Path of the console of staff: `/admin`, or `/console` if a front-end has pages of its own below `/admin`.
    /// Default: /admin
    #[arg(long, env = "LOCKSTEP_CONSOLE_PATH", global = true, value_name = "PATH")]
    pub(crate) console_path: Option<String>,
    /// Folder with PostgreSQL's programs for the private database
    #[arg(long, env = "LOCKSTEP_PG_BIN", global = true, value_name = "FOLDER")]
    pub(crate) pg_bin: Option<String>,
    /// G2A's buyer API, ending in /v1. Default: the built-in sandbox
    #[arg(long, env = "G2A_API_URL", global = true, value_name = "URL")]
    pub(crate) g2a_api_url: Option<String>,
    /// G2A client id ("API hash"). `database`: the account that staff enter and make active
    #[arg(long, env = "G2A_API_HASH", global = true, value_name = "TEXT")]
    pub(crate) g2a_api_hash: Option<Hidden>,
    /// E-mail address of the G2A account
    #[arg(long, env = "G2A_API_EMAIL", global = true, value_name = "EMAIL")]
    pub(crate) g2a_api_email: Option<Hidden>,
    /// G2A client secret
    #[arg(long, env = "G2A_API_SECRET", global = true, value_name = "TEXT")]
    pub(crate) g2a_api_secret: Option<Hidden>,
    /// `hash` (header made of hash, e-mail and secret) or `oauth` (bearer token for hash and secret). Default: hash
    #[arg(long, env = "G2A_AUTH", global = true, value_name = "FORM")]
    pub(crate) g2a_auth: Option<String>,
    /// Calls to G2A a minute, for all processes together. Default: 600, G2A's limit
    #[arg(long, env = "G2A_RATE_PER_MINUTE", global = true, value_name = "CALLS")]
    pub(crate) g2a_rate_per_minute: Option<String>,
    /// Mark-up on G2A's price in percent. Default: 2
    #[arg(long, env = "G2A_MARKUP_PERCENT", global = true, value_name = "PERCENT")]
    pub(crate) g2a_markup_percent: Option<String>,
    /// The G2A price that the mark-up applies to: minPrice, retail_min_price or max. Default: minPrice
    #[arg(long, env = "G2A_PRICE_BASIS", global = true, value_name = "NAME")]
    pub(crate) g2a_price_basis: Option<String>,
    /// Secret with which G2A's relays sign their webhooks. Default: the API hash
    #[arg(long, env = "G2A_WEBHOOK_SECRET", global = true, value_name = "TEXT")]
    pub(crate) g2a_webhook_secret: Option<Hidden>,
    /// `on`: outgoing webhooks may go to this machine and to private networks; `off` is required in production. Default: off
    #[arg(
        long = "webhook-private-addresses",
        id = "lockstep_webhook_private_addresses",
        env = "LOCKSTEP_WEBHOOK_PRIVATE_ADDRESSES",
        global = true,
        value_name = "SWITCH"
    )]
    pub(crate) lockstep_webhook_private_addresses: Option<String>,
    /// Secret that signs access tokens, at least 32 characters. Default: generated once, stored in the data folder
    #[arg(long, env = "JWT_SECRET", global = true, value_name = "TEXT")]
    pub(crate) jwt_secret: Option<Hidden>,
    /// Secret that signs refresh tokens; a different one
    #[arg(long, env = "JWT_REFRESH_SECRET", global = true, value_name = "TEXT")]
    pub(crate) jwt_refresh_secret: Option<Hidden>,
    /// Secret that seals game keys: 64 hexadecimal digits. In a comma-separated list the first seals and all open
    #[arg(
        long = "key-secret",
        id = "lockstep_key_secret",
        env = "LOCKSTEP_KEY_SECRET",
        global = true,
        value_name = "HEX"
    )]
    pub(crate) lockstep_key_secret: Option<Hidden>,
    /// Stripe's secret key, `sk_…`. Default: the built-in test provider, with which no money moves; none in production
    #[arg(long, env = "STRIPE_SECRET_KEY", global = true, value_name = "TEXT")]
    pub(crate) stripe_secret_key: Option<Hidden>,
    /// Secret with which Stripe signs its webhooks, `whsec_…`. A comma-separated list while it is being changed
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", global = true, value_name = "TEXT")]
    pub(crate) stripe_webhook_secret: Option<Hidden>,
    /// Stripe's API. Default: `https://api.stripe.com`
    #[arg(long, env = "STRIPE_API_URL", global = true, value_name = "URL")]
    pub(crate) stripe_api_url: Option<String>,
    /// Mollie's API key, `live_…` or `test_…`
    #[arg(long, env = "MOLLIE_API_KEY", global = true, value_name = "TEXT")]
    pub(crate) mollie_api_key: Option<Hidden>,
    /// Mollie's API. Default: `https://api.mollie.com`
    #[arg(long, env = "MOLLIE_API_URL", global = true, value_name = "URL")]
    pub(crate) mollie_api_url: Option<String>,
    /// Who takes new payments: stripe, mollie. The other, if it has a key, still settles and refunds its own. Default: stripe if it has a key
    #[arg(long, env = "PAYMENT_PROVIDER", global = true, value_name = "NAME")]
    pub(crate) payment_provider: Option<String>,
    /// Secret with which another program signs the payments that it reports. Default: no other program may. A
    /// comma-separated list rotates
    #[arg(long, env = "PAYMENT_WEBHOOK_SECRET", global = true, value_name = "TEXT")]
    pub(crate) payment_webhook_secret: Option<Hidden>,
    /// Page to which browsers return after a payment; {id} is the top-up. Default: the balance page of the store
    #[arg(long, env = "PAYMENT_RETURN_URL", global = true, value_name = "URL")]
    pub(crate) payment_return_url: Option<String>,
    /// Mail server, `smtps://user:password@host:465` or `smtp://user:password@host:587`, percent-encoded. STARTTLS is
    /// required with a password and used where it is offered without; `?tls=required`, `opportunistic` or `none` says
    /// otherwise. `database`, the default: the one that staff enter; while there is none, e-mails are files in the data
    /// folder, and in production they wait
    #[arg(long, env = "SMTP_URL", global = true, value_name = "URL")]
    pub(crate) smtp_url: Option<Hidden>,
    /// Sender of e-mails, `Lockstep <shop@example.com>`
    #[arg(
        long = "mail-from",
        id = "lockstep_mail_from",
        env = "LOCKSTEP_MAIL_FROM",
        global = true,
        value_name = "ADDRESS"
    )]
    pub(crate) lockstep_mail_from: Option<String>,
    /// Number of e-mails sent at the same time, each over its own connection, 1 to 50. Default: 8
    #[arg(
        long = "mail-connections",
        id = "lockstep_mail_connections",
        env = "LOCKSTEP_MAIL_CONNECTIONS",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_mail_connections: Option<String>,
    /// Name of the shop in pages, e-mails and authenticators. Default: Lockstep
    #[arg(
        long = "shop-name",
        id = "lockstep_shop_name",
        env = "LOCKSTEP_SHOP_NAME",
        global = true,
        value_name = "TEXT"
    )]
    pub(crate) lockstep_shop_name: Option<String>,
    /// Time zone of the days in reports and on the dashboard of staff, `Europe/Berlin`. Default: UTC
    #[arg(
        long = "time-zone",
        id = "lockstep_time_zone",
        env = "LOCKSTEP_TIME_ZONE",
        global = true,
        value_name = "NAME"
    )]
    pub(crate) lockstep_time_zone: Option<String>,
    /// Address for shoppers, shown on the pages. Default: not shown
    #[arg(
        long = "contact-email",
        id = "lockstep_contact_email",
        env = "LOCKSTEP_CONTACT_EMAIL",
        global = true,
        value_name = "EMAIL"
    )]
    pub(crate) lockstep_contact_email: Option<String>,
    /// Your page about who runs the shop, linked on every page. Default: not linked
    #[arg(
        long = "imprint-url",
        id = "lockstep_imprint_url",
        env = "LOCKSTEP_IMPRINT_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_imprint_url: Option<String>,
    /// Your terms and conditions, linked on every page and above the button that buys. Default: not linked
    #[arg(
        long = "terms-url",
        id = "lockstep_terms_url",
        env = "LOCKSTEP_TERMS_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_terms_url: Option<String>,
    /// Your privacy policy, linked on every page and on the registration form. Default: not linked
    #[arg(
        long = "privacy-url",
        id = "lockstep_privacy_url",
        env = "LOCKSTEP_PRIVACY_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_privacy_url: Option<String>,
    /// Country of the shop, ISO 3166-1 (`DE`): which duties it fulfils, `docs/law.md`. Default: those of the EU
    #[arg(
        long = "country",
        id = "lockstep_country",
        env = "LOCKSTEP_COUNTRY",
        global = true,
        value_name = "CODE"
    )]
    pub(crate) lockstep_country: Option<String>,
    /// Duties that you fulfil yourself: `reduced-prices`, `withdrawal`, `accessibility`, separated by commas. Default: none
    #[arg(
        long = "duties-off",
        id = "lockstep_duties_off",
        env = "LOCKSTEP_DUTIES_OFF",
        global = true,
        value_name = "NAMES"
    )]
    pub(crate) lockstep_duties_off: Option<String>,
    /// Who asks for consent to deliver keys at once: `required` (the shop), `front` (your front-end), or `development`
    /// (nobody). Default: required in production, else development
    #[arg(
        long = "consent",
        id = "lockstep_consent",
        env = "LOCKSTEP_CONSENT",
        global = true,
        value_name = "required|front|development"
    )]
    pub(crate) lockstep_consent: Option<String>,
    /// `on` or `off`: limits on log-ins and other attempts. Off only outside production. Default: on
    #[arg(
        long = "rate-limits",
        id = "lockstep_rate_limits",
        env = "LOCKSTEP_RATE_LIMITS",
        global = true,
        value_name = "on|off"
    )]
    pub(crate) lockstep_rate_limits: Option<String>,
    /// Number of reverse proxies in front; that many entries of X-Forwarded-For are trusted. Default: 0
    #[arg(
        long = "trusted-proxies",
        id = "lockstep_trusted_proxies",
        env = "LOCKSTEP_TRUSTED_PROXIES",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_trusted_proxies: Option<String>,
    /// Header in which the outermost trusted proxy names the client's country, such as CF-IPCountry: evidence for VAT.
    /// Default: no such evidence
    #[arg(
        long = "country-header",
        id = "lockstep_country_header",
        env = "LOCKSTEP_COUNTRY_HEADER",
        global = true,
        value_name = "NAME"
    )]
    pub(crate) lockstep_country_header: Option<String>,
    /// REST API of VIES, the register of the EU that says whether VAT ids exist
    /// Default: only their form is checked
    #[arg(
        long = "vies-url",
        id = "lockstep_vies_url",
        env = "LOCKSTEP_VIES_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_vies_url: Option<String>,
    /// Where `lockstep vat update` reads rates of VAT. Default: the data set eu-vat-rates-data
    #[arg(
        long = "vat-rates-url",
        id = "lockstep_vat_rates_url",
        env = "LOCKSTEP_VAT_RATES_URL",
        global = true,
        value_name = "URL"
    )]
    pub(crate) lockstep_vat_rates_url: Option<String>,
    /// Maximum number of copies of one game in a cart. Default: 99
    #[arg(
        long = "cart-max-copies",
        id = "lockstep_cart_max_copies",
        env = "LOCKSTEP_CART_MAX_COPIES",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_cart_max_copies: Option<String>,
    /// Maximum number of different games in a cart. Default: 100
    #[arg(
        long = "cart-max-lines",
        id = "lockstep_cart_max_lines",
        env = "LOCKSTEP_CART_MAX_LINES",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_cart_max_lines: Option<String>,
    /// Euro that a unit may cost at G2A above the shop's price; above that it is refunded. Default: 0
    #[arg(long, env = "G2A_ALLOWED_LOSS", global = true, value_name = "EUR")]
    pub(crate) g2a_allowed_loss: Option<String>,
    /// Euro for buying other keys in place of faulty ones within 24 hours; 0: none are bought. Default: 50
    #[arg(
        long = "replacement-budget",
        id = "lockstep_replacement_budget",
        env = "LOCKSTEP_REPLACEMENT_BUDGET",
        global = true,
        value_name = "EUR"
    )]
    pub(crate) lockstep_replacement_budget: Option<String>,
    /// Units that this process buys at the same time. Default: 8
    #[arg(
        long = "workers",
        id = "lockstep_workers",
        env = "LOCKSTEP_WORKERS",
        global = true,
        value_name = "COUNT"
    )]
    pub(crate) lockstep_workers: Option<String>,
    /// Days after its release until an unavailable preorder is refunded. Default: 7
    #[arg(
        long = "preorder-days",
        id = "lockstep_preorder_days",
        env = "LOCKSTEP_PREORDER_DAYS",
        global = true,
        value_name = "DAYS"
    )]
    pub(crate) lockstep_preorder_days: Option<String>,
    /// Minutes for staff to decide about an answer without a readable key; then its unit is bought again.
    /// Default: 60
    #[arg(
        long = "unreadable-minutes",
        id = "lockstep_unreadable_minutes",
        env = "LOCKSTEP_UNREADABLE_MINUTES",
        global = true,
        value_name = "MINUTES"
    )]
    pub(crate) lockstep_unreadable_minutes: Option<String>,
    /// Seconds for everything to end after SIGTERM or SIGINT. Default: 25
    #[arg(
        long = "shutdown-seconds",
        id = "lockstep_shutdown_seconds",
        env = "LOCKSTEP_SHUTDOWN_SECONDS",
        global = true,
        value_name = "SECONDS"
    )]
    pub(crate) lockstep_shutdown_seconds: Option<String>,
    /// Of these, seconds in which connections are accepted while `/readyz` is 503. Default: 0
    #[arg(
        long = "drain-seconds",
        id = "lockstep_drain_seconds",
        env = "LOCKSTEP_DRAIN_SECONDS",
        global = true,
        value_name = "SECONDS"
    )]
    pub(crate) lockstep_drain_seconds: Option<String>,
    /// `allow` or `refuse`: whether a promo code may sell a game below what it costs at G2A. Default: refuse in
    /// production, else allow
    #[arg(
        long = "promo-below-cost",
        id = "lockstep_promo_below_cost",
        env = "LOCKSTEP_PROMO_BELOW_COST",
        global = true,
        value_name = "allow|refuse"
    )]
    pub(crate) lockstep_promo_below_cost: Option<String>,
    /// `on` or `off`: whether e-mails contain keys, not only a link. Default: off
    #[arg(
        long = "keys-in-emails",
        id = "lockstep_keys_in_emails",
        env = "LOCKSTEP_KEYS_IN_EMAILS",
        global = true,
        value_name = "on|off"
    )]
    pub(crate) lockstep_keys_in_emails: Option<String>,
    /// `test`: buying waits milliseconds where it waits minutes; `hasty`: leases are short as well. For tests of the
    /// program
    #[arg(
        long = "pace",
        id = "lockstep_pace",
        env = "LOCKSTEP_PACE",
        global = true,
        hide = true,
        value_name = "NAME"
    )]
    pub(crate) lockstep_pace: Option<String>,
    /// Origins whose pages may call the API, comma-separated
    #[arg(long, env = "CORS_ORIGINS", global = true, value_name = "LIST")]
    pub(crate) cors_origins: Option<String>,
    /// Collector that traces are sent to by OTLP over HTTP, `http://127.0.0.1:4318`. Default: no traces
    #[arg(
        long = "otlp-endpoint",
        id = "otel_exporter_otlp_endpoint",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        global = true,
        value_name = "URL"
    )]
    pub(crate) otel_exporter_otlp_endpoint: Option<String>,
    /// Name of this process in traces. Default: lockstep
    #[arg(
        long = "otel-service-name",
        id = "otel_service_name",
        env = "OTEL_SERVICE_NAME",
        global = true,
        value_name = "NAME"
    )]
    pub(crate) otel_service_name: Option<String>,
    /// Log filter, in the syntax of `tracing`. Default: info
    #[arg(
        long = "log",
        id = "rust_log",
        env = "RUST_LOG",
        global = true,
        value_name = "FILTER"
    )]
    pub(crate) rust_log: Option<String>,
}

/// Where a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Flag,
    Environment,
    File,
    Default,
}

/// What is wrong with the file, and where. The line itself and a value in it may be a secret, so neither is shown.
fn without_values(error: &toml::de::Error, text: &str) -> String {
    let message = match error.message() {
        message if message.starts_with("invalid type") => "expected a text in quotes",
        message => message,
    };
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("line {line}: {message}")
}

/// The file that holds settings, if it exists: `--config`, else `lockstep.toml` in the working folder.
const FILE: &str = "lockstep.toml";

impl Settings {
    /// The collector of traces, if one is set.
    pub(crate) fn collector(&self) -> Option<Collector> {
        Some(Collector {
            endpoint: self.otel_exporter_otlp_endpoint.clone()?,
            service: self.otel_service_name.clone().unwrap_or_else(|| "lockstep".into()),
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Every setting as an argument of `command`; the help shows no value that is hidden.
    pub(crate) fn arguments_of(command: clap::Command) -> clap::Command {
        hiding_values(<Self as clap::Args>::augment_args(command))
    }

    /// The settings of the command line and the environment over those of the file.
    pub(crate) fn over_file(file: Option<&Path>, matches: &ArgMatches) -> Result<(Self, BTreeMap<String, Source>)> {
        let mut sources = BTreeMap::new();
        let mut merged = toml::Table::new();
        let path = file.unwrap_or_else(|| Path::new(FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let read = || {
                    // Refuses unknown keys and values that are no strings.
                    toml::from_str::<Self>(&text)?;
                    toml::from_str(&text)
                };
                merged = read()
                    .map_err(|error| anyhow!(without_values(&error, &text)).context(path.display().to_string()))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
            Err(error) => return Err(anyhow!(error).context(format!("cannot read {}", path.display()))),
        }
        for key in merged.keys() {
            sources.insert(key.clone(), Source::File);
        }
        let matches = deepest(matches);
        for argument in Self::arguments_of(clap::Command::new("settings")).get_arguments() {
            let key = argument.get_id().to_string();
            let given = matches.try_get_raw(&key)?.and_then(|mut values| values.next());
            if let Some(value) = given.and_then(std::ffi::OsStr::to_str) {
                let flag = matches.value_source(&key) == Some(ValueSource::CommandLine);
                sources.insert(key.clone(), if flag { Source::Flag } else { Source::Environment });
                merged.insert(key, value.into());
            }
        }
        // An empty variable counts as not set: `G2A_API_URL= lockstep serve` means the sandbox.
        merged.retain(|_, value| value.as_str() != Some(""));
        sources.retain(|key, _| merged.contains_key(key));
        Ok((merged.try_into()?, sources))
    }
}

/// The same command, whose help shows no value of the environment that is hidden.
pub(crate) fn hiding_values(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| {
        let hidden = Hidden::is_of(&argument);
        argument.hide_env_values(hidden)
    })
}

/// The matches of the innermost subcommand: global arguments are found there.
fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| deepest(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_named_without_its_value() {
        for (text, words) in [
            ("jwt_secrt = \"hunter2-hunter2\"", "line 1: unknown field `jwt_secrt`"),
            ("\nlockstep_key_secret = 424242", "line 2: expected a text in quotes"),
            ("\n\njwt_secret = \"hunter2", "line 3: "),
            ("jwt_secret = hunter2", "line 1: "),
        ] {
            let Err(error) = toml::from_str::<Settings>(text) else {
                panic!("{text} is accepted")
            };
            let message = without_values(&error, text);
            assert!(message.starts_with(words), "{message}");
            assert!(!message.contains("hunter2") && !message.contains("424242"), "{message}");
        }
    }
}
