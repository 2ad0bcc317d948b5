//! Watching an order: how it stands, whenever that changes, until it is over.
//!
//! A watcher sleeps until the log brought something, and then reads through the cache, where an order that did not change
//! costs no question to the database. Watchers are bounded, in all and for each user, and end by themselves, so that a
//! page left open does not stay a burden, nor a session that has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::ids::{OrderId, SessionId, UserId};
use lockstep_domain::purchase::OrderView;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Arrival, Shop, ShopError};

/// The most watchers in this process.
const MOST: usize = 1000;
/// The most watchers of one user in this process.
const MOST_OF_ONE: usize = 6;
/// After this a watcher ends, and a page that still wants to know asks again.
const LIFETIME: Duration = Duration::from_mins(10);

/// As often it is looked whether the session goes on, also when nothing was told of it: it may run out.
const LOOK: Duration = Duration::from_secs(15);

/// How many watch at the moment.
#[derive(Default)]
pub(crate) struct Watchers(Arc<Mutex<HashMap<UserId, usize>>>);

impl Watchers {
    fn enter(&self, user: UserId) -> Option<Seat> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = seats.get(&user).copied().unwrap_or(0);
        if own >= MOST_OF_ONE || seats.values().sum::<usize>() >= MOST {
            return None;
        }
        seats.insert(user, own + 1);
        Some(Seat {
            seats: Arc::clone(&self.0),
            user,
        })
    }
}

/// A place, given back when dropped.
struct Seat {
    seats: Arc<Mutex<HashMap<UserId, usize>>>,
    user: UserId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        match seats.get_mut(&self.user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                seats.remove(&self.user);
            }
        }
    }
}

/// Somebody watching one of their orders.
pub struct OrderWatch {
    shop: Shop,
    user: UserId,
    session: SessionId,
    id: OrderId,
    told: Option<OrderView>,
    news: watch::Receiver<u64>,
    ends: Instant,
    closing: CancellationToken,
    _seat: Seat,
}

impl std::fmt::Debug for OrderWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderWatch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl OrderWatch {
    /// The order as it is now, at once the first time and then when it has changed; never what its keys say. `None`: it
    /// is over and that was told, or the watch has ended, with the watcher's session at the latest.
    pub async fn next(&mut self) -> Option<OrderView> {
        if self.told.as_ref().is_some_and(OrderView::is_final) {
            return None;
        }
        loop {
            // What is read next is news already.
            self.news.borrow_and_update();
            if !self.shop.goes_on(self.user, self.session).await.ok()? {
                return None;
            }
            let order = self.shop.order_of(self.user, self.id).await.ok()??;
            if self.told.as_ref() != Some(&order) {
                self.told = Some(order.clone());
                return Some(order);
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK) => {}
                () = tokio::time::sleep_until(self.ends) => return None,
                () = self.closing.cancelled() => return None,
            }
        }
    }
}

impl Arrival {
    /// Watches one of their orders.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when there is none or it is somebody else's; [`ShopError::Busy`] when too many watch.
    pub async fn watch_order(&self, id: OrderId) -> Result<OrderWatch, ShopError> {
        let session = self.signed_in()?.session();
        let user = self.order_without_keys(id).await?.user_id;
        let shop = self.shop();
        Ok(OrderWatch {
            user,
            session,
            id,
            told: None,
            news: shop.cache().news(),
            ends: Instant::now() + LIFETIME,
            closing: shop.closing().clone(),
            _seat: shop.watchers().enter(user).ok_or(ShopError::Busy)?,
            shop: shop.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn watchers_are_bounded_for_one_and_for_all_and_leave_their_place() {
        let watchers = Watchers::default();
        let user = |n| UserId(Uuid::from_u128(n));
        let mut seats: Vec<Seat> = (0..MOST_OF_ONE).filter_map(|_| watchers.enter(user(1))).collect();
        assert_eq!(seats.len(), MOST_OF_ONE);
        assert!(watchers.enter(user(1)).is_none());
        seats.pop();
        assert!(watchers.enter(user(1)).is_some());
        let others: Vec<Seat> = (2..5000).filter_map(|n| watchers.enter(user(n))).collect();
        assert_eq!(others.len() + seats.len(), MOST);
        assert!(watchers.enter(user(9999)).is_none());
        drop((seats, others));
        assert!(watchers.0.lock().unwrap().is_empty());
    }
}
