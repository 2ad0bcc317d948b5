//! The lists of the home page, and similar games.

use std::collections::HashSet;

use serde_json::json;

use crate::shop::{NewGame, Shop, date, titles};

fn popular(title: &str, popularity: i32) -> NewGame {
    NewGame::titled(title).with(|game| game.popularity = popularity)
}

#[tokio::test]
async fn best_sellers_are_found_by_name_and_by_slug_in_any_case() {
    let shop = Shop::open().await;
    shop.put(&[
        popular("Best", 1)
            .genres(&["Open World"])
            .with(|game| game.is_best_seller = true),
        popular("Better", 2)
            .genres(&["Open World"])
            .with(|game| game.is_best_seller = true),
        popular("Other", 9).genres(&["Open World"]),
        popular("Elsewhere", 8).genres(&["Noir"]),
        popular("Sold out", 99).genres(&["Open World"]).with(|game| {
            game.is_best_seller = true;
            game.in_stock = false;
        }),
    ])
    .await;
    for genre in [
        "Open%20World",
        "open+world",
        "open-world",
        "OPEN-World",
        "%20open%20world%20",
    ] {
        let found = shop.get(&format!("/api/games/best-sellers?genre={genre}")).await.data();
        assert_eq!(titles(&found), ["Better", "Best"], "{genre}");
    }
    assert_eq!(
        titles(&shop.get("/api/games/best-sellers").await.data()),
        ["Better", "Best"]
    );
    let without_flag = shop.get("/api/games/best-sellers?genre=Noir").await.data();
    assert_eq!(
        titles(&without_flag),
        ["Elsewhere"],
        "the most popular of a genre without a best seller"
    );
    assert_eq!(
        shop.get("/api/games/best-sellers?genre=unheard").await.data(),
        json!([])
    );
}

#[tokio::test]
async fn a_shop_that_has_counted_no_sales_shows_its_most_popular_games() {
    let shop = Shop::open().await;
    shop.put(&[
        popular("Low", 1),
        popular("High", 2),
        popular("Sold out", 3).with(|game| game.in_stock = false),
    ])
    .await;
    assert_eq!(
        titles(&shop.get("/api/games/best-sellers").await.data()),
        ["High", "Low"]
    );
}

#[tokio::test]
async fn a_genre_without_games_shows_the_best_sellers() {
    let shop = Shop::open().await;
    shop.put(&[
        popular("Best", 1).with(|game| game.is_best_seller = true),
        popular("Low", 2).genres(&["Action RPG"]),
        popular("High", 3).genres(&["Action RPG"]),
    ])
    .await;
    for genre in ["Action%20RPG", "action-rpg", "ACTION%20rpg"] {
        let found = shop.get(&format!("/api/games/by-genre/{genre}")).await.data();
        assert_eq!(titles(&found), ["High", "Low"], "{genre}");
    }
    assert_eq!(titles(&shop.get("/api/games/by-genre/Noir").await.data()), ["Best"]);
}

#[tokio::test]
async fn home_lists_are_bounded_and_ordered() {
    let shop = Shop::open().await;
    let games: Vec<NewGame> = (0..45)
        .map(|i| {
            popular(&format!("Game {i:02}"), i).genres(&["Action"]).with(|game| {
                game.is_best_seller = true;
                game.is_new = true;
                game.created_at = date("2024-01-01") + chrono::Duration::days(i64::from(i));
                game.release_date = date("2025-01-01") + chrono::Duration::days(i64::from(i));
            })
        })
        .chain((0..35).map(|i| {
            NewGame::titled(&format!("Coming {i:02}")).with(|game| {
                game.is_preorder = true;
                game.release_date = date("2030-01-01") + chrono::Duration::days(i64::from(i));
            })
        }))
        .collect();
    shop.put(&games).await;
    for (path, length, first) in [
        ("best-sellers", 30, "Game 44"),
        ("best-sellers?genre=Action", 30, "Game 44"),
        ("new-in-catalog", 40, "Game 44"),
        ("new", 30, "Game 44"),
        ("preorders", 30, "Coming 00"),
        ("by-genre/Action", 40, "Game 44"),
    ] {
        let found = titles(&shop.get(&format!("/api/games/{path}")).await.data());
        assert_eq!((found.len(), found[0].as_str()), (length, first), "{path}");
        let sorted = if path == "preorders" {
            found.is_sorted()
        } else {
            found.iter().rev().is_sorted()
        };
        assert!(sorted, "{path}: {found:?}");
    }
}

#[tokio::test]
async fn random_games_are_distinct_in_stock_and_change_per_request() {
    let shop = Shop::open().await;
    let mut games: Vec<NewGame> = (0..40).map(|i| NewGame::titled(&format!("Game {i}"))).collect();
    games.push(NewGame::titled("Sold out").with(|game| game.in_stock = false));
    games.push(NewGame::titled("Coming").with(|game| game.is_preorder = true));
    shop.put(&games).await;
    let mut seen = HashSet::new();
    for _ in 0..5 {
        let drawn = titles(&shop.get("/api/games/random?count=20").await.data());
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 20, "no game twice");
        assert!(!drawn.iter().any(|title| title == "Sold out" || title == "Coming"));
        seen.insert(drawn);
    }
    assert!(seen.len() > 1, "five draws of 20 out of 40 came out alike");
    assert_eq!(titles(&shop.get("/api/games/random").await.data()).len(), 10);
    assert_eq!(titles(&shop.get("/api/games/random?count=50").await.data()).len(), 40);
    assert_eq!(
        shop.get("/api/games/random").await.header("cache-control"),
        Some("no-store")
    );
}

#[tokio::test]
async fn similar_games_share_the_most_and_rarest_attributes() {
    let shop = Shop::open().await;
    let me = popular("Killing Floor 2 Steam Key GLOBAL", 1)
        .genres(&["Shooter"])
        .tags(&["Zombies", "Co-op"])
        .with(|game| game.publisher = Some("Tripwire".into()));
    let mut games = vec![
        me.clone(),
        popular("Killing Floor Steam Key GLOBAL", 1).genres(&["Shooter"]),
        popular("Left Behind Steam Key GLOBAL", 1)
            .genres(&["Shooter"])
            .tags(&["Zombies", "Co-op"]),
        popular("Dead Walk Steam Key GLOBAL", 1).tags(&["Zombies"]),
        popular("Maneater Steam Key GLOBAL", 1).with(|game| game.publisher = Some("TRIPWIRE".into())),
        popular("Famous Farm Steam Key GLOBAL", 1_000_000).genres(&["Farming"]),
        popular("Killing Floor 3 Steam Key GLOBAL", 1)
            .genres(&["Shooter"])
            .with(|game| game.in_stock = false),
    ];
    games.extend((0..30).map(|i| popular(&format!("Shooting {i} Steam Key GLOBAL"), 100).genres(&["Shooter"])));
    shop.put(&games).await;
    let found = titles(&shop.get(&format!("/api/games/{}/similar", me.id)).await.data());
    assert_eq!(found.len(), 10);
    let place = |title: &str| found.iter().position(|found| found.starts_with(title));
    let best: HashSet<&str> = found[..2].iter().map(String::as_str).collect();
    assert_eq!(
        best,
        HashSet::from(["Killing Floor Steam Key GLOBAL", "Left Behind Steam Key GLOBAL"]),
        "{found:?}"
    );
    assert!(
        place("Dead Walk") < place("Shooting"),
        "a rare tag says more than a common genre: {found:?}"
    );
    assert!(place("Maneater").is_some(), "{found:?}");
    assert_eq!(place("Famous Farm"), None, "popular, but nothing in common");
    assert_eq!(place("Killing Floor 2"), None, "not itself");
    assert_eq!(place("Killing Floor 3"), None, "sold out");
    let three = shop.get(&format!("/api/games/{}/similar?count=3", me.id)).await.data();
    assert_eq!(titles(&three), found[..3]);
}

#[tokio::test]
async fn filter_options_list_each_value_of_listed_games_once() {
    let shop = Shop::open().await;
    let with = |title: &str, service: &str, publisher: &str| {
        NewGame::titled(title).with(|game| {
            game.service = Some(service.to_owned());
            game.publisher = Some(publisher.to_owned());
        })
    };
    shop.put(&[
        with("A", "Steam", "valve"),
        with("B", "Epic", "Valve"),
        with("C", "Steam", "Żubr"),
        with("D", "GOG", "").with(|game| game.in_stock = false),
        with("E", "Withdrawn", "Withdrawn").genres(&["Withdrawn"]).with(|game| {
            game.in_stock = false;
            game.withdrawn = true;
        }),
    ])
    .await;
    shop.db
        .execute("insert into genres (name, slug) values ('Empty', 'empty')")
        .await;
    shop.cache.catch_up().await.unwrap();
    assert_eq!(
        shop.get("/api/games/filter-options").await.data(),
        json!({"genres": [], "platforms": [], "activationServices": ["Epic", "GOG", "Steam"], "regions": [],
               "publishers": ["Valve", "Żubr"], "multiplayer": [false]})
    );
}
