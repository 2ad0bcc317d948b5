//! Who waits where, when somebody holds a row for long.
//!
//! A transaction that waits for a locked row keeps its connection meanwhile. Were nothing counted, the buyers of one locked
//! game, or one impatient shopper, would soon have every connection there is, and everybody else would wait behind
//! them. So a shopper has one transaction at a time (their own row would let no two through anyway), what many share only
//! half of the connections, and each kind of transaction as many as leave room for the others. Who comes beyond that
//! waits here, in the order of coming and without a connection, and not for ever.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::cart::Visitor;
use lockstep_domain::ids::{GameId, OrderId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// What a transaction is about, as far as others may be about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject<'a> {
    /// A user's or a guest's own rows.
    Shopper(Uuid),
    /// A game.
    Game(GameId),
    /// An order.
    Order(OrderId),
    /// Anything else, by its name: an address, a promo code, a payment's reference.
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
    /// A visitor's rows, of whom there are none before the first write, and a game.
    pub(crate) fn of(visitor: Visitor, game: Option<GameId>) -> Vec<Self> {
        let visitor = match visitor {
            Visitor::User(user) => Some(user.into()),
            Visitor::Guest(guest) => guest.map(Self::Shopper),
            // One browser's first writes come one after the other.
            Visitor::Newcomer(page) => Some(Self::Shopper(page)),
        };
        visitor.into_iter().chain(game.map(Self::Game)).collect()
    }
}

/// One per pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    queues: Arc<Mutex<HashMap<u64, Queue>>>,
    /// Transactions about one game, order or name at a time.
    per_subject: usize,
    /// Transactions of one kind at a time.
    per_kind: usize,
    patience: Duration,
}

#[derive(Debug)]
struct Queue {
    places: Arc<Semaphore>,
    /// Who is in it or waits for it; without any it is forgotten.
    guests: usize,
}

impl Gate {
    /// Before a pool of so many connections, waiting no longer than `patience`.
    pub(crate) fn before(connections: u32, patience: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        Self {
            queues: Arc::default(),
            per_subject: (connections / 2).max(1),
            per_kind: (connections - connections / 3).max(1),
            patience,
        }
    }

    /// Waits for a place in every queue; `None` when that takes too long.
    pub(crate) async fn enter(&self, kind: &'static str, about: &[Subject<'_>]) -> Option<Places> {
        let mut wanted: Vec<(u8, u64, usize)> = about
            .iter()
            .map(|subject| match subject {
                Subject::Shopper(_) => (0, number(subject), 1),
                Subject::Order(_) | Subject::Named(_) | Subject::Game(_) => (1, number(subject), self.per_subject),
            })
            .collect();
        wanted.push((2, number(&kind), self.per_kind));
        // In one order for everybody, so that two never wait for each other; and what is one person's first, so that who
        // waits for it takes no place from others meanwhile.
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

/// Places that are given back when dropped.
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

/// Two subjects of one number share a queue, which costs nothing but a little waiting.
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
    async fn nobody_and_nothing_gets_all_connections() {
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
    async fn who_waits_for_their_own_turn_takes_no_place_from_others() {
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

    /// Of two that name their subjects in different orders neither waits for the other with something in hand.
    #[tokio::test]
    async fn the_order_in_which_subjects_are_named_does_not_matter() {
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
