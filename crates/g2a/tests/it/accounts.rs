//! Credentials that change while the client is in use.

use std::sync::Arc;

use lockstep_domain::Secret;
use lockstep_domain::admin::account_mark;
use lockstep_g2a::{Auth, Client, Error, NewOrder, NotSent, Outcome, ProductQuery, Repeat, Unlimited};

use crate::server::{Server, json};
use crate::{client, config};

const EMPTY: &str = r#"{"total": 0, "page": 1, "docs": []}"#;
const NEW: &str = r#"{"status": "new", "price": 1, "currency": "EUR"}"#;

fn account(name: &str, secret: &str) -> Auth {
    Auth::Hash {
        api_hash: Secret::new(name),
        email: "shop@example.org".into(),
        secret: Secret::new(secret),
    }
}

/// The client ids of the accounts that made the calls.
fn callers(server: &Server) -> Vec<String> {
    let caller = |seen: &crate::server::Seen| {
        let header = seen.header("authorization").unwrap().to_owned();
        header.split(',').next().unwrap().to_owned()
    };
    server.seen().iter().map(caller).collect()
}

#[tokio::test]
async fn calls_are_made_for_the_account_in_use_and_those_about_orders_for_theirs() {
    let created = r#"{"order_id": "7", "price": 1, "currency": "EUR"}"#;
    let server = Server::start([
        json(200, created),
        json(200, NEW),
        json(200, EMPTY),
        json(200, NEW),
        json(200, NEW),
    ])
    .await;
    let client = client(&server);
    client.set_accounts(Some(&account("first", "a")), &[]).unwrap();
    let order = NewOrder {
        product_id: "1".into(),
        currency: "EUR".into(),
        max_price: None,
    };
    let placing = client.pinned();
    placing.create_order(&order).await.unwrap();
    let mark = placing.account();
    assert_eq!(mark, Some(account_mark("first")));

    client
        .set_accounts(Some(&account("second", "b")), &[account("first", "a2")])
        .unwrap();
    client.of_account(mark.as_deref()).order_details("7").await.unwrap();
    client.products(&ProductQuery::default()).await.unwrap();
    // An account that is forgotten is not mistaken for the one in use, which would be told that there is no such order.
    client.set_accounts(Some(&account("second", "b")), &[]).unwrap();
    let forgotten = client.of_account(mark.as_deref());
    let errors = [
        forgotten.order_details("7").await.unwrap_err(),
        forgotten.pay("7").await.unwrap_err(),
        forgotten.key_bytes("7").await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(&error, Error::NotSent { reason: NotSent::UnknownAccount(of), .. } if Some(of) == mark.as_ref()),
            "{error:?}"
        );
        assert_eq!((error.outcome(), error.repeat()), (Outcome::NotSent, Repeat::Never));
    }
    client.of_account(None).order_details("7").await.unwrap();
    placing.order_details("7").await.unwrap();
    assert_eq!(callers(&server), ["first", "first", "second", "second", "first"]);
    let signatures: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").unwrap().to_owned())
        .collect();
    assert_ne!(signatures[0], signatures[1], "with the newest secret of the account");
    assert_eq!(signatures[0], signatures[4], "what began with a secret ends with it");
}

#[tokio::test]
async fn a_token_of_former_credentials_is_thrown_away() {
    let api = Server::start([json(200, EMPTY), json(200, EMPTY)]).await;
    let token = |text: &str| {
        json(
            200,
            format!(r#"{{"access_token":"{text}","token_type":"bearer","expires_in":3600}}"#),
        )
    };
    let tokens = Server::start([token("first"), token("second")]).await;
    let auth = |secret: &str| Auth::OAuth {
        token_url: tokens.url("/oauth/token"),
        client_id: Secret::new("shop"),
        client_secret: Secret::new(secret),
    };
    let mut settings = config(&api);
    settings.auth = Some(auth("a"));
    let client = Client::new(settings, Arc::new(Unlimited)).unwrap();
    client.products(&ProductQuery::default()).await.unwrap();
    client.set_accounts(Some(&auth("b")), &[]).unwrap();
    client.products(&ProductQuery::default()).await.unwrap();
    assert_eq!(callers(&api), ["Bearer first", "Bearer second"]);
    assert!(tokens.seen()[1].body.ends_with("client_secret=b"));
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_invalid_ones_change_nothing() {
    let server = Server::start([json(200, EMPTY)]).await;
    let mut settings = config(&server);
    settings.auth = None;
    let client = Client::new(settings, Arc::new(Unlimited)).unwrap();
    let error = client.products(&ProductQuery::default()).await.unwrap_err();
    assert!(matches!(
        &error,
        Error::NotSent {
            reason: NotSent::NoCredentials,
            ..
        }
    ));
    assert_eq!((error.outcome(), error.repeat()), (Outcome::NotSent, Repeat::Never));
    client.set_accounts(Some(&account("first", "a")), &[]).unwrap();
    client
        .set_accounts(Some(&account("second", "two\nlines")), &[])
        .unwrap_err();
    client.products(&ProductQuery::default()).await.unwrap();
    assert_eq!(callers(&server), ["first"]);
}
