//! An account is deleted while its other tabs continue: afterwards it owns nothing.

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::client::{Client, PASSWORD};
use crate::shop::{NewGame, Shop};

/// Tables in which a deleted account must have no rows.
const OWNED: &[&str] = &[
    "cart_items",
    "wishlist",
    "stock_alerts",
    "user_sessions",
    "user_totp",
    "one_time_codes",
    "login_history",
    "mail_outbox",
];

async fn left(shop: &Shop, user: &str) -> Vec<(String, i64)> {
    let mut left = Vec::new();
    let questions = OWNED
        .iter()
        .map(|table| (*table, format!("select count(*) from {table} where user_id = '{user}'")))
        .chain([
            (
                "idempotency_keys",
                format!("select count(*) from idempotency_keys where owner = '{user}'"),
            ),
            (
                "payable top-ups",
                format!("select count(*) from top_ups where user_id = '{user}' and (status = 'PENDING' or redirect_url is not null)"),
            ),
            (
                "open orders",
                format!("select count(*) from orders where user_id = '{user}' and status in ('PENDING', 'PROCESSING')"),
            ),
        ]);
    for (what, question) in questions {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(question))
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
        if count > 0 {
            left.push((what.to_owned(), count));
        }
    }
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writes_during_account_deletion_leave_nothing_behind() {
    let shop = Shop::open_with_limits(false).await;
    let games: Vec<NewGame> = (0..4).map(|n| NewGame::titled(&format!("Game {n}"))).collect();
    let gone = NewGame::titled("Gone").with(|game| game.in_stock = false);
    shop.put(&games).await;
    shop.put(std::slice::from_ref(&gone)).await;
    for round in 0..6 {
        let ada = Client::new(&shop);
        let data = ada.register(&format!("ada{round}@example.org")).await;
        let user: String = data["user"]["id"].as_str().unwrap().to_owned();
        // A money record keeps the account's row.
        shop.db
            .execute(&format!(
                "insert into top_ups (user_id, amount, method, provider, status) values ('{user}', 1, 'card', 'test', 'FAILED')"
            ))
            .await;
        let refresh = data["refreshToken"].clone();
        let mut calls: Vec<(&str, String, Value)> = vec![
            ("POST", "/api/cart".into(), json!({"gameId": games[0].id})),
            ("PUT", format!("/api/cart/{}", games[1].id), json!({"quantity": 2})),
            ("POST", "/api/wishlist".into(), json!({"gameId": games[2].id})),
            ("POST", "/api/payment/balance-top-up".into(), json!({"amount": 10})),
            ("POST", format!("/api/user/stock-alerts/{}", gone.id), json!({})),
            (
                "POST",
                "/api/checkout".into(),
                json!({"items": [{"gameId": games[3].id, "quantity": 2}]}),
            ),
            (
                "POST",
                "/api/orders".into(),
                json!({"items": [{"gameId": games[3].id, "quantity": 1}]}),
            ),
            ("POST", "/api/auth/send-verification-code".into(), json!({})),
            ("POST", "/api/user/second-factor".into(), json!({"password": PASSWORD})),
            ("POST", "/api/auth/refresh".into(), json!({"refreshToken": refresh})),
            (
                "POST",
                "/api/auth/login".into(),
                json!({"email": format!("ada{round}@example.org"), "password": PASSWORD}),
            ),
        ];
        // A password change in time keeps the account.
        if round == 5 {
            let body = json!({"currentPassword": PASSWORD, "newPassword": "Other-Horse-2"});
            calls.push(("PUT", "/api/user/password".into(), body));
        }
        let tabs = calls.iter().cycle().take(calls.len() * 3).map(|(method, path, body)| {
            let key = Uuid::new_v4().to_string();
            let ada = &ada;
            async move {
                let headers = [("idempotency-key", key.as_str())];
                (
                    *method,
                    path,
                    ada.send_with(method, path, body.to_string(), &headers).await,
                )
            }
        });
        let leave = async {
            let body = json!({"password": PASSWORD, "giveUpBalance": true}).to_string();
            ada.send("DELETE", "/api/user/account", body).await
        };
        let (answers, left_with) = tokio::join!(join_all(tabs), leave);
        for (method, path, answer) in answers {
            assert!(
                answer.status.as_u16() < 500,
                "{method} {path}: {} {}",
                answer.status,
                answer.json()
            );
        }
        if left_with.status != 200 {
            // The password was changed in time: the account exists.
            assert!(
                matches!(left_with.status.as_u16(), 400 | 401 | 409),
                "{} {}",
                left_with.status,
                left_with.json()
            );
            continue;
        }
        let left = left(&shop, &user).await;
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
    shop.db.assert_books_balance().await;
}
