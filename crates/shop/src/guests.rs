//! Guests and their lifetime. Reading counts as use: a guest expires 24 hours after the last request, not only after
//! the last write.

use std::time::Duration;

use lockstep_auth::ClientInfo;
use lockstep_domain::cart::Principal;
use lockstep_store::guests;
use uuid::Uuid;

use crate::{Shop, ShopError};

/// How often a guest's last use is stored. The lifetime may be longer by this much.
const NOTED_FOR: Duration = Duration::from_mins(1);
/// Maximum number of guests cached as alive. For more, the database is asked.
const MOST: u64 = 100_000;

/// Guests whose last use was stored recently. They cannot have expired since.
pub(crate) struct Living(moka::sync::Cache<Uuid, ()>);

impl Default for Living {
    fn default() -> Self {
        Self(
            moka::sync::Cache::builder()
                .max_capacity(MOST)
                .time_to_live(NOTED_FOR)
                .build(),
        )
    }
}

/// What a guest cookie refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    /// A guest, known to be alive.
    Alive,
    /// A guest whose lifetime was just extended.
    Renewed,
    /// No guest, or an expired one.
    Unknown,
}

impl Shop {
    /// Resolves a guest cookie and extends the guest's lifetime.
    pub(crate) async fn guest(&self, cookie: Uuid) -> Result<Guest, ShopError> {
        let living = &self.0.living.0;
        if living.contains_key(&cookie) {
            return Ok(Guest::Alive);
        }
        if guests::touch(self.store(), cookie).await? {
            living.insert(cookie, ());
            Ok(Guest::Renewed)
        } else {
            Ok(Guest::Unknown)
        }
    }

    /// Applies the rate limit for new guests before a write that would create one.
    pub(crate) async fn admit(&self, principal: Principal, device: &ClientInfo) -> Result<(), ShopError> {
        let is_new = match principal {
            Principal::User(_) => false,
            Principal::Guest(None) | Principal::Newcomer(_) => true,
            Principal::Guest(Some(cookie)) => self.guest(cookie).await? == Guest::Unknown,
        };
        if is_new {
            self.allow_new_guest(device).await?;
        }
        Ok(())
    }
}
