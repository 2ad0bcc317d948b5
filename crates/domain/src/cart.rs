//! Carts and wishlists: their limits, how a guest's is merged into a user's, and what their owner sees.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::cache_key::game_tag;
use crate::catalogue::iso_millis;
use crate::ids::{GameId, ShopperId, UserId};
use crate::money::Money;

/// Limits of a cart and a wishlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CartLimits {
    /// Highest quantity of one game.
    pub per_line: u32,
    /// Most games in a cart.
    pub lines: u32,
    /// Most games on a wishlist.
    pub wishes: u32,
}

impl Default for CartLimits {
    fn default() -> Self {
        Self {
            per_line: 99,
            lines: 100,
            wishes: 1000,
        }
    }
}

/// The owner of a cart and a wishlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CartOwner {
    /// A registered user.
    User(UserId),
    /// A guest, by the id of the guest session.
    Guest(ShopperId),
}

impl CartOwner {
    /// The shopper id under which items are stored.
    pub fn shopper(self) -> ShopperId {
        match self {
            Self::User(id) => ShopperId(id.0),
            Self::Guest(id) => id,
        }
    }
}

/// The client of a request: a user with a validated token, or the unchecked value of the guest cookie (if any).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A user whose token was validated.
    User(UserId),
    /// The cookie's value; only the database knows whether that guest exists.
    Guest(Option<Uuid>),
    /// A new client with a validated token: its first write creates this guest, or joins it when a concurrent first
    /// write of the same browser already did.
    Newcomer(Uuid),
}

/// What a cart or a wishlist shows of a game (`MiniGame` of the HTTP contract, with the optional fields its pages use).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MiniGame {
    /// Game id.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Cover URL.
    pub image: String,
    /// Current price, EUR.
    pub price: Money,
    /// Price before a discount, EUR; omitted without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original_price: Option<Money>,
    /// Discount in percent; omitted without one, because the front-end would print a bare zero.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub discount: Option<i32>,
    /// The lowest price of the 30 days before the reduction began, EUR; omitted without one.
    #[serde(default, rename = "lowestPrice30d", skip_serializing_if = "Option::is_none")]
    pub lowest_price_30d: Option<Money>,
    /// `EUR`.
    pub currency: String,
    /// Whether it can be bought now.
    pub in_stock: bool,
    /// Names of its platforms.
    pub platforms: Vec<String>,
    /// Names of its genres.
    pub genres: Vec<String>,
    /// Whether it is a best seller.
    pub is_best_seller: bool,
    /// Whether it is not released yet.
    pub is_preorder: bool,
}

/// A price change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceChange {
    /// Price when the game was added, EUR.
    pub from: Money,
    /// Current price, EUR.
    pub to: Money,
}

impl PriceChange {
    /// The change since `seen`; `None` when the price is the same or the old one is unknown.
    pub fn since(seen: Option<Money>, now: Money) -> Option<Self> {
        seen.filter(|seen| *seen != now).map(|from| Self { from, to: now })
    }
}

/// One game in a cart (`CartItem` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CartLine {
    /// Game id.
    pub game_id: GameId,
    /// Quantity.
    pub quantity: u32,
    /// When it was first added.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub added_at: DateTime<Utc>,
    /// Omitted when the price has not changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price_changed: Option<PriceChange>,
    /// The current state of the game.
    pub game: MiniGame,
}

/// A cart, newest item first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cart {
    /// Its items.
    pub items: Vec<CartLine>,
    /// The exact sum of price times quantity over all items, EUR.
    pub total: Money,
}

impl Cart {
    /// A cart of these items; `None` when the sum exceeds the largest amount ([`Money`]).
    pub fn of(items: Vec<CartLine>) -> Option<Self> {
        let total = items.iter().try_fold(Money::ZERO, |sum, line| {
            sum.checked_add(line.game.price.checked_mul(line.quantity)?)
        })?;
        Some(Self { items, total })
    }

    /// Cache tags of the games in it, in addition to those of the key.
    pub fn tags(&self) -> Vec<String> {
        self.items.iter().map(|line| game_tag(line.game_id)).collect()
    }

    /// An empty cart.
    pub const EMPTY: Self = Self {
        items: Vec::new(),
        total: Money::ZERO,
    };
}

/// One game on a wishlist (`WishItem` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishItem {
    /// Game id.
    pub game_id: GameId,
    /// When it was added.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub added_at: DateTime<Utc>,
    /// Set when it is cheaper than when it was added; omitted otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price_drop: Option<PriceChange>,
    /// Set when it was sold out at some time after it was added and is available again; omitted otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub back_in_stock: bool,
    /// The current state of the game.
    pub game: MiniGame,
}

/// A sold-out game for which the user has a stock alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StockAlert {
    /// Game id.
    pub game_id: GameId,
    /// When the alert was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// The current state of the game.
    pub game: MiniGame,
}

/// A wishlist, newest item first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Wishlist {
    /// Its items.
    pub items: Vec<WishItem>,
}

impl Wishlist {
    /// Cache tags of the games on it, in addition to those of the key.
    pub fn tags(&self) -> Vec<String> {
        self.items.iter().map(|item| game_tag(item.game_id)).collect()
    }
}

/// A stored cart item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Game id.
    pub game: GameId,
    /// Quantity, positive.
    pub quantity: u32,
    /// When it was first added.
    pub added_at: DateTime<Utc>,
    /// Price when it was added, EUR, if known.
    pub price_seen: Option<Money>,
}

/// A guest's cart item that is to be moved to a user's cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovingLine {
    /// The guest's stored item.
    pub line: StoredLine,
    /// Title, for the report.
    pub title: String,
    /// Whether the game can be bought.
    pub state: Buyable,
}

/// Whether a game can be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buyable {
    /// Yes.
    Yes,
    /// Sold out at the moment.
    SoldOut,
    /// Removed from the shop.
    Gone,
}

/// Why an item was not moved from the guest's cart or wishlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LeftOutReason {
    /// The game was removed from the shop.
    Gone,
    /// The game is sold out.
    SoldOut,
    /// The cart or wishlist is full.
    Full,
    /// Some of the quantity exceeded the limit for one game.
    TooMany,
}

/// An item that was not moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeftOut {
    /// Game id.
    pub game_id: GameId,
    /// Title of the game.
    pub title: String,
    /// Reason.
    pub reason: LeftOutReason,
    /// Quantity not moved (1 on a wishlist).
    pub copies: u32,
}

/// The result of moving a guest's cart or wishlist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Moved {
    /// Quantity added to the user's cart, or number of games added to the wishlist.
    pub moved: u32,
    /// Items that were not moved.
    pub left_out: Vec<LeftOut>,
}

/// Merges a guest's cart into a user's. Returns the user's items that are new or changed, and the report.
///
/// Quantities add up to the limit for one game; a user's item already above it keeps its quantity. When there is not
/// enough room for all, the guest's newest items take precedence.
pub fn merge(own: &[StoredLine], arriving: &[MovingLine], limits: CartLimits) -> (Vec<StoredLine>, Moved) {
    let mut lines = Vec::new();
    let mut report = Moved::default();
    let mut count = u32::try_from(own.len()).unwrap_or(u32::MAX);
    let mut arriving: Vec<&MovingLine> = arriving.iter().collect();
    arriving.sort_by(|a, b| {
        b.line
            .added_at
            .cmp(&a.line.added_at)
            .then(a.line.game.cmp(&b.line.game))
    });
    for MovingLine { line, title, state } in arriving {
        let mut leave_out = |reason, copies| {
            report.left_out.push(LeftOut {
                game_id: line.game,
                title: title.clone(),
                reason,
                copies,
            });
        };
        match state {
            Buyable::Gone => leave_out(LeftOutReason::Gone, line.quantity),
            Buyable::SoldOut => leave_out(LeftOutReason::SoldOut, line.quantity),
            Buyable::Yes => {
                let mine = own.iter().find(|mine| mine.game == line.game);
                if mine.is_none() && count >= limits.lines {
                    leave_out(LeftOutReason::Full, line.quantity);
                    continue;
                }
                let before = mine.map_or(0, |mine| mine.quantity);
                let after = before.saturating_add(line.quantity).min(limits.per_line).max(before);
                let gained = after - before;
                if gained < line.quantity {
                    leave_out(LeftOutReason::TooMany, line.quantity - gained);
                }
                report.moved = report.moved.saturating_add(gained);
                if gained > 0 {
                    count += u32::from(mine.is_none());
                    // The more recent price counts.
                    let newer = mine.filter(|mine| mine.added_at >= line.added_at).unwrap_or(line);
                    lines.push(StoredLine {
                        quantity: after,
                        ..newer.clone()
                    });
                }
            }
        }
    }
    (lines, report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn game(price: &str) -> MiniGame {
        MiniGame {
            id: GameId(Uuid::nil()),
            title: "Portal".into(),
            slug: "portal".into(),
            image: "/i.png".into(),
            price: money(price),
            original_price: None,
            discount: None,
            lowest_price_30d: None,
            currency: "EUR".into(),
            in_stock: true,
            platforms: vec!["PC".into()],
            genres: vec![],
            is_best_seller: false,
            is_preorder: false,
        }
    }

    fn line(price: &str, quantity: u32) -> CartLine {
        CartLine {
            game_id: GameId(Uuid::nil()),
            quantity,
            added_at: DateTime::from_timestamp(0, 0).unwrap(),
            price_changed: None,
            game: game(price),
        }
    }

    #[test]
    fn cart_total_is_exact() {
        let cart = Cart::of(vec![line("0.10", 3), line("19.99", 99), line("0.07", 1)]).unwrap();
        assert_eq!(cart.total, money("1979.38"));
        assert_eq!(Cart::of(vec![]).unwrap(), Cart::EMPTY);
        assert!(Cart::of(vec![line("9999999999.99", 2)]).is_none());
    }

    #[test]
    fn cart_items_report_price_changes_only() {
        assert_eq!(PriceChange::since(Some(money("5")), money("5.00")), None);
        assert_eq!(PriceChange::since(None, money("5")), None);
        let change = PriceChange::since(Some(money("5")), money("6.10"));
        let json = serde_json::to_string(&CartLine {
            price_changed: change,
            ..line("6.10", 1)
        })
        .unwrap();
        assert!(json.contains(r#""priceChanged":{"from":5.00,"to":6.10}"#), "{json}");
        let json = serde_json::to_string(&line("6.10", 1)).unwrap();
        assert!(
            !json.contains("priceChanged") && !json.contains("originalPrice") && !json.contains("discount"),
            "{json}"
        );
    }

    #[test]
    fn cached_cart_round_trips() {
        let cart = Cart::of(vec![line("1.50", 2)]).unwrap();
        assert_eq!(
            serde_json::from_str::<Cart>(&serde_json::to_string(&cart).unwrap()).unwrap(),
            cart
        );
    }

    fn stored(game: u8, quantity: u32, seconds: i64) -> StoredLine {
        StoredLine {
            game: GameId(Uuid::from_u128(u128::from(game))),
            quantity,
            added_at: DateTime::from_timestamp(seconds, 0).unwrap(),
            price_seen: Some(money("1")),
        }
    }

    prop_compose! {
        fn lines()(map in prop::collection::btree_map(0u8..12, (1u32..120, 0i64..1000), 0..12)) -> Vec<StoredLine> {
            map.into_iter().map(|(game, (quantity, at))| stored(game, quantity, at)).collect()
        }
    }

    proptest! {
        /// Every unit is either in the user's cart afterwards or in the report; no unit of the user's is lost; no limit
        /// is newly exceeded.
        #[test]
        fn merge_neither_loses_nor_duplicates_units(
            own in lines(), guest in lines(), states in prop::collection::vec(0u8..3, 12),
            per_line in 1u32..150, most in 1u32..15,
        ) {
            let limits = CartLimits { per_line, lines: most, wishes: 1 };
            let arriving: Vec<MovingLine> = guest.iter().map(|line| MovingLine {
                line: line.clone(),
                title: String::new(),
                state: match states[usize::try_from(line.game.0.as_u128()).unwrap()] {
                    0 => Buyable::Gone,
                    1 => Buyable::SoldOut,
                    _ => Buyable::Yes,
                },
            }).collect();
            let (changed, report) = merge(&own, &arriving, limits);
            let mut after: BTreeMap<GameId, u32> = own.iter().map(|line| (line.game, line.quantity)).collect();
            for line in &changed {
                after.insert(line.game, line.quantity);
            }
            let sum = |lines: &[StoredLine]| lines.iter().map(|line| line.quantity).sum::<u32>();
            let left: u32 = report.left_out.iter().map(|left| left.copies).sum();
            prop_assert_eq!(report.moved + left, sum(&guest));
            prop_assert_eq!(after.values().sum::<u32>(), sum(&own) + report.moved);
            for mine in &own {
                prop_assert!(after[&mine.game] >= mine.quantity);
            }
            for (game, quantity) in &after {
                let before = own.iter().find(|mine| mine.game == *game).map_or(0, |mine| mine.quantity);
                prop_assert!(*quantity <= per_line.max(before));
            }
            prop_assert!(after.len() <= own.len().max(usize::try_from(most).unwrap()));
            for arriving in &arriving {
                if arriving.state != Buyable::Yes {
                    prop_assert!(changed.iter().all(|line| line.game != arriving.line.game));
                }
            }
        }
    }
}
