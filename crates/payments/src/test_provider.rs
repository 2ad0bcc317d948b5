//! The built-in provider for demonstrations: a page on which anyone with its URL pays or declines, without real money.
//!
//! Like a real provider it sends signed events in Stripe's format through the webhook handler, so that a demonstration
//! shows what happens in production. Its only state is the secret: a payment that is undecided when the shop stops can
//! be decided after a restart.

use chrono::{DateTime, TimeDelta, Utc};
use futures_core::future::BoxFuture;
use lockstep_clock::{Clock, Random};
use lockstep_domain::Secret;
use lockstep_store::top_ups::{ProviderPaymentStatus, TopUp};
use serde_json::json;

use crate::provider::{
    CheckoutSession, Decision, Delivered, DeliveryError, OwnPage, Provider, ProviderError, TestPage,
};
use crate::signature::{sign, verify};
use crate::stripe::read_event;

/// The test provider's name in the database.
pub(crate) const NAME: &str = "test";
/// Lifetime of a payment page.
const LIFETIME: TimeDelta = TimeDelta::hours(24);

/// The built-in provider.
#[derive(Debug, Clone)]
pub struct TestProvider {
    secret: Secret,
    page_url: String,
    return_url: String,
    clock: Clock,
    random: Random,
}

impl TestProvider {
    /// A provider whose page is at `page_url` followed by a slash and the payment's reference. It redirects browsers to
    /// `return_url`, in which `{id}` is replaced by the top-up's id. `secret` signs its events.
    /// `clock` decides when a page has lapsed; `random` gives the ids of events.
    pub fn new(
        secret: Secret,
        page_url: impl Into<String>,
        return_url: impl Into<String>,
        clock: Clock,
        random: Random,
    ) -> Self {
        Self {
            secret,
            page_url: page_url.into(),
            return_url: return_url.into(),
            clock,
            random,
        }
    }
}

impl Provider for TestProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn create_checkout<'p>(&'p self, top_up: &'p TopUp) -> BoxFuture<'p, Result<CheckoutSession, ProviderError>> {
        Box::pin(async move {
            // As with a real provider, anyone with the URL may decide, so it must be unguessable. The same top-up has
            // the same URL.
            let reference = match &top_up.reference {
                Some(reference) => reference.clone(),
                None => format!("test_{}", top_up.id.0.simple()),
            };
            Ok(CheckoutSession {
                url: format!("{}/{reference}", self.page_url),
                reference,
            })
        })
    }

    fn look_up<'p>(
        &'p self,
        top_up: &'p TopUp,
        _reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>> {
        Box::pin(async move {
            // A decision reaches the shop with the click; whatever is still open here is undecided.
            Ok(if self.clock.now() - top_up.created_at > LIFETIME {
                ProviderPaymentStatus::Lapsed
            } else {
                ProviderPaymentStatus::Open
            })
        })
    }

    fn close<'p>(
        &'p self,
        _top_up: &'p TopUp,
        _reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>> {
        // The page is open only while the top-up is.
        Box::pin(async move { Ok(ProviderPaymentStatus::Lapsed) })
    }

    fn read(&self, signature: &str, body: &[u8], now: DateTime<Utc>) -> Result<Delivered, DeliveryError> {
        verify(signature, body, std::slice::from_ref(&self.secret), now)?;
        read_event(NAME, body)
    }

    fn own_page(&self) -> Option<&dyn OwnPage> {
        Some(self)
    }
}

impl OwnPage for TestProvider {
    fn page(&self, top_up: &TopUp) -> TestPage {
        TestPage {
            amount: top_up.amount,
            is_open: top_up.view().redirect_url.is_some(),
            return_url: self.return_url.replace("{id}", &top_up.id.to_string()),
        }
    }

    fn event(&self, top_up: &TopUp, decision: Decision, now: DateTime<Utc>) -> (String, Vec<u8>) {
        let token: [u8; 12] = self.random.bytes();
        let (kind, status, payment) = match decision {
            Decision::Pay => ("checkout.session.completed", "complete", "paid"),
            Decision::Decline => ("checkout.session.async_payment_failed", "complete", "unpaid"),
        };
        let body = json!({
            "id": format!("evt_test_{}", hex::encode(token)),
            "type": kind,
            "data": {"object": {
                "id": top_up.reference,
                "metadata": {"top_up": top_up.id},
                "status": status,
                "payment_status": payment,
                "amount_total": top_up.amount.cents(),
                "currency": "eur",
            }},
        })
        .to_string()
        .into_bytes();
        (sign(&body, &self.secret, now), body)
    }
}

#[cfg(test)]
mod tests {
    use lockstep_clock::ManualClock;
    use lockstep_domain::Money;
    use lockstep_domain::ids::{TopUpId, UserId};
    use lockstep_domain::purchase::PaymentStatus;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn an_undecided_page_lapses_after_a_day() {
        let clock = ManualClock::at_present();
        let provider = TestProvider::new(
            Secret::new("secret"),
            "https://shop.example/test-payment",
            "https://shop.example/account/balance",
            clock.clock(),
            Random::system(),
        );
        let top_up = TopUp {
            id: TopUpId(Uuid::nil()),
            user: UserId(Uuid::nil()),
            amount: Money::ZERO,
            paid: None,
            credited: None,
            method: "card".to_owned(),
            provider: NAME.to_owned(),
            status: PaymentStatus::Pending,
            reference: Some("test_1".to_owned()),
            redirect_url: None,
            is_asked: false,
            is_closing: false,
            is_reviewed: false,
            authenticate: false,
            is_held: false,
            created_at: clock.now(),
        };
        clock.set(top_up.created_at + LIFETIME);
        let asked = provider.look_up(&top_up, "test_1").await;
        assert!(matches!(asked, Ok(ProviderPaymentStatus::Open)), "{asked:?}");
        clock.set(top_up.created_at + LIFETIME + TimeDelta::seconds(1));
        let asked = provider.look_up(&top_up, "test_1").await;
        assert!(matches!(asked, Ok(ProviderPaymentStatus::Lapsed)), "{asked:?}");
    }
}
