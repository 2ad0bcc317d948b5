//! The worker that empties the e-mail queue. Any number may run, in one process or in several; an e-mail is leased to
//! one at a time.
//!
//! Several e-mails are delivered concurrently, up to the number of connections to the mail server. Some connections are
//! reserved for e-mails with codes and links, so that a password reset never waits behind a thousand order e-mails.
//! Leases are short and renewed during delivery: those of a killed process expire in less than 30 seconds.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::backoff::exponential;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::UserId;
use lockstep_domain::language::Language;
use lockstep_store::accounts::{self, NewCode};
use lockstep_store::mail::{self, Claimed, NotReadable, Room, announcements, edits};
use lockstep_store::{Store, StoreError};
use lockstep_store::{branding, sessions, traces};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::delivery::Delivery;
use crate::edited::{self, Source};
use crate::render::{self, EmailBranding, RenderedEmail};
use crate::transport::EmailTransportError;

/// Interval at which the queue is polled when no commit of this process wakes the worker.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause for ordinary e-mails after as many consecutive failures as there are connections: the mail server is down.
const REST: Duration = Duration::from_secs(5);

/// A pause after as many failures in a row as there are connections for e-mails of a kind.
#[derive(Default)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    fn is_on(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    fn note(&mut self, has_failed: bool, connections: u32) {
        self.failures = if has_failed { self.failures + 1 } else { 0 };
        if self.failures >= connections {
            *self = Self {
                failures: 0,
                until: Some(Instant::now() + REST),
            };
        }
    }
}

/// Number of attempts to record a delivery; an e-mail whose delivery is not recorded is sent again.
const NOTED_WITHIN: u32 = 8;

/// Settings of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Number of concurrent deliveries, which is the number of connections to the mail server; at least 1.
    pub connections: u32,
    /// Duration of a lease that is not renewed.
    pub lease: Duration,
}

impl Sending {
    /// `connections` concurrent deliveries.
    pub const fn over(connections: u32) -> Self {
        Self {
            connections,
            lease: Duration::from_secs(20),
        }
    }

    /// Number of concurrent announcements.
    fn most_announcements(self) -> u32 {
        (self.connections / 4).max(1)
    }

    /// Number of connections reserved for urgent e-mails.
    fn kept_free(self) -> u32 {
        (self.connections / 4).max(u32::from(self.connections > 1))
    }
}

impl Default for Sending {
    /// Eight concurrent deliveries.
    fn default() -> Self {
        Self::over(8)
    }
}

/// Highest number of attempts for an e-mail that the server rejects: the first rejections may be about our account.
const MOST_REFUSALS: u32 = 3;

/// Highest number of attempts for an e-mail that cannot be delivered: a little over five hours.
const MOST_ATTEMPTS: u32 = 64;
/// The longest delay between two attempts.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// The result of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Number of e-mails sent.
    pub sent: u32,
    /// Number of e-mails to be retried, here or by another worker.
    pub later: u32,
    /// Number of e-mails given up.
    pub given_up: u32,
}

/// The outcome for one e-mail.
enum Fate {
    Sent,
    Later,
    /// This worker cannot read it.
    Left,
    GivenUp,
}

/// What became of an e-mail without an error.
enum Delivered {
    Sent,
    /// Its recipient has unsubscribed: it is no longer in the queue.
    Unwanted,
}

/// An e-mail leased to this worker.
struct Lease {
    id: Uuid,
    is_urgent: bool,
    is_announcement: bool,
}

/// The e-mails leased to this worker.
#[derive(Clone, Default)]
struct InHand(Arc<Mutex<HashMap<Uuid, Lease>>>);

impl InHand {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Uuid, Lease>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers an e-mail until the guard is dropped.
    fn take(&self, email: &Claimed) -> Held {
        let lease = Lease {
            id: email.lease,
            is_urgent: email.is_urgent,
            is_announcement: email.is_announcement,
        };
        self.with(|all| all.insert(email.id, lease));
        Held(self.clone(), email.id)
    }
}

struct Held(InHand, Uuid);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.with(|all| all.remove(&self.1));
    }
}

/// Creates a code that verifies a user's address, for a welcome e-mail whose code has expired.
pub type NewCodes = Arc<dyn Fn(UserId) -> NewCode + Send + Sync>;

/// Claims e-mails from the queue and delivers them.
#[derive(Clone)]
pub struct EmailWorker {
    store: Store,
    delivery: Delivery,
    head: EmailBranding,
    sending: Sending,
    codes: NewCodes,
    /// Why all e-mails wait, as the log was told.
    waiting: Arc<Mutex<Option<String>>>,
    /// The shop's name is the operator's setting, which wins over the one that staff choose.
    name_is_set: bool,
}

impl EmailWorker {
    /// Says whether the name in `head` is the operator's setting: otherwise the one that staff choose replaces it.
    #[must_use]
    pub fn with_name_of_settings(self, name_is_set: bool) -> Self {
        Self { name_is_set, ..self }
    }

    /// A worker for this queue, whose e-mails are in the name that staff choose.
    pub fn new(
        store: Store,
        delivery: impl Into<Delivery>,
        head: EmailBranding,
        sending: Sending,
        codes: NewCodes,
    ) -> Self {
        Self {
            store,
            delivery: delivery.into(),
            head,
            sending,
            codes,
            waiting: Arc::default(),
            name_is_set: false,
        }
    }

    /// Runs until `stop` is cancelled, then finishes the e-mails in progress. A commit of this process wakes it at
    /// once; those of others are noticed within a second.
    pub async fn run(&self, stop: CancellationToken) {
        let in_hand = InHand::default();
        self.renewing(&in_hand, self.work(&in_hand, stop)).await;
    }

    async fn work(&self, in_hand: &InHand, stop: CancellationToken) {
        let mut commits = self.store.commits();
        let mut deliveries = JoinSet::new();
        // Announcements that a server refuses say nothing about other e-mails.
        let (mut ordinary, mut announcements) = (Pause::default(), Pause::default());
        while !stop.is_cancelled() {
            // Any commit from here on wakes the wait below.
            commits.borrow_and_update();
            match self.claim(in_hand, ordinary.is_on(), announcements.is_on()).await {
                Ok(claimed) => {
                    for email in claimed {
                        let held = in_hand.take(&email);
                        let this = self.clone();
                        deliveries.spawn(async move {
                            let _held = held;
                            (email.is_announcement, this.deliver_and_record(&email).await)
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "e-mails wait: the outbox cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(done) = deliveries.join_next(), if !deliveries.is_empty() => {
                    let has_failed = matches!(done, Ok((_, Fate::Later)));
                    if matches!(done, Ok((true, _))) {
                        announcements.note(has_failed, self.sending.most_announcements());
                    } else {
                        ordinary.note(has_failed, self.sending.connections);
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
                // Other commits follow closely; one poll covers them all.
                changed = commits.changed() => if changed.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                },
            }
        }
        while deliveries.join_next().await.is_some() {}
    }

    /// Delivers as many due e-mails as there are connections, and waits for all of them.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be read.
    pub async fn round(&self) -> Result<Round, StoreError> {
        let in_hand = InHand::default();
        let mut deliveries = JoinSet::new();
        for email in self.claim(&in_hand, false, false).await? {
            let held = in_hand.take(&email);
            let this = self.clone();
            deliveries.spawn(async move {
                let _held = held;
                this.deliver_and_record(&email).await
            });
        }
        let fates = self.renewing(&in_hand, deliveries.join_all()).await;
        let mut round = Round::default();
        for fate in fates {
            match fate {
                Fate::Sent => round.sent += 1,
                Fate::Later | Fate::Left => round.later += 1,
                Fate::GivenUp => round.given_up += 1,
            }
        }
        Ok(round)
    }

    /// Whether there is a server to deliver to. Without one, e-mails are left in the queue: trying costs them attempts.
    async fn has_server(&self) -> bool {
        let why = match self.delivery.transport().await {
            Err(EmailTransportError::NoServer(why)) => Some(why),
            _ => None,
        };
        let has_server = why.is_none();
        let mut said = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != why {
            if let Some(why) = &why {
                tracing::warn!(why, "e-mails wait: there is no mail server that can be used");
            } else {
                tracing::info!("e-mails are sent again");
            }
            *said = why;
        }
        has_server
    }

    /// Claims e-mails for the free connections; during a pause of ordinary e-mails only urgent ones, and no
    /// announcements during theirs.
    async fn claim(
        &self,
        in_hand: &InHand,
        rests: bool,
        rest_of_announcements: bool,
    ) -> Result<Vec<Claimed>, StoreError> {
        for (email, kind) in mail::drop_late(&self.store).await? {
            tracing::warn!(%email, kind, "an e-mail was dropped: its code or link expired before it could be sent");
        }
        let count = |which: fn(&Lease) -> bool| {
            let count = in_hand.with(|all| all.values().filter(|lease| which(lease)).count());
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let (all, ordinary) = (count(|_| true), count(|lease| !lease.is_urgent));
        let most_ordinary = self.sending.connections - self.sending.kept_free().min(self.sending.connections - 1);
        let room = Room {
            all: self.sending.connections.saturating_sub(all),
            ordinary: if rests {
                0
            } else {
                most_ordinary.saturating_sub(ordinary)
            },
            announcements: if rest_of_announcements {
                0
            } else {
                (self.sending.most_announcements()).saturating_sub(count(|lease| lease.is_announcement))
            },
        };
        if room.all == 0 || !self.has_server().await {
            return Ok(Vec::new());
        }
        mail::claim(&self.store, room, self.sending.lease).await
    }

    /// Runs `work` and meanwhile renews the leases of the e-mails in progress.
    async fn renewing<T>(&self, in_hand: &InHand, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut every = tokio::time::interval(self.sending.lease / 4);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = every.tick() => {}
            }
            let leases: Vec<(Uuid, Uuid)> = in_hand.with(|all| all.iter().map(|(id, lease)| (*id, lease.id)).collect());
            if !leases.is_empty()
                && let Err(error) = mail::renew(&self.store, &leases, self.sending.lease).await
            {
                tracing::warn!(%error, "the leases of claimed e-mails could not be renewed");
            }
        }
    }

    /// Delivers one e-mail and records the outcome, in the trace of what the e-mail is about.
    async fn deliver_and_record(&self, claimed: &Claimed) -> Fate {
        let span = tracing::info_span!("mail.send", letter = %claimed.id);
        if let Some(parent) = traces::of_email(&self.store, claimed.id).await {
            lockstep_telemetry::continue_trace(&span, parent);
        }
        self.attempt(claimed).instrument(span).await
    }

    async fn attempt(&self, claimed: &Claimed) -> Fate {
        let email = match &claimed.letter {
            Ok(email) => email,
            Err(why) => return self.leave(claimed, *why).await,
        };
        let outcome = match self.deliver(claimed, email).await {
            Ok(Delivered::Unwanted) => return Fate::Left,
            Err(EmailTransportError::NoServer(why)) => return self.wait(claimed, &why).await,
            Ok(Delivered::Sent) => Ok(()),
            Err(error) => Err(error),
        };
        let retry_in = match &outcome {
            Ok(()) => None,
            Err(error) => retry_in(error, claimed.attempts),
        };
        for attempt in 1..=NOTED_WITHIN {
            let noted = match &outcome {
                Ok(()) => mail::sent(&self.store, claimed).await,
                Err(error) => mail::failed(&self.store, claimed, &error.to_string(), retry_in).await,
            };
            match noted {
                Ok(_) => break,
                Err(error) if attempt == NOTED_WITHIN => {
                    tracing::warn!(email = %claimed.id, %error, "the result of a delivery could not be recorded: it is retried");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100) * attempt * attempt).await,
            }
        }
        match outcome {
            Ok(()) => Fate::Sent,
            Err(error) if retry_in.is_some() => {
                tracing::warn!(email = %claimed.id, attempts = claimed.attempts, %error, "an e-mail is delayed");
                Fate::Later
            }
            Err(error) => {
                tracing::error!(email = %claimed.id, attempts = claimed.attempts, %error, "an e-mail was given up");
                Fate::GivenUp
            }
        }
    }

    /// Releases an e-mail that this worker cannot read to other workers.
    async fn leave(&self, claimed: &Claimed, why: NotReadable) -> Fate {
        match mail::leave(&self.store, claimed, why).await {
            Ok(true) => tracing::warn!(email = %claimed.id, "an e-mail {why}"),
            Ok(false) => {}
            // Its lease expires.
            Err(error) => tracing::warn!(email = %claimed.id, %error, "an e-mail {why}"),
        }
        Fate::Left
    }

    /// Puts an e-mail back that was claimed in the moment in which the mail server went away.
    async fn wait(&self, claimed: &Claimed, why: &str) -> Fate {
        if let Err(error) = mail::wait(&self.store, claimed, why).await {
            // Its lease expires.
            tracing::warn!(email = %claimed.id, %error, "an e-mail waits for a mail server");
        }
        Fate::Left
    }

    async fn deliver(&self, claimed: &Claimed, email: &EmailTemplate) -> Result<Delivered, EmailTransportError> {
        let language = match email.language() {
            Some(language) => language,
            None => sessions::language_of_letter(&self.store, claimed.id)
                .await
                .map_err(|error| EmailTransportError::Later(error.to_string()))?,
        };
        let email = &self.current(claimed, email).await?;
        let written = self.written(claimed, email, language).await?;
        let transport = self.delivery.transport().await?;
        // Its recipient may have unsubscribed since it was claimed.
        if claimed.is_announcement {
            let withdrawn = announcements::withdraw(&self.store, claimed).await;
            if withdrawn.map_err(|error| EmailTransportError::Later(error.to_string()))? {
                return Ok(Delivered::Unwanted);
            }
        }
        transport.deliver(claimed, &written).await?;
        Ok(Delivered::Sent)
    }

    /// The e-mail with the text of staff or, when they have not changed it, with the shipped one.
    async fn written(
        &self,
        claimed: &Claimed,
        email: &EmailTemplate,
        language: Language,
    ) -> Result<RenderedEmail, EmailTransportError> {
        let edit = edits::current(&self.store, email.kind(), language.code())
            .await
            .map_err(|error| EmailTransportError::Later(error.to_string()))?;
        let head = &self.current_head().await?;
        if let Some(edit) = edit {
            let source = Source {
                subject: edit.subject,
                content: edit.content,
            };
            match edited::render(email, &source, language, head) {
                Ok(written) => return Ok(written),
                Err(error) => tracing::warn!(
                    email = %claimed.id,
                    kind = email.kind(),
                    language = language.code(),
                    version = edit.version,
                    %error,
                    "an edited e-mail template cannot be used: the shipped text is sent"
                ),
            }
        }
        render::write(email, language, head)
            .map_err(|_| EmailTransportError::Refused("the e-mail could not be rendered".into()))
    }
}

impl EmailWorker {
    /// The shop as it is called now.
    async fn current_head(&self) -> Result<EmailBranding, EmailTransportError> {
        let mut head = self.head.clone();
        if !self.name_is_set {
            let chosen = branding::shop_name(&self.store).await;
            if let Some(name) = chosen.map_err(|error| EmailTransportError::Later(error.to_string()))? {
                head.shop = name;
            }
        }
        let logo = branding::logo(&self.store).await;
        head.logo = logo.map_err(|error| EmailTransportError::Later(error.to_string()))?;
        Ok(head)
    }

    /// The e-mail with current contents: the code of a delayed welcome e-mail may have expired.
    async fn current(&self, claimed: &Claimed, email: &EmailTemplate) -> Result<EmailTemplate, EmailTransportError> {
        let (EmailTemplate::Welcome { .. }, Some(user)) = (email, claimed.user) else {
            return Ok(email.clone());
        };
        match accounts::current_welcome(&self.store, claimed, email, &(self.codes)(user)).await {
            Ok(Some(email)) => Ok(email),
            Ok(None) => Err(EmailTransportError::Later("another worker has it by now".into())),
            Err(error) => Err(EmailTransportError::Later(error.to_string())),
        }
    }
}

/// How long to wait before the next attempt: half a minute, doubled each time, at most five. `None`: give up.
///
/// Longer delays would outlast the outage: an e-mail blocks later ones to its address, so a queue whose heads wait for
/// an hour would remain blocked long after the mail server has recovered.
fn retry_in(error: &EmailTransportError, attempts: u32) -> Option<Duration> {
    let most = match error {
        EmailTransportError::Address(_) => 1,
        EmailTransportError::Refused(_) => MOST_REFUSALS,
        EmailTransportError::Later(_) | EmailTransportError::NoServer(_) => MOST_ATTEMPTS,
    };
    let wait = exponential(Duration::from_secs(30), attempts.saturating_sub(1), LONGEST_WAIT);
    (attempts < most).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_double_to_five_minutes_and_end_after_five_hours() {
        let later = EmailTransportError::Later(String::new());
        let waits: Vec<u64> = (1..=u32::MAX)
            .map_while(|attempt| retry_in(&later, attempt).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits[..5], [30, 60, 120, 240, 300]);
        assert!(waits[4..].iter().all(|wait| *wait == 300));
        let hours = waits.iter().sum::<u64>() / 3_600;
        assert_eq!(hours, 5);
        assert_eq!(retry_in(&EmailTransportError::Refused(String::new()), 3), None);
        assert_eq!(retry_in(&EmailTransportError::Address(String::new()), 1), None);
        assert!(retry_in(&later, u32::MAX).is_none());
    }
}
