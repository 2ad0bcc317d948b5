//! Acting as a customer: who may, what is seen, what is refused, what is recorded, and what ends it.

use futures::future::join_all;
use http::{Request, StatusCode};
use lockstep_console::ConsolePath;

use crate::shop::{Browser, PASSWORD, Shop, between};

/// The cookie with the token, as a browser sends it back.
fn token(answer: &crate::shop::Answered) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter();
    let mut cookies = cookies.map(|cookie| cookie.to_str().unwrap());
    let cookie = cookies.find(|cookie| cookie.starts_with("impersonation=")).unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// Lets `staff` act as the customer with this id, and returns the browser with both sessions.
async fn act<'s>(shop: &'s Shop, staff: &Browser<'s>, customer: impl std::fmt::Display) -> Browser<'s> {
    let answer = staff
        .post(
            &format!("/admin/customers/{customer}/act"),
            "reason=A+question+about+an+order",
        )
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert_eq!(answer.header("location"), Some("/account"));
    shop.browser(format!("{}; {}", staff.cookies(), token(&answer)))
}

#[tokio::test]
async fn staff_see_the_shop_as_the_customer_with_a_banner_on_every_page() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("SUPPORT").await);
    let customer = staff.page(&format!("/admin/customers/{}", order.user)).await;
    assert!(customer.contains(&format!("href=\"/admin/customers/{}/act\"", order.user)));
    let form = staff.page(&format!("/admin/customers/{}/act", order.user)).await;
    assert!(
        form.contains("20 minutes") && form.contains("name=\"reason\""),
        "{form}"
    );

    let acting = act(&shop, &staff, order.user).await;
    for page in [
        "/",
        "/games",
        "/game/portal",
        "/help",
        "/account",
        "/orders",
        "/cart",
        "/nothing",
    ] {
        let answer = acting.get(page).await;
        let text = answer.text();
        assert!(text.contains("You act as ada@example.org until"), "{page}: {text}");
        assert!(text.contains("action=\"/impersonation/end\""), "{page}");
        if answer.status == StatusCode::OK {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{page}");
        }
    }
    assert!(acting.page("/orders").await.contains(&format!("/orders/{}", order.id)));
    // The console is still theirs, and nobody else sees the banner.
    assert!(acting.page("/admin/orders").await.contains("support@example.org"));
    assert!(!staff.page("/").await.contains("You act as"));

    let ended = acting.post("/impersonation/end", "").await;
    let back = format!("/admin/customers/{}?done=acted", order.user);
    assert_eq!(ended.header("location"), Some(back.as_str()));
    assert!(ended.header("set-cookie").unwrap().starts_with("impersonation=; "));
    // The token is worth nothing any more.
    let own = acting.page("/orders").await;
    assert!(
        !own.contains("You act as") && !own.contains(&order.id.to_string()),
        "{own}"
    );
    assert_eq!(
        shop.value("select string_agg(action || ' ' || coalesce(details ->> 'reason', '-'), ', ' order by at, action) from audit_log")
            .await,
        "user.impersonation A question about an order, user.impersonation_end -"
    );
}

#[tokio::test]
async fn every_way_to_buy_to_reveal_or_to_change_the_account_is_refused() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    let acting = act(&shop, &staff, order.user).await;
    let before = shop
        .value("select string_agg(u::text, '' order by id) from users u")
        .await;
    for (page, form) in [
        ("/checkout", "game=x&quantity=1"),
        ("/checkout/top-up", "amount=10"),
        ("/account/balance", "amount=10&method=card"),
        ("/account/password", "current_password=x&new_password=y"),
        ("/account/profile", "nickname=Eve"),
        ("/account/profile/no-picture", ""),
        ("/account/billing", "country=DE"),
        ("/account/second-factor", ""),
        ("/account/second-factor/remove", ""),
        ("/account/sessions/end-others", ""),
        ("/account/delete", "password=x"),
        ("/verify-email/again", ""),
        ("/withdraw", "name=a"),
        ("/stock-alerts", "game=x"),
        ("/login", "email=ada@example.org&password=x"),
        ("/register", "email=eve@example.org&password=Correct-Horse-1"),
    ] {
        let answer = acting.post(page, form).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{page}: {}", answer.text());
        assert!(
            answer.text().contains("Not possible while you act as a customer"),
            "{page}"
        );
        assert!(
            answer.text().contains("You act as ada@example.org"),
            "{page}: the banner"
        );
    }
    for page in [
        format!("/orders/{}/keys/{}", order.id, order.keys[0]),
        "/account/data/download".to_owned(),
    ] {
        assert_eq!(acting.get(&page).await.status, StatusCode::FORBIDDEN, "{page}");
    }
    // The order is shown without its keys, and no look at them is recorded.
    let page = acting.page(&format!("/orders/{}", order.id)).await;
    assert!(
        page.contains("only the customer sees their keys") && !page.contains("class=\"key\""),
        "{page}"
    );
    assert_eq!(shop.value("select count(*)::text from key_reveals").await, "0");
    assert_eq!(shop.value("select count(*)::text from top_ups").await, "0");
    assert_eq!(shop.value("select count(*)::text from orders").await, "1");
    assert_eq!(
        shop.value("select string_agg(u::text, '' order by id) from users u")
            .await,
        before
    );
    // Cart and wishlist are the customer's.
    let added = acting.post("/cart/add", &format!("game={}", order.game)).await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text());
    let carts: String = sqlx::query_scalar("select string_agg(user_id::text, ',') from cart_items")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(carts, order.user.to_string());
}

#[tokio::test]
async fn every_request_is_recorded_without_its_query_and_can_be_read() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    let acting = act(&shop, &staff, order.user).await;
    acting.get("/games?search=secret").await;
    acting.get("/account").await;
    acting.post("/checkout", "promo=SECRET").await;
    // What everybody gets the same is no request of theirs.
    acting.get("/assets/nothing.css").await;
    let recorded = shop
        .value(
            "select string_agg(number || ' ' || method || ' ' || path || ' ' || refused, ', ' order by number)
               from impersonation_requests",
        )
        .await;
    assert_eq!(
        recorded,
        "1 GET /games false, 2 GET /account false, 3 POST /checkout true"
    );
    let page = staff.page(&format!("/admin/customers/{}/acts", order.user)).await;
    for shown in ["owner@example.org", "POST /checkout", "GET /account", "Refused"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // The customer sees the session as one of the shop's staff, without its address.
    let again = act(&shop, &staff, order.user).await;
    let theirs = again.page("/account/sessions").await;
    assert!(theirs.contains("Staff of this shop"), "{theirs}");
    // After two thousand requests it is over.
    shop.db
        .execute("update impersonations set requests = 2000 where ended_at is null")
        .await;
    assert!(!again.page("/account").await.contains("You act as"));
}

#[tokio::test]
async fn nobody_acts_as_staff_and_a_reason_and_the_password_are_needed() {
    let shop = Shop::open().await;
    let (order, owner) = (shop.delivered().await, shop.staff("OWNER").await);
    shop.staff("CONTENT").await;
    let manager = shop.staff("MANAGER").await;
    for whom in ["content", "owner", "manager"] {
        let id = shop.id_of(whom).await;
        for staff in [&owner, &manager] {
            let refused = staff.post(&format!("/admin/customers/{id}/act"), "reason=x").await;
            assert_eq!(
                refused.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{whom}: {}",
                refused.text()
            );
            assert!(refused.header("set-cookie").is_none());
        }
        let page = owner.page(&format!("/admin/customers/{id}")).await;
        assert!(!page.contains("/act\""), "{whom}");
    }
    let act = format!("/admin/customers/{}/act", order.user);
    let refused = manager.post(&act, "reason=").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(shop.value("select count(*)::text from impersonations").await, "0");
    // Without the password of a moment ago it is asked for, and the reason is kept.
    shop.forget_passwords().await;
    let asked = manager.post(&act, "reason=Kept").await;
    assert!(asked.text().contains("type=\"password\"") && asked.text().contains("value=\"Kept\""));
    assert_eq!(shop.value("select count(*)::text from impersonations").await, "0");
    let done = manager
        .submit(asked.text(), &format!("confirm_password={PASSWORD}"))
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert_eq!(shop.value("select reason from impersonations").await, "Kept");
}

#[tokio::test]
async fn it_ends_with_the_session_the_permission_time_and_a_role_of_the_customer() {
    let shop = Shop::open().await;
    let order = shop.delivered().await;
    let owner = shop.staff("OWNER").await;
    for (what, statement) in [
        (
            "their session",
            "delete from user_sessions where staff_session_id is null and user_id = (select id from users where email = 'support@example.org')",
        ),
        (
            "their permission",
            "delete from staff_role_permissions where permission = 'users.impersonate' and role = 'SUPPORT'",
        ),
        (
            "time",
            "update user_sessions set created_at = now() - interval '21 minutes', expires_at = now() where staff_session_id is not null",
        ),
        (
            "a role of the customer",
            "update users set staff_role = 'CONTENT' where email = 'ada@example.org'",
        ),
    ] {
        shop.db
            .execute(
                "update users set staff_role = null where email = 'ada@example.org';
                 update users set email = 'gone-' || id || '@example.org' where email = 'support@example.org';
                 insert into staff_role_permissions values ('SUPPORT', 'users.impersonate') on conflict do nothing",
            )
            .await;
        let staff = shop.staff("SUPPORT").await;
        let acting = act(&shop, &staff, order.user).await;
        assert!(acting.page("/account").await.contains("You act as"), "{what}");
        shop.db.execute(statement).await;
        let after = acting.get("/").await;
        assert!(!after.text().contains("You act as"), "{what}: {}", after.text());
        // What was meant for the customer is not done to the member of staff.
        let add = acting.post("/cart/add", &format!("game={}", order.game)).await;
        assert_eq!(add.header("location"), Some("/"), "{what}");
        assert_eq!(shop.value("select count(*)::text from cart_items").await, "0", "{what}");
    }
    // Logging out is the member of staff's, and ends both.
    shop.db
        .execute("update users set staff_role = null where email = 'ada@example.org'")
        .await;
    let acting = act(&shop, &owner, order.user).await;
    acting.post("/logout", "").await;
    assert_eq!(owner.get("/admin/orders").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        shop.value("select (ended_at is not null)::text from impersonations order by began_at desc limit 1")
            .await,
        "true"
    );
}

#[tokio::test]
async fn many_at_once_are_isolated() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let mut pairs = Vec::new();
    for n in 0..6 {
        let name = format!("customer{n}");
        shop.customer(&name).await;
        // Each in a session of its own.
        let log_in = shop
            .stranger()
            .post("/login", &format!("email=owner@example.org&password={PASSWORD}"))
            .await;
        let cookies = log_in.headers.get_all("set-cookie").iter();
        let pair = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        let staff = shop.browser(pair.collect::<Vec<_>>().join("; "));
        pairs.push((name.clone(), shop.id_of(&name).await, staff));
    }
    let acting = join_all(pairs.iter().map(|(_, id, staff)| act(&shop, staff, id))).await;
    for _ in 0..5 {
        let pages = join_all(
            acting
                .iter()
                .flat_map(|browser| [browser.page("/"), browser.page("/account")]),
        )
        .await;
        for (n, page) in pages.iter().enumerate() {
            for (other, (name, ..)) in pairs.iter().enumerate() {
                let shows = page.contains(&format!("You act as {name}@example.org"));
                assert_eq!(shows, other == n / 2, "{n} {name}: {page}");
            }
        }
    }
    assert_eq!(
        shop.value("select count(*) || ' ' || min(requests) || ' ' || max(requests) from impersonations")
            .await,
        "6 10 10"
    );
    // One customer at a time in a session of staff: the last one counts, however many begin at once.
    join_all(pairs.iter().map(|(_, id, _)| act(&shop, &owner, id))).await;
    assert_eq!(
        shop.value(
            "select count(*)::text from user_sessions s join user_sessions o on o.id = s.staff_session_id
              join impersonations i on i.id = s.id where i.ended_at is null"
        )
        .await,
        "7"
    );
}

#[tokio::test]
async fn it_works_under_another_path_of_the_console() {
    let shop = Shop::open_at(ConsolePath::Console).await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    let form = staff.page(&format!("/console/customers/{}/act", order.user)).await;
    assert!(between(&form, "<form class=\"form\"", ">").contains(&format!("/console/customers/{}/act", order.user)));
    let begun = staff.submit(&form, "reason=A+look").await;
    assert_eq!(begun.header("location"), Some("/account"), "{}", begun.text());
    let acting = shop.browser(format!("{}; {}", staff.cookies(), token(&begun)));
    let ended = acting.post("/impersonation/end", "").await;
    let back = format!("/console/customers/{}?done=acted", order.user);
    assert_eq!(ended.header("location"), Some(back.as_str()));
    assert!(acting.page(&back).await.contains("You no longer act as this customer."));
}

/// A form of another site neither begins nor ends it.
#[tokio::test]
async fn other_sites_have_no_chance() {
    let shop = Shop::open().await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    let acting = act(&shop, &staff, order.user).await;
    for path in [
        format!("/admin/customers/{}/act", order.user),
        "/impersonation/end".to_owned(),
    ] {
        let forged = Request::post(&path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "cross-site")
            .header("host", "shop.example")
            .header("cookie", acting.cookies());
        let answer = shop
            .send(forged.body(axum::body::Body::from("reason=x")).unwrap())
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(acting.page("/account").await.contains("You act as"));
}
