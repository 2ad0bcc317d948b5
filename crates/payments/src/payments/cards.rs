//! Acts on what a provider knows of cards: events from the inbox, refunds that staff requested.
//!
//! An event says only which object has news. The object is read, and its state is applied; so events may come twice, late,
//! in any order, or not at all.

use std::time::Duration;

use lockstep_domain::ids::UserId;
use lockstep_failpoint::failpoint;
use lockstep_store::StoreError;
use lockstep_store::cards::disputes::DisputeReading;
use lockstep_store::cards::evidence::{self, DueEvidence};
use lockstep_store::cards::inbox::{self, ObjectEvent, ObjectKind};
use lockstep_store::cards::refunds::{self, CardRefund, DueRefund, RefundReading, WithdrawError};
use lockstep_store::cards::{self, Applied, PaymentRef, charges, disputes, holds, incidents};
use lockstep_store::top_ups::{self, PaymentEvent, Which};
use uuid::Uuid;

use super::Payments;
use crate::provider::{CardProvider, Provider, ProviderError};

/// Lease of a process that reads an object or makes a refund; longer than the calls that this takes.
const LEASE: Duration = Duration::from_mins(2);
/// How long a delivery waits until its object is read. Its sender gets an answer in time, and the worker reads it later.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);
/// Number of events or refunds claimed at a time.
const CLAIMED: u32 = 10;
/// Most of them in one scan.
const AT_ONCE: usize = 100;
/// Number of consecutive calls without an answer after which a scan stops until the next.
const MOST_UNANSWERED: u32 = 3;

/// What came of an event about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectOutcome {
    /// The object was read and applied.
    Read(Applied),
    /// The event was taken before.
    Repeated,
    /// It is stored; the provider did not answer in time, and it is read later.
    Waiting,
}

/// Why a refund was not withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawalError {
    /// It does not wait, or may not be withdrawn.
    #[error(transparent)]
    Refused(#[from] WithdrawError),
    /// The provider does not say whether it made the refund.
    #[error("The payment provider does not say whether it made this refund. Try again later.")]
    NotSearched(String),
}

impl From<StoreError> for WithdrawalError {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// Why an object was not applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the payment of its top-up is not credited yet")]
    NotCredited,
}

impl Payments {
    /// Stores an event and acts on it at once, if the provider answers in time.
    pub(super) async fn take_object(
        &self,
        provider: &dyn Provider,
        event: &ObjectEvent,
    ) -> Result<ObjectOutcome, StoreError> {
        let (name, store) = (provider.name(), &self.0.store);
        let Some(provider) = provider.cards() else {
            return Ok(ObjectOutcome::Waiting);
        };
        failpoint!("payment_event.take.before");
        if !inbox::take(store, name, event, LEASE).await? {
            return Ok(ObjectOutcome::Repeated);
        }
        failpoint!("payment_event.take.after");
        let acting = self.act(name, provider, event.object, &event.reference);
        let answer = tokio::time::timeout(PATIENCE, acting).await;
        let outcome = match answer {
            Ok(Ok(applied)) => {
                failpoint!("payment_event.done.before");
                inbox::done(store, name, &event.event, applied.name()).await?;
                failpoint!("payment_event.done.after");
                ObjectOutcome::Read(applied)
            }
            Ok(Err(error)) => {
                tracing::debug!(kind = event.kind, %error, "a payment event waits");
                inbox::postponed(store, name, &event.event, &error.to_string()).await?;
                ObjectOutcome::Waiting
            }
            Err(_) => {
                inbox::postponed(store, name, &event.event, "the payment provider did not answer in time").await?;
                ObjectOutcome::Waiting
            }
        };
        Ok(outcome)
    }

    /// Reads an object at the provider and applies it.
    pub(super) async fn act(
        &self,
        name: &'static str,
        provider: &dyn CardProvider,
        object: ObjectKind,
        reference: &str,
    ) -> Result<Applied, ActError> {
        match self.act_once(name, provider, object, reference).await? {
            // Its payment was missed, too: that is read first.
            Applied::NotCredited(top_up) => {
                self.credit_missed(top_up).await?;
                match self.act_once(name, provider, object, reference).await? {
                    Applied::NotCredited(_) => Err(ActError::NotCredited),
                    applied => Ok(applied),
                }
            }
            applied => Ok(applied),
        }
    }

    async fn act_once(
        &self,
        name: &'static str,
        provider: &dyn CardProvider,
        object: ObjectKind,
        reference: &str,
    ) -> Result<Applied, ActError> {
        let store = &self.0.store;
        let number = cards::reading(store).await?;
        failpoint!("payment_object.read.before");
        let applied = match object {
            ObjectKind::Session => {
                let applied = match provider.charge_of_session(reference).await? {
                    Some(read) => charges::store_charge(store, name, &read).await?,
                    None => Applied::Same,
                };
                failpoint!("payment_object.judge.before");
                holds::judge(store, name, reference).await?;
                applied
            }
            ObjectKind::Dispute => {
                let mut read = provider.dispute(reference, number).await?;
                let known = self.know_charge(name, provider, &read.payment).await?;
                name_top_up(&mut read.payment, known);
                failpoint!("payment_object.apply.before");
                disputes::apply(store, name, &read).await?
            }
            ObjectKind::Refund => {
                let mut read = provider.refund(reference, number).await?;
                let known = self.know_charge(name, provider, &read.payment).await?;
                name_top_up(&mut read.payment, known);
                failpoint!("payment_object.apply.before");
                refunds::apply(store, name, &read).await?
            }
            ObjectKind::Charge => {
                let payment = PaymentRef {
                    charge: Some(reference.to_owned()),
                    ..PaymentRef::default()
                };
                let known = self.know_charge(name, provider, &payment).await?;
                let mut all = known.unwrap_or(Applied::Same);
                for mut read in provider.refunds_of(&payment, number).await? {
                    name_top_up(&mut read.payment, known);
                    match refunds::apply(store, name, &read).await? {
                        Applied::Same | Applied::Stale => {}
                        applied => all = applied,
                    }
                }
                for mut read in provider.disputes_of(&payment, number).await? {
                    name_top_up(&mut read.payment, known);
                    match disputes::apply(store, name, &read).await? {
                        Applied::Same | Applied::Stale => {}
                        applied => all = applied,
                    }
                }
                all
            }
            ObjectKind::Warning => {
                let mut read = provider.warning(reference).await?;
                let known = self.know_charge(name, provider, &read.payment).await?;
                name_top_up(&mut read.payment, known);
                incidents::warn(store, name, &read).await?
            }
        };
        failpoint!("payment_object.apply.after");
        Ok(applied)
    }

    /// Reads the charge of a payment that is not stored: of a top-up from before charges were, or whose events were lost.
    async fn know_charge(
        &self,
        name: &'static str,
        provider: &dyn CardProvider,
        payment: &PaymentRef,
    ) -> Result<Option<Applied>, ActError> {
        let store = &self.0.store;
        if charges::is_known(store, payment).await? {
            return Ok(None);
        }
        let Some(read) = provider.charge_of(payment).await? else {
            return Ok(None);
        };
        let applied = charges::store_charge(store, name, &read).await?;
        if let Applied::NotCredited(top_up) = applied {
            self.credit_missed(top_up).await?;
            return Ok(Some(charges::store_charge(store, name, &read).await?));
        }
        Ok(Some(applied))
    }

    /// Asks the provider about a top-up whose payment was not reported.
    async fn credit_missed(&self, id: lockstep_domain::ids::TopUpId) -> Result<(), ActError> {
        let top_up = top_ups::of_id(&self.0.store, id).await?.ok_or(ActError::NotCredited)?;
        let provider = self.provider_of(&top_up.provider).ok_or(ActError::NotCredited)?;
        let reference = top_up.reference.clone().ok_or(ActError::NotCredited)?;
        let word = provider.look_up(&top_up, &reference).await?;
        let event = PaymentEvent {
            provider: provider.name(),
            event: None,
            kind: "asked".into(),
            which: Which::Id(id),
            word,
        };
        self.apply(&event).await?;
        Ok(())
    }

    /// Withdraws a refund that waits, for the member of staff `admin`: it is searched for at the provider first, if that is in
    /// use.
    ///
    /// # Errors
    /// [`WithdrawalError`]; then it waits on, or is recorded as made.
    pub async fn withdraw_refund(&self, admin: UserId, id: Uuid, reason: &str) -> Result<CardRefund, WithdrawalError> {
        let store = &self.0.store;
        let claimed = refunds::claim_one(store, id, LEASE).await?;
        let provider = self.provider_of(&claimed.provider);
        if let Some((name, cards)) = provider.and_then(|provider| Some((provider.name(), provider.cards()?))) {
            let number = cards::reading(store).await?;
            match self.search(name, cards, &claimed.due, number).await {
                Ok(Some(found)) => {
                    refunds::apply(store, name, &found).await?;
                    return Err(WithdrawError::Made.into());
                }
                Ok(None) => {}
                Err(ActError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    refunds::unanswered(store, id, &error.to_string(), false).await?;
                    return Err(WithdrawalError::NotSearched(error.to_string()));
                }
            }
        }
        match refunds::withdraw(store, admin, id, reason).await {
            Ok(refund) => Ok(refund),
            Err(error) => {
                refunds::released(store, id).await?;
                Err(error.into())
            }
        }
    }

    /// Searches the provider for a refund that may have been made; `None` if it was not.
    async fn search(
        &self,
        name: &'static str,
        provider: &dyn CardProvider,
        refund: &DueRefund,
        number: i64,
    ) -> Result<Option<RefundReading>, ActError> {
        let Some(intent) = self.intent_of(name, provider, refund).await? else {
            // No refund was ever asked for without it.
            return Ok(None);
        };
        let payment = PaymentRef {
            intent: Some(intent),
            ..PaymentRef::default()
        };
        let made = provider.refunds_of(&payment, number).await?;
        Ok(made.into_iter().find(|made| made.named == Some(refund.id)))
    }

    /// The payment of a refund's top-up: as it is stored, or as it is read now.
    async fn intent_of(
        &self,
        name: &'static str,
        provider: &dyn CardProvider,
        refund: &DueRefund,
    ) -> Result<Option<String>, ActError> {
        if let Some(intent) = &refund.intent {
            return Ok(Some(intent.clone()));
        }
        let Some(session) = refund.session.as_deref() else {
            return Ok(None);
        };
        failpoint!("card_refund.look.before");
        let Some(read) = provider.charge_of_session(session).await? else {
            return Ok(None);
        };
        charges::store_charge(&self.0.store, name, &read).await?;
        Ok(read.intent)
    }

    /// Acts on events that wait, and makes refunds that staff requested. Any number of processes may do so at once. Returns
    /// how many events and refunds were acted on.
    ///
    /// # Errors
    /// [`StoreError`]. What the provider does not answer is tried again later.
    pub async fn work_on_cards(&self) -> Result<u32, StoreError> {
        let mut acted = 0;
        for (name, cards) in self.with_cards() {
            acted += Box::pin(self.work_on_cards_of(name, cards)).await?;
        }
        Ok(acted)
    }

    async fn work_on_cards_of(&self, name: &'static str, cards: &dyn CardProvider) -> Result<u32, StoreError> {
        let mut acted = holds::refund_decided(&self.0.store, name).await?;
        acted += self.submit_evidence(name, cards).await?;
        let (mut unanswered, mut seen) = (0, 0);
        while seen < AT_ONCE && unanswered < MOST_UNANSWERED {
            let claimed_at = tokio::time::Instant::now();
            let waiting = inbox::claim(&self.0.store, name, CLAIMED, LEASE).await?;
            let due = refunds::claim(&self.0.store, name, CLAIMED, LEASE).await?;
            if waiting.is_empty() && due.is_empty() {
                break;
            }
            seen += waiting.len() + due.len();
            for event in waiting {
                if unanswered >= MOST_UNANSWERED {
                    break;
                }
                match self.act(name, cards, event.object, &event.reference).await {
                    Ok(applied) => {
                        inbox::done(&self.0.store, name, &event.event, applied.name()).await?;
                        (acted, unanswered) = (acted + 1, 0);
                    }
                    // There is no such object, whoever asks.
                    Err(ActError::Provider(why)) if why.is_missing() => {
                        tracing::warn!(
                            object = event.reference,
                            "a payment event names an object that cannot be read: {why}"
                        );
                        inbox::done(&self.0.store, name, &event.event, "missing").await?;
                    }
                    Err(ActError::Store(error @ StoreError::Unavailable(_))) => return Err(error),
                    Err(error) => {
                        unanswered += 1;
                        if let ActError::Provider(ProviderError::Denied(_)) = &error {
                            // Whatever is asked next is refused as well.
                            unanswered = MOST_UNANSWERED;
                            tracing::error!(%error, "the shop's key may not read at the payment provider; `lockstep doctor` names what");
                        }
                        inbox::postponed(&self.0.store, name, &event.event, &error.to_string()).await?;
                    }
                }
            }
            for refund in due {
                // What is left is claimed again when its lease ends, by whoever; so none is made that may have ended.
                if unanswered >= MOST_UNANSWERED || claimed_at.elapsed() > LEASE / 2 {
                    break;
                }
                match self.refund(name, cards, &refund).await {
                    Ok(true) => (acted, unanswered) = (acted + 1, 0),
                    Ok(false) => unanswered += 1,
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    // One that the books refuse stops no other.
                    Err(error) => refunds::unanswered(&self.0.store, refund.id, &error.to_string(), true).await?,
                }
            }
        }
        Ok(acted)
    }

    /// Submits evidence that staff asked to submit. Returns how much was.
    async fn submit_evidence(&self, name: &'static str, provider: &dyn CardProvider) -> Result<u32, StoreError> {
        let store = &self.0.store;
        let mut submitted = 0;
        for due in evidence::claim(store, name, CLAIMED, LEASE).await? {
            let number = cards::reading(store).await?;
            match self.submit(provider, &due, number).await {
                Ok(read) => {
                    failpoint!("dispute_evidence.record.before");
                    evidence::submitted(store, due.id).await?;
                    failpoint!("dispute_evidence.record.after");
                    disputes::apply(store, name, &read).await?;
                    submitted += 1;
                }
                Err(ProviderError::Refused(why)) => {
                    tracing::warn!(dispute = due.dispute, "the payment provider refuses evidence: {why}");
                    evidence::refused(store, due.id, &why.words).await?;
                }
                Err(error) => {
                    tracing::warn!(dispute = due.dispute, %error, "evidence about a dispute waits for the payment provider");
                    evidence::unanswered(store, due.id, &error.to_string()).await?;
                    break;
                }
            }
        }
        Ok(submitted)
    }

    async fn submit(
        &self,
        provider: &dyn CardProvider,
        due: &DueEvidence,
        number: i64,
    ) -> Result<DisputeReading, ProviderError> {
        if due.attempts > 0 {
            // An earlier attempt may have arrived, and the provider forgets its idempotency keys after a day.
            failpoint!("dispute_evidence.look.before");
            let read = provider.dispute(&due.dispute, number).await?;
            if !provider.takes_evidence(&read) {
                return Ok(read);
            }
        }
        failpoint!("dispute_evidence.call.before");
        let answer = provider
            .submit_evidence(due.id, &due.dispute, &due.fields, number)
            .await;
        failpoint!("dispute_evidence.call.after");
        answer
    }

    /// Makes a refund at the provider, or asks how it is. Its money is taken from the balance already. Returns whether the
    /// provider answered.
    async fn refund(
        &self,
        name: &'static str,
        provider: &dyn CardProvider,
        refund: &DueRefund,
    ) -> Result<bool, StoreError> {
        let store = &self.0.store;
        let number = cards::reading(store).await?;
        match self.answer_of(name, provider, refund, number).await {
            Ok(read) => {
                failpoint!("card_refund.record.before");
                refunds::apply(store, name, &read).await?;
                failpoint!("card_refund.record.after");
                Ok(true)
            }
            Err(ActError::Store(error)) => Err(error),
            // Nothing was made: this answers the making of a refund alone, and an earlier attempt that had made it would have
            // been found, or repeated by its key. Any other refusal (of a reading, of a key of another account) says nothing
            // about an earlier attempt.
            Err(ActError::Provider(ProviderError::Refused(why))) if refund.reference.is_none() && why.ends_refund => {
                tracing::warn!(refund = %refund.id, "the payment provider refuses a refund: {why}");
                failpoint!("card_refund.refused.before");
                refunds::refused(store, refund.id, &why.words).await?;
                failpoint!("card_refund.refused.after");
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(refund = %refund.id, %error, "a refund to a card waits for the payment provider");
                let is_passing = matches!(
                    error,
                    ActError::Provider(ProviderError::Unavailable(_) | ProviderError::InProgress(_))
                );
                refunds::unanswered(store, refund.id, &error.to_string(), !is_passing).await?;
                Ok(false)
            }
        }
    }

    async fn answer_of(
        &self,
        name: &'static str,
        provider: &dyn CardProvider,
        refund: &DueRefund,
        number: i64,
    ) -> Result<RefundReading, ActError> {
        if let Some(reference) = &refund.reference {
            return Ok(provider.refund(reference, number).await?);
        }
        let intent = self.intent_of(name, provider, refund).await?.ok_or_else(|| {
            ActError::Provider(ProviderError::Unreadable(
                "the payment of this top-up is not known".into(),
            ))
        })?;
        if refund.attempts > 0 {
            // The provider forgets its idempotency keys after a day.
            failpoint!("card_refund.search.before");
            let known = DueRefund {
                intent: Some(intent.clone()),
                ..refund.clone()
            };
            if let Some(found) = self.search(name, provider, &known, number).await? {
                return Ok(found);
            }
        }
        failpoint!("card_refund.call.before");
        let made = provider.make_refund(refund.id, &intent, refund.amount, number).await;
        failpoint!("card_refund.call.after");
        Ok(made?)
    }
}

/// A charge is stored once its top-up is credited; until then only its metadata names the top-up.
fn name_top_up(payment: &mut PaymentRef, known: Option<Applied>) {
    if let Some(Applied::NotCredited(top_up)) = known {
        payment.top_up.get_or_insert(top_up);
    }
}
