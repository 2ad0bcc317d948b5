//! The number beside a filter is the number of games that it leaves.

use lockstep_domain::catalogue::{CatalogQuery, FacetCounts, PricePreset};
use lockstep_store::games;

use crate::shop::Shop;

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
async fn each_count_is_what_choosing_the_value_alone_would_find() {
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
