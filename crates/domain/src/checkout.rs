//! Checkout: what an order may contain, and its exact price.
//!
//! An order's discount is a percentage of its subtotal, rounded half up. It is distributed over the order units so that
//! the amounts paid for the units add up to the total exactly and no unit costs more than its price. A refund of a unit
//! is the amount paid for it.

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use crate::ids::GameId;
use crate::money::Money;

/// The longest promo code, in bytes.
const MAX_CODE: usize = 40;

/// Limits of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderLimits {
    /// Highest quantity of one game.
    pub per_line: u32,
    /// Most different games.
    pub lines: u32,
    /// Most units in total.
    pub copies: u32,
}

impl Default for OrderLimits {
    fn default() -> Self {
        Self {
            per_line: 99,
            lines: 100,
            copies: 200,
        }
    }
}

/// A game and its quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Game id.
    pub game: GameId,
    /// Quantity, positive.
    pub quantity: u32,
}

/// A requested order, validated as far as possible without a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// Every game once, in the order of its first mention.
    items: Vec<Wanted>,
    promo_code: Option<String>,
    expected_total: Option<Money>,
    /// When set, a promo code must not reduce a supplier's game below its cost; the markup on that cost, in percent.
    protected_markup: Option<Decimal>,
}

/// Why a request cannot become an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutFault {
    /// No items at all.
    #[error("The order has no items")]
    Empty,
    /// A quantity of zero or less.
    #[error("quantity must be a whole number from 1")]
    NotPositive,
    /// The quantity of one game is above the limit.
    #[error("At most {most} copies of one game can be ordered at once")]
    TooManyCopies {
        /// The limit.
        most: u32,
    },
    /// The number of different games is above the limit.
    #[error("At most {most} games can be ordered at once")]
    TooManyGames {
        /// The limit.
        most: u32,
    },
    /// The total number of units is above the limit.
    #[error("At most {most} copies can be ordered at once")]
    TooMany {
        /// The limit.
        most: u32,
    },
}

impl Checkout {
    /// Validates an order of these games and quantities. A game that occurs twice becomes one item with the sum. An
    /// empty promo code counts as none; any other is case-insensitive.
    ///
    /// # Errors
    /// [`CheckoutFault`].
    pub fn new(
        wanted: impl IntoIterator<Item = (GameId, i64)>,
        promo_code: Option<&str>,
        expected_total: Option<Money>,
        limits: OrderLimits,
    ) -> Result<Self, CheckoutFault> {
        let mut items: Vec<Wanted> = Vec::new();
        let mut copies = 0_u32;
        for (game, quantity) in wanted {
            if quantity <= 0 {
                return Err(CheckoutFault::NotPositive);
            }
            let quantity = u32::try_from(quantity).unwrap_or(u32::MAX);
            copies = copies.saturating_add(quantity);
            let line = match items.iter().position(|item| item.game == game) {
                Some(at) => at,
                None if u32::try_from(items.len()).is_ok_and(|lines| lines >= limits.lines) => {
                    return Err(CheckoutFault::TooManyGames { most: limits.lines });
                }
                None => {
                    items.push(Wanted { game, quantity: 0 });
                    items.len() - 1
                }
            };
            if let Some(line) = items.get_mut(line) {
                line.quantity = line.quantity.saturating_add(quantity);
                if line.quantity > limits.per_line {
                    return Err(CheckoutFault::TooManyCopies { most: limits.per_line });
                }
            }
        }
        if items.is_empty() {
            return Err(CheckoutFault::Empty);
        }
        if copies > limits.copies {
            return Err(CheckoutFault::TooMany { most: limits.copies });
        }
        Ok(Self {
            items,
            promo_code: promo_code
                .map(|code| code.trim().to_uppercase())
                .filter(|code| !code.is_empty()),
            expected_total,
            protected_markup: None,
        })
    }

    /// The same order with protection of the cost: a promo code must not reduce a price below it. `markup_percent` is
    /// the markup contained in the prices.
    #[must_use]
    pub fn not_below_cost(self, markup_percent: Decimal) -> Self {
        Self {
            protected_markup: Some(markup_percent),
            ..self
        }
    }

    /// Whether `paid` for a supplier's game of this `price` is below its cost although the order protects the cost.
    ///
    /// A price is the cost plus the markup, rounded to cents; the cost is derived as the amount that rounds to that
    /// price.
    pub fn is_below_cost(&self, price: Money, paid: Money) -> bool {
        self.protected_markup.is_some_and(|markup| {
            (Decimal::ONE_HUNDRED.checked_add(markup))
                .and_then(|factor| price.decimal().checked_mul(Decimal::ONE_HUNDRED)?.checked_div(factor))
                .and_then(|cost| Money::rounded(cost).ok())
                .is_none_or(|cost| paid < cost)
        })
    }

    /// The games, without duplicates.
    pub fn items(&self) -> &[Wanted] {
        &self.items
    }

    /// The promo code, in upper case.
    pub fn promo_code(&self) -> Option<&str> {
        self.promo_code.as_deref()
    }

    /// Whether the promo code is well-formed (letters, digits, `-`, `_`; 2 to 40 of them).
    pub fn promo_code_is_possible(&self) -> bool {
        self.promo_code().is_none_or(|code| {
            (2..=MAX_CODE).contains(&code.len())
                && code
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        })
    }

    /// The total that was shown to the shopper, if the request contains it.
    pub fn expected_total(&self) -> Option<Money> {
        self.expected_total
    }

    /// A digest of the requested order. The sequence of the games does not affect it.
    pub fn digest(&self) -> [u8; 32] {
        let mut items = self.items.clone();
        items.sort_by_key(|item| item.game);
        let mut hash = Sha256::new();
        for item in &items {
            hash.update(item.game.0.as_bytes());
            hash.update(item.quantity.to_be_bytes());
        }
        // Neither a code nor an amount contains a line feed.
        hash.update(format!(
            "\n{}\n{}",
            self.promo_code().unwrap_or_default(),
            self.expected_total.map(|total| total.to_string()).unwrap_or_default()
        ));
        hash.finalize().into()
    }
}

/// The price of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Sum before the discount, EUR.
    pub subtotal: Money,
    /// Discount, EUR.
    pub discount: Money,
    /// Amount to pay, EUR.
    pub total: Money,
    /// The items, in the given order.
    pub lines: Vec<BillLine>,
}

/// The price of one order item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillLine {
    /// The item's share of the discount, EUR.
    pub discount: Money,
    /// The amount to pay for each unit, EUR.
    pub copies: Vec<Money>,
}

/// Totals items of (unit price, quantity) and deducts `percent` (0 to 100). `None` when the sum exceeds the largest
/// amount.
pub fn bill(lines: &[(Money, u32)], percent: Option<Decimal>) -> Option<Bill> {
    let subtotal = lines.iter().try_fold(Money::ZERO, |sum, (price, quantity)| {
        sum.checked_add(price.checked_mul(*quantity)?)
    })?;
    let discount = match percent {
        Some(percent) => Money::rounded(subtotal.decimal().checked_mul(percent)? / Decimal::ONE_HUNDRED)
            .ok()?
            .clamp(Money::ZERO, subtotal),
        None => Money::ZERO,
    };
    let mut spread = Spread {
        discount: discount.cents(),
        subtotal: subtotal.cents(),
        seen: 0,
        given: 0,
    };
    let lines = lines
        .iter()
        .map(|(price, quantity)| {
            let mut line = BillLine {
                discount: Money::ZERO,
                copies: Vec::new(),
            };
            for _ in 0..*quantity {
                let share = Money::from_cents(spread.next(price.cents())).ok()?;
                line.discount = line.discount.checked_add(share)?;
                line.copies.push(price.checked_sub(share)?);
            }
            Some(line)
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Bill {
        subtotal,
        discount,
        total: subtotal.checked_sub(discount)?,
        lines,
    })
}

/// Distributes a discount in proportion to prices, in whole cents: after each unit, the amount distributed equals the
/// exact share of all units so far, rounded down. Nothing remains at the end, and no share exceeds its unit's price.
struct Spread {
    discount: i64,
    subtotal: i64,
    seen: i64,
    given: i64,
}

impl Spread {
    fn next(&mut self, price: i64) -> i64 {
        self.seen += price;
        let due = if self.subtotal == 0 {
            0
        } else {
            // Fits i64: `due` is at most the discount.
            i64::try_from(i128::from(self.discount) * i128::from(self.seen) / i128::from(self.subtotal)).unwrap_or(0)
        };
        let share = due - self.given;
        self.given = due;
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::Pricing;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn game(n: u128) -> GameId {
        GameId(Uuid::from_u128(n))
    }

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn checkout(items: &[(GameId, i64)]) -> Result<Checkout, CheckoutFault> {
        Checkout::new(items.iter().copied(), None, None, OrderLimits::default())
    }

    #[test]
    fn promo_code_must_not_reduce_a_price_below_cost() {
        let order = checkout(&[(game(1), 1)]).unwrap();
        assert!(
            !order.is_below_cost(money("10.20"), money("0.01")),
            "unless it is protected"
        );
        let order = order.not_below_cost(Decimal::TWO);
        assert!(!order.is_below_cost(money("10.20"), money("10.00")), "sold at cost");
        assert!(order.is_below_cost(money("10.20"), money("9.99")));
        assert!(
            order
                .not_below_cost(Decimal::ZERO)
                .is_below_cost(money("10.20"), money("10.19"))
        );
    }

    #[test]
    fn invalid_orders_have_distinct_errors() {
        assert_eq!(checkout(&[]), Err(CheckoutFault::Empty));
        for quantity in [0, -5, i64::MIN] {
            assert_eq!(checkout(&[(game(1), quantity)]), Err(CheckoutFault::NotPositive));
        }
        assert!(checkout(&[(game(1), 99)]).is_ok());
        for quantity in [100, i64::MAX] {
            let most = 99;
            assert_eq!(
                checkout(&[(game(1), quantity)]),
                Err(CheckoutFault::TooManyCopies { most })
            );
        }
        assert_eq!(
            checkout(&[(game(1), 98), (game(1), 2)]),
            Err(CheckoutFault::TooManyCopies { most: 99 })
        );
        let many: Vec<_> = (0..101).map(|n| (game(n), 1)).collect();
        assert_eq!(checkout(&many), Err(CheckoutFault::TooManyGames { most: 100 }));
        let much: Vec<_> = (0..3).map(|n| (game(n), 70)).collect();
        assert_eq!(checkout(&much), Err(CheckoutFault::TooMany { most: 200 }));
    }

    #[test]
    fn duplicate_games_become_one_item() {
        let twice = checkout(&[(game(2), 1), (game(1), 2), (game(2), 3)]).unwrap();
        let wanted = |game, quantity| Wanted { game, quantity };
        assert_eq!(twice.items(), [wanted(game(2), 4), wanted(game(1), 2)]);
        assert_eq!(
            twice.digest(),
            checkout(&[(game(1), 2), (game(2), 4)]).unwrap().digest()
        );
    }

    #[test]
    fn different_orders_have_different_digests() {
        let with = |code, total: Option<&str>, quantity| {
            let total = total.map(money);
            Checkout::new([(game(1), quantity)], code, total, OrderLimits::default())
                .unwrap()
                .digest()
        };
        let all = [
            with(None, None, 1),
            with(None, None, 2),
            with(Some("A1"), None, 1),
            with(None, Some("1"), 1),
            with(Some("A1"), Some("1"), 1),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert!(!all[..at].contains(digest), "{at}");
        }
        assert_eq!(with(Some(" a1 "), None, 1), with(Some("A1"), None, 1));
        assert_eq!(with(Some("  "), None, 1), with(None, None, 1));
    }

    #[test]
    fn malformed_promo_codes_are_detected_without_a_lookup() {
        for (code, possible) in [
            ("gkeys10", true),
            ("A", false),
            ("'; drop", false),
            ("ÄÖ", false),
            (&*"X".repeat(41), false),
        ] {
            let order = Checkout::new([(game(1), 1)], Some(code), None, OrderLimits::default()).unwrap();
            assert_eq!(order.promo_code_is_possible(), possible, "{code}");
        }
    }

    #[test]
    fn discount_is_rounded_half_up_and_distributed_exactly() {
        let order = bill(&[(money("0.05"), 1)], Some(Decimal::TEN)).unwrap();
        assert_eq!((order.discount, order.total), (money("0.01"), money("0.04")));
        let order = bill(&[(money("9.99"), 3), (money("0.01"), 1)], Some(Decimal::TEN)).unwrap();
        assert_eq!((order.subtotal, order.discount), (money("29.98"), money("3.00")));
        assert_eq!(order.lines[0].copies, [money("9.00"), money("8.99"), money("8.99")]);
        assert_eq!(order.lines[1].copies, [money("0.00")]);
        let free = bill(&[(money("5"), 2)], Some(Decimal::ONE_HUNDRED)).unwrap();
        assert_eq!((free.total, free.lines[0].copies.len()), (Money::ZERO, 2));
        assert_eq!(bill(&[(money("9999999999.99"), 2)], None), None);
    }

    proptest! {
        #[test]
        fn cost_is_recovered_from_the_price(cents in 1_i64..10_000_000, markup in 0_u32..500) {
            let pricing = Pricing { markup_percent: markup.into(), ..Pricing::default() };
            let cost = Money::from_cents(cents).unwrap();
            let price = pricing.marked_up(cost.decimal()).unwrap();
            let order = checkout(&[(game(1), 1)]).unwrap().not_below_cost(markup.into());
            prop_assert!(!order.is_below_cost(price, cost));
            prop_assert!(order.is_below_cost(price, Money::from_cents(cents - 1).unwrap()));
        }

        #[test]
        fn units_add_up_to_the_total_and_never_exceed_their_price(
            lines in prop::collection::vec((1_i64..2_000_000, 1_u32..40), 1..12),
            percent in prop::option::of(1_i64..=10_000),
        ) {
            let lines: Vec<(Money, u32)> =
                lines.into_iter().map(|(cents, n)| (Money::from_cents(cents).unwrap(), n)).collect();
            let bill = bill(&lines, percent.map(|p| Decimal::new(p, 2))).unwrap();
            let cents = |sum: &mut dyn Iterator<Item = Money>| sum.map(Money::cents).sum::<i64>();
            prop_assert_eq!(cents(&mut lines.iter().map(|(p, n)| p.checked_mul(*n).unwrap())), bill.subtotal.cents());
            prop_assert_eq!(bill.subtotal.cents() - bill.discount.cents(), bill.total.cents());
            prop_assert_eq!(cents(&mut bill.lines.iter().map(|l| l.discount)), bill.discount.cents());
            prop_assert_eq!(cents(&mut bill.lines.iter().flat_map(|l| l.copies.clone())), bill.total.cents());
            let exact = bill.subtotal.decimal() * Decimal::new(percent.unwrap_or(0), 4);
            prop_assert!((bill.discount.decimal() - exact).abs() <= Decimal::new(5, 3));
            for ((price, quantity), line) in lines.iter().zip(&bill.lines) {
                prop_assert_eq!(line.copies.len(), usize::try_from(*quantity).unwrap());
                prop_assert!(line.copies.iter().all(|paid| *paid >= Money::ZERO && paid <= price));
            }
        }
    }
}
