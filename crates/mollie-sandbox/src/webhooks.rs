//! Deliveries: a form with the id of the payment that has news, unsigned, with retries, and with the faults that a test asks
//! for.

use std::sync::Arc;
use std::time::Duration;

use crate::Shared;

/// How webhooks are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// How often each is delivered.
    pub times: u32,
    /// Each so many-th is never delivered; 0 for none, 1 for all.
    pub loses_every: usize,
    /// Those that are waiting are delivered the newest first.
    pub reversed: bool,
    /// Those that are waiting are delivered at the same time.
    pub at_once: bool,
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
            at_once: false,
            retries: 5,
        }
    }
}

/// Delivers until it is cancelled.
pub(crate) async fn deliver(shared: Arc<Shared>) {
    // Another user of the process may have installed it first; either way it is installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let Ok(http) = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(15))
        .build()
    else {
        return;
    };
    loop {
        let (delivery, mut waiting) = {
            let mut state = shared.lock();
            let made = state.news.len();
            let from = std::mem::replace(&mut state.sent, made);
            let news = state.news.iter().enumerate().skip(from);
            (
                state.delivery,
                news.map(|(at, told)| (at + 1, told.clone())).collect::<Vec<_>>(),
            )
        };
        if waiting.is_empty() {
            tokio::select! {
                () = shared.news.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
            continue;
        }
        if delivery.reversed {
            waiting.reverse();
        }
        let all = waiting
            .into_iter()
            .filter(|(number, _)| delivery.loses_every == 0 || number % delivery.loses_every != 0)
            .flat_map(|(_, told)| std::iter::repeat_n(told, delivery.times.try_into().unwrap_or(1)))
            .map(|(payment, url)| send(&http, url, payment, delivery.retries));
        if delivery.at_once {
            futures::future::join_all(all).await;
        } else {
            for one in all {
                one.await;
            }
        }
    }
}

async fn send(http: &reqwest::Client, url: String, payment: String, retries: u32) {
    let mut wait = Duration::from_millis(100);
    for _ in 0..=retries {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("id", &payment)
            .finish();
        let sent = http
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => tracing::debug!(status = %answer.status(), payment, "a webhook was refused"),
            Err(error) => tracing::debug!(%error, payment, "a webhook got no answer"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}
