//! The store's statements by name, as committed in `.sqlx`: for tests that explain what the program sends.

use std::collections::BTreeMap;
use std::path::Path;

/// Each static statement of the store, by the name in its first line.
pub(crate) fn all() -> BTreeMap<String, String> {
    named().collect()
}

/// Names and statements. The name is empty if a statement does not begin with one.
fn named() -> impl Iterator<Item = (String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let files = std::fs::read_dir(&folder).expect("crates/store/.sqlx; `cargo xtask sqlx` writes it");
    files.map(|file| {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let data: serde_json::Value = serde_json::from_str(&text).unwrap();
        let statement = data["query"].as_str().unwrap();
        let first = statement.lines().next().unwrap();
        (
            first.strip_prefix("-- ").unwrap_or_default().to_owned(),
            statement.to_owned(),
        )
    })
}

#[test]
fn every_statement_has_a_name_of_its_own() {
    let mut statements = BTreeMap::<String, Vec<String>>::new();
    for (name, statement) in named() {
        statements.entry(name).or_default().push(statement);
    }
    assert!(!statements.is_empty());
    let is_name = |name: &str| {
        name.strip_prefix("store.").is_some_and(|rest| {
            let is_word = |word: &str| {
                !word.is_empty()
                    && word
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            };
            rest.split('.').all(is_word)
        })
    };
    statements.retain(|name, texts| !is_name(name) || texts.len() > 1);
    assert!(statements.is_empty(), "without a name of their own: {statements:#?}");
}
