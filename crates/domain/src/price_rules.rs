//! Price rules: from the supplier's price of a game to the price in the shop.
//!
//! A set of rules decides the mark-up, the least margin and the ending of each price. Of all rules that fit a game, one
//! counts: that of the highest priority; among these the most specific one (the most criteria, then the narrower price
//! band); among these the first. A game that no rule fits has the mark-up of the setting `G2A_MARKUP_PERCENT`.
//!
//! The price is the supplier's price with the mark-up, rounded half up to cents, at least the supplier's price with the
//! least margin, and then moved to the ending. A move down never goes below the least margin: then it goes up.

use std::cmp::Reverse;

use rust_decimal::{Decimal, RoundingStrategy};
use uuid::Uuid;

use crate::money::Money;
use crate::price::{ListPrice, Pricing};

/// Most rules of a set.
pub const MAX_RULES: usize = 200;
/// Decimals of a supplier's price; more are rounded half up.
pub const SUPPLIER_DECIMALS: u32 = 4;

/// Which way a price moves to its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the next higher one.
    Up,
    /// To the next lower one, unless that is below the least margin.
    Down,
    /// To the nearer one, a half up, unless that is below the least margin.
    Nearest,
}

impl Rounding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Up, Self::Down, Self::Nearest];

    /// The name in the database and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Nearest => "NEAREST",
        }
    }
}

/// The cents that a price ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceEnding {
    cents: i64,
    rounding: Rounding,
}

impl PriceEnding {
    /// Prices that end with these cents; `None` above 99.
    pub fn new(cents: i64, rounding: Rounding) -> Option<Self> {
        (0..100).contains(&cents).then_some(Self { cents, rounding })
    }

    /// The cents, 0 to 99.
    pub const fn cents(self) -> i64 {
        self.cents
    }

    /// Which way prices move.
    pub const fn rounding(self) -> Rounding {
        self.rounding
    }

    /// `price` moved to the ending, at least `least`; all in cents.
    fn apply(self, price: i64, least: i64) -> Option<i64> {
        let down = |price: i64| price - (price - self.cents).rem_euclid(100);
        let up = |price: i64| Some(down(price.checked_add(99)?));
        let moved = match self.rounding {
            Rounding::Up => up(price)?,
            Rounding::Down => down(price),
            Rounding::Nearest => down(price.checked_add(50)?),
        };
        Some(moved.max(up(least)?))
    }
}

/// The ending that a rule gives its prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuleEnding {
    /// That of the set.
    #[default]
    OfSet,
    /// None: prices end as they come.
    None,
    /// This one.
    Some(PriceEnding),
}

/// The least margin: what a price is above the supplier's price, the higher of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MinMargin {
    /// EUR.
    pub amount: Money,
    /// Percent of the supplier's price.
    pub percent: Decimal,
}

/// A rule. Criteria that are `None` fit every game.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceRule {
    /// What staff call it.
    pub name: String,
    /// The highest priority counts.
    pub priority: i32,
    /// Games of this genre.
    pub genre: Option<Uuid>,
    /// Games of this platform.
    pub platform: Option<Uuid>,
    /// Games that are activated there, in any case.
    pub activation_service: Option<String>,
    /// Supplier's prices from this one, EUR.
    pub cost_from: Option<Money>,
    /// Supplier's prices below this one, EUR.
    pub cost_to: Option<Money>,
    /// Mark-up, percent; `None` for that of the setting.
    pub markup_percent: Option<Decimal>,
    /// The least margin; that of the set counts as well.
    pub min_margin: MinMargin,
    /// The ending.
    pub ending: RuleEnding,
}

/// What rules look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GameFacts {
    /// Its genres.
    pub genres: Vec<Uuid>,
    /// Its platforms.
    pub platforms: Vec<Uuid>,
    /// Where it is activated.
    pub activation_service: Option<String>,
}

impl PriceRule {
    /// Whether the rule fits a game at this supplier's price.
    fn fits(&self, facts: &GameFacts, cost: Decimal) -> bool {
        self.genre.is_none_or(|genre| facts.genres.contains(&genre))
            && self.platform.is_none_or(|platform| facts.platforms.contains(&platform))
            && self.activation_service.as_ref().is_none_or(|wanted| {
                let has = facts.activation_service.as_ref();
                has.is_some_and(|has| has.to_lowercase() == wanted.to_lowercase())
            })
            && self.cost_from.is_none_or(|from| cost >= from.decimal())
            && self.cost_to.is_none_or(|to| cost < to.decimal())
    }

    /// Its rank among rules that fit: priority, number of criteria, and the width of its band, the narrower the better.
    fn rank(&self) -> (i32, u8, Reverse<Decimal>) {
        let has_band = self.cost_from.is_some() || self.cost_to.is_some();
        let criteria = [
            self.genre.is_some(),
            self.platform.is_some(),
            self.activation_service.is_some(),
            has_band,
        ];
        let from = self.cost_from.map_or(Decimal::ZERO, Money::decimal);
        let width = self.cost_to.map_or(Decimal::MAX, |to| to.decimal() - from);
        let criteria = criteria.into_iter().map(u8::from).sum();
        (self.priority, criteria, Reverse(width))
    }
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceRules {
    /// Raised by each change; 0 before the first.
    pub version: i64,
    /// The least margin of every game.
    pub min_margin: MinMargin,
    /// The ending of prices, unless a rule has another.
    pub ending: Option<PriceEnding>,
    /// The rules.
    pub rules: Vec<PriceRule>,
}

impl PriceRules {
    /// Whether nothing is set: then prices are those of the settings.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.ending.is_none() && self.min_margin == MinMargin::default()
    }

    /// Whether a rule looks at more than the supplier's price.
    pub fn needs_facts(&self) -> bool {
        let looks =
            |rule: &PriceRule| rule.genre.is_some() || rule.platform.is_some() || rule.activation_service.is_some();
        self.rules.iter().any(looks)
    }

    /// The rule that counts for a game at this supplier's price.
    pub fn rule_for(&self, facts: &GameFacts, cost: Decimal) -> Option<&PriceRule> {
        let fitting = self.rules.iter().filter(|rule| rule.fits(facts, cost));
        // Of equal ranks `max_by_key` returns the last.
        fitting.rev().max_by_key(|rule| rule.rank())
    }

    /// The price of a game from the supplier's price; `None` when it is not positive or cannot be stored.
    pub fn price(&self, pricing: &Pricing, facts: &GameFacts, cost: Decimal) -> Option<Money> {
        self.price_by(self.rule_for(facts, cost), pricing, cost)
    }

    /// The price beside the reference price, which is the supplier's retail price by the same rule.
    pub fn list_price(
        &self,
        pricing: &Pricing,
        facts: &GameFacts,
        cost: Decimal,
        retail: Option<Decimal>,
    ) -> Option<ListPrice> {
        let rule = self.rule_for(facts, cost);
        let price = self.price_by(rule, pricing, cost)?;
        let original = retail.and_then(|retail| self.price_by(rule, pricing, retail));
        Some(ListPrice::of(price, original))
    }

    fn price_by(&self, rule: Option<&PriceRule>, pricing: &Pricing, cost: Decimal) -> Option<Money> {
        if cost <= Decimal::ZERO {
            return None;
        }
        let pricing = Pricing {
            markup_percent: rule
                .and_then(|rule| rule.markup_percent)
                .unwrap_or(pricing.markup_percent),
            ..*pricing
        };
        if self.is_empty() {
            return pricing.marked_up(cost);
        }
        let least = self.least(rule, cost)?;
        let price = match pricing.marked_up(cost) {
            Some(price) => price.max(least),
            // Rounded to nothing, unlike what is too much.
            None if cost < Decimal::ONE => least,
            None => return None,
        };
        let ending = match rule.map(|rule| rule.ending).unwrap_or_default() {
            RuleEnding::OfSet => self.ending,
            RuleEnding::None => None,
            RuleEnding::Some(ending) => Some(ending),
        };
        match ending {
            Some(ending) => Money::from_cents(ending.apply(price.cents(), least.cents())?).ok(),
            None => Some(price),
        }
    }

    /// The lowest price with the least margin, rounded up to cents.
    fn least(&self, rule: Option<&PriceRule>, cost: Decimal) -> Option<Money> {
        let margins = [Some(self.min_margin), rule.map(|rule| rule.min_margin)];
        let mut margin = Decimal::ZERO;
        for least in margins.into_iter().flatten() {
            let share = cost.checked_mul(least.percent)?.checked_div(Decimal::ONE_HUNDRED)?;
            margin = margin.max(least.amount.decimal()).max(share);
        }
        let least = cost.checked_add(margin)?;
        Money::new(least.round_dp_with_strategy(2, RoundingStrategy::AwayFromZero)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn ending(cents: i64, rounding: Rounding) -> PriceEnding {
        PriceEnding::new(cents, rounding).unwrap()
    }

    fn price(rules: &PriceRules, facts: &GameFacts, cost: &str) -> String {
        rules.price(&Pricing::default(), facts, d(cost)).unwrap().to_string()
    }

    #[test]
    fn without_rules_prices_are_those_of_the_settings() {
        let rules = PriceRules::default();
        assert!(rules.is_empty());
        assert_eq!(price(&rules, &GameFacts::default(), "4.99"), "5.09");
    }

    #[test]
    fn the_highest_priority_counts_then_the_most_specific_rule_then_the_first() {
        let (rpg, pc) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let rule = |markup: i64| PriceRule {
            markup_percent: Some(markup.into()),
            ..PriceRule::default()
        };
        let mut rules = PriceRules {
            rules: vec![
                rule(10),
                PriceRule {
                    genre: Some(rpg),
                    ..rule(20)
                },
                PriceRule {
                    genre: Some(rpg),
                    platform: Some(pc),
                    ..rule(30)
                },
                PriceRule {
                    platform: Some(pc),
                    activation_service: Some("steam".into()),
                    ..rule(31)
                },
                PriceRule {
                    cost_from: Some(money("50")),
                    ..rule(40)
                },
                PriceRule {
                    cost_from: Some(money("50")),
                    cost_to: Some(money("60")),
                    ..rule(41)
                },
            ],
            ..PriceRules::default()
        };
        let facts = |genres: &[Uuid], platforms: &[Uuid], service: Option<&str>| GameFacts {
            genres: genres.to_vec(),
            platforms: platforms.to_vec(),
            activation_service: service.map(str::to_owned),
        };
        assert_eq!(price(&rules, &facts(&[], &[], None), "10"), "11.00");
        assert_eq!(price(&rules, &facts(&[rpg], &[], None), "10"), "12.00");
        assert_eq!(price(&rules, &facts(&[rpg], &[pc], None), "10"), "13.00");
        assert_eq!(price(&rules, &facts(&[], &[pc], Some("Steam")), "10"), "13.10");
        assert_eq!(
            price(&rules, &facts(&[rpg], &[pc], Some("STEAM")), "10"),
            "13.00",
            "the first of equal ones"
        );
        assert_eq!(
            price(&rules, &facts(&[], &[], None), "50"),
            "70.50",
            "the narrower band"
        );
        assert_eq!(
            price(&rules, &facts(&[], &[], None), "60"),
            "84.00",
            "a band ends below its end"
        );
        rules.rules[0].priority = 1;
        assert_eq!(price(&rules, &facts(&[rpg], &[pc], Some("Steam")), "10"), "11.00");
    }

    #[test]
    fn the_higher_of_both_least_margins_counts() {
        let rules = PriceRules {
            min_margin: MinMargin {
                amount: money("0.50"),
                percent: d("5"),
            },
            ..PriceRules::default()
        };
        let facts = GameFacts::default();
        assert_eq!(price(&rules, &facts, "1"), "1.50");
        assert_eq!(price(&rules, &facts, "20"), "21.00");
        assert_eq!(
            price(&rules, &facts, "20.001"),
            "21.01",
            "5 % of 20.001 are not less than 1.00005"
        );
    }

    #[test]
    fn endings_go_the_stated_way_and_never_below_the_least_margin() {
        let with = |rounding, margin: &str| PriceRules {
            ending: Some(ending(99, rounding)),
            min_margin: MinMargin {
                amount: money(margin),
                percent: Decimal::ZERO,
            },
            ..PriceRules::default()
        };
        let facts = GameFacts::default();
        for (rounding, cost, expected) in [
            (Rounding::Up, "10", "10.99"),
            (Rounding::Up, "0.01", "0.99"),
            (Rounding::Down, "11", "10.99"), // at 11.22, below the supplier's price: up
            (Rounding::Nearest, "11", "11.99"),
            (Rounding::Nearest, "10.60", "10.99"),
        ] {
            let expected = if rounding == Rounding::Down { "11.99" } else { expected };
            assert_eq!(
                price(&with(rounding, "0"), &facts, cost),
                expected,
                "{rounding:?} {cost}"
            );
        }
        let dear = PriceRules {
            rules: vec![PriceRule {
                markup_percent: Some(d("20")),
                ..PriceRule::default()
            }],
            ..with(Rounding::Down, "0")
        };
        assert_eq!(price(&dear, &facts, "10"), "11.99", "12.00 goes down");
        let dear = PriceRules {
            rules: dear.rules,
            ..with(Rounding::Down, "2")
        };
        assert_eq!(price(&dear, &facts, "10"), "12.99", "11.99 would be too low");
        let plain = PriceRules {
            rules: vec![PriceRule {
                ending: RuleEnding::None,
                ..PriceRule::default()
            }],
            ..with(Rounding::Up, "0")
        };
        assert_eq!(price(&plain, &facts, "10"), "10.20");
    }

    fn some_ending() -> impl Strategy<Value = Option<PriceEnding>> {
        prop::option::of((0_i64..100, prop::sample::select(&Rounding::ALL[..])).prop_map(|(c, r)| ending(c, r)))
    }

    fn some_margin() -> impl Strategy<Value = MinMargin> {
        (0_i64..2_000, 0_i64..20_000).prop_map(|(cents, percent)| MinMargin {
            amount: Money::from_cents(cents).unwrap(),
            percent: Decimal::new(percent, 2),
        })
    }

    prop_compose! {
        fn some_rules()(
            ending in some_ending(), of_rule in some_ending(), margins in (some_margin(), some_margin()),
            markup in prop::option::of(0_i64..100_000), has_rule in any::<bool>(),
        ) -> PriceRules {
            let rule = PriceRule {
                markup_percent: markup.map(|m| Decimal::new(m, 2)),
                min_margin: margins.1,
                ending: of_rule.map_or(RuleEnding::OfSet, RuleEnding::Some),
                ..PriceRule::default()
            };
            PriceRules {
                version: 1,
                min_margin: margins.0,
                ending,
                rules: if has_rule { vec![rule] } else { vec![] },
            }
        }
    }

    proptest! {
        /// The cost has up to four decimals, as the database keeps it.
        #[test]
        fn prices_keep_the_margin_and_the_ending_and_rise_with_the_cost(
            rules in some_rules(), cost in 1_i64..1_000_000_000, more in 0_i64..1_000_000,
        ) {
            let (pricing, facts) = (Pricing::default(), GameFacts::default());
            let (cost, dearer) = (Decimal::new(cost, 4), Decimal::new(cost + more, 4));
            prop_assume!(!rules.is_empty());
            let Some(price) = rules.price(&pricing, &facts, cost) else {
                // Only what rounds to nothing has no price.
                return Err(TestCaseError::fail(format!("no price at {cost}")));
            };
            let rule = rules.rule_for(&facts, cost);
            let mut margins = vec![rules.min_margin];
            margins.extend(rule.map(|rule| rule.min_margin));
            for margin in margins {
                prop_assert!(price.decimal() >= cost + margin.amount.decimal());
                prop_assert!(price.decimal() >= cost + cost * margin.percent / Decimal::ONE_HUNDRED);
            }
            let ending = match rule.map(|rule| rule.ending).unwrap_or_default() {
                RuleEnding::OfSet => rules.ending,
                RuleEnding::None => None,
                RuleEnding::Some(ending) => Some(ending),
            };
            if let Some(ending) = ending {
                prop_assert_eq!(price.cents() % 100, ending.cents());
                // A price that has its ending stays.
                prop_assert_eq!(ending.apply(price.cents(), price.cents()), Some(price.cents()));
            }
            prop_assert_eq!(rules.price(&pricing, &facts, cost), Some(price));
            if let Some(higher) = rules.price(&pricing, &facts, dearer) {
                prop_assert!(higher >= price);
            }
        }

        #[test]
        fn the_rule_that_counts_has_the_highest_rank(priorities in prop::collection::vec((-3_i32..3, any::<bool>()), 1..8)) {
            let genre = Uuid::from_u128(7);
            let rules = PriceRules {
                rules: priorities.iter().map(|(priority, is_narrow)| PriceRule {
                    priority: *priority, genre: is_narrow.then_some(genre), ..PriceRule::default()
                }).collect(),
                ..PriceRules::default()
            };
            let facts = GameFacts { genres: vec![genre], ..GameFacts::default() };
            let chosen = rules.rule_for(&facts, Decimal::ONE).unwrap();
            prop_assert!(rules.rules.iter().all(|rule| rule.rank() <= chosen.rank()));
            let at = rules.rules.iter().position(|rule| std::ptr::eq(rule, chosen)).unwrap();
            prop_assert!(rules.rules[..at].iter().all(|rule| rule.rank() < chosen.rank()));
        }
    }
}
