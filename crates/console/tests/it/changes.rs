//! What staff change: refunds, cancellations, balances, roles; forms that are out of date, and those that need the
//! password again.

use http::StatusCode;

use crate::shop::{PASSWORD, Shop, between, unescaped};

/// From an address to the refund of one unit: search, order, refund, confirm.
#[tokio::test]
async fn a_unit_is_refunded_in_four_clicks_from_an_address() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("SUPPORT").await);
    // 1: the search leads straight to the customer.
    let found = staff.get("/admin/search?q=Ada@example.org").await;
    let customer = staff.follow(&found).await;
    // 2: the order in the list.
    let link = format!("/admin/orders/{}", order.id);
    assert!(customer.contains(&format!("href=\"{link}\"")), "{customer}");
    let page = staff.page(&link).await;
    // 3: the unit's own button.
    let link = format!("{link}/refund?unit={}", order.units[1]);
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
    let confirm = staff.page(&link).await;
    assert!(confirm.contains("€10.00") && confirm.contains("€20.00"), "{confirm}");
    // 4: the button that does it.
    let amount = between(confirm.split("name=\"amount\"").nth(1).unwrap(), "value=\"", "\"");
    let done = staff
        .submit(&confirm, &format!("amount={amount}&reason=Does+not+work"))
        .await;
    let page = staff.follow(&done).await;
    assert!(page.contains("Refunded €10.00."), "{page}");
    assert!(page.contains("Does not work"));
    let units: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("select id, goodwill::text from order_units order by position")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(
        units,
        [
            (order.units[0], "0.00".to_owned()),
            (order.units[1], "10.00".to_owned())
        ]
    );
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_form_that_is_sent_twice_counts_once() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("SUPPORT").await);
    let page = staff.page(&format!("/admin/orders/{}/refund", order.id)).await;
    for _ in 0..2 {
        let done = staff.submit(&page, "amount=3,50&reason=").await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    }
    let refunded = shop.value("select sum(goodwill)::text from order_units").await;
    assert_eq!(refunded, "3.50");
}

#[tokio::test]
async fn a_refund_above_the_limit_asks_for_the_password_and_keeps_the_form() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("SUPPORT").await);
    shop.db
        .execute("update staff_roles set refund_limit = 5 where name = 'SUPPORT'")
        .await;
    shop.forget_passwords().await;
    let page = staff.page(&format!("/admin/orders/{}/refund", order.id)).await;
    let asked = staff.submit(&page, "amount=12&reason=Broken+%26+old").await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text());
    assert!(asked.text().contains("type=\"password\"") && !asked.text().contains("name=\"amount\" type=\"text\""));
    let wrong = staff.submit(asked.text(), "confirm_password=wrong").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        unescaped(wrong.text()).contains("value=\"Broken & old\""),
        "{}",
        wrong.text()
    );
    assert!(!wrong.text().contains("value=\"wrong\""));
    assert_eq!(shop.value("select sum(goodwill)::text from order_units").await, "0.00");
    let done = staff
        .submit(wrong.text(), &format!("confirm_password={PASSWORD}"))
        .await;
    assert!(staff.follow(&done).await.contains("Refunded €12.00."));
    assert_eq!(shop.value("select sum(goodwill)::text from order_units").await, "12.00");
}

#[tokio::test]
async fn a_form_that_is_out_of_date_shows_both_figures() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    let refund = staff.page(&format!("/admin/orders/{}/refund", order.id)).await;
    let balance = staff.page(&format!("/admin/customers/{}/balance", order.user)).await;
    let other = staff.page(&format!("/admin/orders/{}/refund", order.id)).await;
    staff.submit(&other, "amount=15").await;

    let stale = staff.submit(&refund, "amount=20&reason=Kept").await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    for shown in [
        "€20.00 could be refunded when you looked",
        "€5.00 can be now",
        "value=\"Kept\"",
    ] {
        assert!(unescaped(stale.text()).contains(shown), "{shown}: {}", stale.text());
    }
    let stale = staff.submit(&balance, "amount=-30&reason=Chargeback").await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    for shown in [
        "€80.00 when you looked, and is €95.00 now",
        "value=\"Chargeback\"",
        "value=\"-30\"",
    ] {
        assert!(unescaped(stale.text()).contains(shown), "{shown}: {}", stale.text());
    }
    assert_eq!(
        shop.value("select balance::text from users where email = 'ada@example.org'")
            .await,
        "95.00"
    );
    // The same form again has seen the new balance.
    let done = staff.submit(stale.text(), "amount=-30&reason=Chargeback").await;
    assert!(staff.follow(&done).await.contains("€65.00"));
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn what_was_entered_stays_beside_its_error() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    let page = staff.page(&format!("/admin/customers/{}/balance", order.user)).await;
    let answer = staff.submit(&page, "amount=ten&reason=").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = unescaped(answer.text());
    assert!(
        text.contains("value=\"ten\"") && text.contains("id=\"amount-error\"") && text.contains("id=\"reason-error\"")
    );
    let answer = staff.submit(&page, "amount=-500&reason=Too+much").await;
    assert!(answer.text().contains("would become negative"));
}

#[tokio::test]
async fn an_order_is_cancelled_with_its_effect_in_figures() {
    let shop = Shop::open().await;
    let user = shop.db.user("ada@example.org", "100").await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    let order = shop.db.order(user, game, 3).await;
    shop.db.deliver(order.units[0]).await;
    let staff = shop.staff("SUPPORT").await;
    let page = staff.page(&format!("/admin/orders/{}/cancel", order.id)).await;
    assert!(page.contains("2 units · €20.00") && page.contains("1 unit<"), "{page}");
    let done = staff.submit(&page, "reason=Asked+for+it").await;
    let page = staff.follow(&done).await;
    assert!(page.contains("€20.00 went back to the balance"), "{page}");
    assert!(
        page.contains("Cancelled by staff") && page.contains("support@example.org"),
        "{page}"
    );
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_role_is_given_after_the_password_and_never_beyond_ones_own() {
    let shop = Shop::open().await;
    let (order, owner) = (shop.delivered().await, shop.staff("OWNER").await);
    shop.db.execute("update users set email_verified = true").await;
    shop.forget_passwords().await;
    let page = owner.page(&format!("/admin/customers/{}/role", order.user)).await;
    let asked = owner.submit(&page, "role=MANAGER").await;
    assert!(asked.text().contains("confirm_password"), "{}", asked.text());
    let role = "select coalesce(staff_role, role::text) from users where email = 'ada@example.org'";
    assert_eq!(shop.value(role).await, "USER");
    let done = owner
        .submit(asked.text(), &format!("confirm_password={PASSWORD}"))
        .await;
    assert!(owner.follow(&done).await.contains("Manager"));
    assert_eq!(shop.value(role).await, "MANAGER");
    // The last owner stays one.
    let own = shop.id_of("owner").await;
    let page = owner.page(&format!("/admin/customers/{own}/role")).await;
    let refused = owner.submit(&page, "role=USER").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(owner.get("/admin/customers").await.status == StatusCode::OK);
}
