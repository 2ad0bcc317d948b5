//! bcrypt on dedicated threads of low priority. A hash takes about a quarter of a second of a processor, so requests
//! wait for a free thread, but no longer than a browser does. The shop's own threads never wait for hashes, however
//! many users log in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use lockstep_domain::account::{NewPassword, password_forms};
use lockstep_domain::secret::Secret;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Niceness of the hashing threads relative to the process (Linux schedules each thread by its own niceness).
const NICENESS: i32 = 10;

/// Settings of password hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSettings {
    /// bcrypt's cost: each step doubles the work. The HTTP contract (`docs/http-api.md`) requires 12.
    pub cost: u32,
    /// Number of hashing threads.
    pub threads: usize,
    /// How long a request waits for a thread.
    pub patience: Duration,
}

/// How long the work may continue after the wait: the response is still sent within the request timeout of ten seconds.
const WORK: Duration = Duration::from_secs(1);

/// Maximum number of waiting requests. It bounds memory (a few hundred bytes each), not time.
const MOST_WAITING: usize = 10_000;

impl Default for HashSettings {
    /// Cost 12; as many threads as processors, at a lower priority than all others; a wait of eight seconds, so that
    /// the response is sent within the ten seconds of a request.
    fn default() -> Self {
        Self {
            cost: 12,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            patience: Duration::from_secs(8),
        }
    }
}

/// The reason why a password was neither hashed nor verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// More logins than can be processed in time; retry in a moment.
    #[error("too many log-ins at the moment")]
    Busy,
    /// bcrypt failed: a bug, or a cost outside 4 to 31.
    #[error("password hashing failed")]
    Failed,
}

/// Result of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password does not match the hash, or there is no hash.
    Wrong,
    /// The password matches the hash.
    Right,
    /// The password matches the hash, which has an outdated form: another cost, or the Unicode form of one device. Hash
    /// it anew with [`renew`](Hasher::renew).
    RightButOld,
}

enum Work {
    Hash(Secret),
    Verify { forms: Vec<Secret>, hash: Secret },
}

enum Outcome {
    Hashed(Secret),
    /// Index of the form that matches the hash.
    Verified(Option<usize>),
}

struct Job {
    work: Work,
    begun: oneshot::Sender<()>,
    answer: oneshot::Sender<Result<Outcome, HashError>>,
}

/// The hashing threads. Cheap to clone; they stop with the last clone.
#[derive(Clone)]
pub struct Hasher {
    queue: mpsc::SyncSender<Job>,
    patience: Duration,
    decoy: Secret,
    /// Prefix of a hash with the current settings.
    prefix: String,
    runs: Arc<AtomicU64>,
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system cannot start a thread, or [`HashError::Failed`] as text if the cost is outside 4 to 31.
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
        // A valid hash whose password is unknown.
        let decoy = Secret::new(format!(
            "$2b${:02}${}",
            settings.cost, "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01232"
        ));
        Ok(Self {
            queue,
            patience: settings.patience,
            decoy,
            prefix: format!("$2b${:02}$", settings.cost),
            runs,
        })
    }

    /// Returns the time until which a request that starts now waits for a thread, whatever its number of passwords. Its
    /// work is abandoned a second later.
    pub fn patience_from_now(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(&self, password: &NewPassword) -> Result<Secret, HashError> {
        self.hash_until(password, self.patience_from_now()).await
    }

    /// Hashes a new password, waiting no longer than `until`.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash_until(&self, password: &NewPassword, until: Instant) -> Result<Secret, HashError> {
        self.hash_text(password.secret().clone(), until).await
    }

    /// Hashes a verified password again with the current settings.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn renew(&self, password: &Secret) -> Result<Secret, HashError> {
        let normal = password_forms(password).swap_remove(0);
        self.hash_text(normal, self.patience_from_now()).await
    }

    async fn hash_text(&self, text: Secret, until: Instant) -> Result<Secret, HashError> {
        match self.submit(Work::Hash(text), until).await? {
            Outcome::Hashed(hash) => Ok(hash),
            Outcome::Verified(_) => Err(HashError::Failed),
        }
    }

    /// Whether `password` matches `hash` in any of the Unicode forms that may have been hashed.
    ///
    /// Like bcrypt, this compares only the first 72 bytes: a longer password cannot be set here, but the existing shop
    /// has hashes of such. Without a hash (no such account) the same work is done and the result is [`Verdict::Wrong`].
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn verify(&self, password: &Secret, hash: Option<&Secret>) -> Result<Verdict, HashError> {
        self.verify_until(password, hash, self.patience_from_now()).await
    }

    /// Verifies a password, waiting no longer than `until`.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn verify_until(
        &self,
        password: &Secret,
        hash: Option<&Secret>,
        until: Instant,
    ) -> Result<Verdict, HashError> {
        let work = Work::Verify {
            forms: password_forms(password),
            hash: hash.unwrap_or(&self.decoy).clone(),
        };
        match (self.submit(work, until).await?, hash) {
            (Outcome::Verified(None), _) | (Outcome::Verified(_), None) => Ok(Verdict::Wrong),
            (Outcome::Verified(Some(0)), Some(hash)) if hash.expose().starts_with(&self.prefix) => Ok(Verdict::Right),
            (Outcome::Verified(Some(_)), Some(_)) => Ok(Verdict::RightButOld),
            (Outcome::Hashed(_), _) => Err(HashError::Failed),
        }
    }

    /// Returns the number of bcrypt runs.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    async fn submit(&self, work: Work, until: Instant) -> Result<Outcome, HashError> {
        if until <= Instant::now() {
            return Err(HashError::Busy);
        }
        let (begun, turn) = oneshot::channel();
        let (answer, outcome) = oneshot::channel();
        self.queue
            .try_send(Job { work, begun, answer })
            .map_err(|error| match error {
                mpsc::TrySendError::Full(_) => HashError::Busy,
                mpsc::TrySendError::Disconnected(_) => HashError::Failed,
            })?;
        // A request that gave up waiting is skipped; started work is completed, usually at once.
        match tokio::time::timeout_at(until, turn).await {
            Err(_) => return Err(HashError::Busy),
            Ok(Err(_)) => return Err(HashError::Failed),
            Ok(Ok(())) => {}
        }
        match tokio::time::timeout_at(until + WORK, outcome).await {
            Err(_) => Err(HashError::Busy),
            Ok(outcome) => outcome.unwrap_or(Err(HashError::Failed)),
        }
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
            continue; // the request gave up waiting
        }
        let outcome = match work {
            Work::Hash(password) => {
                runs.fetch_add(1, Ordering::Relaxed);
                bcrypt::hash(password.expose(), cost).map(|hash| Outcome::Hashed(Secret::new(hash)))
            }
            Work::Verify { forms, hash } => first_match(&forms, &hash, runs).map(Outcome::Verified),
        };
        // The request may have given up; then the result is not needed.
        drop(answer.send(outcome.map_err(|_| HashError::Failed)));
    }
}

fn first_match(forms: &[Secret], hash: &Secret, runs: &AtomicU64) -> Result<Option<usize>, bcrypt::BcryptError> {
    for (at, form) in forms.iter().enumerate() {
        runs.fetch_add(1, Ordering::Relaxed);
        if bcrypt::verify(form.expose(), hash.expose())? {
            return Ok(Some(at));
        }
    }
    Ok(None)
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
    async fn a_password_matches_only_its_own_hash() {
        let hasher = hasher();
        let hash = hasher.hash(&password("Correct7Horse")).await.unwrap();
        assert!(hash.expose().starts_with("$2b$04$"));
        let verdict = async |typed: &str| hasher.verify(&Secret::new(typed), Some(&hash)).await.unwrap();
        assert_eq!(verdict("Correct7Horse").await, Verdict::Right);
        assert_eq!(verdict("correct7horse").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn unknown_accounts_cost_as_much_work_as_known_ones() {
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
            assert_eq!(hasher.verify(&typed, hash).await, Ok(Verdict::Wrong));
            assert_eq!(hasher.runs(), before + 1);
        }
        // A password that may have been typed in several forms is compared in all of them, even without an account.
        let accents = Secret::new("Zu\u{308}rich-2027");
        for hash in [Some(&hash), None] {
            let before = hasher.runs();
            assert_eq!(hasher.verify(&accents, hash).await, Ok(Verdict::Wrong));
            assert_eq!(hasher.runs(), before + 2);
        }
        // The same work means the same cost.
        let cost = |hash: &Secret| hash.expose()[..7].to_owned();
        assert_eq!(cost(&hasher.decoy), cost(&hash));
    }

    #[tokio::test]
    async fn passwords_over_72_bytes_match_as_in_the_existing_shop() {
        let hasher = hasher();
        let long = format!("Ab1{}", "é".repeat(40));
        let cut = bcrypt::hash(&long.as_bytes()[..72], 4).unwrap();
        let cut = Secret::new(cut.replacen("$2b$", "$2a$", 1));
        let typed = Secret::new(long);
        assert_eq!(hasher.verify(&typed, Some(&cut)).await, Ok(Verdict::RightButOld));
        let short = Secret::new(format!("Ab1{}", "é".repeat(34)));
        assert_eq!(hasher.verify(&short, Some(&cut)).await, Ok(Verdict::Wrong), "71 bytes");
        let renewed = hasher.renew(&typed).await.unwrap();
        assert_eq!(hasher.verify(&typed, Some(&renewed)).await, Ok(Verdict::Right));
    }

    #[tokio::test]
    async fn accented_passwords_match_in_every_unicode_form() {
        let hasher = hasher();
        let (composed, apart) = (Secret::new("Z\u{fc}rich-2027"), Secret::new("Zu\u{308}rich-2027"));
        let new = hasher.hash(&password(apart.expose())).await.unwrap();
        for typed in [&composed, &apart] {
            assert_eq!(hasher.verify(typed, Some(&new)).await, Ok(Verdict::Right));
        }
        // Hashed in the form in which it was typed.
        let old = Secret::new(bcrypt::hash(apart.expose(), 4).unwrap());
        for typed in [&composed, &apart] {
            assert_eq!(hasher.verify(typed, Some(&old)).await, Ok(Verdict::RightButOld));
            let renewed = hasher.renew(typed).await.unwrap();
            assert_eq!(hasher.verify(&composed, Some(&renewed)).await, Ok(Verdict::Right));
        }
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_matches_and_is_outdated() {
        let (hasher, typed) = (hasher(), Secret::new("Correct7Horse"));
        let old = Secret::new(bcrypt::hash(typed.expose(), 5).unwrap());
        assert_eq!(hasher.verify(&typed, Some(&old)).await, Ok(Verdict::RightButOld));
    }

    /// The load of forty people who register in the same second, on the smallest machine.
    #[tokio::test]
    async fn all_requests_are_processed_while_they_wait() {
        let outcomes = futures_join(&hasher(), &Secret::new("Wrong7Horse"), 300).await;
        assert!(
            outcomes.iter().all(|outcome| *outcome == Ok(Verdict::Wrong)),
            "{outcomes:?}"
        );
    }

    #[tokio::test]
    async fn requests_that_wait_too_long_are_refused_without_work() {
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
        // The next request gets its turn; requests that gave up are skipped.
        let patient = Hasher {
            patience: Duration::from_mins(1),
            ..hasher
        };
        assert_eq!(patient.verify(&secret, None).await, Ok(Verdict::Wrong));
        assert_eq!(patient.runs(), u64::try_from(done).unwrap() + 1);
    }

    /// The second password of a request waits only for the remaining time.
    #[tokio::test]
    async fn two_passwords_of_one_request_share_its_deadline() {
        let hasher = hasher();
        let secret = Secret::new("Wrong7Horse");
        let over = Instant::now();
        assert_eq!(hasher.verify_until(&secret, None, over).await, Err(HashError::Busy));
        assert_eq!(
            hasher.hash_until(&password("Correct7Horse"), over).await.err(),
            Some(HashError::Busy)
        );
        // Work that was started but cannot finish in time is reported as busy as well.
        let slow = Hasher::start(HashSettings {
            cost: 16,
            threads: 1,
            patience: Duration::from_millis(500),
        })
        .unwrap();
        let began = Instant::now();
        let new = password("Correct7Horse");
        let late = slow.hash_until(&new, began + Duration::from_millis(500)).await;
        assert_eq!(late.err(), Some(HashError::Busy));
        assert!(began.elapsed() >= WORK, "it had its turn");
    }

    async fn futures_join(hasher: &Hasher, secret: &Secret, many: usize) -> Vec<Result<Verdict, HashError>> {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..many {
            let (hasher, secret) = (hasher.clone(), secret.clone());
            set.spawn(async move { hasher.verify(&secret, None).await });
        }
        set.join_all().await
    }

    #[test]
    fn an_invalid_bcrypt_cost_is_refused_at_start() {
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
