//! The circuit breaker as seen by a caller.

use std::sync::Arc;
use std::time::Duration;

use lockstep_g2a::{BreakerState, Client, Config, Error, NotSent, ProductQuery, Repeat, Unlimited};

use crate::server::{Answer, Server, error, json};
use crate::{config, soon};

const EMPTY: &str = r#"{"total": 0, "page": 1, "docs": []}"#;

fn patient_for(server: &Server, open_for: Duration) -> Config {
    let mut config = config(server);
    config.retry.attempts = 1;
    config.breaker.failures = 3;
    config.breaker.open_for = open_for;
    config
}

#[tokio::test]
async fn after_consecutive_failures_calls_fail_fast_with_a_retry_time() {
    let server = Server::start([Answer::Break, error(500, "ERR99"), Answer::Half(200, "{".into())]).await;
    let config = patient_for(&server, Duration::from_hours(1));
    let client = Client::new(config, Arc::new(Unlimited)).unwrap();
    for _ in 0..3 {
        assert_eq!(client.health().state, BreakerState::Closed);
        client.products(&ProductQuery::default()).await.unwrap_err();
    }
    assert!(matches!(client.health().state, BreakerState::Open { .. }));
    for error in [
        client.products(&ProductQuery::default()).await.unwrap_err(),
        client.key_bytes("1").await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::NotSent {
                    reason: NotSent::BreakerOpen { .. },
                    ..
                }
            ),
            "{error:?}"
        );
        let Repeat::Safe(Some(wait)) = error.repeat() else {
            panic!("{error:?}")
        };
        assert!(wait > Duration::from_mins(50));
    }
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn refusals_do_not_open_it() {
    let mut script = vec![error(404, "ORD02"); 4];
    script.extend(vec![error(401, "AUTH02"); 4]);
    let server = Server::start(script).await;
    let client = Client::new(patient_for(&server, Duration::from_hours(1)), Arc::new(Unlimited)).unwrap();
    for _ in 0..8 {
        client.order_details("1").await.unwrap_err();
    }
    assert_eq!(
        (client.health().state, client.health().failures),
        (BreakerState::Closed, 0)
    );
}

#[tokio::test]
async fn a_successful_probe_closes_it() {
    let mut script = vec![Answer::Break; 4];
    script.extend([json(200, EMPTY), json(200, EMPTY)]);
    let server = Server::start(script).await;
    let client = Client::new(patient_for(&server, Duration::from_millis(1)), Arc::new(Unlimited)).unwrap();
    // Failing probes keep it open; calls in between are not sent. The fourth failure is such a probe.
    soon(async {
        while server.count() < 4 {
            client.products(&ProductQuery::default()).await.unwrap_err();
            tokio::task::yield_now().await;
        }
        while client.products(&ProductQuery::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((client.health().state, server.count()), (BreakerState::Closed, 5));
    client.products(&ProductQuery::default()).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_probe_does_not_keep_it_open() {
    let server = Server::start([
        Answer::Break,
        Answer::Break,
        Answer::Break,
        Answer::Silence,
        json(200, EMPTY),
    ])
    .await;
    let client = Client::new(patient_for(&server, Duration::from_millis(1)), Arc::new(Unlimited)).unwrap();
    for _ in 0..3 {
        client.products(&ProductQuery::default()).await.unwrap_err();
    }
    let look = tokio::spawn({
        let client = client.clone();
        async move {
            loop {
                // Not sent while the breaker is still open; afterwards the server stays silent.
                client.products(&ProductQuery::default()).await.unwrap_err();
                tokio::task::yield_now().await;
            }
        }
    });
    soon(async {
        while server.count() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(client.health().state, BreakerState::HalfOpen);
    look.abort();
    assert!(look.await.unwrap_err().is_cancelled());
    client.products(&ProductQuery::default()).await.unwrap();
}
