//! Which role of staff may open which page, and what everybody else sees: nothing.

use axum::body::Body;
use http::{Request, StatusCode};
use lockstep_domain::staff::Permission;

use crate::shop::{Order, Shop};

/// Roles of staff, as they come with the schema, and their letter in [`PAGES`].
const ROLES: [(char, &str); 5] = [
    ('O', "OWNER"),
    ('M', "MANAGER"),
    ('S', "SUPPORT"),
    ('C', "CONTENT"),
    ('A', "ANALYST"),
];

/// Every page: its permission, and the roles that may open it. A new page needs a row.
const PAGES: &[(&str, &str, &str, &str)] = &[
    ("GET", "/admin", "any staff", "OMSCA"),
    ("GET", "/admin/search", "any staff", "OMSCA"),
    ("GET", "/admin/palette", "any staff", "OMSCA"),
    ("POST", "/admin/views", "any staff", "OMSCA"),
    ("GET", "/admin/views/{id}", "any staff", "OMSCA"),
    ("POST", "/admin/views/{id}", "any staff", "OMSCA"),
    ("GET", "/admin/views/{id}/delete", "any staff", "OMSCA"),
    ("POST", "/admin/views/{id}/delete", "any staff", "OMSCA"),
    ("GET", "/admin/live/today", "dashboard.read", "OMSA"),
    ("GET", "/admin/live/supplier", "supplier.read", "OMA"),
    ("GET", "/admin/live/jobs/{id}", "supplier.read", "OMA"),
    ("GET", "/admin/live/orders/{id}", "orders.read", "OMS"),
    ("GET", "/admin/live/bulk/{id}", "catalogue.read", "OMSCA"),
    ("GET", "/admin/live/prices", "prices.read", "OMA"),
    ("GET", "/admin/live/diagnostics", "system.read", "OMA"),
    ("GET", "/admin/orders", "orders.read", "OMS"),
    ("GET", "/admin/orders/{id}", "orders.read", "OMS"),
    ("GET", "/admin/orders/{id}/emails/{email}", "orders.read", "OMS"),
    ("GET", "/admin/orders/{id}/cancel", "orders.write", "OMS"),
    ("POST", "/admin/orders/{id}/cancel", "orders.write", "OMS"),
    ("GET", "/admin/orders/{id}/refund", "orders.refund", "OMS"),
    ("POST", "/admin/orders/{id}/refund", "orders.refund", "OMS"),
    ("GET", "/admin/withdrawals", "orders.read", "OMS"),
    ("GET", "/admin/withdrawals/{id}", "orders.refund", "OMS"),
    ("POST", "/admin/withdrawals/{id}", "orders.refund", "OMS"),
    ("GET", "/admin/customers", "users.read", "OMS"),
    ("GET", "/admin/customers/{id}", "users.read", "OMS"),
    ("GET", "/admin/customers/{id}/balance", "balance.adjust", "O"),
    ("POST", "/admin/customers/{id}/balance", "balance.adjust", "O"),
    ("GET", "/admin/customers/{id}/role", "staff.write", "O"),
    ("POST", "/admin/customers/{id}/role", "staff.write", "O"),
    ("GET", "/admin/customers/{id}/act", "users.impersonate", "OMS"),
    ("POST", "/admin/customers/{id}/act", "users.impersonate", "OMS"),
    ("GET", "/admin/customers/{id}/acts", "audit.read", "O"),
    ("GET", "/admin/customers/{id}/export", "users.read", "OMS"),
    ("GET", "/admin/keys", "keys.read", "OMS"),
    ("GET", "/admin/keys/new", "keys.write", "OM"),
    ("POST", "/admin/keys/new", "keys.write", "OM"),
    ("GET", "/admin/keys/import", "keys.write", "OM"),
    ("POST", "/admin/keys/import", "keys.write", "OM"),
    ("GET", "/admin/keys/{id}", "keys.read", "OMS"),
    ("GET", "/admin/keys/{id}/reveal", "keys.write", "OM"),
    ("POST", "/admin/keys/{id}/reveal", "keys.write", "OM"),
    ("GET", "/admin/keys/{id}/replace", "orders.write", "OMS"),
    ("POST", "/admin/keys/{id}/replace", "orders.write", "OMS"),
    ("GET", "/admin/keys/{id}/delete", "keys.write", "OM"),
    ("POST", "/admin/keys/{id}/delete", "keys.write", "OM"),
    ("GET", "/admin/promotions", "promotions.read", "OMSA"),
    ("GET", "/admin/promotions/new", "promotions.write", "OM"),
    ("POST", "/admin/promotions/new", "promotions.write", "OM"),
    ("GET", "/admin/promotions/{id}", "promotions.read", "OMSA"),
    ("POST", "/admin/promotions/{id}", "promotions.write", "OM"),
    ("GET", "/admin/payments", "payments.read", "OMS"),
    ("GET", "/admin/supplier", "supplier.read", "OMA"),
    ("GET", "/admin/supplier/sync", "supplier.write", "OM"),
    ("POST", "/admin/supplier/sync", "supplier.write", "OM"),
    ("POST", "/admin/supplier/sync/cancel", "supplier.write", "OM"),
    ("GET", "/admin/supplier/jobs/{id}", "supplier.read", "OMA"),
    ("GET", "/admin/supplier/runs", "supplier.read", "OMA"),
    ("GET", "/admin/incidents", "supplier.read", "OMA"),
    ("GET", "/admin/incidents/{id}/close", "supplier.write", "OM"),
    ("POST", "/admin/incidents/{id}/close", "supplier.write", "OM"),
    ("GET", "/admin/emails", "email.read", "OMC"),
    ("POST", "/admin/emails/retry", "email.write", "OC"),
    ("POST", "/admin/emails/{id}/retry", "email.write", "OC"),
    ("GET", "/admin/cache", "system.read", "OMA"),
    ("GET", "/admin/cache/drop", "system.write", "O"),
    ("POST", "/admin/cache/drop", "system.write", "O"),
    ("GET", "/admin/audit", "audit.read", "O"),
    ("POST", "/admin/first-day", "system.write", "O"),
    ("GET", "/admin/payments/receipts", "payments.read", "OMS"),
    ("GET", "/admin/payments/receipts/{id}/{format}", "payments.read", "OMS"),
    ("GET", "/admin/payments/vat", "payments.read", "OMS"),
    ("GET", "/admin/payments/vat/settings", "system.write", "O"),
    ("POST", "/admin/payments/vat/settings", "system.write", "O"),
    ("GET", "/admin/payments/top-ups", "payments.read", "OMS"),
    ("GET", "/admin/payments/top-ups/{id}", "payments.read", "OMS"),
    ("GET", "/admin/payments/top-ups/{id}/refund", "orders.refund", "OMS"),
    ("POST", "/admin/payments/top-ups/{id}/refund", "orders.refund", "OMS"),
    ("GET", "/admin/payments/refunds/{id}/withdraw", "orders.refund", "OMS"),
    ("POST", "/admin/payments/refunds/{id}/withdraw", "orders.refund", "OMS"),
    ("GET", "/admin/payments/disputes", "payments.read", "OMS"),
    ("GET", "/admin/payments/disputes/{id}", "payments.read", "OMS"),
    ("GET", "/admin/payments/disputes/{id}/evidence", "orders.refund", "OMS"),
    ("POST", "/admin/payments/disputes/{id}/evidence", "orders.refund", "OMS"),
    (
        "GET",
        "/admin/payments/disputes/{id}/evidence/export",
        "users.read",
        "OMS",
    ),
    ("GET", "/admin/payments/incidents", "payments.read", "OMS"),
    ("GET", "/admin/payments/incidents/{id}/close", "orders.refund", "OMS"),
    ("POST", "/admin/payments/incidents/{id}/close", "orders.refund", "OMS"),
    ("GET", "/admin/payments/comparison", "payments.read", "OMS"),
    ("GET", "/admin/payments/holds", "payments.read", "OMS"),
    ("GET", "/admin/payments/holds/{id}/release", "orders.refund", "OMS"),
    ("POST", "/admin/payments/holds/{id}/release", "orders.refund", "OMS"),
    ("GET", "/admin/payments/holds/{id}/refund", "orders.refund", "OMS"),
    ("POST", "/admin/payments/holds/{id}/refund", "orders.refund", "OMS"),
    ("GET", "/admin/payments/rules", "payments.read", "OMS"),
    ("GET", "/admin/payments/rules/{name}", "system.write", "O"),
    ("POST", "/admin/payments/rules/{name}", "system.write", "O"),
    ("GET", "/admin/content", "content.read", "OMCA"),
    ("GET", "/admin/content/articles", "content.read", "OMCA"),
    ("GET", "/admin/content/articles/new", "content.write", "OMC"),
    ("POST", "/admin/content/articles/new", "content.write", "OMC"),
    ("GET", "/admin/content/articles/{id}", "content.read", "OMCA"),
    ("POST", "/admin/content/articles/{id}", "content.write", "OMC"),
    ("GET", "/admin/content/articles/{id}/delete", "content.write", "OMC"),
    ("POST", "/admin/content/articles/{id}/delete", "content.write", "OMC"),
    ("GET", "/admin/content/questions", "content.read", "OMCA"),
    ("GET", "/admin/content/questions/new", "content.write", "OMC"),
    ("POST", "/admin/content/questions/new", "content.write", "OMC"),
    ("GET", "/admin/content/questions/{id}", "content.write", "OMC"),
    ("POST", "/admin/content/questions/{id}", "content.write", "OMC"),
    ("GET", "/admin/content/questions/{id}/delete", "content.write", "OMC"),
    ("POST", "/admin/content/questions/{id}/delete", "content.write", "OMC"),
    ("GET", "/admin/content/pages", "content.read", "OMCA"),
    ("GET", "/admin/content/pages/new", "content.write", "OMC"),
    ("POST", "/admin/content/pages/new", "content.write", "OMC"),
    ("GET", "/admin/content/pages/{slug}/{language}", "content.read", "OMCA"),
    ("POST", "/admin/content/pages/{slug}/{language}", "content.write", "OMC"),
    (
        "GET",
        "/admin/content/pages/{slug}/{language}/delete",
        "content.write",
        "OMC",
    ),
    (
        "POST",
        "/admin/content/pages/{slug}/{language}/delete",
        "content.write",
        "OMC",
    ),
    ("GET", "/admin/content/banners", "content.read", "OMCA"),
    ("GET", "/admin/content/banners/{language}", "content.write", "OMC"),
    ("POST", "/admin/content/banners/{language}", "content.write", "OMC"),
    (
        "GET",
        "/admin/content/banners/{language}/delete",
        "content.write",
        "OMC",
    ),
    (
        "POST",
        "/admin/content/banners/{language}/delete",
        "content.write",
        "OMC",
    ),
    ("GET", "/admin/content/branding", "content.read", "OMCA"),
    ("POST", "/admin/content/branding", "content.write", "OMC"),
    ("GET", "/admin/content/feeds", "content.read", "OMCA"),
    ("GET", "/admin/content/branding/logo", "content.write", "OMC"),
    ("POST", "/admin/content/branding/logo/upload", "content.write", "OMC"),
    ("POST", "/admin/content/branding/logo/remove", "content.write", "OMC"),
    ("GET", "/admin/content/emails", "email.read", "OMC"),
    ("GET", "/admin/content/emails/{name}/{language}", "email.read", "OMC"),
    ("POST", "/admin/content/emails/{name}/{language}", "email.write", "OC"),
    (
        "GET",
        "/admin/content/emails/{name}/{language}/reset",
        "email.write",
        "OC",
    ),
    (
        "POST",
        "/admin/content/emails/{name}/{language}/reset",
        "email.write",
        "OC",
    ),
    (
        "GET",
        "/admin/content/emails/{name}/{language}/test",
        "email.write",
        "OC",
    ),
    (
        "POST",
        "/admin/content/emails/{name}/{language}/test",
        "email.write",
        "OC",
    ),
    ("GET", "/admin/system", "any staff", "OMSCA"),
    ("GET", "/admin/system/diagnostics", "system.read", "OMA"),
    ("POST", "/admin/system/diagnostics", "system.write", "O"),
    ("GET", "/admin/system/settings", "system.read", "OMA"),
    ("GET", "/admin/system/staff", "staff.write", "O"),
    ("GET", "/admin/system/staff/new", "staff.write", "O"),
    ("POST", "/admin/system/staff/new", "staff.write", "O"),
    ("GET", "/admin/system/roles", "staff.write", "O"),
    ("GET", "/admin/system/roles/new", "staff.write", "O"),
    ("POST", "/admin/system/roles/new", "staff.write", "O"),
    ("GET", "/admin/system/roles/{name}", "staff.write", "O"),
    ("POST", "/admin/system/roles/{name}", "staff.write", "O"),
    ("GET", "/admin/system/roles/{name}/delete", "staff.write", "O"),
    ("POST", "/admin/system/roles/{name}/delete", "staff.write", "O"),
    ("GET", "/admin/system/tokens", "any staff", "OMSCA"),
    ("GET", "/admin/system/tokens/new", "any staff", "OMSCA"),
    ("POST", "/admin/system/tokens/new", "any staff", "OMSCA"),
    ("GET", "/admin/system/tokens/{id}/delete", "any staff", "OMSCA"),
    ("POST", "/admin/system/tokens/{id}/delete", "any staff", "OMSCA"),
    ("GET", "/admin/system/webhooks", "webhooks.read", "OM"),
    ("GET", "/admin/system/webhooks/new", "webhooks.write", "O"),
    ("POST", "/admin/system/webhooks/new", "webhooks.write", "O"),
    ("GET", "/admin/system/webhooks/{id}", "webhooks.read", "OM"),
    ("GET", "/admin/system/webhooks/{id}/edit", "webhooks.write", "O"),
    ("POST", "/admin/system/webhooks/{id}/edit", "webhooks.write", "O"),
    ("GET", "/admin/system/webhooks/{id}/delete", "webhooks.write", "O"),
    ("POST", "/admin/system/webhooks/{id}/delete", "webhooks.write", "O"),
    ("GET", "/admin/system/webhooks/{id}/secrets", "webhooks.write", "O"),
    ("POST", "/admin/system/webhooks/{id}/secrets", "webhooks.write", "O"),
    (
        "GET",
        "/admin/system/webhooks/{id}/secrets/{secret}/end",
        "webhooks.write",
        "O",
    ),
    (
        "POST",
        "/admin/system/webhooks/{id}/secrets/{secret}/end",
        "webhooks.write",
        "O",
    ),
    ("POST", "/admin/system/webhooks/{id}/ping", "webhooks.write", "O"),
    ("GET", "/admin/system/webhooks/{id}/replay", "webhooks.write", "O"),
    ("POST", "/admin/system/webhooks/{id}/replay", "webhooks.write", "O"),
    (
        "POST",
        "/admin/system/webhooks/{id}/deliveries/{delivery}/replay",
        "webhooks.write",
        "O",
    ),
    ("GET", "/admin/system/g2a", "supplier.read", "OMA"),
    ("POST", "/admin/system/g2a/test", "supplier.write", "OM"),
    ("GET", "/admin/system/g2a/new", "supplier.write", "OM"),
    ("POST", "/admin/system/g2a/new", "supplier.write", "OM"),
    ("GET", "/admin/system/g2a/{id}", "supplier.write", "OM"),
    ("POST", "/admin/system/g2a/{id}", "supplier.write", "OM"),
    ("GET", "/admin/system/g2a/{id}/delete", "supplier.write", "OM"),
    ("POST", "/admin/system/g2a/{id}/delete", "supplier.write", "OM"),
    ("GET", "/admin/system/mail", "email.read", "OMC"),
    ("GET", "/admin/system/mail/new", "system.write", "O"),
    ("POST", "/admin/system/mail/new", "system.write", "O"),
    ("GET", "/admin/system/mail/{id}", "system.write", "O"),
    ("POST", "/admin/system/mail/{id}", "system.write", "O"),
    ("POST", "/admin/system/mail/{id}/test", "system.write", "O"),
    ("GET", "/admin/system/mail/{id}/delete", "system.write", "O"),
    ("POST", "/admin/system/mail/{id}/delete", "system.write", "O"),
    ("GET", "/admin/system/jobs", "supplier.read", "OMA"),
    ("POST", "/admin/system/jobs/{id}/cancel", "supplier.write", "OM"),
    ("GET", "/admin/catalogue", "catalogue.read", "OMSCA"),
    ("GET", "/admin/catalogue/new", "catalogue.write", "OM"),
    ("POST", "/admin/catalogue/new", "catalogue.write", "OM"),
    ("GET", "/admin/catalogue/{id}", "catalogue.read", "OMSCA"),
    ("POST", "/admin/catalogue/{id}", "catalogue.write", "OM"),
    ("GET", "/admin/catalogue/{id}/delete", "catalogue.write", "OM"),
    ("POST", "/admin/catalogue/{id}/delete", "catalogue.write", "OM"),
    ("POST", "/admin/catalogue/{id}/pictures", "catalogue.write", "OM"),
    ("POST", "/admin/catalogue/{id}/pictures/add", "catalogue.write", "OM"),
    ("GET", "/admin/catalogue/{id}/schedule", "prices.write", "OM"),
    ("POST", "/admin/catalogue/{id}/schedule", "prices.write", "OM"),
    ("GET", "/admin/catalogue/schedule", "prices.read", "OMA"),
    ("POST", "/admin/catalogue/schedule/{id}/cancel", "prices.write", "OM"),
    ("GET", "/admin/catalogue/bulk", "catalogue.read", "OMSCA"),
    ("POST", "/admin/catalogue/bulk", "catalogue.write", "OM"),
    ("GET", "/admin/catalogue/bulk/{id}", "catalogue.read", "OMSCA"),
    ("GET", "/admin/catalogue/bulk/{id}/games", "catalogue.read", "OMSCA"),
    ("POST", "/admin/catalogue/bulk/{id}/confirm", "catalogue.write", "OM"),
    ("GET", "/admin/catalogue/bulk/{id}/undo", "catalogue.write", "OM"),
    ("POST", "/admin/catalogue/bulk/{id}/undo", "catalogue.write", "OM"),
    ("GET", "/admin/catalogue/terms/{taxonomy}", "catalogue.read", "OMSCA"),
    ("GET", "/admin/catalogue/terms/{taxonomy}/new", "catalogue.write", "OM"),
    ("POST", "/admin/catalogue/terms/{taxonomy}/new", "catalogue.write", "OM"),
    ("GET", "/admin/catalogue/terms/{taxonomy}/{id}", "catalogue.write", "OM"),
    (
        "POST",
        "/admin/catalogue/terms/{taxonomy}/{id}",
        "catalogue.write",
        "OM",
    ),
    (
        "GET",
        "/admin/catalogue/terms/{taxonomy}/{id}/delete",
        "catalogue.write",
        "OM",
    ),
    (
        "POST",
        "/admin/catalogue/terms/{taxonomy}/{id}/delete",
        "catalogue.write",
        "OM",
    ),
    (
        "GET",
        "/admin/catalogue/terms/{taxonomy}/{id}/merge",
        "catalogue.write",
        "OM",
    ),
    (
        "POST",
        "/admin/catalogue/terms/{taxonomy}/{id}/merge",
        "catalogue.write",
        "OM",
    ),
    ("GET", "/admin/prices", "prices.read", "OMA"),
    ("GET", "/admin/prices/jobs", "prices.read", "OMA"),
    ("GET", "/admin/prices/set", "prices.write", "OM"),
    ("POST", "/admin/prices/set", "prices.write", "OM"),
    ("GET", "/admin/prices/rule", "prices.write", "OM"),
    ("POST", "/admin/prices/rule", "prices.write", "OM"),
];

#[test]
fn every_page_has_a_row_with_its_permission() {
    let registered: Vec<(&str, &str, &str)> = lockstep_console::pages()
        .into_iter()
        .map(|(method, path, permission, _)| (method, path, permission.map_or("any staff", Permission::name)))
        .collect();
    let listed: Vec<(&str, &str, &str)> = PAGES
        .iter()
        .map(|(method, path, permission, _)| (*method, *path, *permission))
        .collect();
    assert_eq!(registered, listed);
}

/// Forms that need the password of a moment ago. A page that no longer asks for it loses its row.
const CONFIRMED: &[&str] = &[
    "/admin/customers/{id}/role",
    "/admin/customers/{id}/act",
    "/admin/keys/{id}/reveal",
    "/admin/keys/{id}/replace",
    "/admin/payments/vat/settings",
    "/admin/payments/rules/{name}",
    "/admin/system/staff/new",
    "/admin/system/roles/new",
    "/admin/system/roles/{name}",
    "/admin/system/roles/{name}/delete",
    "/admin/system/tokens/new",
    "/admin/system/webhooks/new",
    "/admin/system/webhooks/{id}/edit",
    "/admin/system/webhooks/{id}/delete",
    "/admin/system/webhooks/{id}/secrets",
    "/admin/system/webhooks/{id}/secrets/{secret}/end",
    "/admin/system/g2a/new",
    "/admin/system/g2a/{id}",
    "/admin/system/g2a/{id}/delete",
    "/admin/system/mail/new",
    "/admin/system/mail/{id}",
    "/admin/system/mail/{id}/delete",
];

#[test]
fn every_form_that_asks_for_the_password_has_a_row() {
    let registered: Vec<&str> = lockstep_console::pages()
        .into_iter()
        .filter(|(.., confirmed)| *confirmed)
        .map(|(method, path, ..)| {
            assert_eq!(method, "POST", "{path}");
            path
        })
        .collect();
    assert_eq!(registered, CONFIRMED);
}

/// The address of a page, with ids of things that exist.
async fn address(shop: &Shop, order: &Order, path: &str) -> String {
    let named = match path.split('/').nth(2).unwrap_or_default() {
        "orders" => order.id.to_string(),
        // That of whoever asks: they have come last.
        "views" => {
            shop.value("select id::text from saved_views order by created_at desc limit 1")
                .await
        }
        "live" => match path.split('/').nth(3).unwrap_or_default() {
            "orders" => order.id.to_string(),
            "jobs" => shop.value("select id::text from supplier_jobs").await,
            "bulk" => shop.value("select id::text from bulk_changes").await,
            _ => String::new(),
        },
        "customers" => order.user.to_string(),
        "keys" => order.keys[0].to_string(),
        "promotions" => shop.value("select id::text from promo_codes").await,
        "payments" => match path.split('/').nth(3).unwrap_or_default() {
            "top-ups" => shop.value("select id::text from top_ups").await,
            "refunds" => shop.value("select id::text from card_refunds").await,
            "disputes" => shop.value("select id::text from disputes").await,
            "incidents" => shop.value("select id::text from payment_incidents").await,
            "holds" => shop.value("select id::text from payment_holds").await,
            _ => shop.value("select id::text from receipts").await,
        },
        "withdrawals" => shop.value("select id::text from withdrawals").await,
        "supplier" => shop.value("select id::text from supplier_jobs").await,
        "incidents" => shop.value("select id::text from incidents").await,
        "emails" => shop.value("select id::text from mail_outbox limit 1").await,
        "content" | "system" => match path.split('/').nth(3).unwrap_or_default() {
            "articles" => shop.value("select id::text from blog_articles").await,
            "questions" => shop.value("select id::text from faqs").await,
            // That of whoever asks: they have come last.
            "tokens" => {
                shop.value("select id::text from api_tokens order by created_at desc limit 1")
                    .await
            }
            "webhooks" => shop.value("select id::text from webhook_endpoints").await,
            "g2a" => shop.value("select id::text from g2a_settings").await,
            "mail" => shop.value("select id::text from email_settings").await,
            "jobs" => shop.value("select id::text from supplier_jobs").await,
            _ => String::new(),
        },
        "catalogue" if path.contains("/bulk/") => shop.value("select id::text from bulk_changes").await,
        "catalogue" if path.contains("/schedule/") => shop.value("select id::text from scheduled_changes").await,
        "catalogue" if path.contains("/terms/") => shop.value("select id::text from genres").await,
        "catalogue" => order.game.to_string(),
        _ => String::new(),
    };
    let name = match path.split('/').nth(3).unwrap_or_default() {
        "roles" => "ANALYST",
        "rules" => "NEW_ACCOUNT",
        _ => "welcome",
    };
    let secret = shop
        .value("select id::text from webhook_secrets where ends_at is not null")
        .await;
    let delivery = shop.value("select id::text from webhook_deliveries").await;
    let email = shop
        .value("select id::text from mail_outbox where order_id is not null")
        .await;
    let path = path
        .replace("{id}", &named)
        .replace("{name}", name)
        .replace("{slug}", "imprint")
        .replace("{language}", "de")
        .replace("{format}", "pdf")
        .replace("{secret}", &secret)
        .replace("{delivery}", &delivery)
        .replace("{email}", &email);
    match path.as_str() {
        "/admin/cache/drop" => format!("{path}?pattern=home:*"),
        _ => path.replace("{taxonomy}", "genres"),
    }
}

/// An order, a promo code, a job, an incident, and changes of games, so that every page has something to show.
async fn furnished(shop: &Shop) -> Order {
    let order = shop.delivered().await;
    shop.db.promo_code("SPRING", 10, None).await;
    shop.db
        .execute(&format!(
            "insert into supplier_jobs (id, kind) values (gen_random_uuid(), 'FULL');
             insert into incidents (kind, order_unit_id, detail) values ('KEY_LATE', '{}', 'It came late');
             insert into saved_views (id, user_id, list, name, query) values (gen_random_uuid(), '{user}', 'search', 'n', '');
             insert into withdrawals (id, name, order_ref, contact, language) values (gen_random_uuid(), 'A', '1', 'a@example.org', 'en');
             insert into api_tokens (user_id, name, hash, hint, permissions, expires_at)
             values ('{user}', 'Export', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '1 day');
             insert into blog_articles (id, slug, title, content, category)
             values (gen_random_uuid(), 'first', 'The first', '<p>Hello</p>', 'News');
             insert into pages (slug, language, title, source, html) values ('imprint', 'de', 'Impressum', 'x', '<p>x</p>');
             insert into banners (language, text, begins_at, ends_at) values ('de', 'Sale', now(), now() + interval '1 day');
             insert into faqs (id, category, question, answer) values (gen_random_uuid(), 'Keys', 'Where?', '<p>Here</p>');
             insert into webhook_endpoints (id, name, url, events)
             values ('{endpoint}', 'Accounts', 'https://hooks.example/in', array['order.completed']);
             insert into webhook_secrets (id, endpoint_id, sealed, hint, ends_at)
             values (gen_random_uuid(), '{endpoint}', '\\x00', 'whsec_…abcd', null),
                    (gen_random_uuid(), '{endpoint}', '\\x00', 'whsec_…wxyz', now() + interval '1 hour');
             insert into outgoing_events (id, kind, data) values ('{endpoint}', 'order.completed', '{{}}');
             insert into webhook_deliveries (event_id, endpoint_id) values ('{endpoint}', '{endpoint}');
             insert into g2a_settings (id, client_id, email, secret, environment)
             values (gen_random_uuid(), 'games', 'buyer@shop.example', '\\x00', 'production');
             insert into email_settings (id, name, host, port, secure, from_email)
             values (gen_random_uuid(), 'Post', 'mail.shop.example', 465, true, 'shop@shop.example');
             insert into mail_outbox (user_id, recipient, kind, letter, not_after, order_id)
             values ('{user}', 'ada@example.org', 'order-received', '{{}}', now() + interval '1 day', '{order}');
             insert into genres (name, slug) values ('Puzzle', 'puzzle');
             insert into scheduled_changes (id, game_id, field, value, starts_at)
             values (gen_random_uuid(), '{game}', 'VISIBLE', false, now() + interval '1 day');
             insert into bulk_changes (id, kind, as_of) values (gen_random_uuid(), 'HIDE', now());
             insert into bulk_change_games (bulk_id, game_id, price_before) select id, '{game}', 10 from bulk_changes;
             insert into tax_settings (status, country, seller_name, seller_street, seller_postcode, seller_city, vat_id)
             values ('STANDARD', 'DE', 'S', 'S 1', '1', 'B', 'DE123456789');
             alter table order_taxes disable trigger order_taxes_frozen;
             insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof)
             select '{order}', version, 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED' from tax_settings;
             with made as (
                 insert into receipts (kind, order_id, settings, language, net, vat, gross)
                 select 'RECEIPT', '{order}', version, 'en', 16.81, 3.19, 20 from tax_settings returning id)
             insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross)
             select id, 1, 'Portal', 2, 16.81, 3.19, 20 from made",
            order.units[0],
            order = order.id,
            user = order.user,
            game = order.game,
            endpoint = uuid::Uuid::new_v4()
        ))
        .await;
    furnish_payments(shop).await;
    order
}

/// A top-up by card with everything that can happen to it.
async fn furnish_payments(shop: &Shop) {
    let user = shop.db.user("card@example.net", "100").await;
    shop.db
        .execute(&format!(
            "insert into top_ups (id, user_id, amount, method, provider, reference, status, transaction_id)
             select gen_random_uuid(), user_id, amount, 'card', 'stripe', 'cs_1', 'COMPLETED', id from transactions
              where user_id = '{user}';
             insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, fee)
             select id, 'ch_1', 'pi_1', 100, 'EUR', 1 from top_ups;
             insert into disputes (reference, top_up_id, user_id, amount, claimed, state, status, due_by)
             select 'dp_1', id, user_id, 10, 10, 'OPEN', 'needs_response', now() + interval '3 days' from top_ups;
             insert into card_refunds (top_up_id, user_id, amount) select id, user_id, 10 from top_ups;
             insert into payment_incidents (kind, reference, top_up_id, user_id, detail)
             select 'FRAUD_WARNING', 'w_1', id, user_id, 'fraud' from top_ups;
             insert into payment_holds (top_up_id, user_id, rule, detail)
             select id, user_id, 'CARD_ACCOUNTS', 'x' from top_ups"
        ))
        .await;
}

/// An API token and a saved view of the member of staff with `role`.
async fn token_of(shop: &Shop, role: &str) {
    let owner = shop.id_of(&role.to_lowercase()).await;
    shop.db
        .execute(&format!(
            "insert into api_tokens (user_id, name, hash, hint, permissions, expires_at)
             values ('{owner}', 'Export', sha256('{owner}'::text::bytea), 'lsk_abcd', array['orders.read'], now() + interval '1 day');
             insert into saved_views (id, user_id, list, name, query) values (gen_random_uuid(), '{owner}', 'search', 'n', '')"
        ))
        .await;
}

#[tokio::test]
async fn each_role_opens_its_own_pages_and_no_other() {
    let shop = Shop::open_with_cards().await;
    let order = furnished(&shop).await;
    for (letter, role) in ROLES {
        let staff = shop.staff(role).await;
        token_of(&shop, role).await;
        for (method, path, _, roles) in PAGES {
            let address = address(&shop, &order, path).await;
            let may = roles.contains(letter);
            if path.starts_with("/admin/live/") {
                // A stream of events has no end.
                let expected = if may { StatusCode::OK } else { StatusCode::NOT_FOUND };
                assert_eq!(staff.open(&address).await, expected, "{role} {path}");
            } else if *method == "GET" {
                let answer = staff.get(&address).await;
                let shown = match answer.status {
                    StatusCode::OK => true,
                    // A role without the figures goes to its first room.
                    StatusCode::SEE_OTHER if *path == "/admin" => letter == 'C',
                    StatusCode::NOT_FOUND => false,
                    other => panic!("{role} {path}: {other} {}", answer.text()),
                };
                assert_eq!(shown, may, "{role} {path}");
            } else if !may {
                let answer = staff.post(&address, "reason=x&amount=1&role=OWNER").await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{role} {path}");
            }
        }
        // Exports of customers and of evidence are recorded; nothing else was done.
        let done =
            "select count(*)::text from audit_log where action not in ('user.export', 'payment.evidence.export')";
        assert_eq!(shop.value(done).await, "0", "{role} changed something");
    }
}

/// The navigation leads only to rooms that open.
#[tokio::test]
async fn the_navigation_of_a_role_has_only_rooms_that_open() {
    let shop = Shop::open().await;
    furnished(&shop).await;
    for (_, role) in ROLES {
        let staff = shop.staff(role).await;
        let page = staff.page("/admin/search").await;
        let rooms = page.split("<nav class=\"rooms\"").nth(1).unwrap();
        let rooms = rooms.split("</nav>").next().unwrap();
        let rooms: Vec<&str> = rooms
            .split("href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(!rooms.is_empty(), "{role}");
        for room in rooms {
            assert_eq!(staff.get(room).await.status, StatusCode::OK, "{role} {room}");
        }
    }
}

#[tokio::test]
async fn to_everybody_else_the_console_does_not_exist() {
    let shop = Shop::open().await;
    let order = furnished(&shop).await;
    let (stranger, customer) = (shop.stranger(), shop.customer("ada2").await);
    let answer = stranger.get("/admin").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), Some("/login?next=%2Fadmin"));
    assert_eq!(customer.get("/admin").await.status, StatusCode::NOT_FOUND);
    let unknown = stranger.get("/admin/there-is-no-such-page").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for (method, path, ..) in PAGES.iter().filter(|(_, path, ..)| *path != "/admin") {
        let address = address(&shop, &order, path).await;
        for browser in [&stranger, &customer] {
            if path.starts_with("/admin/live/") {
                assert_eq!(browser.open(&address).await, StatusCode::NOT_FOUND, "{path}");
                continue;
            }
            let answer = if *method == "GET" {
                browser.get(&address).await
            } else {
                browser.post(&address, "reason=x&amount=1").await
            };
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    assert_eq!(shop.value("select count(*)::text from audit_log").await, "0");
}

#[tokio::test]
async fn the_log_in_leads_back_to_the_console() {
    let shop = Shop::open().await;
    shop.staff("OWNER").await;
    let form = "email=owner@example.org&password=Correct-Horse-1&next=/admin";
    let answer = shop.stranger().post("/login", form).await;
    assert_eq!(answer.header("location"), Some("/admin"));
}

#[tokio::test]
async fn staff_without_a_second_factor_are_told_to_set_one_up() {
    let shop = Shop::open_with(|_| {}).await;
    let staff = shop.staff("OWNER").await;
    let answer = staff.get("/admin/orders").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("href=\"/account/second-factor\""));
    assert_eq!(
        shop.customer("ada").await.get("/admin/orders").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn forms_of_other_sites_and_inline_scripts_have_no_chance() {
    let shop = Shop::open().await;
    let (order, staff) = (furnished(&shop).await, shop.staff("OWNER").await);
    let page = staff.get("/admin/orders").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let text = page.page();
    assert!(!has_other_scripts(text) && !text.contains(" style=") && !text.contains("<style"));
    assert_eq!(text.matches("<script").count(), 1);
    let forged = Request::post(format!("/admin/orders/{}/refund", order.id))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .header("host", "shop.example");
    let answer = shop.send(forged.body(Body::from("amount=1")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

/// Whether a page has a script other than the console's own file.
fn has_other_scripts(page: &str) -> bool {
    let own = " type=\"module\" src=\"/admin/assets/console.";
    page.split("<script").skip(1).any(|script| !script.starts_with(own))
}

/// What a customer or a supplier writes is shown as text, on every page.
#[tokio::test]
async fn hostile_names_are_shown_as_text() {
    let shop = Shop::open().await;
    let order = furnished(&shop).await;
    let hostile = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>";
    for statement in [
        "update users set nickname = left($1, 50), first_name = $1, last_name = $1",
        "update games set title = $1",
        "update incidents set detail = $1",
        "update blog_articles set title = $1, category = $1",
        "update faqs set question = $1, category = $1",
        "update pages set title = $1",
        "update saved_views set name = left($1, 60)",
        "update banners set text = $1",
        "update webhook_endpoints set name = left($1, 100)",
        "update webhook_deliveries set last_error = $1",
        "update email_settings set name = left($1, 100), test_error = $1",
        "update order_units set last_error = $1 where state <> 'DONE' or true",
    ] {
        sqlx::query(statement)
            .bind(hostile)
            .execute(&shop.db.sql)
            .await
            .unwrap();
    }
    let staff = shop.staff("OWNER").await;
    token_of(&shop, "OWNER").await;
    sqlx::query("update saved_views set name = left($1, 60), list = 'orders', shared = true where name = 'n'")
        .bind(hostile)
        .execute(&shop.db.sql)
        .await
        .unwrap();
    staff
        .post(
            &format!("/admin/orders/{}/refund", order.id),
            "amount=1&reason=%3Cscript%3Ealert(3)%3C/script%3E",
        )
        .await;
    let pages = PAGES.iter().filter(|(method, ..)| *method == "GET");
    for (_, path, ..) in pages.filter(|(_, path, ..)| !path.starts_with("/admin/live/")) {
        let answer = staff.get(&address(&shop, &order, path).await).await;
        let Ok(text) = std::str::from_utf8(&answer.bytes) else {
            continue;
        };
        assert!(!has_other_scripts(text) && !text.contains("<img src=x"), "{path}");
    }
    let search = "/admin/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    assert!(!has_other_scripts(&staff.page(search).await));
}
