//! The palette and the search page: what was opened last, pages and actions by name, saved views.

use crate::shop::Shop;

#[tokio::test]
async fn actions_are_found_by_name_by_whoever_may_do_them() {
    let shop = Shop::open().await;
    let (manager, content) = (shop.staff("MANAGER").await, shop.staff("CONTENT").await);
    for page in ["/admin/palette", "/admin/search"] {
        let found = manager.page(&format!("{page}?q=CODE+new")).await;
        assert!(found.contains("href=\"/admin/promotions/new\""), "{found}");
        let found = manager.page(&format!("{page}?q=synchronise+now")).await;
        assert!(found.contains("href=\"/admin/supplier/sync\""), "{found}");
        let found = content.page(&format!("{page}?q=code")).await;
        assert!(!found.contains("/admin/promotions/new"), "{found}");
        let german = manager.page(&format!("{page}?q=gutscheincode&lang=de")).await;
        assert!(german.contains("href=\"/admin/promotions/new\""), "{german}");
        // Without a text everything that can be done is there.
        let all = content.page(&format!("{page}?lang=en")).await;
        assert!(
            all.contains("/admin/content/articles/new") && !all.contains("/admin/supplier/sync"),
            "{all}"
        );
    }
    let few = manager.page("/admin/palette?q=diagnos&lang=en").await;
    assert!(
        few.contains("data-status>1 result<") && few.matches("role=\"option\"").count() == 1,
        "{few}"
    );
}

#[tokio::test]
async fn what_was_opened_last_comes_first_while_it_may_be_opened() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("MANAGER").await);
    let number = shop.value("select number from orders").await;
    shop.db.promo_code("SPRING", 10, None).await;
    let promo = shop.value("select id::text from promo_codes").await;
    for path in [
        format!("/admin/orders/{}", order.id),
        format!("/admin/customers/{}", order.user),
        format!("/admin/catalogue/{}", order.game),
        format!("/admin/keys/{}", order.keys[0]),
        format!("/admin/promotions/{promo}"),
        format!("/admin/orders/{}", order.id),
    ] {
        staff.page(&path).await;
    }
    let recent = staff.page("/admin/palette").await;
    let places: Vec<usize> = [number.as_str(), "SPRING", ">Key<", ">Game<", "ada@example.org"]
        .iter()
        .map(|name| recent.find(name).unwrap_or_else(|| panic!("no {name}: {recent}")))
        .collect();
    assert!(places.is_sorted(), "{places:?}: {recent}");
    assert!(staff.page("/admin/search").await.contains(&number));
    // Another member of staff has opened nothing, and a role that shrinks forgets.
    let support = shop.staff("SUPPORT").await;
    assert!(!support.page("/admin/palette").await.contains(&number));
    shop.db
        .execute("update users set staff_role = 'ANALYST' where email = 'manager@example.org'")
        .await;
    let recent = staff.page("/admin/palette").await;
    assert!(
        !recent.contains("ada@example.org") && !recent.contains(&number),
        "{recent}"
    );
    assert!(recent.contains("Portal"), "{recent}");
}

/// Pages that open at once wait for each other in no circle, and the list stays short.
#[tokio::test]
async fn of_many_pages_opened_at_once_the_last_twenty_are_remembered() {
    let shop = Shop::open().await;
    let staff = shop.staff("MANAGER").await;
    let mut games = Vec::new();
    for n in 0..24 {
        games.push(shop.db.game(&format!("Game {n}"), &format!("game-{n}"), "10.00").await);
    }
    let opened = games.iter().chain(games.iter().rev());
    let addresses: Vec<String> = opened.map(|game| format!("/admin/catalogue/{game}")).collect();
    futures::future::join_all(addresses.iter().map(|address| staff.page(address))).await;
    staff.page(&addresses[0]).await;
    assert_eq!(shop.value("select count(*)::text from recent_things").await, "20");
    let recent = staff.page("/admin/palette").await;
    let first = recent.find(">Game 0<").unwrap();
    assert_eq!(recent.find("<span>Game "), Some(first - "<span".len()), "{recent}");
}

#[tokio::test]
async fn saved_views_and_games_are_found_by_name() {
    let shop = Shop::open().await;
    let staff = shop.staff("MANAGER").await;
    let game = shop.db.game("Portal of Night", "portal-of-night", "10.00").await;
    staff
        .post("/admin/views", "list=orders&query=status%3DPENDING&name=Waiting+long")
        .await;
    let found = staff.page("/admin/palette?q=waiting").await;
    assert!(
        found.contains("/admin/orders?status=PENDING&#38;view=")
            || found.contains("/admin/orders?status=PENDING&amp;view="),
        "{found}"
    );
    let found = staff.page("/admin/palette?q=night").await;
    assert!(found.contains(&format!("/admin/catalogue/{game}")), "{found}");
    // Two letters are too few to look through the catalogue.
    let found = staff.page("/admin/palette?q=ni").await;
    assert!(!found.contains(&game.to_string()), "{found}");
}
