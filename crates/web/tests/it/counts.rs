//! The number beside a filter value is the number of games with that value.

use lockstep_domain::catalogue::{CatalogQuery, FacetCounts, PricePreset};
use lockstep_store::games;

use crate::html::values;
use crate::shop::{Shop, complete_game};

async fn counts(shop: &Shop, query: &CatalogQuery) -> FacetCounts {
    let query = query.clone();
    let read = shop
        .db
        .store
        .read(move |tx| Box::pin(async move { games::facet_counts(tx, &query).await }));
    read.await
        .map_err(|error: lockstep_store::StoreError| error)
        .unwrap()
        .value
}

async fn total(shop: &Shop, query: &CatalogQuery, change: impl FnOnce(&mut CatalogQuery)) -> u64 {
    let mut query = query.clone();
    change(&mut query);
    let read = shop
        .db
        .store
        .read(move |tx| Box::pin(async move { games::page(tx, &query).await }));
    read.await
        .map_err(|error: lockstep_store::StoreError| error)
        .unwrap()
        .value
        .total
}

#[tokio::test]
async fn each_count_equals_the_result_of_that_filter_value() {
    let shop = Shop::stocked().await;
    let question = |change: fn(&mut CatalogQuery)| {
        let mut query = CatalogQuery::default();
        change(&mut query);
        query
    };
    for query in [
        question(|_| {}),
        question(|q| q.in_stock_only = false),
        question(|q| q.genres = vec!["rpg".into()]),
        question(|q| (q.genres, q.regions) = (vec!["rpg".into()], vec!["europe".into()])),
        question(|q| (q.multiplayer, q.price_preset) = (Some(true), Some(PricePreset::From10To25))),
        question(|q| q.search = Some("filler".into())),
        question(|q| (q.search, q.platforms) = (Some("meridain".into()), vec!["pc".into()])),
        question(|q| q.publishers = vec!["cinder & oak".into()]),
        question(|q| q.genres = vec!["no-such-genre".into()]),
    ] {
        let counted = counts(&shop, &query).await;
        assert!(!counted.is_capped);
        for (slug, count) in &counted.genres {
            assert_eq!(
                *count,
                total(&shop, &query, |q| q.genres = vec![slug.clone()]).await,
                "{slug}: {query:?}"
            );
        }
        for (slug, count) in &counted.platforms {
            assert_eq!(
                *count,
                total(&shop, &query, |q| q.platforms = vec![slug.clone()]).await,
                "{slug}: {query:?}"
            );
        }
        for (value, count) in &counted.activation_services {
            let found = total(&shop, &query, |q| q.activation_services = vec![value.clone()]).await;
            assert_eq!(*count, found, "{value}: {query:?}");
        }
        for (value, count) in &counted.regions {
            assert_eq!(
                *count,
                total(&shop, &query, |q| q.regions = vec![value.clone()]).await,
                "{value}: {query:?}"
            );
        }
        for (value, count) in &counted.publishers {
            let found = total(&shop, &query, |q| q.publishers = vec![value.clone()]).await;
            assert_eq!(*count, found, "{value}: {query:?}");
        }
        for preset in PricePreset::ALL {
            let count = counted.prices.get(preset.name()).copied().unwrap_or(0);
            assert_eq!(
                count,
                total(&shop, &query, |q| q.price_preset = Some(preset)).await,
                "{preset:?}: {query:?}"
            );
        }
        assert_eq!(
            counted.multiplayer,
            total(&shop, &query, |q| q.multiplayer = Some(true)).await,
            "{query:?}"
        );
        assert_eq!(
            counted.in_stock,
            total(&shop, &query, |q| q.in_stock_only = true).await,
            "{query:?}"
        );
        assert_eq!(
            counted.listed,
            total(&shop, &query, |q| q.in_stock_only = false).await,
            "{query:?}"
        );
    }
}

/// The options of a filter: value and displayed count.
fn options(page: &str, facet: &str) -> Vec<(String, String)> {
    let (_, rest) = page.split_once(&format!("data-facet=\"{facet}\"")).unwrap();
    let (list, _) = rest.split_once("</fieldset>").unwrap();
    list.split("<input")
        .skip(1)
        .map(|option| {
            let value = option.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
            let count = option
                .split("class=\"count\">")
                .nth(1)
                .unwrap()
                .split('<')
                .next()
                .unwrap();
            (value.to_owned(), count.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn publishers_are_listed_with_counts_most_frequent_first() {
    let shop = Shop::open().await;
    let mut games = Vec::new();
    for publisher in 0..350_u32 {
        for copy in 0..=publisher % 3 {
            games.push(complete_game(&format!("Game {publisher} of {copy}")).with(|game| {
                game.publisher = Some(format!("House {publisher:03}"));
            }));
        }
    }
    shop.put(&games).await;
    // More values than a page shows: the first few, and a link to all.
    let page = shop.get("/games?region=GLOBAL").await;
    let first = options(page.page(), "publisher");
    assert_eq!(first.len(), 8);
    assert!(first.iter().all(|(_, count)| count == "3"), "{first:?}");
    assert!(page.text().contains("Show all (350)</a>"));
    let links = values(page.text(), "href");
    assert!(
        links.contains(&"/games?region=GLOBAL&all=publisher#facet-publisher".to_owned()),
        "{links:?}"
    );

    let page = shop.get("/games?region=GLOBAL&all=publisher").await;
    let all = options(page.page(), "publisher");
    assert_eq!(all.len(), 350, "each of them");
    let counts: Vec<u32> = all.iter().map(|(_, count)| count.parse().unwrap()).collect();
    assert!(
        counts.is_sorted_by(|one, next| one >= next) && counts[0] == 3 && counts[349] == 1,
        "{counts:?}"
    );
    for text in [
        "name=\"all\" value=\"publisher\"",
        "<details class=\"filters\" open>",
        "Show fewer</a>",
        "noindex",
    ] {
        assert!(page.text().contains(text), "{text}");
    }
    // A value that is not among the first is shown while it is selected.
    let page = shop.get("/games?publisher=House+003").await;
    let shown = options(page.page(), "publisher");
    assert_eq!((shown.len(), shown[8].0.as_str()), (9, "House 003"));
    // Few values are only folded, without another request.
    assert!(!page.text().contains("id=\"genre-whole\""));
    assert_eq!(shop.get("/games?all=nonsense").await.status, http::StatusCode::OK);
}
