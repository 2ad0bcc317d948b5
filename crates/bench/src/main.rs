//! `cargo xtask bench`: how fast Lockstep is on this machine, each figure beside a reference measured in the same run.
//!
//! Not a test: nothing fails because a machine is slow. A run starts everything that it needs, connects only to
//! 127.0.0.1, and takes several rounds in which product and reference alternate, because other programs run as well.
//! The figures of one machine, and their meaning, are in `docs/performance.md`.

#![allow(clippy::disallowed_methods, reason = "a measurement takes real time")]
#![expect(clippy::float_arithmetic, reason = "figures are measured, not money")]

mod buying;
mod cached;
mod catalogue;
mod client;
mod database;
mod figures;
mod freshness;
mod lists;
mod machine;
mod orders;
mod servers;
mod shoppers;
mod staff;
mod sync;
mod upsert;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use lockstep_testkit::sqlx;
use serde::Serialize;
use tokio::sync::OnceCell;

use figures::Section;
use machine::Machine;
use servers::{Cluster, Database};

/// How fast Lockstep is on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    after_help = "Example: cargo xtask bench cached freshness --quick"
)]
struct Cli {
    /// Benchmarks to run; all by default
    names: Vec<Name>,
    /// Fewer rounds and games; takes a third of the time
    #[arg(long)]
    quick: bool,
    /// Also write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Internal: the role of a server that a run starts
    #[arg(long, hide = true)]
    role: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The database by itself, for comparison
    Database,
    /// Cached answers against a bare route
    Cached,
    /// Lists read from PostgreSQL, few games against many
    Lists,
    /// Synchronising the catalogue against reading pages
    Sync,
    /// Writing products against plain SQL
    Upsert,
    /// Placing orders over HTTP against plain SQL
    Orders,
    /// Time from the click to the key, and draining a full queue at the supplier's limit
    Buying,
    /// Time from a commit to the first reader that sees it
    Freshness,
    /// Carts and profiles of users, while others log in
    Shoppers,
    /// Lists, searches and files of staff, and importing keys, in a small shop against a large one
    Staff,
}

/// State shared by the benchmarks of one run.
struct Run {
    cluster: Cluster,
    quick: bool,
    few: OnceCell<Database>,
    many: OnceCell<Database>,
}

impl Run {
    /// Number of rounds in which product and reference alternate.
    fn rounds(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// A catalogue of 10,000 games.
    async fn few(&self) -> Result<&Database> {
        self.few.get_or_try_init(|| self.filled("few", 10_000)).await
    }

    /// A catalogue of a million games.
    async fn many(&self) -> Result<&Database> {
        self.many.get_or_try_init(|| self.filled("many", self.how_many())).await
    }

    fn how_many(&self) -> usize {
        if self.quick { 100_000 } else { 1_000_000 }
    }

    async fn filled(&self, name: &str, games: usize) -> Result<Database> {
        let database = self.cluster.database(name).await?;
        let began = Instant::now();
        catalogue::fill(&database, games)
            .await
            .with_context(|| format!("filling {name}"))?;
        say(&format!(
            "filled a catalogue of {games} games in {:.0} s",
            began.elapsed().as_secs_f64()
        ));
        Ok(database)
    }
}

#[derive(Debug, Serialize)]
struct Output {
    machine: Machine,
    quick: bool,
    sections: Vec<Measured>,
}

#[derive(Debug, Serialize)]
struct Measured {
    #[serde(flatten)]
    section: Section,
    seconds: f64,
    load_before: String,
    load_after: String,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        // `info` measures the product with its spans and its access log, to be read by nobody: `2>/dev/null`.
        .with_env_filter(std::env::var("LOCKSTEP_BENCH_LOG").unwrap_or_else(|_| "warn,sqlx=error".to_owned()))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    // As in `lockstep` itself.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match &cli.role {
            Some(role) => servers::play(serde_json::from_str(role)?).await,
            None => Box::pin(measure(&cli)).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn measure(cli: &Cli) -> Result<()> {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await??;
    let run = Run {
        cluster,
        quick: cli.quick,
        few: OnceCell::new(),
        many: OnceCell::new(),
    };
    let empty = run.cluster.database("empty").await?;
    let postgresql: String = sqlx::query_scalar("show server_version").fetch_one(&empty.sql).await?;
    let mut output = Output {
        machine: Machine::look(postgresql),
        quick: cli.quick,
        sections: Vec::new(),
    };
    print(&output.machine.text());
    for &name in Name::value_variants() {
        if !cli.names.is_empty() && !cli.names.contains(&name) {
            continue;
        }
        let load_before = machine::load_average();
        let began = Instant::now();
        let section = match name {
            Name::Database => database::measure(&run).await,
            Name::Cached => cached::measure(&run).await,
            Name::Lists => lists::measure(&run).await,
            Name::Sync => sync::measure(&run).await,
            Name::Upsert => upsert::measure(&run).await,
            Name::Orders => orders::measure(&run).await,
            Name::Buying => Box::pin(buying::measure(&run)).await,
            Name::Freshness => freshness::measure(&run).await,
            Name::Shoppers => shoppers::measure(&run).await,
            Name::Staff => Box::pin(staff::measure(&run)).await,
        };
        let section = section.with_context(|| format!("{name:?}"))?;
        let (seconds, load_after) = (began.elapsed().as_secs_f64(), machine::load_average());
        print(&format!(
            "{}\n  took {seconds:.0} s; load average before {load_before}, after {load_after}\n",
            section.table()
        ));
        output.sections.push(Measured {
            section,
            seconds,
            load_before,
            load_after,
        });
    }
    if let Some(file) = &cli.json {
        std::fs::write(file, serde_json::to_vec_pretty(&output)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    // Stopping a database blocks.
    tokio::task::spawn_blocking(move || drop(run)).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(text: &str) {
    println!("{text}");
}

/// Prints a progress message.
#[expect(clippy::print_stderr, reason = "a command line tool talks to its user")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
