//! `cargo xtask crash` and `cargo xtask mutants`: the tests that take too long for every test run.

use anyhow::{Result, bail};

/// A defect that the existing shop has, or could have had, and the test that detects it.
struct Mutant {
    /// Its name in `LOCKSTEP_MUTANT`.
    name: &'static str,
    mistake: &'static str,
    test: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "buy-again",
        mistake: "a payment without an answer is taken for no payment, and another order is bought",
        test: "faults::lost_or_corrupted_answers_cost_nothing",
    },
    Mutant {
        name: "read-key-again",
        mistake: "the key call goes through a retry",
        test: "buying::three_units_take_three_payments_and_yield_three_keys",
    },
    Mutant {
        name: "pay-above-price",
        mistake: "the price in G2A's answer is not looked at before paying",
        test: "buying::orders_above_the_maximum_cost_are_not_paid_and_the_price_corrected",
    },
];

/// Aborts the real program at many places; see `docs/purchase.md`.
pub(crate) fn crash(args: &[String]) -> Result<()> {
    const USAGE: &str = "cargo xtask crash [--seeds N | --all] [--seed NUMBER] [--accident NAME]";
    let (mut runs, mut seed, mut accident) = ("50".to_owned(), "1".to_owned(), String::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--all" {
            runs = "all".into();
            continue;
        }
        let Some(value) = args.next() else { bail!(USAGE) };
        match arg.as_str() {
            "--seeds" => runs.clone_from(value),
            "--seed" => seed.clone_from(value),
            "--accident" => accident.clone_from(value),
            _ => bail!(USAGE),
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
            // The accident kinds apply to the worker's test; the serving process has a separate one.
            if accident.is_empty() {
                "crash::"
            } else {
                "crash::books_balance_after_any_crash"
            },
            "--nocapture",
        ])
        .env("LOCKSTEP_CRASH_RUNS", runs)
        .env("LOCKSTEP_CRASH_SEED", seed)
        .env("LOCKSTEP_CRASH_ACCIDENT", accident);
    super::with_servers(|ready| {
        ready(&mut cargo);
        super::run(&mut cargo)
    })
}

/// Activates each defect and expects its test to fail; fails when a test passes.
///
/// Both crates are built once with all defects included; an environment variable of each run selects one.
pub(crate) fn mutants() -> Result<()> {
    super::with_servers(|ready| {
        let run = |names: &[&str], mutant: &str| -> Result<String> {
            let mut cargo = super::cargo();
            cargo
                .args([
                    "test",
                    "--package",
                    "lockstep-fulfilment",
                    "--package",
                    "lockstep-store",
                ])
                .args(["--features", "lockstep-fulfilment/mutants,lockstep-store/mutants"])
                .args(["--no-fail-fast", "--test", "it", "--", "--exact"])
                .args(names)
                .env("LOCKSTEP_MUTANT", mutant);
            ready(&mut cargo);
            super::output_of(&mut cargo)
        };
        let names: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.test).collect();
        let sound = run(&names, "")?;
        for name in &names {
            if verdict(&sound, name) != Some("ok") {
                bail!("{name} has to pass while nothing is wrong:\n{sound}");
            }
        }
        let tested = in_parallel(MUTANTS, |mutant| run(&[mutant.test], mutant.name));
        let mut survivors = Vec::new();
        for (mutant, output) in MUTANTS.iter().zip(tested) {
            let output = output?;
            let word = match verdict(&output, mutant.test) {
                Some("FAILED") => "found   ",
                Some("ok") => {
                    survivors.push(mutant.name);
                    "SURVIVED"
                }
                _ => bail!("the run with {} came to no end:\n{output}", mutant.name),
            };
            eprintln!(
                "{word} {}: {}\n         by {}",
                mutant.name, mutant.mistake, mutant.test
            );
        }
        if !survivors.is_empty() {
            bail!("no test finds {}", survivors.join(", "));
        }
        eprintln!("{} of {} mistakes found", MUTANTS.len(), MUTANTS.len());
        Ok(())
    })
}

/// The result of one test in a test program's output: `ok` or `FAILED`.
fn verdict<'a>(output: &'a str, test: &str) -> Option<&'a str> {
    let start = format!("test {test} ... ");
    output.lines().find_map(|line| line.strip_prefix(&start)).map(str::trim)
}

/// Applies `work` to all elements, a few at a time, because such a test waits more than it computes. The results are in
/// the order of `all`.
fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    const AT_ONCE: usize = 4;
    all.chunks(AT_ONCE)
        .flat_map(|some| {
            std::thread::scope(|scope| {
                let running: Vec<_> = some.iter().map(|one| scope.spawn(|| work(one))).collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect::<Vec<_>>()
            })
        })
        .collect()
}
