//! Filtered lists: their counts are exact up to the maximum length, and end there.

use std::collections::HashSet;

use lockstep_domain::catalogue::{CatalogQuery, Game, Page, Sort};
use lockstep_store::{Store, games};
use lockstep_testkit::TestDb;

async fn page(store: &Store, query: CatalogQuery) -> Page<Game> {
    let read = store.read(move |tx| Box::pin(async move { games::page(tx, &query).await }));
    read.await.unwrap().value
}

/// 10,050 games: all GLOBAL, one in ten an RPG, one in fifteen for Linux, one in five an adventure.
async fn many_games() -> TestDb {
    let db = TestDb::new().await;
    for statement in [
        "insert into genres (name, slug) values ('RPG', 'rpg'), ('Adventure', 'adventure')",
        "insert into platforms (name, slug) values ('Linux', 'linux')",
        "insert into games (title, slug, description, price, image, release_date, region, popularity, created_at)
         select 'Game ' || n, 'game-' || n, '', 1 + n % 50, 'https://images.example.invalid/1.jpg', now(), 'GLOBAL', n,
                now() - n * interval '1 minute'
           from generate_series(1, 10050) n",
        "insert into game_genres select g.id, x.id from games g join genres x on x.slug = 'rpg' where g.popularity % 10 = 0",
        "insert into game_genres select g.id, x.id from games g join genres x on x.slug = 'adventure' where g.popularity % 5 = 0",
        "insert into game_platforms select g.id, x.id from games g join platforms x on x.slug = 'linux' where g.popularity % 15 = 0",
        // As autovacuum does in a shop; without it PostgreSQL plans for empty tables.
        "analyze",
    ] {
        db.execute(statement).await;
    }
    db
}

#[tokio::test]
async fn filtered_lists_are_exact_up_to_ten_thousand_games() {
    let db = many_games().await;
    let ask = |change: fn(&mut CatalogQuery)| {
        let mut query = CatalogQuery {
            page_size: 100,
            sort: Some(Sort::Popular),
            ..CatalogQuery::default()
        };
        change(&mut query);
        page(&db.store, query)
    };
    let first = ask(|_| {}).await;
    assert_eq!(first.total, 10_050, "without filters nothing is cut off");

    let global = ask(|query| query.regions = vec!["global".into()]).await;
    assert_eq!(global.total, u64::try_from(games::MAX_LISTED).unwrap());
    assert_eq!(global.data[0].title, "Game 10050", "the best are in it");
    let last = ask(|query| (query.regions, query.page) = (vec!["Global".into()], 100)).await;
    assert_eq!((last.data.len(), &*last.data[99].title), (100, "Game 51"));
    let behind = ask(|query| (query.regions, query.page) = (vec!["global".into()], 101)).await;
    assert_eq!((behind.data.len(), behind.total), (0, 10_000));

    for (genres, platforms, total) in [
        (vec!["rpg"], vec![], 1_005),
        (vec!["adventure"], vec![], 2_010),
        (vec!["rpg", "Adventure"], vec![], 2_010),
        (vec![], vec!["linux"], 670),
        (vec!["rpg"], vec!["linux"], 335),
        (vec!["rpg", "adventure"], vec!["linux"], 670),
        (vec!["western"], vec!["linux"], 0),
    ] {
        let query = CatalogQuery {
            genres: genres.iter().copied().map(Into::into).collect(),
            platforms: platforms.iter().copied().map(Into::into).collect(),
            regions: vec!["global".into()],
            page_size: 100,
            ..CatalogQuery::default()
        };
        let mut met = HashSet::new();
        for number in 1..=8 {
            let found = page(
                &db.store,
                CatalogQuery {
                    page: number,
                    ..query.clone()
                },
            )
            .await;
            assert_eq!(found.total, total, "{genres:?} {platforms:?}");
            for game in found.data {
                assert!(met.insert(game.id), "{genres:?} {platforms:?}: {} twice", game.title);
            }
        }
        assert_eq!(met.len() as u64, total.min(800), "{genres:?} {platforms:?}");
    }
}
