//! The bearer token form of authorization.

use std::sync::Arc;

use lockstep_domain::Secret;
use lockstep_g2a::{Auth, Client, Error, NotSent, Outcome, ProductQuery, Repeat, TokenFailure, Unlimited};

use crate::config;
use crate::server::{Answer, Server, error, json};

const EMPTY: &str = r#"{"total": 0, "page": 1, "docs": []}"#;

fn token(text: &str, expires_in: u32) -> Answer {
    json(
        200,
        format!(r#"{{"access_token":"{text}","token_type":"Bearer","expires_in":{expires_in}}}"#),
    )
}

fn client(api: &Server, tokens: &Server) -> Client {
    let mut config = config(api);
    config.auth = Some(Auth::OAuth {
        token_url: tokens.url("/oauth/token"),
        client_id: Secret::new("shop id"),
        client_secret: Secret::new("s&cret"),
    });
    Client::new(config, Arc::new(Unlimited)).unwrap()
}

fn everything() -> ProductQuery {
    ProductQuery::default()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_reused_until_it_expires() {
    let api = Server::start(vec![json(200, EMPTY); 3]).await;
    let tokens = Server::start([token("first", 3600)]).await;
    let client = client(&api, &tokens);
    for _ in 0..3 {
        client.products(&everything()).await.unwrap();
    }
    assert!(
        api.seen()
            .iter()
            .all(|seen| seen.header("authorization") == Some("Bearer first"))
    );
    let seen = tokens.seen();
    assert_eq!((seen.len(), seen[0].line()), (1, "POST /oauth/token HTTP/1.1"));
    assert_eq!(
        seen[0].body,
        "grant_type=client_credentials&client_id=shop+id&client_secret=s%26cret"
    );
}

#[tokio::test]
async fn concurrent_callers_share_one_token_request() {
    let api = Server::start(vec![json(200, EMPTY); 8]).await;
    let tokens = Server::start([token("first", 3600), token("second", 3600)]).await;
    let client = client(&api, &tokens);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        calls.spawn(async move { client.products(&everything()).await.map(|page| page.total) });
    }
    for result in calls.join_all().await {
        assert_eq!(result.unwrap(), 0);
    }
    assert_eq!((api.count(), tokens.count()), (8, 1));
}

#[tokio::test]
async fn an_expired_token_is_replaced_before_it_is_used() {
    let api = Server::start([json(200, EMPTY), json(200, EMPTY)]).await;
    let tokens = Server::start([token("first", 0), token("second", 3600)]).await;
    let client = client(&api, &tokens);
    client.products(&everything()).await.unwrap();
    client.products(&everything()).await.unwrap();
    let used: Vec<_> = api
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(used, ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let api = Server::start([
        error(401, "AUTH02"),
        json(200, EMPTY),
        error(401, "AUTH02"),
        error(401, "AUTH02"),
    ])
    .await;
    let tokens = Server::start([token("first", 3600), token("second", 3600), token("third", 3600)]).await;
    let client = client(&api, &tokens);
    client.products(&everything()).await.unwrap();
    assert_eq!(api.seen()[1].header("authorization"), Some("Bearer second"));
    let error = client.products(&everything()).await.unwrap_err();
    assert_eq!((error.status(), error.repeat()), (Some(401), Repeat::Never));
    assert_eq!((api.count(), tokens.count()), (4, 3));
}

#[tokio::test]
async fn refusals_unrelated_to_the_token_fetch_none() {
    let api = Server::start([error(401, "AUTH03")]).await;
    let tokens = Server::start([token("first", 3600)]).await;
    assert_eq!(
        client(&api, &tokens)
            .products(&everything())
            .await
            .unwrap_err()
            .repeat(),
        Repeat::Never
    );
    assert_eq!((api.count(), tokens.count()), (1, 1));
}

#[tokio::test]
async fn payments_and_keys_with_a_refused_token_are_left_to_the_caller() {
    let api = Server::start([error(401, "AUTH02"), error(401, "AUTH02"), json(200, r#"{"key":"A"}"#)]).await;
    let tokens = Server::start([token("first", 3600), token("second", 3600), token("third", 3600)]).await;
    let client = client(&api, &tokens);
    for error in [
        client.pay("1").await.unwrap_err(),
        client.key_bytes("1").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::TokenRejected { .. }), "{error:?}");
        assert_eq!(
            (error.repeat(), error.outcome()),
            (Repeat::Safe(None), Outcome::Refused)
        );
    }
    assert_eq!(api.count(), 2);
    client.key_bytes("1").await.unwrap();
    assert_eq!(api.seen()[2].header("authorization"), Some("Bearer third"));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    for (answer, failure, repeat) in [
        (error(401, "X"), TokenFailure::Refused { status: 401 }, Repeat::Never),
        (json(500, ""), TokenFailure::Unavailable, Repeat::Safe(None)),
        (Answer::Break, TokenFailure::Unavailable, Repeat::Safe(None)),
        (
            Answer::Half(200, "{".into()),
            TokenFailure::Unavailable,
            Repeat::Safe(None),
        ),
        (
            json(200, r#"{"token":"x"}"#),
            TokenFailure::Unreadable,
            Repeat::Safe(None),
        ),
        (json(302, ""), TokenFailure::Refused { status: 302 }, Repeat::Never),
    ] {
        let api = Server::start([]).await;
        let tokens = Server::start([answer]).await;
        let error = client(&api, &tokens).pay("1").await.unwrap_err();
        assert_eq!((error.repeat(), error.outcome()), (repeat, Outcome::NotSent));
        assert!(
            matches!(error, Error::NotSent { reason: NotSent::Token(ref seen), .. } if *seen == failure),
            "{error:?}"
        );
        assert_eq!(api.count(), 0);
    }
}

#[tokio::test]
async fn errors_and_debug_output_hide_token_and_credentials() {
    let api = Server::start([error(401, "AUTH02")]).await;
    let tokens = Server::start([token("top-token", 3600)]).await;
    let client = client(&api, &tokens);
    let shown = format!("{:?} {client:?}", client.pay("1").await);
    for secret in ["top-token", "shop id", "s&cret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
