//! The synthetic catalogue is plausible, varied and reproducible; a real export is served unchanged.

use std::collections::{BTreeMap, HashSet};

use lockstep_g2a_sandbox::{Catalogue, Config, Sandbox};
use serde_json::{Value, json};

use crate::support::{Desk, generated};

const NOW: &str = "2026-02-03T12:00:00Z";

fn fixed(count: u64, seed: u64) -> Config {
    Config {
        catalogue: Catalogue::Generated { count, seed },
        start_at: Some(NOW.parse().unwrap()),
        ..Config::default()
    }
}

async fn products_of(config: Config) -> Vec<Value> {
    Sandbox::start(config).await.unwrap().control().products(1, usize::MAX)
}

fn text<'a>(product: &'a Value, field: &str) -> &'a str {
    product[field].as_str().unwrap_or_default()
}

/// Share of matching products, per 1,000.
fn per_thousand(all: &[Value], holds: impl Fn(&Value) -> bool) -> usize {
    all.iter().filter(|product| holds(product)).count() * 1_000 / all.len()
}

#[tokio::test]
async fn ten_thousand_games_form_a_plausible_catalogue() {
    let all = products_of(fixed(10_000, 1)).await;
    assert_eq!(all.len(), 10_000);
    let ids: HashSet<&str> = all.iter().map(|product| text(product, "id")).collect();
    assert_eq!(ids.len(), 10_000);
    // Unique by construction of series and their instalments.
    let names: HashSet<&str> = all.iter().map(|product| text(product, "name")).collect();
    assert_eq!(names.len(), 10_000);

    let mut platforms: BTreeMap<&str, usize> = BTreeMap::new();
    let mut categories: HashSet<&str> = HashSet::new();
    for product in &all {
        let (id, name) = (text(product, "id"), text(product, "name"));
        assert!(id.len() == 14 && id.bytes().all(|byte| byte.is_ascii_digit()));
        let slug = text(product, "slug");
        assert!(slug.starts_with('/') && slug.ends_with(&format!("-i{id}")), "{slug}");
        assert!(
            slug[1..]
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{slug}"
        );
        let region = text(product, "region");
        assert!(name.ends_with(region), "{name} / {region}");
        *platforms.entry(text(product, "platform")).or_default() += 1;
        for category in product["categories"].as_array().unwrap() {
            assert!(category["id"].is_u64());
            categories.insert(category["name"].as_str().unwrap());
        }
        for price in ["minPrice", "retail_min_price", "retailMinBasePrice"] {
            let price: lockstep_domain::Money = product[price].to_string().parse().unwrap();
            assert!(price.is_positive());
        }
        assert!(product["qty"].is_u64());
        assert_eq!(product["images"], json!([]));
    }
    assert!(platforms.len() >= 10, "{platforms:?}");
    for wanted in ["Games", "Action", "RPG", "Open World", "Noir", "Co-op", "DLC"] {
        assert!(categories.contains(wanted), "{wanted}");
    }
    assert!(categories.len() >= 60, "{}", categories.len());
    assert!((80..=150).contains(&per_thousand(&all, |product| product["qty"] == 0)));
    assert!(per_thousand(&all, |product| product.get("description").is_none()) < 5);
    assert!(all.iter().any(|product| product.get("description").is_none()));
    let studios: HashSet<&str> = all.iter().map(|product| text(product, "developer")).collect();
    assert!(studios.len() >= 80, "{}", studios.len());
}

#[tokio::test]
async fn release_dates_follow_the_calendar_of_the_clock() {
    let all = products_of(fixed(10_000, 1)).await;
    let share =
        |from: &str, to: &str| per_thousand(&all, |product| (from..=to).contains(&text(product, "release_date")));
    let preorders = share("2026-02-04", "2099");
    assert!((15..=60).contains(&preorders), "{preorders}");
    let fresh = share("2026-01-20", "2026-02-03");
    assert!((8..=40).contains(&fresh), "{fresh}");
    assert!(share("2010-01-01", "2025-12-31") > 850);
    assert!(all.iter().any(|product| product["release_date"] == ""));
    let told = |product: &Value| text(product, "description").contains("pre-order");
    let odd = |product: &Value| text(product, "release_date").is_empty() || product.get("description").is_none();
    for product in all.iter().filter(|product| !odd(product)) {
        assert_eq!(told(product), text(product, "release_date") > "2026-02-03");
    }
}

#[tokio::test]
async fn names_match_the_fields() {
    let all = products_of(fixed(2_000, 3)).await;
    for product in all.iter().filter(|product| !text(product, "platform").is_empty()) {
        let key = match text(product, "platform") {
            "Epic" => "Epic Games Key",
            "GOG" => "GOG.COM Key",
            "Nintendo" => "Nintendo eShop Key",
            "Steam" => "Steam ",
            other => other,
        };
        assert!(text(product, "name").contains(key), "{product}");
    }
}

#[tokio::test]
async fn equal_seeds_give_equal_catalogues_and_other_seeds_others() {
    let first = products_of(fixed(500, 42)).await;
    assert_eq!(products_of(fixed(500, 42)).await, first);
    let other = products_of(fixed(500, 43)).await;
    let names: HashSet<&str> = first.iter().map(|product| text(product, "name")).collect();
    assert!(
        other
            .iter()
            .filter(|product| names.contains(text(product, "name")))
            .count()
            < 25
    );
}

#[tokio::test]
async fn a_loaded_export_is_served_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let page = json!({ "total": 3, "page": 1, "docs": [
        { "id": "10000000195012", "name": "Ashen Atlas Steam Key GLOBAL", "qty": 326, "minPrice": 5.5, "retail_min_price": 9.25,
          "updated_at": "", "platform": "", "priceLimit": { "max": null, "min": null }, "newField": { "deep": [1, "x"] } },
        { "id": "10000000024005", "name": "Random 5 Keys", "qty": 0, "minPrice": 11, "retail_min_price": 9.25 },
    ]});
    let more = json!([{ "id": 10_000_000_702_004_u64, "name": "Numeric id", "qty": 1, "minPrice": 1.99 }]);
    std::fs::write(folder.path().join("page1.json"), page.to_string()).unwrap();
    std::fs::write(folder.path().join("page2.json"), more.to_string()).unwrap();
    std::fs::write(folder.path().join("readme.txt"), "not JSON").unwrap();
    let config = Config {
        catalogue: Catalogue::File(folder.path().to_owned()),
        ..Config::default()
    };
    let desk = Desk::open(config).await;
    let (total, docs) = desk.list("includeOutOfStock=true").await;
    assert_eq!(total, 3);
    assert_eq!(
        docs,
        [page["docs"][1].clone(), page["docs"][0].clone(), more[0].clone()]
    );
    assert_eq!(desk.list("minPriceFrom=5.5&minPriceTo=5.5").await.0, 1);
    let order = desk.order("10000000195012").await;
    assert_eq!(desk.details(&order).await.1["price"], json!(9.25));
    // A loaded catalogue drifts too, but no products are added or removed.
    desk.control.drift_now(200);
    assert_eq!(desk.control.product_count(), 3);
}

#[tokio::test]
async fn an_invalid_catalogue_file_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.json");
    for (content, expected) in [
        ("{", "is not JSON"),
        ("{\"docs\":3}", "neither"),
        ("[1]", "neither"),
        ("3", "neither"),
    ] {
        std::fs::write(&file, content).unwrap();
        let error = Sandbox::start(Config {
            catalogue: Catalogue::File(file.clone()),
            ..Config::default()
        })
        .await
        .unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(expected) && cause.contains("export.json"), "{cause}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(
        Sandbox::start(Config {
            catalogue: Catalogue::File(file),
            ..Config::default()
        })
        .await
        .is_err()
    );
}

#[tokio::test]
async fn drift_keeps_prices_positive_and_names_unique() {
    let desk = Desk::open(generated(300)).await;
    let beginning: BTreeMap<String, Value> = by_id(desk.control.products(1, usize::MAX));
    desk.control.drift_now(3_000);
    let end = by_id(desk.control.products(1, usize::MAX));
    assert!(end.keys().any(|id| !beginning.contains_key(id)));
    assert!(beginning.keys().any(|id| !end.contains_key(id)));
    assert!(end.iter().any(|(id, product)| {
        beginning
            .get(id)
            .is_some_and(|old| old["minPrice"] != product["minPrice"])
    }));
    assert!(
        end.iter()
            .any(|(id, product)| beginning.get(id).is_some_and(|old| old["qty"] != product["qty"]))
    );
    let names: HashSet<&str> = end.values().map(|product| text(product, "name")).collect();
    assert_eq!(names.len(), end.len());
    for product in end.values() {
        let price: lockstep_domain::Money = product["minPrice"].to_string().parse().unwrap();
        assert!(price.is_positive());
    }
}

fn by_id(products: Vec<Value>) -> BTreeMap<String, Value> {
    products
        .into_iter()
        .map(|product| (text(&product, "id").to_owned(), product))
        .collect()
}
