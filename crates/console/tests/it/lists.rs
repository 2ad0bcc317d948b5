//! Lists: filters, pages, files; promo codes, incidents, e-mails and cached answers.

use http::StatusCode;

use crate::shop::{Shop, unescaped};

#[tokio::test]
async fn lists_are_filtered_by_their_address_and_downloaded_as_they_are() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("MANAGER").await);
    let page = staff.page("/admin/orders").await;
    assert!(
        page.contains(&format!("href=\"/admin/orders/{}\"", order.id)) && page.contains("1 row<"),
        "{page}"
    );
    assert!(page.contains("href=\"/admin/orders?format=csv\""), "{page}");
    let none = staff.page("/admin/orders?status=CANCELLED").await;
    assert!(
        none.contains("Nothing matches") && none.contains("Status: Cancelled"),
        "{none}"
    );
    assert!(none.contains("class=\"chip\" href=\"/admin/orders\""), "{none}");
    assert!(
        staff
            .page("/admin/orders?status=nonsense")
            .await
            .contains("Nothing matches")
    );
    let file = staff.get("/admin/orders?status=PENDING&format=csv").await;
    assert!(file.header("content-type").unwrap().starts_with("text/csv"));
    assert!(file.text().contains(&order.id.to_string()));
    let file = staff.get("/admin/orders?status=CANCELLED&format=csv").await;
    assert_eq!(file.text().lines().count(), 1);
    // What is no page is the first one, and a page behind the last one is empty.
    assert!(staff.page("/admin/orders?page=x").await.contains("1 row<"));
    assert!(staff.page("/admin/orders?page=7").await.contains("rel=\"prev\""));
    // Money stands at the right.
    assert!(
        page.contains("<td class=\"num\" data-label=\"Total\">€20.00</td>"),
        "{page}"
    );
    let german = staff.page("/admin/orders?lang=de").await;
    assert!(german.contains("lang=\"de\"") && german.contains("20,00\u{a0}€") && german.contains("Bestellungen"));
}

#[tokio::test]
async fn lists_have_pages_that_keep_the_filter() {
    let shop = Shop::open().await;
    shop.db
        .execute("insert into users (email, password_hash) select 'u' || n || '@example.net', '$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234' from generate_series(1, 120) n")
        .await;
    let staff = shop.staff("SUPPORT").await;
    let page = unescaped(&staff.page("/admin/customers?query=example.net&page=2").await);
    assert!(page.contains("Page 2 of 3") && page.contains("120 rows"), "{page}");
    for link in [
        "href=\"/admin/customers?query=example.net&page=1\"",
        "href=\"/admin/customers?query=example.net&page=3\"",
        "class=\"chip\" href=\"/admin/customers\"",
    ] {
        assert!(page.contains(link), "{link}: {page}");
    }
}

#[tokio::test]
async fn a_promo_code_is_made_changed_and_not_overwritten_unseen() {
    let shop = Shop::open().await;
    let manager = shop.staff("MANAGER").await;
    let page = manager.page("/admin/promotions/new").await;
    let wrong = manager
        .submit(&page, "code=x&discount=200&max_uses=0&valid_from=2027-02-30&active=yes")
        .await;
    for field in ["code-error", "discount-error", "max_uses-error", "valid_from-error"] {
        assert!(wrong.text().contains(field), "{field}");
    }
    let made = manager
        .submit(
            &page,
            "code=spring&discount=12,5&max_uses=3&valid_from=&valid_until=2099-12-31&active=yes",
        )
        .await;
    let list = manager.follow(&made).await;
    assert!(
        list.contains("SPRING") && list.contains("12.5 %") && list.contains("Usable"),
        "{list}"
    );
    let id = shop.value("select id::text from promo_codes").await;
    let address = format!("/admin/promotions/{id}");
    let (mine, other) = (manager.page(&address).await, manager.page(&address).await);
    let changes =
        |uses| format!("code=SPRING&discount=12.5&max_uses={uses}&valid_from=&valid_until=2099-12-31&active=yes");
    let saved = manager.submit(&other, &changes(5)).await;
    assert!(manager.follow(&saved).await.contains("Saved."));
    let stale = manager.submit(&mine, &changes(9)).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        stale.text().contains("Somebody saved meanwhile") && stale.text().contains("0 / 5"),
        "{}",
        stale.text()
    );
    assert!(stale.text().contains("value=\"9\""));
    assert_eq!(shop.value("select max_uses::text from promo_codes").await, "5");
    // The form that shows both versions replaces the one that it shows.
    let saved = manager.submit(stale.text(), &changes(9)).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    assert_eq!(shop.value("select max_uses::text from promo_codes").await, "9");
}

#[tokio::test]
async fn a_synchronisation_is_asked_for_followed_and_cancelled() {
    let shop = Shop::open().await;
    let manager = shop.staff("MANAGER").await;
    let page = manager.page("/admin/supplier/sync").await;
    let started = manager.submit(&page, "kind=FULL&product=").await;
    let job = started.header("location").unwrap().to_owned();
    let answer = manager.get(&job).await;
    assert!(answer.page().contains("Waiting"));
    // With scripts the page follows the job's events; without it reads itself again.
    let address = job.replace("/admin/supplier/jobs/", "/admin/live/jobs/");
    assert!(
        answer.page().contains(&format!("data-live=\"{address}\"")),
        "{}",
        answer.page()
    );
    assert!(
        answer
            .page()
            .contains("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>")
    );
    let busy = manager.submit(&page, "kind=INCREMENTAL&product=").await;
    assert!(busy.text().contains("Another synchronisation is open"));
    let cancelled = manager.post("/admin/supplier/sync/cancel", "").await;
    assert!(manager.follow(&cancelled).await.contains("stops at the next product"));
    let answer = manager.get(&job).await;
    assert!(answer.page().contains("Cancelled"));
    assert!(!answer.page().contains("data-live") && !answer.page().contains("http-equiv"));
}

#[tokio::test]
async fn an_incident_is_closed_with_a_note_and_named_on_the_first_page() {
    let shop = Shop::open().await;
    let (order, manager) = (shop.delivered().await, shop.staff("MANAGER").await);
    assert!(
        manager
            .page("/admin")
            .await
            .contains("Nothing needs you at the moment.")
    );
    shop.db
        .execute(&format!(
            "insert into incidents (kind, order_unit_id, detail) values ('KEY_LATE', '{}', 'It came late')",
            order.units[0]
        ))
        .await;
    let today = manager.page("/admin").await;
    let id = shop.value("select id::text from incidents").await;
    let close = format!("/admin/incidents/{id}/close");
    assert!(
        today.contains("Key arrived late") && today.contains(&format!("href=\"{close}\"")),
        "{today}"
    );
    assert!(
        today.contains("<svg class=\"bars\"") && today.contains("€20.00"),
        "{today}"
    );
    let page = manager.page(&close).await;
    assert_eq!(
        manager.submit(&page, "reason=").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let closed = manager.submit(&page, "reason=Delivered+by+hand").await;
    assert!(manager.follow(&closed).await.contains("The incident is closed."));
    assert!(
        manager
            .page("/admin/incidents?state=closed")
            .await
            .contains("Delivered by hand")
    );
    let order = manager.page(&format!("/admin/orders/{}", order.id)).await;
    assert!(
        order.contains("Incident closed") && order.contains("Delivered by hand"),
        "{order}"
    );
}

#[tokio::test]
async fn emails_are_sent_again_answers_dropped_and_both_recorded() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    shop.db
        .execute("update mail_outbox set attempts = 3, not_before = now() + interval '1 hour', last_error = 'refused'")
        .await;
    let page = owner.page("/admin/emails").await;
    assert!(page.contains("owner@example.org") && page.contains("refused"), "{page}");
    let id = shop.value("select id::text from mail_outbox limit 1").await;
    let done = owner.post(&format!("/admin/emails/{id}/retry"), "").await;
    assert!(owner.follow(&done).await.contains("The e-mail is sent in a moment."));
    let page = owner.page("/admin/cache/drop?pattern=home:*").await;
    let done = owner.submit(&page, "").await;
    assert!(owner.follow(&done).await.contains("Cached answers dropped"));
    let log = owner.page("/admin/audit").await;
    for entry in ["E-mail sent again", "Cached answers dropped", "owner@example.org"] {
        assert!(log.contains(entry), "{entry}: {log}");
    }
    assert!(
        !owner
            .page("/admin/audit?action=cache.invalidate")
            .await
            .contains("E-mail sent again")
    );
}

/// A search that names one thing opens it; several are listed; nothing is said so.
#[tokio::test]
async fn a_search_opens_what_it_names() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    shop.db.promo_code("SPRING", 10, None).await;
    let number = shop.value("select lower(number) from orders").await;
    let transaction = shop
        .value("select id::text from transactions where type = 'PURCHASE'")
        .await;
    let promo = shop.value("select id::text from promo_codes").await;
    for (text, address) in [
        (order.id.to_string(), format!("/admin/orders/{}", order.id)),
        (number, format!("/admin/orders/{}", order.id)),
        (transaction, format!("/admin/orders/{}", order.id)),
        (order.units[0].to_string(), format!("/admin/orders/{}", order.id)),
        ("ADA@example.org".to_owned(), format!("/admin/customers/{}", order.user)),
        (order.user.to_string(), format!("/admin/customers/{}", order.user)),
        ("spring".to_owned(), format!("/admin/promotions/{promo}")),
        (order.keys[0].to_string(), format!("/admin/keys/{}", order.keys[0])),
        ("portal".to_owned(), format!("/admin/catalogue/{}", order.game)),
    ] {
        let answer = staff.get(&format!("/admin/search?q={text}")).await;
        assert_eq!(answer.header("location"), Some(address.as_str()), "{text}");
    }
    let part = staff.page("/admin/search?q=example").await;
    assert!(
        part.contains("ada@example.org") && part.contains("owner@example.org"),
        "{part}"
    );
    assert!(staff.page("/admin/search?q=qqqqzzzz").await.contains("Nothing found"));
    assert_eq!(staff.get("/admin/search?q=%00").await.status, StatusCode::OK);
    assert_eq!(staff.get("/admin/search").await.status, StatusCode::OK);
}
