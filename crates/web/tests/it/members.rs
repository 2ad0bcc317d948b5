//! What members do with forms.

use http::StatusCode;

use crate::html::values;
use crate::shop::Shop;

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
        let to = answer.header("location");
        assert!(to.starts_with("/account/balance?"), "{path} redirects to {to}");
        let page = shop.get_with(to, &[("cookie", &cookies)]).await;
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(page.header("content-security-policy").contains("form-action 'self';"));
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
