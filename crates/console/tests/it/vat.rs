//! VAT in the console: the operator's statement, receipts with their files, and the report of a quarter.

use http::StatusCode;

use crate::shop::{Shop, unescaped};

const SETTINGS: &str = "/admin/payments/vat/settings";
const STATEMENT: &str = "status=STANDARD&country=DE&taxedAt=BUYER&evidencePieces=2&name=Key+Shop+GmbH&street=Hauptstr.+1\
                         &postcode=10115&city=Berlin&vatId=DE123456789";

#[tokio::test]
async fn the_operator_states_vat_and_errors_keep_what_was_entered() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let report = owner.page("/admin/payments/vat").await;
    assert!(report.contains("VAT is off"), "{report}");
    let page = owner.page(SETTINGS).await;
    let wrong = STATEMENT
        .replace("vatId=DE123456789", "vatId=DE1")
        .replace("country=DE", "country=");
    let refused = owner.submit(&page, &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = unescaped(refused.text());
    assert!(
        text.contains("Key Shop GmbH")
            && text.contains("Choose a country of the EU.")
            && text.contains("how VAT IDs of this country look")
    );
    let saved = owner.submit(&page, STATEMENT).await;
    let report = owner.follow(&saved).await;
    assert!(
        report.contains("The statement is saved.") && !report.contains("VAT is off"),
        "{report}"
    );
    // The same form again was not shown since.
    let stale = owner.submit(&page, STATEMENT).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(shop.value("select count(*)::text from tax_settings").await, "1");
}

#[tokio::test]
async fn receipts_are_listed_and_stored_and_make_the_report() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let page = owner.page(SETTINGS).await;
    assert_eq!(owner.submit(&page, STATEMENT).await.status, StatusCode::SEE_OTHER);
    let game = shop.db.game("Portal", "portal", "19.99").await;
    let user = shop.db.user("ada@example.org", "100").await;
    let checkout = lockstep_domain::checkout::Checkout::new(
        [(lockstep_domain::GameId(game), 1)],
        None,
        None,
        lockstep_domain::checkout::OrderLimits::default(),
    );
    let placed = lockstep_store::orders::place(
        &shop.db.store,
        lockstep_domain::ids::UserId(user),
        &checkout.unwrap(),
        None,
    )
    .await;
    let lockstep_store::orders::Placed::Now(order) = placed.unwrap() else {
        panic!("it was not placed before");
    };
    shop.db.deliver(order.copies[0].id).await;
    shop.db
        .execute(&format!(
            "begin; update orders set status = 'PROCESSING' where id = '{id}';
             update orders set status = 'COMPLETED' where id = '{id}'; commit",
            id = order.id
        ))
        .await;
    let support = shop.staff("SUPPORT").await;
    let list = support.page("/admin/payments/receipts?review=yes").await;
    assert!(
        list.contains("-000001") && list.contains("€19.99") && list.contains("No evidence"),
        "{list}"
    );
    let id = shop.value("select id::text from receipts").await;
    for (format, kind) in [("pdf", "application/pdf"), ("xml", "application/xml")] {
        let file = support.get(&format!("/admin/payments/receipts/{id}/{format}")).await;
        assert_eq!((file.status, file.header("content-type")), (StatusCode::OK, Some(kind)));
    }
    assert_eq!(
        support.get(&format!("/admin/payments/receipts/{id}/doc")).await.status,
        StatusCode::NOT_FOUND
    );
    let report = unescaped(&support.page("/admin/payments/vat").await);
    assert!(
        report.contains("Germany") && report.contains("net €16.80, VAT €3.19, gross €19.99"),
        "{report}"
    );
    assert!(
        report.contains("The country of 1 completed order is not proven."),
        "{report}"
    );
    let before = support.page("/admin/payments/vat?quarter=2001-Q1").await;
    assert!(before.contains("2001-Q1: net €0.00"), "{before}");
    let file = support.get("/admin/payments/receipts?format=csv").await;
    assert!(
        file.text().contains(",RECEIPT,") && file.text().contains(",19.99,EUR,"),
        "{}",
        file.text()
    );
}
