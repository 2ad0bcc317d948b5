//! Addresses and password hashes of the existing shop's libraries, generated with `existing_shop/make.js` (the table
//! names versions and date): customers of that shop can log in here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use lockstep_auth::password::{HashSettings, Hasher, Verdict};
use lockstep_domain::account::Email;
use lockstep_domain::secret::Secret;
use serde_json::Value;

fn table() -> Value {
    serde_json::from_str(include_str!("existing_shop/table.json")).unwrap()
}

/// The rows of one kind.
fn rows(kind: &str) -> Vec<Value> {
    table()[kind].as_array().unwrap().clone()
}

fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap()
}

#[test]
fn existing_addresses_are_looked_up_as_stored() {
    let rows = rows("addresses");
    let kept: Vec<&Value> = rows.iter().filter(|row| row["stored"].is_string()).collect();
    assert!(kept.len() > 30 && kept.len() < rows.len());
    for row in kept {
        let (typed, stored) = (text(row, "typed"), text(row, "stored"));
        let found = Email::of_existing_account(typed).ok();
        assert_eq!(found.as_ref().map(Email::as_str), Some(stored), "{typed}");
    }
}

#[tokio::test]
async fn existing_password_hashes_match_up_to_72_bytes() {
    let hasher = Hasher::start(HashSettings {
        cost: 4,
        threads: 2,
        patience: Duration::from_mins(1),
    })
    .unwrap();
    let mut prefixes = std::collections::BTreeSet::new();
    for row in rows("passwords") {
        let what = format!("{}: {}", text(&row, "library"), text(&row, "what"));
        let (password, hash) = (text(&row, "password"), Secret::new(text(&row, "hash")));
        prefixes.insert(hash.expose()[..4].to_owned());
        let verify = async |typed: &str| hasher.verify(&Secret::new(typed), Some(&hash)).await.unwrap();

        assert_ne!(verify(password).await, Verdict::Wrong, "{what}");
        // Only the bytes that bcrypt reads count, and of these every one.
        let beyond = format!("{password}x");
        let is_cut = password.len() >= 72;
        assert_eq!(verify(&beyond).await != Verdict::Wrong, is_cut, "{what}, and one more");
        let last = password
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at < 72)
            .last()
            .unwrap();
        let other = format!("{}#{}", &password[..last], " ".repeat(72));
        assert_eq!(verify(&other).await, Verdict::Wrong, "{what}, ending otherwise");

        // The renewed hash matches the same password.
        let renewed = hasher.renew(&Secret::new(password)).await.unwrap();
        let verdict = hasher.verify(&Secret::new(password), Some(&renewed)).await.unwrap();
        assert_eq!(verdict, Verdict::Right, "{what}, renewed");
    }
    assert_eq!(prefixes.into_iter().collect::<Vec<_>>(), ["$2a$", "$2b$"]);
}
