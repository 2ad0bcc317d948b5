//! `/withdraw`, the accessibility statement, and where pages link to them.

use http::StatusCode;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::{Duties, Duty};
use lockstep_testkit::TestDb;

use crate::html::values;
use crate::shop::Shop;

#[tokio::test]
async fn two_steps_lead_to_an_acknowledgement_without_a_log_in() {
    let shop = Shop::open().await;
    for page in ["/", "/games", "/help", "/status", "/login", "/cart"] {
        let links = values(shop.get(page).await.page(), "href");
        assert!(links.contains(&"/withdraw".to_owned()), "{page}");
        assert!(links.contains(&"/accessibility".to_owned()), "{page}");
    }
    let page = shop.get("/withdraw?order=7ZK3M0Q9XA").await;
    assert!(page.page().contains("Withdraw from contract here") && page.text().contains("value=\"7ZK3M0Q9XA\""));
    let wrong = shop.post("/withdraw", "name=&orderNumber=1&contact=x", &[]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("Enter your name") && wrong.text().contains("valid e-mail address"));
    let said = "name=Ada+%3Cb%3E&orderNumber=7ZK3M0Q9XA&contact=ada%40example.org";
    let review = shop.post("/withdraw", said, &[]).await;
    assert!(
        review.page().contains("Confirm withdrawal") && review.text().contains("Ada &#60;b&#62;"),
        "{}",
        review.text()
    );
    // Nothing is declared yet.
    assert_eq!(shop.db.count("withdrawals").await, 0);
    let (_, id) = review.text().split_once("name=\"id\" value=\"").unwrap();
    let id = id.split('"').next().unwrap();
    for _ in 0..2 {
        let done = shop.post("/withdraw/confirm", &format!("id={id}&{said}"), &[]).await;
        assert!(done.page().contains("Your withdrawal has arrived"), "{}", done.text());
        assert!(done.text().contains("<time datetime=\""));
    }
    assert_eq!(shop.db.count("withdrawals").await, 1);
    assert_eq!(
        shop.db
            .count("mail_outbox where kind = 'withdrawal-received' and recipient = 'ada@example.org'")
            .await,
        1
    );
    let german = shop.get("/withdraw?lang=de").await;
    assert!(german.page().contains("Vertrag hier widerrufen"));
}

#[tokio::test]
async fn the_form_knows_who_is_signed_in() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    let page = shop.get_with("/withdraw", &[("cookie", &cookies)]).await;
    assert!(page.page().contains("value=\"ada@example.org\""));
}

#[tokio::test]
async fn a_duty_that_the_operator_takes_over_has_no_page() {
    let db = TestDb::new().await;
    let store = db.store.clone();
    let duties = Duties {
        country: Some("DE".into()),
        off: vec![Duty::Withdrawal, Duty::Accessibility],
        is_production: false,
    };
    let shop = Shop::open_under((ConsentMode::Development, duties), db, store, |_| {}).await;
    let links = values(shop.get("/help").await.page(), "href");
    for page in ["/withdraw", "/accessibility"] {
        assert!(!links.contains(&page.to_owned()));
        assert_eq!(shop.get(page).await.status, StatusCode::NOT_FOUND);
    }
    let declared = shop
        .post(
            "/withdraw/confirm",
            "id=x&name=A&orderNumber=1&contact=a%40b.example",
            &[],
        )
        .await;
    assert_eq!(declared.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_accessibility_statement_says_what_was_checked() {
    let shop = Shop::open().await;
    let page = shop.get("/accessibility").await;
    assert!(
        page.page().contains("axe-core") && page.text().contains("WCAG 2.2"),
        "{}",
        page.text()
    );
    assert!(
        shop.get("/accessibility?lang=de")
            .await
            .page()
            .contains("Barrierefreiheit")
    );
}

/// A reduction is announced from the lowest price of the 30 days before it, or not at all.
#[tokio::test]
async fn reductions_are_measured_where_the_law_asks() {
    let db = TestDb::new().await;
    let store = db.store.clone();
    let duties = Duties {
        country: Some("DE".into()),
        ..Duties::default()
    };
    let shop = Shop::open_under((ConsentMode::Development, duties), db, store, |_| {}).await;
    let game = crate::shop::complete_game("Harbour of Glass").with(|game| game.price_cents = 10_000);
    shop.put(std::slice::from_ref(&game)).await;
    let page = "/game/harbour-of-glass";
    assert!(!shop.get(page).await.page().contains("class=\"off\""));
    shop.db
        .execute("update games set original_price = 200, discount = 50, price = 80")
        .await;
    shop.cache.catch_up().await.unwrap();
    let reduced = shop.get(page).await;
    assert!(
        reduced.page().contains("−20%") && !reduced.text().contains("€200"),
        "{}",
        reduced.text()
    );
    assert!(
        reduced.text().contains("Lowest price of the 30 days before: €100.00"),
        "{}",
        reduced.text()
    );
    assert!(reduced.text().contains("StrikethroughPrice"));
    assert!(
        shop.get("/games")
            .await
            .page()
            .contains("Lowest price of the 30 days before")
    );
    // Dearer than before, it is no reduction.
    shop.db
        .execute("update games set original_price = 200, discount = 40, price = 120")
        .await;
    shop.cache.catch_up().await.unwrap();
    assert!(!shop.get(page).await.page().contains("class=\"off\""));
}
