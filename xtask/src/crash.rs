//! `cargo xtask crash`: the crash tests at more places than an ordinary test run has time for.

use anyhow::{Result, bail};

/// Aborts the real program at many places; see `docs/purchase.md`.
pub(crate) fn run(args: &[String]) -> Result<()> {
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
