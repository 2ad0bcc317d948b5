//! Deliveries without a signature: a hint that a payment has news. The payment is fetched, and acted on as it was fetched.

use lockstep_store::cards::inbox::ObjectKind;
use lockstep_store::deliveries::{self, Reason, Source, Unused};
use lockstep_store::top_ups::{self, Outcome, PaymentEvent, ProviderPaymentStatus, Which};
use tokio::sync::Semaphore;

use super::cards::{ActError, PATIENCE};
use super::{Payments, WebhookError, WebhookOutcome};
use crate::provider::HintProvider;

/// How many hints are followed at the same time; anyone may send them, and each is a call to the provider.
#[derive(Debug)]
pub(super) struct Gates {
    /// About payments of stored top-ups.
    known: Semaphore,
    /// About any other name.
    unknown: Semaphore,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            known: Semaphore::new(16),
            unknown: Semaphore::new(2),
        }
    }
}

impl Payments {
    /// Handles a delivery of a provider that signs nothing: `body` names a payment, which is fetched, and only what was fetched
    /// is applied. A payment that the provider does not know, or of another program, is accepted and stored, without an effect.
    ///
    /// # Errors
    /// [`WebhookError`]: `NotUsed` if no such provider is in use, `Unreadable` if no payment is named, and `Unanswered` if it
    /// cannot be fetched now, or too many are; nothing has changed then.
    pub async fn handle_hint(&self, provider: &str, body: &[u8]) -> Result<WebhookOutcome, WebhookError> {
        let provider = self.provider_of(provider).ok_or(WebhookError::NotUsed)?;
        let hints = provider.hints().ok_or(WebhookError::NotUsed)?;
        let reference = hints.named(body).ok_or(WebhookError::Unreadable)?;
        let is_known = top_ups::by_reference(&self.0.store, provider.name(), &reference)
            .await?
            .is_some();
        let gates = &self.0.hints;
        let gate = if is_known { &gates.known } else { &gates.unknown };
        let Ok(_passed) = gate.try_acquire() else {
            return Err(WebhookError::Unanswered);
        };
        let following = self.follow(provider.name(), hints, &reference);
        tokio::time::timeout(PATIENCE, following)
            .await
            .unwrap_or(Err(WebhookError::Unanswered))
    }

    async fn follow(
        &self,
        name: &'static str,
        hints: &dyn HintProvider,
        reference: &str,
    ) -> Result<WebhookOutcome, WebhookError> {
        let fetched = match hints.fetch(reference).await {
            Ok(fetched) => fetched,
            Err(error) if error.is_missing() => {
                // Anyone can make up names, so that they are counted in one row and not kept.
                return self
                    .not_ours(
                        name,
                        "the provider has no such payment",
                        b"a payment that the provider does not have",
                    )
                    .await;
            }
            Err(error) => {
                tracing::debug!(provider = name, reference, %error, "a payment that a delivery names could not be fetched");
                return Err(WebhookError::Unanswered);
            }
        };
        let reference = reference.to_owned();
        let event = PaymentEvent {
            provider: name,
            event: None,
            kind: "fetched".into(),
            which: match fetched.top_up {
                Some(id) => Which::Named {
                    id,
                    reference: reference.clone(),
                },
                None => Which::Reference(reference.clone()),
            },
            word: fetched.status,
        };
        let outcome = self.apply(&event).await?;
        if outcome == Outcome::Unknown {
            let detail = format!("no top-up has the payment {reference}");
            return self.not_ours(name, &detail, format!("id={reference}").as_bytes()).await;
        }
        // What was paid before has news of its refunds or disputes. What was credited just now is read by the worker.
        if matches!(event.word, ProviderPaymentStatus::Paid { .. })
            && outcome == Outcome::Nothing
            && let Some(cards) = self.provider_of(name).and_then(|provider| provider.cards())
        {
            match self.act(name, cards, ObjectKind::Charge, &reference).await {
                Ok(applied) => tracing::debug!(
                    provider = name,
                    reference,
                    applied = applied.name(),
                    "read a paid payment"
                ),
                Err(ActError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(provider = name, reference, %error, "a paid payment could not be read");
                    return Err(WebhookError::Unanswered);
                }
            }
        }
        Ok(WebhookOutcome::TopUp(outcome))
    }

    async fn not_ours(&self, name: &'static str, detail: &str, body: &[u8]) -> Result<WebhookOutcome, WebhookError> {
        let (source, reason) = (Source::Payments, Reason::NotOurs);
        metrics::counter!("lockstep_payment_deliveries_unused_total", "source" => source.as_str(), "reason" => reason.as_str())
            .increment(1);
        let unused = Unused {
            source,
            reason,
            detail: Some(format!("{name}: {detail}")),
            event_id: None,
            kind: None,
        };
        deliveries::keep(&self.0.store, &unused, body).await?;
        Ok(WebhookOutcome::Unused(reason))
    }
}
