//! The room "System": roles, tokens and webhooks, each as an owner uses it; and what is shown once.

use http::StatusCode;

use crate::shop::{PASSWORD, Shop, between, unescaped};

/// The text in the box of a page with something that is shown once.
fn shown_once(page: &str) -> String {
    let note = page.split("<section class=\"note warn clear\"").nth(1).unwrap();
    between(note, "<code>", "</code>").to_owned()
}

#[tokio::test]
async fn a_token_is_shown_once_and_permits_what_was_chosen() {
    let shop = Shop::open().await;
    let staff = shop.staff("SUPPORT").await;
    let page = staff.page("/admin/system/tokens/new").await;
    assert!(page.contains("value=\"orders.read\"") && !page.contains("value=\"staff.write\""));
    let form = "name=Export&expiresInDays=7&permissions=orders.read&permissions=keys.read";
    let made = staff.submit(&page, form).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let token = shown_once(made.text());
    assert!(token.starts_with("lsk_"), "{token}");
    let list = staff.page("/admin/system/tokens").await;
    assert!(list.contains("Export") && list.contains("keys.read, orders.read") && !list.contains(&token));
    let kept = "select encode(hash, 'hex') from api_tokens";
    assert!(!shop.value(kept).await.contains(&token));
    let id = shop.value("select id::text from api_tokens").await;
    let delete = staff.page(&format!("/admin/system/tokens/{id}/delete")).await;
    let list = staff.follow(&staff.submit(&delete, "").await).await;
    assert!(list.contains("Deleted.") && !list.contains("Export"));
    // Nobody gives a token what they lack, and no other member of staff sees it.
    let form = "name=More&expiresInDays=7&permissions=staff.write";
    let refused = staff.submit(&page, form).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("You cannot give a permission that you lack."));
    assert_eq!(shop.value("select count(*)::text from api_tokens").await, "0");
}

#[tokio::test]
async fn an_invalid_token_form_names_each_field_and_keeps_what_was_entered() {
    let shop = Shop::open().await;
    let staff = shop.staff("OWNER").await;
    let page = staff.page("/admin/system/tokens/new").await;
    let refused = staff.submit(&page, "name=Kept+%26+old&expiresInDays=900").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = unescaped(refused.text());
    assert!(
        text.contains("value=\"Kept & old\"") && text.contains("value=\"900\""),
        "{text}"
    );
    assert!(text.contains("id=\"expiresInDays-error\"") && text.contains("id=\"permissions-error\""));
}

#[tokio::test]
async fn a_role_is_made_given_changed_and_deleted() {
    let shop = Shop::open().await;
    let (owner, _) = (shop.staff("OWNER").await, shop.customer("bea").await);
    shop.db
        .execute("update users set email_verified = true where email = 'bea@example.org'")
        .await;
    let page = owner.page("/admin/system/roles/new").await;
    let form = "name=night+shift&refund_limit=15%2C50&permissions=orders.read&permissions=users.read";
    let made = owner.submit(&page, form).await;
    assert!(owner.follow(&made).await.contains("NIGHT_SHIFT"));
    let stored =
        "select string_agg(permission, ' ' order by permission) from staff_role_permissions where role = 'NIGHT_SHIFT'";
    assert_eq!(shop.value(stored).await, "orders.read users.read");
    // Given to an account, it counts at once.
    let page = owner.page("/admin/system/staff/new").await;
    let unknown = owner.submit(&page, "email=nobody%40example.org&role=NIGHT_SHIFT").await;
    assert!(
        unknown.text().contains("There is no account with this address."),
        "{}",
        unknown.text()
    );
    let added = owner.submit(&page, "email=bea%40example.org&role=NIGHT_SHIFT").await;
    assert!(owner.follow(&added).await.contains("bea@example.org"));
    let role = "select staff_role from users where email = 'bea@example.org'";
    assert_eq!(shop.value(role).await, "NIGHT_SHIFT");
    // Somebody has it, so it stays.
    let delete = owner.page("/admin/system/roles/NIGHT_SHIFT/delete").await;
    let kept = owner.submit(&delete, "").await;
    assert!(kept.text().contains("Somebody has this role."), "{}", kept.text());
    shop.db
        .execute("update users set staff_role = null where staff_role is not null")
        .await;
    let gone = owner.submit(&delete, "").await;
    assert!(owner.follow(&gone).await.contains("Deleted."));
    let log = "select string_agg(action, ' ' order by at) from audit_log where action like 'role.%'";
    assert_eq!(shop.value(log).await, "role.create role.delete");
}

#[tokio::test]
async fn a_stale_form_of_a_role_shows_both_versions() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let (mine, other) = (
        owner.page("/admin/system/roles/ANALYST").await,
        owner.page("/admin/system/roles/ANALYST").await,
    );
    let saved = owner
        .submit(&other, "permissions=dashboard.read&permissions=audit.read")
        .await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    let stale = owner.submit(&mine, "permissions=orders.read").await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let conflict = between(stale.text(), "<section class=\"note warn conflict\"", "</section>");
    assert!(
        conflict.contains("audit.read") && conflict.contains("orders.read"),
        "{conflict}"
    );
    // Sent again, it replaces what was seen now.
    let done = owner.submit(stale.text(), "permissions=orders.read").await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let stored = "select string_agg(permission, ' ') from staff_role_permissions where role = 'ANALYST'";
    assert_eq!(shop.value(stored).await, "orders.read");
}

/// Who may give roles without having every permission neither makes, nor changes, nor deletes a role with more.
#[tokio::test]
async fn nobody_makes_or_changes_a_role_with_more_than_they_have() {
    let shop = Shop::open().await;
    shop.db
        .execute("insert into staff_role_permissions (role, permission) values ('SUPPORT', 'staff.write')")
        .await;
    let staff = shop.staff("SUPPORT").await;
    let page = staff.page("/admin/system/roles/new").await;
    assert!(!page.contains("value=\"system.write\""), "it cannot be chosen");
    let refused = staff.submit(&page, "name=POWER&permissions=system.write").await;
    assert!(
        refused.text().contains("You cannot give a permission that you lack."),
        "{}",
        refused.text()
    );
    for (role, form) in [
        ("MANAGER", "permissions=orders.read"),
        ("ANALYST", "permissions=orders.read"),
    ] {
        let page = staff.page(&format!("/admin/system/roles/{role}")).await;
        let refused = staff.submit(&page, form).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{role}");
        let delete = staff.page(&format!("/admin/system/roles/{role}/delete")).await;
        let refused = staff.submit(&delete, "").await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{role}");
    }
    assert_eq!(shop.value("select count(*)::text from audit_log").await, "0");
}

#[tokio::test]
async fn changes_of_staff_ask_for_the_password_again_and_keep_the_form() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let page = owner.page("/admin/system/roles/new").await;
    shop.forget_passwords().await;
    let asked = owner
        .submit(&page, "name=NIGHT&permissions=orders.read&permissions=keys.read")
        .await;
    assert!(asked.text().contains("type=\"password\""), "{}", asked.text());
    assert_eq!(
        shop.value("select count(*)::text from staff_roles where name = 'NIGHT'")
            .await,
        "0"
    );
    let done = owner
        .submit(asked.text(), &format!("confirm_password={PASSWORD}"))
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let stored = "select count(*)::text from staff_role_permissions where role = 'NIGHT'";
    assert_eq!(shop.value(stored).await, "2");
}

#[tokio::test]
async fn a_webhook_shows_its_secret_once_and_a_ping_waits_to_be_sent() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let page = owner.page("/admin/system/webhooks/new").await;
    // An address of the shop's own network is refused, and nothing is lost.
    let inside = "name=Accounts&url=https%3A%2F%2F127.0.0.1%2Fin&events=order.completed&lowStockBelow=5";
    let refused = owner.submit(&page, inside).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
    assert!(refused.text().contains("id=\"url-error\"") && refused.text().contains("value=\"Accounts\""));
    let outside = inside.replace("127.0.0.1", "93.184.216.34");
    let made = owner.submit(&page, &outside).await;
    assert_eq!(made.header("cache-control"), Some("no-store"), "{}", made.text());
    let secret = shown_once(made.text());
    assert!(secret.starts_with("whsec_"), "{secret}");
    let id = shop.value("select id::text from webhook_endpoints").await;
    let address = format!("/admin/system/webhooks/{id}");
    let rotated = owner
        .submit(&owner.page(&format!("{address}/secrets")).await, "overlapHours=2")
        .await;
    let second = shown_once(rotated.text());
    assert_ne!(second, secret);
    let pinged = owner.post(&format!("{address}/ping"), "").await;
    let page = owner.follow(&pinged).await;
    assert!(page.contains("A test event is sent in a moment."), "{page}");
    assert!(!page.contains(&secret) && !page.contains(&second));
    assert_eq!(shop.value("select count(*)::text from webhook_deliveries").await, "1");
    // Two forms at once: the second shows both versions.
    let (mine, other) = (
        owner.page(&format!("{address}/edit")).await,
        owner.page(&format!("{address}/edit")).await,
    );
    let change = outside.replace("Accounts", "Bookkeeping") + "&enabled=yes";
    owner.submit(&other, &change).await;
    let stale = owner.submit(&mine, &outside.replace("Accounts", "Stale")).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let conflict = between(stale.text(), "<section class=\"note warn conflict\"", "</section>");
    assert!(
        conflict.contains("Bookkeeping") && conflict.contains("Stale"),
        "{conflict}"
    );
}

#[tokio::test]
async fn a_mail_server_that_does_not_let_the_shop_in_is_not_made_active() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let page = owner.page("/admin/system/mail/new").await;
    // Nothing listens at port 1 of this machine.
    let form = "host=127.0.0.1&port=1&fromEmail=shop%40shop.example&name=Post&active=yes";
    let refused = owner.submit(&page, form).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("The mail server refuses"), "{}", refused.text());
    assert!(refused.text().contains("value=\"Post\""));
    let inactive = form.replace("&active=yes", "");
    let list = owner.follow(&owner.submit(&page, &inactive).await).await;
    assert!(list.contains("Post") && list.contains("Inactive"), "{list}");
    let id = shop.value("select id::text from email_settings").await;
    let tested = owner.post(&format!("/admin/system/mail/{id}/test"), "").await;
    let list = owner.follow(&tested).await;
    assert!(list.contains("The mail server does not let the shop in."), "{list}");
}

#[tokio::test]
async fn diagnostics_name_versions_and_hold_no_settings_of_an_unknown_process() {
    let shop = Shop::open().await;
    let staff = shop.staff("ANALYST").await;
    let page = staff.page("/admin/system/diagnostics").await;
    let schema = shop.value("select max(version)::text from _sqlx_migrations").await;
    assert!(page.contains(&format!("<dd>{schema}</dd>")), "{page}");
    assert!(page.contains("Nothing was checked yet"), "{page}");
}

/// An order's timeline says what programs were told of it, to who may see webhooks.
#[tokio::test]
async fn the_timeline_of_an_order_shows_what_was_told_of_it() {
    let shop = Shop::open().await;
    shop.db
        .execute(
            "insert into webhook_endpoints (id, name, url, events)
             values ('00000000-0000-0000-0000-000000000007', 'Bookkeeping', 'https://hooks.example/in', array['order.created'])",
        )
        .await;
    let order = shop.delivered().await;
    let address = format!("/admin/orders/{}", order.id);
    let timeline = |page: &str| between(page, "<ol class=\"timeline\"", "</ol>").to_owned();
    let manager = timeline(&shop.staff("MANAGER").await.page(&address).await);
    assert!(
        manager.contains("Webhook is waiting") && manager.contains("Bookkeeping: order.created"),
        "{manager}"
    );
    assert!(manager.contains("href=\"/admin/system/webhooks/00000000-0000-0000-0000-000000000007\""));
    let support = timeline(&shop.staff("SUPPORT").await.page(&address).await);
    assert!(
        support.contains("Order placed") && !support.contains("Bookkeeping"),
        "{support}"
    );
}

/// A limit is a power as well: nobody gives more of it than they have, and a form that did not see it changes nothing.
#[tokio::test]
async fn nobody_gives_a_limit_of_refunds_above_their_own() {
    let shop = Shop::open().await;
    shop.db
        .execute("insert into staff_role_permissions (role, permission) values ('SUPPORT', 'staff.write')")
        .await;
    shop.db
        .execute("insert into staff_roles (name, refund_limit) values ('FREE', null), ('LITTLE', 20)")
        .await;
    shop.db
        .execute(
            "insert into staff_role_permissions (role, permission)
             values ('FREE', 'orders.refund'), ('LITTLE', 'orders.refund')",
        )
        .await;
    let (staff, owner) = (shop.staff("SUPPORT").await, shop.staff("OWNER").await);
    let new = staff.page("/admin/system/roles/new").await;
    for limit in ["", "20.01"] {
        let form = format!("name=NIGHT&permissions=orders.refund&refund_limit={limit}");
        let refused = staff.submit(&new, &form).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{limit}");
        let page = staff.page("/admin/system/roles/LITTLE").await;
        let refused = staff.submit(&page, &form).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{limit}");
    }
    let form = "name=NIGHT&permissions=orders.refund&refund_limit=20";
    assert_eq!(staff.submit(&new, form).await.status, StatusCode::SEE_OTHER);
    shop.customer("ada").await;
    shop.db.execute("update users set email_verified = true").await;
    let customer = shop.id_of("ada").await;
    let address = format!("/admin/customers/{customer}/role");
    let refused = staff.submit(&staff.page(&address).await, "role=FREE").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
    let given = staff.submit(&staff.page(&address).await, "role=LITTLE").await;
    assert_eq!(given.status, StatusCode::SEE_OTHER, "{}", given.text());

    // Of two forms of one role, the second sees that only the limit has changed.
    let (mine, other) = (
        owner.page("/admin/system/roles/LITTLE").await,
        owner.page("/admin/system/roles/LITTLE").await,
    );
    owner.submit(&other, "permissions=orders.refund&refund_limit=5").await;
    let stale = owner.submit(&mine, "permissions=orders.refund&refund_limit=500").await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", stale.text());
    let limit = "select refund_limit::numeric(10, 2)::text from staff_roles where name = 'LITTLE'";
    assert_eq!(shop.value(limit).await, "5.00");
}

/// Who sets the mail server reads every link that sets a password.
#[tokio::test]
async fn a_mail_server_asks_for_the_password_and_says_when_all_mail_stops() {
    let shop = Shop::open().await;
    let owner = shop.staff("OWNER").await;
    let page = owner.page("/admin/system/mail/new").await;
    shop.forget_passwords().await;
    let form = "host=127.0.0.1&port=1&fromEmail=shop%40shop.example&name=Post";
    let asked = owner.submit(&page, form).await;
    assert!(asked.text().contains("type=\"password\""), "{}", asked.text());
    assert_eq!(shop.value("select count(*)::text from email_settings").await, "0");
    let made = owner
        .submit(asked.text(), &format!("confirm_password={PASSWORD}"))
        .await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text());
    let address = format!(
        "/admin/system/mail/{}",
        shop.value("select id::text from email_settings").await
    );
    shop.forget_passwords().await;
    for path in [address.clone(), format!("{address}/delete")] {
        let asked = owner.submit(&owner.page(&path).await, form).await;
        assert!(asked.text().contains("confirm_password"), "{path}");
    }
    shop.db
        .execute("update email_settings set is_active = true, passed_at = now()")
        .await;
    let form = format!("{form}&confirm_password={PASSWORD}");
    let done = owner.submit(&owner.page(&address).await, &form).await;
    let list = owner.follow(&done).await;
    assert!(list.contains("No mail server is active now"), "{list}");
}

/// E-mails about an order stand in its timeline: what is kept can be read, without keys; what was sent is forgotten.
#[tokio::test]
async fn the_timeline_of_an_order_leads_to_its_e_mails() {
    let shop = Shop::open().await;
    let order = shop.delivered().await;
    shop.db
        .execute(&format!(
            "insert into mail_outbox (user_id, recipient, kind, letter, not_after, order_id) values
                ('{user}', 'ada@example.org', 'keys-ready', jsonb_build_object('kind', 'keys-ready', 'nickname', 'Ada', 'order', '{order}',
                  'number', '7ZK3M0Q9XA', 'copies', jsonb_build_array(jsonb_build_object('title', 'Portal', 'key', 'ABCDE-FGHIJ-KLMNO'))),
                 now() + interval '1 day', '{order}');
             insert into mail_outbox (user_id, recipient, kind, not_after, sent_at, order_id) values
                ('{user}', 'ada@example.org', 'order-received', now(), now(), '{order}');
             insert into mail_outbox (user_id, recipient, kind, not_after, sent_at) values ('{user}', 'ada@example.org', 'welcome', now(), now())",
            user = order.user,
            order = order.id
        ))
        .await;
    let support = shop.staff("SUPPORT").await;
    let page = support.page(&format!("/admin/orders/{}", order.id)).await;
    let timeline = between(&page, "<ol class=\"timeline\"", "</ol>");
    let link = |what: &str| {
        let before = timeline.split(&format!("\">{what}</a>")).next().unwrap();
        before.rsplit("href=\"").next().unwrap().to_owned()
    };
    assert!(
        timeline.contains("E-mail waits") && timeline.contains("E-mail sent"),
        "{timeline}"
    );
    assert_eq!(timeline.matches("/emails/").count(), 2, "{timeline}");
    let kept = support.page(&link("E-mail waits")).await;
    assert!(kept.contains("ada@example.org") && kept.contains("Portal"), "{kept}");
    assert!(!kept.contains("ABCDE") && kept.contains("••••••••"), "{kept}");
    let sent = support.page(&link("E-mail sent")).await;
    assert!(sent.contains("The text was erased after the e-mail was sent"), "{sent}");
    assert!(
        sent.contains("ada@example.org") && !sent.contains("class=\"preview\""),
        "{sent}"
    );
    // Without the permission to see customers the recipient is masked. Another order has no such e-mail.
    shop.db
        .execute("delete from staff_role_permissions where role = 'SUPPORT' and permission = 'users.read'")
        .await;
    assert!(!support.page(&link("E-mail sent")).await.contains("ada@example.org"));
    let other = link("E-mail sent").replace(&order.id.to_string(), &uuid::Uuid::new_v4().to_string());
    assert_eq!(support.get(&other).await.status, StatusCode::NOT_FOUND);
}
