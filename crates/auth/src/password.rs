//! bcrypt, kept away from everybody else: a hash takes about a quarter of a second of a processor, so dedicated threads of
//! low priority do them, and who asks waits for a turn, but not longer than a browser does. However many people log in, the
//! shop's own threads never wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use lockstep_domain::account::{MAX_PASSWORD_BYTES, NewPassword};
use lockstep_domain::secret::Secret;
use tokio::sync::oneshot;

/// How much lower than the rest of the process the hashing threads are ranked (Linux ranks each thread on its own).
const NICENESS: i32 = 10;

/// How passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSettings {
    /// bcrypt's cost: each step doubles the work. The contract's is 12.
    pub cost: u32,
    /// Hashes made at the same time.
    pub threads: usize,
    /// How long a request waits for its turn.
    pub patience: Duration,
}

/// Requests that may wait at once. Their number does not matter for the time, only for the memory: a few hundred bytes each.
const MOST_WAITING: usize = 10_000;

impl Default for HashSettings {
    /// Cost 12; as many threads as processors, which all others take precedence over; eight seconds of waiting, so that the
    /// answer comes before the ten that a request may take.
    fn default() -> Self {
        Self {
            cost: 12,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            patience: Duration::from_secs(8),
        }
    }
}

/// Why a password was neither hashed nor compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// More log-ins than can be worked on in time; try again in a moment.
    #[error("too many log-ins at the moment")]
    Busy,
    /// bcrypt refused: a bug, or a cost outside 4 to 31.
    #[error("password hashing failed")]
    Failed,
}

enum Work {
    Hash(Secret),
    Verify { password: Secret, hash: Secret },
}

enum Outcome {
    Hashed(Secret),
    Verified(bool),
}

struct Job {
    work: Work,
    begun: oneshot::Sender<()>,
    answer: oneshot::Sender<Result<Outcome, HashError>>,
}

/// The hashing threads. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct Hasher {
    queue: mpsc::SyncSender<Job>,
    patience: Duration,
    decoy: Secret,
    runs: Arc<AtomicU64>,
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system gives no thread, or [`HashError::Failed`] as text when the cost is outside 4 to 31.
    pub fn start(settings: HashSettings) -> std::io::Result<Self> {
        if !(4..=31).contains(&settings.cost) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "bcrypt's cost goes from 4 to 31",
            ));
        }
        let (queue, jobs) = mpsc::sync_channel::<Job>(MOST_WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        let runs = Arc::new(AtomicU64::new(0));
        for _ in 0..settings.threads.max(1) {
            let (jobs, runs) = (Arc::clone(&jobs), Arc::clone(&runs));
            std::thread::Builder::new()
                .name("password".into())
                .spawn(move || work(&jobs, settings.cost, &runs))?;
        }
        // The form of a real hash; which password it belongs to nobody knows.
        let decoy = Secret::new(format!(
            "$2b${:02}${}",
            settings.cost, "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01232"
        ));
        Ok(Self {
            queue,
            patience: settings.patience,
            decoy,
            runs,
        })
    }

    /// Hashes a password that is to be set.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(&self, password: &NewPassword) -> Result<Secret, HashError> {
        match self.submit(Work::Hash(password.secret().clone())).await? {
            Outcome::Hashed(hash) => Ok(hash),
            Outcome::Verified(_) => Err(HashError::Failed),
        }
    }

    /// Whether `password` belongs to `hash`. Without a hash (no such account), and for a password longer than bcrypt
    /// looks at, the same work is done and the answer is no.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn verify(&self, password: &Secret, hash: Option<&Secret>) -> Result<bool, HashError> {
        let possible = hash.is_some() && password.expose().len() <= MAX_PASSWORD_BYTES;
        let hash = hash.unwrap_or(&self.decoy).clone();
        match self
            .submit(Work::Verify {
                password: password.clone(),
                hash,
            })
            .await?
        {
            Outcome::Verified(matches) => Ok(matches && possible),
            Outcome::Hashed(_) => Err(HashError::Failed),
        }
    }

    /// How many times bcrypt has run.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    async fn submit(&self, work: Work) -> Result<Outcome, HashError> {
        let (begun, turn) = oneshot::channel();
        let (answer, outcome) = oneshot::channel();
        self.queue
            .try_send(Job { work, begun, answer })
            .map_err(|error| match error {
                mpsc::TrySendError::Full(_) => HashError::Busy,
                mpsc::TrySendError::Disconnected(_) => HashError::Failed,
            })?;
        // Only waiting is bounded: what is begun is as good as done. Who stops waiting is passed over.
        match tokio::time::timeout(self.patience, turn).await {
            Err(_) => return Err(HashError::Busy),
            Ok(Err(_)) => return Err(HashError::Failed),
            Ok(Ok(())) => {}
        }
        outcome.await.unwrap_or(Err(HashError::Failed))
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>, cost: u32, runs: &AtomicU64) {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "password threads run at normal priority");
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { work, begun, answer }) = job else { return };
        if begun.send(()).is_err() {
            continue; // whoever asked has gone away while waiting
        }
        runs.fetch_add(1, Ordering::Relaxed);
        let outcome = match work {
            // No longer than what bcrypt looks at: `NewPassword` saw to it.
            Work::Hash(password) => {
                bcrypt::hash(password.expose(), cost).map(|hash| Outcome::Hashed(Secret::new(hash)))
            }
            Work::Verify { password, hash } => bcrypt::verify(password.expose(), hash.expose()).map(Outcome::Verified),
        };
        // Nobody may be listening any more; then nobody needs it.
        drop(answer.send(outcome.map_err(|_| HashError::Failed)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> Hasher {
        Hasher::start(HashSettings {
            cost: 4,
            threads: 1,
            patience: Duration::from_mins(1),
        })
        .unwrap()
    }

    fn password(text: &str) -> NewPassword {
        NewPassword::parse(text, None).unwrap()
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_no_other() {
        let hasher = hasher();
        let hash = hasher.hash(&password("Correct7Horse")).await.unwrap();
        assert!(hash.expose().starts_with("$2b$04$"));
        assert!(hasher.verify(&Secret::new("Correct7Horse"), Some(&hash)).await.unwrap());
        assert!(!hasher.verify(&Secret::new("correct7horse"), Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_at_all_is_compared_with_as_much_work_as_somebody() {
        let hasher = hasher();
        let hash = hasher.hash(&password("Correct7Horse")).await.unwrap();
        let too_long = Secret::new("x".repeat(1000));
        for (typed, hash) in [
            (Secret::new("Wrong7Horse"), Some(&hash)),
            (Secret::new("Wrong7Horse"), None),
            (too_long.clone(), Some(&hash)),
            (too_long, None),
        ] {
            let before = hasher.runs();
            assert!(!hasher.verify(&typed, hash).await.unwrap());
            assert_eq!(hasher.runs(), before + 1);
        }
        // The same work means the same cost.
        let cost = |hash: &Secret| hash.expose()[..7].to_owned();
        assert_eq!(cost(&hasher.decoy), cost(&hash));
    }

    #[tokio::test]
    async fn a_longer_password_does_not_pass_for_its_first_72_bytes() {
        let hasher = hasher();
        let text = format!("Ab1{}", "x".repeat(69));
        let hash = hasher.hash(&password(&text)).await.unwrap();
        assert!(hasher.verify(&Secret::new(text.clone()), Some(&hash)).await.unwrap());
        assert!(
            !hasher
                .verify(&Secret::new(format!("{text}y")), Some(&hash))
                .await
                .unwrap()
        );
    }

    /// What forty people who register in the same second need, on the smallest machine.
    #[tokio::test]
    async fn as_many_as_come_are_worked_on_while_they_have_the_patience() {
        let outcomes = futures_join(&hasher(), &Secret::new("Wrong7Horse"), 300).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(false)), "{outcomes:?}");
    }

    #[tokio::test]
    async fn whoever_has_waited_for_too_long_is_told_and_costs_no_work() {
        let hasher = Hasher::start(HashSettings {
            cost: 10,
            threads: 1,
            patience: Duration::from_millis(1),
        })
        .unwrap();
        let secret = Secret::new("Wrong7Horse");
        let outcomes = futures_join(&hasher, &secret, 12).await;
        let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(outcomes.contains(&Err(HashError::Busy)) && done < 12, "{outcomes:?}");
        // Afterwards it is the next one's turn: those who gave up are passed over.
        let patient = Hasher {
            patience: Duration::from_mins(1),
            ..hasher
        };
        assert_eq!(patient.verify(&secret, None).await, Ok(false));
        assert_eq!(patient.runs(), u64::try_from(done).unwrap() + 1);
    }

    async fn futures_join(hasher: &Hasher, secret: &Secret, many: usize) -> Vec<Result<bool, HashError>> {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..many {
            let (hasher, secret) = (hasher.clone(), secret.clone());
            set.spawn(async move { hasher.verify(&secret, None).await });
        }
        set.join_all().await
    }

    #[test]
    fn a_cost_that_bcrypt_does_not_know_is_refused_at_the_start() {
        for cost in [3, 32] {
            assert!(
                Hasher::start(HashSettings {
                    cost,
                    threads: 1,
                    patience: Duration::ZERO,
                })
                .is_err()
            );
        }
    }
}
