//! Concurrent first writes of one browser create one guest, and the token that ensures it is useless to other clients.

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::shop::{NewGame, Shop};

async fn games(shop: &Shop, count: usize) -> Vec<Uuid> {
    let games: Vec<NewGame> = (0..count).map(|n| NewGame::titled(&format!("Game {n}"))).collect();
    shop.put(&games).await;
    games.iter().map(|game| game.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_writes_of_one_browser_create_one_guest() {
    let shop = Shop::open().await;
    let other_process = shop.another_process().await;
    let games = games(&shop, 12).await;
    for _ in 0..3 {
        let browser = Client::new(&shop);
        browser.get("/api/cart").await;
        let token = browser.guest_token().expect("a token before the first write");
        // The same browser at both processes, before it has received a response.
        let tabs: Vec<Client<'_>> = (0..games.len())
            .map(|n| {
                let tab = Client::new(if n % 2 == 0 { &shop } else { &other_process });
                tab.set_guest_token(Some(&token));
                tab
            })
            .collect();
        let adds = tabs.iter().zip(&games).enumerate().map(|(n, (tab, game))| async move {
            let path = if n % 3 == 0 { "/api/wishlist" } else { "/api/cart" };
            tab.post(path, json!({"gameId": game})).await
        });
        let answers = join_all(adds).await;
        assert!(answers.iter().all(|answer| answer.status == 201));
        let session = tabs[0].session().expect("each answer brings the session");
        assert!(tabs.iter().all(|tab| tab.session().as_ref() == Some(&session)));
        assert!(!token.contains(&session.replace('-', "")), "the token does not say it");
        browser.set_session(Some(&session));
        assert_eq!((browser.cart().await.len(), browser.wishlist().await.len()), (8, 4));
    }
    assert_eq!(shop.db.count("guest_sessions").await, 3);
}

#[tokio::test]
async fn a_guest_token_does_not_join_an_established_guest() {
    let shop = Shop::open().await;
    let games = games(&shop, 2).await;
    let victim = Client::new(&shop);
    victim.get("/api/cart").await;
    let token = victim.guest_token().unwrap();
    victim.post("/api/cart", json!({"gameId": games[0]})).await;
    shop.db
        .execute("update guest_sessions set created_at = created_at - interval '61 seconds'")
        .await;
    let thief = Client::new(&shop);
    thief.set_guest_token(Some(&token));
    assert_eq!(thief.cart().await, [], "a token is no session");
    let answer = thief.post("/api/cart", json!({"gameId": games[1]})).await;
    assert_eq!(answer.status, 201);
    assert_ne!(thief.session(), victim.session());
    assert_eq!((thief.cart().await.len(), victim.cart().await.len()), (1, 1));
    thief.delete("/api/cart").await;
    assert_eq!(victim.cart().await.len(), 1);
}

#[tokio::test]
async fn forged_guest_tokens_are_ignored() {
    let shop = Shop::open().await;
    let games = games(&shop, 1).await;
    let victim = Client::new(&shop);
    victim.get("/api/cart").await;
    let token = victim.guest_token().unwrap();
    victim.post("/api/cart", json!({"gameId": games[0]})).await;
    let session = victim.session().unwrap();
    let (nonce, rest) = token.split_once('.').unwrap();
    let (until, seal) = rest.split_once('.').unwrap();
    let zeros = "0".repeat(seal.len());
    for forged in [
        session.clone(),
        session.replace('-', ""),
        format!("{nonce}.{until}.{zeros}"),
        format!("{}.{until}.{seal}", session.replace('-', "")),
        format!("{nonce}.9999999999.{seal}"),
        "..".to_owned(),
    ] {
        let forger = Client::new(&shop);
        forger.set_guest_token(Some(&forged));
        let answer = forger.post("/api/cart", json!({"gameId": games[0]})).await;
        assert_eq!(answer.status, 201, "{forged}");
        assert_ne!(forger.session(), Some(session.clone()), "{forged}");
    }
    assert_eq!(victim.cart().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_concurrent_registrations_all_succeed() {
    let shop = Shop::open_with_limits(false).await;
    let people: Vec<Client<'_>> = (0..40).map(|_| Client::new(&shop)).collect();
    let names: Vec<String> = (0..40).map(|n| format!("p{n}@example.org")).collect();
    join_all(people.iter().zip(&names).map(|(person, name)| person.register(name))).await;
    assert_eq!(shop.db.count("users").await, 40);
}
