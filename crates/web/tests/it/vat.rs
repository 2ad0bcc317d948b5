//! Prices that include VAT, the country at checkout, billing data, and receipts.

use http::StatusCode;

use crate::shop::{Shop, complete_game};

#[tokio::test]
async fn without_a_statement_about_vat_nobody_is_asked_for_anything() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    let home = shop.get("/").await;
    assert!(!home.page().contains("include VAT"));
    let account = shop.get_with("/account", &cookies).await;
    assert!(!account.page().contains("/account/billing"));
}

#[tokio::test]
async fn the_country_is_asked_for_at_checkout_and_the_receipt_is_on_the_orders_page() {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    shop.db
        .execute(
            "with rich as (update users set balance = 100 returning id)
             insert into transactions (user_id, type, amount, status)
             select id, 'TOP_UP', 100, 'COMPLETED' from rich;
             insert into tax_settings (status, country, seller_name, seller_street, seller_postcode, seller_city, vat_id)
             values ('STANDARD', 'DE', 'Key Shop GmbH', 'Hauptstr. 1', '10115', 'Berlin', 'DE123456789')",
        )
        .await;
    shop.post("/cart/add", &format!("game={}&quantity=1", game.id), &cookies)
        .await;
    let checkout = shop.get_with("/checkout", &cookies).await;
    let page = checkout.page();
    assert!(
        page.contains("All prices include VAT.")
            && page.contains("incl. VAT")
            && page.contains("<option value=\"DE\">Germany"),
        "{page}"
    );
    let form = |country: &str| format!("item={}:1&expected=10.00&key=k-1&promo=&country={country}", game.id);
    let refused = shop.post("/checkout", &form(""), &cookies).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("Choose your country."), "{}", refused.text());
    let bought = shop.post("/checkout", &form("DE"), &cookies).await;
    assert_eq!(bought.status, StatusCode::SEE_OTHER, "{}", bought.text());
    let order = bought.header("location").unwrap().split('?').next().unwrap().to_owned();
    let unit = sqlx::query_scalar("select id from order_units")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert!(!shop.get_with(&order, &cookies).await.page().contains("receipt"));
    shop.db.deliver(unit).await;
    shop.db
        .execute("begin; update orders set status = 'PROCESSING'; update orders set status = 'COMPLETED'; commit")
        .await;
    let page = shop.get_with(&order, &cookies).await;
    assert!(page.page().contains("Receipt R-"), "{}", page.text());
    let receipt = shop.get_with(&format!("{order}/receipt?lang=de"), &cookies).await;
    let text = receipt.page();
    assert!(
        text.contains("Rechnung R-")
            && text.contains("Key Shop GmbH")
            && text.contains("USt. 19 %")
            && text.contains("Deutschland"),
        "{text}"
    );
    for (file, kind) in [("receipt.pdf", "application/pdf"), ("receipt.xml", "application/xml")] {
        let file = shop.get_with(&format!("{order}/{file}"), &cookies).await;
        assert_eq!((file.status, file.header("content-type")), (StatusCode::OK, Some(kind)));
    }
    let missing = shop.get_with(&format!("{order}/receipt?number=R-1"), &cookies).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn companies_enter_their_vat_id_and_errors_name_the_field() {
    let shop = Shop::open().await;
    let cookies = shop.register("ada@example.org").await;
    let cookies = [("cookie", cookies.as_str())];
    let wrong = shop
        .post("/account/billing", "country=FR&vatId=DE123456789", &cookies)
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = wrong.text();
    assert!(
        text.contains("Choose the country of the VAT ID.") && text.contains("An invoice with a VAT ID needs this."),
        "{text}"
    );
    let form = "country=DE&name=Muster+GmbH&street=Weg+1&postcode=10115&city=Berlin&vatId=de+123+456+789";
    let saved = shop.post("/account/billing", form, &cookies).await;
    assert_eq!(saved.header("location"), Some("/account/billing?done=billing"));
    let page = shop.get_with("/account/billing?done=billing", &cookies).await;
    let text = page.page();
    assert!(
        text.contains("value=\"DE123456789\"")
            && text.contains("value=\"Muster GmbH\"")
            && text.contains("<option value=\"DE\" selected>"),
        "{text}"
    );
}
