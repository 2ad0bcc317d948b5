//! House rules that the compiler does not know: which crate may use which, who may talk SQL or Redis, which names are
//! retired, that every module says why it exists, that modules do not use each other in circles, and that files for
//! containers and dashboards name what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::deploy;

/// Dependencies allowed between our crates: the arrows of ARCHITECTURE.md. Dev-dependencies are unrestricted.
const ARROWS: &[(&str, &[&str])] = &[
    ("lockstep-domain", &[]),
    ("lockstep-clock", &[]),
    ("lockstep-telemetry", &[]),
    ("lockstep-edge", &["lockstep-telemetry"]),
    ("lockstep-embedded-postgres", &[]),
    ("lockstep-failpoint", &[]),
    ("lockstep-images", &[]),
    (
        "lockstep-g2a",
        &["lockstep-clock", "lockstep-domain", "lockstep-telemetry"],
    ),
    ("lockstep-g2a-sandbox", &["lockstep-domain"]),
    ("lockstep-stripe-sandbox", &[]),
    ("lockstep-mollie-sandbox", &[]),
    (
        "lockstep-store",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-failpoint",
            "lockstep-vault",
            "lockstep-telemetry",
        ],
    ),
    ("lockstep-vault", &[]),
    ("lockstep-vat", &["lockstep-domain"]),
    ("lockstep-documents", &["lockstep-domain"]),
    (
        "lockstep-auth",
        &["lockstep-clock", "lockstep-domain", "lockstep-store", "lockstep-vault"],
    ),
    (
        "lockstep-mail",
        &["lockstep-domain", "lockstep-store", "lockstep-telemetry"],
    ),
    (
        "lockstep-webhooks",
        &["lockstep-clock", "lockstep-domain", "lockstep-store"],
    ),
    (
        "lockstep-cache",
        &["lockstep-clock", "lockstep-domain", "lockstep-store"],
    ),
    (
        "lockstep-sync",
        &["lockstep-clock", "lockstep-domain", "lockstep-g2a", "lockstep-store"],
    ),
    (
        "lockstep-fulfilment",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-failpoint",
            "lockstep-g2a",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-telemetry",
        ],
    ),
    (
        "lockstep-payments",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-failpoint",
            "lockstep-store",
            "lockstep-telemetry",
        ],
    ),
    (
        "lockstep-shop",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-failpoint",
            "lockstep-store",
            "lockstep-auth",
            "lockstep-payments",
            "lockstep-cache",
            "lockstep-documents",
            "lockstep-vat",
        ],
    ),
    ("lockstep-request", &["lockstep-domain", "lockstep-auth"]),
    (
        "lockstep-import",
        &["lockstep-domain", "lockstep-store", "lockstep-vault"],
    ),
    (
        "lockstep-admin",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-store",
            "lockstep-auth",
            "lockstep-mail",
            "lockstep-webhooks",
            "lockstep-documents",
            "lockstep-images",
        ],
    ),
    (
        "lockstep-api",
        &[
            "lockstep-domain",
            "lockstep-auth",
            "lockstep-request",
            "lockstep-shop",
            "lockstep-admin",
            "lockstep-edge",
            "lockstep-images",
        ],
    ),
    (
        "lockstep-page",
        &["lockstep-domain", "lockstep-auth", "lockstep-request", "lockstep-shop"],
    ),
    (
        "lockstep-web",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-auth",
            "lockstep-shop",
            "lockstep-edge",
            "lockstep-page",
            "lockstep-images",
        ],
    ),
    (
        "lockstep-console",
        &[
            "lockstep-domain",
            "lockstep-auth",
            "lockstep-shop",
            "lockstep-admin",
            "lockstep-edge",
            "lockstep-page",
            "lockstep-images",
        ],
    ),
    (
        "lockstep-testkit",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-embedded-postgres",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-auth",
            "lockstep-cache",
            "lockstep-payments",
            "lockstep-shop",
        ],
    ),
    ("lockstep-browser-testing", &[]),
    (
        "lockstep",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-embedded-postgres",
            "lockstep-g2a",
            "lockstep-g2a-sandbox",
            "lockstep-stripe-sandbox",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-auth",
            "lockstep-mail",
            "lockstep-webhooks",
            "lockstep-cache",
            "lockstep-sync",
            "lockstep-fulfilment",
            "lockstep-payments",
            "lockstep-request",
            "lockstep-vat",
            "lockstep-import",
            "lockstep-shop",
            "lockstep-admin",
            "lockstep-edge",
            "lockstep-telemetry",
            "lockstep-api",
            "lockstep-page",
            "lockstep-web",
            "lockstep-console",
        ],
    ),
    // Measures from outside; no crate may depend on it.
    (
        "lockstep-bench",
        &[
            "lockstep-clock",
            "lockstep-domain",
            "lockstep-embedded-postgres",
            "lockstep-g2a",
            "lockstep-g2a-sandbox",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-auth",
            "lockstep-cache",
            "lockstep-sync",
            "lockstep-fulfilment",
            "lockstep-payments",
            "lockstep-shop",
            "lockstep-admin",
            "lockstep-api",
            "lockstep-web",
            "lockstep-testkit",
        ],
    ),
    // Injects faults from outside; no crate may depend on it.
    (
        "lockstep-soak",
        &[
            "lockstep-domain",
            "lockstep-embedded-postgres",
            "lockstep-g2a-sandbox",
            "lockstep-store",
            "lockstep-testkit",
            "lockstep-vault",
        ],
    ),
    ("xtask", &["lockstep-embedded-postgres"]),
];

/// External crates that only certain crates of ours may use in the product.
const KEPT: &[(&str, &[&str])] = &[
    // xtask applies the migrations before the store can be compiled.
    // The import reads another shop's database, never this shop's.
    (
        "sqlx",
        &["lockstep-store", "lockstep-import", "lockstep-testkit", "xtask"],
    ),
    ("redis", &["lockstep-cache", "lockstep-testkit"]),
    (
        "reqwest",
        &[
            "lockstep-g2a",
            "lockstep-g2a-sandbox",
            "lockstep-payments",
            "lockstep-vat",
            "lockstep-web",
            "lockstep-webhooks",
            "lockstep-soak",
            "lockstep-mollie-sandbox",
            "lockstep-stripe-sandbox",
            "lockstep-telemetry",
        ],
    ),
    ("opentelemetry", &["lockstep-telemetry"]),
    ("tracing-opentelemetry", &["lockstep-telemetry"]),
    ("lettre", &["lockstep-mail"]),
];

/// Checks all rules and lists every violation.
pub(crate) fn check(root: &Path) -> Result<()> {
    let metadata = metadata(root)?;
    let mut breaches = Vec::new();
    arrows(&metadata, &mut breaches);
    sources(root, &mut breaches)?;
    circles(root, &mut breaches)?;
    if breaches.is_empty() {
        return Ok(());
    }
    bail!(
        "{} breach(es) of the house rules:\n  {}",
        breaches.len(),
        breaches.join("\n  ")
    )
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn arrows(metadata: &Value, breaches: &mut Vec<String>) {
    let members: BTreeSet<&str> = list(metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let ours: BTreeMap<&str, &Value> = list(metadata, "packages")
        .iter()
        .filter(|package| members.contains(text(package, "id")))
        .map(|package| (text(package, "name"), package))
        .collect();
    for (name, package) in &ours {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            breaches.push(format!(
                "{name} has no place in the arrows: add it to xtask/src/tidy.rs and ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in list(package, "dependencies")
            .iter()
            .filter(|d| d.get("kind").is_none_or(Value::is_null))
        {
            let used = text(dependency, "name");
            if ours.contains_key(used) && !allowed.contains(&used) {
                breaches.push(format!("{name} may not use {used}"));
            }
            if let Some((_, keepers)) = KEPT.iter().find(|(kept, _)| *kept == used)
                && !keepers.contains(name)
            {
                breaches.push(format!(
                    "{name} may not use {used}: it belongs to {}",
                    keepers.join(", ")
                ));
            }
        }
    }
}

/// The names in the last column of the glossary, each with its term.
fn retired_names(glossary: &str) -> Vec<(String, String)> {
    glossary
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [term, _, _, retired] = cells.as_slice() else {
                return None;
            };
            Some((*term, *retired))
        })
        .flat_map(|(term, retired)| {
            // Every other part of the text is between backticks.
            let names = retired.split('`').skip(1).step_by(2);
            names.map(move |name| (name.to_owned(), term.to_owned()))
        })
        .collect()
}

/// Whether `source` holds `name` as a whole word.
fn has_word(source: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    source.match_indices(name).any(|(at, _)| {
        let before = source.get(..at).and_then(|text| text.chars().next_back());
        let after = source.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Rules about source files.
fn sources(root: &Path, breaches: &mut Vec<String>) -> Result<()> {
    let glossary = std::fs::read_to_string(root.join("docs/glossary.md")).context("docs/glossary.md")?;
    let retired = retired_names(&glossary);
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        rust_files(&root.join(folder), &mut files)?;
    }
    let mut product = String::new();
    for file in files {
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let source = std::fs::read_to_string(&file)?;
        if shown.starts_with("crates") {
            product.push_str(&source);
        }
        if !source.trim_start().starts_with("//!") {
            breaches.push(format!("{shown} does not begin by saying why it exists (//!)"));
        }
        // Times in rows are the database's: an application server with a wrong clock must not write, say, an end before
        // the beginning.
        let compares_clocks = shown == "crates/store/src/clock.rs";
        if shown.starts_with("crates/store/src") && source.contains("lockstep_clock") && !compares_clocks {
            breaches.push(format!(
                "{shown} uses this machine's time; in the store only the database's counts"
            ));
        }
        // A statement that a deadlock failed is right when it is sent again.
        for place in sent_once(&source).filter(|_| shown.starts_with("crates/store/src")) {
            breaches.push(format!(
                "{shown} gives a statement to {place:?}, where a conflict fails it; give it to `store.alone()`, or to a transaction"
            ));
        }
        for text in chance_matches(&source) {
            breaches.push(format!(
                "{shown} wants {text:?} to be absent, which any random hexadecimal id may hold: use a text with a letter \
                 after f"
            ));
        }
        for (name, term) in retired.iter().filter(|_| !shown.starts_with("xtask")) {
            if has_word(&source, name) {
                breaches.push(format!("{shown} says {name}, which docs/glossary.md calls {term}"));
            }
        }
        if source.contains("LOCKSTEP_MUTANT") && !shown.starts_with("xtask") {
            breaches.push(format!(
                "{shown} makes a mistake on purpose, which belongs into xtask/mutants"
            ));
        }
        for unfinished in ["todo!(", "unimplemented!(", "FIXME"] {
            if source.contains(unfinished) && !shown.starts_with("xtask") {
                breaches.push(format!("{shown} contains {unfinished}"));
            }
        }
    }
    deploy::check(root, &product, breaches)
}

/// Circles between the modules of each crate.
fn circles(root: &Path, breaches: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(root.join("crates"))? {
        let entry = entry?;
        let folder = entry.path().join("src");
        let mut paths = Vec::new();
        rust_files(&folder, &mut paths)?;
        let files = paths
            .into_iter()
            .map(|path| Ok((path.clone(), std::fs::read_to_string(path)?)))
            .collect::<Result<Vec<_>>>()?;
        for circle in crate::circles::in_crate(&folder, &files) {
            breaches.push(format!(
                "crates/{}: these modules use each other in a circle: {}",
                entry.file_name().display(),
                circle.join(", ")
            ));
        }
    }
    Ok(())
}

/// Pools to which a statement is given directly.
fn sent_once(source: &str) -> impl Iterator<Item = &str> {
    let sends = [
        ".execute(",
        ".execute_many(",
        ".fetch(",
        ".fetch_all(",
        ".fetch_many(",
        ".fetch_one(",
        ".fetch_optional(",
    ];
    sends.into_iter().flat_map(move |send| {
        source.match_indices(send).filter_map(move |(at, _)| {
            let place = source.get(at + send.len()..)?.split(')').next()?.trim();
            let last = place.trim_end_matches('(').rsplit(['.', '&', ' ']).next()?;
            matches!(last, "pool" | "reads" | "vital").then_some(place)
        })
    })
}

/// Texts that are asserted to be absent and that are short and hexadecimal: the ids that stand in almost every text here
/// hold them by chance, now and then.
fn chance_matches(source: &str) -> impl Iterator<Item = &str> {
    source.match_indices(".contains(\"").filter_map(|(at, opening)| {
        let (before, after) = (source.get(..at)?, source.get(at + opening.len()..)?);
        let statement = before.rsplit([';', '&', '|', ',', '{', '\n']).next()?;
        let text = after.split('"').next()?;
        let is_negated = statement
            .trim_start_matches([' ', '('])
            .split("assert!(")
            .last()?
            .starts_with('!');
        (is_negated && text.len() < 6 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
            .then_some(text)
    })
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_hexadecimal_texts_asserted_absent_are_found() {
        let found = |source: String| chance_matches(&source).map(str::to_owned).collect::<Vec<_>>();
        let (has, not) = (".contains", "!");
        assert_eq!(found(format!("assert!({not}text{has}(\"ada\"));")), ["ada"]);
        assert_eq!(found(format!("a && {not}text.as_str(){has}(\"b0b\")")), ["b0b"]);
        assert_eq!(
            found(format!("assert!(\n    {not}all{has}(\"cafe\") && x\n);")),
            ["cafe"]
        );
        for fine in [
            "(\"zoltan\")",
            "(\"Ada\")",
            "(\"ada@\")",
            "(\"0123456789ab\")",
            "(name)",
        ] {
            assert_eq!(
                found(format!("assert!({not}text{has}{fine});")),
                Vec::<String>::new(),
                "{fine}"
            );
        }
        assert_eq!(found(format!("assert!(text{has}(\"ada\"));")), Vec::<String>::new());
    }

    #[test]
    fn statements_are_not_given_to_a_pool() {
        for (call, place) in [
            ("q.execute(store.pool())", Some("store.pool(")),
            ("q\n    .fetch_all(&self.reads)\n", Some("&self.reads")),
            ("q.fetch_optional(&store.vital)", Some("&store.vital")),
            ("q.fetch_one(pool)", Some("pool")),
            ("q.execute(store.alone())", None),
            ("q.execute(tx.conn())", None),
            ("q.fetch_one(&mut connection)", None),
            ("PgListener::connect_with(self.pool())", None),
        ] {
            assert_eq!(sent_once(call).next(), place, "{call}");
        }
    }

    #[test]
    fn retired_names_come_from_the_last_column_of_the_glossary() {
        let glossary = "# Words\n\n| term | meaning | in code | retired |\n|---|---|---|---|\n\
                        | evictor | drops | `cache::evictor` | `Sweeper`, `Relay` |\n| tag | what | `tags` | |\n";
        let pair = |name: &str| (name.to_owned(), "evictor".to_owned());
        assert_eq!(retired_names(glossary), [pair("Sweeper"), pair("Relay")]);
        assert!(has_word("use x::Relay;", "Relay") && has_word("Relay", "Relay"));
        assert!(!has_word("RelayState, relay, MyRelay, Relay_", "Relay"));
    }
}
