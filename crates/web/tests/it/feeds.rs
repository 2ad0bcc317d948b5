//! The feeds: what can be bought now, at the price charged.

use std::collections::BTreeMap;
use std::io::Read as _;

use http::StatusCode;
use lockstep_domain::GameId;
use lockstep_domain::Secret;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::ids::UserId;
use lockstep_domain::law::Duties;
use lockstep_store::{Options, Store, orders};
use lockstep_testkit::{NewGame, TestDb};
use serde_json::Value;

use crate::shop::{Answered, Shop, complete_game};

const FILES: [&str; 5] = [
    "google.xml",
    "prices.csv",
    "prices.xml",
    "prices.json",
    "agentic.jsonl.gz",
];

/// A game in a feed: price, price before the reduction, lowest price, availability. Absent where the feed has no such field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    price: String,
    original: Option<String>,
    lowest: Option<String>,
    availability: String,
}

/// The text of the first element `name` in `xml`.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}"))?;
    let (_, rest) = rest.split_once('>')?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(html_escape::decode_html_entities(text).into_owned())
}

/// Panics unless every element that begins also ends, in order, and only the five entities and numbers stand for
/// characters.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        assert!(!text.contains('>'), "{tag}>{text}");
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(
                ["amp", "lt", "gt", "quot"].contains(&name) || name.starts_with('#'),
                "{entity}"
            );
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.starts_with('?') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// The bytes of a feed, uncompressed.
fn unpacked(file: &str, answer: &Answered) -> String {
    assert_eq!(answer.status, StatusCode::OK);
    if std::path::Path::new(file).extension().is_none_or(|end| end != "gz") {
        return answer.text().to_owned();
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*answer.bytes)
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// The games of a feed by id.
fn listed(file: &str, text: &str) -> BTreeMap<String, Listed> {
    let euro = |amount: String| amount.strip_suffix(" EUR").unwrap().to_owned();
    let number = |value: &Value| value.as_f64().map(|amount| format!("{amount:.2}"));
    match file {
        "google.xml" => {
            assert_well_formed(text);
            let items = text.split("<item>").skip(1).map(|item| {
                let (price, sale) = (
                    element(item, "g:price").map(euro),
                    element(item, "g:sale_price").map(euro),
                );
                let game = Listed {
                    original: sale.as_ref().and(price.clone()),
                    price: sale.or(price).unwrap(),
                    lowest: None,
                    availability: element(item, "g:availability").unwrap(),
                };
                (element(item, "g:id").unwrap(), game)
            });
            items.collect()
        }
        "prices.xml" => {
            assert_well_formed(text);
            let items = text.split("<offer id=\"").skip(1).map(|item| {
                let game = Listed {
                    price: element(item, "price").unwrap(),
                    original: element(item, "originalPrice"),
                    lowest: element(item, "lowestPrice30d"),
                    availability: element(item, "availability").unwrap(),
                };
                (item.split('"').next().unwrap().to_owned(), game)
            });
            items.collect()
        }
        "prices.csv" => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let rows = reader.deserialize().map(|row| {
                let row: BTreeMap<String, String> = row.unwrap();
                let some = |name: &str| Some(row[name].clone()).filter(|text| !text.is_empty());
                let game = Listed {
                    price: some("price").unwrap(),
                    original: some("original_price"),
                    lowest: some("lowest_price_30d"),
                    availability: some("availability").unwrap(),
                };
                (row["id"].clone(), game)
            });
            rows.collect()
        }
        "prices.json" => {
            let whole: Value = serde_json::from_str(text).unwrap();
            let games = whole["offers"].as_array().unwrap().iter().map(|offer| {
                let game = Listed {
                    price: number(&offer["price"]).unwrap(),
                    original: number(&offer["originalPrice"]),
                    lowest: number(&offer["lowestPrice30d"]),
                    availability: offer["availability"].as_str().unwrap().to_owned(),
                };
                (offer["id"].as_str().unwrap().to_owned(), game)
            });
            games.collect()
        }
        _ => {
            let games = text.lines().map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| line[name].as_str().map(str::to_owned);
                let (price, sale) = (text("price").map(euro), text("sale_price").map(euro));
                let game = Listed {
                    original: sale.as_ref().and(price.clone()),
                    price: sale.or(price).unwrap(),
                    lowest: text("lowest_price_30d").map(euro),
                    availability: text("availability").unwrap().replace("pre_order", "preorder"),
                };
                (text("item_id").unwrap(), game)
            });
            games.collect()
        }
    }
}

/// What the page of a game says, as search engines read it; `None` if it cannot be bought.
fn on_page(page: &str) -> Option<Listed> {
    let json = page.split("application/ld+json\">").nth(1).unwrap();
    let data: Value = serde_json::from_str(json.split("</script>").next().unwrap()).unwrap();
    let offer = &data["@graph"][0]["offers"];
    let availability = match offer["availability"].as_str().unwrap() {
        "https://schema.org/InStock" => "in_stock",
        "https://schema.org/PreOrder" => "preorder",
        _ => return None,
    };
    // What people see says the same.
    let amount = |text: &str| text.replace(['€', ','], "");
    let shown = |begin: &str, end: &str| {
        let (_, rest) = page.split_once(begin)?;
        Some(amount(
            rest.split(end).next().unwrap().rsplit("</span>").next().unwrap(),
        ))
    };
    let price = offer["price"].as_str().unwrap().to_owned();
    assert_eq!(shown("<p class=\"price\"><strong>", "</strong>"), Some(price.clone()));
    let own_price = page
        .split("<p class=\"price\">")
        .nth(1)
        .unwrap()
        .split("</p>")
        .next()
        .unwrap();
    Some(Listed {
        price,
        original: own_price
            .contains("<del>")
            .then(|| shown("<p class=\"price\">", "</del>").unwrap()),
        lowest: offer["priceSpecification"]["price"].as_str().map(str::to_owned),
        availability: availability.to_owned(),
    })
}

async fn charged(shop: &Shop, user: UserId, game: GameId) -> Result<String, String> {
    let checkout = Checkout::new([(game, 1)], None, None, OrderLimits::default()).unwrap();
    let bill = orders::quote(&shop.db.store, user, &checkout).await;
    bill.map(|bill| bill.total.to_string())
        .map_err(|error| error.to_string())
}

/// A shop with a game of every kind; returns the games.
async fn every_kind(country: Option<&str>) -> (Shop, Vec<NewGame>) {
    let db = TestDb::new().await;
    let store = db.store.clone();
    let duties = Duties {
        country: country.map(str::to_owned),
        ..Duties::default()
    };
    let shop = Shop::open_under((ConsentMode::Development, duties), db, store, |_| {}).await;
    let games = vec![
        complete_game("Plain Sailing"),
        complete_game("Tom & Jerry <\"Cheese\"> 'n' \u{7}Bell; Deluxe Edition (PC) - Steam Key - EUROPE").with(
            |game| {
                game.slug = "hostile-title".into();
                game.description = "<p>It&#39;s, \"quoted\"</p>\n<p>& ]]> more</p>".into();
                game.region = Some("EUROPE".to_owned());
                game.publisher = Some("Cinder & Oak".to_owned());
            },
        ),
        complete_game("Marked Down").with(|game| game.price_cents = 10_000),
        complete_game("Never Dearer").with(|game| game.price_cents = 5_000),
        complete_game("Sold Out").with(|game| game.in_stock = false),
        complete_game("Gone").with(|game| (game.in_stock, game.withdrawn) = (false, true)),
        complete_game("Soon").with(|game| game.is_preorder = true),
        complete_game("Soon and Sold Out").with(|game| (game.is_preorder, game.in_stock) = (true, false)),
        complete_game("Shop's Own").with(|game| game.in_stock = false),
        complete_game("Shop's Own, Held Back").with(|game| game.in_stock = false),
    ];
    shop.db.put(&games).await;
    // The stock of own games is that of their keys, from here on; the others are G2A's.
    shop.db
        .execute(
            "update games set g2a_product_id = 'p-' || slug, g2a_stock = in_stock where title not like 'Shop''s Own%'",
        )
        .await;
    shop.db.keep_own_stock().await;
    for game in &games[8..] {
        shop.db.key(game.id).await;
    }
    shop.db
        .execute(&format!(
            "update games set fields_by_hand = array['in_stock'] where id = '{}';
             -- A price that was lower within 30 days, and a price that never was.
             update games set price = 80, original_price = 200, discount = 60 where slug = 'marked-down';
             update games set original_price = 90, discount = 44 where slug = 'never-dearer'",
            games[9].id
        ))
        .await;
    shop.cache.catch_up().await.unwrap();
    (shop, games)
}

#[tokio::test]
async fn feeds_list_what_can_be_bought_at_the_price_that_page_json_ld_and_checkout_say() {
    // With the duty to announce reductions from the lowest price, and without.
    for (country, original) in [(Some("DE"), "100.00"), (None, "200.00")] {
        let (shop, games) = every_kind(country).await;
        let user = UserId(shop.db.user("ada@example.org", "1000").await);
        let mut expected = BTreeMap::new();
        for game in games.iter().filter(|game| !game.withdrawn) {
            let page = shop.get(&format!("/game/{}", game.slug)).await;
            let Some(seen) = on_page(page.page()) else { continue };
            assert_eq!(
                charged(&shop, user, GameId(game.id)).await,
                Ok(seen.price.clone()),
                "{}",
                game.title
            );
            expected.insert(game.id.to_string(), seen);
        }
        let titles: Vec<&str> = games
            .iter()
            .filter(|game| expected.contains_key(&game.id.to_string()))
            .map(|game| game.title.split(' ').next().unwrap())
            .collect();
        assert_eq!(titles, ["Plain", "Tom", "Marked", "Never", "Soon", "Shop's"]);
        let reduced = &expected[&games[2].id.to_string()];
        assert_eq!(
            (
                reduced.price.as_str(),
                reduced.original.as_deref(),
                reduced.lowest.as_deref()
            ),
            ("80.00", Some(original), Some("100.00"))
        );
        for file in FILES {
            let text = unpacked(file, &shop.get(&format!("/feeds/{file}")).await);
            let mut expected = expected.clone();
            if file == "google.xml" {
                // Google has no field for it.
                for game in expected.values_mut() {
                    game.lowest = None;
                }
            }
            assert_eq!(listed(file, &text), expected, "{file}\n{text}");
        }
    }
}

#[tokio::test]
async fn feeds_say_what_exactly_is_sold_and_when_it_was_read() {
    let (shop, games) = every_kind(None).await;
    let json: Value = serde_json::from_str(shop.get("/feeds/prices.json").await.text()).unwrap();
    let as_of = shop.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert_eq!(
        (&json["shop"], &json["asOf"]),
        (&"Lockstep".into(), &as_of.clone().into())
    );
    let offers = json["offers"].as_array().unwrap();
    let id = games[1].id.to_string();
    let mut offer = offers.iter().find(|offer| offer["id"] == id.as_str()).unwrap().clone();
    for unasked in ["id", "image", "releaseDate", "genres"] {
        offer.as_object_mut().unwrap().remove(unasked);
    }
    assert_eq!(
        offer,
        serde_json::json!({
            "title": "Tom & Jerry <\"Cheese\"> 'n' \u{7}Bell; Deluxe Edition",
            "offer": games[1].title,
            "edition": "Deluxe Edition",
            "platforms": ["PC"],
            "service": "Steam",
            "region": "EUROPE",
            "price": 10.00,
            "currency": "EUR",
            "originalPrice": null,
            "lowestPrice30d": null,
            "availability": "in_stock",
            "publisher": "Cinder & Oak",
            "url": "https://shop.example/game/hostile-title",
        })
    );
    let xml = shop.get("/feeds/prices.xml").await;
    assert!(xml.text().contains(&format!("asOf=\"{as_of}\"")));
    let offer = xml.text().split(&id).nth(1).unwrap();
    // XML has no place for a control character.
    assert_eq!(
        element(offer, "title").unwrap(),
        "Tom & Jerry <\"Cheese\"> 'n' Bell; Deluxe Edition"
    );
    let csv = shop.get("/feeds/prices.csv").await;
    let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(csv.text().as_bytes())
        .records()
        .map(Result::unwrap)
        .collect();
    assert!(rows.iter().all(|row| row.get(17) == Some(as_of.as_str())));
    assert!(rows.iter().any(|row| row.get(2) == Some(games[1].title.as_str())));
    let google = shop.get("/feeds/google.xml").await;
    let item = google.text().split(&id).nth(1).unwrap();
    assert_eq!(element(item, "g:description").unwrap(), "It's, \"quoted\" & ]]> more");
    assert_eq!(element(item, "g:custom_label_0").unwrap(), "EUROPE");
}

#[tokio::test]
async fn a_feed_is_answered_with_304_until_something_in_it_changes() {
    let shop = Shop::stocked().await;
    for file in FILES {
        let address = format!("/feeds/{file}");
        let first = shop.get(&address).await;
        assert_eq!(first.status, StatusCode::OK);
        assert_eq!(
            first.header("content-length").unwrap(),
            first.bytes.len().to_string(),
            "{file}"
        );
        let etag = first.header("etag").unwrap().to_owned();
        let again = shop.get_with(&address, &[("if-none-match", &etag)]).await;
        assert_eq!(
            (again.status, again.bytes.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{file}"
        );
        // Compressed on the way, but not twice.
        let gzip = shop.get_with(&address, &[("accept-encoding", "gzip")]).await;
        let is_packed = gzip.header("content-encoding") == Some("gzip");
        assert_eq!(is_packed, file != "agentic.jsonl.gz", "{file}");
        assert_eq!(gzip.header("etag"), Some(&*etag));

        shop.db
            .execute("update games set price = price + 1 where slug = 'iron-meridian-steam-key-europe'")
            .await;
        shop.cache.catch_up().await.unwrap();
        // A feed that took long to make stands for a while.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(2);
        while shop.get_with(&address, &[("if-none-match", &etag)]).await.status != StatusCode::OK {
            assert!(tokio::time::Instant::now() < deadline, "{file}");
        }
    }
}

#[tokio::test]
async fn an_unchanged_catalogue_makes_one_feed_for_all_who_ask() {
    let shop = Shop::stocked().await;
    let answers = futures::future::join_all((0..40).map(|_| shop.get("/feeds/prices.json"))).await;
    let first = &answers[0];
    for answer in &answers {
        assert_eq!((answer.status, &answer.bytes), (StatusCode::OK, &first.bytes));
    }
    shop.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(shop.get("/feeds/prices.json").await.bytes, first.bytes);
}

#[tokio::test]
async fn an_empty_shop_has_complete_feeds() {
    let shop = Shop::open().await;
    for file in FILES {
        let text = unpacked(file, &shop.get(&format!("/feeds/{file}")).await);
        assert_eq!(listed(file, &text), BTreeMap::new(), "{file}");
    }
}

#[tokio::test]
async fn a_secret_hides_the_feeds_from_those_who_do_not_know_it() {
    const SECRET: &str = "0123456789abcdef";
    let db = TestDb::new().await;
    let store = db.store.clone();
    let shop = Shop::open_on(db, store, |settings| settings.feeds.secret = Some(Secret::new(SECRET))).await;
    for file in FILES {
        let known = shop.get(&format!("/feeds/{SECRET}/{file}")).await;
        assert_eq!(known.status, StatusCode::OK, "{file}");
        assert_eq!(known.header("cache-control"), Some("private, no-cache"));
        for other in ["0123456789abcdeF", "x"] {
            let answer = shop.get(&format!("/feeds/{other}/{file}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{file}");
        }
        assert_eq!(shop.get(&format!("/feeds/{file}")).await.status, StatusCode::NOT_FOUND);
    }
    // Without a secret there is no such address.
    let public = Shop::open().await;
    for path in ["/feeds/0123456789abcdef/prices.csv", "/feeds/prices.txt"] {
        assert_eq!(public.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_feed_of_a_shop_without_database_is_not_taken_for_an_empty_one() {
    let db = TestDb::new().await;
    let away = Store::new("postgres://nobody@127.0.0.1:1/nothing", &Options::default()).unwrap();
    let shop = Shop::open_on(db, away, |_| {}).await;
    for file in FILES {
        let answer = shop.get(&format!("/feeds/{file}")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{file}");
    }
}
