//! Typed identifiers, so that a game's id cannot be passed as a user's.
//!
//! New rows get UUID v7 (sorted by creation time); any UUID is accepted, because an imported shop brings its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )+};
}

typed_id! {
    /// A game (`games.id`).
    GameId,
    /// A user (`users.id`).
    UserId,
    /// An order (`orders.id`).
    OrderId,
    /// An order unit: one purchase, one key (`order_units.id`).
    UnitId,
    /// A stored key (`game_keys.id`).
    KeyId,
    /// The owner of a cart and a wishlist: a user or a guest session (`shoppers.id`).
    ShopperId,
    /// A user's session (`user_sessions.id`).
    SessionId,
    /// A balance top-up (`top_ups.id`).
    TopUpId,
    /// A synchronisation run (`sync_runs.id`).
    SyncRunId,
}
