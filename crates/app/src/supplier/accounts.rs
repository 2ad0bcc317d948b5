//! Which account the shop buys with at G2A: that of the environment variables or, without one, the one that staff have
//! made active. Every process follows the database, so that a change counts in all of them without a restart.

use std::time::Duration;

use lockstep_domain::Secret;
use lockstep_domain::admin::SupplierEnvironment;
use lockstep_domain::language::Sentence;
use lockstep_g2a::{Auth, Client};
use lockstep_store::Store;
use lockstep_store::admin::g2a_settings::{self, Entered};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{Config, Supplier as Configured};
use crate::words::say;

/// Polling interval of the database.
const PERIOD: Duration = Duration::from_secs(1);

/// How long events that the former account signed are still accepted: as long as they are valid.
const OVERLAP: Duration = Duration::from_mins(5);

/// Where the credentials in use come from, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `G2A_API_HASH` and the like.
    Environment,
    /// Staff have entered them.
    Database,
    /// The built-in sandbox has its own.
    BuiltIn,
    /// There are none.
    Nowhere,
    /// Staff have entered them, and no secret of `LOCKSTEP_KEY_SECRET` opens them.
    Lost,
}

/// The accounts of the shop.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    /// The one in use.
    pub(crate) current: Option<Auth>,
    /// Those that earlier orders may belong to.
    pub(crate) others: Vec<Auth>,
    pub(crate) origin: Origin,
}

impl Accounts {
    /// What follows from the configuration and from what staff have entered. `url` is where G2A is.
    pub(crate) fn of(config: &Config, url: &str, stored: &[Entered]) -> Self {
        let environment = config.supplier.environment(config.production);
        let fitting: Vec<&Entered> = stored
            .iter()
            .filter(|account| account.environment == environment)
            .collect();
        let auth = |account: &&Entered| {
            let secret = account.secret.clone()?;
            Some(auth_of(
                &config.supplier,
                url,
                &account.client_id,
                &account.email,
                secret,
            ))
        };
        let mut others: Vec<Auth> = fitting.iter().filter_map(auth).collect();
        let active = fitting.iter().find(|account| account.is_active);
        let (current, origin) = match (&config.supplier, active) {
            (Configured::Account { auth, .. }, _) => (Some(auth.clone()), Origin::Environment),
            (Configured::Stored { .. } | Configured::Sandbox, Some(account)) => match auth(account) {
                Some(auth) => (Some(auth), Origin::Database),
                None => (None, Origin::Lost),
            },
            (Configured::Stored { .. }, None) => (None, Origin::Nowhere),
            (Configured::Sandbox, None) => (Some(super::sandbox_auth()), Origin::BuiltIn),
        };
        if matches!(config.supplier, Configured::Sandbox) {
            others.push(super::sandbox_auth());
        }
        Self {
            current,
            others,
            origin,
        }
    }

    /// The secret by which G2A's events are verified: the client id.
    fn event_secret(&self) -> Option<Secret> {
        self.current.as_ref().map(|auth| match auth {
            Auth::Hash { api_hash: id, .. } | Auth::OAuth { client_id: id, .. } => id.clone(),
        })
    }
}

/// The credentials in the form of the configuration.
pub(super) fn auth_of(configured: &Configured, url: &str, client_id: &str, email: &str, secret: Secret) -> Auth {
    if configured.uses_oauth() {
        Auth::OAuth {
            token_url: token_url(url),
            client_id: Secret::new(client_id),
            client_secret: secret,
        }
    } else {
        Auth::Hash {
            api_hash: Secret::new(client_id),
            email: email.to_owned(),
            secret,
        }
    }
}

/// Where G2A at `url` issues tokens.
pub(super) fn token_url(url: &str) -> String {
    format!("{}/oauth/token", url.strip_suffix("/v1").unwrap_or(url))
}

/// Follows the database.
pub(crate) struct Follower {
    config: Config,
    store: Store,
    /// Of a worker, with G2A's address.
    client: Option<(Client, String)>,
    /// The secrets by which G2A's events are verified.
    event_secrets: watch::Sender<Vec<Secret>>,
    /// Version of each account that was read last.
    seen: Option<Vec<(Uuid, i64)>>,
    accepted: EventSecrets,
    /// The environment's account, until it is recorded as that of orders of earlier versions, which knew no other.
    to_stamp: Option<String>,
}

/// The secrets by which G2A's events are verified: that of the account in use, and those of accounts that were in use a
/// moment ago, because events on their way were signed with these.
#[derive(Debug, Default)]
struct EventSecrets {
    current: Option<Secret>,
    /// Each with the time when it ends.
    former: Vec<(Secret, Instant)>,
}

impl EventSecrets {
    /// Returns whether anything has changed.
    fn use_from(&mut self, now: Instant, secret: Option<Secret>) -> bool {
        if self.current == secret {
            return false;
        }
        let before = std::mem::replace(&mut self.current, secret);
        self.former
            .retain(|(former, _)| Some(former) != before.as_ref() && Some(former) != self.current.as_ref());
        self.former.extend(before.map(|before| (before, now + OVERLAP)));
        true
    }

    /// Returns whether anything has ended.
    fn end_at(&mut self, now: Instant) -> bool {
        let many = self.former.len();
        self.former.retain(|(_, until)| *until > now);
        self.former.len() != many
    }

    fn all(&self) -> Vec<Secret> {
        let former = self.former.iter().map(|(secret, _)| secret);
        self.current.iter().chain(former).cloned().collect()
    }
}

impl Follower {
    /// Follows the accounts in `store`. The second value has the secrets by which G2A's events are verified.
    pub(crate) fn new(
        config: &Config,
        store: Store,
        client: Option<(Client, String)>,
    ) -> (Self, watch::Receiver<Vec<Secret>>) {
        let accepted = EventSecrets {
            current: match &config.webhook_secret {
                Some(secret) => Some(secret.clone()),
                None => Accounts::of(config, "", &[]).event_secret(),
            },
            former: Vec::new(),
        };
        let (event_secrets, receiver) = watch::channel(accepted.all());
        let to_stamp = match &config.supplier {
            Configured::Account { auth, .. } if client.is_some() => Some(auth.account()),
            _ => None,
        };
        let follower = Self {
            config: config.clone(),
            store,
            client,
            event_secrets,
            seen: None,
            accepted,
            to_stamp,
        };
        (follower, receiver)
    }

    /// Polls until `stop` is cancelled. While the database is unavailable the last known accounts stay in use.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let mut every = tokio::time::interval(PERIOD);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            if let Some(mark) = &self.to_stamp
                && g2a_settings::stamp_orders(&self.store, mark).await.is_ok()
            {
                self.to_stamp = None;
            }
            match g2a_settings::list(&self.store).await {
                Ok(stored) => self.take(&stored),
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "could not read the accounts at G2A"
                ),
            }
        }
    }

    fn take(&mut self, stored: &[Entered]) {
        if self.accepted.end_at(Instant::now()) {
            self.event_secrets.send_replace(self.accepted.all());
        }
        let versions: Vec<(Uuid, i64)> = stored.iter().map(|account| (account.id, account.version)).collect();
        if self.seen.as_ref() == Some(&versions) {
            return;
        }
        let is_first = self.seen.replace(versions).is_none();
        let url = self.client.as_ref().map_or("", |(_, url)| url.as_str());
        let accounts = Accounts::of(&self.config, url, stored);
        if accounts.origin == Origin::Lost {
            tracing::error!(
                "no secret of LOCKSTEP_KEY_SECRET opens the active credentials of G2A; the last ones stay in use: enter them again"
            );
            return;
        }
        if let Some((client, _)) = &self.client {
            if let Err(error) = client.set_accounts(accounts.current.as_ref(), &accounts.others) {
                tracing::error!(%error, "the active credentials of G2A cannot be used; the last ones stay in use");
                return;
            }
            if accounts.current.is_none() {
                tracing::warn!("no credentials of G2A are active: nothing can be bought");
            } else if !is_first {
                tracing::info!("the credentials of G2A were changed");
            }
        }
        self.accept_events_of(&accounts);
    }

    fn accept_events_of(&mut self, accounts: &Accounts) {
        if self.config.webhook_secret.is_some() {
            return;
        }
        if self.accepted.use_from(Instant::now(), accounts.event_secret()) {
            self.event_secrets.send_replace(self.accepted.all());
        }
    }
}

/// Describes the credentials in use, for people.
pub(crate) fn in_words(origin: &Origin, environment: SupplierEnvironment) -> Sentence {
    match origin {
        Origin::Environment => say!("doctor.g2a.of_environment", environment),
        Origin::Database => say!("doctor.g2a.of_staff", environment),
        Origin::BuiltIn => "doctor.g2a.built_in".into(),
        Origin::Nowhere => say!("doctor.g2a.nowhere", environment),
        Origin::Lost => say!("doctor.g2a.lost", environment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_every_account_that_was_in_use_a_moment_ago_are_accepted() {
        let (start, minute) = (Instant::now(), Duration::from_mins(1));
        let secret = |name: &str| Some(Secret::new(name));
        let names =
            |all: &EventSecrets| -> Vec<String> { all.all().iter().map(|secret| secret.expose().to_owned()).collect() };
        let mut all = EventSecrets::default();
        assert!(all.use_from(start, secret("a")) && !all.use_from(start, secret("a")));
        // Deactivated and activated again.
        assert!(all.use_from(start + minute, None));
        assert_eq!(names(&all), ["a"]);
        assert!(all.use_from(start + minute * 2, secret("a")));
        assert_eq!(names(&all), ["a"]);
        // Two changes within the time for which events are valid.
        assert!(all.use_from(start + minute * 3, secret("b")));
        assert!(all.use_from(start + minute * 4, secret("c")));
        assert_eq!(names(&all), ["c", "a", "b"]);
        assert!(!all.end_at(start + minute * 7));
        assert!(all.end_at(start + minute * 8));
        assert_eq!(names(&all), ["c", "b"]);
        assert!(all.end_at(start + minute * 9));
        assert_eq!(names(&all), ["c"]);
    }
}
