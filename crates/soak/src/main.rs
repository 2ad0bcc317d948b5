//! `cargo xtask soak`: two instances of the real program, many buyers at once, and everything around them breaking by a
//! schedule that is drawn from a seed. Judged at every moment and at the end; see `docs/operations.md`.
//!
//! Not part of the product. A run starts everything it needs for itself, talks to nothing but 127.0.0.1, and ends by
//! itself; what it started ends with it.

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
use ground::{Ground, INSIDE, INSTANCES};
use logs::Logs;
use machine::{Machine, succeeds};
use shop::{Game, Shop};
use staff::Staff;
use timeline::Timeline;
use verdicts::Verdicts;

/// Two instances, many buyers, and faults drawn from a seed.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask soak",
    after_help = "Example: cargo xtask soak --minutes 2 --seed 7"
)]
struct Cli {
    /// How long the buyers buy
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// The same seed draws the same schedule
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Buyers at once
    #[arg(long, default_value_t = 12)]
    buyers: u64,
    /// How much lies in the tables at the start
    #[arg(long, default_value = "small")]
    volume: Volume,
    /// Also write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The program to run
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Where logs and the report are kept
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// redis-server
    #[arg(long, value_name = "FILE")]
    redis: PathBuf,
    /// Folder of PostgreSQL's programs
    #[arg(long, value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
    /// Only print the schedule
    #[arg(long)]
    plan: bool,
}

/// How much lies in the tables at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Volume {
    /// 4,000 orders, 3,000 rows of one owner
    Small,
    /// 400,000 orders, 300,000 rows of one owner
    Full,
}

/// A run ends so long after its buyers at the latest: filling tables, the last requests, leases, the judgement.
const LONGEST: Duration = Duration::from_mins(30);

/// How long all instances may take to be ready, on a busy machine.
const START: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if std::env::var_os(INSIDE).is_none() && !cli.plan {
        go_inside();
    }
    // Plain HTTP only; the TLS that the client is built with wants a provider all the same.
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

/// Becomes the same program in a mount namespace of its own, where that is possible: its disks are nobody else's, and go
/// with it.
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
        // It returns only when it fails; then there are no full disks.
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
        () = told_to_stop() => Err(anyhow::anyhow!("interrupted")),
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
    // The first brings the schema and the catalogue.
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
async fn told_to_stop() {
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

/// Waits until the catalogue is there, and names some of it.
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

/// A line for whoever runs this.
#[expect(clippy::print_stderr, reason = "a command line tool talks to its user")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
