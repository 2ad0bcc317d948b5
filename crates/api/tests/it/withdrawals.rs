//! `/api/withdrawals` without a log-in, and the queue of staff.

use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::permissions::member;
use crate::shop::Shop;

/// A customer with 100 euro by card and an order of two copies for 20; returns the order's number, its units and the top-up.
async fn sold(shop: &Shop) -> (String, Vec<Uuid>, Uuid) {
    let (user, top_up) = (shop.db.user("ada@shop.example", "100").await, Uuid::new_v4());
    let game = shop.db.game("Portal", "portal", "10.00").await;
    shop.db
        .execute(&format!(
            "insert into top_ups (id, user_id, amount, method, provider, reference, status, transaction_id)
             select '{top_up}', user_id, amount, 'card', 'stripe', 'cs_1', 'COMPLETED', id from transactions where user_id = '{user}'"
        ))
        .await;
    let order = shop.db.order(user, game, 2).await;
    let number = sqlx::query_scalar("select number from orders where id = $1")
        .bind(order.id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    (number, order.units, top_up)
}

#[tokio::test]
async fn the_answer_does_not_say_which_orders_exist() {
    let shop = Shop::open().await;
    let (number, _, _) = sold(&shop).await;
    let anybody = Client::new(&shop);
    let mut answers = Vec::new();
    for (number, contact) in [
        (number.as_str(), "ada@shop.example"),
        (number.as_str(), "eve@shop.example"),
        ("0000000000", "eve@shop.example"),
    ] {
        let said = json!({"name": "Ada", "orderNumber": number, "contact": contact});
        let answer = anybody.post("/api/withdrawals", said).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let mut data = answer.json()["data"].take();
        assert!(data["id"].take().is_string() && data["receivedAt"].take().is_string());
        answers.push(data);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(shop.db.count("mail_outbox where kind = 'withdrawal-received'").await, 3);
}

#[tokio::test]
async fn wrong_fields_are_named_and_repetitions_are_one() {
    let shop = Shop::open().await;
    let anybody = Client::new(&shop);
    let answer = anybody
        .post(
            "/api/withdrawals",
            json!({"name": "see http://x.example", "contact": "x"}),
        )
        .await;
    assert_eq!(answer.failure(), (400, "validation_failed".into()));
    let id = Uuid::new_v4();
    let said = json!({"id": id, "name": "Ada", "orderNumber": "1", "contact": "ada@shop.example"});
    for _ in 0..3 {
        let answer = anybody.post("/api/withdrawals", said.clone()).await;
        assert_eq!(answer.json()["data"]["id"], id.to_string());
    }
    assert_eq!(shop.db.count("withdrawals").await, 1);
    let wrong = json!({"id": "x", "name": "Ada", "orderNumber": "1", "contact": "ada@shop.example"});
    assert_eq!(anybody.post("/api/withdrawals", wrong).await.failure().0, 400);
}

/// Each sends an e-mail to an address that anybody can enter.
#[tokio::test]
async fn one_contact_gets_few_acknowledgements() {
    let shop = Shop::open().await;
    let anybody = Client::new(&shop);
    let said = json!({"name": "Ada", "orderNumber": "1", "contact": "ada@shop.example"});
    let mut refused = 0;
    for _ in 0..8 {
        let answer = anybody.post("/api/withdrawals", said.clone()).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
            refused += 1;
        }
    }
    assert_eq!(refused, 3);
    assert_eq!(shop.db.count("mail_outbox").await, 5);
}

#[tokio::test]
async fn staff_accept_a_withdrawal_and_send_its_money_on() {
    let shop = Shop::open_with_office(|office| office.with_cards(Some("stripe"))).await;
    let staff = member(&shop, "OWNER").await;
    let (number, units, top_up) = sold(&shop).await;
    shop.db.deliver(units[0]).await;
    let said = json!({"name": "Ada", "orderNumber": number, "contact": "ada@shop.example"});
    let id = Client::new(&shop).post("/api/withdrawals", said).await.json()["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let listed = staff.get("/api/admin/withdrawals?state=open").await.data();
    assert_eq!(listed["withdrawals"][0]["id"], id);
    assert_eq!(listed["withdrawals"][0]["state"], "OPEN");
    let path = format!("/api/admin/withdrawals/{id}");
    let case = staff.get(&path).await.data();
    assert_eq!(case["orderNumber"], number);
    assert_eq!(case["consent"]["source"], "before");
    assert_eq!(case["units"].as_array().unwrap().len(), 2);
    assert_eq!(case["units"][0]["hasRight"], true);
    assert_eq!(case["topUps"][0]["left"], json!(80.0));
    let decide = format!("{path}/decide");
    for (body, code) in [
        (json!({"decision": "maybe"}), "validation_failed"),
        (json!({"decision": "refuse"}), "reason_required"),
        (json!({"decision": "accept", "topUpId": "x"}), "invalid_parameter"),
        (json!({"decision": "accept", "topUpId": Uuid::nil()}), "other_account"),
        (
            json!({"decision": "accept", "topUpId": top_up, "amount": 500}),
            "refund_exceeds_payment",
        ),
    ] {
        assert_eq!(
            staff.post(&decide, body.clone()).await.failure(),
            (400, code.into()),
            "{body}"
        );
    }
    let support = member(&shop, "SUPPORT").await;
    shop.db
        .execute(
            "update staff_roles set refund_limit = 5 where name = 'SUPPORT';
             update user_sessions set created_at = created_at - interval '6 minutes', confirmed_at = null
              where user_id in (select id from users where staff_role = 'SUPPORT')",
        )
        .await;
    let to_card = json!({"decision": "accept", "topUpId": top_up});
    assert_eq!(
        support.post(&decide, to_card.clone()).await.failure(),
        (403, "confirmation_needed".into())
    );
    for _ in 0..2 {
        let done = staff.post(&decide, to_card.clone()).await;
        assert_eq!(done.status, 200, "{}", done.text());
        let done = done.json()["data"].take();
        assert_eq!(done["state"], "ACCEPTED");
        assert_eq!(done["refunded"], json!(10.0));
        assert_eq!(done["cardRefund"]["amount"], json!(10.0));
        assert_eq!(done["cardRefund"]["state"], "REQUESTED");
    }
    let refuse = json!({"decision": "refuse", "reason": "no"});
    assert_eq!(
        staff.post(&decide, refuse).await.failure(),
        (409, "already_decided".into())
    );
    let unknown = format!("/api/admin/withdrawals/{}/decide", Uuid::nil());
    assert_eq!(staff.post(&unknown, to_card).await.failure().0, 404);
    assert_eq!(shop.db.count("card_refunds").await, 1);
    assert_eq!(shop.db.count("audit_log where action = 'withdrawal.decide'").await, 1);
    shop.db.assert_books_balance().await;
}
