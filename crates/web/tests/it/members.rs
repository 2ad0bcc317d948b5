//! What members do with forms.

use http::StatusCode;

use crate::html::values;
use crate::shop::{Shop, complete_game};

/// Browsers refuse when a form of ours ends on another site, also by a redirect (`form-action`); so the form's answer
/// leads to a page of ours, and that one leads on.
#[tokio::test]
async fn the_way_to_a_payment_page_on_another_site_is_no_forms_redirect() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    for (path, form) in [
        ("/account/balance", "amount=20&key=k-1"),
        ("/checkout/top-up", "amount=20.00&key=k-2"),
    ] {
        let answer = shop.post(path, form, &[("cookie", &cookies)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.text());
        let to = answer.header("location").unwrap();
        assert!(to.starts_with("/account/balance?"), "{path} redirects to {to}");
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
async fn a_guest_who_wants_to_be_told_logs_in_and_is_asked_once_more() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass").with(|game| game.in_stock = false);
    shop.put(std::slice::from_ref(&game)).await;
    let page = shop.get("/game/harbour-of-glass").await;
    assert!(page.page().contains("action=\"/stock-alerts\"") && page.page().contains("Tell me when it is back"));
    let form = format!("game={}", game.id);
    let answer = shop.post("/stock-alerts", &form, &[]).await;
    let ask = format!("/stock-alerts/{}", game.id);
    let log_in = format!("/login?next={}", ask.replace('/', "%2F"));
    assert_eq!(answer.header("location"), Some(&*log_in));
    assert_eq!(shop.db.count("stock_alerts").await, 0);
    // Nobody in particular is led to the log-in from there as well, and back.
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
    assert!(page.page().contains("We tell you when these are back") && page.page().contains("Harbour of Glass"));
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

    // Back already: its page says so better.
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
async fn the_headers_request_tells_which_of_a_pages_hearts_are_full() {
    let shop = Shop::open().await;
    let (wished, other) = (complete_game("Harbour of Glass"), complete_game("Iron Meridian"));
    shop.put(&[wished.clone(), other.clone()]).await;
    let ask = format!("/fragments/me?game={}&game=nonsense&game={}", wished.id, other.id);
    let nobody = shop.get(&ask).await;
    assert!(nobody.page().contains("<data value=\"\"></data>"), "{}", nobody.text());
    // Browsers that go back do not ask again what they have kept.
    assert_eq!(nobody.header("cache-control"), Some("no-store"));
    let set = nobody.header("set-cookie").unwrap();
    assert!(
        set.starts_with("nextGuest=") && set.ends_with("; HttpOnly; SameSite=Lax; Path=/; Max-Age=3600"),
        "{set}"
    );
    assert_eq!(shop.db.count("shoppers").await, 0, "looking makes nobody a guest");

    // A heart's own request is answered with the same.
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
    let told = shop.get_with(&ask, &guest).await;
    assert!(
        told.page().contains(&format!("<data value=\"{}\"></data>", wished.id)),
        "{}",
        told.text()
    );
    let others_page = shop.get_with(&format!("/fragments/me?game={}", other.id), &guest).await;
    assert!(
        others_page.page().contains("<data value=\"\"></data>"),
        "only what is asked for is told"
    );

    let form = format!("game={}&next={}", wished.id, ask.replace('&', "%26"));
    let answer = shop.post("/wishlist/remove", &form, &guest).await;
    assert_eq!(answer.header("location"), Some(ask.as_str()));
    let told = shop.get_with(&ask, &guest).await;
    assert!(told.page().contains("<data value=\"\"></data>"));

    // The page itself is the same for everybody, and says nothing of it.
    let page = shop.get_with("/game/harbour-of-glass", &guest).await;
    assert!(page.page().contains(&format!("data-wish=\"{}\"", wished.id)));
    assert_eq!(page.page(), shop.get("/game/harbour-of-glass").await.page());
}

#[tokio::test]
async fn whoever_comes_back_from_the_payment_page_knows_where_they_stand() {
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
async fn a_preorder_is_called_one_from_the_cart_to_the_order_which_says_when_its_key_comes() {
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
async fn a_wrong_promo_code_is_refused_in_one_text_and_guessing_ends() {
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
        assert!(asked(code).await.contains("This code isn&#39;t valid."), "{code}");
    }
    assert!(asked("good").await.contains("−€"), "a good one counts");
    for n in 0..8 {
        asked(&format!("GUESS{n}")).await;
    }
    // Guessing has an end; the order does not depend on it.
    let page = asked("GOOD").await;
    assert!(page.contains("You&#39;ve tried too many codes."), "{page}");
    assert!(!page.contains("−€"));
    assert!(asked("").await.contains("Portal"));
}

/// Compression asks a body for more after its end.
#[tokio::test]
async fn the_data_of_an_account_come_whole_also_compressed() {
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
async fn a_form_that_was_sent_after_the_session_was_over_leads_to_the_log_in_and_back_to_its_page() {
    let shop = Shop::stocked().await;
    let cookies = shop.register("zoltan@example.org").await;
    for (path, page) in [
        ("/checkout", "/checkout"),
        ("/checkout/top-up", "/checkout"),
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
            // Browsers may keep to themselves where they were, or tell only the site.
            (None, page),
            (Some("https://shop.example/".to_owned()), page),
            (Some(format!("https://shop.example{shown}")), shown.as_str()),
            // A form that was refused is shown again under the address that takes it.
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
        assert_eq!(answer.status, StatusCode::OK, "{page}");
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
