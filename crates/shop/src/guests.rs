//! Who is a guest, and that looking counts as use: a guest lives 24 hours after the last look, not only after the last
//! write.

use std::time::Duration;

use lockstep_auth::Device;
use lockstep_domain::cart::Visitor;
use lockstep_store::guests;
use uuid::Uuid;

use crate::{Shop, ShopError};

/// The last use of a guest is noted as often; a guest lives so much longer that nobody notices.
const NOTED_FOR: Duration = Duration::from_mins(1);
/// How many guests are remembered to be alive. Of more than these the database is asked.
const MOST: u64 = 100_000;

/// Guests whose last use was noted a moment ago. They cannot have run out meanwhile.
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

/// What a cookie turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    /// A guest, known to be alive.
    Alive,
    /// A guest whose life has just been prolonged.
    Renewed,
    /// Nobody (any more).
    Nobody,
}

impl Shop {
    /// What the cookie stands for; prolongs a guest's life.
    pub(crate) async fn guest(&self, cookie: Uuid) -> Result<Guest, ShopError> {
        let living = &self.0.living.0;
        if living.contains_key(&cookie) {
            return Ok(Guest::Alive);
        }
        if guests::touch(self.store(), cookie).await? {
            living.insert(cookie, ());
            Ok(Guest::Renewed)
        } else {
            Ok(Guest::Nobody)
        }
    }

    /// Before a write: whoever would become a guest by it is counted, so that nobody makes guests by the million.
    pub(crate) async fn admit(&self, visitor: Visitor, device: &Device) -> Result<(), ShopError> {
        let is_new = match visitor {
            Visitor::User(_) => false,
            Visitor::Guest(None) | Visitor::Newcomer(_) => true,
            Visitor::Guest(Some(cookie)) => self.guest(cookie).await? == Guest::Nobody,
        };
        if is_new {
            self.auth().allow_new_guest(device).await?;
        }
        Ok(())
    }
}
