//! `/api/admin/top-ups/…/refund`, `disputes` and `payment-incidents`: the exact JSON.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::permissions::member;
use crate::shop::Shop;

/// A shopper with a top-up of 100 EUR that was paid through Stripe; returns the user's id and the top-up's.
async fn paid(shop: &Shop) -> (Uuid, Uuid) {
    let (user, top_up) = (shop.db.user("ada@shop.example", "100").await, Uuid::new_v4());
    shop.db
        .execute(&format!(
            "insert into top_ups (id, user_id, amount, method, provider, reference, status, transaction_id)
             select '{top_up}', user_id, amount, 'card', 'stripe', 'cs_1', 'COMPLETED', id from transactions where user_id = '{user}'"
        ))
        .await;
    (user, top_up)
}

#[tokio::test]
async fn a_top_up_is_refunded_to_its_card_in_parts_and_never_beyond_what_is_left() {
    let shop = Shop::open_with_office(|office| office.with_cards(Some("stripe"))).await;
    let staff = member(&shop, "OWNER").await;
    let (user, top_up) = paid(&shop).await;
    let path = format!("/api/admin/top-ups/{top_up}/refund");
    let refunded = staff.post(&path, json!({"amount": 30, "reason": "asked for"})).await;
    assert_eq!(refunded.status, 202);
    let mut data = refunded.json()["data"].take();
    assert!(data["id"].take().is_string() && data["createdAt"].take().is_string());
    let expected =
        json!({"id": null, "topUpId": top_up, "userId": user, "amount": 30.0, "state": "REQUESTED", "createdAt": null});
    assert_eq!(data, expected);
    for (body, code) in [
        (json!({"amount": 70.01}), "refund_exceeds_payment"),
        (json!({"amount": 0}), "amount_not_positive"),
        (json!({"amount": -1}), "amount_not_positive"),
        (json!({"amount": "x"}), "validation_failed"),
        (json!({"reason": "x".repeat(501)}), "validation_failed"),
    ] {
        assert_eq!(
            staff.post(&path, body.clone()).await.failure(),
            (400, code.into()),
            "{body}"
        );
    }
    let rest = staff.post(&path, json!({})).await.json()["data"].take();
    assert_eq!(rest["amount"], json!(70.0));
    assert_eq!(
        staff.post(&path, json!({})).await.failure(),
        (400, "refund_exceeds_payment".into())
    );
    let unknown = format!("/api/admin/top-ups/{}/refund", Uuid::nil());
    assert_eq!(staff.post(&unknown, json!({})).await.failure().0, 404);
    shop.db
        .execute(&format!(
            "insert into top_ups (id, user_id, amount, method, provider) values ('{}', '{user}', 5, 'card', 'stripe')",
            Uuid::nil()
        ))
        .await;
    assert_eq!(
        staff.post(&unknown, json!({})).await.failure(),
        (400, "not_refundable".into())
    );
    assert_eq!(shop.db.count("audit_log where action = 'payment.card_refund'").await, 2);
    // A refund that no provider has: its money returns, once.
    let refund = rest["id"].as_str().unwrap();
    let withdraw = format!("/api/admin/card-refunds/{refund}/withdraw");
    assert_eq!(staff.post(&withdraw, json!({"reason": ""})).await.failure().0, 400);
    let withdrawn = staff.post(&withdraw, json!({"reason": "typed wrong"})).await.data();
    assert_eq!(
        (&withdrawn["state"], &withdrawn["amount"]),
        (&json!("FAILED"), &json!(70.0))
    );
    assert_eq!(
        staff.post(&withdraw, json!({"reason": "again"})).await.failure(),
        (409, "refund_made".into())
    );
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_dispute_is_listed_with_what_was_bought_and_its_incident_is_closed_once() {
    let shop = Shop::open().await;
    let staff = member(&shop, "SUPPORT").await;
    let (user, top_up) = paid(&shop).await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    let order = shop.db.order(user, game, 2).await;
    shop.db.deliver(order.units[0]).await;
    shop.db
        .execute(&format!(
            "insert into disputes (reference, top_up_id, user_id, amount, state, status, reason, opened_at)
             values ('du_1', '{top_up}', '{user}', 100, 'OPEN', 'needs_response', 'fraudulent', '2026-01-02Z');
             insert into dispute_statuses (dispute_id, status, read_at) select id, status, '2026-01-02Z' from disputes;
             insert into payment_incidents (kind, reference, top_up_id, user_id, detail, created_at)
             values ('FRAUD_WARNING', 'issfr_1', '{top_up}', '{user}', 'fraud', '2026-01-01Z')"
        ))
        .await;
    let list = staff.get("/api/admin/disputes").await.data();
    let id = list["disputes"][0]["id"].clone();
    let mut row = json!({"id": id, "reference": "du_1", "topUpId": top_up, "userId": user, "amount": 100.0, "held": 80.0, "debt": 0.0,
                         "fee": 0.0, "state": "OPEN", "status": "needs_response", "reason": "fraudulent", "dueBy": null,
                         "openedAt": "2026-01-02T00:00:00.000Z", "closedAt": null});
    assert_eq!((&list["disputes"], &list["total"]), (&json!([row]), &json!(1)));
    assert_eq!(
        staff.get("/api/admin/disputes?state=won").await.data()["disputes"],
        json!([])
    );
    assert_eq!(staff.get("/api/admin/disputes?state=x").await.failure().0, 400);

    let case = staff
        .get(&format!("/api/admin/disputes/{}", id.as_str().unwrap()))
        .await
        .data();
    let units = case["units"].as_array().unwrap();
    let delivered: Vec<&Value> = units.iter().filter(|unit| unit["delivered"] == true).collect();
    assert_eq!((units.len(), delivered.len()), (2, 1));
    let key = delivered[0]["key"].as_str().unwrap();
    assert!(key.contains('*') || key.contains('•'), "{key}");
    row["statuses"] = json!([{"status": "needs_response", "at": "2026-01-02T00:00:00.000Z"}]);
    row["refunds"] = json!([]);
    row["units"] = case["units"].clone();
    assert_eq!(case, row);
    assert_eq!(
        staff
            .get(&format!("/api/admin/disputes/{}", Uuid::nil()))
            .await
            .failure()
            .0,
        404
    );

    let incidents = "/api/admin/payment-incidents";
    let open = staff.get(incidents).await.data();
    let incident = open["incidents"][0]["id"].as_str().unwrap();
    assert_eq!(
        open["incidents"],
        json!([{"id": incident, "kind": "FRAUD_WARNING", "reference": "issfr_1", "topUpId": top_up, "userId": user, "detail": "fraud",
                "createdAt": "2026-01-01T00:00:00.000Z", "dueAt": null}])
    );
    let close = format!("{incidents}/{incident}/close");
    assert_eq!(
        staff.post(&close, json!({"reason": " "})).await.failure(),
        (400, "validation_failed".into())
    );
    assert_eq!(
        staff.post(&close, json!({"reason": "called"})).await.data(),
        json!({"incidents": []})
    );
    assert_eq!(staff.post(&close, json!({"reason": "called"})).await.failure().0, 404);
    assert_eq!(
        shop.db.count("audit_log where action = 'payment.incident.close'").await,
        1
    );
}

#[tokio::test]
async fn top_ups_are_found_by_owner_country_and_trouble_and_shown_with_what_became_of_their_money() {
    let shop = Shop::open_with_office(|office| office.with_cards(Some("stripe"))).await;
    let staff = member(&shop, "SUPPORT").await;
    let (user, top_up) = paid(&shop).await;
    shop.db
        .execute(&format!(
            "insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, fee, card_country, card_fingerprint)
             values ('{top_up}', 'ch_1', 'pi_1', 100, 'EUR', 1.75, 'FR', 'fp_1');
             insert into top_ups (user_id, amount, method, provider) values ('{user}', 5, 'card', 'stripe')"
        ))
        .await;
    let found = async |query: &str| {
        let list = staff.get(&format!("/api/admin/top-ups{query}")).await.data();
        list["topUps"].as_array().unwrap().len()
    };
    for (query, count) in [
        ("", 2),
        ("?status=COMPLETED", 1),
        ("?status=nonsense", 0),
        ("?query=ADA@", 2),
        ("?query=ch_", 1),
        ("?query=100%25", 0),
        ("?cardCountry=fr", 1),
        ("?cardCountry=DE", 0),
        ("?troubled=true", 0),
        ("?startDate=2999-01-01", 0),
    ] {
        assert_eq!(found(query).await, count, "{query}");
    }
    staff
        .post(&format!("/api/admin/top-ups/{top_up}/refund"), json!({"amount": 5}))
        .await;
    assert_eq!(found("?troubled=true").await, 1);
    let detail = staff.get(&format!("/api/admin/top-ups/{top_up}")).await.data();
    assert_eq!(
        detail["charge"],
        json!({"charge": "ch_1", "paymentIntent": "pi_1", "amount": 100.0, "currency": "EUR", "fee": 1.75, "cardCountry": "FR",
               "cardFingerprint": "fp_1"})
    );
    assert_eq!(
        (&detail["refundable"], &detail["balance"], &detail["user"]["email"]),
        (&json!(95.0), &json!(95.0), &json!("ada@shop.example"))
    );
    assert_eq!(detail["refunds"].as_array().unwrap().len(), 1);
    let unknown = format!("/api/admin/top-ups/{}", Uuid::nil());
    assert_eq!(staff.get(&unknown).await.failure().0, 404);
    let never = staff.get("/api/admin/payment-comparison").await.data();
    assert_eq!(never, json!({"beganAt": null, "endedAt": null, "differences": []}));
}

#[tokio::test]
async fn rules_against_fraud_are_read_and_changed_as_they_were_read() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let rules = owner.get("/api/admin/fraud-rules").await.data();
    let rules = rules["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 9);
    assert_eq!(
        rules.iter().find(|rule| rule["name"] == "NEW_ACCOUNT"),
        Some(&json!({"name": "NEW_ACCOUNT", "on": true, "amount": 100.0, "hours": 24, "version": 1}))
    );
    let path = "/api/admin/fraud-rules/NEW_ACCOUNT";
    for (body, failure) in [
        (json!({"amount": 150, "hours": 24}), (400, "validation_failed")),
        (json!({"amount": 150, "version": 1}), (400, "not_this_rule")),
        (json!({"amount": 0, "hours": 24, "version": 1}), (400, "not_this_rule")),
        (
            json!({"amount": 150, "hours": -1, "version": 1}),
            (400, "validation_failed"),
        ),
        (
            json!({"amount": 150, "hours": 24, "version": 2}),
            (409, "changed_meanwhile"),
        ),
    ] {
        let (status, code) = failure;
        assert_eq!(
            owner.put(path, body.clone()).await.failure(),
            (status, code.into()),
            "{body}"
        );
    }
    let changed = owner
        .put(path, json!({"on": false, "amount": 150, "hours": 48, "version": 1}))
        .await
        .data();
    assert_eq!(
        changed,
        json!({"name": "NEW_ACCOUNT", "on": false, "amount": 150.0, "hours": 48, "version": 2})
    );
    let unknown = owner.put("/api/admin/fraud-rules/NONE", json!({"version": 1})).await;
    assert_eq!(unknown.failure().0, 404);
}

#[tokio::test]
async fn a_held_payment_is_decided_once_and_counted() {
    let shop = Shop::open_with_office(|office| office.with_cards(Some("stripe"))).await;
    let staff = member(&shop, "SUPPORT").await;
    let (user, top_up) = paid(&shop).await;
    shop.db
        .execute(&format!(
            "insert into payment_holds (top_up_id, user_id, rule, detail, created_at)
             values ('{top_up}', '{user}', 'CARD_COUNT', 'the card paid 11 times', '2026-01-01Z'),
                    ('{top_up}', '{user}', 'UNREAD', 'd', '2026-01-01Z')"
        ))
        .await;
    let held = staff.get("/api/admin/payment-holds?state=OPEN").await.data();
    let id = held["holds"][0]["id"].as_str().unwrap();
    assert_eq!(
        held["holds"],
        json!([{"id": id, "topUpId": top_up, "userId": user, "email": "ada@shop.example", "amount": 100.0, "rule": "CARD_COUNT",
                "detail": "the card paid 11 times", "state": "OPEN", "createdAt": "2026-01-01T00:00:00.000Z", "decidedAt": null}])
    );
    // More than the role may refund within a day, and the password was given an hour ago.
    shop.db
        .execute("update user_sessions set created_at = now() - interval '1 hour', confirmed_at = null")
        .await;
    let refund = format!("/api/admin/payment-holds/{id}/refund");
    assert_eq!(
        staff.post(&refund, json!({"reason": "stolen"})).await.failure(),
        (403, "confirmation_needed".into())
    );
    let release = format!("/api/admin/payment-holds/{id}/release");
    assert_eq!(staff.post(&release, json!({"reason": " "})).await.failure().0, 400);
    let decided = staff.post(&release, json!({"reason": "called"})).await.data();
    assert_eq!(
        (&decided["state"], &decided["note"]),
        (&json!("RELEASED"), &json!("called"))
    );
    assert_eq!(staff.post(&release, json!({"reason": "called"})).await.failure().0, 404);
    let report = staff
        .get("/api/admin/reports/holds?startDate=2026-01-01&endDate=2026-01-01")
        .await
        .data();
    assert_eq!(
        report["rows"],
        json!([{"rule": "CARD_COUNT", "held": 1, "open": 0, "released": 1, "refunded": 0, "regretted": 0}])
    );
}

#[tokio::test]
async fn evidence_is_shown_as_it_is_submitted_and_submitted_once() {
    let shop = Shop::open().await;
    let staff = member(&shop, "SUPPORT").await;
    let (user, top_up) = paid(&shop).await;
    shop.db
        .execute(&format!(
            "insert into disputes (reference, top_up_id, user_id, amount, state, status, reason)
             values ('du_1', '{top_up}', '{user}', 100, 'OPEN', 'needs_response', 'fraudulent')"
        ))
        .await;
    let dispute = staff.get("/api/admin/disputes").await.data()["disputes"][0]["id"].take();
    let path = format!("/api/admin/disputes/{}/evidence", dispute.as_str().unwrap());
    let case = staff.get(&path).await.data();
    assert_eq!(case["fields"]["evidence[customer_email_address]"], "ada@shop.example");
    assert_eq!((&case["consents"], &case["copies"]), (&json!([]), &json!([])));
    assert!(case.get("sent").is_none());
    assert_eq!(staff.get(&format!("{path}?format=x")).await.failure().0, 400);
    let document = staff.get(&format!("{path}?format=pdf")).await;
    assert!(document.bytes.starts_with(b"%PDF"));
    let signed = staff.get(&format!("{path}?format=signed")).await.json();
    assert_eq!(signed["format"], "lockstep-evidence-1");
    let content: Value = serde_json::from_str(signed["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["dispute"]["reference"], "du_1");
    let submitted = staff.post(&path, json!({})).await;
    assert_eq!(submitted.status, 202);
    assert_eq!(submitted.json()["data"]["sent"]["state"], "REQUESTED");
    assert_eq!(
        staff.post(&path, json!({})).await.failure(),
        (409, "evidence_submitted".into())
    );
    let nothing = format!("/api/admin/disputes/{}/evidence", Uuid::nil());
    assert_eq!(staff.get(&nothing).await.failure().0, 404);
}
