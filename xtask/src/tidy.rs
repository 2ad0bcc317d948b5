//! House rules that the compiler does not know: which crate may use which, who may talk SQL or Redis, what licences
//! dependencies may have, and that every module says why it exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Which of our crates each crate may use: the arrows of ARCHITECTURE.md. Dev-dependencies are free.
const ARROWS: &[(&str, &[&str])] = &[
    ("lockstep-domain", &[]),
    ("lockstep-embedded", &[]),
    ("lockstep-g2a", &["lockstep-domain"]),
    ("lockstep-g2a-sandbox", &["lockstep-domain"]),
    ("lockstep-store", &["lockstep-domain", "lockstep-vault"]),
    ("lockstep-vault", &[]),
    (
        "lockstep-auth",
        &["lockstep-domain", "lockstep-store", "lockstep-vault"],
    ),
    ("lockstep-mail", &["lockstep-domain", "lockstep-store"]),
    ("lockstep-cache", &["lockstep-domain", "lockstep-store"]),
    ("lockstep-sync", &["lockstep-domain", "lockstep-g2a", "lockstep-store"]),
    (
        "lockstep-fulfil",
        &["lockstep-domain", "lockstep-g2a", "lockstep-store", "lockstep-vault"],
    ),
    ("lockstep-payments", &["lockstep-domain", "lockstep-store"]),
    (
        "lockstep-relay",
        &["lockstep-domain", "lockstep-store", "lockstep-cache"],
    ),
    (
        "lockstep-shop",
        &[
            "lockstep-domain",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-auth",
            "lockstep-payments",
            "lockstep-cache",
        ],
    ),
    (
        "lockstep-admin",
        &["lockstep-domain", "lockstep-store", "lockstep-auth"],
    ),
    (
        "lockstep-api",
        &[
            "lockstep-domain",
            "lockstep-store",
            "lockstep-auth",
            "lockstep-cache",
            "lockstep-shop",
            "lockstep-admin",
        ],
    ),
    (
        "lockstep-web",
        &[
            "lockstep-domain",
            "lockstep-store",
            "lockstep-auth",
            "lockstep-cache",
            "lockstep-shop",
        ],
    ),
    (
        "lockstep-testkit",
        &[
            "lockstep-domain",
            "lockstep-embedded",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-auth",
            "lockstep-cache",
            "lockstep-payments",
            "lockstep-shop",
        ],
    ),
    ("lockstep-browser", &[]),
    (
        "lockstep",
        &[
            "lockstep-domain",
            "lockstep-embedded",
            "lockstep-g2a",
            "lockstep-g2a-sandbox",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-auth",
            "lockstep-mail",
            "lockstep-cache",
            "lockstep-sync",
            "lockstep-fulfil",
            "lockstep-payments",
            "lockstep-relay",
            "lockstep-shop",
            "lockstep-api",
            "lockstep-web",
        ],
    ),
    // Measures from outside; nothing may use it.
    (
        "lockstep-bench",
        &[
            "lockstep-domain",
            "lockstep-embedded",
            "lockstep-g2a",
            "lockstep-g2a-sandbox",
            "lockstep-store",
            "lockstep-vault",
            "lockstep-auth",
            "lockstep-cache",
            "lockstep-sync",
            "lockstep-fulfil",
            "lockstep-payments",
            "lockstep-relay",
            "lockstep-shop",
            "lockstep-api",
            "lockstep-web",
            "lockstep-testkit",
        ],
    ),
    // Breaks the program from outside; nothing may use it.
    (
        "lockstep-soak",
        &[
            "lockstep-domain",
            "lockstep-embedded",
            "lockstep-g2a-sandbox",
            "lockstep-store",
            "lockstep-testkit",
            "lockstep-vault",
        ],
    ),
    ("xtask", &["lockstep-embedded"]),
];

/// Outside crates that only one of ours may use in the product, and who.
const KEPT: &[(&str, &[&str])] = &[
    ("sqlx", &["lockstep-store", "lockstep-testkit"]),
    ("redis", &["lockstep-cache", "lockstep-testkit"]),
    (
        "reqwest",
        &[
            "lockstep-g2a",
            "lockstep-g2a-sandbox",
            "lockstep-payments",
            "lockstep-web",
            "lockstep-soak",
        ],
    ),
    ("lettre", &["lockstep-mail"]),
];

/// Checks all rules and lists every breach.
pub(crate) fn check(root: &Path) -> Result<()> {
    let metadata = metadata(root)?;
    let mut breaches = Vec::new();
    arrows(&metadata, &mut breaches);
    licences(root, &metadata, &mut breaches)?;
    sources(root, &mut breaches)?;
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

/// Holds every dependency's licence against the list in `deny.toml`.
fn licences(root: &Path, metadata: &Value, breaches: &mut Vec<String>) -> Result<()> {
    let policy: toml::Table = std::fs::read_to_string(root.join("deny.toml"))
        .context("deny.toml")?
        .parse()?;
    let licences = policy.get("licenses").context("deny.toml has no [licenses]")?;
    let strings = |value: Option<&toml::Value>| -> Vec<String> {
        value
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    };
    let allowed = strings(licences.get("allow"));
    let exceptions: BTreeMap<String, Vec<String>> = licences
        .get("exceptions")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry.get("crate")?.as_str()?.to_owned(), strings(entry.get("allow")))))
        .collect();
    for package in list(metadata, "packages") {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        let fine = |one: &str| {
            allowed.iter().any(|a| a == one) || exceptions.get(name).is_some_and(|more| more.iter().any(|a| a == one))
        };
        if !satisfied(licence, &fine) {
            breaches.push(format!(
                "licence of {name} is {licence:?}, which deny.toml does not allow"
            ));
        }
    }
    Ok(())
}

/// Whether an SPDX expression can be met: `OR` (or the old `/`) needs one side, `AND` both.
fn satisfied(expression: &str, fine: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&words, &mut at, fine);
    met && at == words.len()
}

fn either(words: &[&str], at: &mut usize, fine: &dyn Fn(&str) -> bool) -> bool {
    let mut met = both(words, at, fine);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, fine);
    }
    met
}

fn both(words: &[&str], at: &mut usize, fine: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, at, fine);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, fine);
    }
    met
}

fn one(words: &[&str], at: &mut usize, fine: &dyn Fn(&str) -> bool) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = either(words, at, fine);
        *at += 1;
        return met;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    fine(&name)
}

/// Rules about source files.
fn sources(root: &Path, breaches: &mut Vec<String>) -> Result<()> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        rust_files(&root.join(folder), &mut files)?;
    }
    for file in files {
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let source = std::fs::read_to_string(&file)?;
        if !source.trim_start().starts_with("//!") {
            breaches.push(format!("{shown} does not begin by saying why it exists (//!)"));
        }
        // A row's times are the database's: an application whose clock is wrong must not write, say, an end before the
        // beginning.
        if shown.starts_with("crates/store/src") && source.contains("Utc::now()") {
            breaches.push(format!(
                "{shown} asks this machine for the time; in the store only the database is asked"
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
        for unfinished in ["todo!(", "unimplemented!(", "FIXME"] {
            if source.contains(unfinished) && !shown.starts_with("xtask") {
                breaches.push(format!("{shown} contains {unfinished}"));
            }
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
    fn texts_that_random_ids_hold_are_not_asserted_to_be_absent() {
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
    fn licence_expressions_are_read_as_spdx_means_them() {
        let fine = |name: &str| matches!(name, "MIT" | "Apache-2.0" | "Apache-2.0 WITH LLVM-exception");
        assert!(satisfied("MIT", &fine) && satisfied("MIT OR GPL-3.0", &fine) && satisfied("Unlicense/MIT", &fine));
        assert!(satisfied("(MIT OR GPL-3.0) AND Apache-2.0", &fine));
        assert!(satisfied("Apache-2.0 WITH LLVM-exception OR GPL-2.0", &fine));
        assert!(!satisfied("MIT AND GPL-3.0", &fine) && !satisfied("GPL-3.0", &fine) && !satisfied("", &fine));
        assert!(!satisfied("(MIT AND GPL-3.0) OR Zlib", &fine));
    }
}
