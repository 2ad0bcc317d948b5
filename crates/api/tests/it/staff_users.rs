//! `PUT /api/admin/users/{id}`, `…/role` and `DELETE`: what staff may change about accounts.

use serde_json::{Value, json};

use crate::client::Client;
use crate::orders::fund;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

async fn customer<'s>(shop: &'s Shop, address: &str, balance: &str) -> (Client<'s>, String) {
    let client = Client::new(shop);
    let user = client.register(address).await;
    if balance != "0" {
        fund(shop, &user, balance).await;
    }
    (
        client,
        format!("/api/admin/users/{}", user["user"]["id"].as_str().unwrap()),
    )
}

#[tokio::test]
async fn names_are_changed_and_the_answer_is_that_of_get() {
    let shop = Shop::open().await;
    let support = member(&shop, "SUPPORT").await;
    let (ada, path) = customer(&shop, "ada@example.org", "0").await;
    let form =
        json!({"nickname": "Countess", "firstName": "Ada", "lastName": " Lovelace ", "role": "USER", "balance": 0});
    let changed = support.put(&path, form.clone()).await;
    assert_eq!(changed.status, 200, "{}", changed.json());
    let data = changed.data();
    assert_eq!(
        (
            &data["nickname"],
            &data["firstName"],
            &data["lastName"],
            &data["role"],
            &data["balance"]
        ),
        (
            &json!("Countess"),
            &json!("Ada"),
            &json!("Lovelace"),
            &json!("USER"),
            &json!(0.0)
        )
    );
    assert_eq!(support.get(&path).await.data(), data);
    assert_eq!(ada.get("/api/auth/me").await.data()["nickname"], "Countess");
    // The same form again changes nothing, and no name stands in the audit log.
    assert_eq!(support.put(&path, form).await.status, 200);
    assert_eq!(
        support
            .put(&path, json!({"lastName": null}))
            .await
            .data()
            .get("lastName"),
        None
    );
    let deeds: Vec<String> = sqlx::query_scalar("select action || details::text from audit_log order by at")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(
        deeds,
        [
            r#"user.change{"fields": ["nickname", "firstName", "lastName"]}"#,
            r#"user.change{"fields": ["lastName"]}"#
        ]
    );
    for (field, wrong) in [
        ("nickname", json!("x")),
        ("firstName", json!("x".repeat(101))),
        ("lastName", json!(7)),
        ("role", json!("ROOT")),
        ("balance", json!(-0.01)),
        ("balance", json!("5")),
        ("balance", json!(0.001)),
        ("reason", json!("x".repeat(501))),
    ] {
        let answer = support.put(&path, json!({field: wrong})).await;
        assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
        let error = answer.json()["error"].take();
        assert_eq!(error["errors"][0]["path"], field, "{field} {wrong}");
        // Screens of staff show the message and nothing else.
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("Validation failed: {field}: ")),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_new_balance_is_booked_and_refused_when_it_changed_since_it_was_shown() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let (ada, path) = customer(&shop, "ada@example.org", "20").await;
    let balance = async || ada.get("/api/user/balance").await.data()["balance"].take();
    // Never shown.
    let unseen = owner.put(&path, json!({"balance": 25})).await;
    assert_eq!(unseen.failure(), (409, "balance_not_seen".into()));
    assert_eq!(owner.get(&path).await.data()["balance"], json!(20.0));
    // Clients add amounts in binary floating point.
    let sum = 25.5 + 16.0 * f64::EPSILON;
    assert_eq!(sum.to_string(), "25.500000000000004");
    let set = owner.put(&path, json!({"balance": sum, "reason": "a gift"})).await;
    assert_eq!(set.data()["balance"], json!(25.5));
    let booked = ada.get("/api/user/transactions").await.data()[0].take();
    assert_eq!(
        (
            &booked["amount"],
            &booked["type"],
            &booked["description"],
            &booked["method"]
        ),
        (&json!(5.5), &json!("TOP_UP"), &json!("a gift"), &json!("ADJUSTMENT"))
    );
    // The answer was shown, so another change can follow; then money moves in between.
    assert_eq!(
        owner.put(&path, json!({"balance": 20})).await.data()["balance"],
        json!(20.0)
    );
    fund(&shop, &json!({"user": {"id": path.rsplit('/').next().unwrap()}}), "1").await;
    let lost = owner.put(&path, json!({"balance": 30, "nickname": "Half done"})).await;
    assert_eq!(lost.failure(), (409, "balance_changed".into()));
    assert!(
        lost.json()["error"]["message"].as_str().unwrap().contains("21.00 EUR"),
        "{}",
        lost.json()
    );
    assert_ne!(owner.get(&path).await.data()["nickname"], "Half done");
    // A form that leaves the balance as it was shown changes nothing about it, whatever it is by now.
    fund(&shop, &json!({"user": {"id": path.rsplit('/').next().unwrap()}}), "1").await;
    assert_eq!(
        owner.put(&path, json!({"balance": 21, "nickname": "Ada"})).await.data()["balance"],
        json!(22.0)
    );
    // A client that says what it saw needs no other proof.
    let said = json!({"balance": 10, "expectedBalance": 21});
    assert_eq!(owner.put(&path, said).await.failure(), (409, "balance_changed".into()));
    let said = json!({"balance": 10, "expectedBalance": 22});
    assert_eq!(owner.put(&path, said).await.status, 200);
    assert_eq!(balance().await, json!(10.0));
    shop.db.assert_books_balance().await;
}

/// One window still shows the balance from before the customer spent some: its form must not give it back.
#[tokio::test]
async fn a_form_of_another_window_books_nothing() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let (_ada, path) = customer(&shop, "ada@example.org", "10").await;
    owner.get(&path).await;
    shop.db
        .execute(
            "insert into transactions (user_id, type, amount, status)
             select id, 'PURCHASE', -5, 'COMPLETED' from users where email = 'ada@example.org';
             update users set balance = 5 where email = 'ada@example.org'",
        )
        .await;
    owner.get(&path).await;
    for stale in [12, 10] {
        let answer = owner
            .put(&path, json!({"balance": stale, "nickname": "Countess"}))
            .await;
        assert_eq!(answer.failure(), (409, "balance_changed".into()), "{stale}");
    }
    // Looking again, as the refusal says, is enough; and the other window's form stays refused.
    owner.get(&path).await;
    let stale = owner.put(&path, json!({"balance": 10})).await;
    assert_eq!(stale.failure(), (409, "balance_changed".into()));
    owner.get(&path).await;
    assert_eq!(shop.db.count("transactions where method = 'ADJUSTMENT'").await, 0);
    assert_eq!(
        owner
            .put(&path, json!({"balance": 5, "nickname": "Countess"}))
            .await
            .status,
        200
    );
    assert_eq!(
        owner
            .put(&path, json!({"balance": 10, "expectedBalance": 5}))
            .await
            .data()["balance"],
        json!(10.0)
    );
    shop.db.assert_books_balance().await;
}

/// Two members of staff and the customer at the same time: every change of the balance is one that was seen.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_forms_never_overwrite_each_other() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let (_ada, path) = customer(&shop, "ada@example.org", "10").await;
    owner.get(&path).await;
    let forms = (1..=8).map(|number| owner.put(&path, json!({"balance": 10 + number, "expectedBalance": 10})));
    let answers = futures::future::join_all(forms).await;
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(
        made,
        1,
        "{:?}",
        answers.iter().map(|answer| answer.status).collect::<Vec<_>>()
    );
    assert_eq!(shop.db.count("transactions where method = 'ADJUSTMENT'").await, 1);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn roles_are_given_and_taken_and_the_last_owner_stays() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let root = owner.get("/api/auth/me").await.data();
    let root_path = format!("/api/admin/users/{}", root["id"].as_str().unwrap());
    let (ada, path) = customer(&shop, "ada@example.org", "0").await;
    let role = format!("{path}/role");
    assert_eq!(ada.get("/api/admin/dashboard").await.status, 403);
    // Anybody may have registered that address.
    for (path, body) in [(&role, json!({"role": "ADMIN"})), (&path, json!({"role": "ADMIN"}))] {
        assert_eq!(
            owner.put(path, body).await.failure(),
            (409, "email_not_verified".into())
        );
    }
    shop.db
        .execute("update users set email_verified = true where email = 'ada@example.org'")
        .await;
    assert_eq!(owner.put(&role, json!({"role": "ADMIN"})).await.data()["role"], "ADMIN");
    assert_eq!(ada.get("/api/admin/dashboard").await.status, 200);
    assert_eq!(ada.get("/api/auth/me").await.data()["role"], "ADMIN");
    // By the form, too.
    assert_eq!(owner.put(&path, json!({"role": "USER"})).await.data()["role"], "USER");
    assert_eq!(ada.get("/api/admin/dashboard").await.status, 403);
    for (path, body) in [
        (format!("{root_path}/role"), json!({"role": "USER"})),
        (root_path.clone(), json!({"role": "USER", "nickname": "Gone"})),
    ] {
        assert_eq!(owner.put(&path, body).await.failure(), (409, "last_admin".into()));
    }
    assert_eq!(owner.delete(&root_path).await.failure(), (409, "last_admin".into()));
    assert_ne!(
        owner.get(&root_path).await.data()["nickname"],
        "Gone",
        "nothing is half done"
    );
    for wrong in [json!({"role": "SUPPORT"}), json!({"role": ""}), json!({})] {
        assert_eq!(owner.put(&role, wrong).await.failure().0, 400);
    }
    let nobody = "/api/admin/users/0192f0c1-0000-7000-8000-000000000001";
    assert_eq!(
        owner
            .put(&format!("{nobody}/role"), json!({"role": "USER"}))
            .await
            .failure()
            .0,
        404
    );
    assert_eq!(owner.put(nobody, json!({"nickname": "Nobody"})).await.failure().0, 404);
}

#[tokio::test]
async fn nobody_changes_somebody_with_more_permissions() {
    let shop = Shop::open().await;
    let (owner, support) = (member(&shop, "OWNER").await, member(&shop, "SUPPORT").await);
    let path = async |client: &Client<'_>| {
        let me = client.get("/api/auth/me").await.data();
        format!("/api/admin/users/{}", me["id"].as_str().unwrap())
    };
    let (root, me) = (path(&owner).await, path(&support).await);
    let refused = support.put(&root, json!({"nickname": "Renamed"})).await;
    assert_eq!(refused.failure(), (403, "has_more_permissions".into()));
    let (_ada, ada) = customer(&shop, "ada@example.org", "0").await;
    for (path, body) in [
        (&me, json!({"role": "ADMIN"})),
        (&ada, json!({"role": "ADMIN"})),
        (&ada, json!({"balance": 5, "expectedBalance": 0})),
    ] {
        assert_eq!(
            support.put(path, body).await.failure(),
            (403, "forbidden".into()),
            "{path}"
        );
    }
    // With the permission to adjust balances, but not that of an owner.
    shop.db
        .execute("insert into staff_role_permissions values ('SUPPORT', 'balance.adjust'), ('SUPPORT', 'users.delete')")
        .await;
    let adjust = json!({"amount": 5, "reason": "x"});
    assert_eq!(support.put(&format!("{ada}/balance"), adjust.clone()).await.status, 200);
    let refused = support.put(&format!("{root}/balance"), adjust).await;
    assert_eq!(refused.failure(), (403, "has_more_permissions".into()));
    assert_eq!(
        support.delete(&root).await.failure(),
        (403, "has_more_permissions".into())
    );
    assert_eq!(shop.db.count("audit_log").await, 1);
}

#[tokio::test]
async fn accounts_without_orders_are_deleted() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let (ada, path) = customer(&shop, "ada@example.org", "0").await;
    assert_eq!(
        owner.delete(&path).await.json(),
        json!({"success": true, "message": "The account is deleted"})
    );
    assert_eq!(ada.get("/api/auth/me").await.failure().0, 401);
    for gone in [owner.delete(&path).await, owner.get(&path).await] {
        assert_eq!(gone.failure().0, 404);
    }
    assert_eq!(shop.db.count("users where email = 'ada@example.org'").await, 0);
    // Money, or an order.
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let (bob, path) = customer(&shop, "bob@example.org", "10").await;
    assert_eq!(owner.delete(&path).await.failure(), (409, "has_balance".into()));
    let order = bob
        .post("/api/orders", json!({"items": [{"gameId": game.id, "quantity": 1}]}))
        .await;
    assert_eq!(order.status, 201, "{}", order.json());
    assert_eq!(owner.delete(&path).await.failure(), (409, "orders_under_way".into()));
    let unit: Value = order.json()["data"]["copies"][0]["id"].take();
    shop.db.deliver(unit.as_str().unwrap().parse().unwrap()).await;
    shop.db
        .execute("update orders set status = 'PROCESSING'; update orders set status = 'COMPLETED'")
        .await;
    assert_eq!(owner.delete(&path).await.failure(), (409, "has_orders".into()));
    assert_eq!(bob.get("/api/auth/me").await.status, 200, "nothing is half done");
    assert_eq!(owner.delete("/api/admin/users/x").await.failure().0, 400);
}
