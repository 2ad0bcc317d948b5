//! Keys: found by their text, revealed with a reason, replaced, imported.

use axum::body::Body;
use http::{Request, StatusCode};

use crate::shop::{PASSWORD, Shop};

const KEY: &str = "ABCDE-FGHIJ-KLMNO";

#[tokio::test]
async fn a_key_is_added_found_revealed_and_deleted() {
    let shop = Shop::open().await;
    shop.db.game("Portal", "portal", "10.00").await;
    shop.cache.catch_up().await.unwrap();
    let (manager, support) = (shop.staff("MANAGER").await, shop.staff("SUPPORT").await);
    let page = manager.page("/admin/keys/new").await;
    let wrong = manager.submit(&page, "game=none&key=x&cost=abc").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for field in ["game-error", "key-error", "cost-error"] {
        assert!(wrong.text().contains(field), "{field}");
    }
    let added = manager
        .submit(
            &page,
            &format!("game=https://shop.example/game/portal&key={KEY}&cost=2.50"),
        )
        .await;
    let page = manager.follow(&added).await;
    assert!(page.contains("••••••••LMNO") && !page.contains(KEY), "{page}");

    // The whole key leads to it; a part of it does not, and nobody without the permission finds it.
    let found = support.get(&format!("/admin/search?q={KEY}")).await;
    let address = found.header("location").unwrap().to_owned();
    assert!(address.starts_with("/admin/keys/"), "{address}");
    assert_eq!(support.get("/admin/search?q=ABCDE-FGHIJ").await.status, StatusCode::OK);
    let analyst = shop.staff("ANALYST").await;
    assert!(
        analyst
            .page(&format!("/admin/search?q={KEY}"))
            .await
            .contains("Nothing found")
    );

    // Revealing needs the permission, a reason, and the password.
    assert_eq!(
        support.get(&format!("{address}/reveal")).await.status,
        StatusCode::NOT_FOUND
    );
    let page = manager.page(&format!("{address}/reveal")).await;
    assert_eq!(
        manager.submit(&page, "reason=").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    shop.forget_passwords().await;
    let asked = manager.submit(&page, "reason=A+customer+asks").await;
    assert!(asked.text().contains("confirm_password") && !asked.text().contains(KEY));
    let shown = manager
        .submit(asked.text(), &format!("confirm_password={PASSWORD}"))
        .await;
    assert!(shown.page().contains(KEY));
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    assert!(!manager.page(&address).await.contains(KEY));
    let recorded = shop
        .value("select details ->> 'reason' from audit_log where action = 'key.reveal'")
        .await;
    assert_eq!(recorded, "A customer asks");

    // What somebody saw stays.
    let page = manager.page(&format!("{address}/delete")).await;
    let refused = manager.submit(&page, "").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("was shown to staff"));
}

#[tokio::test]
async fn support_replaces_a_key_that_does_not_work() {
    let shop = Shop::open().await;
    let (order, support) = (shop.delivered().await, shop.staff("SUPPORT").await);
    let key = format!("/admin/keys/{}", order.keys[0]);
    let page = support.page(&format!("{key}/replace")).await;
    let refused = support.submit(&page, "reason=Used+already").await;
    assert!(
        refused.text().contains("No other key of this game is in stock"),
        "{}",
        refused.text()
    );
    assert!(refused.text().contains("value=\"Used already\""));
    shop.db.key(order.game).await;
    let done = support.submit(refused.text(), "reason=Used+already").await;
    let page = support.follow(&done).await;
    assert!(
        page.contains("The key is replaced") && page.contains("Faulty"),
        "{page}"
    );
    assert!(page.contains("Key replaced") && page.contains("Used already"), "{page}");
}

#[tokio::test]
async fn support_has_a_key_bought_in_place_of_a_faulty_one_and_sees_first_what_it_may_cost() {
    let shop = Shop::open().await;
    let (order, support) = (shop.delivered().await, shop.staff("SUPPORT").await);
    shop.db.at_g2a(order.game, "10000000000042").await;
    let key = format!("/admin/keys/{}", order.keys[0]);
    let page = support.page(&format!("{key}/replace")).await;
    for shown in [
        "Costs at most",
        "€10.00",
        "Left of the budget",
        "€50.00",
        "bought at G2A",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let done = support.submit(&page, "reason=Used+already").await;
    let page = support.follow(&done).await;
    for shown in [
        "Another key is being bought",
        "Replacement being bought",
        "Used already",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // The other copy is not a case for this one's budget.
    let page = support.page(&format!("{key}/replace")).await;
    let again = support.submit(&page, "reason=Again").await;
    assert!(
        again.text().contains("is being bought in place of this one"),
        "{}",
        again.text()
    );
    let other = support.page(&format!("/admin/keys/{}/replace", order.keys[1])).await;
    assert!(other.contains("€40.00"), "{other}");
}

/// Sends a file as a browser does.
async fn upload(
    shop: &Shop,
    cookies_of: &crate::shop::Browser<'_>,
    dry: bool,
    file: &str,
) -> lockstep_testkit::shop::Answered {
    let dry = if dry {
        "--X\r\nContent-Disposition: form-data; name=\"dry\"\r\n\r\nyes\r\n"
    } else {
        ""
    };
    let body = format!(
        "{dry}--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"keys.csv\"\r\nContent-Type: text/csv\r\n\r\n{file}\r\n--X--\r\n"
    );
    let request = Request::post("/admin/keys/import")
        .header("content-type", "multipart/form-data; boundary=X")
        .header("host", "shop.example")
        .header("cookie", cookies_of.cookies());
    shop.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_file_of_keys_is_checked_and_then_stored() {
    let shop = Shop::open().await;
    shop.db.game("Portal", "portal", "10.00").await;
    let manager = shop.staff("MANAGER").await;
    let file = "game,key\nportal,AAAAA-BBBBB-CCCCC\nportal,DDDDD-EEEEE-FFFFF\nnone,GGGGG-HHHHH-IIIII\n";
    let checked = upload(&shop, &manager, true, file).await;
    assert!(checked.page().contains("Checked, nothing stored"), "{}", checked.text());
    assert_eq!(shop.value("select count(*)::text from game_keys").await, "0");
    let done = upload(&shop, &manager, false, file).await;
    assert!(done.page().contains("Refused lines") && !done.text().contains("GGGGG"));
    assert_eq!(shop.value("select count(*)::text from game_keys").await, "2");
    let support = shop.staff("SUPPORT").await;
    assert_eq!(upload(&shop, &support, false, file).await.status, StatusCode::NOT_FOUND);
    // More than a form may have, which an import may.
    let lines: Vec<String> = (0..1_200)
        .map(|n| format!("portal,{n:05}-{}\n", "M".repeat(1_900)))
        .collect();
    let many = lines.concat();
    assert!(many.len() > 2 * 1024 * 1024);
    assert_eq!(upload(&shop, &manager, true, &many).await.status, StatusCode::OK);
    assert_eq!(
        upload(&shop, &manager, true, "").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}
