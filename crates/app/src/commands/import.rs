//! `lockstep import`: moves another shop in. Progress is on stderr, the result on stdout, the reports in files.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use lockstep_embedded_postgres::Postgres;
use lockstep_fulfilment::machine;
use lockstep_import::prisma::{self, Options, Progress, Target};
use lockstep_import::{Report, keys, shops};
use lockstep_store::Store;
use lockstep_store::audit::By;
use lockstep_store::imports::{self, Undone};
use tokio::time::Instant;

use crate::cli::{Files, ImportCommand};
use crate::config::{Config, Supplier as Configured};
use crate::database::{Database, Use};
use crate::instances;
use crate::output::Output;
use crate::secrets::Secrets;
use crate::supplier::Supplier;

/// How often a line says how far the work is.
const OFTEN: Duration = Duration::from_secs(2);

pub(crate) async fn run(config: &Config, output: Output, command: ImportCommand) -> Result<()> {
    match command {
        ImportCommand::Prisma {
            url,
            dry_run,
            report,
            since,
            settle,
        } => {
            let request = Request {
                url,
                report,
                since,
                settle,
            };
            if dry_run {
                dry(config, output, &request).await
            } else {
                bring(config, output, &request).await
            }
        }
        ImportCommand::Keys {
            file,
            game,
            dry_run,
            report,
        } => {
            let database = Database::open(config, Use::Join).await?;
            let done = keys_of(config, &database, &file, game.as_deref(), dry_run).await;
            database.close().await;
            write(output, &done?, &report)
        }
        ImportCommand::Woocommerce(files) => shop_files(config, output, imports::Source::WooCommerce, &files).await,
        ImportCommand::Shopify(files) => shop_files(config, output, imports::Source::Shopify, &files).await,
        ImportCommand::Undo { run } => {
            let database = Database::open(config, Use::Join).await?;
            let undone = undo(&database, run).await;
            database.close().await;
            let (keys, games) = undone?;
            output.result(&serde_json::json!({ "run": run, "keys": keys, "games": games }), || {
                format!("Undone: {keys} key(s) and {games} game(s) deleted.")
            })
        }
    }
}

/// What is asked of an import from a database.
struct Request {
    url: String,
    report: Vec<PathBuf>,
    since: Option<DateTime<Utc>>,
    settle: Vec<String>,
}

/// Brings the rows, into a database that is made if there is none.
async fn bring(config: &Config, output: Output, request: &Request) -> Result<()> {
    // First: a mistyped address leaves no empty shop behind.
    prisma::check(&request.url).await?;
    let database = Database::open(config, Use::Make).await?;
    let report = async {
        database.migrate().await?;
        let secrets = Secrets::open(config, &database.store).await?;
        instances::refuse_to_differ(config, &database.store).await?;
        let supplier = supplier(config, &database.store).await;
        let ask = supplier.as_ref().map(|supplier| asking(supplier, config));
        let lines = Lines::new(output);
        let target = Target {
            store: &database.store,
            secrets: &secrets.keys,
            by: By::Operator(machine()),
        };
        let options = Options {
            url: &request.url,
            target: Some(target),
            costs: Some(&database.store),
            ask: ask.as_deref(),
            since: request.since,
            settle: request.settle.clone(),
            progress: &|progress| lines.say(progress),
        };
        anyhow::Ok(prisma::run(&options).await?)
    };
    let report = report.await;
    database.close().await;
    write(output, &report?, &request.report)
}

/// Looks only. This shop's database is read for costs if there is one, and never made.
async fn dry(config: &Config, output: Output, request: &Request) -> Result<()> {
    let database = if config.database_url.is_some() || Postgres::is_in(&config.data_dir) {
        Some(Database::open(config, Use::Join).await?)
    } else {
        None
    };
    let costs = match &database {
        Some(database) => imports::supplier_costs(&database.store, &[])
            .await
            .ok()
            .map(|_| &database.store),
        None => None,
    };
    let supplier = match costs {
        Some(store) => supplier(config, store).await,
        None => None,
    };
    let ask = supplier.as_ref().map(|supplier| asking(supplier, config));
    let lines = Lines::new(output);
    let options = Options {
        url: &request.url,
        target: None,
        costs,
        ask: ask.as_deref(),
        since: request.since,
        settle: Vec::new(),
        progress: &|progress| lines.say(progress),
    };
    let report = prisma::run(&options).await;
    if let Some(database) = database {
        database.close().await;
    }
    write(output, &report?, &request.report)
}

/// The supplier, if there is an account; the games of the sandbox are made up and cost nothing that counts.
async fn supplier(config: &Config, store: &Store) -> Option<Supplier> {
    if matches!(config.supplier, Configured::Sandbox) {
        return None;
    }
    // Without it, the report says what was not checked.
    Supplier::connect(config, store).await.ok()
}

fn asking(supplier: &Supplier, config: &Config) -> Box<prisma::Ask> {
    let (client, pricing) = (supplier.client.clone(), config.pricing);
    Box::new(move |product| {
        let client = client.clone();
        Box::pin(async move {
            let listed = client.product(&product).await.map_err(|error| error.to_string())?;
            Ok(listed.and_then(|listed| pricing.cost(listed.min_price, listed.retail_min_price)))
        })
    })
}

async fn keys_of(
    config: &Config,
    database: &Database,
    file: &Path,
    game: Option<&str>,
    dry_run: bool,
) -> Result<Report> {
    database.be_up_to_date().await?;
    let secrets = Secrets::open(config, &database.store).await?;
    instances::refuse_to_differ(config, &database.store).await?;
    let target = keys::Target {
        store: &database.store,
        secrets: &secrets.keys,
        by: By::Operator(machine()),
    };
    Ok(keys::run(&target, &keys::Request { file, game, dry_run }).await?)
}

async fn shop_files(config: &Config, output: Output, source: imports::Source, files: &Files) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let report = async {
        database.be_up_to_date().await?;
        instances::refuse_to_differ(config, &database.store).await?;
        let target = shops::Target {
            store: &database.store,
            by: By::Operator(machine()),
            now: config.clock.now(),
            dry_run: files.dry_run,
        };
        anyhow::Ok(shops::run(&target, source, &files.paths).await?)
    };
    let report = report.await;
    database.close().await;
    write(output, &report?, &files.report)
}

async fn undo(database: &Database, run: uuid::Uuid) -> Result<(u64, u64)> {
    database.be_up_to_date().await?;
    match imports::find(&database.store, run).await? {
        None => bail!("there is no run {run}; the import printed its run, and its report names it"),
        Some((_, true)) => bail!("run {run} was undone before"),
        Some((_, false)) => {}
    }
    match imports::undo(&database.store, run, &By::Operator(machine())).await? {
        Undone::Gone { keys, games } => Ok((keys, games)),
        Undone::Booked => bail!(
            "run {run} brought customers or orders, which the books keep for ever; restore the backup from before it instead"
        ),
        Undone::Sold(rows) => bail!("{rows} of its keys or games were sold or shown since; nothing was deleted"),
    }
}

/// Writes the report's files, then the result: each finding as a line of JSON and the totals, or all in words.
fn write(output: Output, report: &Report, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let name = file.to_string_lossy();
        std::fs::write(file, report.for_file(&name)).with_context(|| format!("cannot write {name}"))?;
    }
    if output.is_json() {
        output.rows(&report.findings, |_| String::new())?;
        output.rows(&report.lines, |_| String::new())?;
        output.result(&report.summary(), String::new)
    } else {
        Output::line(report.text().trim_end())
    }
}

/// Lines about progress, not too many.
struct Lines {
    output: Output,
    last: Mutex<Instant>,
}

impl Lines {
    fn new(output: Output) -> Self {
        Self {
            output,
            last: Mutex::new(Instant::now()),
        }
    }

    fn say(&self, progress: Progress) {
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() < OFTEN {
            return;
        }
        *last = Instant::now();
        self.output
            .progress(&format!("{}: {} of {}", progress.table, progress.done, progress.of));
    }
}
