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
    ("DELETE", "/api/admin/faqs/{id}", "content.write", "OMC"),
    ("DELETE", "/api/admin/games/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/genres/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/platforms/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/promo-codes/{id}", "promotions.write", "OM"),
    ("DELETE", "/api/admin/tags/{id}", "catalogue.write", "OM"),
    ("DELETE", "/api/admin/users/{id}", "users.delete", "O"),
    ("GET", "/api/admin/blog", "content.read", "OMCA"),
    ("GET", "/api/admin/blog/{id}", "content.read", "OMCA"),
    ("GET", "/api/admin/carts", "carts.read", "OMS"),
    ("GET", "/api/admin/carts/user/{userId}", "carts.read", "OMS"),
    ("GET", "/api/admin/categories", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/dashboard", "dashboard.read", "OMSA"),
    ("GET", "/api/admin/faqs", "content.read", "OMCA"),
    ("GET", "/api/admin/faqs/categories", "content.read", "OMCA"),
    ("GET", "/api/admin/g2a/status", "supplier.read", "OMA"),
    ("GET", "/api/admin/g2a/sync-progress", "supplier.read", "OMA"),
    ("GET", "/api/admin/games", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/games/{id}", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/genres", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/orders", "orders.read", "OMS"),
    ("GET", "/api/admin/orders/{id}", "orders.read", "OMS"),
    ("GET", "/api/admin/payments/methods", "payments.read", "OMS"),
    ("GET", "/api/admin/payments/transactions", "payments.read", "OMS"),
    ("GET", "/api/admin/platforms", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/promo-codes", "promotions.read", "OMSA"),
    ("GET", "/api/admin/promo-codes/statistics", "promotions.read", "OMSA"),
    ("GET", "/api/admin/promo-codes/{id}", "promotions.read", "OMSA"),
    ("GET", "/api/admin/tags", "catalogue.read", "OMSCA"),
    ("GET", "/api/admin/transactions", "payments.read", "OMS"),
    ("GET", "/api/admin/users", "users.read", "OMS"),
    ("GET", "/api/admin/users/{id}", "users.read", "OMS"),
    ("GET", "/api/admin/users/{id}/activity", "users.read", "OMS"),
    ("GET", "/api/admin/wishlists", "carts.read", "OMS"),
    ("GET", "/api/admin/wishlists/statistics", "carts.read", "OMS"),
    ("GET", "/api/admin/wishlists/user/{userId}", "carts.read", "OMS"),
    ("POST", "/api/admin/blog", "content.write", "OMC"),
    ("POST", "/api/admin/categories", "catalogue.write", "OM"),
    ("POST", "/api/admin/faqs", "content.write", "OMC"),
    ("POST", "/api/admin/games", "catalogue.write", "OM"),
    ("POST", "/api/admin/genres", "catalogue.write", "OM"),
    ("POST", "/api/admin/orders/{id}/cancel", "orders.write", "OMS"),
    (
        "POST",
        "/api/admin/payments/transactions/{id}/refund",
        "orders.refund",
        "OM",
    ),
    ("POST", "/api/admin/platforms", "catalogue.write", "OM"),
    ("POST", "/api/admin/promo-codes", "promotions.write", "OM"),
    ("POST", "/api/admin/tags", "catalogue.write", "OM"),
    ("PUT", "/api/admin/blog/{id}", "content.write", "OMC"),
    ("PUT", "/api/admin/carts/user/{userId}", "carts.write", "OMS"),
    ("PUT", "/api/admin/categories/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/faqs/{id}", "content.write", "OMC"),
    ("PUT", "/api/admin/games/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/genres/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/orders/{id}", "orders.write", "OMS"),
    ("PUT", "/api/admin/orders/{id}/status", "orders.write", "OMS"),
    ("PUT", "/api/admin/platforms/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/promo-codes/{id}", "promotions.write", "OM"),
    ("PUT", "/api/admin/tags/{id}", "catalogue.write", "OM"),
    ("PUT", "/api/admin/users/{id}", "users.write", "OS"),
    ("PUT", "/api/admin/users/{id}/balance", "balance.adjust", "O"),
    ("PUT", "/api/admin/users/{id}/role", "staff.write", "O"),
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
async fn give(shop: &Shop, whom: &str, role: &str) {
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
        .map(|(method, path, permission)| (method, path, permission.name()))
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
    let refund = "/api/admin/payments/transactions/0192f0c1-0000-7000-8000-000000000001/refund";
    let refunds = async || {
        let (one, two) = (here.post(refund, json!({})).await, there.post(refund, json!({})).await);
        [one.status.as_u16(), two.status.as_u16()]
    };
    for _ in 0..3 {
        assert_eq!((orders().await, refunds().await), ([200; 2], [403; 2]));
        give(&shop, "SUPPORT", "MANAGER").await;
        assert_eq!((orders().await, refunds().await), ([200; 2], [404; 2]));
        give(&shop, "SUPPORT", "USER").await;
        assert_eq!((orders().await, refunds().await), ([403; 2], [403; 2]));
        give(&shop, "SUPPORT", "SUPPORT").await;
    }
    shop.db
        .execute("delete from staff_role_permissions where role = 'SUPPORT' and permission = 'orders.read'")
        .await;
    assert_eq!(orders().await, [403; 2]);
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
