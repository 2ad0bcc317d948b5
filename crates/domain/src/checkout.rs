//! Checkout: what an order may contain, and its exact price.
//!
//! An order's discount is a percentage of the items that a promo code holds for, rounded half up, or a fixed amount. It is
//! distributed over their units so that the amounts paid for the units add up to the total exactly and no unit costs more
//! than its price. A refund of a unit is the amount paid for it.

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use crate::consent::Consent;
use crate::ids::GameId;
use crate::money::Money;
use crate::tax::Country;

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

impl OrderLimits {
    /// No limits, for an order that was checked when it was sent.
    pub const CHECKED: Self = Self {
        per_line: u32::MAX,
        lines: u32::MAX,
        copies: u32::MAX,
    };
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
    /// Without one, the keys wait for it.
    consent: Option<Consent>,
    /// The country of the request, as a trusted proxy has named it.
    ip_country: Option<Country>,
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
            consent: None,
            ip_country: None,
        })
    }

    /// The same order with the consent to deliver its keys at once, or without.
    #[must_use]
    pub fn with_consent(mut self, consent: Option<Consent>) -> Self {
        self.consent = consent;
        self
    }

    /// The consent to deliver its keys at once.
    pub fn consent(&self) -> Option<&Consent> {
        self.consent.as_ref()
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

    /// The markup in percent that protects the cost; `None` if it is not protected.
    pub fn protected_markup(&self) -> Option<Decimal> {
        self.protected_markup
    }

    /// The same order, requested from this country.
    #[must_use]
    pub fn ordered_from(self, ip_country: Option<Country>) -> Self {
        Self { ip_country, ..self }
    }

    /// The country of the request, if a trusted proxy has named it.
    pub fn ip_country(&self) -> Option<Country> {
        self.ip_country
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

    /// Whether `paid` for a supplier's game is below its cost although the order protects the cost: what the supplier asks
    /// if that is known, otherwise what follows from `price`.
    pub fn is_below(&self, cost: Option<Decimal>, price: Money, paid: Money) -> bool {
        match cost {
            Some(cost) => self.protected_markup.is_some() && paid.decimal() < cost,
            None => self.is_below_cost(price, paid),
        }
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

/// What a promo code takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Percent of the items that it holds for, 0 to 100.
    Percent(Decimal),
    /// EUR, at most what these items cost.
    Amount(Money),
}

/// An item to total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillItem {
    /// Unit price, EUR.
    pub price: Money,
    /// Quantity.
    pub quantity: u32,
    /// Whether the promo code holds for it.
    pub is_reduced: bool,
}

/// Totals items and deducts the reduction from those that it holds for. `None` when the sum exceeds the largest amount.
///
/// The discount is distributed over the units in proportion to their prices, in whole cents: each has its share rounded
/// down, and the cents that remain go to the units with the largest remainders, the first of equal ones.
pub fn bill(items: &[BillItem], reduction: Option<Reduction>) -> Option<Bill> {
    let (mut subtotal, mut reduced) = (Money::ZERO, Money::ZERO);
    for item in items {
        let sum = item.price.checked_mul(item.quantity)?;
        subtotal = subtotal.checked_add(sum)?;
        if item.is_reduced {
            reduced = reduced.checked_add(sum)?;
        }
    }
    let discount = match reduction {
        Some(Reduction::Percent(percent)) => {
            Money::rounded(reduced.decimal().checked_mul(percent)? / Decimal::ONE_HUNDRED).ok()?
        }
        Some(Reduction::Amount(amount)) => amount,
        None => Money::ZERO,
    }
    .clamp(Money::ZERO, reduced);
    let units: Vec<i64> = items
        .iter()
        .filter(|item| item.is_reduced)
        .flat_map(|item| std::iter::repeat_n(item.price.cents(), usize::try_from(item.quantity).unwrap_or(0)))
        .collect();
    let mut shares = shares(&units, discount.cents()).into_iter();
    let lines = items
        .iter()
        .map(|item| {
            let mut line = BillLine {
                discount: Money::ZERO,
                copies: Vec::new(),
            };
            for _ in 0..item.quantity {
                let share = if item.is_reduced { shares.next()? } else { 0 };
                let share = Money::from_cents(share).ok()?;
                line.discount = line.discount.checked_add(share)?;
                line.copies.push(item.price.checked_sub(share)?);
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

/// The share of each price in `discount`, all in cents; they add up to it, and none exceeds its price.
fn shares(prices: &[i64], discount: i64) -> Vec<i64> {
    let sum: i128 = prices.iter().map(|price| i128::from(*price)).sum();
    if sum == 0 {
        return vec![0; prices.len()];
    }
    let exact = |price: i64| i128::from(price) * i128::from(discount);
    let mut shares: Vec<i64> = prices
        .iter()
        .map(|price| i64::try_from(exact(*price) / sum).unwrap_or(0))
        .collect();
    let left = discount - shares.iter().sum::<i64>();
    let mut by_remainder: Vec<usize> = (0..prices.len()).collect();
    by_remainder.sort_by_key(|at| std::cmp::Reverse(prices.get(*at).map_or(0, |price| exact(*price) % sum)));
    for at in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        if let Some(share) = shares.get_mut(at) {
            *share += 1;
        }
    }
    shares
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

    fn item(price: &str, quantity: u32) -> BillItem {
        BillItem {
            price: money(price),
            quantity,
            is_reduced: true,
        }
    }

    fn percent(percent: i64) -> Reduction {
        Reduction::Percent(percent.into())
    }

    #[test]
    fn discount_is_rounded_half_up_and_distributed_exactly() {
        let order = bill(&[item("0.05", 1)], Some(percent(10))).unwrap();
        assert_eq!((order.discount, order.total), (money("0.01"), money("0.04")));
        let order = bill(&[item("9.99", 3), item("0.01", 1)], Some(percent(10))).unwrap();
        assert_eq!((order.subtotal, order.discount), (money("29.98"), money("3.00")));
        assert_eq!(order.lines[0].copies, [money("8.99"); 3]);
        assert_eq!(
            order.lines[1].copies,
            [money("0.01")],
            "the largest remainders have the cents"
        );
        let free = bill(&[item("5", 2)], Some(percent(100))).unwrap();
        assert_eq!((free.total, free.lines[0].copies.len()), (Money::ZERO, 2));
        assert_eq!(bill(&[item("9999999999.99", 2)], None), None);
    }

    #[test]
    fn fixed_amount_is_distributed_over_the_items_that_it_holds_for() {
        let other = BillItem {
            is_reduced: false,
            ..item("20", 1)
        };
        let five = Some(Reduction::Amount(money("5")));
        let order = bill(&[item("10", 2), other, item("1", 1)], five).unwrap();
        assert_eq!((order.subtotal, order.total), (money("41.00"), money("36.00")));
        assert_eq!(order.lines[0].copies, [money("7.62"); 2]); // 2.38 of 2.3809…
        assert_eq!(order.lines[1].copies, [money("20.00")]);
        assert_eq!(order.lines[2].copies, [money("0.76")]); // 0.24 of 0.238…
        let order = bill(&[item("3", 1), other], five).unwrap();
        assert_eq!(
            (order.discount, order.total),
            (money("3.00"), money("20.00")),
            "never below zero"
        );
        assert_eq!(bill(&[other], five).unwrap().discount, Money::ZERO);
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
            lines in prop::collection::vec((1_i64..2_000_000, 1_u32..40, any::<bool>()), 1..12),
            reduction in prop::option::of((1_i64..=10_000, any::<bool>())),
        ) {
            let lines: Vec<BillItem> = lines
                .into_iter()
                .map(|(cents, quantity, is_reduced)| BillItem { price: Money::from_cents(cents).unwrap(), quantity, is_reduced })
                .collect();
            let reduction = reduction.map(|(size, is_percent)| if is_percent {
                Reduction::Percent(Decimal::new(size, 2))
            } else {
                Reduction::Amount(Money::from_cents(size * 1_000).unwrap())
            });
            let bill = bill(&lines, reduction).unwrap();
            let cents = |sum: &mut dyn Iterator<Item = Money>| sum.map(Money::cents).sum::<i64>();
            prop_assert_eq!(cents(&mut lines.iter().map(|l| l.price.checked_mul(l.quantity).unwrap())), bill.subtotal.cents());
            prop_assert_eq!(bill.subtotal.cents() - bill.discount.cents(), bill.total.cents());
            prop_assert_eq!(cents(&mut bill.lines.iter().map(|l| l.discount)), bill.discount.cents());
            prop_assert_eq!(cents(&mut bill.lines.iter().flat_map(|l| l.copies.clone())), bill.total.cents());
            let reduced: Vec<_> = lines.iter().filter(|l| l.is_reduced).collect();
            let sum = Money::from_cents(cents(&mut reduced.iter().map(|l| l.price.checked_mul(l.quantity).unwrap()))).unwrap();
            let exact = match reduction {
                Some(Reduction::Percent(percent)) => sum.decimal() * percent / Decimal::ONE_HUNDRED,
                Some(Reduction::Amount(amount)) => amount.min(sum).decimal(),
                None => Decimal::ZERO,
            };
            prop_assert!((bill.discount.decimal() - exact).abs() <= Decimal::new(5, 3));
            for (item, line) in lines.iter().zip(&bill.lines) {
                prop_assert_eq!(line.copies.len(), usize::try_from(item.quantity).unwrap());
                prop_assert!(line.copies.iter().all(|paid| *paid >= Money::ZERO && *paid <= item.price));
                prop_assert!(item.is_reduced || line.discount == Money::ZERO);
                // Each unit has its exact share, to the cent.
                for paid in line.copies.iter().filter(|_| item.is_reduced) {
                    let share = item.price.decimal() * bill.discount.decimal() / sum.decimal();
                    prop_assert!((item.price.decimal() - paid.decimal() - share).abs() < Decimal::new(1, 2));
                }
            }
        }
    }
}
