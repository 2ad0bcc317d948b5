//! The ledger is consistent after any sequence of calls.

use std::collections::{HashMap, HashSet};

use lockstep_domain::Money;
use lockstep_g2a_sandbox::{CallMatch, Fault, FaultRule, PayTwice};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Desk, euro};

#[derive(Debug, Clone)]
enum Step {
    Create,
    Pay(usize),
    Key(usize),
    Details(usize),
    Refund(usize),
    Wait(u64),
    Break(Fault),
    PayTwice(PayTwice),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop_oneof![
        Just(Fault::DropBefore),
        Just(Fault::DropAfter),
        Just(Fault::Duplicate),
        Just(Fault::EmptyBody502),
        Just(Fault::TruncateAt { bytes: 5 }),
    ];
    let step = prop_oneof![
        4 => Just(Step::Create),
        6 => (0_usize..8).prop_map(Step::Pay),
        6 => (0_usize..8).prop_map(Step::Key),
        1 => (0_usize..8).prop_map(Step::Details),
        1 => (0_usize..8).prop_map(Step::Refund),
        1 => (0_u64..2_000).prop_map(Step::Wait),
        3 => fault.prop_map(Step::Break),
        1 => prop_oneof![Just(PayTwice::Same), Just(PayTwice::Error)].prop_map(Step::PayTwice),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn money_and_keys_balance_after_any_sequence_of_calls(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let (desk, id) = Desk::with_one_product().await;
            let before = euro("30.00");
            desk.control.set_wallet(before);
            let mut orders: Vec<String> = Vec::new();
            let mut keys: HashMap<String, String> = HashMap::new();
            for step in steps {
                let pick = |at: usize| orders.get(at).cloned().unwrap_or_else(|| "1".to_owned());
                match step {
                    Step::Create => {
                        let sent = desk.request(reqwest::Method::POST, "/order").json(&json!({ "product_id": id })).send();
                        let Ok(response) = sent.await else { continue };
                        let Ok(body) = response.json::<serde_json::Value>().await else { continue };
                        orders.extend(body["order_id"].as_str().map(ToOwned::to_owned));
                    }
                    Step::Pay(at) => drop(desk.try_pay(&pick(at)).await),
                    Step::Key(at) => {
                        let order = pick(at);
                        let sent = desk.request(reqwest::Method::GET, &format!("/order/key/{order}")).send();
                        let Ok(response) = sent.await else { continue };
                        let Ok(body) = response.json::<serde_json::Value>().await else { continue };
                        if let Some(key) = body["key"].as_str() {
                            // A key is delivered only once, to a single order.
                            prop_assert!(keys.insert(order, key.to_owned()).is_none());
                        }
                    }
                    Step::Details(at) => drop(desk.request(reqwest::Method::GET, &format!("/order/details/{}", pick(at))).send().await),
                    Step::Refund(at) => drop(desk.control.refund(&pick(at))),
                    Step::Wait(seconds) => desk.control.advance_clock(seconds),
                    Step::Break(fault) => desk.control.add_fault(FaultRule::once(CallMatch::Any, fault)),
                    Step::PayTwice(knob) => desk.control.change_knobs(|knobs| knobs.pay_twice = knob),
                }
            }
            let ledger = desk.control.ledger();
            let sum = |amounts: Vec<Money>| amounts.into_iter().fold(Money::ZERO, |sum, next| sum.checked_add(next).unwrap());
            let paid = sum(ledger.orders.iter().map(|order| order.paid_amount).collect());
            let refunded = sum(ledger.orders.iter().map(|order| order.refunded_amount).collect());
            prop_assert_eq!(ledger.money_taken, paid);
            prop_assert_eq!(ledger.money_refunded, refunded);
            prop_assert_eq!(before.checked_sub(paid).unwrap().checked_add(refunded).unwrap(), ledger.wallet);
            prop_assert!(ledger.wallet >= Money::ZERO);
            for order in &ledger.orders {
                prop_assert!(order.paid_times <= 1 && order.key_reads <= 1);
                prop_assert_eq!(order.key_issued, order.paid_times == 1);
                prop_assert!(!order.key_delivered || order.key_issued);
                prop_assert!(!(order.lapsed && order.key_issued));
                prop_assert!(order.refunded_amount <= order.paid_amount);
            }
            prop_assert_eq!(ledger.keys_issued, ledger.orders.iter().filter(|order| order.key_issued).count() as u64);
            prop_assert!(keys.len() as u64 <= ledger.keys_delivered && ledger.keys_delivered <= ledger.keys_issued);
            let distinct: HashSet<_> = keys.values().collect();
            prop_assert_eq!(distinct.len(), keys.len());
            // Every key taken from stock is paid for, reserved, or back in stock.
            let held = ledger.orders.iter().filter(|order| !order.lapsed).count() as u64;
            prop_assert_eq!(desk.control.product(&id).unwrap()["qty"].as_u64().unwrap(), 10 - held);
            Ok(())
        })?;
    }
}
