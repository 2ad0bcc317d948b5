//! Withdrawals: the queue, and the page that decides about one.

use http::StatusCode;
use uuid::Uuid;

use crate::shop::Shop;

#[tokio::test]
async fn a_withdrawal_is_decided_with_its_effect_before_it() {
    let shop = Shop::open().await;
    let user = shop.db.user("ada@example.org", "100").await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    let order = shop.db.order(user, game, 2).await;
    shop.db.deliver(order.units[0]).await;
    let (id, stranger) = (Uuid::new_v4(), Uuid::new_v4());
    shop.db
        .execute(&format!(
            "insert into withdrawals (id, name, order_ref, contact, language, order_id, user_id)
             select '{id}', 'Ada <b>', number, 'ada@example.org', 'en', id, user_id from orders where id = '{}';
             insert into withdrawals (id, name, order_ref, contact, language) values ('{stranger}', 'Eve', '1', 'eve@example.org', 'de')",
            order.id
        ))
        .await;
    let staff = shop.staff("SUPPORT").await;
    let list = staff.page("/admin/withdrawals?state=OPEN").await;
    assert!(list.contains("Ada &#60;b&#62;") && list.contains("2 rows<"), "{list}");
    let path = format!("/admin/withdrawals/{id}");
    assert!(list.contains(&format!("href=\"{path}\"")));
    let page = staff.page(&path).await;
    for text in [
        "from before the shop asked",
        "not delivered: refunded if you accept",
        "delivered without the customer’s consent",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    // Neither, and a refusal without a reason.
    for form in ["decision=", "decision=refuse&reason="] {
        let refused = staff.submit(&page, form).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
    }
    let done = staff.submit(&page, "decision=accept&reason=").await;
    let list = staff.follow(&done).await;
    assert!(list.contains("The withdrawal is decided."), "{list}");
    assert_eq!(
        shop.value("select balance::text from users where email = 'ada@example.org'")
            .await,
        "90.00"
    );
    // Decided, it leads back to the list.
    assert_eq!(staff.get(&path).await.header("location"), Some("/admin/withdrawals"));
    let page = staff.page(&format!("/admin/withdrawals/{stranger}")).await;
    assert!(
        page.contains("No order has this number with this contact address"),
        "{page}"
    );
    let done = staff.submit(&page, "decision=refuse&reason=No+such+order").await;
    assert!(staff.follow(&done).await.contains("The withdrawal is decided."));
    assert_eq!(
        shop.value("select string_agg(state, ' ' order by state) from withdrawals")
            .await,
        "ACCEPTED REFUSED"
    );
    shop.db.assert_books_balance().await;
}
