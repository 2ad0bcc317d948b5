//! The exact JSON of every endpoint.

use serde_json::json;

use crate::shop::{NewGame, Shop, date};

const ID: &str = "0192f0c1-0000-7000-8000-000000000001";

async fn shop_with_one_rich_and_one_plain_game() -> Shop {
    let shop = Shop::open().await;
    shop.db
        .execute(&format!(
            r#"
            insert into games (id, title, slug, description, short_description, price, original_price, discount, image, images,
                               in_stock, g2a_product_id, g2a_stock, release_date, metacritic_score, user_rating, rating_critic, rating_user, age_rating,
                               multiplayer, activation_service, region, publisher, developer, is_best_seller, is_new,
                               languages, requirements, popularity, created_at)
            values ('{ID}', 'Killing Floor 2', 'killing-floor-2', '<p>Zeds.</p>', 'Zeds', 5.10, 9.44, 45,
                    'https://images.example.org/kf2', '{{https://images.example.org/kf2-1}}', true, '10001', true,
                    '2016-11-18 10:00:00.123456Z', 75, 4.50, 81, 90, '18', true, 'Steam', 'GLOBAL', 'Tripwire', 'Tripwire Interactive',
                    true, true, '{{en,de}}', '{{"minimal":{{"reqmemory":"3 GB"}},"recommended":{{}}}}', 10, '2024-02-01');
            insert into games (id, title, slug, description, price, image, release_date, is_preorder, created_at)
            values ('0192f0c1-0000-7000-8000-000000000002', 'Plain', 'plain', '', 0.99, 'i', '2030-01-01', true, '2024-01-01');
            insert into genres (name, slug) values ('Shooter', 'shooter'), ('Action', 'action');
            insert into platforms (name, slug) values ('PC', 'pc');
            insert into tags (name, slug) values ('Co-op', 'co-op'), ('zombies', 'zombies');
            insert into categories (name, slug) values ('Games', 'games');
            insert into game_genres select '{ID}', id from genres;
            insert into game_platforms select '{ID}', id from platforms;
            insert into game_tags select '{ID}', id from tags;
            insert into game_categories select '{ID}', id from categories;
            "#
        ))
        .await;
    shop
}

fn in_a_list() -> serde_json::Value {
    json!({
        "id": ID, "title": "Killing Floor 2", "slug": "killing-floor-2", "description": "<p>Zeds.</p>",
        "shortDescription": "Zeds", "price": 5.10, "originalPrice": 9.44, "discount": 45, "currency": "EUR",
        "image": "https://images.example.org/kf2", "images": ["https://images.example.org/kf2-1"],
        "inStock": true, "multiplayer": true, "isBestSeller": true, "isNew": true, "isPreorder": false,
        "releaseDate": "2016-11-18T10:00:00.123Z", "releaseDateKnown": true, "metacriticScore": 75, "userRating": 4.5, "ratingCritic": 81, "ratingUser": 90,
        "ageRating": "18", "activationService": "Steam", "region": "GLOBAL", "publisher": "Tripwire",
        "developer": "Tripwire Interactive", "languages": ["en", "de"], "platforms": ["PC"],
        "genres": ["Action", "Shooter"], "tags": ["Co-op", "zombies"], "categories": ["Games"]
    })
}

fn alone() -> serde_json::Value {
    let mut game = in_a_list();
    game["requirements"] = json!({"minimal": {"reqmemory": "3 GB"}, "recommended": {}});
    game
}

fn plain() -> serde_json::Value {
    json!({
        "id": "0192f0c1-0000-7000-8000-000000000002", "title": "Plain", "slug": "plain", "description": "",
        "shortDescription": null, "price": 0.99, "currency": "EUR", "image": "i", "images": [], "inStock": true,
        "multiplayer": false, "isBestSeller": false, "isNew": false, "isPreorder": true,
        "releaseDate": "2030-01-01T00:00:00.000Z", "releaseDateKnown": true, "metacriticScore": null, "userRating": null, "ratingCritic": null, "ratingUser": null,
        "ageRating": null, "activationService": null, "region": null, "publisher": null, "developer": null,
        "languages": [], "platforms": [], "genres": [], "tags": [], "categories": []
    })
}

#[tokio::test]
async fn every_endpoint_returns_the_documented_json() {
    let shop = shop_with_one_rich_and_one_plain_game().await;
    let rich = in_a_list();
    let only_rich = json!([rich]);
    let expected = [
        (
            "/api/games",
            json!({"data": [rich], "total": 1, "page": 1, "pageSize": 36, "totalPages": 1}),
        ),
        (
            "/api/games?inStockOnly=false&pageSize=1&page=2",
            json!({"data": [plain()], "total": 2, "page": 2, "pageSize": 1, "totalPages": 2}),
        ),
        ("/api/games/slug/killing-floor-2", alone()),
        ("/api/games/slug/plain", plain()),
        (&format!("/api/games/{ID}"), alone()),
        (&format!("/api/games/{ID}/similar"), json!([])),
        // A front-end may ask with a slug; what is no ID is no game's.
        ("/api/games/portal/similar", json!([])),
        ("/api/games/best-sellers", only_rich.clone()),
        ("/api/games/new-in-catalog", only_rich.clone()),
        ("/api/games/preorders", json!([plain()])),
        ("/api/games/new", only_rich.clone()),
        ("/api/games/by-genre/Shooter", only_rich.clone()),
        ("/api/games/random", only_rich.clone()),
        ("/api/games/search?q=floor", only_rich.clone()),
        (
            "/api/games/genres",
            json!([{"name": "Action", "slug": "action"}, {"name": "Shooter", "slug": "shooter"}]),
        ),
        ("/api/games/platforms", json!([{"name": "PC", "slug": "pc"}])),
        (
            "/api/games/filter-options",
            json!({
                "genres": [{"name": "Action", "slug": "action"}, {"name": "Shooter", "slug": "shooter"}],
                "platforms": [{"name": "PC", "slug": "pc"}],
                "activationServices": ["Steam"], "regions": ["GLOBAL"], "publishers": ["Tripwire"],
                "multiplayer": [true, false]
            }),
        ),
        ("/api/games/collections", json!([])),
        (
            "/api/games/autocomplete?q=killing",
            json!([{"id": ID, "title": "Killing Floor 2", "name": "Killing Floor 2", "offer": {"en": "", "de": "", "fr": "", "es": "", "pl": ""},
                    "image": "https://images.example.org/kf2", "slug": "killing-floor-2", "relevanceScore": 0.95}]),
        ),
    ];
    for (path, data) in expected {
        let answer = shop.get(path).await;
        assert_eq!(answer.json(), json!({"success": true, "data": data}), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    }
}

#[tokio::test]
async fn money_is_written_with_two_decimals_and_never_as_text() {
    let shop = shop_with_one_rich_and_one_plain_game().await;
    let body = String::from_utf8(shop.get(&format!("/api/games/{ID}")).await.bytes).unwrap();
    assert!(
        body.contains(r#""price":5.10,"originalPrice":9.44,"discount":45,"#),
        "{body}"
    );
}

#[tokio::test]
async fn collections_group_by_genre_and_publisher_with_the_most_popular_first() {
    let shop = Shop::open().await;
    let game = |title: &str, popularity| NewGame::titled(title).with(|game| game.popularity = popularity);
    shop.put(&[
        game("One", 1)
            .genres(&["Role Play"])
            .with(|game| game.publisher = Some("Valve".into())),
        game("Two", 2)
            .genres(&["Role Play"])
            .with(|game| game.publisher = Some("Valve".into())),
        game("Lonely", 3)
            .genres(&["Noir"])
            .with(|game| game.publisher = Some("Solo".into())),
    ])
    .await;
    let collections = shop.get("/api/games/collections").await.data();
    let heads: Vec<_> = collections
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["id"].as_str().unwrap(),
                one["title"].as_str().unwrap(),
                one["type"].as_str().unwrap(),
                one["value"].as_str().unwrap(),
                crate::shop::titles(&one["games"]),
            )
        })
        .collect();
    let both = vec!["Two".to_owned(), "One".to_owned()];
    assert_eq!(
        heads,
        [
            ("genre-role-play", "Role Play", "genre", "role-play", both.clone()),
            ("publisher-valve", "Valve", "publisher", "Valve", both),
        ]
    );
}

#[tokio::test]
async fn the_api_prefix_may_be_doubled() {
    let shop = shop_with_one_rich_and_one_plain_game().await;
    for path in ["/games", "/games/slug/plain", "/games/genres", "/nowhere"] {
        let once = shop.get(&format!("/api{path}")).await;
        let twice = shop.get(&format!("/api/api{path}")).await;
        assert_eq!(once.status, twice.status, "{path}");
        if once.status == 200 {
            assert_eq!(once.json(), twice.json(), "{path}");
        }
    }
}

#[tokio::test]
async fn a_withdrawn_game_is_in_no_list_but_found_by_id() {
    let shop = Shop::open().await;
    let gone = NewGame::titled("Gone").genres(&["Action"]).with(|game| {
        game.in_stock = false;
        game.withdrawn = true;
        game.is_best_seller = true;
        game.is_new = true;
        game.release_date = date("2024-01-01");
    });
    shop.put(std::slice::from_ref(&gone)).await;
    let looked_up = shop.get(&format!("/api/games/{}", gone.id)).await.data();
    assert_eq!(
        (&looked_up["title"], &looked_up["inStock"]),
        (&json!("Gone"), &json!(false))
    );
    for path in [
        "/api/games?inStockOnly=false",
        "/api/games?inStockOnly=false&genres=action",
        "/api/games?inStockOnly=false&search=gone",
    ] {
        assert_eq!(shop.get(path).await.data()["total"], 0, "{path}");
    }
    for list in [
        "best-sellers",
        "new",
        "new-in-catalog",
        "preorders",
        "random",
        "by-genre/action",
        "search?q=gone",
        "autocomplete?q=gone",
        "genres",
        "collections",
    ] {
        assert_eq!(
            shop.get(&format!("/api/games/{list}")).await.data(),
            json!([]),
            "{list}"
        );
    }
}
