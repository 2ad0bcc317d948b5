//! Every filter alone and combined, compared with the same query on a list in memory.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use crate::shop::{NewGame, Shop, date, titles};

const GENRES: [&str; 4] = ["Action", "Open World", "RPG", "Noir"];
const PLATFORMS: [&str; 3] = ["PC", "Xbox One", "Mac"];
const SERVICES: [&str; 3] = ["Steam", "Epic Games", "GOG"];
const REGIONS: [&str; 3] = ["GLOBAL", "EUROPE", "UNITED STATES"];
const PUBLISHERS: [&str; 3] = ["Valve", "Kalypso, Inc.", "id Software"];
const WORDS: [&str; 4] = ["dragon", "castle", "racing", "galaxy"];
const SORTS: [&str; 4] = ["popular", "newest", "price-asc", "price-desc"];
const PRESETS: [(&str, i64, i64); 5] = [
    ("under-10", 0, 10),
    ("10-25", 10, 25),
    ("25-50", 25, 50),
    ("50-100", 50, 100),
    ("over-100", 100, i64::MAX / 100),
];

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    proptest::sample::subsequence(values, 0..=values.len())
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.8, proptest::sample::select(values).prop_map(str::to_owned))
}

prop_compose! {
    fn any_game()(
        words in proptest::sample::subsequence(&WORDS, 1..=2),
        // Few distinct prices, so that there are ties; they include the bounds of the presets.
        price_cents in proptest::sample::select(&[99, 999, 1000, 2499, 2500, 5000, 9999, 10000, 25000]),
        flags in proptest::array::uniform4(proptest::bool::weighted(0.3)),
        popularity in 0..3,
        days in (0i64..5, 0i64..5),
        service in one_of(&SERVICES),
        region in one_of(&REGIONS),
        publisher in one_of(&PUBLISHERS),
        genres in some_of(&GENRES),
        platforms in some_of(&PLATFORMS),
    ) -> NewGame {
        NewGame::titled(&words.join(" ")).with(|game| {
            let [sold_out, preorder, multiplayer, withdrawn] = flags;
            game.slug = format!("game-{}", game.id);
            game.price_cents = price_cents;
            game.in_stock = !sold_out && !withdrawn;
            game.is_preorder = preorder;
            game.multiplayer = multiplayer;
            game.withdrawn = withdrawn;
            game.popularity = popularity;
            game.release_date = date("2020-01-01") + chrono::Duration::days(days.0);
            game.created_at = date("2024-01-01") + chrono::Duration::days(days.1);
            game.service = service;
            game.region = region;
            game.publisher = publisher;
            game.genres = genres;
            game.platforms = platforms;
        })
    }
}

#[derive(Debug, Clone)]
struct Question {
    in_stock_only: Option<bool>,
    sort: Option<&'static str>,
    preset: Option<(&'static str, i64, i64)>,
    min_cents: Option<i64>,
    max_cents: Option<i64>,
    genres: BTreeSet<String>,
    platforms: BTreeSet<String>,
    services: BTreeSet<String>,
    regions: BTreeSet<String>,
    publishers: BTreeSet<String>,
    multiplayer: Option<bool>,
    word: Option<&'static str>,
    /// How lists are written: slugs or names, in which case, joined or repeated.
    style: u8,
    page_size: usize,
}

fn sometimes(values: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    prop_oneof![3 => Just(BTreeSet::new()), 1 => some_of(values)]
}

prop_compose! {
    fn any_question()(
        in_stock_only in proptest::option::of(any::<bool>()),
        sort in proptest::option::of(proptest::sample::select(&SORTS)),
        preset in proptest::option::weighted(0.2, proptest::sample::select(&PRESETS)),
        bounds in (proptest::option::weighted(0.2, 0i64..3000), proptest::option::weighted(0.2, 3000i64..11000)),
        lists in (sometimes(&GENRES), sometimes(&PLATFORMS), sometimes(&SERVICES), sometimes(&REGIONS), sometimes(&PUBLISHERS)),
        multiplayer in proptest::option::weighted(0.3, any::<bool>()),
        word in proptest::option::weighted(0.3, proptest::sample::select(&WORDS)),
        style in 0u8..8,
        page_size in 1usize..12,
    ) -> Question {
        let (genres, platforms, services, regions, publishers) = lists;
        Question { in_stock_only, sort, preset, min_cents: bounds.0, max_cents: bounds.1, genres, platforms, services, regions,
                   publishers, multiplayer, word, style, page_size }
    }
}

impl Question {
    fn query(&self) -> String {
        let mut parts = vec![format!("pageSize={}", self.page_size)];
        let mut add = |name: &str, value: Option<String>| parts.extend(value.map(|value| format!("{name}={value}")));
        add("inStockOnly", self.in_stock_only.map(|flag| flag.to_string()));
        add("sort", self.sort.map(str::to_owned));
        add("pricePreset", self.preset.map(|(name, ..)| name.to_owned()));
        add(
            "minPrice",
            self.min_cents
                .map(|cents| format!("{}.{:02}", cents / 100, cents % 100)),
        );
        add(
            "maxPrice",
            self.max_cents
                .map(|cents| format!("{}.{:02}", cents / 100, cents % 100)),
        );
        add("multiplayer", self.multiplayer.map(|flag| flag.to_string()));
        add("search", self.word.map(str::to_owned));
        let written = |value: &String, is_slug: bool| {
            let value = match (is_slug && self.style & 1 == 1, self.style & 2 == 2) {
                (true, _) => lockstep_domain::slug::slugify(value),
                (false, true) => value.to_uppercase(),
                (false, false) => value.clone(),
            };
            value.replace(' ', "%20")
        };
        for (name, values, has_slugs) in [
            ("genres", &self.genres, true),
            ("platforms", &self.platforms, true),
            ("activationServices", &self.services, false),
            ("regions", &self.regions, false),
            ("publishers", &self.publishers, false),
        ] {
            let values: Vec<String> = values.iter().map(|value| written(value, has_slugs)).collect();
            if values.is_empty() {
                continue;
            }
            if self.style & 4 == 4 {
                parts.extend(values.iter().map(|value| format!("{name}={value}")));
            } else {
                parts.push(format!("{name}={}", values.join(",")));
            }
        }
        parts.join("&")
    }

    /// The expected result, computed from the list.
    fn answer<'g>(&self, games: &'g [NewGame]) -> Vec<&'g NewGame> {
        let listed = |wanted: &BTreeSet<String>, value: &Option<String>| {
            wanted.is_empty() || value.as_ref().is_some_and(|value| wanted.contains(value))
        };
        let mut found: Vec<&NewGame> = games
            .iter()
            .filter(|game| {
                !game.withdrawn
                    && (self.in_stock_only == Some(false) || (game.in_stock && !game.is_preorder))
                    && self
                        .preset
                        .is_none_or(|(_, from, to)| (from * 100..to * 100).contains(&game.price_cents))
                    && self.min_cents.is_none_or(|min| game.price_cents >= min)
                    && self.max_cents.is_none_or(|max| game.price_cents <= max)
                    && (self.genres.is_empty() || !self.genres.is_disjoint(&game.genres))
                    && (self.platforms.is_empty() || !self.platforms.is_disjoint(&game.platforms))
                    && listed(&self.services, &game.service)
                    && listed(&self.regions, &game.region)
                    && listed(&self.publishers, &game.publisher)
                    && self.multiplayer.is_none_or(|flag| game.multiplayer == flag)
                    && self.word.is_none_or(|word| game.title.contains(word))
            })
            .collect();
        let begins = |game: &NewGame| self.word.is_some_and(|word| game.title.starts_with(word));
        let whole = |game: &NewGame| self.word.is_some_and(|word| game.title == word);
        found.sort_by(|a, b| {
            let order = match self.sort {
                Some("popular") => a.popularity.cmp(&b.popularity),
                Some("newest") => a.release_date.cmp(&b.release_date),
                Some("price-desc") => a.price_cents.cmp(&b.price_cents),
                Some(_) => return (a.price_cents, a.id).cmp(&(b.price_cents, b.id)),
                None if self.word.is_some() => {
                    (whole(a), begins(a), a.popularity).cmp(&(whole(b), begins(b), b.popularity))
                }
                None => a.created_at.cmp(&b.created_at),
            };
            order.then(a.id.cmp(&b.id)).reverse()
        });
        found
    }
}

#[test]
fn queries_match_an_in_memory_list_and_pages_cover_it_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    });
    // One catalogue for many queries: a database for each would take most of the time.
    let games: Vec<NewGame> = (0..120)
        .map(|_| any_game().new_tree(&mut runner).unwrap().current())
        .collect();
    let shop = runtime.block_on(async {
        let shop = Shop::open().await;
        shop.put(&games).await;
        shop
    });
    let outcome = runner.run(&any_question(), |question| {
        runtime.block_on(async {
            let expected = question.answer(&games);
            let mut seen = Vec::new();
            let pages = expected.len().div_ceil(question.page_size);
            for page in 1..=pages + 1 {
                let path = format!("/api/games?{}&page={page}", question.query());
                let answer = shop.get(&path).await.data();
                prop_assert_eq!(answer["total"].as_u64(), Some(expected.len() as u64), "{}", path);
                prop_assert_eq!(answer["totalPages"].as_u64(), Some(pages as u64), "{}", path);
                let rows = answer["data"].as_array().unwrap();
                prop_assert!(
                    page == pages + 1 && rows.is_empty() || page <= pages && !rows.is_empty(),
                    "{}",
                    path
                );
                seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            }
            let ids: Vec<String> = expected.iter().map(|game| game.id.to_string()).collect();
            prop_assert_eq!(seen, ids, "{}", question.query());
            Ok(())
        })
    });
    runtime.block_on(async move { drop(shop) });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[tokio::test]
async fn the_stored_total_follows_every_change() {
    let shop = Shop::open().await;
    let games: Vec<NewGame> = (0..5).map(|i| NewGame::titled(&format!("Game {i}"))).collect();
    shop.put(&games).await;
    let totals = || async {
        shop.cache.catch_up().await.unwrap();
        let buyable = shop.get("/api/games").await.data()["total"].as_u64().unwrap();
        let listed = shop.get("/api/games?inStockOnly=false").await.data()["total"]
            .as_u64()
            .unwrap();
        (buyable, listed)
    };
    assert_eq!(totals().await, (5, 5));
    shop.db
        .execute("update games set in_stock = false where slug = 'game-0'")
        .await;
    shop.db
        .execute("update games set is_preorder = true where slug = 'game-1'")
        .await;
    assert_eq!(totals().await, (3, 5));
    shop.db
        .execute("update games set in_stock = false, withdrawn_at = now() where slug = 'game-2'")
        .await;
    shop.db.execute("delete from games where slug = 'game-3'").await;
    assert_eq!(totals().await, (1, 3));
}

#[tokio::test]
async fn an_unknown_value_matches_nothing() {
    let shop = Shop::open().await;
    shop.put(&[NewGame::titled("Portal").genres(&["Action"])]).await;
    for filter in [
        "genres=unheard",
        "platforms=unheard",
        "regions=unheard",
        "publishers=unheard",
        "activationServices=x",
    ] {
        assert_eq!(
            shop.get(&format!("/api/games?{filter}")).await.data()["total"],
            0,
            "{filter}"
        );
    }
    let either = shop.get("/api/games?genres=unheard,action").await.data();
    assert_eq!(titles(&either), ["Portal"]);
}
