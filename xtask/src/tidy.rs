//! House rules beyond the compiler's: dependencies between crates, access to SQL and Redis, licences of dependencies,
//! and a description in every module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Dependencies allowed between our crates: the arrows of ARCHITECTURE.md. Dev-dependencies are unrestricted.
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
    // Measures from outside; no crate may depend on it.
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
    // Injects faults from outside; no crate may depend on it.
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

/// External crates that only certain crates of ours may use in the product.
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

/// Checks all rules and lists every violation.
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

/// Checks every dependency's licence against the list in `deny.toml`.
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

/// Whether an SPDX expression is satisfied: `OR` (or the old `/`) needs one side, `AND` both.
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
        // Times in rows are the database's: an application server with a wrong clock must not write, say, an end before
        // the beginning.
        if shown.starts_with("crates/store/src") && source.contains("Utc::now()") {
            breaches.push(format!(
                "{shown} asks this machine for the time; in the store only the database is asked"
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

/// Short hexadecimal texts that are asserted to be absent: random ids, which occur in almost every text here, contain
/// them by chance.
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
    fn licence_expressions_follow_spdx() {
        let fine = |name: &str| matches!(name, "MIT" | "Apache-2.0" | "Apache-2.0 WITH LLVM-exception");
        assert!(satisfied("MIT", &fine) && satisfied("MIT OR GPL-3.0", &fine) && satisfied("Unlicense/MIT", &fine));
        assert!(satisfied("(MIT OR GPL-3.0) AND Apache-2.0", &fine));
        assert!(satisfied("Apache-2.0 WITH LLVM-exception OR GPL-2.0", &fine));
        assert!(!satisfied("MIT AND GPL-3.0", &fine) && !satisfied("GPL-3.0", &fine) && !satisfied("", &fine));
        assert!(!satisfied("(MIT AND GPL-3.0) OR Zlib", &fine));
    }
}
