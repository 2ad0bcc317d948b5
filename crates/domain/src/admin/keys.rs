//! Game keys as staff see them: masked, except for the one that is revealed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{MASKED_KEY, Paging};
use crate::catalogue::iso_millis;
use crate::ids::{GameId, OrderId};
use crate::money::Money;
use crate::order::OrderStatus;
use crate::purchase::iso_millis_or_none;
use crate::secret::Secret;

/// Characters of a key that are shown at its end.
const SHOWN: usize = 4;
/// A key of fewer letters and digits is hidden whole: what remains of a longer one cannot be guessed.
const LEAST_TO_SHOW: usize = 15;

/// A key as lists show it: `••••••••`, and the last four characters of a long enough one.
pub fn masked(key: &str) -> String {
    let known = key.chars().filter(|c| c.is_alphanumeric()).count();
    if known < LEAST_TO_SHOW || key.contains('\n') {
        return MASKED_KEY.to_owned();
    }
    let end: Vec<char> = key.chars().rev().take(SHOWN).collect();
    MASKED_KEY.chars().chain(end.into_iter().rev()).collect()
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyRow {
    /// Identifier.
    pub id: Uuid,
    /// Its game.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub game_id: GameId,
    /// The key, masked.
    pub key: String,
    /// The order that it was delivered to; `null` for own stock.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Uuid>))]
    pub order_id: Option<OrderId>,
    /// Whether it counts as used; nothing sells it then.
    pub activated: bool,
    /// Since when.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub activation_date: Option<DateTime<Utc>>,
    /// When it was stored.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// Whether it is a file.
    pub is_file: bool,
    /// What it cost the shop, EUR, if that is known; of a key bought at G2A its unit says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// When it was replaced as faulty; `orderId` is the order that it was delivered to before.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub faulty_at: Option<DateTime<Utc>>,
    /// Its game.
    pub game: GameKeyGame,
    /// The order of `orderId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<GameKeyOrder>,
}

/// The game of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyGame {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: GameId,
    /// Title.
    pub title: String,
    /// Slug.
    pub slug: String,
    /// URL of the cover.
    pub image: String,
}

/// The order of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyOrder {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: OrderId,
    /// Who placed it.
    pub user_id: Uuid,
    /// Total, EUR.
    pub total: Money,
    /// Status.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: OrderStatus,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// The same person by name; left out for staff who may not read orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<GameKeyOwner>,
}

/// The user whose order has a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyOwner {
    /// Identifier.
    pub id: Uuid,
    /// E-mail address.
    pub email: String,
    /// Display name.
    pub nickname: String,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyList {
    /// The keys, newest first.
    pub keys: Vec<GameKeyRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// Figures about all keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyStatistics {
    /// Number of keys.
    pub total_keys: u64,
    /// Those that count as used, among them the faulty ones.
    pub activated_keys: u64,
    /// The others.
    pub unactivated_keys: u64,
    /// By game, those with most keys first, at most 1,000.
    pub keys_by_game: Vec<KeysOfGame>,
    /// By order, newest first, at most 1,000.
    pub keys_by_order: Vec<KeysOfOrder>,
}

/// Number of keys of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeysOfGame {
    /// The game.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub game_id: GameId,
    /// Its title.
    pub game_title: String,
    /// Number of keys.
    pub total: u64,
    /// Those that count as used.
    pub activated: u64,
    /// The others.
    pub unactivated: u64,
}

/// Number of keys of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeysOfOrder {
    /// The order.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub order_id: OrderId,
    /// Number of keys.
    pub total: u64,
    /// Those that count as used.
    pub activated: u64,
    /// The others.
    pub unactivated: u64,
}

/// A key in clear text, for the member of staff who gave a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevealedKey {
    /// Identifier.
    pub id: Uuid,
    /// The key; a file in base64.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Secret,
    /// Whether it is a file.
    pub is_file: bool,
}

/// A faulty key and the key that its unit has instead, or will have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyReplacement {
    /// The faulty key.
    pub replaced: GameKeyRow,
    /// The key in its place; null while one is being bought.
    pub replacement: Option<GameKeyRow>,
    /// Whether another key is being bought. If none can be bought, the unit gets the faulty key again.
    pub buying: bool,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameKeyImport {
    /// Identifies the import in the audit log.
    pub import_id: Uuid,
    /// Whether nothing was stored, on request.
    pub dry_run: bool,
    /// Lines with a key, without the heading.
    pub lines: u64,
    /// Keys that were stored, or would have been.
    pub imported: u64,
    /// Number of games that they belong to.
    pub games: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// The first 1,000 of them.
    pub refused_lines: Vec<RefusedLine>,
}

/// A refused line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedLine {
    /// Number of the line in the file, from 1.
    pub line: u64,
    /// Why, for programs.
    pub code: &'static str,
    /// Why, for people. It never repeats the key.
    pub reason: String,
    /// With `duplicate`: the order that has this key, if it was sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// With `duplicate_in_file`: the line that has it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_line: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_keys_are_hidden_whole_and_long_ones_show_their_end() {
        for (key, shown) in [
            ("ABCDE-FGHIJ-KLMNO", "••••••••LMNO"),
            ("ABCDE-FGHIJ-KLMN", "••••••••"),
            ("1234-5678-9012", "••••••••"),
            ("---------------------", "••••••••"),
            ("user: abcdefgh\npassword: ijklmnop", "••••••••"),
            ("", "••••••••"),
        ] {
            assert_eq!(masked(key), shown, "{key}");
        }
    }
}
