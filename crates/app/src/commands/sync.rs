//! `lockstep sync` and `lockstep stock`

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lockstep_domain::price::Pricing;
use lockstep_g2a::ProductQuery;
use lockstep_store::Store;
use lockstep_store::sync::RunStatus;
use lockstep_sync::{Preview, Progress, Report, SyncError, What, preview};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::TryLater;
use crate::config::Config;
use crate::database::{Database, Use};
use crate::instances;
use crate::output::Output;
use crate::supplier::Supplier;

/// Minimum interval between two JSON lines of progress, when no bar is shown.
const JSON_PERIOD: Duration = Duration::from_secs(1);

/// The arguments of the command line.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) full: bool,
    pub(crate) product: Option<String>,
    pub(crate) dry_run: bool,
}

/// `lockstep sync`
pub(crate) async fn run(config: &Config, output: Output, request: Request) -> Result<()> {
    let what = match (&request.product, request.full) {
        (Some(product), _) => What::Product(product.clone()),
        (None, true) => What::Full,
        (None, false) => What::Incremental,
    };
    with_supplier(config, async |database, supplier| {
        if request.dry_run {
            show(&database.store, supplier, &config.pricing, &request, output).await
        } else {
            go(config, database, supplier, what, output).await
        }
    })
    .await
}

/// `lockstep stock`
pub(crate) async fn stock(config: &Config, output: Output) -> Result<()> {
    with_supplier(config, async |database, supplier| {
        go(config, database, supplier, What::Stock, output).await
    })
    .await
}

/// Opens the database and the supplier, runs `body`, and closes both whatever its result.
async fn with_supplier(config: &Config, body: impl AsyncFnOnce(&Database, &Supplier) -> Result<()>) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let result = async {
        database.be_up_to_date().await?;
        instances::refuse_to_differ(config, &database.store).await?;
        let supplier = Supplier::connect(config, &database.store).await?;
        let result = body(&database, &supplier).await;
        supplier.close().await;
        result
    }
    .await;
    database.close().await;
    result
}

async fn go(config: &Config, database: &Database, supplier: &Supplier, what: What, output: Output) -> Result<()> {
    let context = supplier.context(config, &database.store);
    let stop = CancellationToken::new();
    let watcher = tokio::spawn(show_progress(context.progress(), output.is_json()));
    let interrupted = stop.clone();
    let signals = tokio::spawn(async move {
        if crate::shutdown::stop_signal().await.is_ok() {
            interrupted.cancel();
        }
    });
    let result = lockstep_sync::run(&context, what, "command line", stop).await;
    drop(context); // ends the watcher
    drop(watcher.await);
    signals.abort();
    let report = result.map_err(|error| match error {
        SyncError::AlreadyRunning | SyncError::Overtaken => anyhow!(TryLater(error.to_string())),
        error @ SyncError::Store(_) => anyhow!(error),
    })?;
    output.result(&report, || report.to_string().trim_end().to_owned())?;
    ended_well(&report)
}

fn ended_well(report: &Report) -> Result<()> {
    let reason = report.stopped_by.clone().unwrap_or_default();
    match report.status {
        RunStatus::Completed => Ok(()),
        RunStatus::Failed => bail!("the synchronisation failed: {reason}"),
        RunStatus::Interrupted | RunStatus::Running => Err(anyhow!(TryLater(format!(
            "the synchronisation was interrupted ({reason}); run it again to continue"
        )))),
    }
}

/// Shows progress until the run is over: a bar on a terminal, otherwise a JSON line per second if JSON was requested.
async fn show_progress(mut progress: watch::Receiver<Option<Progress>>, json: bool) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len} pages  {msg}  {eta}") {
        bar.set_style(style);
    }
    let show_bar = !json && std::io::stderr().is_terminal();
    let mut told_at = tokio::time::Instant::now();
    while progress.changed().await.is_ok() {
        let Some(now) = progress.borrow_and_update().clone() else {
            continue;
        };
        if show_bar {
            if let Some(total) = now.pages_total.and_then(|total| u64::try_from(total).ok()) {
                bar.set_length(total);
            }
            bar.set_position(u64::try_from(now.counts.pages_read).unwrap_or(0));
            let counts = now.counts;
            bar.set_message(format!(
                "{} products, {} new, {} changed",
                counts.seen, counts.created, counts.updated
            ));
        } else if json && told_at.elapsed() >= JSON_PERIOD {
            told_at = tokio::time::Instant::now();
            if let Ok(line) = serde_json::to_string(&now) {
                tracing::info!(target: "progress", progress = line, "{} products", now.counts.seen);
            }
        }
    }
    bar.finish_and_clear();
}

/// `--dry-run`: prints what would be stored for one product or the first page, without storing it.
async fn show(store: &Store, supplier: &Supplier, pricing: &Pricing, request: &Request, output: Output) -> Result<()> {
    let query = ProductQuery {
        page: 1,
        id: request.product.clone(),
        include_out_of_stock: true,
        ..ProductQuery::default()
    };
    let page = supplier.client.products(&query).await.context("G2A")?;
    for unreadable in &page.unreadable {
        let id = unreadable.id.as_deref();
        output.result(
            &serde_json::json!({ "g2aProductId": id, "unreadable": unreadable.reason }),
            || format!("{}: cannot be read: {}", id.unwrap_or("?"), unreadable.reason),
        )?;
    }
    let previews = preview(store, &page.products, pricing).await?;
    for (product, preview) in page.products.iter().zip(previews) {
        let id = &product.id;
        match preview {
            Preview::Game { title, price, in_stock } => output.result(
                &serde_json::json!({ "g2aProductId": id, "title": title, "price": price, "inStock": in_stock }),
                || {
                    let stock = if in_stock { "in stock" } else { "sold out" };
                    format!("{id}  {:>8}  {stock}  {title}", price.to_string())
                },
            )?,
            Preview::Skipped(reason) => output
                .result(&serde_json::json!({ "g2aProductId": id, "skipped": reason }), || {
                    format!("{id}: would be skipped: {reason}")
                })?,
        }
    }
    if page.products.is_empty() && page.unreadable.is_empty() {
        bail!("G2A lists no such product");
    }
    Ok(())
}
