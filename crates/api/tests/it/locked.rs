//! Rows that another transaction locks for long: an administrator in `psql`, an import, a stuck backup.

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::client::Client;
use crate::orders::fund;
use crate::shop::{Answered, NewGame, Shop};

const BUYERS: usize = 30;

fn one(game: &NewGame) -> Value {
    json!({"items": [{"gameId": game.id, "quantity": 1}]})
}

/// A user with a balance.
async fn member<'s>(shop: &'s Shop, name: &str) -> (Client<'s>, Value) {
    let client = Client::new(shop);
    let user = client.register(&format!("{name}@example.org")).await;
    fund(shop, &user, "10000").await;
    (client, user)
}

/// Locks the rows that a query selects until the transaction is dropped.
async fn hold(shop: &Shop, question: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = shop.db.sql.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(format!("{question} for update")))
        .fetch_all(&mut *held)
        .await
        .unwrap();
    held
}

/// What other clients do meanwhile, repeatedly: read pages, run uncached searches, check readiness, buy.
async fn others_go_on(shop: &Shop, other: &Client<'_>, game: &NewGame, round: usize) {
    for path in [
        "/api/games/random",
        "/readyz",
        &format!("/api/games?pageSize={}", 1 + round),
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, 200, "{path} in round {round}");
    }
    let answer = other.post("/api/orders", one(game)).await;
    assert_eq!(answer.status, 201, "round {round}: {}", answer.json());
    let answer = other.post("/api/cart", json!({"gameId": game.id})).await;
    assert_eq!(answer.status, 201, "round {round}: {}", answer.json());
}

fn asks_for_retry(answer: &Answered) {
    assert_eq!(answer.failure(), (503, "try_again".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(
        answer.json()["error"]["message"],
        "This is being changed at the moment. Try again in a few seconds."
    );
}

#[tokio::test]
async fn a_locked_game_delays_only_its_own_buyers() {
    let shop = Shop::open_with_limits(false).await;
    let (locked, free) = (NewGame::titled("Locked"), NewGame::titled("Free"));
    shop.put(&[locked.clone(), free.clone()]).await;
    let (other, _) = member(&shop, "other").await;
    let mut buyers = Vec::new();
    for number in 0..BUYERS {
        buyers.push(member(&shop, &format!("buyer{number}")).await.0);
    }
    let held = hold(&shop, &format!("select from games where id = '{}'", locked.id)).await;
    let waiting = join_all(buyers.iter().map(|buyer| buyer.post("/api/orders", one(&locked))));
    let going_on = async {
        for round in 0..5 {
            others_go_on(&shop, &other, &free, round).await;
        }
    };
    let (answers, ()) = tokio::join!(waiting, going_on);
    answers.iter().for_each(asks_for_retry);
    held.rollback().await.unwrap();
    for answer in join_all(
        buyers
            .iter()
            .take(5)
            .map(|buyer| buyer.post("/api/orders", one(&locked))),
    )
    .await
    {
        assert_eq!(answer.status, 201, "{}", answer.json());
    }
}

#[tokio::test]
async fn a_locked_shopper_delays_no_other_shopper() {
    let shop = Shop::open_with_limits(false).await;
    let free = NewGame::titled("Free");
    shop.put(std::slice::from_ref(&free)).await;
    let (other, _) = member(&shop, "other").await;
    let (ada, user) = member(&shop, "ada").await;
    let id = user["user"]["id"].as_str().unwrap();
    let held = hold(
        &shop,
        &format!("select from shoppers join users using (id) where id = '{id}'"),
    )
    .await;
    let waiting = join_all((0..BUYERS).map(|number| {
        let (ada, free) = (&ada, &free);
        async move {
            match number % 3 {
                0 => ada.post("/api/orders", one(free)).await,
                1 => ada.post("/api/cart", json!({"gameId": free.id})).await,
                _ => ada.post("/api/wishlist", json!({"gameId": free.id})).await,
            }
        }
    }));
    let going_on = async {
        for round in 0..5 {
            others_go_on(&shop, &other, &free, round).await;
        }
    };
    let (answers, ()) = tokio::join!(waiting, going_on);
    answers.iter().for_each(asks_for_retry);
    // Reads of the locked shopper still succeed.
    assert_eq!(ada.get("/api/cart").await.status, 200);
    held.rollback().await.unwrap();
    assert_eq!(ada.post("/api/orders", one(&free)).await.status, 201);
}
