//! The consent at the checkout and on an order's page.

use http::StatusCode;
use lockstep_domain::consent::{ConsentMode, Wording};
use lockstep_domain::law::Duties;
use lockstep_testkit::TestDb;

use crate::html::values;
use crate::shop::{Shop, complete_game};

#[tokio::test]
async fn the_checkbox_is_not_ticked_and_keys_wait_for_it() {
    let db = TestDb::new().await;
    let store = db.store.clone();
    let shop = Shop::open_under((ConsentMode::Required, Duties::default()), db, store, |_| {}).await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.db
        .execute(
            "with paid as (update users set balance = balance + 500 returning id)
             insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', 500, 'COMPLETED' from paid",
        )
        .await;
    shop.post("/cart/add", &format!("game={}", game.id), &cookies).await;
    let (version, german) = (Wording::current().version, Wording::current().text("de").unwrap().1);
    let page = shop.get_with("/checkout?lang=de", &cookies).await;
    assert!(page.page().contains(german), "{}", page.text());
    assert!(page.text().contains(&format!(
        "<input type=\"checkbox\" name=\"consent\" value=\"{version}\">"
    )));
    let hidden = |page: &str, name: &str| {
        let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let (key, expected) = (hidden(page.page(), "key"), hidden(page.page(), "expected"));
    let form = format!(
        "item={}:1&key={key}&expected={expected}&promo=&consentLanguage=de",
        game.id
    );
    // A wording that this shop never had.
    let forged = shop
        .post("/checkout", &format!("{form}&consent=1999-01"), &cookies)
        .await;
    assert_eq!(forged.status, StatusCode::BAD_REQUEST);
    let bought = shop.post("/checkout", &form, &cookies).await;
    assert_eq!(bought.status, StatusCode::SEE_OTHER, "{}", bought.text());
    let order = bought.header("location").unwrap().split('?').next().unwrap().to_owned();
    assert_eq!(shop.db.count("order_consents").await, 0);

    let page = shop.get_with(&order, &cookies).await;
    assert!(
        page.page().contains("Your keys wait for your consent"),
        "{}",
        page.text()
    );
    let consent = format!("{order}/consent");
    assert!(values(page.page(), "action").contains(&consent));
    // Without a tick, the page asks again.
    let unticked = shop.post(&consent, "consentLanguage=en", &cookies).await;
    assert_eq!(unticked.header("location"), Some(order.as_str()));
    assert_eq!(shop.db.count("order_consents").await, 0);
    let given = shop
        .post(&consent, &format!("consent={version}&consentLanguage=en"), &cookies)
        .await;
    assert_eq!(given.header("location"), Some(order.as_str()));
    let page = shop.get_with(&order, &cookies).await;
    assert!(!page.page().contains("wait for your consent"));
    // The way out of the contract is on the page, filled in.
    assert!(
        values(page.page(), "href")
            .iter()
            .any(|href| href.starts_with("/withdraw?order="))
    );
}
