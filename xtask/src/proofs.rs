//! `cargo xtask crash` and `cargo xtask mutants`: the proofs that take too long for every test run.

use anyhow::{Result, bail};

/// The mistakes of the store that Lockstep replaces, and the test that each makes fail, with the crate it is of.
const MUTANTS: &[(&str, &str, &str, &str)] = &[
    (
        "buy-again",
        "a payment without an answer is taken for no payment, and another order is bought",
        "lockstep-fulfil",
        "faults::an_answer_that_is_lost_or_spoilt_on_the_way_costs_nobody_anything",
    ),
    (
        "read-key-again",
        "the key call goes through a retry",
        "lockstep-fulfil",
        "buying::three_copies_become_three_payments_and_three_keys",
    ),
    (
        "refund-once",
        "an order's refunds share one unique reference, so the second is refused",
        "lockstep-fulfil",
        "buying::an_order_of_which_nothing_can_be_delivered_fails_and_is_refunded_whole",
    ),
    (
        "complete-without-refund",
        "what is not delivered of a completed order is not refunded",
        "lockstep-fulfil",
        "buying::what_is_sold_out_is_refunded_to_the_cent_and_the_shelf_is_corrected",
    ),
    (
        "pay-above-price",
        "the price in G2A's answer is not looked at before paying",
        "lockstep-fulfil",
        "buying::what_costs_more_than_was_asked_is_not_paid_for_and_the_price_is_corrected",
    ),
    (
        "fence-keys",
        "a key is stored only while its unit waits for it",
        "lockstep-fulfil",
        "money::an_overtaken_worker_decides_nothing_but_its_key_is_kept",
    ),
    (
        "balance-outside",
        "the balance is looked at before the transaction that takes from it",
        "lockstep-store",
        "orders::ten_at_once_on_a_balance_for_three_are_three",
    ),
    (
        "promo-outside",
        "the use of a promo code is counted after the order stands",
        "lockstep-store",
        "orders::a_code_with_two_uses_is_used_twice_by_ten_at_once",
    ),
];

/// Aborts the real program at many places; see `docs/purchase.md`.
pub(crate) fn crash(args: &[String]) -> Result<()> {
    let (mut runs, mut seed) = ("50".to_owned(), "1".to_owned());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.clone().next()) {
            ("--all", _) => runs = "all".into(),
            ("--seeds", Some(count)) => runs.clone_from(count),
            ("--seed", Some(number)) => seed.clone_from(number),
            _ => bail!("cargo xtask crash [--seeds N] [--seed NUMBER] | --all"),
        }
        if arg != "--all" {
            args.next();
        }
    }
    let mut cargo = super::cargo();
    cargo
        .args([
            "test",
            "--package",
            "lockstep",
            "--test",
            "it",
            "--",
            "crash::",
            "--nocapture",
        ])
        .env("LOCKSTEP_CRASH_RUNS", runs)
        .env("LOCKSTEP_CRASH_SEED", seed);
    super::with_servers(|test| test(&mut cargo))
}

/// Puts each mistake in and expects its test to fail; fails when one passes.
pub(crate) fn mutants() -> Result<()> {
    let mut lines = Vec::new();
    let mut survivors = Vec::new();
    super::with_servers(|test| {
        let run = |mutant: Option<&str>, package: &str, name: &str| {
            let mut cargo = super::cargo();
            cargo
                .args([
                    "test",
                    "--quiet",
                    "--package",
                    package,
                    "--features",
                    "mutants",
                    "--test",
                    "it",
                    "--",
                ])
                .args(["--exact", name]);
            if let Some(mutant) = mutant {
                cargo.env("LOCKSTEP_MUTANT", mutant);
            }
            test(&mut cargo)
        };
        for (mutant, what, package, name) in MUTANTS {
            run(None, package, name)?;
            let found = run(Some(mutant), package, name).is_err();
            let word = if found { "found   " } else { "SURVIVED" };
            lines.push(format!("{word} {mutant}: {what}\n         {name}"));
            if !found {
                survivors.push(*mutant);
            }
        }
        Ok(())
    })?;
    eprintln!("\n{}", lines.join("\n"));
    if !survivors.is_empty() {
        bail!("no test finds {}", survivors.join(", "));
    }
    Ok(())
}
