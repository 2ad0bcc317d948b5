//! `/api/admin/promo-codes`: the exact JSON, each wrong field, and that uses stay exact whatever staff do.

use serde_json::{Value, json};

use crate::client::Client;
use crate::orders::fund;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

const CODES: &str = "/api/admin/promo-codes";

async fn make(staff: &Client<'_>, body: Value) -> Value {
    let made = staff.post(CODES, body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    made.json()["data"].take()
}

#[tokio::test]
async fn codes_are_created_listed_changed_and_deleted() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    assert_eq!(staff.get(CODES).await.data(), json!([]));
    let made = make(
        &staff,
        json!({"code": "summer-27", "discount": 12.50, "maxUses": 3, "validFrom": "2020-06-01T10:00:00.000Z",
               "validUntil": "2099-08-31", "unknown": true}),
    )
    .await;
    let id = made["id"].as_str().unwrap();
    let created = made["createdAt"].as_str().unwrap();
    let expected = json!({
        "id": id, "code": "SUMMER-27", "discount": 12.5, "maxUses": 3, "usedCount": 0,
        "validFrom": "2020-06-01T10:00:00.000Z", "validUntil": "2099-08-31T23:59:59.999Z", "active": true,
        "createdAt": created
    });
    assert_eq!(made, expected);
    assert_eq!(staff.get(CODES).await.data(), json!([expected]));
    let path = format!("{CODES}/{id}");
    assert_eq!(staff.get(&path).await.data(), expected);
    // What a form leaves out stays, and null clears.
    let changed = staff
        .put(&path, json!({"discount": 5, "maxUses": null, "active": false}))
        .await;
    let mut expected = expected;
    expected["discount"] = json!(5);
    expected["maxUses"] = Value::Null;
    expected["active"] = json!(false);
    assert_eq!(changed.data(), expected);
    let changed = staff
        .put(
            &path,
            json!({"code": "winter", "validUntil": null, "validFrom": "2021-01-01T00:00"}),
        )
        .await;
    expected["code"] = json!("WINTER");
    expected["validUntil"] = json!("9999-12-31T23:59:59.999Z");
    expected["validFrom"] = json!("2021-01-01T00:00:00.000Z");
    assert_eq!(changed.data(), expected);
    assert_eq!(staff.put(&path, json!({})).await.data(), expected, "nothing to change");
    let deleted = staff.delete(&path).await.json();
    assert_eq!(
        deleted,
        json!({"success": true, "message": "The promo code is deleted"})
    );
    for gone in [
        staff.delete(&path).await,
        staff.get(&path).await,
        staff.put(&path, json!({})).await,
    ] {
        assert_eq!(gone.failure(), (404, "not_found".into()));
    }
    let deeds: Vec<String> = sqlx::query_scalar(
        "select action || ' ' || (details ? 'before' or details ->> 'code' in ('SUMMER-27', 'WINTER')) from audit_log
          where admin_id is not null order by at",
    )
    .fetch_all(&shop.db.sql)
    .await
    .unwrap();
    assert_eq!(
        deeds,
        [
            "promo.create true",
            "promo.change true",
            "promo.change true",
            "promo.delete true"
        ]
    );
}

#[tokio::test]
async fn each_wrong_field_is_named() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    let fine = json!({"code": "FINE", "discount": 10});
    let made = make(&staff, fine.clone()).await;
    assert_eq!(
        (&made["maxUses"], &made["validUntil"]),
        (&Value::Null, &json!("9999-12-31T23:59:59.999Z"))
    );
    let path = format!("{CODES}/{}", made["id"].as_str().unwrap());
    for (field, wrong) in [
        ("code", json!("x")),
        ("code", json!("A B")),
        ("code", json!("A\u{0}B")),
        ("code", json!("ÄÖÜ")),
        ("code", json!("x".repeat(41))),
        ("code", json!(7)),
        ("discount", json!(0)),
        ("discount", json!(-5)),
        ("discount", json!(100.01)),
        ("discount", json!(1.005)),
        ("discount", json!("10")),
        ("maxUses", json!(0)),
        ("maxUses", json!(-1)),
        ("maxUses", json!(1.5)),
        ("maxUses", json!(3_000_000_000_i64)),
        ("validFrom", json!("yesterday")),
        ("validUntil", json!("2027-02-30")),
        ("validUntil", json!("1999-01-01")),
        ("active", json!("yes")),
    ] {
        let mut body = json!({"code": "OTHER", "discount": 10});
        body[field] = wrong.clone();
        for answer in [
            staff.post(CODES, body).await,
            staff.put(&path, json!({field: wrong})).await,
        ] {
            assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
            assert_eq!(answer.json()["error"]["errors"][0]["path"], field, "{field} {wrong}");
        }
    }
    for missing in ["code", "discount"] {
        let mut body = fine.clone();
        body.as_object_mut().unwrap().remove(missing);
        let answer = staff.post(CODES, body).await;
        assert_eq!(
            answer.json()["error"]["errors"][0],
            json!({"path": missing, "code": "required", "msg": "This field is required"})
        );
    }
    make(&staff, json!({"code": "SECOND", "discount": 1})).await;
    for taken in [
        staff.post(CODES, fine).await,
        staff.put(&path, json!({"code": "second"})).await,
    ] {
        assert_eq!(taken.failure(), (400, "promo_code_exists".into()));
    }
    assert_eq!(staff.get(&format!("{CODES}/x")).await.failure().0, 400);
    assert_eq!(shop.db.count("promo_codes").await, 2);
}

#[tokio::test]
async fn used_codes_keep_their_uses_and_their_name_and_are_not_deleted() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let made = make(&staff, json!({"code": "HALF", "discount": 50, "maxUses": 2})).await;
    let path = format!("{CODES}/{}", made["id"].as_str().unwrap());
    make(
        &staff,
        json!({"code": "OLD", "discount": 50, "validFrom": "2020-01-01", "validUntil": "2020-01-31"}),
    )
    .await;
    make(
        &staff,
        json!({"code": "LATER", "discount": 50, "validFrom": "2090-01-01"}),
    )
    .await;
    let order = async || {
        let body = json!({"items": [{"gameId": game.id, "quantity": 1}], "promoCode": "half"});
        ada.post("/api/orders", body).await
    };
    assert_eq!(order().await.status, 201);
    let statistics = async || staff.get(&format!("{CODES}/statistics")).await.data();
    assert_eq!(
        statistics().await,
        json!({"totalCodes": 3, "activeCodes": 1, "expiredCodes": 1, "totalUses": 1, "totalDiscountGiven": 5.0,
               "mostUsedCode": {"code": "HALF", "uses": 1}})
    );
    assert_eq!(staff.get(&path).await.data()["usedCount"], 1);
    for refused in [
        staff.delete(&path).await,
        staff.put(&path, json!({"code": "OTHER"})).await,
    ] {
        assert_eq!(refused.failure(), (409, "promo_code_in_use".into()));
    }
    // The form may send the unchanged name, and a count that it cannot set.
    let body = json!({"code": "half", "discount": 10, "usedCount": 0, "maxUses": 1});
    assert_eq!(staff.put(&path, body).await.data()["usedCount"], 1);
    assert_eq!(order().await.failure(), (400, "invalid_promo_code".into()), "used up");
    assert_eq!(staff.put(&path, json!({"maxUses": 2})).await.status, 200);
    assert_eq!(order().await.status, 201);
    let below = staff.put(&path, json!({"maxUses": 1})).await;
    assert_eq!(below.json()["error"]["errors"][0]["path"], "maxUses");
    assert_eq!(
        statistics().await["totalDiscountGiven"],
        json!(6.0),
        "the first order keeps its price"
    );
    assert_eq!(shop.db.count("orders where promo_code = 'HALF'").await, 2);
    shop.db.assert_books_balance().await;
}

/// While customers use a code as fast as they can, staff change and try to delete it: not one use is lost or given twice.
#[tokio::test(flavor = "multi_thread")]
async fn uses_are_exact_while_staff_change_the_code() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let made = make(&staff, json!({"code": "MANY", "discount": 10, "maxUses": 5})).await;
    let path = format!("{CODES}/{}", made["id"].as_str().unwrap());
    let mut buyers = Vec::new();
    for number in 0..4 {
        let buyer = Client::at(&shop, &format!("203.0.113.{number}"));
        let user = buyer.register(&format!("{number}@example.org")).await;
        fund(&shop, &user, "500").await;
        buyers.push(buyer);
    }
    // Used once, it can no longer be deleted.
    let first = json!({"items": [{"gameId": game.id, "quantity": 1}], "promoCode": "MANY"});
    assert_eq!(buyers[0].post("/api/orders", first).await.status, 201);
    let buying = futures::future::join_all(buyers.iter().map(async |buyer| {
        let mut placed = 0;
        for _ in 0..5 {
            let body = json!({"items": [{"gameId": game.id, "quantity": 1}], "promoCode": "MANY"});
            let answer = buyer.post("/api/orders", body).await;
            assert!(
                !answer.status.is_server_error() || answer.status == 503,
                "{}",
                answer.json()
            );
            placed += i64::from(answer.status == 201);
        }
        placed
    }));
    let changing = async {
        for round in 0..15 {
            let body = json!({"discount": 1 + round, "maxUses": 5 + round % 3, "active": round % 4 != 3});
            let answer = staff.put(&path, body).await;
            assert!([200, 400, 503].contains(&answer.status.as_u16()), "{}", answer.json());
            assert!([409, 503].contains(&staff.delete(&path).await.status.as_u16()));
        }
    };
    let (placed, ()) = futures::join!(buying, changing);
    let placed = 1 + placed.into_iter().sum::<i64>();
    assert_eq!(shop.db.count("orders where promo_code = 'MANY'").await, placed);
    let used = shop
        .db
        .count(&format!(
            "promo_codes where code = 'MANY' and used_count = {placed} and used_count <= max_uses"
        ))
        .await;
    assert_eq!(used, 1, "{placed} orders");
    shop.db.assert_books_balance().await;
}
