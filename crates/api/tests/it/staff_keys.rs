//! `/api/admin/game-keys`: the exact JSON, keys masked everywhere but where a reason is given, imports that store all or
//! nothing, and replacements.

use std::io;

use axum::body::Body;
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::orders::{deliver, fund};
use crate::permissions::member;
use crate::shop::{Answered, NewGame, Shop};

const KEYS: &str = "/api/admin/game-keys";
const DOTS: &str = "••••••••";

async fn game(shop: &Shop, title: &str) -> NewGame {
    let game = NewGame::titled(title);
    shop.put(std::slice::from_ref(&game)).await;
    game
}

async fn add(staff: &Client<'_>, game: &NewGame, key: &str) -> Value {
    let made = staff.post(KEYS, json!({"gameId": game.id, "key": key})).await;
    assert_eq!(made.status, 201, "{}", made.json());
    made.json()["data"].take()
}

fn path(key: &Value) -> String {
    format!("{KEYS}/{}", key["id"].as_str().unwrap())
}

/// An order of one unit, delivered with `key`: the order and the key's id.
async fn delivered(shop: &Shop, buyer: &Client<'_>, game: &NewGame, key: &str) -> (Value, Uuid) {
    let order = json!({"items": [{"gameId": game.id, "quantity": 1}]});
    let placed = buyer.post("/api/orders", order).await;
    assert_eq!(placed.status, 201, "{}", placed.json());
    let order = placed.json()["data"].take();
    let id = deliver(shop, order["copies"][0]["id"].as_str().unwrap(), key).await;
    let hash = shop.keys.hash("game-key", &[key.as_bytes()]);
    sqlx::query("update game_keys set key_hash = $2 where id = $1")
        .bind(id)
        .bind(hash.as_slice())
        .execute(&shop.db.sql)
        .await
        .unwrap();
    (order, id)
}

async fn buyer<'s>(shop: &'s Shop, name: &str) -> Client<'s> {
    let client = Client::new(shop);
    let user = client.register(&format!("{name}@example.org")).await;
    fund(shop, &user, "100").await;
    client
}

/// Everything that is stored in clear about keys, to show that no text of one is.
async fn stored(shop: &Shop) -> String {
    sqlx::query_scalar(
        "select concat((select string_agg(k::text, ' ') from game_keys k), (select string_agg(a::text, ' ') from audit_log a),
                       (select string_agg(m::text, ' ') from mail_outbox m))",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn keys_are_added_listed_changed_and_deleted() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "MANAGER").await, buyer(&shop, "ada").await);
    let (portal, myst) = (game(&shop, "Portal").await, game(&shop, "Myst").await);
    let key = add(&staff, &portal, " ABCDE-FGHIJ-KLMNO ").await;
    let expected = json!({
        "id": key["id"], "gameId": portal.id, "key": format!("{DOTS}LMNO"), "orderId": null, "activated": false,
        "activationDate": null, "createdAt": key["createdAt"], "isFile": false,
        "game": {"id": portal.id, "title": "Portal", "slug": "portal", "image": portal.image},
    });
    assert_eq!(key, expected);
    assert_eq!(staff.get(&path(&key)).await.data(), expected);
    let lines = add(&staff, &myst, "user: ada\r\npassword: 123456789012345").await;
    assert_eq!(lines["key"], DOTS);
    let file = json!({"gameId": myst.id, "key": "aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxk", "isFile": true, "cost": 2.5,
                      "activated": true, "activationDate": "2020-05-17"});
    let file = staff.post(KEYS, file).await.json()["data"].take();
    assert_eq!(
        (&file["key"], &file["isFile"], &file["cost"], &file["activationDate"]),
        (
            &json!(DOTS),
            &json!(true),
            &json!(2.5),
            &json!("2020-05-17T00:00:00.000Z")
        )
    );

    // A delivered one, and every filter.
    let (order, sold) = delivered(&shop, &ada, &portal, "PPPPP-QQQQQ-RRRRR").await;
    let list = staff.get(KEYS).await.data();
    assert_eq!(
        (&list["total"], &list["page"], &list["pageSize"], &list["totalPages"]),
        (&json!(4), &json!(1), &json!(50), &json!(1))
    );
    let row = &list["keys"][0];
    let owner =
        json!({"id": order["userId"], "email": "ada@example.org", "nickname": row["order"]["user"]["nickname"]});
    assert_eq!(
        row["order"],
        json!({"id": order["id"], "userId": order["userId"], "total": 10.0, "status": "PENDING",
               "createdAt": order["createdAt"], "user": owner})
    );
    assert_eq!((&row["id"], &row["key"]), (&json!(sold), &json!(format!("{DOTS}RRRR"))));
    let number = order["number"].as_str().unwrap().to_lowercase();
    for (filter, ids) in [
        (format!("gameId={}", myst.id), vec![&file["id"], &lines["id"]]),
        (format!("orderId={}", order["id"].as_str().unwrap()), vec![&row["id"]]),
        ("activated=true".to_owned(), vec![&file["id"]]),
        ("activated=false&pageSize=1&page=3".to_owned(), vec![&key["id"]]),
        ("search=ORTA".to_owned(), vec![&row["id"], &key["id"]]),
        ("search=ABCDE-FGHIJ-KLMNO".to_owned(), vec![&key["id"]]),
        ("search=PPPPP-QQQQQ-RRRRR".to_owned(), vec![&row["id"]]),
        ("search=PPPPP-QQQQQ".to_owned(), vec![]),
        (format!("search={}", order["id"].as_str().unwrap()), vec![&row["id"]]),
        (format!("search={number}"), vec![&row["id"]]),
        ("search=Ada@Example.org".to_owned(), vec![&row["id"]]),
        ("search=nobody@example.org".to_owned(), vec![]),
        (format!("search={}", key["id"].as_str().unwrap()), vec![&key["id"]]),
        (format!("search=ABCDE-FGHIJ-KLMNO&gameId={}", myst.id), vec![]),
        ("search=%25".to_owned(), vec![]),
    ] {
        let found = staff.get(&format!("{KEYS}?{filter}")).await.data();
        let found: Vec<&Value> = found["keys"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
        assert_eq!(found, ids, "{filter}");
    }
    assert_eq!(
        staff.get(&format!("{KEYS}/statistics")).await.data(),
        json!({"totalKeys": 4, "activatedKeys": 1, "unactivatedKeys": 3, "keysByGame": [
                   {"gameId": myst.id, "gameTitle": "Myst", "total": 2, "activated": 1, "unactivated": 1},
                   {"gameId": portal.id, "gameTitle": "Portal", "total": 2, "activated": 0, "unactivated": 2}],
               "keysByOrder": [{"orderId": order["id"], "total": 1, "activated": 0, "unactivated": 1}]})
    );

    // A form sends back what it was shown; a field changes when it differs.
    let mut form = key.clone();
    form["activated"] = json!(true);
    form["activationDate"] = json!("2021-01-01T10:00:00Z");
    let changed = staff.put(&path(&key), form).await.data();
    assert_eq!(
        (&changed["activated"], &changed["activationDate"], &changed["key"]),
        (&json!(true), &json!("2021-01-01T10:00:00.000Z"), &key["key"])
    );
    let form = json!({"gameId": myst.id, "key": "VVVVV-WWWWW-XXXXX", "activated": false, "cost": 1});
    let changed = staff.put(&path(&key), form).await.data();
    assert_eq!(
        (
            &changed["key"],
            &changed["gameId"],
            &changed["activationDate"],
            &changed["cost"]
        ),
        (
            &json!(format!("{DOTS}XXXX")),
            &json!(myst.id),
            &Value::Null,
            &json!(1.0)
        )
    );
    for clear in ["ABCDE", "VVVVV", "PPPPP", "123456789012345", "aGVsbG8"] {
        assert!(!stored(&shop).await.contains(clear), "{clear}");
    }
    assert_eq!(
        staff.delete(&path(&key)).await.json(),
        json!({"success": true, "message": "The key is deleted"})
    );
    assert_eq!(staff.get(&path(&key)).await.failure(), (404, "not_found".into()));
    assert_eq!(shop.db.count("audit_log where action like 'key.%'").await, 6);
    // Support may see that there is a key, and whose; content staff may see nothing.
    let support = member(&shop, "SUPPORT").await;
    assert_eq!(support.get(KEYS).await.data()["total"], 3);
    assert_eq!(
        support
            .post(&format!("{KEYS}/{sold}/reveal"), json!({"reason": "x"}))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_key_never_says_what_did_not_happen() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "OWNER").await, buyer(&shop, "ada").await);
    let (portal, myst) = (game(&shop, "Portal").await, game(&shop, "Myst").await);
    let own = add(&staff, &portal, "AAAA-BBBB-CCCC-DDDD").await;
    let (order, sold) = delivered(&shop, &ada, &portal, "EEEE-FFFF-GGGG-HHHH").await;
    let (order, sold) = (&order["id"], format!("{KEYS}/{sold}"));
    let refused = |answer: Answered, code: (u16, &str)| {
        assert_eq!(answer.failure(), (code.0, code.1.to_owned()), "{}", answer.json());
        answer.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    for (path, form) in [
        (&sold, json!({"gameId": myst.id})),
        (&sold, json!({"key": "ZZZZ-YYYY-XXXX-WWWW"})),
        (&sold, json!({"orderId": null})),
        (&sold, json!({"orderId": Uuid::new_v4()})),
        (&path(&own), json!({"orderId": order})),
    ] {
        refused(staff.put(path, form).await, (409, "key_fixed"));
    }
    let same = json!({"gameId": portal.id, "orderId": order, "key": "EEEE-FFFF-GGGG-HHHH", "activated": true});
    assert_eq!(staff.put(&sold, same).await.data()["activated"], true);
    refused(staff.delete(&sold).await, (400, "key_sold"));

    let again = json!({"gameId": myst.id, "key": "EEEE-FFFF-GGGG-HHHH"});
    let why = refused(staff.post(KEYS, again.clone()).await, (400, "key_exists"));
    assert!(why.contains(order.as_str().unwrap()), "{why}");
    refused(staff.put(&path(&own), again).await, (400, "key_exists"));
    let again = json!({"gameId": myst.id, "key": "AAAA-BBBB-CCCC-DDDD"});
    assert!(refused(staff.post(KEYS, again).await, (400, "key_exists")).contains("own stock"));
    let body = json!({"gameId": portal.id, "key": "IIII-JJJJ", "orderId": order});
    refused(staff.post(KEYS, body).await, (409, "key_fixed"));
    let body = json!({"gameId": Uuid::new_v4(), "key": "IIII-JJJJ"});
    refused(staff.post(KEYS, body).await, (404, "not_found"));
    for (field, wrong) in [
        ("key", json!("1.23457E+15")),
        ("key", json!("'1234567890123456")),
        ("key", json!("#N/A")),
        ("key", json!("AB\u{0}CD")),
        ("key", json!("••••••••ZZZZ")),
        ("key", json!("x".repeat(2_001))),
        ("key", json!(12345)),
        ("key", json!("")),
        ("gameId", json!("portal")),
        ("cost", json!(-1)),
        ("cost", json!(0.001)),
        ("activated", json!("yes")),
        ("activationDate", json!("2099-01-01")),
        ("activationDate", json!("soon")),
    ] {
        for (method, path) in [("POST", KEYS.to_owned()), ("PUT", path(&own))] {
            let mut body = json!({"gameId": portal.id, "key": "KKKK-LLLL"});
            body[field] = wrong.clone();
            let answer = staff.send(method, &path, body.to_string()).await;
            assert_eq!(
                answer.failure(),
                (400, "validation_failed".into()),
                "{method} {field} {wrong}"
            );
            let answer = answer.json();
            assert_eq!(answer["error"]["errors"][0]["path"], field, "{answer}");
            let told = answer.to_string();
            assert!(!told.contains("1.23457E+15") && !told.contains("1234567890123456"));
        }
    }
    let body = json!({"gameId": portal.id, "key": "not base64!", "isFile": true});
    refused(staff.post(KEYS, body).await, (400, "validation_failed"));
    assert_eq!(shop.db.count("game_keys").await, 2);
}

#[tokio::test]
async fn a_key_is_revealed_with_a_reason_on_record() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let portal = game(&shop, "Portal").await;
    let key = add(&staff, &portal, "AAAA-BBBB-CCCC-DDDD").await;
    let reveal = format!("{}/reveal", path(&key));
    for body in [json!({}), json!({"reason": "  "}), json!({"reason": "x".repeat(501)})] {
        assert_eq!(staff.post(&reveal, body).await.failure().0, 400);
    }
    let answer = staff
        .post(&reveal, json!({"reason": "the customer reads another one"}))
        .await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.data(),
        json!({"id": key["id"], "key": "AAAA-BBBB-CCCC-DDDD", "isFile": false})
    );
    let recorded: (String, String, i32) = sqlx::query_as(
        "select a.details ->> 'reason', u.email, r.count from audit_log a join users u on u.id = a.admin_id
           join key_reveals r on r.user_id = u.id and r.game_key_id = a.subject_id and r.how = 'CONSOLE'
          where a.action = 'key.reveal'",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    assert_eq!(
        recorded,
        ("the customer reads another one".into(), "manager@example.org".into(), 1)
    );
    // Who saw it stays known, so it is not deleted.
    assert_eq!(staff.delete(&path(&key)).await.failure(), (409, "key_shown".into()));
    let unknown = format!("{KEYS}/{}/reveal", Uuid::new_v4());
    assert_eq!(staff.post(&unknown, json!({"reason": "x"})).await.failure().0, 404);
    for _ in 0..28 {
        assert_eq!(staff.post(&reveal, json!({"reason": "x"})).await.status, 200);
    }
    let answer = staff.post(&reveal, json!({"reason": "x"})).await;
    assert_eq!(answer.failure(), (429, "rate_limited".into()));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(shop.db.count("audit_log where action = 'key.reveal'").await, 29);
}

#[tokio::test]
async fn a_replacement_follows_the_rules_of_a_refund() {
    let shop = Shop::open().await;
    let (support, owner) = (buyer(&shop, "support").await, member(&shop, "OWNER").await);
    shop.db
        .execute("update users set staff_role = 'SUPPORT' where email = 'support@example.org'")
        .await;
    let ada = buyer(&shop, "ada").await;
    let portal = game(&shop, "Portal").await;
    let (_, own) = delivered(&shop, &support, &portal, "EEEE-FFFF-GGGG-0001").await;
    let (_, adas) = delivered(&shop, &ada, &portal, "EEEE-FFFF-GGGG-0002").await;
    add(&owner, &portal, "AAAA-BBBB-CCCC-0001").await;
    let replace = async |key: Uuid| {
        support
            .post(&format!("{KEYS}/{key}/replace"), json!({"reason": "used"}))
            .await
    };
    // Of one's own order only who may adjust balances.
    assert_eq!(replace(own).await.failure(), (403, "own_purchase".into()));
    shop.db
        .execute("update user_sessions set created_at = created_at - interval '6 minutes'")
        .await;
    assert_eq!(replace(adas).await.failure(), (403, "confirmation_needed".into()));
    let password = json!({"password": crate::client::PASSWORD});
    assert_eq!(support.post("/api/auth/confirm", password).await.status, 200);
    // Not of somebody who may do more.
    shop.db
        .execute("update users set staff_role = 'MANAGER' where email = 'ada@example.org'")
        .await;
    assert_eq!(replace(adas).await.failure(), (403, "has_more_permissions".into()));
    shop.db
        .execute("update users set staff_role = null where email = 'ada@example.org'")
        .await;
    assert_eq!(replace(adas).await.status, 200);
    assert_eq!(shop.db.count("audit_log where action = 'key.replace'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_key_is_replaced_once_from_own_stock() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "SUPPORT").await, buyer(&shop, "ada").await);
    let owner = member(&shop, "OWNER").await;
    let portal = game(&shop, "Portal").await;
    let (order, faulty) = delivered(&shop, &ada, &portal, "EEEE-FFFF-GGGG-HHHH").await;
    let order_path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    assert_eq!(
        ada.get(&order_path).await.data()["keys"][0]["key"],
        "EEEE-FFFF-GGGG-HHHH"
    );
    let replace = format!("{KEYS}/{faulty}/replace");
    let reason = json!({"reason": "Steam says that it is used"});
    assert_eq!(
        staff.post(&replace, reason.clone()).await.failure(),
        (409, "no_stock".into())
    );
    for key in ["AAAA-BBBB-CCCC-0001", "AAAA-BBBB-CCCC-0002"] {
        add(&owner, &portal, key).await;
    }
    let answers = join_all((0..8).map(|_| staff.post(&replace, reason.clone()))).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 1);
    for answer in refused {
        assert_eq!(answer.failure(), (409, "key_replaced".into()));
    }
    let done = done[0].data();
    let (old, new) = (&done["replaced"], &done["replacement"]);
    assert_eq!(
        (
            &old["id"],
            &old["orderId"],
            &old["activated"],
            &old["faultyAt"].is_string()
        ),
        (&json!(faulty), &order["id"], &json!(true), &true)
    );
    assert_eq!((&new["orderId"], &new["faultyAt"]), (&order["id"], &Value::Null));
    assert_eq!(new["key"], format!("{DOTS}0001"), "the oldest, and masked");

    // The shopper has the new key, only that one, and an e-mail; both are listed with the order.
    shop.cache.catch_up().await.unwrap();
    let seen = ada.get(&order_path).await.data();
    assert_eq!(seen["keys"].as_array().unwrap().len(), 1);
    assert_eq!(seen["keys"][0]["key"], "AAAA-BBBB-CCCC-0001");
    assert_eq!(shop.db.count("mail_outbox where kind = 'keys-ready'").await, 1);
    let of_order = format!("{KEYS}?orderId={}", order["id"].as_str().unwrap());
    assert_eq!(staff.get(&of_order).await.data()["total"], 2);
    assert_eq!(shop.db.count("audit_log where action = 'key.replace'").await, 1);
    // The faulty key is out for good; the other key of the stock is still there.
    let faulty = format!("{KEYS}/{faulty}");
    let back = owner.put(&faulty, json!({"activated": false})).await;
    assert_eq!(back.failure(), (409, "key_fixed".into()));
    assert_eq!(owner.delete(&faulty).await.failure(), (400, "key_sold".into()));
    assert_eq!(
        shop.db
            .count("game_keys where order_unit_id is null and not activated")
            .await,
        1
    );
    // The replacement can be faulty, too; own stock cannot.
    let again = staff
        .post(&format!("{}/replace", path(new)), reason.clone())
        .await
        .data();
    assert_eq!(again["replacement"]["key"], format!("{DOTS}0002"));
    let spare = add(&owner, &portal, "AAAA-BBBB-CCCC-0003").await;
    let spare = staff.post(&format!("{}/replace", path(&spare)), reason.clone()).await;
    assert_eq!(spare.failure(), (409, "key_not_delivered".into()));
    // A unit whose price went back gets nothing for free.
    let purchase: Uuid = sqlx::query_scalar("select id from transactions where type = 'PURCHASE'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let refund = format!("/api/admin/payments/transactions/{purchase}/refund");
    assert_eq!(owner.post(&refund, json!({})).await.status, 200);
    let free = staff
        .post(&format!("{}/replace", path(&again["replacement"])), reason)
        .await;
    assert_eq!(free.failure(), (409, "unit_refunded".into()));
}

#[tokio::test]
async fn another_key_is_bought_in_place_of_a_faulty_one_within_the_budget() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "SUPPORT").await, buyer(&shop, "ada").await);
    let owner = member(&shop, "OWNER").await;
    let portal = game(&shop, "Portal").await;
    shop.db.at_g2a(portal.id, "10000000000042").await;
    let (order, faulty) = delivered(&shop, &ada, &portal, "EEEE-FFFF-GGGG-HHHH").await;
    let (order, replace) = (order["id"].as_str().unwrap(), format!("{KEYS}/{faulty}/replace"));
    let reason = json!({"reason": "Steam says that it is used"});
    let begun = staff.post(&replace, reason.clone()).await;
    assert_eq!(begun.status, 202, "{}", begun.json());
    let begun = begun.json()["data"].take();
    assert_eq!(
        (&begun["replaced"]["id"], &begun["replacement"], &begun["buying"]),
        (&json!(faulty), &Value::Null, &json!(true))
    );
    let again = staff.post(&replace, reason.clone()).await;
    assert_eq!(again.failure(), (409, "key_being_replaced".into()));
    // Its owner sees that; staff see the key, and do not refund the copy meanwhile.
    shop.cache.catch_up().await.unwrap();
    let seen = ada.get(&format!("/api/orders/{order}")).await.data();
    assert_eq!(
        (&seen["copies"][0]["state"], &seen["keys"]),
        (&json!("REPLACING"), &json!([]))
    );
    let detail = staff.get(&format!("/api/admin/orders/{order}")).await.data();
    assert_eq!(detail["units"][0]["faultyKeyId"], json!(faulty));
    let purchase: Uuid = sqlx::query_scalar("select id from transactions where type = 'PURCHASE'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let refund = format!("/api/admin/payments/transactions/{purchase}/refund");
    let refused = owner.post(&refund, json!({})).await;
    assert_eq!(refused.failure(), (409, "key_being_replaced".into()));
    // Ended by staff: the copy has its key again, and nothing is refunded.
    let unit = detail["units"][0]["id"].as_str().unwrap();
    let ended = owner
        .post(&format!("/api/admin/g2a/reservations/{unit}/cancel"), json!({}))
        .await;
    assert_eq!(ended.status, 200, "{}", ended.json());
    assert_eq!(shop.db.count("transactions where type = 'REFUND'").await, 0);
    shop.cache.catch_up().await.unwrap();
    let seen = ada.get(&format!("/api/orders/{order}")).await.data();
    assert_eq!(seen["copies"][0]["state"], "DELIVERED");
    assert_eq!(seen["keys"][0]["key"], "EEEE-FFFF-GGGG-HHHH");
    // More than the budget has left.
    sqlx::query("insert into g2a_orders (g2a_order_id, order_unit_id, price, is_replacement, paid_at) select 'x', id, 50, true, now() from order_units")
        .execute(&shop.db.sql)
        .await
        .unwrap();
    let refused = staff.post(&replace, reason.clone()).await;
    assert_eq!(refused.failure(), (409, "budget_spent".into()));
    add(&owner, &portal, "AAAA-BBBB-CCCC-0001").await;
    let replaced = staff.post(&replace, reason).await;
    assert_eq!(replaced.data()["buying"], json!(false));
}

async fn import(staff: &Client<'_>, query: &str, file: impl Into<Body>) -> Answered {
    let headers = [("content-type", "text/csv")];
    staff
        .send_with("POST", &format!("{KEYS}/import{query}"), file, &headers)
        .await
}

#[tokio::test]
async fn an_import_stores_good_lines_and_names_the_others() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "MANAGER").await, buyer(&shop, "ada").await);
    let (portal, myst) = (game(&shop, "Portal").await, game(&shop, "Myst").await);
    let (order, _) = delivered(&shop, &ada, &portal, "SOLD-SOLD-SOLD").await;
    add(&staff, &portal, "OWNS-OWNS-OWNS").await;
    let file = format!(
        "game,key,cost\nportal,AAAA-0001,1.50\n{},AAAA-0002\nportal,AAAA-0001\nportal,SOLD-SOLD-SOLD\nmyst,OWNS-OWNS-OWNS\n\
         quake,AAAA-0003\n{},AAAA-0003\nmyst,1.23457E+15\nmyst,\"line 1\nline 2\"\nmyst,\nmyst,AAAA-0003,free\nmyst,AAAA-0003\n",
        myst.id,
        Uuid::new_v4()
    );
    let expected = |dry_run: bool, data: &Value| {
        let line = |line: u64, code: &str| json!({"line": line, "code": code});
        let refused: Vec<Value> = data["refusedLines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|refused| json!({"line": refused["line"], "code": refused["code"]}))
            .collect();
        assert_eq!(
            refused,
            [
                line(4, "duplicate_in_file"),
                line(5, "duplicate"),
                line(6, "duplicate"),
                line(7, "no_such_game"),
                line(8, "no_such_game"),
                line(9, "spreadsheet"),
                line(12, "required"),
                line(13, "cost"),
            ]
        );
        let mut counts = data.clone();
        for field in ["importId", "refusedLines"] {
            counts.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(
            counts,
            json!({"dryRun": dry_run, "lines": 12, "imported": 4, "games": 2, "refused": 8})
        );
        assert_eq!(data["refusedLines"][0]["firstLine"], 2);
        assert_eq!(data["refusedLines"][1]["orderId"], order["id"]);
        assert_eq!(data["refusedLines"][2].get("orderId"), None);
        assert!(!data.to_string().contains("SOLD-") && !data.to_string().contains("1.23457"));
    };
    expected(true, &import(&staff, "?dryRun=true", file.clone()).await.data());
    assert_eq!(shop.db.count("game_keys").await, 2, "nothing is stored");
    let done = import(&staff, "", file.clone()).await.data();
    expected(false, &done);
    assert_eq!(shop.db.count("game_keys where cost = 1.50").await, 1);
    let audited: Value =
        sqlx::query_scalar("select details from audit_log where action = 'key.import' and subject_id = $1")
            .bind(done["importId"].as_str().unwrap().parse::<Uuid>().unwrap())
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(audited, json!({"lines": 12, "imported": 4, "games": 2}));
    assert!(!stored(&shop).await.contains("AAAA-"));
    // Each can be found and opened as if it were entered by hand.
    let found = staff.get(&format!("{KEYS}?search=AAAA-0003")).await.data();
    let reveal = format!("{}/reveal", path(&found["keys"][0]));
    assert_eq!(
        staff.post(&reveal, json!({"reason": "a check"})).await.data()["key"],
        "AAAA-0003"
    );
    // The same file again adds nothing.
    assert_eq!(import(&staff, "", file).await.data()["imported"], 0);
}

#[tokio::test]
async fn an_import_that_breaks_off_stores_nothing() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    game(&shop, "Portal").await;
    let lines = |from: u32, to: u32| {
        let lines: Vec<String> = (from..to).map(|n| format!("portal,KEY-{n:08}\n")).collect();
        lines.concat()
    };
    let broken = stream::iter([
        Ok(lines(0, 6_000)),
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone")),
    ]);
    for (file, code) in [
        (Body::from_stream(broken), (400, "upload_interrupted")),
        (
            Body::from(lines(0, 10) + "portal,\"" + &"x".repeat(10_000)),
            (400, "invalid_csv"),
        ),
        (Body::from(lines(0, 10) + &",".repeat(100)), (400, "invalid_csv")),
        (Body::from(""), (400, "no_keys")),
        (Body::from("game,key\n"), (400, "no_keys")),
        (Body::from("key;note\nAAAA-BBBB;x"), (400, "invalid_csv")),
    ] {
        assert_eq!(
            import(&staff, "", file).await.failure(),
            (code.0, code.1.to_owned()),
            "{code:?}"
        );
    }
    // Its client goes away in the middle: the upload is dropped, and with it what was staged.
    let waits = stream::iter([Ok::<_, io::Error>(lines(0, 6_000))]).chain(stream::pending());
    let upload = import(&staff, "", Body::from_stream(waits));
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(800), upload)
            .await
            .is_err()
    );
    assert_eq!(shop.db.count("game_keys").await, 0);
    assert_eq!(shop.db.count("audit_log where action = 'key.import'").await, 0);
    // Larger than any other body may be.
    let done = import(&staff, "", lines(0, 6_000)).await.data();
    assert_eq!((&done["imported"], &done["refused"]), (&json!(6_000), &json!(0)));
    let tall = staff
        .send_with(
            "POST",
            &format!("{KEYS}/import"),
            "x",
            &[("content-length", "99999999999")],
        )
        .await;
    assert_eq!(tall.failure(), (413, "payload_too_large".into()));
}

/// An upload takes minutes: it ends when its sender may no longer send it, not when the file does.
#[tokio::test]
async fn an_import_ends_with_the_session_or_the_permission_of_its_sender() {
    let shop = Shop::open().await;
    game(&shop, "Portal").await;
    // Long keys: much to send and little to seal.
    let part = |from: u32| {
        let lines = (from..from + 400).map(|n| format!("portal,KEY-{n:08}-{}\n", "X".repeat(900)));
        lines.collect::<String>()
    };
    for (role, withdraw) in [
        ("OWNER", "delete from user_sessions"),
        (
            "MANAGER",
            "update users set staff_role = 'ANALYST' where staff_role = 'MANAGER'",
        ),
    ] {
        let staff = member(&shop, role).await;
        let db = std::sync::Arc::clone(&shop.db);
        let more = stream::once(async move {
            db.execute(withdraw).await;
            Ok::<_, io::Error>(part(400))
        });
        // Its end never comes.
        let file = stream::iter([Ok(part(0))]).chain(more).chain(stream::pending());
        let upload = import(&staff, "", Body::from_stream(file));
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), upload)
            .await
            .unwrap();
        assert_eq!(answer.status, 403, "{withdraw}");
        assert_eq!(shop.db.count("game_keys").await, 0);
    }
}

/// A thousand files of 64 KiB would be 87 MB, of which a list shows nothing.
#[tokio::test]
async fn a_list_of_keys_reads_no_files() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let portal = game(&shop, "Portal").await;
    let file = json!({"gameId": portal.id, "key": "aGVsbG8gd29ybGQh", "isFile": true});
    assert_eq!(staff.post(KEYS, file).await.status, 201);
    add(&staff, &portal, "AAAA-BBBB-CCCC-DDDD").await;
    let page = lockstep_domain::admin::Page { number: 1, size: 1_000 };
    let filter = lockstep_store::admin::keys::Filter::default();
    let read = shop
        .db
        .store
        .read(|tx| Box::pin(async move { lockstep_store::admin::keys::list(tx, &filter, page).await }));
    let (list, sealed) = read.await.unwrap().value;
    for (key, sealed) in list.keys.iter().zip(&sealed) {
        assert_eq!(key.is_file, sealed.is_empty());
    }
    let shown = staff.get(KEYS).await.data();
    let keys: Vec<&Value> = shown["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["key"])
        .collect();
    assert_eq!(keys, [&json!(format!("{DOTS}DDDD")), &json!(DOTS)]);
}

/// What somebody has seen does not become another key afterwards.
#[tokio::test]
async fn a_key_that_was_shown_keeps_its_text() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    let portal = game(&shop, "Portal").await;
    let key = path(&add(&staff, &portal, "AAAA-BBBB-CCCC-DDDD").await);
    let change = json!({"key": "ZZZZ-YYYY-XXXX-WWWW"});
    assert_eq!(staff.put(&key, change).await.status, 200, "nobody has seen it");
    let shown = staff
        .post(&format!("{key}/reveal"), json!({"reason": "a check"}))
        .await
        .data();
    assert_eq!(shown["key"], "ZZZZ-YYYY-XXXX-WWWW");
    let change = json!({"key": "QQQQ-RRRR-SSSS-TTTT"});
    assert_eq!(staff.put(&key, change).await.failure(), (409, "key_fixed".into()));
    assert_eq!(staff.delete(&key).await.failure().0, 409);
    let same = json!({"key": "ZZZZ-YYYY-XXXX-WWWW", "cost": 1.5});
    assert_eq!(staff.put(&key, same).await.data()["cost"], 1.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_of_the_same_keys_at_once_store_each_once() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let portal = game(&shop, "Portal").await;
    let file = |backwards: bool| {
        let mut lines: Vec<String> = (0..3_000).map(|n| format!("portal,KEY-{n:08}\n")).collect();
        if backwards {
            lines.reverse();
        }
        lines.concat()
    };
    let by_hand = async {
        for n in (0..3_000).step_by(300) {
            let body = json!({"gameId": portal.id, "key": format!("KEY-{n:08}")});
            assert!([201, 400].contains(&staff.post(KEYS, body).await.status.as_u16()));
        }
    };
    let (one, two, ()) = tokio::join!(import(&staff, "", file(false)), import(&staff, "", file(true)), by_hand);
    let (one, two) = (one.data(), two.data());
    assert_eq!(shop.db.count("game_keys").await, 3_000);
    let count = |data: &Value, field: &str| data[field].as_u64().unwrap();
    let imported = count(&one, "imported") + count(&two, "imported");
    let by_hand = shop.db.count("audit_log where action = 'key.create'").await;
    assert_eq!(imported + u64::try_from(by_hand).unwrap(), 3_000);
    assert_eq!(imported + count(&one, "refused") + count(&two, "refused"), 6_000);
}
