//! Outgoing webhooks, as staff enter them.

use lockstep_admin::{AddressPolicy, WebhookSettings};
use lockstep_clock::Random;
use serde_json::{Value, json};

use crate::catalogue_by_staff::{audited, created, fields, root};
use crate::shop::{NewGame, Shop};

const WEBHOOKS: &str = "/api/admin/webhooks";

/// A shop that may send to this machine.
async fn lenient() -> Shop {
    Shop::open_with_office(|office| {
        office.with_webhooks(WebhookSettings {
            addresses: AddressPolicy {
                private_addresses: true,
                plain_http: true,
            },
            random: Random::system(),
        })
    })
    .await
}

#[tokio::test]
async fn an_endpoint_is_created_changed_pinged_replayed_and_deleted() {
    let shop = lenient().await;
    let root = root(&shop).await;
    let events = root.get(&format!("{WEBHOOKS}/events")).await.data();
    assert_eq!(events.as_array().unwrap().len(), 9);
    let made = root
        .post(
            WEBHOOKS,
            json!({"url": "http://127.0.0.1:9/hook?token=t", "events": ["game.price_changed", "order.created"]}),
        )
        .await;
    let mut made = created(&made);
    let secret = made["secret"].take();
    assert!(secret.as_str().unwrap().starts_with("whsec_"), "shown once");
    let id = made["id"].as_str().unwrap().to_owned();
    let one = format!("{WEBHOOKS}/{id}");
    let listed = root.get(&one).await.data();
    let text = secret.as_str().unwrap();
    assert_eq!(
        listed,
        json!({"id": id, "name": "127.0.0.1:9", "url": "http://127.0.0.1:9/hook?token=t",
               "events": ["game.price_changed", "order.created"], "lowStockBelow": 5, "isEnabled": true, "disabledReason": null,
               "disabledAt": null, "failingSince": null, "waiting": 0, "failed": 0,
               "secrets": [{"id": listed["secrets"][0]["id"], "hint": format!("whsec_…{}", &text[text.len() - 4..]),
                            "createdAt": listed["secrets"][0]["createdAt"], "endsAt": null}],
               "version": listed["version"], "createdAt": listed["createdAt"], "updatedAt": listed["updatedAt"]})
    );
    assert_eq!(root.get(WEBHOOKS).await.data(), json!([listed]));

    // Several secrets while the receiver changes over.
    let old = listed["secrets"][0]["id"].as_str().unwrap().to_owned();
    let secrets = format!("{one}/secrets");
    assert_eq!(
        root.delete(&format!("{secrets}/{old}")).await.failure(),
        (409, "in_use".to_owned())
    );
    assert_eq!(
        fields(&root.post(&secrets, json!({"overlapHours": 169})).await),
        ["overlapHours"]
    );
    let rotated = created(&root.post(&secrets, json!({})).await);
    assert_ne!(rotated["secret"], secret);
    let both = root.get(&one).await.data();
    assert_eq!(both["secrets"].as_array().unwrap().len(), 2);
    assert!(both["secrets"][0]["endsAt"].is_null() && both["secrets"][1]["endsAt"].is_string());
    assert_eq!(root.delete(&format!("{secrets}/{old}")).await.status, 200);
    assert_eq!(root.get(&one).await.data()["secrets"].as_array().unwrap().len(), 1);

    let pinged = root.post(&format!("{one}/ping"), json!({})).await;
    assert_eq!(pinged.status, 202, "{}", pinged.json());
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    shop.db
        .execute("update games set price = price + 1; update games set price = price + 1")
        .await;
    let page = root
        .get(&format!("{one}/deliveries?state=waiting&pageSize=2"))
        .await
        .data();
    assert_eq!(
        (page["total"].as_u64(), page["totalPages"].as_u64()),
        (Some(3), Some(2))
    );
    let first = &page["deliveries"][0];
    assert_eq!(
        *first,
        json!({"id": first["id"], "webhookId": first["webhookId"], "event": "game.price_changed", "state": "waiting",
               "attempts": 0, "status": null, "lastError": null, "createdAt": first["createdAt"],
               "nextAttemptAt": first["nextAttemptAt"], "attemptedAt": null, "endedAt": null})
    );
    assert_eq!(
        root.get(&format!("{one}/deliveries?state=eaten")).await.failure(),
        (400, "invalid_parameter".to_owned())
    );

    // What was given up, and what a disabled endpoint has missed, is replayed.
    shop.db
        .execute("update webhook_deliveries set state = 'failed', ended_at = now(), attempts = 10")
        .await;
    let disabled = root
        .put(
            &one,
            json!({"isEnabled": false, "version": root.get(&one).await.data()["version"]}),
        )
        .await;
    let disabled = disabled.data();
    assert_eq!(
        (&disabled["isEnabled"], &disabled["failed"]),
        (&json!(false), &json!(3))
    );
    assert_eq!(disabled["disabledReason"], "Staff have disabled it.");
    let outdated = root.put(&one, json!({"name": "N", "version": listed["version"]})).await;
    assert_eq!(outdated.failure(), (409, "outdated".to_owned()));
    assert_eq!(
        root.post(&format!("{one}/ping"), json!({})).await.failure(),
        (409, "in_use".to_owned())
    );
    shop.db.execute("update games set price = price + 1").await;
    assert_eq!(
        root.put(&one, json!({"isEnabled": true})).await.data()["disabledReason"],
        Value::Null
    );
    let replay = format!("{one}/replay");
    assert_eq!(root.post(&replay, json!({"from": "yesterday"})).await.failure().0, 400);
    assert_eq!(
        fields(
            &root
                .post(
                    &replay,
                    json!({"from": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"})
                )
                .await
        ),
        ["until"]
    );
    let (from, until): (String, String) = sqlx::query_as(
        "select to_char(now() - interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SSOF') || ':00', to_char(now() + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SSOF') || ':00'",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    let window = json!({"from": from, "until": until});
    // Two changed prices that were given up, and the one that was missed. Pings are not events of the shop.
    assert_eq!(
        root.post(&replay, window.clone()).await.data(),
        json!({"replayed": 3, "next": null})
    );
    let none = json!({"replayed": 0, "next": null});
    assert_eq!(root.post(&replay, window.clone()).await.data(), none);
    // From the last of them on there is nothing, also of what is waiting or was taken.
    let last: uuid::Uuid =
        sqlx::query_scalar("select id from outgoing_events order by created_at desc, id desc limit 1")
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
    let mut rest = window;
    (rest["all"], rest["after"]) = (json!(true), json!(last));
    assert_eq!(root.post(&replay, rest).await.data(), none);
    let ping = pinged.json()["data"]["deliveryId"].as_str().unwrap().to_owned();
    assert_eq!(
        root.post(&format!("{one}/deliveries/{ping}/replay"), json!({}))
            .await
            .status,
        200
    );
    let after = root.get(&one).await.data();
    assert_eq!((&after["waiting"], &after["failed"]), (&json!(4), &json!(0)));

    assert_eq!(root.delete(&one).await.status, 200);
    assert_eq!(root.get(&one).await.status, 404);
    assert_eq!(shop.db.count("webhook_deliveries").await, 0);
    let log = audited(&shop).await;
    assert_eq!(
        (log.len(), log[0].as_str(), log[log.len() - 1].as_str()),
        (11, "webhook.create", "webhook.delete")
    );
    let details: String = sqlx::query_scalar("select string_agg(a::text, ' ') from audit_log a")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert!(!details.contains("whsec_") && !details.contains("token=t"), "{details}");
}

#[tokio::test]
async fn private_and_plain_addresses_are_refused_and_endpoints_need_the_password_again() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    for url in [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/",
        "https://100.64.1.1/",
        "https://2130706433/",
        "http://1.1.1.1/",
        "https://user:password@1.1.1.1/",
    ] {
        let refused = root
            .post(WEBHOOKS, json!({"url": url, "events": ["order.created"]}))
            .await;
        assert_eq!(refused.failure(), (400, "address_refused".to_owned()), "{url}");
    }
    let bad = root
        .post(
            WEBHOOKS,
            json!({"url": "https://1.1.1.1/\0", "events": ["order.eaten"]}),
        )
        .await;
    assert_eq!(fields(&bad), ["url", "events"]);
    let made = created(
        &root
            .post(
                WEBHOOKS,
                json!({"url": "https://1.1.1.1/", "events": ["order.created"]}),
            )
            .await,
    );
    let one = format!("{WEBHOOKS}/{}", made["id"].as_str().unwrap());
    let moved = root.put(&one, json!({"url": "https://192.168.0.1/"})).await;
    assert_eq!(moved.failure(), (400, "address_refused".to_owned()));
    shop.db
        .execute("update user_sessions set created_at = created_at - interval '6 minutes', confirmed_at = null")
        .await;
    let needed = (403, "confirmation_needed".to_owned());
    assert_eq!(root.post(WEBHOOKS, json!({})).await.failure(), needed);
    assert_eq!(root.put(&one, json!({})).await.failure(), needed);
    assert_eq!(root.post(&format!("{one}/secrets"), json!({})).await.failure(), needed);
    assert_eq!(root.delete(&one).await.failure(), needed);
}
