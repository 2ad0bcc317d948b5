//! The time from a commit until a reader sees it: the promised limit is one second, and the protocol is designed for a
//! quarter of that.
//!
//! A price is changed; from the confirmation of the commit a reader polls `GET /api/games/{id}` until the response has
//! the new price. Three writers: the serving process itself, which reads the log at once; another process, which
//! notifies this one; and plain SQL, which notifies no process, so that only the regular poll finds it. Each with and
//! without Redis, and while other readers load the processors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_cache::{Cache, Config};
use lockstep_domain::Money;
use lockstep_store::Store;
use lockstep_store::sync::{Fence, Listing, Scope};
use lockstep_testkit::{TestRedis, sqlx};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::client::{self, Connection};
use crate::figures::{Aim, Figure, Section, Times};
use crate::servers::{self, Database};
use crate::upsert::{fence, listings, write};
use crate::{Run, say};

const GAMES: usize = 200;
const READERS: usize = 32;
/// The promised limit, in milliseconds.
const PROMISE: f64 = 1000.0;
/// Time limit for a change to become visible; exceeding it is a failure of the product.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Writer {
    Own,
    Other,
    PlainSql,
}

/// One way to change a price and to poll for it.
#[derive(Debug, Clone, Copy)]
struct Case {
    writer: Writer,
    redis: bool,
    readers: usize,
}

impl Case {
    fn all() -> [Self; 9] {
        let case = |writer, redis, readers| Self { writer, redis, readers };
        [
            case(Writer::Own, false, 0),
            case(Writer::Other, false, 0),
            case(Writer::PlainSql, false, 0),
            case(Writer::Own, true, 0),
            case(Writer::Other, true, 0),
            case(Writer::PlainSql, true, 0),
            case(Writer::Own, true, READERS),
            case(Writer::Other, true, READERS),
            case(Writer::PlainSql, true, READERS),
        ]
    }

    fn name(self) -> String {
        let writer = match self.writer {
            Writer::Own => "own commit",
            Writer::Other => "another process",
            Writer::PlainSql => "plain SQL (no wake-up)",
        };
        let redis = if self.redis { "Redis" } else { "no Redis" };
        let readers = match self.readers {
            0 => String::new(),
            readers => format!(", {readers} readers"),
        };
        format!("{writer}, {redis}{readers}")
    }
}

/// A process of the shop: its connections, its cache, its HTTP server.
struct Process {
    store: Store,
    cache: Cache,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Process {
    async fn start(database: &Database, redis: Option<&TestRedis>) -> Result<Self> {
        let store = servers::store(&database.url)?;
        let config = Config {
            redis_url: redis.map(TestRedis::url),
            ..Config::default()
        };
        let cache = Cache::start(store.clone(), config).await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(lockstep_cache::evictor::run(store.clone(), cache.clone(), stop.clone()));
        let router = servers::api(store.clone(), cache.clone(), Arc::new(String::new))?;
        let serving = axum::serve(listener, router).into_future();
        let until = stop.clone();
        tasks.spawn(async move {
            drop(until.run_until_cancelled(serving).await);
        });
        Ok(Self {
            store,
            cache,
            address,
            stop,
            tasks,
        })
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.cache.shutdown().await;
        self.store.close().await;
    }
}

/// A game whose price is changed.
struct Subject {
    id: Uuid,
    listing: Listing,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let database = run.cluster.database("freshness").await?;
    let written = listings(GAMES).await?;
    let fence = fence(&database.store).await?;
    write(&database.store, fence, Arc::from(&*written), Scope::Everything).await?;
    let mut subjects = Vec::with_capacity(GAMES);
    for listing in written {
        let id = sqlx::query_scalar("select id from games where g2a_product_id = $1")
            .bind(&listing.g2a_product_id)
            .fetch_one(&database.sql)
            .await?;
        subjects.push(Subject { id, listing });
    }

    let redis = TestRedis::start().await;
    let without = Process::start(&database, None).await?;
    let with = Process::start(&database, Some(&redis)).await?;
    let other = Process::start(&database, Some(&redis)).await?;

    let rounds = if run.quick { 2 } else { 3 };
    let changes = if run.quick { 30 } else { 80 };
    let mut found = vec![(Times::default(), Vec::new()); Case::all().len()];
    for round in 0..rounds {
        for (case, (all, p99)) in Case::all().into_iter().zip(&mut found) {
            let reader = if case.redis { &with } else { &without };
            let writer = match case.writer {
                Writer::Own => Some(&reader.store),
                Writer::Other => Some(&other.store),
                Writer::PlainSql => None,
            };
            let others = readers(reader.address, &subjects, case.readers).await?;
            let mut times = one_case(&database, reader.address, writer, fence, &mut subjects, changes).await;
            others.cancel();
            let times = times
                .as_mut()
                .map_err(|error| anyhow::anyhow!("{}: {error:#}", case.name()))?;
            p99.push(times.percentile(99));
            all.extend(times);
            say(&format!(
                "round {}, {}: p99 {:.1} ms",
                round + 1,
                case.name(),
                times.percentile(99)
            ));
        }
    }
    let mut figures = Vec::new();
    for (case, (all, p99)) in Case::all().into_iter().zip(&mut found) {
        figures.push(Figure::alone(
            format!("{}, p50", case.name()),
            "ms",
            &[all.percentile(50)],
        ));
        figures.push(Figure::alone(format!("{}, p99", case.name()), "ms", p99));
        figures
            .push(Figure::alone(format!("{}, longest", case.name()), "ms", &[all.longest()]).aim(Aim::AtMost(PROMISE)));
    }
    for process in [without, with, other] {
        process.end().await;
    }
    Ok(Section {
        name: "freshness",
        about: format!(
            "From a confirmed commit to the first answer that shows it, the last question included; {} changes a line.",
            rounds * changes
        ),
        figures,
    })
}

/// Changes one price after the other and waits for each to become visible.
async fn one_case(
    database: &Database,
    reader: SocketAddr,
    writer: Option<&Store>,
    fence: Fence,
    subjects: &mut [Subject],
    changes: usize,
) -> Result<Times> {
    let mut connection = Connection::open(reader).await?;
    let mut plain = database.sql.acquire().await?;
    let mut times = Times::default();
    let count = subjects.len();
    for change in 0..changes {
        let Some(subject) = subjects.get_mut(change * 7 % count) else {
            break;
        };
        let request = client::get(&format!("/api/games/{}", subject.id));
        // It is cached with the old price.
        let before = connection.ask(&request).await?;
        ensure!(shows(before, subject.listing.price), "an old price after a wait");
        // At a random time between two polls of the log.
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..60_000))).await;
        connection.ask(&request).await?;

        subject.listing.price = Money::from_cents(subject.listing.price.cents() + 1)?;
        subject.listing.original_price = None;
        subject.listing.discount = 0;
        let wanted = subject.listing.price;
        match writer {
            Some(store) => {
                write(store, fence, Arc::from([subject.listing.clone()]), Scope::PriceAndStock).await?;
            }
            None => {
                sqlx::query("update games set price = $2, original_price = null, discount = 0 where id = $1")
                    .bind(subject.id)
                    .bind(wanted.decimal())
                    .execute(&mut *plain)
                    .await?;
            }
        }
        let committed = Instant::now();
        while !shows(connection.ask(&request).await?, wanted) {
            ensure!(
                committed.elapsed() < PATIENCE,
                "a change was not seen within {PATIENCE:?}"
            );
        }
        times.add(committed.elapsed());
    }
    Ok(times)
}

fn shows(body: &[u8], price: Money) -> bool {
    let wanted = format!("\"price\":{},", serde_json::to_string(&price).unwrap_or_default());
    body.windows(wanted.len()).any(|part| part == wanted.as_bytes())
}

/// Readers that request one game after the other without pause, until cancelled.
async fn readers(address: SocketAddr, subjects: &[Subject], count: usize) -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let requests: Vec<Vec<u8>> = subjects
        .iter()
        .map(|s| client::get(&format!("/api/games/{}", s.id)))
        .collect();
    let requests = Arc::new(requests);
    for reader in 0..count {
        let mut connection = Connection::open(address).await?;
        let (requests, stop) = (Arc::clone(&requests), stop.clone());
        tokio::spawn(async move {
            for request in requests.iter().cycle().skip(reader * 5) {
                if stop.is_cancelled() || connection.ask(request).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(stop)
}
