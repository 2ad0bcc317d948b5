//! Full-text search of games.

use serde_json::json;

use crate::shop::{NewGame, Shop, titles};

async fn library() -> Shop {
    let shop = Shop::open().await;
    let told = |title: &str, text: &str, popularity| {
        NewGame::titled(title).with(|game| {
            text.clone_into(&mut game.description);
            game.popularity = popularity;
        })
    };
    shop.put(&[
        told("Portal", "Think with doors.", 5),
        told("Portal 2", "Again.", 50),
        told("Portal Knights", "A sandbox.", 100),
        told("The Witcher 3: Wild Hunt", "Geralt hunts <b>monsters</b>.", 90),
        told("Teleportal", "No relation.", 1000),
        told("Grand Voyage", "Sail through a portal to the unknown.", 2000),
        told("100% Orange Juice", "Dice and oranges.", 3),
        told("1000 Orange Trees", "A farm.", 4),
        told("Snake_Case", "Letters.", 1),
        told("Snakeskincase", "What a wildcard would find.", 0),
        told("Pokémon Élan", "Catch.", 1),
        told("Don't Starve", "Hungry.", 1),
    ])
    .await;
    shop
}

async fn found(shop: &Shop, query: &str) -> Vec<String> {
    let searched = titles(&shop.get(&format!("/api/games/search?q={query}")).await.data());
    let listed = titles(&shop.get(&format!("/api/games?search={query}")).await.data());
    assert_eq!(searched, listed, "both ways of searching agree on {query}");
    searched
}

#[tokio::test]
async fn the_best_match_comes_first() {
    let shop = library().await;
    assert_eq!(
        found(&shop, "portal").await,
        ["Portal", "Portal Knights", "Portal 2", "Teleportal", "Grand Voyage"],
        "the title, titles that begin with it by popularity, titles that hold it, descriptions"
    );
    assert_eq!(
        found(&shop, "PORTAL%202").await,
        ["Portal 2", "Portal Knights", "Portal"],
        "what is alike comes after what holds every word"
    );
    assert_eq!(found(&shop, "%20%20portal%20%20").await.len(), 5);
}

#[tokio::test]
async fn words_match_in_any_order_and_in_descriptions() {
    let shop = library().await;
    assert_eq!(found(&shop, "hunt+witcher").await, ["The Witcher 3: Wild Hunt"]);
    assert_eq!(
        found(&shop, "monst").await,
        ["The Witcher 3: Wild Hunt"],
        "the beginning of a word"
    );
    assert_eq!(found(&shop, "geralt+monsters").await, ["The Witcher 3: Wild Hunt"]);
    assert_eq!(found(&shop, "don%27t").await, ["Don't Starve"]);
    assert_eq!(found(&shop, "%C3%89LAN").await, ["Pokémon Élan"]);
}

#[tokio::test]
async fn typing_errors_are_tolerated() {
    let shop = library().await;
    for (typed, meant) in [
        ("witcer", "The Witcher 3: Wild Hunt"),
        ("wicther", "The Witcher 3: Wild Hunt"),
        ("witcher+wild+hnut", "The Witcher 3: Wild Hunt"),
        ("pokemon", "Pokémon Élan"),
        ("portl+knigts", "Portal Knights"),
        ("dont+starv", "Don't Starve"),
        ("protal+knights", "Portal Knights"),
        ("snaek", "Snake_Case"),
    ] {
        assert_eq!(
            found(&shop, typed).await.first().map(String::as_str),
            Some(meant),
            "{typed}"
        );
        let suggested = titles(&shop.get(&format!("/api/games/autocomplete?q={typed}")).await.data());
        assert_eq!(suggested.first().map(String::as_str), Some(meant), "{typed}");
    }
    assert_eq!(found(&shop, "zzzzqqqq").await, Vec::<String>::new());
}

#[tokio::test]
async fn wildcards_match_literally() {
    let shop = library().await;
    assert_eq!(
        found(&shop, "100%25").await,
        ["100% Orange Juice", "1000 Orange Trees"],
        "the second only as a word that begins so, not by a wildcard"
    );
    assert_eq!(
        found(&shop, "snake_case").await,
        ["Snake_Case", "Snakeskincase"],
        "the second only as alike, and so after the first"
    );
    assert_eq!(found(&shop, "1_0").await.first().map(String::as_str), None);
    for nothing in ["%25", "_", "%25%25", "%5C", "%27", "%26%20%7C%20!", ":*"] {
        assert_eq!(found(&shop, nothing).await, Vec::<String>::new(), "{nothing}");
    }
}

#[tokio::test]
async fn one_or_two_letters_match_the_start_of_a_word() {
    let shop = library().await;
    assert_eq!(found(&shop, "wi").await, ["The Witcher 3: Wild Hunt"]);
    assert_eq!(
        titles(&shop.get("/api/games/autocomplete?q=st").await.data()),
        ["Don't Starve"]
    );
}

#[tokio::test]
async fn a_search_respects_filters_sorting_and_paging() {
    let shop = library().await;
    shop.db
        .execute("update games set in_stock = false where title = 'Portal'")
        .await;
    shop.db
        .execute("update games set price = 5 where title = 'Teleportal'")
        .await;
    shop.cache.catch_up().await.unwrap();
    let page = |query: &'static str| {
        let shop = &shop;
        async move { shop.get(&format!("/api/games?search=portal&{query}")).await.data() }
    };
    assert_eq!(titles(&page("").await)[0], "Portal Knights", "sold out");
    assert_eq!(titles(&page("inStockOnly=false").await)[0], "Portal");
    assert_eq!(titles(&page("sort=price-asc").await)[0], "Teleportal");
    assert_eq!(titles(&page("sort=popular").await)[0], "Grand Voyage");
    assert_eq!(titles(&page("maxPrice=9.99").await), ["Teleportal"]);
    let second = page("pageSize=3&page=2").await;
    assert_eq!(
        (titles(&second).len(), &second["total"], &second["totalPages"]),
        (1, &json!(4), &json!(2))
    );
    let behind = page("pageSize=3&page=9").await;
    assert_eq!((titles(&behind).len(), &behind["total"]), (0, &json!(4)));
}

#[tokio::test]
async fn suggestions_are_ranked_scored_and_limited() {
    let shop = library().await;
    let suggestions = shop.get("/api/games/autocomplete?q=portal").await.data();
    let ranked: Vec<(String, f64)> = suggestions
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["title"].as_str().unwrap().to_owned(),
                one["relevanceScore"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        ranked,
        [
            ("Portal".to_owned(), 1.0),
            ("Portal Knights".to_owned(), 0.95),
            ("Portal 2".to_owned(), 0.95),
            ("Teleportal".to_owned(), 0.7),
        ]
    );
    let two = shop.get("/api/games/autocomplete?q=portal&limit=2").await.data();
    assert_eq!(titles(&two), ["Portal", "Portal Knights"]);
}

#[tokio::test]
async fn a_plain_search_returns_at_most_fifty_games() {
    let shop = Shop::open().await;
    let games: Vec<NewGame> = (0..55).map(|i| NewGame::titled(&format!("Puzzle {i}"))).collect();
    shop.put(&games).await;
    assert_eq!(titles(&shop.get("/api/games/search?q=puzzle").await.data()).len(), 50);
    assert_eq!(shop.get("/api/games?search=puzzle").await.data()["total"], 55);
}
