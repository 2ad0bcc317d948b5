//! Variants of addresses are redirected, and unknown addresses get an error page.

use http::StatusCode;
use lockstep_web::Supply;

use crate::html::values;
use crate::shop::{Shop, complete_game};

#[tokio::test]
async fn trailing_slashes_and_capitals_in_slugs_redirect() {
    let shop = Shop::open().await;
    shop.put(&[complete_game("Harbour of Glass")]).await;
    for (asked, led_to) in [
        ("/games/", "/games"),
        ("/games/?genre=rpg&page=2", "/games?genre=rpg&page=2"),
        ("/help//", "/help"),
        ("/account/balance/", "/account/balance"),
        ("/game/harbour-of-glass/?lang=de", "/game/harbour-of-glass?lang=de"),
        ("/game/Harbour-OF-Glass?lang=de", "/game/harbour-of-glass?lang=de"),
        ("//evil.example/", "/evil.example"),
        ("/%5Cevil.example/", "/%5Cevil.example"),
    ] {
        let answer = shop.get(asked).await;
        assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT, "{asked}");
        assert_eq!(answer.header("location"), Some(led_to), "{asked}");
    }
    for nowhere in ["/game/Nö-Such", "/game/no-such-game", "/no/such/page"] {
        let nowhere = nowhere.replace('ö', "%C3%B6");
        assert_eq!(shop.get(&nowhere).await.status, StatusCode::NOT_FOUND, "{nowhere}");
    }
}

#[tokio::test]
async fn icons_are_served_at_their_fixed_addresses() {
    let shop = Shop::open().await;
    for (path, kind, beginning) in [
        ("/favicon.ico", "image/x-icon", &b"\0\0\x01\0"[..]),
        ("/apple-touch-icon.png", "image/png", b"\x89PNG"),
    ] {
        let answer = shop.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, Some(kind)),
            "{path}"
        );
        assert!(answer.bytes.starts_with(beginning), "{path}");
    }
}

#[tokio::test]
async fn pages_beyond_the_last_are_not_found() {
    let shop = Shop::stocked().await;
    for (path, status) in [
        ("/games", StatusCode::OK),
        ("/games?page=1", StatusCode::OK),
        ("/games?search=nothingofthatkind", StatusCode::OK),
        ("/games?page=90000", StatusCode::NOT_FOUND),
        ("/games?genre=rpg&page=40", StatusCode::NOT_FOUND),
        ("/games?search=nothingofthatkind&page=2", StatusCode::NOT_FOUND),
        ("/games?page=99999999999999999999999", StatusCode::NOT_FOUND),
        ("/games?page=0", StatusCode::BAD_REQUEST),
        ("/games?page=-1", StatusCode::BAD_REQUEST),
        ("/games?page=two", StatusCode::BAD_REQUEST),
        // An empty field of a form.
        ("/games?page=", StatusCode::OK),
    ] {
        assert_eq!(shop.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn form_addresses_redirect_to_the_page_of_the_form() {
    let shop = Shop::open().await;
    for (path, page) in [
        ("/cart/set", "/cart"),
        ("/cart/add", "/cart"),
        ("/cart/remove", "/cart"),
        ("/wishlist/add", "/wishlist"),
        ("/stock-alerts/remove", "/wishlist"),
        ("/verify-email/again", "/verify-email"),
        ("/account/second-factor/confirm", "/account/second-factor"),
        ("/account/sessions/end-others", "/account/sessions"),
        ("/account/profile/picture", "/account/profile"),
        ("/account/profile/no-picture", "/account/profile"),
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert_eq!(answer.header("location"), Some(page), "{path}");
    }
}

#[tokio::test]
async fn canonical_addresses_are_among_the_hreflang_addresses() {
    let shop = Shop::stocked().await;
    for path in ["/", "/games", "/game/harbour-of-glass", "/help"] {
        for (language, code) in [
            ("en", "en"),
            ("de", "de"),
            ("fr-CA", "fr"),
            ("es", "es"),
            ("pl", "pl"),
            ("it", "en"),
        ] {
            let answer = shop.get_with(path, &[("accept-language", language)]).await;
            let page = answer.text();
            let canonical = format!("https://shop.example{path}?lang={code}");
            assert!(
                page.contains(&format!("rel=\"canonical\" href=\"{canonical}\"")),
                "{path} {language}"
            );
            assert!(
                page.contains(&format!("hreflang=\"{code}\" href=\"{canonical}\"")),
                "{path} {language}"
            );
            // The default page for other languages names itself as well.
            let default = format!("hreflang=\"x-default\" href=\"https://shop.example{path}?lang=en\"");
            assert!(page.contains(&default), "{path} {language}");
        }
    }
}

#[tokio::test]
async fn the_status_page_shows_what_works() {
    let shop = Shop::open().await;
    let footer = shop.get("/").await;
    let links = values(footer.text(), "href");
    assert!(links.contains(&"/status".to_owned()) && !links.contains(&"/readyz".to_owned()));
    let answer = shop.get("/status").await;
    let page = answer.page();
    assert_eq!(page.matches("Working").count(), 3, "{page}");
    assert!(page.contains("Last checked 3 minutes ago"), "{page}");
    assert!(page.contains("name=\"robots\""), "it is not for search engines");

    let hour = shop.clock.now() - chrono::TimeDelta::minutes(60);
    shop.supply.send_modify(|supply| supply.waiting_since = Some(hour));
    let answer = shop.get("/status").await;
    assert!(
        answer.page().contains("Keys are delivered late. It began 1 hour ago."),
        "{}",
        answer.text()
    );
    assert_eq!(answer.page().matches("Disrupted").count(), 1);

    shop.supply.send_modify(|supply| supply.is_offline = true);
    let answer = shop.get("/status").await;
    assert!(
        answer.page().contains("Ordering and logging in do not work"),
        "{}",
        answer.text()
    );
    shop.supply.send_replace(Supply::default());
    let german = shop.get_with("/status", &[("accept-language", "de")]).await;
    assert!(german.page().contains("Anmelden, bestellen und bezahlen ist möglich."));
}
