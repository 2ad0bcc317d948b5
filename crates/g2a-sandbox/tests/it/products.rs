//! Product lists: pages, filters, and G2A's number format.

use std::collections::BTreeSet;

use lockstep_g2a_sandbox::Config;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Desk, empty, generated};

fn ids(docs: &[Value]) -> Vec<u64> {
    docs.iter()
        .map(|doc| doc["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// Reads all pages of a list.
async fn walk(desk: &Desk, query: &str) -> (u64, Vec<u64>) {
    let mut all = Vec::new();
    for page in 1.. {
        let (total, docs) = desk.list(&format!("page={page}&{query}")).await;
        if docs.is_empty() {
            return (total, all);
        }
        assert!(docs.len() == 20 || all.len() + docs.len() == usize::try_from(total).unwrap());
        all.extend(ids(&docs));
    }
    unreachable!("pages do not end")
}

#[tokio::test]
async fn all_pages_have_every_product_once_by_ascending_id() {
    let desk = Desk::open(generated(133)).await;
    let (total, all) = walk(&desk, "includeOutOfStock=true").await;
    assert_eq!(total, 133);
    assert_eq!(all.len(), 133);
    assert!(all.is_sorted_by(|before, after| before < after));
    assert!(all.iter().all(|id| id.to_string().len() == 14));
}

#[tokio::test]
async fn past_the_last_page_there_are_no_docs_but_a_total() {
    let desk = Desk::open(generated(25)).await;
    let (total, docs) = desk.list("page=400&includeOutOfStock=true").await;
    assert_eq!((total, docs.len()), (25, 0));
}

#[tokio::test]
async fn products_out_of_stock_are_listed_only_on_request() {
    let (desk, id) = Desk::with_one_product().await;
    assert!(desk.control.set_stock(&id, 0));
    assert_eq!(desk.list("").await.0, 0);
    assert_eq!(desk.list(&format!("id={id}")).await.0, 0);
    assert_eq!(desk.list("includeOutOfStock=true").await.0, 1);
    let (total, docs) = desk.list(&format!("id={id}&includeOutOfStock=true")).await;
    assert_eq!((total, docs[0]["qty"].as_u64()), (1, Some(0)));
}

#[tokio::test]
async fn price_bounds_are_inclusive_and_stock_is_a_minimum() {
    let desk = Desk::open(empty()).await;
    for (name, price, quantity) in [("a", json!(1), 1), ("b", json!(1.5), 5), ("c", json!(2.01), 50)] {
        desk.add(json!({ "name": name, "minPrice": price, "qty": quantity }));
    }
    for (query, expected) in [
        ("minPriceFrom=1&minPriceTo=1.5", "ab"),
        ("minPriceFrom=1.01", "bc"),
        ("minPriceFrom=1.50&minPriceTo=1.50", "b"),
        ("minPriceTo=2.009", "ab"),
        ("minPriceTo=2.01", "abc"),
        ("minPriceFrom=3&minPriceTo=1", ""),
        ("minQty=5", "bc"),
        ("minQty=6&minPriceTo=2", ""),
    ] {
        let (_, docs) = desk.list(query).await;
        let names: String = docs.iter().map(|doc| doc["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{query}");
    }
}

#[tokio::test]
async fn update_times_are_compared_in_seconds_or_the_configured_step() {
    let desk = Desk::open(empty()).await;
    desk.add(json!({ "name": "old", "qty": 1, "updated_at": "2025-01-01 12:00:00" }));
    desk.add(json!({ "name": "new", "qty": 1, "updated_at": "2025-01-01 12:00:01" }));
    desk.add(json!({ "name": "silent", "qty": 1, "updated_at": "" }));
    for (step, query, expected) in [
        (1, "updatedAtFrom=2025-01-01%2012:00:01", 1),
        (1, "updatedAtFrom=2025-01-01+12:00:00", 2),
        (
            1,
            "updatedAtFrom=2025-01-01+12:00:00&updatedAtTo=2025-01-01+12:00:00",
            1,
        ),
        (60, "updatedAtFrom=2025-01-01+12:00:59", 2),
        (1, "updatedAtTo=2024-12-31+23:59:59", 0),
        (1, "", 3),
    ] {
        desk.control
            .change_knobs(|knobs| knobs.updated_at_granularity_seconds = step);
        assert_eq!(desk.list(query).await.0, expected, "{query}");
    }
}

#[tokio::test]
async fn a_change_is_found_by_its_second() {
    let desk = Desk::open(generated(40)).await;
    let now = desk.control.clock().now.format("%Y-%m-%d+%H:%M:%S");
    assert_eq!(
        desk.list(&format!("includeOutOfStock=true&updatedAtFrom={now}"))
            .await
            .0,
        0
    );
    let id = desk.control.products(2, 20)[3]["id"].as_str().unwrap().to_owned();
    assert!(desk.control.set_stock(&id, 3));
    let (_, docs) = desk.list(&format!("includeOutOfStock=true&updatedAtFrom={now}")).await;
    assert_eq!(docs.len(), 1);
    assert_eq!(docs[0]["id"], id.as_str());
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let desk = Desk::open(generated(45)).await;
    let plain = desk.list("page=2").await;
    let decorated = desk
        .list("page=2&perPage=100&category=RPG&search=x&limit=1&inStock=false")
        .await;
    assert_eq!(plain, decorated);
}

#[tokio::test]
async fn a_single_product_is_the_same_object_as_in_the_list() {
    let desk = Desk::open(generated(20)).await;
    let (_, docs) = desk.list("includeOutOfStock=true").await;
    for doc in docs {
        let (status, single) = desk.get(&format!("/products/{}", doc["id"].as_str().unwrap())).await;
        assert_eq!(status, 200);
        assert_eq!(single, doc);
    }
    let missing = desk.get("/products/99999999999999").await;
    crate::support::refused(&missing, 404, "BR04");
}

#[tokio::test]
async fn whole_prices_are_integers_and_others_have_no_trailing_zeros() {
    let desk = Desk::open(generated(1)).await;
    let id = desk.control.products(1, 1)[0]["id"].as_str().unwrap().to_owned();
    for (price, written) in [
        ("11", "\"minPrice\":11,"),
        ("5.50", "\"minPrice\":5.5,"),
        ("9.89", "\"minPrice\":9.89,"),
    ] {
        let price = crate::support::euro(price);
        assert!(desk.control.set_price(&id, price, price));
        assert!(desk.control.set_stock(&id, 1));
        let body = desk
            .request(reqwest::Method::GET, "/products")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(body.contains(written), "{body}");
    }
}

#[tokio::test]
async fn the_total_is_live_while_paging_unless_disabled() {
    let desk = Desk::open(generated(60)).await;
    let everything = "includeOutOfStock=true";
    for (live, expected) in [(true, 58), (false, 60)] {
        desk.control.reset().unwrap();
        desk.control.change_knobs(|knobs| {
            knobs.rate_per_minute = 0;
            knobs.live_total = live;
        });
        assert_eq!(desk.list(&format!("page=1&{everything}")).await.0, 60);
        for product in desk.control.products(1, 2) {
            assert!(desk.control.remove_product(product["id"].as_str().unwrap()));
        }
        assert_eq!(desk.list(&format!("page=2&{everything}")).await.0, expected);
    }
}

#[tokio::test]
async fn the_page_size_is_configurable() {
    let desk = Desk::open(generated(60)).await;
    desk.control.change_knobs(|knobs| knobs.page_size = 7);
    assert_eq!(desk.list("page=2&includeOutOfStock=true").await.1.len(), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// After any changes, a list equals a filter over all products.
    #[test]
    fn a_list_always_equals_a_filter_over_all_products(
        steps in proptest::collection::vec((0_u32..6, 0_i64..9_000, 0_i64..9_000, 0_u64..40), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let desk = Desk::open(Config { start_at: None, ..generated(130) }).await;
            for (changes, low, high, quantity) in steps {
                let (low, high) = (low.min(high), low.max(high));
                let query = format!(
                    "minPriceFrom={}.{:02}&minPriceTo={}.{:02}&minQty={quantity}", low / 100, low % 100, high / 100, high % 100,
                );
                // The first read caches the list, which the changes must then update.
                walk(&desk, &query).await;
                desk.control.drift_now(changes * 7);
                let (total, listed) = walk(&desk, &query).await;
                let everything = desk.control.products(1, 10_000);
                let cents = |product: &Value| {
                    let price: lockstep_domain::Money = product["minPrice"].to_string().parse().unwrap();
                    price.cents()
                };
                let matching: BTreeSet<u64> = everything
                    .iter()
                    .filter(|product| (low..=high).contains(&cents(product)))
                    .filter(|product| product["qty"].as_u64().unwrap() >= quantity.max(1))
                    .map(|product| product["id"].as_str().unwrap().parse().unwrap())
                    .collect();
                prop_assert_eq!(usize::try_from(total).unwrap(), matching.len());
                prop_assert_eq!(listed, matching.into_iter().collect::<Vec<_>>());
            }
            Ok(())
        })?;
    }
}
