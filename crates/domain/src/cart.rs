//! Carts and wishlists: how many of what may be in one, how two become one, and what their owner sees.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::cache_key::{CacheKey, game_tag};
use crate::catalogue::iso_millis;
use crate::ids::{GameId, ShopperId, UserId};
use crate::money::Money;

/// How much fits into a cart and a wishlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CartLimits {
    /// Most copies of one game.
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

/// Whose cart and wishlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A registered person's.
    User(UserId),
    /// A guest's, by the id of the guest session.
    Guest(ShopperId),
}

impl Owner {
    /// The id under which lines are stored.
    pub fn shopper(self) -> ShopperId {
        match self {
            Self::User(id) => ShopperId(id.0),
            Self::Guest(id) => id,
        }
    }

    /// Where the cart is cached.
    pub fn cart_key(self) -> CacheKey {
        match self {
            Self::User(id) => CacheKey::UserCart(ShopperId(id.0)),
            Self::Guest(id) => CacheKey::SessionCart(id),
        }
    }

    /// Where the wishlist is cached.
    pub fn wishlist_key(self) -> CacheKey {
        match self {
            Self::User(id) => CacheKey::UserWishlist(ShopperId(id.0)),
            Self::Guest(id) => CacheKey::SessionWishlist(id),
        }
    }
}

/// Who stands at the door: somebody with a checked token, or the bare value of a cookie (or none), which may be
/// anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// Carries a token that was checked.
    User(UserId),
    /// What the cookie says; only the database knows whether there is such a guest.
    Guest(Option<Uuid>),
    /// Nobody yet, with a token that was checked: becomes this guest by the first write, or joins it when another first
    /// write of the same browser came a moment before.
    Newcomer(Uuid),
}

/// What a cart or a wishlist shows of a game (the contract's `MiniGame`, with the fields that its pages use if present).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MiniGame {
    /// Which.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// Address of its page.
    pub slug: String,
    /// Address of its picture.
    pub image: String,
    /// What it costs now, EUR.
    pub price: Money,
    /// What it cost before a discount; left out without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original_price: Option<Money>,
    /// Percent; left out without one, because the front-end would print a bare zero.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub discount: Option<i32>,
    /// `EUR`.
    pub currency: String,
    /// Whether it can be bought now.
    pub in_stock: bool,
    /// Names.
    pub platforms: Vec<String>,
    /// Names.
    pub genres: Vec<String>,
    /// Among the most bought.
    pub is_best_seller: bool,
    /// Not released yet.
    pub is_preorder: bool,
}

/// A price that is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceChange {
    /// When the game was put here, EUR.
    pub from: Money,
    /// Now, EUR.
    pub to: Money,
}

impl PriceChange {
    /// The change since `seen`, if there is one and the old price is known.
    pub fn since(seen: Option<Money>, now: Money) -> Option<Self> {
        seen.filter(|seen| *seen != now).map(|from| Self { from, to: now })
    }
}

/// One game in a cart (the contract's `CartItem`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CartLine {
    /// Which game.
    pub game_id: GameId,
    /// Copies.
    pub quantity: u32,
    /// When it was put in first.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub added_at: DateTime<Utc>,
    /// Left out while the price is what it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price_changed: Option<PriceChange>,
    /// The game as it is now.
    pub game: MiniGame,
}

/// A cart: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cart {
    /// Its lines.
    pub items: Vec<CartLine>,
    /// Exactly the sum of price times quantity of every line, EUR.
    pub total: Money,
}

impl Cart {
    /// A cart of these lines; `None` when the sum is more than Lockstep can charge.
    pub fn of(items: Vec<CartLine>) -> Option<Self> {
        let total = items.iter().try_fold(Money::ZERO, |sum, line| {
            sum.checked_add(line.game.price.checked_mul(line.quantity)?)
        })?;
        Some(Self { items, total })
    }

    /// Cache tags of the games in it, beside those of the key.
    pub fn tags(&self) -> Vec<String> {
        self.items.iter().map(|line| game_tag(line.game_id)).collect()
    }

    /// Nothing in it.
    pub const EMPTY: Self = Self {
        items: Vec::new(),
        total: Money::ZERO,
    };
}

/// One game on a wishlist (the contract's `WishItem`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishItem {
    /// Which game.
    pub game_id: GameId,
    /// When it was put on the list.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub added_at: DateTime<Utc>,
    /// Cheaper than when it was put on the list; left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price_drop: Option<PriceChange>,
    /// Sold out at some time since it was put on the list, and now to be had again; left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub back_in_stock: bool,
    /// The game as it is now.
    pub game: MiniGame,
}

/// A sold-out game that a member waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StockAlert {
    /// Which game.
    pub game_id: GameId,
    /// Since when.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// The game as it is now.
    pub game: MiniGame,
}

/// A wishlist: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Wishlist {
    /// What is on it.
    pub items: Vec<WishItem>,
}

impl Wishlist {
    /// Cache tags of the games on it, beside those of the key.
    pub fn tags(&self) -> Vec<String> {
        self.items.iter().map(|item| game_tag(item.game_id)).collect()
    }
}

/// A line as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Which game.
    pub game: GameId,
    /// Copies, positive.
    pub quantity: u32,
    /// When it was put in first.
    pub added_at: DateTime<Utc>,
    /// Price when it was put in, if known.
    pub price_seen: Option<Money>,
}

/// A guest's line on its way to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovingLine {
    /// As the guest's cart has it.
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
    /// Not now.
    SoldOut,
    /// Taken out of the shop.
    Gone,
}

/// Why something did not move from the guest's cart or wishlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LeftOutReason {
    /// The game is not in the shop any more.
    Gone,
    /// The game is sold out.
    SoldOut,
    /// As many games as fit are there already.
    Full,
    /// Some copies were above the most that one line may have.
    TooMany,
}

/// Something that did not move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeftOut {
    /// Which game.
    pub game_id: GameId,
    /// Its title.
    pub title: String,
    /// Why.
    pub reason: LeftOutReason,
    /// Copies that did not move (1 on a wishlist).
    pub copies: u32,
}

/// What came of moving a guest's cart or wishlist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Moved {
    /// Copies that the user's cart gained, or games that the wishlist gained.
    pub moved: u32,
    /// What did not move.
    pub left_out: Vec<LeftOut>,
}

/// The user's lines that become new or different when a guest's cart is put into theirs, and the report.
///
/// Quantities add up as far as a line may go; a user's line that is above it already stays. The guest's newest lines
/// come first when there is not room for all.
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
                    // What was seen last counts.
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
    fn the_total_is_exact_to_the_cent() {
        let cart = Cart::of(vec![line("0.10", 3), line("19.99", 99), line("0.07", 1)]).unwrap();
        assert_eq!(cart.total, money("1979.38"));
        assert_eq!(Cart::of(vec![]).unwrap(), Cart::EMPTY);
        assert!(Cart::of(vec![line("9999999999.99", 2)]).is_none());
    }

    #[test]
    fn a_line_says_when_its_price_changed_and_only_then() {
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
    fn a_cached_cart_reads_back_as_it_was() {
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
        /// Every copy is either in the user's cart afterwards or named in the report; nothing of the user's is lost;
        /// no limit is passed that was not passed before.
        #[test]
        fn nothing_is_lost_and_nothing_doubled(
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
