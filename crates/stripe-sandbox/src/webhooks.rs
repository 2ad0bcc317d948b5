//! Signed deliveries of events, with retries, and with the faults that a test asks for.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::Shared;

/// How events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// How often each is delivered.
    pub times: u32,
    /// Each so many-th event is never delivered; 0 for none.
    pub loses_every: u32,
    /// Events that are waiting are delivered the newest first.
    pub reversed: bool,
    /// How often a delivery without a success is repeated.
    pub retries: u32,
}

impl Default for Delivery {
    /// Once, in order, none lost, five retries.
    fn default() -> Self {
        Self {
            times: 1,
            loses_every: 0,
            reversed: false,
            retries: 5,
        }
    }
}

/// The `Stripe-Signature` header of a body.
pub(crate) fn sign(body: &[u8], secret: &str) -> String {
    let stamp = Utc::now().timestamp().to_string();
    let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(stamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={stamp},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Delivers events until it is cancelled.
pub(crate) async fn deliver(shared: Arc<Shared>) {
    // Another user of the process may have installed it first; either way it is installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let Ok(http) = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
    else {
        return;
    };
    loop {
        let (url, delivery, mut waiting) = {
            let mut state = shared.lock();
            let made = state.events.len();
            // What happened before there was an address is not told.
            let from = if state.webhook_url.is_some() { state.sent } else { made };
            state.sent = made;
            let first = u32::try_from(from).unwrap_or(u32::MAX);
            let events = state.events.iter().skip(from).cloned();
            let waiting: Vec<_> = (first.saturating_add(1)..).zip(events).collect();
            (state.webhook_url.clone(), state.delivery, waiting)
        };
        let Some(url) = url.filter(|_| !waiting.is_empty()) else {
            tokio::select! {
                () = shared.news.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
            continue;
        };
        if delivery.reversed {
            waiting.reverse();
        }
        for (number, event) in waiting {
            if delivery.loses_every > 0 && number % delivery.loses_every == 0 {
                continue;
            }
            for _ in 0..delivery.times {
                let mut wait = Duration::from_millis(100);
                for _ in 0..=delivery.retries {
                    let signature = sign(event.body.as_bytes(), &shared.lock().webhook_secret);
                    let sent = http
                        .post(&url)
                        .header("stripe-signature", signature)
                        .header("content-type", "application/json")
                        .body(event.body.clone())
                        .send()
                        .await;
                    match sent {
                        Ok(answer) if answer.status().is_success() => break,
                        Ok(answer) => {
                            tracing::debug!(status = %answer.status(), kind = event.kind, "a webhook was refused");
                        }
                        Err(error) => tracing::debug!(%error, kind = event.kind, "a webhook got no answer"),
                    }
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
            }
        }
    }
}
