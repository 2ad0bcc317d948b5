//! Top-ups, from creation to credit, and what goes back to cards.

mod cards;
mod checkouts;
mod comparison;
mod hints;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_clock::Clock;
use lockstep_domain::Money;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::purchase::TopUpView;
use lockstep_failpoint::failpoint;
use lockstep_store::cards::Applied;
use lockstep_store::deliveries::{self, Reason, Source, Unused};
use lockstep_store::top_ups::{
    self, BeginError, Begun, CardOrigin, NewTopUp, Outcome, OutsideError, OutsideOutcome, PaymentEvent, TopUp, Which,
};
use lockstep_store::{Store, StoreError, traces};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::provider::{CardProvider, Decision, Delivered, DeliveryError, OwnPage, Provider, ProviderError, TestPage};
use crate::relay::{self, Relay, RelayError};
use crate::signature::verify;
use crate::test_provider;

pub use cards::{ObjectOutcome, WithdrawalError};
pub use checkouts::{CheckoutError, CheckoutRequest, Started};
pub use comparison::{CompareError, Compared};

/// Interval between scans for refunds to make and for events that wait.
const CARDS_EVERY: Duration = Duration::from_secs(2);
/// Interval between scans for top-ups that need a query to the provider.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Highest number of top-ups queried in one scan, one after the other.
const AT_ONCE: usize = 50;
/// Number of top-ups claimed at a time.
const CLAIMED: u32 = 10;
/// Number of consecutive calls without a response after which the scan stops until the next interval.
const MOST_UNANSWERED: u32 = 3;
/// Lease of a process that calls the provider about a top-up, keeping others from the same call; longer than any call.
const LEASE: Duration = Duration::from_secs(30);
/// Longest time that a caller waits for the payment page. Less than the time limit of a request.
const PATIENCE: Duration = Duration::from_millis(8500);
/// Interval at which a caller checks whether another's call was answered.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Payment methods of the existing front-end.
const METHODS: [&str; 4] = ["trustly", "card", "klarna", "apple"];

/// Limits of the amount of a top-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lowest amount, EUR.
    pub least: Money,
    /// Highest amount, EUR.
    pub most: Money,
}

impl Default for Limits {
    /// 1 to 10,000 EUR.
    fn default() -> Self {
        Self {
            least: Money::from_cents(100).unwrap_or_default(),
            most: Money::from_cents(1_000_000).unwrap_or_default(),
        }
    }
}

/// Why a top-up was not started.
#[derive(Debug, thiserror::Error)]
pub enum TopUpError {
    /// No provider is configured.
    #[error("Top-ups are not available: this shop has no payment provider")]
    NoProvider,
    /// The amount is outside the limits.
    #[error("The amount must be from {least} to {most} EUR")]
    Amount {
        /// Lowest amount, EUR.
        least: Money,
        /// Highest amount, EUR.
        most: Money,
    },
    /// Unknown payment method.
    #[error("paymentMethod must be one of trustly, card, klarna, apple")]
    Method,
    /// The top-up could not be stored.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The provider rejected the top-up or did not respond.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A call to the provider is in progress; the same request with the same key gets its response.
    #[error("The payment provider has not answered yet. Try again in a few seconds.")]
    UnderWay,
}

impl From<StoreError> for TopUpError {
    fn from(error: StoreError) -> Self {
        Self::Begin(error.into())
    }
}

/// The result of a webhook delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// It concerned one of our top-ups.
    TopUp(Outcome),
    /// An event about a refund, a dispute, a warning of fraud.
    Object(ObjectOutcome),
    /// A payment that the relay reported.
    Outside(OutsideOutcome),
    /// No effect; the delivery is stored with this reason.
    Unused(Reason),
}

/// Why a delivery was rejected.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not signed, or no signing secret is configured.
    #[error("the delivery has no valid signature")]
    NotSigned,
    /// The shop uses no such provider.
    #[error("this shop does not use that payment provider")]
    NotUsed,
    /// Signed, but not JSON.
    #[error("the delivery is not JSON")]
    Unreadable,
    /// A relay's report that is invalid.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// A relay's payment that could not be credited.
    #[error(transparent)]
    Outside(OutsideError),
    /// The provider does not answer, so that nothing is known of the payment that the delivery names; the sender should
    /// deliver again.
    #[error("the payment provider does not answer")]
    Unanswered,
    /// Database error; the sender should deliver again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Top-ups through payment providers: one takes new payments, others still settle and refund their own. Cheap to clone.
#[derive(Clone)]
pub struct Payments(Arc<Inner>);

struct Inner {
    store: Store,
    /// The first takes new payments.
    providers: Vec<Arc<dyn Provider>>,
    hints: hints::Gates,
    relay: Option<Relay>,
    limits: Limits,
}

impl std::fmt::Debug for Payments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let providers: Vec<_> = self.0.providers.iter().map(|provider| provider.name()).collect();
        f.debug_struct("Payments")
            .field("providers", &providers)
            .finish_non_exhaustive()
    }
}

impl Payments {
    /// Creates the service for `provider`, if there is one; `relay` may report payments as well.
    pub fn new(store: Store, provider: Option<Box<dyn Provider>>, relay: Option<Relay>, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            store,
            providers: provider.into_iter().map(Arc::from).collect(),
            hints: hints::Gates::default(),
            relay,
            limits,
        }))
    }

    /// Adds a provider that takes no new payments, unless it is the only one, and settles and refunds its own.
    #[must_use]
    pub fn with_provider(&self, provider: Box<dyn Provider>) -> Self {
        let mut providers = self.0.providers.clone();
        providers.push(Arc::from(provider));
        Self(Arc::new(Inner {
            store: self.0.store.clone(),
            providers,
            hints: hints::Gates::default(),
            relay: self.0.relay.clone(),
            limits: self.0.limits,
        }))
    }

    /// The same service on the connections of `store`.
    #[must_use]
    pub fn with_store(&self, store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            providers: self.0.providers.clone(),
            hints: hints::Gates::default(),
            relay: self.0.relay.clone(),
            limits: self.0.limits,
        }))
    }

    /// The names of the providers that take cards, so that their payments can be refunded.
    pub fn card_providers(&self) -> Vec<&'static str> {
        self.with_cards().map(|(name, _)| name).collect()
    }

    /// The name of the provider that takes new payments; `None` when top-ups are disabled.
    pub fn provider(&self) -> Option<&'static str> {
        self.default_provider().map(Provider::name)
    }

    fn default_provider(&self) -> Option<&dyn Provider> {
        self.0.providers.first().map(AsRef::as_ref)
    }

    /// The provider with this name in the database, if it is in use.
    fn provider_of(&self, name: &str) -> Option<&dyn Provider> {
        self.0
            .providers
            .iter()
            .map(AsRef::as_ref)
            .find(|provider| provider.name() == name)
    }

    /// The providers that take cards.
    fn with_cards(&self) -> impl Iterator<Item = (&'static str, &dyn CardProvider)> {
        (self.0.providers.iter()).filter_map(|provider| Some((provider.name(), provider.cards()?)))
    }

    /// The payment methods that a top-up may name.
    pub const fn methods() -> [&'static str; 4] {
        METHODS
    }

    /// Limits of the amount of a top-up.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Stores a top-up and requests its payment page from the provider. The same `key` identifies the same top-up:
    /// concurrent callers, of one instance or several, get the same page. One calls the provider, the others wait for
    /// its response.
    ///
    /// # Errors
    /// [`TopUpError`]. A top-up that the provider refused is closed. One without a response stays open and is queried
    /// later ([`Payments::run`]); the same call with the same key may be repeated.
    pub async fn begin(
        &self,
        user: UserId,
        amount: Money,
        method: &str,
        key: Option<&str>,
    ) -> Result<TopUpView, TopUpError> {
        self.begin_from(user, amount, method, key, None).await
    }

    /// The same, from a browser whose address is in `country` (two letters).
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    pub async fn begin_from(
        &self,
        user: UserId,
        amount: Money,
        method: &str,
        key: Option<&str>,
        country: Option<&str>,
    ) -> Result<TopUpView, TopUpError> {
        let provider = self.default_provider().ok_or(TopUpError::NoProvider)?;
        let Limits { least, most } = self.0.limits;
        if amount < least || amount > most {
            return Err(TopUpError::Amount { least, most });
        }
        if !METHODS.contains(&method) {
            return Err(TopUpError::Method);
        }
        let new = NewTopUp {
            user,
            amount,
            method: method.to_owned(),
            provider: provider.name(),
            key: key.map(str::to_owned),
            card: provider.cards().map(|_| CardOrigin {
                country: country.map(str::to_owned),
            }),
        };
        tokio::time::timeout(PATIENCE, self.begin_or_join(new))
            .await
            .unwrap_or(Err(TopUpError::UnderWay))
    }

    async fn begin_or_join(&self, new: NewTopUp) -> Result<TopUpView, TopUpError> {
        loop {
            let begun = top_ups::begin(&self.0.store, new.clone(), LEASE).await?;
            if let Some(view) = self.ask_or_wait(begun, new.key.is_some()).await? {
                return Ok(view);
            }
        }
    }

    /// Requests the payment page of a top-up that was just begun, or waits for whoever does; `None` when it has to be looked up
    /// again, which takes a key.
    async fn ask_or_wait(&self, begun: Begun, has_key: bool) -> Result<Option<TopUpView>, TopUpError> {
        match begun {
            Begun::Known(top_up) => return Ok(Some(top_up.view())),
            Begun::Ask { top_up, is_first } => {
                let this = self.clone();
                // In a task of its own, so that the response is recorded even if the caller disconnects.
                let asking = async move { this.create_checkout(top_up, is_first).await };
                let asking = tokio::spawn(asking.in_current_span());
                match asking.await.unwrap_or(Err(TopUpError::UnderWay)) {
                    Err(TopUpError::Provider(ProviderError::InProgress(_))) if has_key => {}
                    answer => return answer.map(Some),
                }
                tokio::time::sleep(LOOK_AGAIN * 5).await;
            }
            Begun::Asked(mut top_up) => {
                while top_up.is_asked && top_up.reference.is_none() {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    let found = top_ups::by_id(&self.0.store, top_up.user, top_up.id).await?;
                    top_up = found.ok_or(TopUpError::Begin(BeginError::NoSuchUser))?;
                }
            }
        }
        Ok(None)
    }

    /// Requests the payment page of a top-up on which this process holds the lease, and records the response.
    async fn create_checkout(&self, top_up: TopUp, is_first: bool) -> Result<TopUpView, TopUpError> {
        let provider = self.provider_of(&top_up.provider).ok_or(TopUpError::NoProvider)?;
        match provider.create_checkout(&top_up).await {
            Ok(invited) => {
                let known = top_ups::announced(&self.0.store, top_up.id, &invited.reference, &invited.url).await?;
                match known {
                    Some(known) if !known.is_closing => Ok(known.view()),
                    Some(_) => Err(BeginError::NoSuchUser.into()),
                    None => {
                        tracing::error!(top_up = %top_up.id, "the provider has two references for one top-up");
                        Err(TopUpError::UnderWay)
                    }
                }
            }
            Err(error) => {
                // Only the provider knows whether an earlier request created something.
                let is_end = match &error {
                    ProviderError::Refused(_) => true,
                    ProviderError::Denied(_) => is_first,
                    ProviderError::Unavailable(_) | ProviderError::InProgress(_) | ProviderError::Unreadable(_) => {
                        false
                    }
                };
                tracing::warn!(provider = provider.name(), top_up = %top_up.id, is_end, %error, "no payment page for a top-up");
                if is_end {
                    top_ups::refused(&self.0.store, top_up.id, &error.to_string()).await?;
                } else {
                    top_ups::unanswered(&self.0.store, top_up.id, &error.to_string()).await?;
                }
                Err(error.into())
            }
        }
    }

    /// One of `user`'s top-ups.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn status(&self, user: UserId, id: TopUpId) -> Result<Option<TopUpView>, StoreError> {
        Ok(top_ups::by_id(&self.0.store, user, id)
            .await?
            .map(|top_up| top_up.view()))
    }

    /// The top-ups of `user` whose payment differed from the top-up and awaits a decision of staff, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn in_review(&self, user: UserId) -> Result<Vec<TopUpView>, StoreError> {
        let found = top_ups::in_review(&self.0.store, user).await?;
        Ok(found.iter().map(TopUp::view).collect())
    }

    /// Handles a webhook delivery of the provider: `signature` is its `Stripe-Signature` header, `body` the bytes as
    /// sent. A signed delivery without effect is accepted and stored unchanged with the reason; if rejected, it would
    /// be redelivered for days.
    ///
    /// # Errors
    /// [`WebhookError`]; nothing has changed then.
    pub async fn handle_webhook(
        &self,
        signature: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<WebhookOutcome, WebhookError> {
        for provider in self.0.providers.iter().map(AsRef::as_ref) {
            match provider.read(signature, body, now) {
                Ok(delivered) => return self.take_delivery(provider, delivered, body).await,
                Err(DeliveryError::NotSigned(_)) => {}
                Err(DeliveryError::Unreadable) => return Err(WebhookError::Unreadable),
            }
        }
        Err(WebhookError::NotSigned)
    }

    /// Acts on a delivery whose signature was verified.
    async fn take_delivery(
        &self,
        provider: &dyn Provider,
        delivered: Delivered,
        body: &[u8],
    ) -> Result<WebhookOutcome, WebhookError> {
        match delivered {
            Delivered::PaymentEvent(event) => {
                let outcome = self.apply(&event).await?;
                if outcome == Outcome::Unknown {
                    let unused = Unused {
                        source: Source::Payments,
                        reason: Reason::NotOurs,
                        detail: Some("there is no such top-up".to_owned()),
                        event_id: event.event,
                        kind: Some(event.kind),
                    };
                    self.store_unused(&unused, body).await?;
                }
                Ok(WebhookOutcome::TopUp(outcome))
            }
            Delivered::ObjectEvent(event) => {
                let outcome = self.take_object(provider, &event).await?;
                let name = match outcome {
                    ObjectOutcome::Read(applied) => applied.name(),
                    ObjectOutcome::Repeated => "repeated",
                    ObjectOutcome::Waiting => "waiting",
                };
                metrics::counter!("lockstep_payment_events_total", "provider" => provider.name(), "outcome" => name)
                    .increment(1);
                if outcome == ObjectOutcome::Read(Applied::NotOurs) {
                    let unused = Unused {
                        source: Source::Payments,
                        reason: Reason::NotOurs,
                        detail: Some(format!("no top-up has the payment of {}", event.reference)),
                        event_id: Some(event.event),
                        kind: Some(event.kind),
                    };
                    self.store_unused(&unused, body).await?;
                }
                Ok(WebhookOutcome::Object(outcome))
            }
            Delivered::Unused(unused) => {
                self.store_unused(&unused, body).await?;
                Ok(WebhookOutcome::Unused(unused.reason))
            }
        }
    }

    /// Handles a report of the relay, signed in the same way with the relay's own secret.
    ///
    /// # Errors
    /// [`WebhookError`]; nothing was booked then. A signed report that cannot be booked is stored unchanged, because it
    /// concerns a payment.
    pub async fn take_report(
        &self,
        signature: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<WebhookOutcome, WebhookError> {
        let relay = self.0.relay.as_ref().ok_or(WebhookError::NotSigned)?;
        verify(signature, body, &relay.secrets, now).map_err(|_| WebhookError::NotSigned)?;
        let (reason, detail, answer) = match self.book_report(body).await {
            Ok(Some(outcome)) => return Ok(WebhookOutcome::Outside(outcome)),
            Err(error @ WebhookError::Store(_)) => return Err(error),
            Ok(None) => {
                let reason = Reason::KindNotHandled;
                (
                    reason,
                    "not a completed payment".to_owned(),
                    Ok(WebhookOutcome::Unused(reason)),
                )
            }
            Err(error) => (Reason::Refused, error.to_string(), Err(error)),
        };
        let unused = Unused {
            source: Source::Relay,
            reason,
            detail: Some(detail),
            event_id: None,
            kind: None,
        };
        self.store_unused(&unused, body).await?;
        answer
    }

    /// Books a relay's report; `None` when it does not report a payment.
    async fn book_report(&self, body: &[u8]) -> Result<Option<OutsideOutcome>, WebhookError> {
        let Some(payment) = relay::read(body)? else {
            return Ok(None);
        };
        match top_ups::credit_outside(&self.0.store, &payment).await {
            Ok(outcome) => Ok(Some(outcome)),
            Err(OutsideError::Store(error)) => Err(error.into()),
            Err(error) => Err(WebhookError::Outside(error)),
        }
    }

    /// Stores a delivery that had no effect.
    async fn store_unused(&self, unused: &Unused, body: &[u8]) -> Result<(), StoreError> {
        let (source, reason) = (unused.source.as_str(), unused.reason.as_str());
        metrics::counter!("lockstep_payment_deliveries_unused_total", "source" => source, "reason" => reason)
            .increment(1);
        if unused.reason == Reason::KindNotHandled {
            tracing::debug!(source, reason, "a signed delivery without an effect");
        } else {
            tracing::warn!(
                source,
                reason,
                "a signed delivery had no effect: {}; see `lockstep events`",
                unused.detail.as_deref().unwrap_or_default()
            );
        }
        deliveries::keep(&self.0.store, unused, body).await
    }

    fn own_page(&self) -> Option<&dyn OwnPage> {
        self.provider_of(test_provider::NAME).and_then(Provider::own_page)
    }

    /// The built-in provider's page for a payment; `None` when another provider is in use or the payment does not
    /// exist.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn test_page(&self, reference: &str) -> Result<Option<TestPage>, StoreError> {
        let Some(test) = self.own_page() else {
            return Ok(None);
        };
        let found = top_ups::by_reference(&self.0.store, test_provider::NAME, reference).await?;
        Ok(found.map(|top_up| test.page(&top_up)))
    }

    /// Records the decision (pay or decline) made on that page at the time `now`. The first decision is final. Returns the updated page.
    ///
    /// # Errors
    /// [`WebhookError`]; the decision is still open then.
    pub async fn decide(
        &self,
        reference: &str,
        decision: Decision,
        now: DateTime<Utc>,
    ) -> Result<Option<TestPage>, WebhookError> {
        let Some(test) = self.own_page() else {
            return Ok(None);
        };
        let Some(top_up) = top_ups::by_reference(&self.0.store, test_provider::NAME, reference).await? else {
            return Ok(None);
        };
        if test.page(&top_up).is_open {
            let (signature, body) = test.event(&top_up, decision, now);
            self.handle_webhook(&signature, &body, now).await?;
        }
        Ok(self.test_page(reference).await?)
    }

    /// Queries top-ups without a final status, makes refunds, acts on events that wait, and compares the provider's books
    /// once a day, and places the orders of paid checkouts, until `stop` is cancelled. Any number of processes may run it at once.
    pub async fn run(&self, clock: Clock, stop: CancellationToken) {
        // Side by side: a provider that is slow about refunds keeps no top-up waiting.
        let cards = async {
            let mut every = ticking(CARDS_EVERY);
            while stop.run_until_cancelled(every.tick()).await.is_some() {
                match stop.run_until_cancelled(self.work_on_cards()).await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::warn!(%error, "could not work on refunds and disputes; it is retried");
                    }
                    None => return,
                }
            }
        };
        let looking = async {
            let mut every = ticking(LOOK_EVERY);
            while stop.run_until_cancelled(every.tick()).await.is_some() {
                if stop.run_until_cancelled(self.look()).await.is_none() {
                    return;
                }
            }
        };
        let comparing = async {
            let mut every = ticking(LOOK_EVERY);
            while stop.run_until_cancelled(every.tick()).await.is_some() {
                if stop
                    .run_until_cancelled(self.compare_daily(clock.now()))
                    .await
                    .is_none()
                {
                    return;
                }
            }
        };
        // Orders whose payment has come wait for nothing else.
        let placing = async {
            let mut every = ticking(CARDS_EVERY);
            while stop.run_until_cancelled(every.tick()).await.is_some() {
                match stop.run_until_cancelled(self.settle_checkouts()).await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => tracing::warn!(%error, "could not look for paid checkouts; it is retried"),
                    None => return,
                }
            }
        };
        tokio::join!(cards, looking, comparing, placing);
    }

    async fn look(&self) {
        match self.ask_about_silent().await {
            Ok(0) => {}
            Ok(credited) => tracing::info!(credited, "credited {credited} top-ups that no webhook had reported"),
            Err(error) => tracing::warn!(%error, "could not look for unconfirmed top-ups; it is retried"),
        }
        if let Err(error) = lockstep_store::cards::refunds::tell_of_waiting(&self.0.store).await {
            tracing::debug!(%error, "could not look for refunds that wait");
        }
        if let Err(error) = lockstep_store::cards::incidents::alarm(&self.0.store).await {
            tracing::debug!(%error, "could not look for payments that have to be decided");
        }
        if let Ok(late) = lockstep_store::cards::incidents::overdue(&self.0.store).await {
            metrics::gauge!("lockstep_payment_incidents_overdue")
                .set(f64::from(u32::try_from(late).unwrap_or(u32::MAX)));
        }
        if let Ok((held, _)) = lockstep_store::cards::holds::waiting(&self.0.store).await {
            metrics::gauge!("lockstep_payments_held").set(f64::from(u32::try_from(held).unwrap_or(u32::MAX)));
        }
        if let Ok(open) = lockstep_store::cards::incidents::count(&self.0.store).await {
            metrics::gauge!("lockstep_payment_incidents_open").set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
        }
        if let Ok((waiting, _)) = top_ups::waiting_for_staff(&self.0.store).await {
            metrics::gauge!("lockstep_top_ups_waiting_for_staff")
                .set(f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)));
        }
    }

    /// Queries the provider about top-ups without news for a while, those without a known payment page first. Closes
    /// those of deleted users, and hands those that reach no final status in time to staff. Returns how many were
    /// credited.
    ///
    /// # Errors
    /// [`StoreError`]. A provider that does not respond is queried again later.
    pub async fn ask_about_silent(&self) -> Result<u32, StoreError> {
        let mut credited = 0;
        for provider in self.0.providers.iter().map(AsRef::as_ref) {
            let (mut asked, mut unanswered) = (0, 0);
            while asked < AT_ONCE && unanswered < MOST_UNANSWERED {
                let due = top_ups::due(&self.0.store, provider.name(), CLAIMED, LEASE).await?;
                if due.is_empty() {
                    break;
                }
                for top_up in due {
                    asked += 1;
                    let span = tracing::info_span!("payments.ask", top_up = %top_up.id);
                    if let Some(parent) = traces::of_top_up(&self.0.store, top_up.id).await {
                        lockstep_telemetry::continue_trace(&span, parent);
                    }
                    match self.ask_about(provider, top_up).instrument(span).await? {
                        None => unanswered += 1,
                        Some(outcome) => {
                            unanswered = 0;
                            credited += u32::from(outcome == Outcome::Credited);
                        }
                    }
                }
            }
        }
        for id in top_ups::without_end(&self.0.store).await? {
            tracing::error!(top_up = %id, "the payment provider reported no end of a top-up in time: staff have to review it");
        }
        Ok(credited)
    }

    /// Queries one top-up; `None` when there is no response.
    async fn ask_about(&self, provider: &dyn Provider, top_up: TopUp) -> Result<Option<Outcome>, StoreError> {
        let Some(reference) = top_up.reference.clone() else {
            return match self.create_checkout(top_up, false).await {
                Err(TopUpError::Begin(BeginError::Store(error))) => Err(error),
                // A top-up of a deleted user is closed next.
                Ok(_)
                | Err(TopUpError::Begin(BeginError::NoSuchUser) | TopUpError::Provider(ProviderError::Refused(_))) => {
                    Ok(Some(Outcome::Noted))
                }
                Err(_) => Ok(None),
            };
        };
        let answer = if top_up.is_closing {
            provider.close(&top_up, &reference).await
        } else {
            provider.look_up(&top_up, &reference).await
        };
        match answer {
            Ok(word) => {
                let event = PaymentEvent {
                    provider: provider.name(),
                    event: None,
                    kind: "asked".into(),
                    which: Which::Id(top_up.id),
                    word,
                };
                Ok(Some(self.apply(&event).await?))
            }
            Err(error) => {
                tracing::warn!(provider = provider.name(), top_up = %top_up.id, %error, "could not query a top-up");
                top_ups::unanswered(&self.0.store, top_up.id, &error.to_string()).await?;
                Ok(None)
            }
        }
    }

    async fn apply(&self, event: &PaymentEvent) -> Result<Outcome, StoreError> {
        let outcome = top_ups::apply(&self.0.store, event).await?;
        metrics::counter!("lockstep_payment_events_total", "provider" => event.provider, "outcome" => outcome.name())
            .increment(1);
        match outcome {
            Outcome::Mismatch => tracing::error!(
                provider = event.provider,
                which = ?event.which,
                "another amount or currency was paid than intended: nothing is credited until staff have settled it (`lockstep reconcile`)"
            ),
            Outcome::Unknown => {
                tracing::warn!(provider = event.provider, which = ?event.which, "a payment for an unknown top-up");
            }
            outcome => tracing::debug!(provider = event.provider, outcome = outcome.name(), "a payment event"),
        }
        if matches!(outcome, Outcome::Credited | Outcome::Noted) {
            // The order of a checkout that was just paid, without a wait. If it fails here, the worker does it.
            failpoint!("pay_directly.credited");
            if let Err(error) = self.settle_checkouts().await {
                tracing::debug!(%error, "could not settle paid checkouts at once");
            }
        }
        Ok(outcome)
    }
}

/// Ticks at once and then every `period`; a tick that comes late delays the next.
fn ticking(period: Duration) -> tokio::time::Interval {
    let mut every = tokio::time::interval(period);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    every
}
