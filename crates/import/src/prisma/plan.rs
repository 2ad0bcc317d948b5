//! What an order of the other shop becomes here.
//!
//! Here a copy is delivered with its key, refunded with its booking, or in flight; an order has ended when none of its copies is
//! in flight; and what was paid is what was delivered, refunded and is in flight, to the cent. A copy that was paid and neither
//! delivered nor refunded is in flight, whatever the other shop called its order: it waits for a decision (`Waits`), and nothing
//! buys it by itself.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::{Decimal, RoundingStrategy};
use uuid::Uuid;

use super::rows::{OldBooking, OldItem, OldKey, OldOrder};

/// The most copies of one item: more is a mistake, and each is a row here.
const MOST_COPIES: i32 = 1_000;

/// Why a copy waits for a decision. The words are stored with the copy, and `--settle` finds it by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    RefundLost,
    KeysMissing,
    PaidStuck,
    Open,
    KeyTwice,
    RefundPart,
}

impl Waits {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::RefundLost => "import: refund_lost",
            Self::KeysMissing => "import: keys_missing",
            Self::PaidStuck => "import: paid_stuck",
            Self::Open => "import: order_open",
            Self::KeyTwice => "import: key_twice",
            Self::RefundPart => "import: refund_partial",
        }
    }
}

/// A copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Copy {
    /// Delivered with these keys, by their place among the keys of the order: all but the last were replaced.
    Delivered(Vec<usize>),
    Refunded,
    Waiting(Waits),
}

/// An item with its copies and their prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedItem {
    /// The other shop's id of the first row of this game.
    pub(super) foreign: String,
    pub(super) game: Uuid,
    pub(super) price: Decimal,
    pub(super) copies: Vec<(Copy, Decimal)>,
}

/// What becomes of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) status: &'static str,
    pub(super) subtotal: Decimal,
    pub(super) discount: Decimal,
    pub(super) items: Vec<PlannedItem>,
    /// No purchase of the other shop stands for it: one is made up, and the balance's opening makes up for it.
    pub(super) lacks_purchase: bool,
    /// How much of the refunds that name it is its refund.
    pub(super) refunded: Decimal,
    /// Keys that belong to none of its copies, by their place among the keys of the order.
    pub(super) left_over: Vec<usize>,
    /// How many rows of items became one with another.
    pub(super) merged: u64,
}

/// Why an order is not brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPlanned {
    /// It breaks a rule that no order here may break.
    Impossible(&'static str),
    /// It is not paid and still young.
    Open,
    /// Nobody paid for it, and it has no key: neither the books nor the customer miss it.
    Unpaid,
}

/// What is known of an order.
pub(super) struct Known<'a> {
    pub(super) order: &'a OldOrder,
    pub(super) items: &'a [OldItem],
    /// Its keys, oldest first.
    pub(super) keys: &'a [OldKey],
    /// Whether a key is not brought because an equal one is, by place.
    pub(super) is_double: &'a [bool],
    pub(super) purchase: Option<&'a OldBooking>,
    /// Completed refunds that name it, together.
    pub(super) refunds: Decimal,
    pub(super) games: &'a HashMap<String, Uuid>,
    pub(super) now: DateTime<Utc>,
}

/// Decides what an order becomes.
pub(super) fn plan(known: &Known<'_>) -> Result<Planned, NotPlanned> {
    use NotPlanned::Impossible;
    let order = known.order;
    let mut merged = 0;
    let mut items: Vec<(PlannedItem, i32, String)> = Vec::new();
    for row in known.items {
        if row.quantity <= 0 {
            return Err(Impossible("an item's quantity is not above zero"));
        }
        if row.price <= Decimal::ZERO {
            return Err(Impossible("an item's price is not above zero"));
        }
        let Some(game) = known.games.get(&row.game_id) else {
            return Err(Impossible("its game was not brought"));
        };
        if let Some((item, quantity, _)) = items.iter_mut().find(|(item, ..)| item.game == *game) {
            if item.price != row.price {
                return Err(Impossible("one game is in it at two prices"));
            }
            *quantity = quantity.saturating_add(row.quantity);
            merged += 1;
        } else {
            let item = PlannedItem {
                foreign: row.id.clone(),
                game: *game,
                price: row.price,
                copies: Vec::new(),
            };
            items.push((item, row.quantity, row.game_id.clone()));
        }
    }
    if items.is_empty() {
        return Err(Impossible("it has no item"));
    }
    if items.iter().any(|(_, quantity, _)| *quantity > MOST_COPIES) {
        return Err(Impossible("an item has more than 1,000 copies"));
    }
    let subtotal: Decimal = items
        .iter()
        .map(|(item, quantity, _)| item.price * Decimal::from(*quantity))
        .sum();
    let discount = subtotal - order.total;
    if order.total < Decimal::ZERO || discount < Decimal::ZERO {
        return Err(Impossible("its total is below zero, or above the sum of its items"));
    }
    let completed = known.purchase.filter(|purchase| purchase.status == "COMPLETED");
    if completed.is_some_and(|purchase| purchase.signed != -order.total) {
        return Err(Impossible("its purchase took another amount than its total"));
    }
    let is_old = order.created_at.is_none_or(|at| at < known.now - TimeDelta::hours(1));
    let is_running = matches!(order.status.as_str(), "PENDING" | "PROCESSING");
    let has_keys = known.is_double.iter().any(|is_double| !is_double);
    let was_delivered = order.status == "COMPLETED" || (is_running && has_keys);
    let lacks_purchase = completed.is_none() && was_delivered;
    if completed.is_none() && !lacks_purchase {
        return Err(match (has_keys, is_running && !is_old) {
            (_, true) => NotPlanned::Open,
            (true, false) => Impossible("it has keys, was never paid, and has failed"),
            (false, false) => NotPlanned::Unpaid,
        });
    }
    // Which copies have a key.
    let mut left_over: Vec<usize> = Vec::new();
    let mut is_used = vec![false; known.keys.len()];
    let mut missing_value = Decimal::ZERO;
    for (item, quantity, foreign_game) in &mut items {
        let of_game = |key: &OldKey| known.games.get(&key.game_id) == Some(&item.game) || key.game_id == *foreign_game;
        let mut places = Vec::new();
        let mut rows = 0;
        for (place, _) in known.keys.iter().enumerate().filter(|(_, key)| of_game(key)) {
            rows += 1;
            if let Some(used) = is_used.get_mut(place) {
                *used = true;
            }
            if known.is_double.get(place) != Some(&true) {
                places.push(place);
            }
        }
        let copies = usize::try_from(*quantity).unwrap_or_default();
        // More keys than copies: the earlier ones of the first copy were replaced by hand.
        let extra = places.len().saturating_sub(copies);
        let mut places = places.into_iter();
        for number in 0..copies {
            let many = if number == 0 { extra + 1 } else { 1 };
            let own: Vec<usize> = places.by_ref().take(many).collect();
            let copy = if own.is_empty() {
                Copy::Refunded
            } else {
                Copy::Delivered(own)
            };
            item.copies.push((copy, Decimal::ZERO));
        }
        // What the other shop counts as missing is what has no row at all.
        let missing = copies.saturating_sub(rows);
        if order.status == "COMPLETED" {
            missing_value += item.price * Decimal::from(missing);
            for (copy, _) in item.copies.iter_mut().rev().take(missing) {
                *copy = Copy::Waiting(Waits::KeysMissing);
            }
        }
    }
    left_over.extend(
        (0..known.keys.len())
            .filter(|place| is_used.get(*place) == Some(&false) && known.is_double.get(*place) == Some(&false)),
    );
    // The price of the copies that are missing is what the report names, and the others share the rest.
    let missing_paid = if subtotal > Decimal::ZERO {
        cents(missing_value - discount * missing_value / subtotal)
    } else {
        Decimal::ZERO
    };
    spread(&mut items, missing_paid, true);
    spread(&mut items, order.total - missing_paid, false);
    let undelivered: Decimal = items
        .iter()
        .flat_map(|(item, ..)| &item.copies)
        .filter(|(copy, _)| !matches!(copy, Copy::Delivered(_)))
        .map(|(_, price)| price)
        .sum();
    let is_refunded = undelivered > Decimal::ZERO && known.refunds >= undelivered;
    let ends = is_refunded || (undelivered == Decimal::ZERO && !is_running);
    for (copy, _) in items.iter_mut().flat_map(|(item, ..)| &mut item.copies) {
        *copy = match &copy {
            Copy::Delivered(_) => continue,
            _ if ends => Copy::Refunded,
            _ if known.refunds > Decimal::ZERO && !is_running && order.status != "COMPLETED" => {
                Copy::Waiting(Waits::RefundPart)
            }
            Copy::Waiting(why) => Copy::Waiting(*why),
            Copy::Refunded => Copy::Waiting(match order.status.as_str() {
                "COMPLETED" => Waits::KeyTwice,
                _ if is_running && (!is_old || order.total == Decimal::ZERO) => Waits::Open,
                _ if is_running => Waits::PaidStuck,
                _ => Waits::RefundLost,
            }),
        };
    }
    let items: Vec<PlannedItem> = items.into_iter().map(|(item, ..)| item).collect();
    let has = |wanted: fn(&Copy) -> bool| items.iter().flat_map(|item| &item.copies).any(|(copy, _)| wanted(copy));
    let status = if has(|copy| matches!(copy, Copy::Waiting(_))) {
        "PROCESSING"
    } else if has(|copy| matches!(copy, Copy::Delivered(_))) {
        "COMPLETED"
    } else if order.status == "FAILED" {
        "FAILED"
    } else {
        "CANCELLED"
    };
    Ok(Planned {
        status,
        subtotal,
        discount,
        items,
        lacks_purchase,
        refunded: if is_refunded { undelivered } else { Decimal::ZERO },
        left_over,
        merged,
    })
}

/// Spreads `amount` over the copies that miss their key, or over the others, in proportion to their prices, to the cent.
fn spread(items: &mut [(PlannedItem, i32, String)], amount: Decimal, of_missing: bool) {
    let is_one = |copy: &Copy| matches!(copy, Copy::Waiting(_)) == of_missing;
    let whole: Decimal = items
        .iter()
        .map(|(item, ..)| item.price * Decimal::from(item.copies.iter().filter(|(copy, _)| is_one(copy)).count()))
        .sum();
    if whole == Decimal::ZERO {
        return;
    }
    let (mut weight, mut given) = (Decimal::ZERO, Decimal::ZERO);
    for (item, ..) in items {
        for (_, paid) in item.copies.iter_mut().filter(|(copy, _)| is_one(copy)) {
            weight += item.price;
            let until_here = cents(amount * weight / whole);
            *paid = until_here - given;
            given = until_here;
        }
    }
}

/// Rounded as PostgreSQL rounds.
pub(super) fn cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn order(status: &str, total: &str) -> OldOrder {
        OldOrder {
            id: "o".into(),
            user_id: "u".into(),
            status: status.into(),
            total: amount(total),
            payment_method: None,
            promo_code: None,
            created_at: Some(now() - TimeDelta::days(9)),
            completed_at: None,
            external: None,
        }
    }

    fn item(game: &str, quantity: i32, price: &str) -> OldItem {
        OldItem {
            id: format!("i-{game}"),
            order_id: "o".into(),
            game_id: game.into(),
            quantity,
            price: amount(price),
        }
    }

    fn key(game: &str) -> OldKey {
        OldKey {
            id: "k".into(),
            game_id: game.into(),
            key: "ABCD".into(),
            order_id: Some("o".into()),
            activated: false,
            activation_date: None,
            created_at: Some(now()),
        }
    }

    fn purchase(total: &str, status: &str) -> OldBooking {
        OldBooking {
            id: "t".into(),
            user_id: "u".into(),
            order_id: Some("o".into()),
            kind: "PURCHASE".into(),
            signed: -amount(total),
            method: None,
            status: status.into(),
            description: None,
            hash: None,
            created_at: Some(now()),
        }
    }

    fn planned(
        order: &OldOrder,
        items: &[OldItem],
        keys: &[OldKey],
        purchase: Option<&OldBooking>,
        refunds: &str,
    ) -> Result<Planned, NotPlanned> {
        let games = [("a", 1), ("b", 2)]
            .map(|(name, id)| (name.to_owned(), Uuid::from_u128(id)))
            .into();
        plan(&Known {
            order,
            items,
            keys,
            is_double: &vec![false; keys.len()],
            purchase,
            refunds: amount(refunds),
            games: &games,
            now: now(),
        })
    }

    fn paid(planned: &Planned) -> Decimal {
        planned
            .items
            .iter()
            .flat_map(|item| &item.copies)
            .map(|(_, price)| price)
            .sum()
    }

    #[test]
    fn a_delivered_order_is_completed_and_its_prices_add_up() {
        let buy = purchase("9.99", "COMPLETED");
        let keys = [key("a"), key("a"), key("a")];
        let plan = planned(
            &order("COMPLETED", "9.99"),
            &[item("a", 3, "3.50")],
            &keys,
            Some(&buy),
            "0",
        )
        .unwrap();
        assert_eq!(
            (plan.status, plan.discount, paid(&plan)),
            ("COMPLETED", amount("0.51"), amount("9.99"))
        );
        let prices: Vec<Decimal> = plan.items[0].copies.iter().map(|(_, price)| *price).collect();
        assert_eq!(prices, [amount("3.33"), amount("3.33"), amount("3.33")]);
    }

    #[test]
    fn copies_without_a_key_wait_with_the_amount_that_the_report_names() {
        let buy = purchase("18", "COMPLETED");
        let plan = planned(
            &order("COMPLETED", "18"),
            &[item("a", 2, "5"), item("b", 1, "10")],
            &[key("a")],
            Some(&buy),
            "0",
        )
        .unwrap();
        assert_eq!(plan.status, "PROCESSING");
        let waiting: Decimal = (plan.items.iter().flat_map(|item| &item.copies))
            .filter(|(copy, _)| *copy == Copy::Waiting(Waits::KeysMissing))
            .map(|(_, price)| price)
            .sum();
        // 15 of 20, less the discount of 2 in proportion.
        assert_eq!((waiting, paid(&plan)), (amount("13.50"), amount("18")));
    }

    #[test]
    fn a_failed_order_ends_only_when_its_money_went_back() {
        let buy = purchase("5", "COMPLETED");
        let (failed, items) = (order("FAILED", "5"), [item("a", 1, "5")]);
        let lost = planned(&failed, &items, &[], Some(&buy), "0").unwrap();
        assert_eq!(
            (lost.status, &lost.items[0].copies[0].0),
            ("PROCESSING", &Copy::Waiting(Waits::RefundLost))
        );
        let back = planned(&failed, &items, &[], Some(&buy), "5").unwrap();
        assert_eq!((back.status, back.refunded), ("FAILED", amount("5")));
        let part = planned(&failed, &items, &[], Some(&buy), "2").unwrap();
        assert_eq!(part.items[0].copies[0].0, Copy::Waiting(Waits::RefundPart));
        assert_eq!(planned(&failed, &items, &[], None, "0"), Err(NotPlanned::Unpaid));
        let free = planned(
            &order("FAILED", "0"),
            &items,
            &[],
            Some(&purchase("0", "COMPLETED")),
            "0",
        )
        .unwrap();
        assert_eq!((free.status, free.refunded), ("FAILED", amount("0")));
    }

    #[test]
    fn a_paid_order_that_was_left_waits_and_an_unpaid_one_is_left_out() {
        let buy = purchase("5", "COMPLETED");
        let items = [item("a", 1, "5")];
        let stuck = planned(&order("PROCESSING", "5"), &items, &[], Some(&buy), "0").unwrap();
        assert_eq!(stuck.items[0].copies[0].0, Copy::Waiting(Waits::PaidStuck));
        let mut young = order("PENDING", "5");
        young.created_at = Some(now() - TimeDelta::minutes(5));
        let open = planned(&young, &items, &[], Some(&buy), "0").unwrap();
        assert_eq!(open.items[0].copies[0].0, Copy::Waiting(Waits::Open));
        assert_eq!(planned(&young, &items, &[], None, "0"), Err(NotPlanned::Open));
        assert_eq!(
            planned(&order("PENDING", "5"), &items, &[], None, "0"),
            Err(NotPlanned::Unpaid)
        );
    }

    #[test]
    fn a_key_beyond_the_copies_replaced_an_earlier_one() {
        let buy = purchase("10", "COMPLETED");
        let keys = [key("a"), key("a"), key("a"), key("b")];
        let plan = planned(&order("COMPLETED", "10"), &[item("a", 2, "5")], &keys, Some(&buy), "0").unwrap();
        let copies: Vec<&Copy> = plan.items[0].copies.iter().map(|(copy, _)| copy).collect();
        assert_eq!(copies, [&Copy::Delivered(vec![0, 1]), &Copy::Delivered(vec![2])]);
        assert_eq!(plan.left_over, [3], "a key of a game that was not ordered");
    }

    #[test]
    fn what_no_order_can_be_is_named() {
        let buy = purchase("5", "COMPLETED");
        for (items, total) in [
            (vec![], "5"),
            (vec![item("a", 0, "5")], "5"),
            (vec![item("a", -1, "5")], "5"),
            (vec![item("a", 1, "0")], "5"),
            (vec![item("a", 1, "5"), item("a", 1, "6")], "5"),
            (vec![item("c", 1, "5")], "5"),
            (vec![item("a", 1, "4")], "5"),
            (vec![item("a", 2_000, "5")], "5"),
        ] {
            let result = planned(&order("COMPLETED", total), &items, &[], Some(&buy), "0");
            assert!(
                matches!(result, Err(NotPlanned::Impossible(_))),
                "{items:?}: {result:?}"
            );
        }
        let other = purchase("4", "COMPLETED");
        assert!(planned(&order("COMPLETED", "5"), &[item("a", 1, "5")], &[], Some(&other), "0").is_err());
    }
}
