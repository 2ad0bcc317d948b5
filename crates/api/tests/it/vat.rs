//! Billing data, receipts, the VAT report, and the operator's statement over HTTP.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::orders::fund;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

const STATEMENT: &str = "/api/admin/vat-settings";

fn statement(version: i64) -> Value {
    json!({"status": "STANDARD", "country": "DE", "name": "Key Shop GmbH", "street": "Hauptstr. 1", "postcode": "10115",
           "city": "Berlin", "vatId": "DE 123456789", "version": version})
}

/// Places an order of one copy at 19.99 EUR, delivers it and completes it.
async fn bought(shop: &Shop, shopper: &Client<'_>, user: &Value) -> Uuid {
    fund(shop, user, "100").await;
    let mut game = NewGame::titled("Portal");
    game.price_cents = 1_999;
    shop.put(std::slice::from_ref(&game)).await;
    let placed = shopper
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
        .await
        .json()["data"]
        .take();
    let unit = placed["copies"][0]["id"].as_str().unwrap().parse().unwrap();
    shop.db.deliver(unit).await;
    let order: Uuid = placed["id"].as_str().unwrap().parse().unwrap();
    shop.db
        .execute(&format!(
            "begin; update orders set status = 'PROCESSING' where id = '{order}';
             update orders set status = 'COMPLETED' where id = '{order}'; commit"
        ))
        .await;
    order
}

#[tokio::test]
async fn the_operator_states_vat_once_and_nobody_overwrites_it_unseen() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let nothing = owner.get(STATEMENT).await.data();
    assert_eq!((&nothing["status"], &nothing["version"]), (&json!("OFF"), &json!(0)));
    for (change, path) in [
        (json!({"status": "ON"}), "status"),
        (json!({"country": "US"}), "country"),
        (json!({"taxedAt": "MOON"}), "taxedAt"),
        (json!({"evidencePieces": 3}), "evidencePieces"),
        (json!({"vatId": "DE1"}), "vatId"),
    ] {
        let mut body = statement(0);
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let refused = owner.put(STATEMENT, body).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.text().contains(&format!("\"{path}\"")), "{}", refused.text());
    }
    let stated = owner.put(STATEMENT, statement(0)).await.data();
    assert_eq!(
        (&stated["isComplete"], &stated["vatId"]),
        (&json!(true), &json!("DE123456789"))
    );
    assert_eq!(
        owner.put(STATEMENT, statement(0)).await.failure(),
        (409, "outdated".into())
    );
    assert_eq!(owner.get(STATEMENT).await.data(), stated);
}

#[tokio::test]
async fn a_shopper_has_the_receipt_as_list_pdf_and_xml_and_staff_see_it_too() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    owner.put(STATEMENT, statement(0)).await.data();
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    assert_eq!(ada.get("/api/user/billing").await.json()["data"], Value::Null);
    assert_eq!(ada.put("/api/user/billing", json!({"country": "XX"})).await.status, 400);
    let billing = ada
        .put("/api/user/billing", json!({"country": "de", "name": "Ada Lovelace"}))
        .await
        .data();
    assert_eq!(
        (&billing["country"], &billing["name"]),
        (&json!("DE"), &json!("Ada Lovelace"))
    );
    let order = bought(&shop, &ada, &user).await;
    let receipts = ada.get(&format!("/api/orders/{order}/receipt")).await.data();
    let receipt = &receipts[0];
    assert_eq!(
        (
            &receipt["kind"],
            &receipt["net"],
            &receipt["vat"],
            &receipt["gross"],
            &receipt["rate"],
            &receipt["proof"]
        ),
        (
            &json!("RECEIPT"),
            &json!(16.8),
            &json!(3.19),
            &json!(19.99),
            &json!(19),
            &json!("INSUFFICIENT")
        )
    );
    let number = receipt["number"].as_str().unwrap().to_owned();
    let pdf = ada.get(&format!("/api/orders/{order}/receipt.pdf")).await;
    assert_eq!(
        (pdf.status.as_u16(), pdf.header("content-type")),
        (200, Some("application/pdf"))
    );
    let name = format!("attachment; filename=\"{number}.pdf\"");
    assert_eq!(pdf.header("content-disposition"), Some(name.as_str()));
    let xml = ada
        .get(&format!("/api/orders/{order}/receipt.xml?number={number}"))
        .await;
    assert!(
        xml.text().contains("<cbc:TaxInclusiveAmount currencyID=\"EUR\">19.99<"),
        "{}",
        xml.text()
    );
    for missing in [
        format!("/api/orders/{order}/receipt.pdf?number=R-1"),
        format!("/api/orders/{}/receipt", Uuid::nil()),
    ] {
        assert_eq!(ada.get(&missing).await.failure().0, 404, "{missing}");
    }
    let bob = Client::new(&shop);
    bob.register("bob@example.org").await;
    for path in ["receipt", "receipt.pdf", "receipt.xml"] {
        assert_eq!(
            bob.get(&format!("/api/orders/{order}/{path}")).await.failure().0,
            404,
            "{path}"
        );
    }
    // Staff.
    let list = owner.get("/api/admin/receipts?review=true&kind=receipt").await.data();
    assert_eq!((&list["total"], &list["receipts"][0]), (&json!(1), receipt));
    assert_eq!(
        owner.get("/api/admin/receipts?kind=credit").await.data()["total"],
        json!(0)
    );
    assert_eq!(owner.get("/api/admin/receipts?kind=bill").await.failure().0, 400);
    let id = receipt["id"].as_str().unwrap();
    let whole = owner.get(&format!("/api/admin/receipts/{id}")).await.data();
    assert_eq!(
        (&whole["lines"][0]["title"], &whole["buyer"]["name"]),
        (&json!("Portal"), &json!("Ada Lovelace"))
    );
    for (format, kind) in [("pdf", "application/pdf"), ("xml", "application/xml")] {
        let file = owner.get(&format!("/api/admin/receipts/{id}/{format}")).await;
        assert_eq!((file.status.as_u16(), file.header("content-type")), (200, Some(kind)));
    }
    let csv = owner
        .get(&format!("/api/admin/receipts?format=csv&number={number}"))
        .await;
    assert!(
        csv.text().contains(&format!("{number},RECEIPT,"))
            && csv.text().contains(",16.80,3.19,19.99,EUR,INSUFFICIENT,DE,")
    );
    let report = owner.get("/api/admin/reports/vat").await.data();
    assert_eq!(
        (&report["gross"], &report["rows"][0]["country"], &report["toReview"]),
        (&json!(19.99), &json!("DE"), &json!(1))
    );
    assert_eq!(report["rows"][0]["isOss"], json!(false));
    assert_eq!(
        owner.get("/api/admin/reports/vat?quarter=2026-Q5").await.failure().0,
        400
    );
    assert_eq!(
        owner.get("/api/admin/reports/vat?quarter=2001-Q1").await.data()["rows"],
        json!([])
    );
}
