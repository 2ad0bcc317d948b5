//! The page that ends announcements.

use http::StatusCode;
use lockstep_domain::ids::UserId;
use lockstep_store::mail::announcements::{self, NewJob};
use uuid::Uuid;

use crate::shop::Shop;

#[tokio::test]
async fn reading_the_page_changes_nothing_and_one_click_unsubscribes() {
    let shop = Shop::open().await;
    let staff = UserId(shop.db.user("root@example.org", "0").await);
    let job = NewJob {
        id: Uuid::now_v7(),
        recipients: vec!["ada@example.org".into()],
        refused: 0,
        title: "Sale".into(),
        message: String::new(),
        link: None,
    };
    announcements::queue(&shop.db.store, staff, &job, None).await.unwrap();
    let token = shop.db.queued_email("announcement").await["unsubscribe"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/unsubscribe?token={token}");
    for (language, button) in [("en", "Unsubscribe"), ("de", "Abbestellen")] {
        let page = shop.get(&format!("{path}&lang={language}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.page().contains(&format!(">{button}</button>")) && page.page().contains(&format!("action=\"{path}\""))
        );
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    assert_eq!(
        shop.db.count("email_subscriptions where unsubscribed_at is null").await,
        1
    );
    // As mail programs send it: no cookie, no origin, and a body that no browser would send.
    for _ in 0..2 {
        let kind = [("content-type", "multipart/form-data; boundary=x")];
        let body = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        let answer = shop.post(&path, body, &kind).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.page().contains("You get no more news"));
    }
    assert_eq!(
        shop.db
            .count("email_subscriptions where unsubscribed_at is not null")
            .await,
        1
    );
    assert_eq!(shop.db.count("mail_outbox").await, 0, "what waited is dropped");
    assert!(!shop.get(&path).await.page().contains("<button class=\"button\">"));
    let forged = format!("/unsubscribe?token={}{}", Uuid::now_v7().simple(), &token[32..]);
    for wrong in [
        forged.as_str(),
        "/unsubscribe",
        "/unsubscribe?token=%00",
        "/unsubscribe?token=x",
    ] {
        assert_eq!(shop.get(wrong).await.status, StatusCode::NOT_FOUND, "{wrong}");
        assert_eq!(shop.post(wrong, "", &[]).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}
