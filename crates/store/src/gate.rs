//! Admission control: limits how many transactions wait for the same locked row.
//!
//! A transaction that waits for a locked row keeps its connection. Without limits, the buyers of one locked game, or
//! one impatient shopper, would soon hold every connection and block everyone else. Therefore a shopper has one
//! transaction at a time (their own row would not let two through anyway), transactions about one shared subject get at
//! most half of the connections, and each kind of transaction leaves room for the others. Transactions beyond a limit
//! wait here, in order of arrival, without a connection, and with a timeout.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::cart::Principal;
use lockstep_domain::ids::{GameId, OrderId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// What a transaction is about, as far as others can be about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject<'a> {
    /// A user's or a guest's own rows.
    Shopper(Uuid),
    /// A game.
    Game(GameId),
    /// An order.
    Order(OrderId),
    /// Any other subject, by its name: an address, a promo code, a payment's reference.
    Named(&'a str),
}

impl From<UserId> for Subject<'_> {
    fn from(user: UserId) -> Self {
        Self::Shopper(user.0)
    }
}

impl From<GameId> for Subject<'_> {
    fn from(game: GameId) -> Self {
        Self::Game(game)
    }
}

impl Subject<'_> {
    /// The subjects of a principal, who has no rows before the first write, and of a game.
    pub(crate) fn of(principal: Principal, game: Option<GameId>) -> Vec<Self> {
        let principal = match principal {
            Principal::User(user) => Some(user.into()),
            Principal::Guest(guest) => guest.map(Self::Shopper),
            // The first writes of one browser are serialised.
            Principal::Newcomer(page) => Some(Self::Shopper(page)),
        };
        principal.into_iter().chain(game.map(Self::Game)).collect()
    }
}

/// One per connection pool. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    queues: Arc<Mutex<HashMap<u64, Queue>>>,
    /// Maximum number of concurrent transactions about one game, order or name.
    per_subject: usize,
    /// Maximum number of concurrent transactions of one kind.
    per_kind: usize,
    patience: Duration,
}

#[derive(Debug)]
struct Queue {
    places: Arc<Semaphore>,
    /// Number of transactions in or waiting for the queue; at zero it is removed.
    guests: usize,
}

impl Gate {
    /// A gate before a pool of `connections`, with a maximum wait of `patience`.
    pub(crate) fn before(connections: u32, patience: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        Self {
            queues: Arc::default(),
            per_subject: (connections / 2).max(1),
            per_kind: (connections - connections / 3).max(1),
            patience,
        }
    }

    /// Waits for a place in every queue; `None` after a timeout.
    pub(crate) async fn enter(&self, kind: &'static str, about: &[Subject<'_>]) -> Option<Places> {
        let mut wanted: Vec<(u8, u64, usize)> = about
            .iter()
            .map(|subject| match subject {
                Subject::Shopper(_) => (0, number(subject), 1),
                Subject::Order(_) | Subject::Named(_) | Subject::Game(_) => (1, number(subject), self.per_subject),
            })
            .collect();
        wanted.push((2, number(&kind), self.per_kind));
        // The same order for all callers, so that no two wait for each other; a shopper's own subject comes first, so
        // that waiting for it takes no shared place meanwhile.
        wanted.sort_unstable();
        wanted.dedup_by_key(|(_, number, _)| *number);
        let mut places = Places {
            queues: Arc::clone(&self.queues),
            numbers: Vec::with_capacity(wanted.len()),
            permits: Vec::with_capacity(wanted.len()),
        };
        let entered = tokio::time::timeout(self.patience, async {
            for (_, number, most) in wanted {
                let queue = places.join(number, most);
                places.permits.push(queue.acquire_owned().await.ok()?);
            }
            Some(())
        })
        .await;
        entered.ok().flatten().map(|()| places)
    }
}

/// Places in queues, released on drop.
#[derive(Debug)]
pub(crate) struct Places {
    queues: Arc<Mutex<HashMap<u64, Queue>>>,
    numbers: Vec<u64>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Places {
    fn join(&mut self, number: u64, most: usize) -> Arc<Semaphore> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(number).or_insert_with(|| Queue {
            places: Arc::new(Semaphore::new(most)),
            guests: 0,
        });
        queue.guests += 1;
        self.numbers.push(number);
        Arc::clone(&queue.places)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.permits.clear();
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for number in &self.numbers {
            if let Some(queue) = queues.get_mut(number) {
                queue.guests -= 1;
                if queue.guests == 0 {
                    queues.remove(number);
                }
            }
        }
    }
}

/// Subjects with the same number share a queue, which only costs some waiting.
fn number(of: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn no_subject_or_kind_takes_all_connections() {
        let gate = Gate::before(9, SOON);
        let (game, other) = (Subject::Named("a game"), Subject::Named("another"));
        let shopper = |number| Subject::Shopper(Uuid::from_u128(number));
        let mut inside = vec![gate.enter("order", &[shopper(1), game]).await.unwrap()];
        assert!(
            gate.enter("cart", &[shopper(1)]).await.is_none(),
            "one at a time, whatever it is"
        );
        for number in 2..5 {
            inside.push(gate.enter("order", &[shopper(number), game]).await.unwrap());
        }
        assert!(gate.enter("order", &[shopper(5), game]).await.is_none(), "half of them");
        for number in 5..7 {
            inside.push(gate.enter("order", &[shopper(number), other]).await.unwrap());
        }
        assert!(
            gate.enter("order", &[]).await.is_none(),
            "room is left for what is not an order"
        );
        inside.push(gate.enter("cart", &[]).await.unwrap());
        inside.clear();
        assert!(
            gate.queues.lock().unwrap().is_empty(),
            "nothing is remembered of who has gone"
        );
        gate.enter("order", &[shopper(1), game]).await.unwrap();
    }

    #[tokio::test]
    async fn waiting_for_the_own_subject_takes_no_shared_place() {
        let gate = Gate::before(4, Duration::from_secs(20));
        let (ada, ben) = (
            Subject::Shopper(Uuid::from_u128(1)),
            Subject::Shopper(Uuid::from_u128(2)),
        );
        let game = Subject::Named("a game");
        let first = gate.enter("order", &[ada, game]).await.unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.enter("order", &[game, ada]).await.is_some() })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(gate.enter("order", &[ben, game]).await.unwrap());
        drop(first);
        for turn in waiting {
            assert!(turn.await.unwrap());
        }
    }

    /// Callers that name their subjects in different orders cannot deadlock.
    #[tokio::test]
    async fn order_of_subjects_does_not_matter() {
        let gate = Gate::before(2, Duration::from_secs(20));
        let (one, two) = (
            Subject::Shopper(Uuid::from_u128(1)),
            Subject::Shopper(Uuid::from_u128(2)),
        );
        let kinds = ["a", "b", "c", "d"];
        let tasks = (0..200).map(|turn| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let about = if turn % 2 == 0 { [one, two] } else { [two, one] };
                let kind = kinds.get(turn % 4).unwrap();
                gate.enter(kind, &about).await.is_some()
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert!(task.await.unwrap());
        }
    }
}
