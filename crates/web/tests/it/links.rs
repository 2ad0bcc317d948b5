//! Every link on every page responds.

use std::collections::{BTreeSet, VecDeque};

use crate::html::values;
use crate::shop::Shop;

/// Paths of another router, or of pages that require an account.
const ELSEWHERE: [&str; 6] = ["/api/", "/cart", "/wishlist", "/login", "/account", "/checkout"];
/// Enough to visit every kind of page in every language.
const ENOUGH: usize = 600;

#[tokio::test]
async fn every_link_on_every_page_responds() {
    let shop = Shop::stocked().await;
    let mut seen = BTreeSet::new();
    let mut next: VecDeque<(String, String)> = VecDeque::from([(String::new(), "/".to_owned())]);
    let mut broken = Vec::new();
    while let Some((from, path)) = next.pop_front() {
        if seen.len() >= ENOUGH || !seen.insert(path.clone()) {
            continue;
        }
        let answer = shop.get(&path).await;
        // Pages that require an account redirect to the log-in.
        if answer.status.is_redirection() {
            next.push_back((path, answer.header("location").unwrap().to_owned()));
            continue;
        }
        if !answer.status.is_success() {
            broken.push(format!("{path} on {from}: {}", answer.status));
            continue;
        }
        if !answer.header("content-type").unwrap().starts_with("text/html") {
            continue;
        }
        let page = answer.text();
        let gets = page
            .split("<form")
            .skip(1)
            .filter(|form| form.contains("method=\"get\""));
        let mut found: Vec<String> = gets
            .flat_map(|form| values(form.split('>').next().unwrap(), "action"))
            .collect();
        for attribute in ["href", "src"] {
            found.extend(values(page, attribute));
        }
        for set in values(page, "srcset") {
            found.extend(set.split(", ").map(|one| one.split(' ').next().unwrap().to_owned()));
        }
        for link in found {
            let link = link.split('#').next().unwrap().to_owned();
            let link = link
                .strip_prefix("https://shop.example")
                .map_or(link.clone(), str::to_owned);
            if link.starts_with('/') && !ELSEWHERE.iter().any(|path| link.starts_with(path)) && !seen.contains(&link) {
                next.push_back((path.clone(), link));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    for kind in [
        "/games?",
        "/game/",
        "/covers/",
        "/assets/",
        "/preorders",
        "/help",
        "/?lang=de",
        "/site.webmanifest",
    ] {
        assert!(
            seen.iter().any(|path| path.starts_with(kind)),
            "the crawler never saw {kind}"
        );
    }
}
