//! Synchronising a catalogue: is the time spent reading the pages, or in the product?
//!
//! Two measurements. Against a supplier without a limit the reference is a loop that requests the same pages with the
//! product's own client and discards them, so the difference is the cost of mapping, writing and bookkeeping. Against
//! G2A's limit of 600 calls per minute the reference is arithmetic: the smallest number of pages that hold the
//! catalogue, at the limit's rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::stream;
use lockstep_clock::Clock;
use lockstep_domain::Secret;
use lockstep_g2a::{Auth, Budget, Client, Limits, PAGE_SIZE, ProductQuery, Unlimited};
use lockstep_g2a_sandbox::{Catalogue, Config, Credentials, Knobs, Sandbox};
use lockstep_store::Store;
use lockstep_store::sync::RunStatus;
use lockstep_sync::{Context, Report, Settings, StoreBudget, What};
use tokio_util::sync::CancellationToken;

use crate::figures::{Aim, Figure, Section, number};
use crate::{Run, say};

/// G2A's limit.
const CALLS_PER_MINUTE: u32 = 600;
/// Target for a full synchronisation at the limit, as a multiple of the limit's own time.
const AIM: f64 = 1.05;
/// "No limit", for a setting that requires a number.
const NO_LIMIT: u32 = 10_000_000;

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let products = if run.quick { 2_000 } else { 10_000 };
    let pages = u32::try_from(products)?.div_ceil(PAGE_SIZE);
    let mut figures = Vec::new();

    let sandbox = sandbox(products, 0).await?;
    let client = client(&sandbox, Arc::new(Unlimited))?;
    let rounds = if run.quick { 2 } else { 3 };
    let (mut loops, mut firsts, mut seconds, mut calls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let one = read_all(&client, pages, 1).await?;
        let eight = read_all(&client, pages, Settings::default().max_in_flight).await?;
        loops.push(one.min(eight));
        let database = run.cluster.database(&format!("sync_{round}")).await?;
        let first = synchronise(&database.store, &client, NO_LIMIT).await?;
        ensure!(
            first.counts.created == i32::try_from(products)?,
            "not every product became a game: {first}"
        );
        firsts.push(taken(&first));
        calls.push(f64::from(first.calls));
        let second = synchronise(&database.store, &client, NO_LIMIT).await?;
        ensure!(second.counts.updated == 0, "games changed by themselves: {second}");
        seconds.push(taken(&second));
        say(&format!(
            "no limit: loop {one:.2} s (eight at once {eight:.2} s), first {:.2} s, again {:.2} s",
            taken(&first),
            taken(&second)
        ));
        database.store.close().await;
    }
    sandbox.shutdown().await;
    figures.push(Figure::against(
        format!("no limit: {products} products, all new"),
        "s",
        &firsts,
        &loops,
    ));
    figures.push(Figure::against(
        format!("no limit: {products} products, nothing changed"),
        "s",
        &seconds,
        &loops,
    ));
    figures.push(Figure::against(
        "no limit: calls, of the pages needed",
        "calls",
        &calls,
        &vec![f64::from(pages); rounds],
    ));

    let sandbox = self::sandbox(products, CALLS_PER_MINUTE).await?;
    let database = run.cluster.database("sync_limited").await?;
    let budget = StoreBudget::new(database.store.clone(), Limits::per_minute(CALLS_PER_MINUTE)?);
    let client = self::client(&sandbox, Arc::new(budget))?;
    let floor = f64::from(pages) * 60.0 / f64::from(CALLS_PER_MINUTE);
    for what in ["all new", "nothing changed"] {
        say(&format!(
            "{CALLS_PER_MINUTE} calls a minute, {what}: {floor:.0} s at the least"
        ));
        let report = synchronise(&database.store, &client, CALLS_PER_MINUTE).await?;
        let what = format!("{CALLS_PER_MINUTE} calls a minute: {products} products, {what}");
        figures.push(Figure::against(what, "s", &[taken(&report)], &[floor]).aim(Aim::AtMost(AIM)));
    }
    let refused = sandbox.control().request_counts();
    sandbox.shutdown().await;
    Ok(Section {
        name: "sync",
        about: format!(
            "A full synchronisation of {products} products ({pages} pages); reference without a limit: reading the pages \
             with the same client and throwing them away, one or eight at once, whichever is faster; reference at the \
             limit: {pages} pages at {CALLS_PER_MINUTE} a minute. The sandbox runs in the same process. It counted \
             {refused:?} at the limit."
        ),
        figures,
    })
}

/// A supplier with `products` products; 0 calls per minute means no limit.
pub(crate) async fn sandbox(products: usize, rate_per_minute: u32) -> Result<Sandbox> {
    let config = Config {
        catalogue: Catalogue::Generated {
            count: u64::try_from(products)?,
            seed: 1,
        },
        knobs: Knobs {
            rate_per_minute,
            ..Knobs::default()
        },
        ..Config::default()
    };
    Sandbox::start(config).await.context("starting a sandbox")
}

/// The product's client for it.
pub(crate) fn client(sandbox: &Sandbox, budget: Arc<dyn Budget>) -> Result<Client> {
    let Credentials { hash, email, secret } = sandbox.credentials();
    let auth = Auth::Hash {
        api_hash: Secret::new(hash),
        email,
        secret: Secret::new(secret),
    };
    Ok(Client::new(
        lockstep_g2a::Config::new(sandbox.base_url(), auth),
        budget,
    )?)
}

/// Requests every page as a synchronisation does, and discards the responses. Returns the time in seconds.
async fn read_all(client: &Client, pages: u32, at_once: usize) -> Result<f64> {
    let began = Instant::now();
    let read = stream::iter((1..=pages).rev())
        .map(|page| async move {
            let query = ProductQuery {
                page,
                include_out_of_stock: true,
                ..ProductQuery::default()
            };
            client.products(&query).await.map(|page| page.products.len())
        })
        .buffered(at_once)
        .collect::<Vec<_>>()
        .await;
    let products = read.into_iter().sum::<Result<usize, _>>()?;
    ensure!(
        number(products) > f64::from(pages - 1) * f64::from(PAGE_SIZE),
        "only {products} products"
    );
    Ok(began.elapsed().as_secs_f64())
}

pub(crate) async fn synchronise(store: &Store, client: &Client, calls_per_minute: u32) -> Result<Report> {
    let settings = Settings {
        calls_per_minute,
        ..Settings::default()
    };
    let context = Context::new(store.clone(), client.clone(), settings, Clock::system());
    let report = lockstep_sync::run(&context, What::Full, "benchmark", CancellationToken::new()).await?;
    ensure!(report.status == RunStatus::Completed, "{report}");
    Ok(report)
}

fn taken(report: &Report) -> f64 {
    Duration::from_millis(report.duration_ms).as_secs_f64()
}
