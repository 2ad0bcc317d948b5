//! `cargo xtask soak`: two instances of the real program, many concurrent buyers, and faults in everything around them
//! on a schedule generated from a seed. Checked continuously and at the end; see `docs/operations.md`.
//!
//! Not part of the product. A run starts everything that it needs, connects only to 127.0.0.1, and ends by itself; its
//! child processes end with it.

#![allow(clippy::disallowed_methods, reason = "a long run takes real time")]

mod bounds;
mod buyer;
mod chaos;
mod database;
mod finish;
mod ground;
mod instance;
mod logs;
mod machine;
mod plan;
mod postbox;
mod process;
mod redis;
mod report;
mod shop;
mod staff;
mod timeline;
mod verdicts;
mod volume;
mod watch;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use tokio::task::JoinSet;

use buyer::{Buyer, Memory};
use chaos::Chaos;
use ground::{Ground, INSTANCES};
use logs::Logs;
use machine::INSIDE;
use machine::{Machine, succeeds};
use shop::{Game, Shop};
use staff::Staff;
use timeline::Timeline;
use verdicts::Verdicts;

/// Two instances, many concurrent buyers, and faults generated from a seed.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask soak",
    after_help = "Example: cargo xtask soak --minutes 2 --seed 7"
)]
struct Cli {
    /// Duration of the buying, in minutes
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// Seed of the schedule; the same seed gives the same schedule
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of concurrent buyers
    #[arg(long, default_value_t = 12)]
    buyers: u64,
    /// Amount of data in the tables at the start
    #[arg(long, default_value = "small")]
    volume: Volume,
    /// Also write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Path of the program to test
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Folder for logs and the report
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Path of redis-server
    #[arg(long, value_name = "FILE")]
    redis: PathBuf,
    /// Folder with PostgreSQL's programs
    #[arg(long, value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
    /// Only print the schedule
    #[arg(long)]
    plan: bool,
}

/// Amount of data in the tables at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Volume {
    /// 4,000 orders, 3,000 rows of one user
    Small,
    /// 400,000 orders, 300,000 rows of one user
    Full,
}

/// Time limit of a run beyond its buying: for filling tables, the last requests, leases and the final checks.
const LONGEST: Duration = Duration::from_mins(30);

/// Time limit for all instances to become ready on a busy machine.
const START: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if std::env::var_os(INSIDE).is_none() && !cli.plan {
        go_inside();
    }
    // Only plain HTTP is used, but the client's TLS library needs a provider.
    drop(rustls::crypto::ring::default_provider().install_default());
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(&cli)));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("soak: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Re-executes the program in its own mount namespace, where possible: its disks are private and vanish with it.
fn go_inside() {
    let unshare = || {
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command
    };
    if !succeeds(unshare().args(["sh", "-c", "mount -t tmpfs soak /mnt && umount /mnt"])) {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Returns only on failure; there are no full disks then.
        drop(
            unshare()
                .arg(program)
                .args(std::env::args_os().skip(1))
                .env(INSIDE, "1")
                .exec(),
        );
    }
}

async fn run(cli: &Cli) -> Result<bool> {
    let length = Duration::from_mins(cli.minutes);
    let mut machine = Machine::probe();
    if cli.plan {
        say(&report::schedule(&plan::plan(cli.seed, length, &machine.possible())));
        return Ok(true);
    }
    let kept = cli.folder.join(cli.seed.to_string());
    drop(std::fs::remove_dir_all(&kept));
    std::fs::create_dir_all(&kept).with_context(|| format!("making {}", kept.display()))?;

    let (timeline, verdicts) = (Timeline::default(), Verdicts::default());
    let names = INSTANCES.iter().map(|(name, _)| *name).collect();
    let logs = Logs::new(timeline.clone(), verdicts.clone(), names);
    let megabytes = if cli.volume == Volume::Full { 8_192 } else { 2_048 };
    say("starting PostgreSQL, Redis, G2A's sandbox and a mail server");
    let programs = (&*cli.program, &*cli.redis, cli.pg_bin.as_deref());
    let ground = Ground::lay(&mut machine, programs, (&kept, &logs), megabytes).await?;
    let ground = Arc::new(ground);

    let stop = Arc::new(AtomicBool::new(false));
    let judged = tokio::select! {
        judged = soak(cli, length, &machine, &ground, (&timeline, &verdicts), &kept, &stop) => judged,
        () = stop_signal() => Err(anyhow::anyhow!("interrupted")),
        () = tokio::time::sleep(length + LONGEST) => Err(anyhow::anyhow!("it does not come to its end")),
    };
    if let Some(log) = ground.database.log() {
        std::fs::copy(log, kept.join("postgres.log")).ok();
    }
    stop.store(true, Ordering::Relaxed);
    ground.clear().await?;
    judged
}

async fn soak(
    cli: &Cli,
    length: Duration,
    machine: &Machine,
    ground: &Arc<Ground>,
    (timeline, verdicts): (&Timeline, &Verdicts),
    kept: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<bool> {
    let mut shop = Shop::new(ground.doors(), timeline.clone(), verdicts.clone())?;
    // The first instance creates the schema and the catalogue.
    let first = ground.instances.first().context("no instance")?;
    first.start()?;
    watch::ready(&shop, 0, START).await?;
    shop.games = Arc::new(games(&shop).await?);
    say(&format!("{} games are for sale", shop.games.len()));
    volume::fill(&ground.database, cli.volume).await?;
    for other in ground.instances.iter().skip(1) {
        other.start()?;
    }
    watch::ready(&shop, 1, START).await?;

    let steps = plan::plan(cli.seed, length, &machine.possible());
    say(&report::schedule(&steps));
    std::fs::write(kept.join("schedule.txt"), report::schedule(&steps))?;

    let buying = Arc::new(AtomicBool::new(false));
    let staff = Staff::hire(&shop, &ground.database, cli.seed, &buying).await?;
    let began = Instant::now();
    verdicts.begin(began);
    let watchers = watch::start(ground, &shop, stop);
    let bounds = bounds::start(ground, stop);
    let staff = tokio::spawn(staff.run());
    let decisions = tokio::spawn(staff::decide(ground.clone(), stop.clone()));
    let mut buyers = JoinSet::new();
    for number in 0..cli.buyers {
        buyers.spawn(Buyer::new(&shop, cli.seed, number, &buying).run());
    }
    let chaos = Chaos::new(ground, &shop, began);
    chaos.run(&steps, length).await;
    say("all faults are healed; the buyers finish");
    buying.store(true, Ordering::Relaxed);
    let mut memories: Vec<Memory> = Vec::new();
    while let Some(memory) = buyers.join_next().await {
        memories.push(memory?);
    }
    staff.await?;
    let drained = finish::drain(ground, verdicts).await;
    stop.store(true, Ordering::Relaxed);
    watchers.await?;
    decisions.await?;
    let samples = bounds.await?;
    bounds::judge(&samples, verdicts);
    finish::judge(ground, &shop, &memories).await?;

    let told = report::Report::new(
        cli,
        machine,
        &steps,
        began.elapsed(),
        drained,
        &memories,
        &samples,
        ground,
        &shop,
    )
    .await;
    let text = told.text();
    say(&text);
    std::fs::write(kept.join("report.txt"), &text)?;
    let json = serde_json::to_string_pretty(&told)?;
    std::fs::write(kept.join("report.json"), &json)?;
    if let Some(file) = &cli.json {
        std::fs::write(file, &json).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(told.passed())
}

/// Waits for SIGINT or SIGTERM.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// Waits for the catalogue, and returns some of its games.
async fn games(shop: &Shop) -> Result<Vec<Game>> {
    let began = Instant::now();
    let (_, address) = *shop.doors.first().context("no door")?;
    loop {
        let mut games = Vec::new();
        for page in 1..=2 {
            let request = shop::Request::get(format!("/api/games?pageSize=100&page={page}"));
            if let Ok(answer) = shop.raw(address, &request).await {
                let listed = answer.json();
                for game in listed["data"]["data"].as_array().into_iter().flatten() {
                    if let (Some(id), Some(slug)) = (game["id"].as_str(), game["slug"].as_str()) {
                        games.push(Game {
                            id: id.to_owned(),
                            slug: slug.to_owned(),
                        });
                    }
                }
            }
        }
        if games.len() >= 100 {
            return Ok(games);
        }
        anyhow::ensure!(began.elapsed() < START, "only {} games arrived", games.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Prints a line for the operator.
#[expect(clippy::print_stderr, reason = "a command line tool talks to its user")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
