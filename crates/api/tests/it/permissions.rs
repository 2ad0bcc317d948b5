//! Which role of staff may call which route.

use http::Method;
use lockstep_domain::staff::Permission;
use serde_json::json;

use crate::client::Client;
use crate::shop::Shop;

/// Roles of staff, as they come with the schema, and their letter in [`ROUTES`].
const ROLES: [(char, &str); 5] = [
    ('O', "OWNER"),
    ('M', "MANAGER"),
    ('S', "SUPPORT"),
    ('C', "CONTENT"),
    ('A', "ANALYST"),
];

/// Every route of staff: its permission, and the roles that may call it. A new route needs a row.
const ROUTES: &[(&str, &str, &str, &str)] = &[
    ("DELETE", "/api/admin/blog/{id}", "content.write", "OMC"),
    ("DELETE", "/api/admin/carts/user/{userId}", "carts.write", "OMS"),
    ("DELETE", "/api/admin/categories/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/email-settings/{id}", "system.write", "O"),
    ("DELETE", "/api/admin/email-templates/{name}", "email.write", "OC"),
    ("DELETE", "/api/admin/faqs/{id}", "content.write", "OMC"),
    ("DELETE", "/api/admin/g2a-settings/{id}", "supplier.write", "OM"),
    ("DELETE", "/api/admin/game-keys/{id}", "keys.write", "OM"),
    ("DELETE", "/api/admin/games/{id}", "catalogue.write", "OM"),
    (
        "DELETE",
        "/api/admin/games/{id}/images/{imageId}",
        "catalogue.write",
        "OM",
    ),
    ("DELETE", "/api/admin/genres/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/platforms/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/promo-codes/{id}", "promotions.write", "OM"),
    ("DELETE", "/api/admin/scheduled-changes/{id}", "prices.write", "OM"),
    ("DELETE", "/api/admin/settings/branding/logo", "content.write", "OMC"),
    ("DELETE", "/api/admin/tags/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/tokens/{id}", "any staff", "OMSCA"),
    ("DELETE", "/api/admin/users/{id}", "users.delete", "O"),
    ("DELETE", "/api/admin/webhooks/{id}", "webhooks.write", "O"),
    (
        "DELETE",
        "/api/admin/webhooks/{id}/secrets/{secretId}",
        "webhooks.write",
        "O",
    ),
    ("GET", "/api/admin/blog", "content.read", "OMCA"),
    ("GET", "/api/admin/blog/{id}", "content.read", "OMCA"),
    ("GET", "/api/admin/cache/statistics", "system.read", "OMA"),
    ("GET", "/api/admin/carts", "carts.read", "OMS"),
    ("GET", "/api/admin/carts/user/{userId}", "carts.read", "OMS"),
    ("GET", "/api/admin/categories", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/dashboard", "dashboard.read", "OMSA"),
    ("GET", "/api/admin/disputes", "payments.read", "OMS"),
    ("GET", "/api/admin/disputes/{id}", "payments.read", "OMS"),
    ("GET", "/api/admin/disputes/{id}/evidence", "users.read", "OMS"),
    ("GET", "/api/admin/email-jobs/{id}", "email.read", "OMC"),
    ("GET", "/api/admin/email-queue", "email.read", "OMC"),
    ("GET", "/api/admin/email-settings", "email.read", "OMC"),
    ("GET", "/api/admin/email-settings/{id}", "email.read", "OMC"),
    ("GET", "/api/admin/email-templates", "email.read", "OMC"),
    ("GET", "/api/admin/email-templates/metadata", "email.read", "OMC"),
    ("GET", "/api/admin/email-templates/{name}", "email.read", "OMC"),
    ("GET", "/api/admin/faqs", "content.read", "OMCA"),
    ("GET", "/api/admin/faqs/categories", "content.read", "OMCA"),
    ("GET", "/api/admin/fraud-rules", "payments.read", "OMS"),
    ("GET", "/api/admin/g2a-settings", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a-settings/all", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a-settings/token", "system.write", "O"),
    ("GET", "/api/admin/g2a-settings/{id}/token", "system.write", "O"),
    ("GET", "/api/admin/g2a/budget", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/metrics", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/offers", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/offers/{offerId}", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/reservations", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/status", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/sync-progress", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/sync-runs", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/test-connection", "supplier.read", "OMA"),
    ("GET", "/api/admin/game-keys", "keys.read", "OMS"),
    ("GET", "/api/admin/game-keys/statistics", "keys.read", "OMS"),
    ("GET", "/api/admin/game-keys/{id}", "keys.read", "OMS"),
    ("GET", "/api/admin/games", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/games/{id}", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/games/{id}/images", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/games/{id}/price-history", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/genres", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/incidents", "supplier.read", "OMA"),
    ("GET", "/api/admin/jobs", "supplier.read", "OMA"),
    ("GET", "/api/admin/jobs/{id}", "supplier.read", "OMA"),
    ("GET", "/api/admin/orders", "orders.read", "OMS"),
    ("GET", "/api/admin/orders/{id}", "orders.read", "OMS"),
    ("GET", "/api/admin/payment-comparison", "payments.read", "OMS"),
    ("GET", "/api/admin/payment-holds", "payments.read", "OMS"),
    ("GET", "/api/admin/payment-incidents", "payments.read", "OMS"),
    ("GET", "/api/admin/payments/methods", "payments.read", "OMS"),
    ("GET", "/api/admin/payments/transactions", "payments.read", "OMS"),
    ("GET", "/api/admin/platforms", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/price-rules", "prices.read", "OMA"),
    ("GET", "/api/admin/price-rules/jobs", "prices.read", "OMA"),
    ("GET", "/api/admin/promo-codes", "promotions.read", "OMSA"),
    ("GET", "/api/admin/promo-codes/batches", "promotions.read", "OMSA"),
    ("GET", "/api/admin/promo-codes/batches/{id}", "promotions.read", "OMSA"),
    (
        "GET",
        "/api/admin/promo-codes/batches/{id}/codes",
        "promotions.write",
        "OM",
    ),
    (
        "GET",
        "/api/admin/promo-codes/batches/{id}/statistics",
        "promotions.read",
        "OMSA",
    ),
    ("GET", "/api/admin/promo-codes/statistics", "promotions.read", "OMSA"),
    ("GET", "/api/admin/promo-codes/{id}", "promotions.read", "OMSA"),
    (
        "GET",
        "/api/admin/promo-codes/{id}/statistics",
        "promotions.read",
        "OMSA",
    ),
    ("GET", "/api/admin/receipts", "payments.read", "OMS"),
    ("GET", "/api/admin/receipts/{id}", "payments.read", "OMS"),
    ("GET", "/api/admin/receipts/{id}/pdf", "payments.read", "OMS"),
    ("GET", "/api/admin/receipts/{id}/xml", "payments.read", "OMS"),
    ("GET", "/api/admin/reports/holds", "dashboard.read", "OMSA"),
    ("GET", "/api/admin/reports/margin", "dashboard.read", "OMSA"),
    ("GET", "/api/admin/reports/refunds", "dashboard.read", "OMSA"),
    ("GET", "/api/admin/reports/sales", "dashboard.read", "OMSA"),
    ("GET", "/api/admin/reports/vat", "payments.read", "OMS"),
    ("GET", "/api/admin/scheduled-changes", "prices.read", "OMA"),
    ("GET", "/api/admin/settings/branding", "content.read", "OMCA"),
    ("GET", "/api/admin/settings/branding/logo", "content.read", "OMCA"),
    ("GET", "/api/admin/tags", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/tokens", "any staff", "OMSCA"),
    ("GET", "/api/admin/top-ups", "payments.read", "OMS"),
    ("GET", "/api/admin/top-ups/{id}", "payments.read", "OMS"),
    ("GET", "/api/admin/transactions", "payments.read", "OMS"),
    ("GET", "/api/admin/users", "users.read", "OMS"),
    ("GET", "/api/admin/users/{id}", "users.read", "OMS"),
    ("GET", "/api/admin/users/{id}/activity", "users.read", "OMS"),
    ("GET", "/api/admin/users/{id}/export", "users.read", "OMS"),
    ("GET", "/api/admin/vat-settings", "payments.read", "OMS"),
    ("GET", "/api/admin/webhooks", "webhooks.read", "OM"),
    ("GET", "/api/admin/webhooks/events", "webhooks.read", "OM"),
    ("GET", "/api/admin/webhooks/{id}", "webhooks.read", "OM"),
    ("GET", "/api/admin/webhooks/{id}/deliveries", "webhooks.read", "OM"),
    ("GET", "/api/admin/wishlists", "carts.read", "OMS"),
    ("GET", "/api/admin/wishlists/statistics", "carts.read", "OMS"),
    ("GET", "/api/admin/wishlists/user/{userId}", "carts.read", "OMS"),
    ("GET", "/api/admin/withdrawals", "orders.read", "OMS"),
    ("GET", "/api/admin/withdrawals/{id}", "orders.read", "OMS"),
    ("POST", "/api/admin/blog", "content.write", "OMC"),
    ("POST", "/api/admin/cache/clear", "system.write", "O"),
    ("POST", "/api/admin/cache/invalidate", "system.write", "O"),
    ("POST", "/api/admin/card-refunds/{id}/withdraw", "orders.refund", "OMS"),
    ("POST", "/api/admin/categories", "catalogue.write", "OM"),
    ("POST", "/api/admin/disputes/{id}/evidence", "orders.refund", "OMS"),
    ("POST", "/api/admin/email-queue/retry", "email.write", "OC"),
    ("POST", "/api/admin/email-queue/{id}/retry", "email.write", "OC"),
    ("POST", "/api/admin/email-settings", "system.write", "O"),
    ("POST", "/api/admin/email-settings/{id}/test", "system.write", "O"),
    ("POST", "/api/admin/email-templates/bulk-send", "email.write", "OC"),
    ("POST", "/api/admin/email-templates/{name}/preview", "email.read", "OMC"),
    (
        "POST",
        "/api/admin/email-templates/{name}/send-test",
        "email.write",
        "OC",
    ),
    ("POST", "/api/admin/faqs", "content.write", "OMC"),
    ("POST", "/api/admin/g2a-settings", "supplier.write", "OM"),
    ("POST", "/api/admin/g2a-settings/generate-key", "supplier.write", "OM"),
    ("POST", "/api/admin/g2a/reservations/{id}/cancel", "orders.write", "OMS"),
    ("POST", "/api/admin/g2a/sync", "supplier.write", "OM"),
    ("POST", "/api/admin/g2a/sync-categories", "supplier.write", "OM"),
    ("POST", "/api/admin/g2a/sync-genres", "supplier.write", "OM"),
    ("POST", "/api/admin/g2a/sync-platforms", "supplier.write", "OM"),
    ("POST", "/api/admin/g2a/sync/cancel", "supplier.write", "OM"),
    ("POST", "/api/admin/game-keys", "keys.write", "OM"),
    ("POST", "/api/admin/game-keys/import", "keys.write", "OM"),
    ("POST", "/api/admin/game-keys/{id}/replace", "orders.write", "OMS"),
    ("POST", "/api/admin/game-keys/{id}/reveal", "keys.write", "OM"),
    ("POST", "/api/admin/games", "catalogue.write", "OM"),
    ("POST", "/api/admin/games/{id}/images", "catalogue.write", "OM"),
    ("POST", "/api/admin/genres", "catalogue.write", "OM"),
    ("POST", "/api/admin/incidents/{id}/close", "supplier.write", "OM"),
    ("POST", "/api/admin/jobs/{id}/cancel", "supplier.write", "OM"),
    ("POST", "/api/admin/orders/{id}/cancel", "orders.write", "OMS"),
    ("POST", "/api/admin/payment-holds/{id}/refund", "orders.refund", "OMS"),
    ("POST", "/api/admin/payment-holds/{id}/release", "orders.refund", "OMS"),
    (
        "POST",
        "/api/admin/payment-incidents/{id}/close",
        "orders.refund",
        "OMS",
    ),
    (
        "POST",
        "/api/admin/payments/transactions/{id}/refund",
        "orders.refund",
        "OMS",
    ),
    ("POST", "/api/admin/platforms", "catalogue.write", "OM"),
    ("POST", "/api/admin/price-rules/preview", "prices.read", "OMA"),
    ("POST", "/api/admin/promo-codes", "promotions.write", "OM"),
    ("POST", "/api/admin/promo-codes/batches", "promotions.write", "OM"),
    ("POST", "/api/admin/scheduled-changes", "prices.write", "OM"),
    ("POST", "/api/admin/scripts/sync-all-g2a-games", "supplier.write", "OM"),
    ("POST", "/api/admin/scripts/test-g2a-export-api", "supplier.write", "OM"),
    ("POST", "/api/admin/settings/branding/logo", "content.write", "OMC"),
    ("POST", "/api/admin/tags", "catalogue.write", "OM"),
    ("POST", "/api/admin/tokens", "any staff", "OMSCA"),
    ("POST", "/api/admin/top-ups/{id}/refund", "orders.refund", "OMS"),
    ("POST", "/api/admin/users/{id}/generate-fake-data", "users.write", "OS"),
    (
        "POST",
        "/api/admin/users/{id}/impersonations",
        "users.impersonate",
        "OMS",
    ),
    ("POST", "/api/admin/webhooks", "webhooks.write", "O"),
    (
        "POST",
        "/api/admin/webhooks/{id}/deliveries/{deliveryId}/replay",
        "webhooks.write",
        "O",
    ),
    ("POST", "/api/admin/webhooks/{id}/ping", "webhooks.write", "O"),
    ("POST", "/api/admin/webhooks/{id}/replay", "webhooks.write", "O"),
    ("POST", "/api/admin/webhooks/{id}/secrets", "webhooks.write", "O"),
    ("POST", "/api/admin/withdrawals/{id}/decide", "orders.refund", "OMS"),
    ("PUT", "/api/admin/blog/{id}", "content.write", "OMC"),
    ("PUT", "/api/admin/carts/user/{userId}", "carts.write", "OMS"),
    ("PUT", "/api/admin/categories/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/email-settings/{id}", "system.write", "O"),
    ("PUT", "/api/admin/email-templates/{name}", "email.write", "OC"),
    ("PUT", "/api/admin/faqs/{id}", "content.write", "OMC"),
    ("PUT", "/api/admin/fraud-rules/{name}", "system.write", "O"),
    ("PUT", "/api/admin/g2a-settings/{id}", "supplier.write", "OM"),
    ("PUT", "/api/admin/game-keys/{id}", "keys.write", "OM"),
    ("PUT", "/api/admin/games/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/games/{id}/images", "catalogue.write", "OM"),
    ("PUT", "/api/admin/games/{id}/images/{imageId}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/genres/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/orders/{id}", "orders.write", "OMS"),
    ("PUT", "/api/admin/orders/{id}/status", "orders.write", "OMS"),
    ("PUT", "/api/admin/platforms/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/price-rules", "prices.write", "OM"),
    ("PUT", "/api/admin/promo-codes/batches/{id}", "promotions.write", "OM"),
    ("PUT", "/api/admin/promo-codes/{id}", "promotions.write", "OM"),
    ("PUT", "/api/admin/settings/branding", "content.write", "OMC"),
    ("PUT", "/api/admin/tags/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/users/{id}", "users.write", "OS"),
    ("PUT", "/api/admin/users/{id}/balance", "balance.adjust", "O"),
    ("PUT", "/api/admin/users/{id}/role", "staff.write", "O"),
    ("PUT", "/api/admin/vat-settings", "system.write", "O"),
    ("PUT", "/api/admin/webhooks/{id}", "webhooks.write", "O"),
];

/// Registers a member of staff.
pub(crate) async fn member<'s>(shop: &'s Shop, role: &str) -> Client<'s> {
    let client = Client::new(shop);
    let address = format!("{}@example.org", role.to_lowercase());
    client.register(&address).await;
    give(shop, role, role).await;
    client
}

/// Gives `role` to the member of staff who was registered for `whom`, by plain SQL: no process is told.
pub(crate) async fn give(shop: &Shop, whom: &str, role: &str) {
    let columns = match role {
        "OWNER" => "role = 'ADMIN', staff_role = null".to_owned(),
        "USER" => "role = 'USER', staff_role = null".to_owned(),
        role => format!("role = 'USER', staff_role = '{role}'"),
    };
    let address = whom.to_lowercase();
    shop.db
        .execute(&format!(
            "update users set {columns} where email = '{address}@example.org'"
        ))
        .await;
}

#[test]
fn every_route_of_staff_has_a_row_with_its_permission() {
    let mut registered: Vec<(&str, &str, &str)> = lockstep_api::staff_routes()
        .into_iter()
        .map(|(method, path, permission)| (method, path, permission.map_or("any staff", Permission::name)))
        .collect();
    registered.sort_unstable();
    let listed: Vec<(&str, &str, &str)> = ROUTES
        .iter()
        .map(|(method, path, permission, _)| (*method, *path, *permission))
        .collect();
    assert_eq!(registered, listed);
}

/// The documentation names every permission that a route needs.
#[test]
fn the_documentation_has_a_row_for_each_permission() {
    let text = include_str!("../../../../docs/http-api.md");
    for permission in Permission::ALL {
        assert!(text.contains(&format!("`{permission}`")), "{permission}");
    }
}

#[tokio::test]
async fn each_role_reaches_exactly_its_routes() {
    let shop = Shop::open().await;
    let mut callers = Vec::new();
    for (letter, role) in ROLES {
        callers.push((letter, member(&shop, role).await));
    }
    callers.push(('-', member(&shop, "USER").await));
    callers.push(('-', Client::new(&shop)));
    let id = "0192f0c1-0000-7000-8000-000000000001";
    for (method, path, _, allowed) in ROUTES {
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { id } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        for (letter, caller) in &callers {
            let answer = caller.send(method, &path, "").await;
            let is_open = allowed.contains(*letter);
            assert_eq!(
                answer.status != 403,
                is_open,
                "{letter} {method} {path}: {}",
                answer.status
            );
            assert!(
                !answer.status.is_server_error(),
                "{letter} {method} {path}: {}",
                answer.status
            );
            if !is_open {
                assert_eq!(answer.failure(), (403, "forbidden".into()), "{letter} {method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_role_or_of_its_permissions_counts_with_the_next_request_in_every_process() {
    let shop = Shop::open().await;
    let other = shop.another_process().await;
    let here = member(&shop, "SUPPORT").await;
    let there = Client::new(&other);
    there.set_token(here.token().as_deref());
    let orders = async || {
        let (one, two) = (
            here.get("/api/admin/orders").await,
            there.get("/api/admin/orders").await,
        );
        [one.status.as_u16(), two.status.as_u16()]
    };
    let tag = "/api/admin/tags/0192f0c1-0000-7000-8000-000000000001";
    let deletes = async || {
        let (one, two) = (here.delete(tag).await, there.delete(tag).await);
        [one.status.as_u16(), two.status.as_u16()]
    };
    for _ in 0..3 {
        assert_eq!((orders().await, deletes().await), ([200; 2], [403; 2]));
        give(&shop, "SUPPORT", "MANAGER").await;
        assert_eq!((orders().await, deletes().await), ([200; 2], [404; 2]));
        give(&shop, "SUPPORT", "USER").await;
        assert_eq!((orders().await, deletes().await), ([403; 2], [403; 2]));
        give(&shop, "SUPPORT", "SUPPORT").await;
    }
    shop.db
        .execute("delete from staff_role_permissions where role = 'SUPPORT' and permission = 'orders.read'")
        .await;
    assert_eq!(orders().await, [403; 2]);
}

/// Step-up: a session that was left open on a desk is not enough.
#[tokio::test]
async fn what_is_dangerous_needs_the_password_again_after_five_minutes() {
    let shop = Shop::open().await;
    let (owner, support, ada) = (
        member(&shop, "OWNER").await,
        member(&shop, "SUPPORT").await,
        Client::new(&shop),
    );
    let user = ada.register("ada@example.org").await;
    let path = format!("/api/admin/users/{}", user["user"]["id"].as_str().unwrap());
    let role = format!("{path}/role");
    assert_eq!(
        owner.put(&role, json!({"role": "USER"})).await.status,
        200,
        "just logged in"
    );
    let later = async || {
        shop.db
            .execute("update user_sessions set created_at = created_at - interval '6 minutes', confirmed_at = null")
            .await;
    };
    later().await;
    let needed = (403, "confirmation_needed".to_owned());
    assert_eq!(owner.put(&role, json!({"role": "USER"})).await.failure(), needed);
    assert_eq!(owner.delete(&path).await.failure(), needed);
    let server = json!({"host": "mail.example", "port": 465, "fromEmail": "a@b.example", "isActive": false});
    let mail = "/api/admin/email-settings";
    assert_eq!(owner.post(mail, server.clone()).await.failure(), needed);
    let one = format!("{mail}/0192f0c1-0000-7000-8000-000000000001");
    assert_eq!(owner.put(&one, server).await.failure(), needed);
    assert_eq!(owner.delete(&one).await.failure(), needed);
    let form = json!({"nickname": "Ada", "role": "USER"});
    assert_eq!(owner.put(&path, form).await.status, 200, "the role stays");
    let form = json!({"nickname": "Eve", "role": "ADMIN"});
    assert_eq!(owner.put(&path, form).await.failure(), needed);
    assert_eq!(owner.get(&path).await.data()["nickname"], "Ada", "nothing has changed");

    let wrong = owner
        .post("/api/auth/confirm", json!({"password": "Wrong-Password-1"}))
        .await;
    assert_eq!(wrong.failure(), (400, "wrong_password".to_owned()));
    assert_eq!(owner.put(&role, json!({"role": "USER"})).await.failure(), needed);
    let right = json!({"password": crate::client::PASSWORD});
    assert_eq!(owner.post("/api/auth/confirm", right.clone()).await.status, 200);
    assert_eq!(owner.put(&role, json!({"role": "USER"})).await.status, 200);

    // A refund above the limit of the role.
    let game = crate::shop::NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    crate::orders::fund(&shop, &user, "20").await;
    let order = ada
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
        .await
        .json()["data"]
        .take();
    shop.db
        .deliver(order["copies"][0]["id"].as_str().unwrap().parse().unwrap())
        .await;
    shop.db
        .execute("update staff_roles set refund_limit = 5 where name = 'SUPPORT'")
        .await;
    let purchase = ada.get("/api/user/transactions").await.data()[0]["id"].take();
    let refund = format!("/api/admin/payments/transactions/{}/refund", purchase.as_str().unwrap());
    assert_eq!(support.post(&refund, json!({"amount": 5.01})).await.failure(), needed);
    assert_eq!(support.post(&refund, json!({"amount": 4})).await.status, 200);
    assert_eq!(support.post("/api/auth/confirm", right).await.status, 200);
    assert_eq!(support.post(&refund, json!({"amount": 5.01})).await.status, 200);
    shop.db.assert_books_balance().await;
    later().await;
    assert_eq!(owner.delete(&path).await.failure(), needed, "five minutes later");
}

/// Half a request is sent by an owner, the other half by somebody who is none any more.
#[tokio::test]
async fn rights_that_end_while_a_request_is_sent_count_for_nothing() {
    let shop = Shop::open().await;
    let (owner, other) = (member(&shop, "OWNER").await, Client::new(&shop));
    let user = other.register("other@example.org").await;
    let id = user["user"]["id"].as_str().unwrap().to_owned();
    shop.db
        .execute("update users set role = 'ADMIN' where email = 'other@example.org'")
        .await;
    let (first, rest) = tokio::sync::oneshot::channel::<()>();
    let demoted = async {
        give(&shop, "other", "USER").await;
        first.send(()).unwrap();
    };
    let body = body_in_halves(r#"{"amount": 1000, "reason": "mine"}"#, rest);
    let request = http::Request::put(format!("/api/admin/users/{id}/balance"))
        .header("authorization", format!("Bearer {}", other.token().unwrap()))
        .body(body)
        .unwrap();
    let (answer, ()) = tokio::join!(shop.send(request), demoted);
    assert_eq!(answer.failure(), (403, "forbidden".to_owned()));
    assert_eq!(
        owner.get(&format!("/api/admin/users/{id}")).await.data()["balance"],
        json!(0.0)
    );
}

/// A body whose second half comes when `go` says so.
fn body_in_halves(text: &str, go: tokio::sync::oneshot::Receiver<()>) -> axum::body::Body {
    let (head, tail) = text.split_at(1);
    let (head, tail) = (head.to_owned(), tail.to_owned());
    let head = futures::stream::once(async move { Ok::<_, std::io::Error>(head) });
    let tail = futures::stream::once(async move {
        go.await.expect("the other half");
        Ok(tail)
    });
    axum::body::Body::from_stream(futures::StreamExt::chain(head, tail))
}

#[tokio::test]
async fn nobody_touches_the_orders_of_somebody_who_may_do_more() {
    let shop = Shop::open().await;
    let (owner, manager) = (member(&shop, "OWNER").await, member(&shop, "MANAGER").await);
    let user = owner.get("/api/auth/me").await.data();
    crate::orders::fund(&shop, &json!({"user": {"id": user["id"]}}), "20").await;
    let game = crate::shop::NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let one = json!({"items": [{"gameId": game.id, "quantity": 1}]});
    let (kept, delivered) = (
        owner.post("/api/orders", one.clone()).await.json()["data"].take(),
        owner.post("/api/orders", one).await.json()["data"].take(),
    );
    shop.db
        .deliver(delivered["copies"][0]["id"].as_str().unwrap().parse().unwrap())
        .await;
    let refused = (403, "has_more_permissions".to_owned());
    let order = format!("/api/admin/orders/{}", kept["id"].as_str().unwrap());
    assert_eq!(
        manager.post(&format!("{order}/cancel"), json!({})).await.failure(),
        refused
    );
    let status = manager.put(&order, json!({"status": "CANCELLED"})).await;
    assert_eq!(status.failure(), refused);
    let purchase: uuid::Uuid = sqlx::query_scalar("select id from transactions where order_id = $1")
        .bind(delivered["id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap())
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let refund = format!("/api/admin/payments/transactions/{purchase}/refund");
    assert_eq!(manager.post(&refund, json!({})).await.failure(), refused);
    assert_eq!(owner.post(&format!("{order}/cancel"), json!({})).await.status, 200);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn unknown_paths_are_404_for_staff_and_403_for_others() {
    let shop = Shop::open().await;
    let (content, user) = (member(&shop, "CONTENT").await, member(&shop, "USER").await);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let path = "/api/admin/no-such-thing";
        assert_eq!(content.send(method.as_str(), path, "").await.status, 404);
        assert_eq!(user.send(method.as_str(), path, "").await.status, 403);
    }
}

#[tokio::test]
async fn whoever_may_not_read_users_sees_no_addresses_on_the_dashboard() {
    let shop = Shop::open().await;
    let (owner, analyst) = (member(&shop, "OWNER").await, member(&shop, "ANALYST").await);
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    crate::orders::fund(&shop, &user, "10").await;
    let shown = owner.get("/api/admin/dashboard").await.data();
    assert_eq!(shown["recentTransactions"][0]["userEmail"], "ada@example.org");
    let masked = analyst.get("/api/admin/dashboard").await.data();
    assert_eq!(masked["recentTransactions"][0]["userEmail"], "••••••••");
    assert!(!masked.to_string().contains('@'), "{masked}");
}
