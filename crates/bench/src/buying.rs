//! Buying: the time from the click to the key, and whether a full queue drains as fast as the supplier allows.
//!
//! The product's worker and shop run in one process, as in `lockstep serve`, against a sandbox. For the time from click
//! to key, the sandbox has a fixed response time, and the reference is the same calls made sequentially by the same
//! client without any records in between: that is the supplier's own time, and the rest is the product's. The
//! measurement ends when a client that polls the order, as the page does, has opened the key.
//!
//! For the queue the reference is arithmetic: the number of calls for these units, at the limit's rate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lockstep_auth::{ClientInfo, CurrentUser};
use lockstep_cache::Cache;
use lockstep_domain::ids::{GameId, KeyId};
use lockstep_fulfilment::Fulfilment;
use lockstep_g2a::{Client, Limits, NewOrder, Unlimited};
use lockstep_g2a_sandbox::{CallMatch, Control, Fault, FaultRule, PriceBasis, RequestCounts, Sandbox};
use lockstep_shop::{Seen, Shop};
use lockstep_store::fulfilment as records;
use lockstep_sync::StoreBudget;
use lockstep_testkit::sqlx;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::figures::{Aim, Figure, Section, Times, number};
use crate::orders::{self, Shopper};
use crate::servers::{self, Database};
use crate::{Run, say, sync};

/// Response time of the sandbox, in milliseconds: a European supplier called from Europe under low load.
const ANSWER_MS: u64 = 50;
/// Create, pay, and fetch the key.
const CALLS_A_COPY: usize = 3;
/// Target for the time from click to key: this multiple of the supplier's own time, plus this many milliseconds.
const CLICK: (f64, f64) = (1.2, 50.0);
/// Ten times G2A's limit, so that the queue is empty within a minute and the product's own overhead weighs ten times as
/// much.
const CALLS_PER_MINUTE: u32 = 6_000;
/// Target for the time to drain the queue, as a multiple of the limit's own time.
const DRAIN_AIM: f64 = 1.05;
/// "No limit", for a setting that requires a number; every call is counted in the database all the same.
const NO_LIMIT: u32 = 10_000_000;
const PRODUCTS: usize = 200;
/// Time limit of every measurement.
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let orders = if run.quick { 20 } else { 100 };
    let queued = if run.quick { 200 } else { 1_000 };
    let mut figures = Box::pin(click_to_key(run, orders)).await?;
    figures.extend(drain(run, queued).await?);
    Ok(Section {
        name: "buying",
        about: format!(
            "From the click (one copy, one buyer at a time, {orders} a round) to the opened key, worker and shop in one \
             process, {ANSWER_MS} ms for every answer of the sandbox; reference: the same {CALLS_A_COPY} calls by the same \
             client one after the other. And {queued} queued orders of one copy with {CALLS_PER_MINUTE} calls a minute \
             allowed; reference: {CALLS_A_COPY} calls a copy at that rate."
        ),
        figures,
    })
}

async fn click_to_key(run: &Run, orders: usize) -> Result<Vec<Figure>> {
    let market = Market::open(run, "buying", 0).await?;
    let unlimited = Limits::per_minute(NO_LIMIT)?;
    let cache = Cache::start(market.database.store.clone(), lockstep_cache::Config::default()).await;
    let shop = servers::shop(market.database.store.clone(), cache.clone())?;
    let buyer = orders::shoppers(&market.database, 1).await?.pop().context("a buyer")?;
    let worker = market.work(unlimited)?;
    let bare = sync::client(&market.sandbox, Arc::new(Unlimited))?;
    let slow = Fault::Slow {
        milliseconds: ANSWER_MS,
    };
    market.control.add_fault(FaultRule::forever(CallMatch::Any, slow));
    // Warms up connections, prepared statements and plans.
    for goods in market.goods.iter().cycle().take(5) {
        plainly(&bare, goods).await?;
        Box::pin(buy(&shop, &buyer, goods)).await?;
    }
    let (mut p50, mut p99) = (Pairs::default(), Pairs::default());
    for _ in 0..run.rounds() {
        let (mut supplier, mut ours) = (Times::default(), Times::default());
        for goods in market.goods.iter().cycle().take(orders) {
            let began = Instant::now();
            plainly(&bare, goods).await?;
            let clicked = Instant::now();
            supplier.add(clicked - began);
            Box::pin(buy(&shop, &buyer, goods)).await?;
            ours.add(clicked.elapsed());
        }
        p50.add(ours.percentile(50), supplier.percentile(50));
        p99.add(ours.percentile(99), supplier.percentile(99));
    }
    worker.end().await?;
    cache.shutdown().await;
    market.close().await;
    let allowed = format!("click to key, of the {} x + {:.0} ms allowed", CLICK.0, CLICK.1);
    Ok(vec![
        Figure::against("click to key, p50", "ms", &p50.ours, &p50.supplier),
        Figure::against("click to key, p99", "ms", &p99.ours, &p99.supplier),
        Figure::alone(format!("{allowed}, p50"), "x", &p50.of_allowed()).aim(Aim::AtMost(1.0)),
        Figure::alone(format!("{allowed}, p99"), "x", &p99.of_allowed()).aim(Aim::AtMost(1.0)),
    ])
}

/// A metric of product and reference, by round.
#[derive(Default)]
struct Pairs {
    ours: Vec<f64>,
    supplier: Vec<f64>,
}

impl Pairs {
    fn add(&mut self, ours: f64, supplier: f64) {
        self.ours.push(ours);
        self.supplier.push(supplier);
    }

    fn of_allowed(&self) -> Vec<f64> {
        let pairs = self.ours.iter().zip(&self.supplier);
        pairs
            .map(|(ours, supplier)| ours / supplier.mul_add(CLICK.0, CLICK.1))
            .collect()
    }
}

/// The supplier's own time: the calls for one unit, and nothing else.
async fn plainly(client: &Client, goods: &Goods) -> Result<()> {
    let asked = NewOrder {
        product_id: goods.product.clone(),
        currency: "EUR".into(),
        max_price: None,
    };
    let order = client.create_order(&asked).await?;
    let payment = client.pay(&order.order_id).await?;
    ensure!(payment.accepted, "a payment was not accepted");
    let key = client.key_bytes(&order.order_id).await?;
    ensure!(key.complete && !key.body.is_empty(), "no key");
    Ok(())
}

/// Places an order, polls it as the page does, and opens the key.
async fn buy(shop: &Shop, buyer: &Shopper, goods: &Goods) -> Result<()> {
    let context = shop.arrive(Some(&buyer.token), None).await?;
    let caller = context.signed_in()?;
    let checkout = shop.checkout([(goods.game, 1)], None, None)?;
    let order = shop
        .place_order(caller, &ClientInfo::default(), &checkout, None)
        .await?
        .id;
    // The page resolves its session again with the next request.
    let context = shop.arrive(Some(&buyer.token), None).await?;
    let mut watched = context.watch_order(order).await?;
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Some(seen) = watched.next().await {
            if seen.is_final() {
                return Some(seen.status);
            }
        }
        None
    });
    let status = ended.await.context("an order does not end")?;
    let keys = context.order(order, Seen::Api).await?.keys;
    let [key] = keys.as_slice() else {
        bail!("an order ended as {status:?} with {} keys", keys.len());
    };
    if key.is_file {
        context.key_file(order, KeyId(key.id)).await?;
    } else {
        ensure!(key.key.is_some(), "a key cannot be opened");
    }
    Ok(())
}

async fn drain(run: &Run, queued: usize) -> Result<Vec<Figure>> {
    let market = Market::open(run, "queue", CALLS_PER_MINUTE).await?;
    let store = &market.database.store;
    let cache = Cache::start(store.clone(), lockstep_cache::Config::default()).await;
    let shop = servers::shop(store.clone(), cache.clone())?;
    let shoppers = orders::shoppers(&market.database, 20).await?;
    let mut placing = JoinSet::new();
    for (at, shopper) in shoppers.iter().enumerate() {
        let share = queued / shoppers.len() + usize::from(at < queued % shoppers.len());
        let caller: CurrentUser = shop.caller(&shopper.token).await?;
        let (shop, goods) = (shop.clone(), market.goods.clone());
        placing.spawn(async move {
            for goods in goods.iter().cycle().skip(at).take(share) {
                let checkout = shop.checkout([(goods.game, 1)], None, None)?;
                shop.place_order(&caller, &ClientInfo::default(), &checkout, None)
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(placed) = placing.join_next().await {
        placed??;
    }
    let open = records::waiting(store).await?.open;
    ensure!(open == u64::try_from(queued)?, "{open} of {queued} copies wait");
    let calls = queued * CALLS_A_COPY;
    let floor = number(calls) * 60.0 / f64::from(CALLS_PER_MINUTE);
    say(&format!("{queued} orders are queued: {floor:.0} s at the least"));
    let before = market.control.request_counts();
    let began = Instant::now();
    let worker = market.work(Limits::per_minute(CALLS_PER_MINUTE)?)?;
    while records::waiting(store).await?.open > 0 {
        ensure!(began.elapsed() < PATIENCE, "the queue does not drain");
        // Polled rarely, so that polling costs nothing.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed().as_secs_f64();
    worker.end().await?;
    let made = made(&before, &market.control.request_counts());
    let delivered: i64 = sqlx::query_scalar("select count(*) from order_units where state = 'DONE'")
        .fetch_one(&market.database.sql)
        .await?;
    ensure!(
        delivered == i64::try_from(queued)?,
        "{delivered} of {queued} copies were delivered"
    );
    cache.shutdown().await;
    market.close().await;
    Ok(vec![
        Figure::against(
            format!("{queued} queued orders, until the last key"),
            "s",
            &[took],
            &[floor],
        )
        .aim(Aim::AtMost(DRAIN_AIM)),
        Figure::against(
            "calls made for them, of those needed",
            "calls",
            &[made],
            &[number(calls)],
        ),
    ])
}

/// Number of calls between two counts.
fn made(before: &RequestCounts, after: &RequestCounts) -> f64 {
    number(usize::try_from(after.total - before.total).unwrap_or(usize::MAX))
}

/// A game and its id at the supplier.
#[derive(Clone)]
struct Goods {
    game: GameId,
    product: String,
}

/// A supplier with unlimited stock, and a shop's database with its products.
struct Market {
    sandbox: Sandbox,
    control: Control,
    database: Database,
    goods: Vec<Goods>,
    spool: PathBuf,
}

impl Market {
    /// `calls_per_minute` is the supplier's limit from now on; 0 for none.
    async fn open(run: &Run, name: &str, calls_per_minute: u32) -> Result<Self> {
        let sandbox = sync::sandbox(PRODUCTS, 0).await?;
        let control = sandbox.control();
        control.change_knobs(|knobs| knobs.charge_basis = PriceBasis::MinPrice);
        control.set_wallet("1000000000".parse()?);
        let database = run.cluster.database(name).await?;
        let client = sync::client(&sandbox, Arc::new(Unlimited))?;
        sync::synchronise(&database.store, &client, NO_LIMIT).await?;
        let goods: Vec<Goods> = sqlx::query_as::<_, (Uuid, String)>(
            "select id, g2a_product_id from games
              where in_stock and not is_preorder and withdrawn_at is null order by id limit 50",
        )
        .fetch_all(&database.sql)
        .await?
        .into_iter()
        .map(|(id, product)| Goods {
            game: GameId(id),
            product,
        })
        .collect();
        ensure!(goods.len() == 50, "only {} games are to be had", goods.len());
        for goods in &goods {
            ensure!(
                control.set_stock(&goods.product, 1_000_000),
                "{} is gone",
                goods.product
            );
        }
        control.change_knobs(|knobs| knobs.rate_per_minute = calls_per_minute);
        Ok(Self {
            spool: std::env::temp_dir().join(format!("lockstep-bench-spool-{}-{name}", std::process::id())),
            sandbox,
            control,
            database,
            goods,
        })
    }

    /// Starts the product's worker with its normal settings and call budget.
    fn work(&self, limits: Limits) -> Result<Worker> {
        let store = self.database.store.clone();
        let client = sync::client(&self.sandbox, Arc::new(StoreBudget::new(store.clone(), limits)))?;
        let settings = lockstep_fulfilment::Settings::default();
        let fulfilment = Fulfilment::open(store, client, servers::keys()?, &self.spool, settings)?;
        let stop = CancellationToken::new();
        let until = stop.clone();
        Ok(Worker {
            running: tokio::spawn(async move { fulfilment.run(until).await }),
            stop,
        })
    }

    async fn close(self) {
        self.sandbox.shutdown().await;
        self.database.store.close().await;
        // On failure a few small temporary files remain.
        drop(std::fs::remove_dir_all(&self.spool));
    }
}

/// A running worker.
struct Worker {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Worker {
    async fn end(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.running.await?)
    }
}
