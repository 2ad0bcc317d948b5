//! Watching: an order, each new state of it until it is final; and whatever else a page that stays open follows.
//!
//! A watcher sleeps until the invalidation log has news, and then reads through the cache, where an unchanged order
//! costs no query. The number of watchers is limited, in total and per user, and each has a limited lifetime, so that a
//! page left open, or an ended session, does not hold resources.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::ids::{OrderId, SessionId, UserId};
use lockstep_domain::purchase::OrderView;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{RequestContext, Shop, ShopError};

/// Maximum number of watchers in this process.
const MOST: usize = 1000;
/// Maximum number of watchers of one user in this process.
const MOST_OF_ONE: usize = 6;
/// Lifetime of a watcher. After it a page that is still open asks again.
const LIFETIME: Duration = Duration::from_mins(10);

/// Interval at which the session is checked even without news: it may expire.
const LOOK: Duration = Duration::from_secs(15);

/// Number of current watchers per user.
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

/// A watcher's place; dropping it frees the place.
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

/// A place among the watchers of a session: what a page that stays open needs to follow something.
pub struct SessionWatch {
    shop: Shop,
    user: UserId,
    session: SessionId,
    news: watch::Receiver<u64>,
    ends: Instant,
    closing: CancellationToken,
    _seat: Seat,
}

impl std::fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionWatch").finish_non_exhaustive()
    }
}

impl SessionWatch {
    /// Whether the user's session goes on. News from here on ends the next [`wait`](Self::wait).
    pub async fn goes_on(&mut self) -> bool {
        // Marked as seen before what the caller reads, so that news during the read counts as new.
        self.news.borrow_and_update();
        self.shop.goes_on(self.user, self.session).await.unwrap_or(false)
    }

    /// Waits for news of any change, at least for `calm` and at most for `patience`. Returns whether the watch goes on: it
    /// ends after ten minutes, and when the shop closes.
    pub async fn wait(&mut self, calm: Duration, patience: Duration) -> bool {
        let Self {
            news, ends, closing, ..
        } = self;
        tokio::select! {
            () = closing.cancelled() => false,
            () = tokio::time::sleep_until(*ends) => false,
            () = tokio::time::sleep(patience) => true,
            told = async {
                tokio::time::sleep(calm).await;
                news.changed().await
            } => told.is_ok(),
        }
    }
}

/// A watcher of one of a user's orders.
pub struct OrderWatch {
    watch: SessionWatch,
    id: OrderId,
    told: Option<OrderView>,
}

impl std::fmt::Debug for OrderWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderWatch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl OrderWatch {
    /// The order: at once for the first call, then each time it has changed. It never contains the content of its keys.
    /// `None` after the final state was returned, or when the watch has ended, at the latest with the user's session.
    pub async fn next(&mut self) -> Option<OrderView> {
        if self.told.as_ref().is_some_and(OrderView::is_final) {
            return None;
        }
        loop {
            if !self.watch.goes_on().await {
                return None;
            }
            let order = self.watch.shop.order_of(self.watch.user, self.id).await.ok()??;
            if self.told.as_ref() != Some(&order) {
                self.told = Some(order.clone());
                return Some(order);
            }
            if !self.watch.wait(Duration::ZERO, LOOK).await {
                return None;
            }
        }
    }
}

impl RequestContext {
    /// Takes a place among the watchers of the caller's session.
    ///
    /// # Errors
    /// [`ShopError::Busy`] when there are too many watchers; a refusal when the caller is not signed in.
    pub fn watch(&self) -> Result<SessionWatch, ShopError> {
        let caller = self.signed_in()?;
        let (user, session, shop) = (caller.user(), caller.session(), self.shop());
        Ok(SessionWatch {
            user,
            session,
            news: shop.cache().news(),
            ends: Instant::now() + LIFETIME,
            closing: shop.closing().clone(),
            _seat: shop.watchers().enter(user).ok_or(ShopError::Busy)?,
            shop: shop.clone(),
        })
    }

    /// Watches one of the caller's orders.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when it does not exist or belongs to another user; [`ShopError::Busy`] when there are
    /// too many watchers.
    #[tracing::instrument(name = "shop.watch_order", skip_all, fields(order = %id))]
    pub async fn watch_order(&self, id: OrderId) -> Result<OrderWatch, ShopError> {
        self.order_without_keys(id).await?;
        Ok(OrderWatch {
            watch: self.watch()?,
            id,
            told: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn watchers_are_limited_per_user_and_in_total() {
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
