//! Scheduled changes of games, as staff see them.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Paging;
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::purchase::iso_millis_or_none;

/// What is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedChange {
    /// The price; with `is_sale` the price of before is shown beside it.
    Price {
        /// The new price, EUR.
        price: Money,
        /// Whether it is shown as a reduction.
        is_sale: bool,
    },
    /// Whether the game is on sale.
    Visible(bool),
    /// Whether the game is among the best sellers.
    Featured(bool),
}

impl PlannedChange {
    /// What it changes: its name in the database.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Price { .. } => "PRICE",
            Self::Visible(_) => "VISIBLE",
            Self::Featured(_) => "FEATURED",
        }
    }

    /// The new price.
    pub const fn price(self) -> Option<Money> {
        match self {
            Self::Price { price, .. } => Some(price),
            Self::Visible(_) | Self::Featured(_) => None,
        }
    }

    /// The new value of what is no price.
    pub const fn value(self) -> Option<bool> {
        match self {
            Self::Price { .. } => None,
            Self::Visible(value) | Self::Featured(value) => Some(value),
        }
    }
}

/// The state of a scheduled change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ScheduleState {
    /// It has not begun.
    Waiting,
    /// It has begun and not ended.
    Active,
    /// It is over.
    Done,
    /// It was not carried out, or not taken back, for a reason.
    Skipped,
    /// Staff cancelled it before it began.
    Cancelled,
}

impl ScheduleState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Active, Self::Done, Self::Skipped, Self::Cancelled];

    /// The name in the database and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Active => "ACTIVE",
            Self::Done => "DONE",
            Self::Skipped => "SKIPPED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl FromStr for ScheduleState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let state = Self::ALL.into_iter().find(|state| state.name() == text);
        state.ok_or("must be WAITING, ACTIVE, DONE, SKIPPED or CANCELLED")
    }
}

/// A scheduled change of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduledChangeRow {
    /// Identifier.
    pub id: Uuid,
    /// The game.
    pub game_id: Uuid,
    /// Its title.
    pub title: String,
    /// `PRICE`, `SALE`, `VISIBLE` or `FEATURED`.
    pub change: &'static str,
    /// Of `PRICE` and `SALE`: the new price, EUR.
    pub price: Option<Money>,
    /// Of `VISIBLE` and `FEATURED`: the new value.
    pub value: Option<bool>,
    /// When it begins.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub starts_at: DateTime<Utc>,
    /// When it is taken back; `null`: never.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ends_at: Option<DateTime<Utc>>,
    /// Its state.
    pub state: ScheduleState,
    /// Why it was skipped, or not taken back.
    pub reason: Option<String>,
    /// The member of staff who scheduled it.
    pub created_by: Option<Uuid>,
    /// When it was scheduled.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A page of scheduled changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduledChangeList {
    /// The changes, those that begin last first.
    pub changes: Vec<ScheduledChangeRow>,
    /// Position within the list.
    #[serde(flatten)]
    pub paging: Paging,
}
