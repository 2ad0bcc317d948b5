//! `/api/admin/price-rules`, `scheduled-changes`, the history of prices, and promo codes beyond percentages: exact JSON, wrong
//! fields, and what a race is answered with.

use lockstep_domain::price::Pricing;
use serde_json::{Value, json};

use crate::catalogue_by_staff::created;
use crate::client::Client;
use crate::orders::fund;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

const RULES: &str = "/api/admin/price-rules";
const SCHEDULE: &str = "/api/admin/scheduled-changes";
const CODES: &str = "/api/admin/promo-codes";
const BATCHES: &str = "/api/admin/promo-codes/batches";

/// A shop with a game of G2A's that costs 10.00.
async fn shop() -> (Shop, NewGame) {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    shop.db
        .execute("update games set price = 10.20, g2a_product_id = 'p1', in_stock = true, g2a_stock = true, supplier_price = 10")
        .await;
    (shop, game)
}

fn rules() -> Value {
    json!({
        "minMargin": 0.5, "minMarginPercent": 2.5, "ending": {"cents": 99, "rounding": "UP"},
        "rules": [{"name": "Steam", "priority": 3, "activationService": "Steam", "costFrom": 5, "costTo": 50,
                   "markupPercent": 12.5, "minMargin": 1, "ending": {"rounding": "NONE"}},
                  {"name": "Rest"}]
    })
}

#[tokio::test]
async fn price_rules_are_previewed_saved_and_refused_when_others_were_faster() {
    let (shop, game) = shop().await;
    let (staff, other) = (member(&shop, "MANAGER").await, member(&shop, "OWNER").await);
    let empty = staff.get(RULES).await.data();
    assert_eq!(
        empty,
        json!({"version": 0, "defaultMarkupPercent": 2, "minMargin": 0.0, "minMarginPercent": 0, "ending": null, "rules": [],
               "job": null})
    );
    let preview = staff.post(&format!("{RULES}/preview?pageSize=5"), rules()).await.data();
    let change = json!({"gameId": game.id, "title": "Portal", "slug": game.slug, "supplierPrice": 10, "price": 10.2,
                        "newPrice": 10.99, "rule": "Rest"});
    let mut expected = json!({
        "version": 0, "games": 1, "raised": 1, "lowered": 0, "unchanged": 0, "ownPrices": 0, "belowCost": 0, "heldBack": 0,
        "unknownCost": 0, "biggestRises": [change], "biggestFalls": [], "changes": [change],
        "total": 1, "page": 1, "pageSize": 5, "totalPages": 1
    });
    expected["asOf"] = preview["asOf"].clone();
    assert_eq!(preview, expected);
    let mut body = rules();
    body["version"] = json!(0);
    let saved = staff.put(RULES, body.clone()).await.data();
    let rest = json!({"name": "Rest", "priority": 0, "genreId": null, "platformId": null, "activationService": null,
                      "costFrom": null, "costTo": null, "markupPercent": null, "minMargin": 0.0, "minMarginPercent": 0,
                      "ending": null});
    assert_eq!((&saved["version"], &saved["rules"][1]), (&json!(1), &rest));
    assert_eq!(saved["rules"][0]["ending"], json!({"cents": null, "rounding": "NONE"}));
    assert_eq!(
        (&saved["job"]["state"], &saved["job"]["gamesTotal"]),
        (&json!("OPEN"), &json!(1))
    );
    // Whoever previewed version 0 sees both.
    body["rules"] = json!([]);
    let late = other.put(RULES, body).await;
    assert_eq!(late.failure(), (409, "outdated".into()));
    let current = &late.json()["error"]["current"];
    let current = if current.is_null() {
        late.json()["error"]["details"]["current"].clone()
    } else {
        current.clone()
    };
    assert_eq!(
        (&current["version"], &current["yours"]["rules"]),
        (&json!(1), &json!([])),
        "{}",
        late.json()
    );
    assert_eq!(current["rules"], saved["rules"]);

    while lockstep_store::repricing::next_part(&shop.db.store, &Pricing::default(), 5)
        .await
        .unwrap()
        .is_some()
    {}
    let jobs = staff.get(&format!("{RULES}/jobs")).await.data();
    assert_eq!(
        (&jobs["jobs"][0]["state"], &jobs["total"]),
        (&json!("COMPLETED"), &json!(1))
    );
    let history = staff
        .get(&format!("/api/admin/games/{}/price-history", game.id))
        .await
        .data();
    let newest = &history["changes"][0];
    let expected = json!({"at": newest["at"], "previousPrice": 10.2, "price": 10.99, "originalPrice": null, "g2aPrice": null,
                          "supplierPrice": 10, "reason": "RULES"});
    assert_eq!(*newest, expected);
    // What the supplier asks is for those who may read the rules.
    let content = member(&shop, "CONTENT").await;
    let path = format!("/api/admin/games/{}/price-history", game.id);
    let seen = content.get(&path).await.data();
    assert_eq!(
        (&seen["changes"][0]["supplierPrice"], &seen["changes"][0]["price"]),
        (&Value::Null, &json!(10.99))
    );
    let nowhere = staff
        .get("/api/admin/games/0192f0c1-0000-7000-8000-000000000001/price-history")
        .await;
    assert_eq!(nowhere.failure(), (404, "not_found".into()));
}

#[tokio::test]
async fn each_wrong_field_of_price_rules_is_named() {
    let (shop, _) = shop().await;
    let staff = member(&shop, "OWNER").await;
    for (field, wrong) in [
        ("version", json!("1")),
        ("version", json!(-1)),
        ("minMargin", json!(-1)),
        ("minMargin", json!(1.005)),
        ("minMarginPercent", json!(1000.5)),
        ("minMarginPercent", json!("5")),
        ("ending", json!({"cents": 100, "rounding": "UP"})),
        ("ending", json!({"cents": 99})),
        ("ending", json!({"rounding": "NONE"})),
        ("ending", json!(99)),
        ("rules", json!({})),
        ("rules", json!([1])),
        ("rules", json!([{}])),
        ("rules", json!([{"name": ""}])),
        ("rules", json!([{"name": "a\u{0}b"}])),
        ("rules", json!([{"name": "x", "priority": 2000}])),
        ("rules", json!([{"name": "x", "genreId": "rpg"}])),
        ("rules", json!([{"name": "x", "costFrom": 5, "costTo": 5}])),
        ("rules", json!([{"name": "x", "markupPercent": -1}])),
        ("rules", json!([{"name": "x", "markupPercent": 1.005}])),
        ("rules", json!(vec![json!({"name": "x"}); 201])),
    ] {
        let mut body = json!({"version": 0});
        body[field] = wrong.clone();
        let answer = staff.put(RULES, body).await;
        assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
        assert_eq!(answer.json()["error"]["errors"][0]["path"], field, "{wrong}");
    }
    let missing = staff.put(RULES, json!({})).await;
    assert_eq!(missing.json()["error"]["errors"][0]["path"], "version");
    let unknown = json!({"version": 0, "rules": [{"name": "x", "genreId": "0192f0c1-0000-7000-8000-000000000001"}]});
    assert_eq!(staff.put(RULES, unknown).await.failure().0, 400);
    assert_eq!(staff.get(RULES).await.data()["version"], 0);
}

#[tokio::test]
async fn changes_are_scheduled_listed_and_cancelled() {
    let (shop, game) = shop().await;
    let staff = member(&shop, "MANAGER").await;
    let at = |hours: i64| {
        (shop.clock.now() + chrono::Duration::hours(hours)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    };
    let mut new = json!({"gameId": game.id, "change": "SALE", "price": 8, "startsAt": at(1), "endsAt": at(2)});
    assert_eq!(
        staff.post(SCHEDULE, new.clone()).await.failure(),
        (409, "below_cost".into())
    );
    new["belowCost"] = json!(true);
    let made = staff.post(SCHEDULE, new.clone()).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let made = created(&made);
    let mut expected = json!({"gameId": game.id, "title": "Portal", "change": "SALE", "price": 8.0, "value": null,
                              "startsAt": at(1), "endsAt": at(2), "state": "WAITING", "reason": null});
    for field in ["id", "createdBy", "createdAt"] {
        expected[field] = made[field].clone();
    }
    assert_eq!(made, expected);
    assert_eq!(
        staff.post(SCHEDULE, new.clone()).await.failure(),
        (409, "overlaps".into())
    );
    let list = staff
        .get(&format!("{SCHEDULE}?state=WAITING&gameId={}", game.id))
        .await
        .data();
    assert_eq!((&list["changes"], &list["total"]), (&json!([expected]), &json!(1)));
    let path = format!("{SCHEDULE}/{}", made["id"].as_str().unwrap());
    assert_eq!(staff.delete(&path).await.data()["state"], "CANCELLED");
    assert_eq!(staff.delete(&path).await.failure(), (409, "over".into()));
    for (field, wrong) in [
        ("gameId", json!("x")),
        ("change", json!("TITLE")),
        ("price", json!(0)),
        ("price", Value::Null),
        ("startsAt", json!(at(-1))),
        ("startsAt", json!("tomorrow")),
        ("endsAt", json!(at(1))),
    ] {
        let mut body = new.clone();
        body[field] = wrong.clone();
        let answer = staff.post(SCHEDULE, body).await;
        assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
        assert_eq!(answer.json()["error"]["errors"][0]["path"], field, "{wrong}");
    }
    // What is no price needs the permission for it as well.
    let hidden = json!({"gameId": game.id, "change": "VISIBLE", "value": false, "startsAt": at(1)});
    let id = created(&staff.post(SCHEDULE, hidden.clone()).await)["id"].clone();
    shop.db
        .execute("delete from staff_role_permissions where role = 'MANAGER' and permission = 'catalogue.write'")
        .await;
    assert_eq!(staff.post(SCHEDULE, hidden).await.failure().0, 403);
    let path = format!("{SCHEDULE}/{}", id.as_str().unwrap());
    assert_eq!(staff.delete(&path).await.failure().0, 403);
    let mut nowhere = new;
    nowhere["gameId"] = json!("0192f0c1-0000-7000-8000-000000000001");
    assert_eq!(staff.post(SCHEDULE, nowhere).await.failure().0, 404);
    assert_eq!(staff.get(&format!("{SCHEDULE}?state=x")).await.failure().0, 400);
}

#[tokio::test]
async fn codes_of_a_fixed_amount_say_what_they_are_restricted_to() {
    let (shop, game) = shop().await;
    let staff = member(&shop, "MANAGER").await;
    let body = json!({"code": "five", "amount": 5, "minOrder": 10, "firstOrderOnly": true, "maxUsesPerCustomer": 1,
                      "gameIds": [game.id, game.id]});
    let made = staff.post(CODES, body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let made = created(&made);
    let mut expected = json!({"code": "FIVE", "discount": 0, "amount": 5.0, "maxUses": null, "usedCount": 0,
                              "validUntil": "9999-12-31T23:59:59.999Z", "active": true, "minOrder": 10.0,
                              "firstOrderOnly": true, "maxUsesPerCustomer": 1, "gameIds": [game.id]});
    for field in ["id", "validFrom", "createdAt"] {
        expected[field] = made[field].clone();
    }
    assert_eq!(made, expected);
    let path = format!("{CODES}/{}", made["id"].as_str().unwrap());
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let order = json!({"items": [{"gameId": game.id, "quantity": 1}], "promoCode": "FIVE"});
    let placed = ada.post("/api/orders", order.clone()).await;
    assert_eq!(
        (placed.status.as_u16(), &placed.json()["data"]["total"]),
        (201, &json!(5.2))
    );
    assert_eq!(ada.post("/api/orders", order).await.failure().0, 400);
    let uses = staff.get(&format!("{path}/statistics")).await.data();
    let expected = json!({"uses": 1, "returnedUses": 0, "customers": 1, "discountGiven": 5.0, "revenue": 5.2,
                          "firstUsedAt": uses["firstUsedAt"], "lastUsedAt": uses["firstUsedAt"]});
    assert_eq!(uses, expected);
    // A form that sends back what it was shown changes nothing.
    let mut as_shown = made.clone();
    as_shown["usedCount"] = json!(1);
    let echo = json!({"code": "FIVE", "discount": 0, "maxUses": null, "active": true});
    assert_eq!(staff.put(&path, echo).await.data(), as_shown);
    assert_eq!(staff.put(&path, as_shown.clone()).await.data(), as_shown);
    // A percentage takes the amount's place, and what is cleared is gone.
    let changed = staff
        .put(&path, json!({"discount": 7.5, "minOrder": null, "firstOrderOnly": false, "maxUsesPerCustomer": null, "gameIds": []}))
        .await
        .data();
    let mut plain = made;
    for field in ["amount", "minOrder", "firstOrderOnly", "maxUsesPerCustomer", "gameIds"] {
        plain.as_object_mut().unwrap().remove(field);
    }
    (plain["discount"], plain["usedCount"]) = (json!(7.5), json!(1));
    assert_eq!(changed, plain);
    for (field, wrong) in [
        ("amount", json!(0)),
        ("amount", json!(-5)),
        ("minOrder", json!(0)),
        ("maxUsesPerCustomer", json!(0)),
        ("firstOrderOnly", json!("yes")),
        ("gameIds", json!(["x"])),
        ("gameIds", json!(["0192f0c1-0000-7000-8000-000000000001"])),
        ("genreIds", json!(["0192f0c1-0000-7000-8000-000000000001"])),
        ("platformIds", json!([7])),
    ] {
        let mut body = json!({"code": "OTHER", "amount": 5});
        body[field] = wrong.clone();
        for answer in [
            staff.post(CODES, body).await,
            staff.put(&path, json!({field: wrong})).await,
        ] {
            assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
            assert_eq!(answer.json()["error"]["errors"][0]["path"], field, "{wrong}");
        }
    }
    let both = staff
        .post(CODES, json!({"code": "BOTH", "amount": 5, "discount": 5}))
        .await;
    assert_eq!(both.json()["error"]["errors"][0]["path"], "amount");
    // What a code names is not deleted.
    let named = json!({"gameIds": [game.id]});
    assert_eq!(staff.put(&path, named).await.status, 200);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn batches_are_made_exported_counted_and_switched_off() {
    let (shop, game) = shop().await;
    let (staff, analyst) = (member(&shop, "MANAGER").await, member(&shop, "ANALYST").await);
    let body = json!({"name": "Spring", "count": 300, "prefix": "spring-", "amount": 2, "validUntil": "2099-12-31"});
    let made = staff.post(BATCHES, body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let mut batch = created(&made);
    let id = batch["id"].as_str().unwrap().to_owned();
    let expected = json!({"id": id, "name": "Spring", "codes": 300, "used": 0, "active": 300, "discountGiven": 0.0,
                          "createdAt": batch["createdAt"]});
    assert_eq!(batch, expected);
    assert_eq!(
        staff.get(CODES).await.data(),
        json!([]),
        "the list of codes stays short"
    );
    let path = format!("{BATCHES}/{id}");
    assert_eq!(analyst.get(&format!("{path}/codes")).await.failure().0, 403);
    let file = staff.get(&format!("{path}/codes")).await;
    let csv = file.text();
    let codes: Vec<&str> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert!(
        codes.len() == 300 && codes.iter().all(|code| code.len() == 23 && code.starts_with("SPRING-")),
        "{csv:.200}"
    );
    let details: String = sqlx::query_scalar("select string_agg(details::text, ' ') from audit_log")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert!(!details.contains("SPRING-"), "no code in the audit log");
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let order = |code: &str| json!({"items": [{"gameId": game.id, "quantity": 1}], "promoCode": code});
    assert_eq!(
        created(&ada.post("/api/orders", order(codes[0])).await)["total"],
        json!(8.2)
    );
    assert_eq!(
        ada.post("/api/orders", order(codes[0])).await.failure().1,
        "invalid_promo_code",
        "once each"
    );
    (batch["used"], batch["discountGiven"]) = (json!(1), json!(2.0));
    assert_eq!(staff.get(&path).await.data(), batch);
    assert_eq!(staff.get(BATCHES).await.data()["batches"], json!([batch]));
    assert_eq!(staff.get(&format!("{path}/statistics")).await.data()["uses"], 1);
    batch["active"] = json!(0);
    assert_eq!(staff.put(&path, json!({"active": false})).await.data(), batch);
    assert_eq!(
        ada.post("/api/orders", order(codes[1])).await.failure().1,
        "invalid_promo_code"
    );
    for (field, wrong) in [
        ("name", json!("")),
        ("count", json!(0)),
        ("count", json!(10_001)),
        ("prefix", json!("a b")),
        ("prefix", json!("-a")),
        ("prefix", json!("x".repeat(21))),
        ("amount", json!(0)),
        ("validUntil", json!("never")),
        ("gameIds", json!(["x"])),
    ] {
        let mut body = json!({"name": "B", "count": 1, "amount": 1});
        body[field] = wrong.clone();
        let answer = staff.post(BATCHES, body).await;
        assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
        assert_eq!(answer.json()["error"]["errors"][0]["path"], field, "{wrong}");
    }
    assert_eq!(shop.db.count("promo_batches").await, 1);
    shop.db.assert_books_balance().await;
}
