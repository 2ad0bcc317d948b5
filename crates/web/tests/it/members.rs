//! Forms of signed-in users.

use http::StatusCode;
use lockstep_testkit::TestDb;

use crate::html::values;
use crate::shop::{Shop, complete_game};

/// The checkout has no search and no menus: the header links to home and the cart, the footer to the languages and the
/// legal pages.
#[tokio::test]
async fn the_checkout_hides_search_and_menus() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("zoltan@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.post("/cart/add", &format!("game={}", game.id), &cookies).await;
    for (language, back) in [("en", "Back to the cart"), ("de", "Zurück zum Warenkorb")] {
        let page = shop.get_with(&format!("/checkout?lang={language}"), &cookies).await;
        let page = page.page();
        assert!(page.contains("href=\"#content\"") && page.contains(back), "{page}");
        assert!(
            !page.contains("role=\"search\"") && !page.contains("class=\"wrap main-nav\""),
            "{page}"
        );
        let mut links = values(page, "href");
        links.retain(|link| !link.contains("/assets/") && !link.starts_with('#'));
        links.sort();
        links.dedup();
        assert_eq!(
            links,
            [
                "/",
                "/accessibility",
                "/apple-touch-icon.png",
                "/cart",
                "/checkout?lang=de",
                "/checkout?lang=en",
                "/checkout?lang=es",
                "/checkout?lang=fr",
                "/checkout?lang=pl",
                "/help",
                "/help#refunds",
                "/site.webmanifest",
                "/withdraw"
            ]
        );
    }
    // Other pages have them.
    let cart = shop.get_with("/cart", &cookies).await;
    assert!(cart.page().contains("role=\"search\"") && cart.text().contains("class=\"wrap main-nav\""));
}

/// Browsers block a form whose redirect ends on another site (`form-action`), so the form redirects to a page of this
/// site, which leads to the payment page.
#[tokio::test]
async fn external_payment_pages_are_not_reached_by_a_form_redirect() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("ada@example.org").await;
    let order = format!("item={}:1&expected=10.00&payment=10.00&key=k-2&promo=", game.id);
    for (path, form, leads_to) in [
        ("/account/balance", "amount=20&key=k-1", "/account/balance?"),
        ("/checkout", order.as_str(), "/checkout/"),
    ] {
        let answer = shop.post(path, form, &[("cookie", &cookies)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.text());
        let to = answer.header("location").unwrap();
        assert!(to.starts_with(leads_to), "{path} redirects to {to}");
        let page = shop.get_with(to, &[("cookie", &cookies)]).await;
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(
            page.header("content-security-policy")
                .unwrap()
                .contains("form-action 'self';")
        );
        let link = values(page.page(), "href")
            .into_iter()
            .find(|href| href.starts_with("https://pay.example/session/"))
            .expect("a link to the payment page");
        assert!(
            page.page()
                .contains(&format!("<meta http-equiv=\"refresh\" content=\"0;url={link}\">"))
        );
    }
}

#[tokio::test]
async fn guests_log_in_and_confirm_before_a_stock_alert_is_created() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass").with(|game| game.in_stock = false);
    shop.put(std::slice::from_ref(&game)).await;
    let page = shop.get("/game/harbour-of-glass").await;
    assert!(page.page().contains("action=\"/stock-alerts\"") && page.page().contains("E-mail me when it’s back"));
    let form = format!("game={}", game.id);
    let answer = shop.post("/stock-alerts", &form, &[]).await;
    let ask = format!("/stock-alerts/{}", game.id);
    let log_in = format!("/login?next={}", ask.replace('/', "%2F"));
    assert_eq!(answer.header("location"), Some(&*log_in));
    assert_eq!(shop.db.count("stock_alerts").await, 0);
    // An anonymous visitor is sent to the log-in as well, and back.
    let answer = shop.get(&ask).await;
    assert_eq!(answer.header("location"), Some(&*log_in));

    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    let page = shop.get_with(&ask, &cookies).await;
    assert!(page.page().contains("Harbour of Glass is sold out"), "{}", page.text());
    assert!(values(page.page(), "value").contains(&game.id.to_string()));
    let german = shop.get_with(&format!("{ask}?lang=de"), &cookies).await;
    assert!(german.page().contains("Harbour of Glass ist ausverkauft"));
    for _ in 0..2 {
        let answer = shop.post("/stock-alerts", &form, &cookies).await;
        assert_eq!(answer.header("location"), Some("/wishlist?done=waiting#waiting"));
    }
    assert_eq!(shop.db.count("stock_alerts").await, 1);
    let page = shop.get_with("/wishlist", &cookies).await;
    assert!(page.page().contains("Waiting for these to come back") && page.page().contains("Harbour of Glass"));
    assert!(page.page().contains("action=\"/stock-alerts/remove\""));

    let answer = shop.post("/stock-alerts/remove", &form, &cookies).await;
    assert_eq!(answer.header("location"), Some("/wishlist?done=not_waiting"));
    assert_eq!(shop.db.count("stock_alerts").await, 0);
    assert!(
        !shop
            .get_with("/wishlist", &cookies)
            .await
            .page()
            .contains("Harbour of Glass")
    );

    // In stock again: redirects to the page of the game.
    shop.db.execute("update games set in_stock = true").await;
    shop.cache.catch_up().await.unwrap();
    let answer = shop.post("/stock-alerts", &form, &cookies).await;
    assert_eq!(answer.header("location"), Some("/game/harbour-of-glass"));
    assert_eq!(
        shop.get_with(&ask, &cookies).await.header("location"),
        Some("/game/harbour-of-glass")
    );
    for wrong in ["/stock-alerts/x", "/stock-alerts/00000000-0000-4000-8000-000000000000"] {
        assert_eq!(
            shop.get_with(wrong, &cookies).await.status,
            StatusCode::NOT_FOUND,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_header_fragment_lists_wishlisted_games_of_a_page() {
    let shop = Shop::open().await;
    let (wished, other) = (complete_game("Harbour of Glass"), complete_game("Iron Meridian"));
    shop.put(&[wished.clone(), other.clone()]).await;
    let ask = format!("/fragments/me?game={}&game=nonsense&game={}", wished.id, other.id);
    let anonymous = shop.get(&ask).await;
    assert!(
        anonymous.page().contains("<data value=\"\"></data>"),
        "{}",
        anonymous.text()
    );
    // Browsers that go back do not revalidate what they have stored.
    assert_eq!(anonymous.header("cache-control"), Some("no-store"));
    let set = anonymous.header("set-cookie").unwrap();
    assert!(
        set.starts_with("nextGuest=") && set.ends_with("; HttpOnly; SameSite=Lax; Path=/; Max-Age=3600"),
        "{set}"
    );
    assert_eq!(shop.db.count("shoppers").await, 0, "looking makes nobody a guest");

    // A click on a heart gets the same response.
    let form = format!("game={}&next={}", wished.id, ask.replace('&', "%26"));
    let answer = shop.post("/wishlist/add", &form, &[]).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (StatusCode::SEE_OTHER, Some(ask.as_str()))
    );
    let guest = answer
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let guest = [("cookie", guest.as_str())];
    let fragment = shop.get_with(&ask, &guest).await;
    assert!(
        fragment
            .page()
            .contains(&format!("<data value=\"{}\"></data>", wished.id)),
        "{}",
        fragment.text()
    );
    let others_page = shop.get_with(&format!("/fragments/me?game={}", other.id), &guest).await;
    assert!(
        others_page.page().contains("<data value=\"\"></data>"),
        "only what is asked for is told"
    );

    let form = format!("game={}&next={}", wished.id, ask.replace('&', "%26"));
    let answer = shop.post("/wishlist/remove", &form, &guest).await;
    assert_eq!(answer.header("location"), Some(ask.as_str()));
    let fragment = shop.get_with(&ask, &guest).await;
    assert!(fragment.page().contains("<data value=\"\"></data>"));

    // The page itself is the same for everyone and has no personal data.
    let page = shop.get_with("/game/harbour-of-glass", &guest).await;
    assert!(page.page().contains(&format!("data-wish=\"{}\"", wished.id)));
    assert_eq!(page.page(), shop.get("/game/harbour-of-glass").await.page());
}

#[tokio::test]
async fn readers_returning_from_payment_see_its_status() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    let answer = shop.post("/account/balance", "amount=20&key=k-1", &cookies).await;
    let back = answer.header("location").unwrap().replace("&pay=1", "");

    let waiting = shop.get_with(&back, &cookies).await;
    assert!(waiting.page().contains("Your payment of €20.00 is on its way"));
    assert!(waiting.page().contains("http-equiv=\"refresh\""));
    assert!(
        !waiting.page().contains("name=\"amount\""),
        "nothing typed is lost when it looks again"
    );
    assert!(waiting.page().contains(">I have not paid yet</a>"));
    assert!(!waiting.page().contains("href=\"/checkout\""));

    shop.post("/cart/add", &format!("game={}", game.id), &cookies).await;
    let unpaid = shop.get_with(&format!("{back}&cancelled=1"), &cookies).await;
    assert!(
        unpaid
            .page()
            .contains("You have not paid €20.00 yet. No money has moved.")
    );
    assert!(!unpaid.page().contains("http-equiv=\"refresh\""));
    assert!(
        values(unpaid.page(), "href")
            .iter()
            .any(|href| href.starts_with("https://pay.example/session/"))
    );
    assert!(unpaid.page().contains("href=\"/checkout\""), "on with the cart");
}

#[tokio::test]
async fn deviating_payments_show_the_review_and_its_result() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    let answer = shop.post("/account/balance", "amount=20&key=k-1", &cookies).await;
    let back = answer.header("location").unwrap().replace("&pay=1", "");
    shop.db
        .execute(
            "update top_ups set review = 'OTHER_AMOUNT', review_since = now(), paid_amount = 1021.90, paid_currency = 'EUR'",
        )
        .await;
    let notice = "You paid €1,021.90 instead of €20.00. We are checking this payment";
    for path in [back.as_str(), "/account/balance"] {
        let page = shop.get_with(path, &cookies).await;
        assert!(page.page().contains(notice), "{path}: {}", page.text());
        assert!(!page.page().contains("http-equiv=\"refresh\""), "{path}");
        assert!(!page.page().contains("pay.example"), "it is not paid twice: {path}");
    }
    let german = shop
        .get_with("/account/balance", &[cookies[0], ("accept-language", "de")])
        .await;
    assert!(
        german
            .page()
            .contains("Du hast 1.021,90\u{a0}€ statt 20,00\u{a0}€ gezahlt")
    );
    shop.db
        .execute("update top_ups set reviewed_at = now(), status = 'FAILED', paid_currency = 'USD'")
        .await;
    let page = shop.get_with(&back, &cookies).await;
    assert!(
        page.text()
            .contains("You paid 1021.90\u{a0}USD instead of €20.00. This payment was not credited"),
        "{}",
        page.text()
    );
    assert!(
        !shop
            .get_with("/account/balance", &cookies)
            .await
            .page()
            .contains("We are checking this payment")
    );
}

#[tokio::test]
async fn owners_find_an_order_by_its_short_number() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass (PC) - Steam Key - UNITED STATES");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.db
        .execute(
            "with rich as (update users set balance = 100 returning id)
             insert into transactions (user_id, type, amount, status)
             select id, 'TOP_UP', 100, 'COMPLETED' from rich",
        )
        .await;
    shop.post("/cart/add", &format!("game={}&quantity=2", game.id), &cookies)
        .await;
    let checkout = shop.get_with("/checkout", &cookies).await;
    assert!(checkout.page().contains(">Pay €20.00</button>") && checkout.page().contains("You pay from your balance"));
    let form = format!("item={}:2&expected=20.00&key=k-1&promo=", game.id);
    let answer = shop.post("/checkout", &form, &cookies).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let order = answer.header("location").unwrap().split('?').next().unwrap().to_owned();
    let number: String = sqlx::query_scalar("select number from orders")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();

    let page = shop.get_with(&order, &cookies).await;
    for what in [
        format!("Order {number}"),
        "2 × €10.00".to_owned(),
        " UTC</time>".to_owned(),
        "Steam · United States".to_owned(),
    ] {
        assert!(page.page().contains(&what), "{what}: {}", page.text());
    }
    assert!(!page.page().contains("Steam Key"), "the raw listing is not shown");
    let list = shop.get_with("/orders", &cookies).await;
    assert!(list.page().contains(&number));

    // The statement of the balance names the game, for a purchase and for a refund.
    shop.db
        .execute(
            "begin;
             insert into transactions (user_id, type, amount, status, method, subject, reason, description)
             select user_id, 'REFUND', 3, 'COMPLETED', 'BALANCE', 'Iron Meridian Steam Key EUROPE', 'SOLD_OUT',
                    'Iron Meridian Steam Key EUROPE: sold out' from orders;
             update users set balance = balance + 3;
             commit",
        )
        .await;
    let statement = shop.get_with("/account/balance", &cookies).await;
    for what in [
        "<p class=\"subject\">2 × Harbour of Glass</p>",
        "<p class=\"subject\">Iron Meridian</p>",
    ] {
        assert!(statement.page().contains(what), "{what}: {}", statement.text());
    }
    assert!(!statement.text().contains("Steam Key"), "the raw listing is not shown");

    // As people type it.
    let typed = number.to_lowercase();
    let (front, back) = typed.split_at(5);
    let found = shop
        .get_with(&format!("/orders?number=+{front}-{back}"), &cookies)
        .await;
    assert_eq!(
        (found.status, found.header("location")),
        (StatusCode::SEE_OTHER, Some(order.as_str()))
    );
    let none = shop.get_with("/orders?number=0000000000", &cookies).await;
    assert!(none.page().contains("There is no order with the number 0000000000."));
    // Other users do not find it.
    let other = shop.register("bob@example.org").await;
    let other = shop
        .get_with(&format!("/orders?number={number}"), &[("cookie", &other)])
        .await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn the_language_of_pages_is_stored_for_emails() {
    let shop = Shop::open().await;
    let language = async || -> Option<String> {
        sqlx::query_scalar("select language from users")
            .fetch_one(&shop.db.sql)
            .await
            .unwrap()
    };
    let form = "email=ada@example.org&password=Correct-Horse-1";
    let answer = shop
        .post("/register", form, &[("accept-language", "de-AT,en;q=0.5")])
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert_eq!(language().await.as_deref(), Some("de"));
    let cookies: Vec<String> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
        .collect();
    let cookies = cookies.join("; ");
    shop.get_with("/cart?lang=en", &[("cookie", &cookies)]).await;
    assert_eq!(language().await.as_deref(), Some("en"));
}

#[tokio::test]
async fn unavailable_games_show_no_discount_or_original_price() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    shop.db
        .execute("update games set original_price = 25, discount = 60")
        .await;
    shop.cache.catch_up().await.unwrap();
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.post("/wishlist/add", &format!("game={}", game.id), &cookies).await;
    for path in ["/game/harbour-of-glass", "/wishlist", "/games?stock=all"] {
        let page = shop.get_with(path, &cookies).await;
        assert!(page.page().contains("€25.00</del>"), "{path}: {}", page.text());
    }
    shop.db.execute("update games set in_stock = false").await;
    shop.cache.catch_up().await.unwrap();
    for path in ["/game/harbour-of-glass", "/wishlist", "/games?stock=all"] {
        let page = shop.get_with(path, &cookies).await;
        assert!(!page.page().contains("€25.00"), "{path}: {}", page.text());
        assert!(!page.page().contains("60%"), "{path}");
    }
}

#[tokio::test]
async fn the_test_payment_page_uses_the_shops_layout() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.post("/account/balance", "amount=1234.50&key=k-1", &cookies).await;
    let reference: String = sqlx::query_scalar("select reference from top_ups")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let path = format!("/test-payment/{reference}");
    // Anyone with the address can pay, as at a card terminal.
    let page = shop.get_with(&path, &[("accept-language", "de-AT")]).await;
    for what in [
        "<html lang=\"de\"",
        "Testzahlung – Lockstep",
        "€\u{a0}1.234,50 bezahlen",
        "rel=\"stylesheet\"",
    ] {
        assert!(page.page().contains(what), "{what}: {}", page.text());
    }
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(
        shop.post(&path, "decision=maybe", &[]).await.status,
        StatusCode::BAD_REQUEST
    );
    for decision in ["pay", "decline"] {
        let done = shop.post(&path, &format!("decision={decision}"), &[]).await;
        assert_eq!(
            (done.status, done.header("location")),
            (StatusCode::SEE_OTHER, Some(&*path))
        );
    }
    let decided = shop.get(&path).await;
    assert!(decided.page().contains("This payment of €1,234.50 has been decided."));
    assert!(decided.page().contains("http-equiv=\"refresh\""), "it leads on");
    assert!(
        shop.get_with("/account/balance", &cookies)
            .await
            .page()
            .contains("<p class=\"amount\">€1,234.50</p>")
    );
    for path in ["/test-payment/test_x", "/test-payment/%00"] {
        assert_eq!(shop.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            shop.post(path, "decision=pay", &[]).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn preorders_are_labelled_from_the_cart_to_the_order() {
    let shop = Shop::open().await;
    let game = complete_game("The Lantern Keepers").with(|game| game.is_preorder = true);
    shop.put(std::slice::from_ref(&game)).await;
    shop.db
        .execute("update games set release_date = '2031-05-17', release_date_known = true")
        .await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.db
        .execute(
            "with rich as (update users set balance = 100 returning id)
             insert into transactions (user_id, type, amount, status)
             select id, 'TOP_UP', 100, 'COMPLETED' from rich",
        )
        .await;
    shop.post("/cart/add", &format!("game={}", game.id), &cookies).await;
    for path in ["/cart", "/checkout"] {
        assert!(
            shop.get_with(path, &cookies)
                .await
                .page()
                .contains("<p class=\"tag warn\">Preorder</p>"),
            "{path}"
        );
    }
    let form = format!("item={}:1&expected=10.00&key=k-1&promo=", game.id);
    let answer = shop.post("/checkout", &form, &cookies).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let order = answer.header("location").unwrap();
    assert!(
        shop.get_with(order, &cookies)
            .await
            .page()
            .contains("Preorder: your key comes by 17 May 2031")
    );
    shop.db.execute("update games set release_date_known = false").await;
    shop.cache.catch_up().await.unwrap();
    let german = shop.get_with(order, &[cookies[0], ("accept-language", "de")]).await;
    assert!(
        german
            .page()
            .contains("Vorbestellt: Dein Key kommt zum Erscheinungstag")
    );
}

#[tokio::test]
async fn an_order_says_that_a_faulty_key_is_being_replaced() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.db
        .execute(
            "with rich as (update users set balance = 100 returning id)
             insert into transactions (user_id, type, amount, status)
             select id, 'TOP_UP', 100, 'COMPLETED' from rich",
        )
        .await;
    shop.post("/cart/add", &format!("game={}", game.id), &cookies).await;
    let form = format!("item={}:1&expected=10.00&key=k-1&promo=", game.id);
    let answer = shop.post("/checkout", &form, &cookies).await;
    let order = answer.header("location").unwrap();
    let unit = sqlx::query_scalar("select id from order_units")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let key = shop.db.deliver(unit).await;
    shop.db
        .execute("update orders set status = 'PROCESSING'; update orders set status = 'COMPLETED'")
        .await;
    shop.cache.catch_up().await.unwrap();
    assert!(
        shop.get_with(order, &cookies)
            .await
            .page()
            .contains("data-order=\"over\"")
    );
    shop.db
        .execute(&format!(
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now();
             update order_units set state = 'NEW', faulty_key_id = '{key}'"
        ))
        .await;
    shop.cache.catch_up().await.unwrap();
    let page = shop.get_with(order, &cookies).await;
    for shown in [
        "The key did not work; another one is being fetched",
        "data-order=\"open\"",
    ] {
        assert!(page.page().contains(shown), "{shown}: {}", page.text());
    }
    let german = shop.get_with(order, &[cookies[0], ("accept-language", "de")]).await;
    assert!(
        german
            .page()
            .contains("Der Key funktionierte nicht; ein anderer wird geholt")
    );
}

#[tokio::test]
async fn wrong_promo_codes_share_one_error_and_guesses_are_limited() {
    let shop = Shop::open().await;
    let game = complete_game("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    shop.db.promo_code("GOOD", 10, None).await;
    shop.db.promo_code("USED", 10, Some(1)).await;
    shop.db
        .execute("update promo_codes set used_count = 1 where code = 'USED'")
        .await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.post("/cart/add", &format!("game={}", game.id), &cookies).await;
    let asked = async |code: &str| {
        let page = shop.get_with(&format!("/checkout?promo={code}"), &cookies).await;
        page.text().to_owned()
    };
    for code in ["NOPE", "USED"] {
        assert!(asked(code).await.contains("This code isn’t valid."), "{code}");
    }
    assert!(asked("good").await.contains("-€"), "a good one counts");
    for n in 0..8 {
        asked(&format!("GUESS{n}")).await;
    }
    // Guesses are limited; the order does not depend on it.
    let page = asked("GOOD").await;
    assert!(page.contains("You&#39;ve tried too many codes."), "{page}");
    assert!(!page.contains("-€"));
    assert!(asked("").await.contains("Portal"));
}

/// Compression polls a body once more after its end.
#[tokio::test]
async fn account_exports_are_complete_when_compressed() {
    use std::io::Read as _;

    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    let headers = [("cookie", cookies.as_str()), ("accept-encoding", "gzip")];
    let answer = shop.get_with("/account/data/download", &headers).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    let data: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["user"]["email"], "ada@example.org");
}

#[tokio::test]
async fn account_pages_are_not_stored_and_reset_pages_send_no_referrer() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    for path in [
        "/account",
        "/account/profile",
        "/account/password",
        "/account/second-factor",
        "/account/sessions",
        "/account/data",
        "/account/balance",
        "/account/keys",
        "/orders",
    ] {
        let page = shop
            .get_with(path, &[("cookie", &cookies), ("accept-encoding", "gzip")])
            .await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(
            (page.header("cache-control"), page.header("content-encoding")),
            (Some("no-store"), None),
            "{path}"
        );
    }
    // A page without personal data is compressed.
    let page = shop.get_with("/help", &[("accept-encoding", "gzip")]).await;
    assert_eq!(page.header("content-encoding"), Some("gzip"));

    let token = "0123456789abcdef".repeat(4);
    let reset = shop.get(&format!("/reset-password?token={token}")).await;
    assert_eq!(reset.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        shop.get("/help").await.header("referrer-policy"),
        Some("strict-origin-when-cross-origin")
    );
}

#[tokio::test]
async fn cookies_are_secure_in_production() {
    let db = TestDb::new().await;
    let store = db.store.clone();
    let shop = Shop::open_on(db, store, |settings| settings.production = true).await;
    let answers = [
        shop.post("/register", "email=ada@example.org&password=Correct-Horse-1", &[])
            .await,
        shop.post("/preferences", "theme=dark", &[]).await,
        shop.get("/help?lang=de").await,
        shop.get("/fragments/me").await,
    ];
    let mut seen = 0;
    for answer in &answers {
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; Secure"), "{cookie}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen} cookies");
    // Browsers accept these from this host only; a cookie of that name without the prefix is ignored.
    let cookies = shop.register("bob@example.org").await;
    assert!(
        cookies.contains("__Host-access=") && cookies.contains("__Host-refresh="),
        "{cookies}"
    );
    let page = shop.get_with("/account", &[("cookie", &cookies)]).await;
    assert_eq!(page.status, StatusCode::OK);
    let planted = cookies.replace("__Host-", "");
    let answer = shop.get_with("/account", &[("cookie", &planted)]).await;
    assert_eq!(answer.header("location"), Some("/login?next=%2Faccount"));
}

#[tokio::test]
async fn recovery_codes_are_shown_once_and_work_once() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    let headers = [("cookie", cookies.as_str())];
    let offered = shop
        .post("/account/second-factor", "password=Correct-Horse-1", &headers)
        .await;
    let secret: String = offered
        .page()
        .split("<code class=\"key\">")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap()
        .replace(' ', "");
    let enrolment = lockstep_auth::totp::Enrolment {
        secret: lockstep_domain::Secret::new(secret),
        url: lockstep_domain::Secret::new(""),
    };
    let code = lockstep_auth::totp::code_at(&enrolment, shop.clock.now()).unwrap();
    let shown = shop
        .post("/account/second-factor/confirm", &format!("code={code}"), &headers)
        .await;
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let codes: Vec<&str> = shown
        .page()
        .split("<code class=\"key\">")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap())
        .collect();
    assert_eq!(codes.len(), 10, "{}", shown.text());
    let page = shop.get_with("/account/second-factor", &headers).await;
    assert!(page.page().contains("10 recovery codes left"), "{}", page.text());
    assert!(codes.iter().all(|code| !page.text().contains(code)));

    let log_in = format!("email=ada@example.org&password=Correct-Horse-1&code={}", codes[0]);
    assert_eq!(shop.post("/login", &log_in, &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        shop.post("/login", &log_in, &[]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let form = format!("password=Correct-Horse-1&code={}", codes[1]);
    let anew = shop
        .post("/account/second-factor/recovery-codes", &form, &headers)
        .await;
    assert!(anew.page().contains("Earlier ones no longer work"), "{}", anew.text());
    assert!(codes.iter().all(|code| !anew.text().contains(code)));
}

/// Accounts of an earlier shop may have such addresses; whether one does, the page does not say.
#[tokio::test]
async fn no_link_is_promised_where_no_email_can_go() {
    let shop = Shop::open().await;
    for address in ["%22%22%40example.com", "a.%40hotmail.com"] {
        let answer = shop.post("/forgot-password", &format!("email={address}"), &[]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{address}");
        assert!(
            answer.text().contains("We can’t send e-mail to this address."),
            "{}",
            answer.text()
        );
    }
    let refused = shop
        .post("/forgot-password?lang=de", "email=%22%22%40example.com", &[])
        .await;
    assert!(
        refused
            .text()
            .contains("An diese Adresse können wir keine E-Mail senden."),
        "{}",
        refused.text()
    );
}

#[tokio::test]
async fn forms_sent_without_a_session_lead_to_the_login_and_back() {
    let shop = Shop::stocked().await;
    let cookies = shop.register("zoltan@example.org").await;
    for (path, page) in [
        ("/checkout", "/checkout"),
        ("/account/balance", "/account/balance"),
        ("/account/profile", "/account/profile"),
        ("/account/password", "/account/password"),
        ("/account/second-factor", "/account/second-factor"),
        ("/account/second-factor/confirm", "/account/second-factor"),
        ("/account/second-factor/remove", "/account/second-factor"),
        ("/account/sessions/end", "/account/sessions"),
        ("/account/sessions/end-others", "/account/sessions"),
        ("/account/delete", "/account/delete"),
        ("/verify-email", "/verify-email"),
        ("/verify-email/again", "/verify-email"),
    ] {
        let shown = format!("{page}?shown=1");
        for (referer, back) in [
            // Browsers may send no referrer, or only the origin.
            (None, page),
            (Some("https://shop.example/".to_owned()), page),
            (Some(format!("https://shop.example{shown}")), shown.as_str()),
            // A rejected form is shown again under the address that accepts it.
            (Some(format!("https://shop.example{path}")), page),
            (Some("https://shop.example/games".to_owned()), page),
        ] {
            let headers: Vec<(&str, &str)> = referer.iter().map(|referer| ("referer", referer.as_str())).collect();
            let answer = shop.post(path, "amount=20&key=k-1&total=0", &headers).await;
            let to = answer.header("location").unwrap();
            let mut wanted = form_urlencoded::Serializer::new(String::new());
            let wanted = format!("/login?{}", wanted.append_pair("next", back).finish());
            assert_eq!(to, wanted, "{path} from {referer:?}");
        }
        let answer = shop.get_with(page, &[("cookie", &cookies)]).await;
        // With an empty cart, the checkout redirects to the cart.
        let leads_on = page == "/checkout" && answer.header("location") == Some("/cart");
        assert!(answer.status == StatusCode::OK || leads_on, "{page}: {}", answer.status);
    }
    let form = "email=zoltan@example.org&password=Correct-Horse-1&next=%2Fcheckout%3Fshown%3D1";
    let come_in = shop.post("/login", form, &[]).await;
    assert_eq!(
        come_in.header("location"),
        Some("/checkout?shown=1"),
        "{}",
        come_in.text()
    );
    assert_eq!(shop.db.count("orders").await, 0, "nothing is bought by itself");
    assert_eq!(shop.db.count("transactions").await, 0);
}

/// Such addresses are refused now; accounts from before may have one.
#[tokio::test]
async fn a_new_code_for_an_address_without_mailbox_is_refused_in_words() {
    let shop = Shop::open().await;
    let cookies = shop.register("zoltan@example.org").await;
    shop.db
        .execute(r#"update users set email = '""@example.com', email_verified = false"#)
        .await;
    let cookies = [("cookie", cookies.as_str())];
    let answer = shop.post("/verify-email/again", "", &cookies).await;
    assert_ne!(answer.status, StatusCode::SEE_OTHER);
    assert!(
        answer.text().contains("We can’t send e-mail to this address."),
        "{}",
        answer.text()
    );
}
