//! Contents of pages: what they show, to whom, and what they never contain.

use std::time::Duration;

use http::StatusCode;
use lockstep_store::{Options, Store};
use lockstep_testkit::{DatabaseProxy, TestDb};

use crate::html::{offences, values};
use crate::shop::{Shop, complete_game};

const PAGES: [&str; 12] = [
    "/",
    "/games",
    "/games?genre=rpg&price=under-10&stock=all",
    "/games?search=stelar",
    "/games?search=nothingofthatkind",
    "/game/stellar-harvest-pc-steam-key-global",
    "/game/harbour-of-glass",
    "/preorders",
    "/help",
    "/status",
    "/style",
    "/no/such/page",
];

#[tokio::test]
async fn pages_are_complete_in_every_language_and_obey_their_csp() {
    let shop = Shop::stocked().await;
    for path in PAGES {
        for (language, foreign) in [
            ("en", "Warenkorb"),
            ("de", "Wishlist"),
            ("fr", "Wishlist"),
            ("es", "Wishlist"),
            ("pl", "Wishlist"),
        ] {
            let answer = shop.get_with(path, &[("accept-language", language)]).await;
            let page = answer.text();
            assert!(
                page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"),
                "{path}"
            );
            assert!(page.contains(&format!("<html lang=\"{language}\"")), "{path}");
            assert!(!page.contains(foreign), "{path} in {language} holds {foreign}");
            assert!(
                !page.contains(">…<") || page.contains("aria-hidden=\"true\">…<"),
                "{path}: a text is missing"
            );
            assert_eq!(offences(page), Vec::<String>::new(), "{path}");
            assert_eq!(
                page.matches("<h1").count(),
                if path == "/style" { 3 } else { 1 },
                "{path}: headings"
            );
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.contains("default-src 'none'") && policy.contains("script-src 'self'"),
                "{path}: {policy}"
            );
            assert!(
                !policy.contains("unsafe") && !policy.contains("https:"),
                "{path}: {policy}"
            );
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            // The layout does not shift while pictures load.
            for image in page.split("<img").skip(1) {
                let image = image.split('>').next().unwrap();
                assert!(
                    image.contains(" width=") && image.contains(" height=") && image.contains(" alt="),
                    "{path}: {image}"
                );
            }
            let ids = values(page, "id");
            let distinct: std::collections::HashSet<&String> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{path}: an id stands twice");
        }
    }
}

#[tokio::test]
async fn the_home_page_shows_best_sellers_new_and_upcoming_games() {
    let shop = Shop::stocked().await;
    let answer = shop.get("/").await;
    let page = answer.page();
    let best = page.find("id=\"hero-title\"").unwrap();
    assert!(page[best..].find("Stellar Harvest").unwrap() < page[best..].find("Iron Meridian").unwrap());
    for text in [
        "Bestsellers",
        "New in the shop",
        "Coming soon",
        "The Lantern Keepers",
        "€49.99",
        "3 minutes ago",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("Harbour of Glass"), "sold out");
    let german = shop.get("/?lang=de").await;
    assert!(german.page().contains("49,99\u{a0}€") && german.text().contains("vor 3 Minuten"));
    assert_eq!(
        german.header("set-cookie"),
        Some("lang=de; Path=/; Max-Age=31536000; SameSite=Lax")
    );
}

#[tokio::test]
async fn cached_pages_are_served_until_their_rows_change() {
    let shop = Shop::stocked().await;
    let first = shop.get("/").await;
    let etag = first.header("etag").unwrap().to_owned();
    let again = shop.get_with("/", &[("if-none-match", &etag)]).await;
    assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0));
    let packed = shop.get_with("/", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.bytes.len() < first.bytes.len() / 3);

    shop.db
        .execute("update games set price = 77.77 where slug = 'iron-meridian-steam-key-europe'")
        .await;
    shop.cache.catch_up().await.unwrap();
    for path in ["/", "/games", "/game/iron-meridian-steam-key-europe"] {
        let now = shop.get_with(path, &[("if-none-match", &etag)]).await;
        assert!(now.page().contains("€77.77"), "{path}");
    }
}

#[tokio::test]
async fn a_first_visit_transfers_few_bytes() {
    let shop = Shop::stocked().await;
    let gzip = [("accept-encoding", "gzip")];
    let page = shop.get("/").await;
    let mut weight = shop.get_with("/", &gzip).await.bytes.len();
    let files: Vec<String> = ["href", "src"]
        .iter()
        .flat_map(|attribute| values(page.page(), attribute))
        .filter(|address| address.starts_with("/assets/"))
        .collect();
    assert!(files.len() >= 3);
    for file in &files {
        weight += shop.get_with(file, &gzip).await.bytes.len();
    }
    assert!(weight < 100_000, "{weight} bytes");
    let blocking = page.text().matches("rel=\"stylesheet\"").count() + page.text().matches("<script src").count();
    assert_eq!(blocking, 1, "one stylesheet, and nothing else that rendering waits for");
}

#[tokio::test]
async fn cached_pages_contain_nothing_of_a_readers_address() {
    let shop = Shop::stocked().await;
    for path in [
        "/",
        "/games",
        "/preorders",
        "/game/harbour-of-glass",
        "/games?genre=rpg",
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        shop.get(&format!("{path}{separator}campaign=somebody")).await;
        assert!(!shop.get(path).await.page().contains("somebody"), "{path}");
    }
}

#[tokio::test]
async fn a_new_supplier_check_is_shown_at_once() {
    let shop = Shop::stocked().await;
    assert!(shop.get("/").await.page().contains("3 minutes ago"));
    shop.supply
        .send_modify(|supply| supply.checked_at = Some(shop.clock.now()));
    assert!(shop.get("/").await.page().contains("just now"));
}

#[tokio::test]
async fn a_cached_page_is_rendered_again_when_the_minute_in_it_has_passed() {
    let shop = Shop::stocked().await;
    let second = Duration::from_secs(1);
    let at = async || {
        let answer = shop.get("/").await;
        let (tag, page) = (answer.header("etag").map(str::to_owned), answer.page().to_owned());
        (tag.expect("a validator"), page)
    };
    let (tag, page) = at().await;
    assert!(page.contains("3 minutes ago"));
    shop.clock.advance(59 * second);
    assert_eq!(at().await, (tag.clone(), page), "the same bytes");
    shop.clock.advance(second);
    let (next, page) = at().await;
    assert!(page.contains("4 minutes ago") && !page.contains("3 minutes ago"));
    assert_ne!(next, tag);
}

#[tokio::test]
async fn the_game_page_answers_buyers_questions() {
    let shop = Shop::stocked().await;
    let world = shop.get("/game/stellar-harvest-pc-steam-key-global").await;
    let page = world.page();
    assert!(page.contains("<h1>Stellar Harvest</h1>"), "the game's own name");
    for text in [
        "Works in every country",
        "Activates on Steam",
        "action=\"/cart/add\" method=\"post\"",
        "3 minutes ago",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let europe = shop.get("/game/iron-meridian-steam-key-europe").await;
    assert!(europe.page().contains("Works only in: Europe"));
    let preorder = shop.get("/game/the-lantern-keepers").await;
    assert!(preorder.page().contains("Preorder now") && preorder.text().contains("Out on 17 May 2020"));
    let sold_out = shop.get("/game/harbour-of-glass").await;
    assert!(sold_out.page().contains("E-mail me when it’s back") && !sold_out.text().contains("action=\"/cart/add\""));
    assert!(
        !sold_out.page().contains("Delivered within seconds"),
        "nobody knows when"
    );
}

#[tokio::test]
async fn game_pages_have_json_ld_and_language_alternates() {
    let shop = Shop::stocked().await;
    let answer = shop.get("/game/harbour-of-glass").await;
    let page = answer.page();
    let json = page
        .split("application/ld+json\">")
        .nth(1)
        .unwrap()
        .split("</script>")
        .next()
        .unwrap();
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    let offer = &data["@graph"][0]["offers"];
    assert_eq!(
        (&offer["price"], &offer["priceCurrency"]),
        (&"10.00".into(), &"EUR".into())
    );
    assert_eq!(offer["availability"], "https://schema.org/OutOfStock");
    for link in [
        "<link rel=\"canonical\" href=\"https://shop.example/game/harbour-of-glass?lang=en\">",
        "<link rel=\"alternate\" hreflang=\"de\" href=\"https://shop.example/game/harbour-of-glass?lang=de\">",
        "<link rel=\"alternate\" hreflang=\"x-default\" href=\"https://shop.example/game/harbour-of-glass?lang=en\">",
        "property=\"og:image\" content=\"https://shop.example/covers/harbour-of-glass.png\"",
    ] {
        assert!(page.contains(link), "{link}");
    }
    assert!(
        shop.get("/games?search=x")
            .await
            .page()
            .contains("name=\"robots\" content=\"noindex\"")
    );
    let sitemap = shop.get("/sitemap/1.xml").await;
    assert!(
        sitemap
            .page()
            .contains("<loc>https://shop.example/game/harbour-of-glass?lang=en</loc>")
    );
    assert_eq!(shop.get("/sitemap/2.xml").await.status, StatusCode::NOT_FOUND);
    assert!(
        shop.get("/robots.txt")
            .await
            .page()
            .contains("Sitemap: https://shop.example/sitemap.xml")
    );
}

#[tokio::test]
async fn external_text_never_becomes_markup() {
    let shop = Shop::open().await;
    let hostile = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";
    shop.put(&[complete_game("x").with(|game| {
        game.title = hostile.to_owned();
        game.slug = "hostile".to_owned();
        game.description = format!("{hostile}</p></article><style>*{{}}</style><p onclick=\"x\">fine</p>");
        game.publisher = Some(hostile.to_owned());
        game.service = Some(hostile.to_owned());
        game.region = Some(hostile.to_owned());
        game.is_best_seller = true;
        game.images = vec!["javascript:alert(1)".to_owned(), "https://\"onload=alert(1)".to_owned()];
        game.image = "https://evil.example/\"onload=\"x".to_owned();
    })])
    .await;
    let search = "/games?search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for path in ["/", "/games", "/game/hostile", search] {
        let answer = shop.get(path).await;
        assert_eq!(offences(answer.page()), Vec::<String>::new(), "{path}");
        assert!(!answer.text().contains("<script>alert"), "{path}");
    }
    assert!(shop.get("/game/hostile").await.page().contains("<p>fine</p>"));
}

#[tokio::test]
async fn invalid_addresses_get_a_helpful_error_page() {
    let shop = Shop::stocked().await;
    for (path, status) in [
        ("/games?page=0", 400),
        ("/games?page=x", 400),
        ("/games?price=free", 400),
        ("/games?min=abc", 400),
        ("/games?search=%00", 400),
        ("/game/UPPER%21", 404),
        ("/games?page=90000", 404),
        ("/game/none", 404),
        ("/game/%00", 404),
        ("/games/x", 404),
        ("/assets/site.css", 404),
        ("/sitemap/0.xml", 404),
        ("/images/1/0/320.webp", 404),
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.text().contains("href=\"/games\""), "{path} leads nowhere");
        assert!(answer.text().contains("noindex"), "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_which_error_pages_show() {
    let shop = Shop::stocked().await;
    let etag = shop.get("/").await.header("etag").unwrap().to_owned();
    for (path, more, status) in [
        ("/", &[][..], 200),
        ("/", &[("if-none-match", &*etag)][..], 304),
        ("/fragments/me", &[], 200),
        ("/robots.txt", &[], 200),
        ("/covers/portal.svg", &[], 200),
        ("/cart", &[], 200),
        ("/orders", &[], 303),
        ("/games/", &[], 308),
        ("/game/none", &[], 404),
        ("/no/such/page", &[], 404),
        ("/games?page=x", &[], 400),
        ("/preferences", &[], 405),
    ] {
        let sent = [&[("x-request-id", "from.the-proxy_1")], more].concat();
        let answer = shop.get_with(path, &sent).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.header("x-request-id"), Some("from.the-proxy_1"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let shown = answer.text().contains("Reference: from.the-proxy_1");
        assert_eq!(shown, status >= 400, "{path}");
    }
    let answer = shop.get_with("/no/such/page", &[("accept-language", "de")]).await;
    let id = answer.header("x-request-id").unwrap();
    assert!(answer.text().contains(&format!("Referenz: {id}")), "{}", answer.text());
    let answer = shop.get_with("/no/such/page", &[("x-request-id", "<script>")]).await;
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
}

#[tokio::test]
async fn without_a_database_pages_ask_readers_to_retry() {
    let db = TestDb::new().await;
    let away = Store::new("postgres://nobody@127.0.0.1:1/nothing", &Options::default()).unwrap();
    let shop = Shop::open_on(db, away, |_| {}).await;
    for path in ["/", "/games", "/game/portal", "/preorders"] {
        let answer = shop.get_with(path, &[("accept-language", "de")]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.text().contains("Wir sind gleich wieder da"), "{path}");
        assert!(!answer.header("retry-after").unwrap().is_empty(), "{path}");
    }
    assert_eq!(shop.get("/no/such/page").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_style_page_exists_in_development_only() {
    let db = TestDb::new().await;
    let store = db.store.clone();
    let shop = Shop::open_on(db, store, |settings| settings.production = true).await;
    let answer = shop.get("/style").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.header("strict-transport-security").unwrap().contains("max-age"));
}

#[tokio::test]
async fn recently_viewed_games_have_current_prices() {
    let shop = Shop::stocked().await;
    let answer = shop
        .get("/fragments/recent?game=harbour-of-glass&game=none&game=%22x&game=iron-meridian-steam-key-europe")
        .await;
    let cards = answer.page();
    assert!(cards.find("Harbour of Glass").unwrap() < cards.find("Iron Meridian").unwrap());
    assert_eq!(cards.matches("<article").count(), 2);
    assert!(answer.header("cache-control").unwrap().contains("private"));
}

#[tokio::test]
async fn catalogue_views_are_titled_and_marked_in_the_menu() {
    let shop = Shop::stocked().await;
    for (path, title) in [
        ("/games", "All games"),
        ("/games?sort=popular", "Bestsellers"),
        ("/games?sort=newest", "New releases"),
        ("/games?price=under-10&sort=popular", "Games: Under €10"),
    ] {
        let answer = shop.get(path).await;
        let page = answer.page();
        assert!(page.contains(&format!("<h1>{title}</h1>")), "{path}");
        let menu = page.split("main-nav").nth(1).unwrap().split("</nav>").next().unwrap();
        let address = path.replace('&', "&amp;");
        assert!(
            menu.contains(&format!("<a href=\"{address}\" aria-current=page>")),
            "{path}: {menu}"
        );
        assert_eq!(menu.matches("aria-current").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn former_game_addresses_redirect_to_the_current_one() {
    let shop = Shop::open().await;
    shop.put(&[complete_game("Old Name")]).await;
    assert_eq!(shop.get("/game/old-name").await.status, StatusCode::OK);
    shop.db.execute("update games set slug = 'new-name'").await;
    shop.cache.catch_up().await.unwrap();
    for (asked, led_to) in [
        ("/game/old-name", "/game/new-name"),
        ("/game/old-name?lang=de&from=mail", "/game/new-name?lang=de&from=mail"),
    ] {
        let answer = shop.get(asked).await;
        assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT, "{asked}");
        assert_eq!(answer.header("location"), Some(led_to));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
    }
    let page = shop.get("/game/new-name").await;
    let page = page.text();
    assert!(
        page.contains("rel=\"canonical\" href=\"https://shop.example/game/new-name"),
        "{page}"
    );
    let map = shop.get("/sitemap/1.xml").await;
    let map = map.text();
    assert!(
        map.contains("/game/new-name?lang=en<") && !map.contains("old-name"),
        "{map}"
    );

    // Another game takes over the old address.
    shop.put(&[complete_game("Old Name")]).await;
    let page = shop.get("/game/old-name").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text()
            .contains("rel=\"canonical\" href=\"https://shop.example/game/old-name")
    );
}

/// Regression: readers with de-AT and de-CH got prices in the German format.
#[tokio::test]
async fn cached_pages_use_the_price_format_of_the_readers_region() {
    let shop = Shop::stocked().await;
    let path = "/game/harbour-of-glass";
    let written = async |accepted: &str| {
        let page = shop.get_with(path, &[("accept-language", accepted)]).await;
        let page = page.page();
        let (_, price) = page.split_once("<p class=\"price\"><strong>").unwrap();
        price.split_once("</strong>").unwrap().0.to_owned()
    };
    // Twice: rendered, then cached.
    for _ in 0..2 {
        for (accepted, form) in [
            ("de", "10,00\u{a0}€"),
            ("de-AT,de;q=0.9", "€\u{a0}10,00"),
            ("de-CH", "EUR\u{a0}10.00"),
            ("en-GB", "€10.00"),
            ("en-AU", "EUR\u{a0}10.00"),
        ] {
            assert_eq!(written(accepted).await, form, "{accepted}");
        }
    }
}

/// Name, colours and rows of the home page count with the next look at the log, also on kept pages and on error pages.
#[tokio::test]
async fn chosen_looks_are_on_every_page() {
    let shop = Shop::stocked().await;
    let usual = shop.get("/").await;
    let usual = usual.text();
    assert!(!usual.contains("/brand/") && usual.contains("id=\"best\"") && !usual.contains("Our picks"));
    shop.db
        .execute(
            "update branding set name = 'Key <Corner>', accent_light = '#123456', shelves = '{picked,preorders}';
             insert into picked_games (place, game_id) select 1, id from games where slug = 'filler-07'",
        )
        .await;
    shop.cache.catch_up().await.unwrap();
    let home = shop.get("/").await;
    let home = home.text();
    assert!(home.contains("Key &#60;Corner&#62; –"), "{home}");
    let (_, picked) = home.split_once("id=\"picked\"").unwrap();
    let (picked, preorders) = picked.split_once("id=\"preorders\"").unwrap();
    assert!(picked.contains("Our picks") && picked.contains("Filler 07"), "{picked}");
    assert!(preorders.contains("The Lantern Keepers") && !home.contains("id=\"best\""));
    for path in ["/help", "/no/such/page", "/cart"] {
        let page = shop.get(path).await;
        assert!(
            page.text().contains("Key &#60;Corner&#62;</a>"),
            "{path}: {}",
            page.text()
        );
        assert!(
            page.text().contains("<link rel=\"stylesheet\" href=\"/brand/123456-"),
            "{path}"
        );
    }
    let (_, address) = home.split_once("<link rel=\"stylesheet\" href=\"/brand/").unwrap();
    let (file, _) = address.split_once('"').unwrap();
    let css = shop.get(&format!("/brand/{file}")).await;
    assert_eq!(css.status, StatusCode::OK);
    assert!(css.text().contains("--accent: #123456;"), "{}", css.text());
    assert_eq!(css.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(shop.get(&format!("/brand/x{file}")).await.status, StatusCode::NOT_FOUND);
    let manifest = shop.get("/site.webmanifest").await;
    let manifest: serde_json::Value = serde_json::from_str(manifest.text()).unwrap();
    assert_eq!(
        (&manifest["name"], &manifest["theme_color"]),
        (&"Key <Corner>".into(), &"#123456".into())
    );
}

#[tokio::test]
async fn the_name_of_the_settings_wins() {
    let db = TestDb::new().await;
    let store = db.store.clone();
    let shop = Shop::open_on(db, store, |settings| settings.shop_name_is_set = true).await;
    shop.db
        .execute("update branding set name = 'Key Corner', accent_dark = '#ffffff'")
        .await;
    shop.cache.catch_up().await.unwrap();
    let page = shop.get("/help").await;
    let page = page.text();
    assert!(
        !page.contains("Key Corner") && page.contains("/brand/0b6356-ffffff."),
        "{page}"
    );
}

/// What the law wants to be readable is there also while nothing can be bought, and changes when the database is back.
#[tokio::test]
async fn legal_pages_stay_readable_while_the_database_is_away() {
    let db = TestDb::new().await;
    let gate = DatabaseProxy::before(&db);
    let options = Options {
        acquire_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let store = Store::new(gate.url(), &options).unwrap();
    let shop = Shop::open_on(db, store, |_| {}).await;
    shop.db
        .execute(
            "insert into pages (slug, language, title, source, html, published)
             values ('imprint', 'en', 'Imprint', 'x', '<p>We are the shop.</p>', true)",
        )
        .await;
    shop.cache.catch_up().await.unwrap();
    let before = shop.get("/pages/imprint").await;
    assert!(before.text().contains("We are the shop."), "{}", before.text());

    gate.cut();
    let home = async { while shop.get("/").await.status != StatusCode::SERVICE_UNAVAILABLE {} };
    tokio::time::timeout(Duration::from_secs(30), home).await.unwrap();
    let away = shop.get("/pages/imprint").await;
    assert_eq!(away.status, StatusCode::OK);
    assert!(away.text().contains("We are the shop."), "{}", away.text());
    assert!(
        shop.get("/").await.text().contains("href=\"/pages/imprint\""),
        "the error page leads there"
    );
    assert_eq!(shop.get("/pages/terms").await.status, StatusCode::NOT_FOUND);

    gate.mend();
    shop.db.execute("update pages set html = '<p>We have moved.</p>'").await;
    let moved = async {
        while !shop.get("/pages/imprint").await.text().contains("We have moved.") {
            // An error means that the connections are not back yet.
            let _again = shop.cache.catch_up().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), moved).await.unwrap();
}
