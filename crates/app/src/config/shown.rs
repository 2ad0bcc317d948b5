//! `lockstep config` and the sample `lockstep.toml`: every setting with its value in force and its source.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::hidden::MASK;
use super::{Config, Metrics, PaymentProvider, Settings, Source};

/// A row of `lockstep config`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Shown {
    /// The environment variable.
    pub(crate) name: String,
    /// The key in `lockstep.toml`.
    pub(crate) key: String,
    /// The value in force, with secrets masked. `None` if it is not set; `default` then describes what applies.
    pub(crate) value: Option<String>,
    /// Where the value comes from.
    pub(crate) source: Source,
    /// What applies without a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
}

/// Every setting, in the order of the help.
pub(super) fn rows(config: &Config, settings: &Settings, sources: &BTreeMap<String, Source>) -> Result<Vec<Shown>> {
    let set = toml::Table::try_from(settings)?;
    let rows = arguments().map(|argument| {
        let key = argument.get_id().to_string();
        let given = set.get(&key).and_then(toml::Value::as_str);
        let default = default_of(&argument);
        let value = match given {
            // `Hidden` has serialised itself as the mask.
            Some(MASK) => Some(MASK.to_owned()),
            _ => in_force(config, &key)
                .or_else(|| given.map(str::to_owned))
                .or_else(|| default.clone().filter(|words| !words.contains(' ')))
                .map(|text| without_secrets(&text)),
        };
        Shown {
            name: variable(&argument),
            source: sources.get(&key).copied().unwrap_or(Source::Default),
            default: default.filter(|_| value.is_none()),
            value,
            key,
        }
    });
    Ok(rows.collect())
}

/// A `lockstep.toml` with every setting, all commented out, each with the value in force without it.
pub(crate) fn sample() -> Result<String> {
    let config = Config::resolve(&Settings::default(), &BTreeMap::new())?;
    let mut text =
        "# Settings of Lockstep. Flags and environment variables beat this file; an empty value counts as not set.\n\
                    # `lockstep config` shows what is in force and where it comes from.\n"
            .to_owned();
    for (argument, shown) in arguments()
        .zip(&config.shown)
        .filter(|(argument, _)| !argument.is_hide_set())
    {
        text.push('\n');
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        for line in textwrap(&help) {
            writeln!(text, "# {line}")?;
        }
        let flag = argument.get_long().unwrap_or_default();
        writeln!(text, "# ({}, --{flag})", shown.name)?;
        let value = toml::Value::from(shown.value.clone().unwrap_or_default());
        writeln!(text, "# {} = {value}", shown.key)?;
    }
    Ok(text)
}

/// Wraps `text` into lines of at most 110 characters.
fn textwrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < 110 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The settings as arguments of the command line.
fn arguments() -> impl Iterator<Item = clap::Arg> {
    let command = Settings::arguments_of(clap::Command::new("settings"));
    command.get_arguments().cloned().collect::<Vec<_>>().into_iter()
}

fn variable(argument: &clap::Arg) -> String {
    argument.get_env().map_or_else(
        || argument.get_id().as_str().to_uppercase(),
        |variable| variable.to_string_lossy().into_owned(),
    )
}

/// The default that the help states.
fn default_of(argument: &clap::Arg) -> Option<String> {
    let help = argument.get_help()?.to_string();
    let (_, words) = help.split_once("Default: ")?;
    Some(words.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', ""))
}

/// The value in force, if it is a single value.
fn in_force(config: &Config, key: &str) -> Option<String> {
    let switch = |on| if on { "on" } else { "off" }.to_owned();
    let minutes = |span: std::time::Duration| (span.as_secs() / 60).to_string();
    Some(match key {
        "lockstep_env" => if config.production { "production" } else { "development" }.to_owned(),
        "lockstep_db_connections" => config.db_connections.to_string(),
        "bind" => config.bind.to_string(),
        "metrics_bind" => match config.metrics {
            Metrics::Pages => "pages".to_owned(),
            Metrics::At { address, .. } => address.to_string(),
        },
        "data_dir" => config.data_dir.display().to_string(),
        "public_url" => config.public_url.clone(),
        "front_url" => config.front_url.clone(),
        "console_path" => config.console_path.as_str().to_owned(),
        "g2a_auth" => if config.supplier.uses_oauth() { "oauth" } else { "hash" }.to_owned(),
        "g2a_rate_per_minute" => config.rate_per_minute.to_string(),
        "g2a_markup_percent" => config.pricing.markup_percent.to_string(),
        "stripe_api_url" => (config.payments.in_use()).find_map(|provider| match provider {
            PaymentProvider::Stripe { api_url, .. } => Some(api_url.clone()),
            _ => None,
        })?,
        "mollie_api_url" => (config.payments.in_use()).find_map(|provider| match provider {
            PaymentProvider::Mollie { api_url, .. } => Some(api_url.clone()),
            _ => None,
        })?,
        "payment_provider" => match &config.payments.provider {
            PaymentProvider::Stripe { .. } => "stripe".to_owned(),
            PaymentProvider::Mollie { .. } => "mollie".to_owned(),
            PaymentProvider::Test | PaymentProvider::None => return None,
        },
        "payment_return_url" => config.payments.return_url.clone(),
        "lockstep_mail_from" => config.mail_from.clone(),
        "lockstep_mail_connections" => config.mail_connections.to_string(),
        "lockstep_shop_name" => config.shop_name.clone(),
        "lockstep_time_zone" => config.time_zone.clone(),
        "lockstep_country" => config.duties.country.clone()?,
        "lockstep_consent" => config.consent.as_str().to_owned(),
        "lockstep_rate_limits" => switch(config.rate_limits),
        "lockstep_webhook_private_addresses" => switch(config.webhook_addresses.private_addresses),
        "lockstep_trusted_proxies" => config.trusted_proxies.to_string(),
        "lockstep_vat_rates_url" => config.vat.rates_url.clone(),
        "lockstep_cart_max_copies" => config.cart_limits.per_line.to_string(),
        "lockstep_cart_max_lines" => config.cart_limits.lines.to_string(),
        "g2a_allowed_loss" => config.fulfilment.allowed_loss.to_string(),
        "lockstep_replacement_budget" => config.replacement_budget.to_string(),
        "lockstep_workers" => config.fulfilment.parallel.to_string(),
        "lockstep_preorder_days" => (config.fulfilment.preorder_patience.as_secs() / 86_400).to_string(),
        "lockstep_unreadable_minutes" => minutes(config.fulfilment.unreadable_grace),
        "lockstep_shutdown_seconds" => config.shutdown.as_secs().to_string(),
        "lockstep_drain_seconds" => config.drain.as_secs().to_string(),
        "lockstep_promo_below_cost" => if config.promo_below_cost { "allow" } else { "refuse" }.to_owned(),
        "lockstep_keys_in_emails" => switch(config.fulfilment.keys_in_emails),
        _ => return None,
    })
}

/// An address with the secrets in it masked: a password, a user without one (often a token), and the values in its query
/// and fragment, except for those that the program fills in (`{id}`).
fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        None => authority.to_owned(),
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{host}"),
            None => format!("{MASK}@{host}"),
        },
    };
    let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let mut masked = format!("{scheme}://{authority}{path}");
    for part in query.split_inclusive(['?', '#', '&', ';']) {
        let (pair, end) = match part.strip_suffix(['?', '#', '&', ';']) {
            Some(pair) => part.split_at(pair.len()),
            None => (part, ""),
        };
        match pair.split_once('=') {
            _ if pair.is_empty() => {}
            Some((_, value)) if value.is_empty() || (value.starts_with('{') && value.ends_with('}')) => {
                masked.push_str(pair);
            }
            Some((name, _)) => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(MASK);
            }
            None => masked.push_str(MASK),
        }
        masked.push_str(end);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::super::Hidden;
    use super::*;

    fn shown(settings: &Settings) -> Vec<Shown> {
        Config::resolve(settings, &BTreeMap::new()).unwrap().shown
    }

    #[test]
    fn every_setting_has_a_value_or_a_described_default() {
        for row in shown(&Settings::default()) {
            let says = row.default.as_deref().unwrap_or_default();
            assert!(row.value.as_deref() != Some(""), "{row:?}");
            assert!(row.value.is_none() || says.is_empty(), "{row:?}");
        }
        let value = |name: &str| {
            let rows = shown(&Settings::default());
            rows.into_iter().find(|row| row.name == name).unwrap().value
        };
        for (name, expected) in [
            ("LOCKSTEP_ENV", "development"),
            ("LOCKSTEP_BIND", "127.0.0.1:8080"),
            ("LOCKSTEP_PUBLIC_URL", "http://127.0.0.1:8080"),
            ("G2A_MARKUP_PERCENT", "2"),
            ("G2A_PRICE_BASIS", "minPrice"),
            ("LOCKSTEP_DB_CONNECTIONS", "24"),
            ("LOCKSTEP_UNREADABLE_MINUTES", "60"),
            ("LOCKSTEP_PREORDER_DAYS", "7"),
            ("LOCKSTEP_REPLACEMENT_BUDGET", "50.00"),
            ("LOCKSTEP_PROMO_BELOW_COST", "allow"),
            ("RUST_LOG", "info"),
        ] {
            assert_eq!(value(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value("SMTP_URL"), None);
    }

    #[test]
    fn secrets_are_declared_hidden_and_never_shown() {
        for argument in arguments() {
            let name = variable(&argument);
            let sensitive = [
                "SECRET",
                "PASSWORD",
                "TOKEN",
                "HASH",
                "API_KEY",
                "DATABASE_URL",
                "REDIS_URL",
                "SMTP_URL",
            ];
            if sensitive.iter().any(|word| name.contains(word)) {
                assert!(Hidden::is_of(&argument), "{name} has to be an Option<Hidden>");
            }
        }
        let mut all = toml::Table::new();
        for argument in arguments().filter(Hidden::is_of) {
            assert!(argument.is_hide_env_values_set(), "the help shows {argument}");
            all.insert(argument.get_id().to_string(), "hunter2".into());
        }
        // A mail server address that is not a URL would be refused.
        all.insert("smtp_url".into(), "smtp://user:hunter2@mail.example".into());
        // It begins as keys of Mollie do.
        all.insert("mollie_api_key".into(), "test_hunter2".into());
        // It is a part of addresses, and long enough not to be guessed.
        all.insert("lockstep_feed_secret".into(), "hunter2-hunter2-hunter2".into());
        all.insert(
            "g2a_api_url".into(),
            "https://user:hunter2@g2a.example/v1?token=hunter2".into(),
        );
        let settings: Settings = all.try_into().unwrap();
        assert!(
            !format!("{settings:?}")
                .replace("user:hunter2@g2a.example/v1?token=hunter2", "")
                .contains("hunter2")
        );
        let rows = shown(&settings);
        let text = serde_json::to_string(&rows).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains("https://user:********@g2a.example/v1?token=********"),
            "{text}"
        );
    }

    #[test]
    fn secrets_in_addresses_are_masked() {
        for (text, shown) in [
            (
                "https://g2a.example/v1?token=hunter2",
                "https://g2a.example/v1?token=********",
            ),
            (
                "https://me:hunter2@g2a.example/v1?a=hunter2&b=hunter2#hunter2",
                "https://me:********@g2a.example/v1?a=********&b=********#********",
            ),
            ("https://hunter2@g2a.example", "https://********@g2a.example"),
            ("https://g2a.example?hunter2", "https://g2a.example?********"),
            ("https://g2a.example/?a=b@hunter2", "https://g2a.example/?a=********"),
            (
                "https://shop.example/account/balance?topUp={id}",
                "https://shop.example/account/balance?topUp={id}",
            ),
            ("https://g2a.example/v1?empty=&", "https://g2a.example/v1?empty=&"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("Shop? Yes & no=maybe", "Shop? Yes & no=maybe"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn sample_lists_every_setting_with_its_default() {
        let sample = sample().unwrap();
        let lines = sample.lines().filter_map(|line| line.strip_prefix("# "));
        let lines: Vec<&str> = lines
            .filter(|line| toml::from_str::<toml::Table>(line).is_ok_and(|t| t.len() == 1))
            .collect();
        let read: toml::Table = toml::from_str(&lines.join("\n")).unwrap();
        let known: Vec<String> = arguments()
            .filter(|argument| !argument.is_hide_set())
            .map(|argument| argument.get_id().to_string())
            .collect();
        let mut keys: Vec<String> = read.keys().cloned().collect();
        keys.sort();
        let mut sorted = known.clone();
        sorted.sort();
        assert_eq!(keys, sorted);
        assert!(known.len() > 40);
        let mut given = read;
        given.retain(|_, value| value.as_str() != Some(""));
        let values = |rows: Vec<Shown>| rows.into_iter().map(|row| (row.name, row.value)).collect::<Vec<_>>();
        assert_eq!(
            values(shown(&given.try_into().unwrap())),
            values(shown(&Settings::default()))
        );
        assert!(
            toml::from_str::<toml::Table>(&sample).unwrap().is_empty(),
            "as it is, it sets nothing"
        );
    }
}
