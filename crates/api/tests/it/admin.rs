//! The back office: the lists and details of the HTTP contract (`docs/http-api.md`), and what they must never contain.

use serde_json::{Value, json};

use crate::client::Client;
use crate::orders::fund;
use crate::shop::{Answered, NewGame, Shop};

/// A shop with an administrator, a customer with 100 EUR, and two games at 10.00 EUR of which the customer ordered
/// three units.
struct Sold<'s> {
    root: Client<'s>,
    ada: Client<'s>,
    user: Value,
    order: Value,
    game: Value,
}

async fn sold(shop: &Shop) -> Sold<'_> {
    let games = [NewGame::titled("Portal"), NewGame::titled("Myst")];
    shop.put(&games).await;
    let (root, ada) = (Client::new(shop), Client::new(shop));
    root.register("root@example.org").await;
    shop.db
        .execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    let user = ada.register("ada@example.org").await;
    fund(shop, &user, "100").await;
    let items = json!({"items": [{"gameId": games[0].id, "quantity": 2}, {"gameId": games[1].id, "quantity": 1}]});
    let order = ada.post("/api/orders", items).await.json()["data"].take();
    assert!(order["id"].is_string(), "{order}");
    Sold {
        root,
        ada,
        user: user["user"]["id"].clone(),
        order,
        game: json!(games[0].id),
    }
}

fn paging(answer: &Answered) -> (u64, u64, u64, u64) {
    let data = answer.data();
    let number = |name: &str| data[name].as_u64().unwrap();
    (
        number("total"),
        number("page"),
        number("pageSize"),
        number("totalPages"),
    )
}

#[tokio::test]
async fn orders_are_listed_with_their_owner_units_and_transaction() {
    let shop = Shop::open().await;
    let Sold { root, user, order, .. } = sold(&shop).await;
    let listed = root.get("/api/admin/orders").await;
    assert_eq!(paging(&listed), (1, 1, 20, 1));
    let row = listed.data()["orders"][0].clone();
    assert_eq!(
        (
            &row["id"],
            &row["userEmail"],
            &row["itemsCount"],
            &row["status"],
            &row["total"]
        ),
        (
            &order["id"],
            &json!("ada@example.org"),
            &json!(3),
            &json!("PENDING"),
            &order["total"]
        )
    );
    assert_eq!(row["items"].as_array().unwrap().len(), 2);
    let detail = root
        .get(&format!("/api/admin/orders/{}", order["id"].as_str().unwrap()))
        .await
        .data();
    assert_eq!((&detail["userId"], &detail["user"]["id"]), (&user, &user));
    assert_eq!(detail["units"].as_array().unwrap().len(), 3);
    assert!(
        detail["units"]
            .as_array()
            .unwrap()
            .iter()
            .all(|unit| unit["state"] == "NEW")
    );
    assert_eq!(detail["transaction"]["type"], "PURCHASE");
    let (paid, total) = (&detail["transaction"]["amount"], &detail["total"]);
    assert_eq!(paid.to_string(), format!("-{total}"));
    assert!(detail["items"][0]["game"]["price"].is_number());
    // Without a key, none is activated.
    assert_eq!(detail["items"][0]["keyActivated"], false);
}

#[tokio::test]
async fn orders_are_filtered_by_status_and_paged() {
    let shop = Shop::open().await;
    let Sold { root, .. } = sold(&shop).await;
    for (query, total) in [
        ("?status=PENDING", 1),
        ("?status=COMPLETED", 0),
        ("?status=REFUNDED", 0),
        ("?", 1),
    ] {
        let listed = root.get(&format!("/api/admin/orders{query}")).await;
        assert_eq!(paging(&listed).0, total, "{query}");
    }
    let beyond = root.get("/api/admin/orders?page=2&pageSize=1").await;
    assert_eq!(
        (paging(&beyond), beyond.data()["orders"].clone()),
        ((1, 2, 1, 1), json!([]))
    );
    for wrong in ["page=0", "page=x", "pageSize=1001", "pageSize=0", "page=1&page=2"] {
        let refused = root.get(&format!("/api/admin/orders?{wrong}")).await;
        assert_eq!(refused.failure().0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn users_are_found_by_part_of_email_or_name_without_wildcards() {
    let shop = Shop::open().await;
    let Sold { root, user, .. } = sold(&shop).await;
    shop.db
        .execute("update users set first_name = 'Ada', last_name = 'Lovelace' where email = 'ada@example.org'")
        .await;
    for (query, total) in [
        ("", 2),
        ("query=ADA@EX", 1),
        ("query=lovelace", 1),
        ("name=Love", 1),
        ("email=lovelace", 0),
        ("query=%25", 0),
        ("query=_", 0),
        ("query=nobody", 0),
    ] {
        let listed = root.get(&format!("/api/admin/users?{query}")).await;
        assert_eq!(paging(&listed), (total, 1, 50, total.min(1)), "{query}");
    }
    let found = root.get("/api/admin/users?query=lovelace").await.data()["users"][0].clone();
    assert_eq!(
        (&found["id"], &found["ordersCount"], &found["role"]),
        (&user, &json!(1), &json!("USER"))
    );
    assert!(!found.to_string().contains("assword"));
}

#[tokio::test]
async fn a_user_is_shown_with_their_activity() {
    let shop = Shop::open().await;
    let Sold { root, user, order, .. } = sold(&shop).await;
    let path = format!("/api/admin/users/{}", user.as_str().unwrap());
    let detail = root.get(&path).await.data();
    assert_eq!(detail["orders"][0]["id"], order["id"]);
    assert_eq!(detail["transactions"].as_array().unwrap().len(), 2);
    let all = root.get(&format!("{path}/activity")).await.data();
    assert_eq!(all["orders"].as_array().unwrap().len(), 1);
    let only = root
        .get(&format!("{path}/activity?activityType=transaction"))
        .await
        .data();
    assert_eq!(
        (&only["orders"], only["transactions"].as_array().unwrap().len()),
        (&json!([]), 2)
    );
    let before = root.get(&format!("{path}/activity?endDate=2001-01-01")).await.data();
    assert_eq!((&before["orders"], &before["transactions"]), (&json!([]), &json!([])));
    for wrong in ["activityType=x", "startDate=yesterday", "endDate=2026-02-30"] {
        assert_eq!(
            root.get(&format!("{path}/activity?{wrong}")).await.failure().0,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn transactions_are_filtered_by_method_status_day_and_reference() {
    let shop = Shop::open().await;
    let Sold { root, .. } = sold(&shop).await;
    shop.db
        .execute(
            "update transactions set created_at = '2026-03-01 23:59:59.9Z', method = 'card', transaction_hash = 'test:abc'
              where type = 'TOP_UP'",
        )
        .await;
    for (query, total) in [
        ("", 2),
        ("method=card", 1),
        ("method=car", 0),
        ("status=COMPLETED", 2),
        ("status=FAILED", 0),
        ("status=SOMETHING", 0),
        ("startDate=2026-03-01&endDate=2026-03-01", 1),
        ("startDate=2026-03-02", 1),
        ("endDate=2026-02-28", 0),
        ("transactionHash=ABC", 1),
        ("transactionHash=%25", 0),
    ] {
        let listed = root.get(&format!("/api/admin/transactions?{query}")).await;
        assert_eq!((paging(&listed).0, paging(&listed).2), (total, 100), "{query}");
    }
    let part = root.get("/api/admin/payments/transactions?method=car").await;
    assert_eq!((paging(&part).0, paging(&part).2), (1, 20));
    // By provider, and by the type of all methods of payment, as screens offer them.
    for (method, total) in [("TEST", 1), ("TERMINAL", 1), ("STRIPE", 0), ("balance", 1)] {
        let listed = root
            .get(&format!("/api/admin/payments/transactions?method={method}"))
            .await;
        assert_eq!(paging(&listed).0, total, "{method}");
    }
    let row = &part.data()["transactions"][0];
    assert_eq!(
        (&row["user"]["email"], &row["amount"]),
        (&json!("ada@example.org"), &json!(100.0))
    );
}

#[tokio::test]
async fn revenue_is_paid_orders_minus_refunds() {
    let shop = Shop::open().await;
    let Sold { root, order, .. } = sold(&shop).await;
    let before = root.get("/api/admin/dashboard").await.data();
    assert_eq!(
        (
            &before["totalUsers"],
            &before["totalOrders"],
            &before["pendingOrders"],
            &before["completedOrders"]
        ),
        (&json!(2), &json!(1), &json!(1), &json!(0))
    );
    for name in ["totalRevenue", "revenueToday", "revenueThisWeek", "revenueThisMonth"] {
        assert_eq!(before[name], order["total"], "{name}");
    }
    let days = before["salesByDay"].as_array().unwrap();
    assert_eq!((days.len(), &days[6]["revenue"]), (7, &order["total"]));
    assert!(
        days.windows(2)
            .all(|two| two[0]["date"].as_str() < two[1]["date"].as_str())
    );
    assert_eq!(before["recentOrders"][0]["userEmail"], "ada@example.org");
    let cancel = format!("/api/admin/orders/{}/cancel", order["id"].as_str().unwrap());
    assert_eq!(root.post(&cancel, json!({})).await.status, 200);
    let after = root.get("/api/admin/dashboard").await.data();
    assert_eq!(
        (&after["totalRevenue"], &after["revenueToday"]),
        (&json!(0.0), &json!(0.0))
    );
}

#[tokio::test]
async fn carts_and_wishlists_are_shown_as_their_owner_sees_them() {
    let shop = Shop::open().await;
    let Sold {
        root, ada, user, game, ..
    } = sold(&shop).await;
    assert_eq!(paging(&root.get("/api/admin/carts").await).0, 0);
    ada.post("/api/cart", json!({"gameId": game, "quantity": 2})).await;
    ada.post("/api/wishlist", json!({"gameId": game})).await;
    let carts = root.get("/api/admin/carts?email=ADA").await;
    let row = carts.data()["carts"][0].clone();
    assert_eq!(
        (paging(&carts).0, &row["userId"], &row["itemCount"]),
        (1, &user, &json!(2))
    );
    assert_eq!(paging(&root.get("/api/admin/carts?hasItems=false").await).0, 0);
    for list in ["carts", "wishlists"] {
        let beyond = root.get(&format!("/api/admin/{list}?page=3")).await;
        assert_eq!(
            (paging(&beyond).0, beyond.data()[list].clone()),
            (1, json!([])),
            "{list}"
        );
    }
    let id = user.as_str().unwrap();
    let shown = root.get(&format!("/api/admin/carts/user/{id}")).await.data();
    assert_eq!(shown, ada.get("/api/cart").await.data());
    let wishlists = root.get(&format!("/api/admin/wishlists?userId={id}")).await;
    assert_eq!(wishlists.data()["wishlists"][0]["itemCount"], 1);
    let shown = root.get(&format!("/api/admin/wishlists/user/{id}")).await.data();
    assert_eq!(shown, ada.get("/api/wishlist").await.data());
    assert_eq!(root.get("/api/admin/carts?userId=x").await.failure().0, 400);
}

#[tokio::test]
async fn games_are_listed_and_taxonomies_counted() {
    let shop = Shop::open().await;
    let Sold { root, game, .. } = sold(&shop).await;
    let listed = root.get("/api/admin/games?page=1&pageSize=1000").await;
    assert_eq!(paging(&listed), (2, 1, 1000, 1));
    let detail = root
        .get(&format!("/api/admin/games/{}", game.as_str().unwrap()))
        .await
        .data();
    assert_eq!(detail["title"], "Portal");
    assert_eq!(detail["releaseDate"].as_str().unwrap().len(), "2026-11-29".len());
    for names in ["categories", "genres", "platforms", "tags"] {
        let all = root.get(&format!("/api/admin/{names}")).await.data();
        for one in all.as_array().unwrap() {
            assert!(one["gamesCount"].as_u64().unwrap() > 0, "{one}");
        }
    }
    let status = root.get("/api/admin/g2a/status").await.data();
    assert_eq!(status["syncInProgress"], false);
    let progress = root.get("/api/admin/g2a/sync-progress").await.data();
    assert_eq!(
        (&progress["inProgress"], &progress["startedAt"]),
        (&json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn missing_records_are_404_for_staff_and_403_for_others() {
    let shop = Shop::open().await;
    let Sold { root, ada, .. } = sold(&shop).await;
    let nobody = "0192f0c1-0000-7000-8000-000000000001";
    for path in [
        format!("orders/{nobody}"),
        format!("users/{nobody}"),
        format!("users/{nobody}/activity"),
        format!("carts/user/{nobody}"),
        format!("wishlists/user/{nobody}"),
        format!("games/{nobody}"),
        "no-such-thing".to_owned(),
        "no/such/thing".to_owned(),
    ] {
        let path = format!("/api/admin/{path}");
        assert_eq!(root.get(&path).await.failure().0, 404, "{path}");
        assert_eq!(ada.get(&path).await.failure(), (403, "forbidden".into()), "{path}");
        assert_eq!(Client::new(&shop).get(&path).await.failure().0, 403, "{path}");
    }
}
