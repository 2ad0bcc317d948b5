//! Forms without scripts: their redirects, their cookies, and the check of their origin.

use http::StatusCode;

use crate::html::values;
use crate::shop::Shop;

#[tokio::test]
async fn the_theme_is_stored_and_redirects_back() {
    let shop = Shop::stocked().await;
    let answer = shop
        .post(
            "/preferences",
            "theme=dark",
            &[
                ("sec-fetch-site", "same-origin"),
                ("referer", "https://shop.example/games?genre=rpg"),
            ],
        )
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), Some("/games?genre=rpg"));
    assert_eq!(
        answer.header("set-cookie"),
        Some("theme=dark; Path=/; Max-Age=31536000; SameSite=Lax")
    );
    let page = shop.get_with("/", &[("cookie", "theme=dark")]).await;
    assert!(page.page().contains("data-theme=\"dark\""));
    assert!(shop.get("/").await.page().contains("data-theme=\"system\""));
    let wrong = shop
        .post("/preferences", "theme=pink", &[("sec-fetch-site", "same-origin")])
        .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn cross_site_forms_are_rejected_with_a_page() {
    let shop = Shop::open().await;
    for (headers, status) in [
        (vec![("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (vec![("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (vec![("origin", "https://evil.example")], StatusCode::FORBIDDEN),
        (vec![("origin", "null")], StatusCode::FORBIDDEN),
        (vec![("origin", "https://shop.example")], StatusCode::SEE_OTHER),
        (vec![("sec-fetch-site", "same-origin")], StatusCode::SEE_OTHER),
        (vec![("sec-fetch-site", "none")], StatusCode::SEE_OTHER),
        // A client that is not a browser.
        (vec![], StatusCode::SEE_OTHER),
    ] {
        let answer = shop.post("/preferences", "theme=dark", &headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == StatusCode::FORBIDDEN {
            assert!(
                answer.text().contains("This form was not sent from our shop"),
                "{}",
                answer.text()
            );
        }
    }
    assert_eq!(shop.get("/preferences").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_catalogue_works_as_a_form_without_scripts() {
    let shop = Shop::stocked().await;
    let page = shop.get("/games").await;
    let form = page.page().split("data-catalogue").nth(1).unwrap();
    for field in [
        "genre", "price", "min", "max", "platform", "service", "region", "sort", "stock",
    ] {
        assert!(values(form, "name").iter().any(|name| name == field), "{field}");
    }
    // Like a browser: every field, most of them empty.
    let found = shop
        .get("/games?genre=rpg&genre=puzzle&price=&min=2&max=60&region=&sort=price-asc")
        .await;
    let page = found.page();
    assert!(page.contains("Iron Meridian") && page.contains("Filler 01") && !page.contains("Filler 02"));
    assert!(page.contains("value=\"rpg\" id=\"genre-rpg\" checked"));
    // A filter is removed by a link.
    assert!(values(page, "href").contains(&"/games?genre=puzzle&min=2.00&max=60.00&sort=price-asc".to_owned()));
    // The pages have links to each other.
    let first = shop.get("/games").await;
    assert!(values(first.page(), "href").contains(&"/games?page=2".to_owned()));
    assert!(
        shop.get("/games?page=2")
            .await
            .page()
            .contains("aria-current=\"page\">2<")
    );
}
