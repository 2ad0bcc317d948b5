//! Rules about the files that run and observe a shop: what they name has to exist in the product.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Files that set variables of the product or of its tests.
const CONTAINERS: &[&str] = &[
    "Dockerfile",
    "compose.yaml",
    "deploy/secrets.sh",
    ".devcontainer/Dockerfile",
    ".devcontainer/devcontainer.json",
];

/// Files that name metrics.
const OBSERVABILITY: &[&str] = &["deploy/observability/alerts.yml", "deploy/observability/dashboard.json"];

/// How names of settings begin.
const SETTINGS: &[&str] = &[
    "CORS_",
    "DATABASE_",
    "G2A_",
    "JWT_",
    "LOCKSTEP_",
    "PAYMENT_",
    "REDIS_",
    "SMTP_",
    "STRIPE_",
];

/// How names of metrics begin.
const METRICS: &[&str] = &["lockstep_", "http_"];

/// What follows the name of a histogram in the names of its series.
const OF_HISTOGRAM: &[&str] = &["_bucket", "_count", "_sum"];

/// Checks both kinds of files; `sources` is all Rust code of the project.
pub(crate) fn check(root: &Path, sources: &str, breaches: &mut Vec<String>) -> Result<()> {
    let read = |file: &str| std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned());
    for file in CONTAINERS {
        for name in unknown(&read(file)?, SETTINGS, sources) {
            breaches.push(format!("{file} sets {name}, which no source reads"));
        }
    }
    let operations = read("docs/operations.md")?;
    let sections: BTreeSet<String> = operations.lines().filter_map(anchor).collect();
    for file in OBSERVABILITY {
        let text = read(file)?;
        for name in unknown(&text, METRICS, sources) {
            breaches.push(format!("{file} names the metric {name}, which no source records"));
        }
        for section in text.split("docs/operations.md#").skip(1) {
            let section: String = section.chars().take_while(|&c| is_of_anchor(c)).collect();
            if !sections.contains(&section) {
                breaches.push(format!(
                    "{file} refers to docs/operations.md#{section}, which is no section"
                ));
            }
        }
    }
    // The images compile with a toolchain that the sources support.
    let supported = read("Cargo.toml")?;
    let supported = supported
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap_or_default()
        .trim_matches('"');
    for file in ["Dockerfile", ".devcontainer/Dockerfile"] {
        let text = read(file)?;
        let image = format!("FROM rust:{supported}.");
        let toolchain = format!("RUSTUP_TOOLCHAIN={supported}.");
        if !text.contains(&image) || !text.contains(&toolchain) {
            breaches.push(format!(
                "{file} does not use Rust {supported}, the rust-version of Cargo.toml, as image and RUSTUP_TOOLCHAIN"
            ));
        }
    }
    Ok(())
}

/// Words of `text` that begin like one of `kinds` and are no string literal in `sources`, nor the series of a histogram
/// that is one.
fn unknown(text: &str, kinds: &[&str], sources: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_part(character))
        .filter(|word| {
            kinds
                .iter()
                .any(|kind| word.starts_with(kind) && word.len() > kind.len())
        })
        .filter(|word| {
            let is_named = |name: &str| sources.contains(&format!("\"{name}\""));
            let is_series = |end: &&str| word.strip_suffix(*end).is_some_and(is_named);
            !is_named(word) && !OF_HISTOGRAM.iter().any(is_series)
        })
        .map(str::to_owned)
        .collect()
}

/// The address of a heading within its page.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let heading = heading.to_lowercase().replace(' ', "-");
    Some(heading.chars().filter(|&c| is_of_anchor(c)).collect())
}

fn is_of_anchor(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_source_has_are_found() {
        let sources = "metrics::counter!(\"lockstep_sales_total\"); env = \"LOCKSTEP_BIND\"";
        let found = |text, kinds| unknown(text, kinds, sources).into_iter().collect::<Vec<_>>();
        assert_eq!(
            found("rate(lockstep_sales_total{x=\"y\"}[5m]) / lockstep_sales", METRICS),
            ["lockstep_sales"]
        );
        assert_eq!(
            found("lockstep_sales_total_bucket lockstep_sales_bucket", METRICS),
            ["lockstep_sales_bucket"]
        );
        assert_eq!(
            found("LOCKSTEP_BIND=0.0.0.0:8080 LOCKSTEP_BIN=x POSTGRES_USER=y", SETTINGS),
            ["LOCKSTEP_BIN"]
        );
    }

    #[test]
    fn headings_have_the_addresses_that_links_use() {
        assert_eq!(anchor("## E-mail").as_deref(), Some("e-mail"));
        assert_eq!(
            anchor("### A synchronisation that failed, or was interrupted").as_deref(),
            Some("a-synchronisation-that-failed-or-was-interrupted")
        );
        assert_eq!(anchor("#hashtag"), None);
        assert_eq!(anchor("text"), None);
    }
}
