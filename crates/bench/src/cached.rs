//! Cached responses, which are nearly all: which fraction of the HTTP server's maximum throughput remains with the
//! product behind it?
//!
//! The reference is the same HTTP server with the same runtime, in its own process like the product, with a route that
//! returns the same bytes with the same content type and does nothing else. The same client measures both over the same
//! number of connections, alternately. The client runs on the same processors and uses a share of them, which brings
//! the two closer together; therefore the processor time of each process is reported as well, which is unaffected.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lockstep_testkit::sqlx;

use crate::Run;
use crate::client::{self, Connection};
use crate::figures::{Aim, Figure, Section, number};
use crate::servers::{Role, Server};

const CONNECTIONS: usize = 64;
/// Target for the API, as a fraction of the reference's rate.
const AIM: f64 = 0.7;
/// Target for pages, which carry more headers and need the freshness check of more than one cached value.
const PAGE_AIM: f64 = 0.5;

/// The result of one turn of one server.
pub(crate) struct Turn {
    pub(crate) per_second: f64,
    pub(crate) processor_us: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let database = run.few().await?;
    let id: uuid::Uuid = sqlx::query_scalar("select id from games where in_stock order by popularity desc, id limit 1")
        .fetch_one(&database.sql)
        .await?;
    let slug: String = sqlx::query_scalar("select slug from games where id = $1")
        .bind(id)
        .fetch_one(&database.sql)
        .await?;
    let paths = [
        ("one game", format!("/api/games/{id}"), AIM),
        (
            "first page",
            "/api/games?page=1&pageSize=36&inStockOnly=true".to_owned(),
            AIM,
        ),
        ("home page", "/".to_owned(), PAGE_AIM),
        ("game page", format!("/game/{slug}"), PAGE_AIM),
    ];
    let product = Server::start(&Role::Api {
        database: database.url.clone(),
        l1_bytes: lockstep_cache::Config::default().l1_bytes,
    })
    .await?;

    let mut routes = Vec::new();
    let mut sizes = Vec::new();
    for (index, (_, path, _)) in paths.iter().enumerate() {
        let mut connection = Connection::open(product.address).await?;
        let body = connection.ask(&client::get(path)).await?.to_vec();
        ensure!(!body.is_empty(), "{path} is empty");
        sizes.push(body.len());
        let file = std::env::temp_dir().join(format!("lockstep-bench-{}-{index}", std::process::id()));
        std::fs::write(&file, body)?;
        let route = path.split('?').next().unwrap_or_default();
        routes.push((route.to_owned(), file));
    }
    let bare = Server::start(&Role::Bare { routes: routes.clone() }).await;
    for (_, file) in routes {
        std::fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    }
    let bare = bare?;

    let time = Duration::from_millis(if run.quick { 1_000 } else { 2_500 });
    let mut figures = Vec::new();
    for ((what, path, aim), size) in paths.iter().zip(sizes) {
        let request = client::get(path);
        for server in [&bare, &product] {
            client::load(server.address, &request, CONNECTIONS, Duration::from_millis(500)).await?;
        }
        let (mut bares, mut products) = (Vec::new(), Vec::new());
        for _ in 0..run.rounds() {
            bares.push(turn(&bare, &request, time).await?);
            products.push(turn(&product, &request, time).await?);
        }
        let column = |of: fn(&Turn) -> f64, turns: &[Turn]| turns.iter().map(of).collect::<Vec<_>>();
        let pair = |name: &str, unit, of: fn(&Turn) -> f64| {
            Figure::against(
                format!("{what}: {name}"),
                unit,
                &column(of, &products),
                &column(of, &bares),
            )
        };
        figures.push(pair(&format!("answers of {size} bytes"), "1/s", |turn| turn.per_second).aim(Aim::AtLeast(*aim)));
        figures.push(pair("processor time an answer", "us", |turn| turn.processor_us));
        figures.push(pair("p50", "ms", |turn| turn.p50));
        figures.push(pair("p99", "ms", |turn| turn.p99));
    }
    Ok(Section {
        name: "cached",
        about: format!(
            "Cached answers over {CONNECTIONS} kept-alive connections; reference: a bare axum route with the same bytes. \
             Processor time is that of the serving process alone."
        ),
        figures,
    })
}

/// Sends the request to one server repeatedly for `time`.
pub(crate) async fn turn(server: &Server, request: &[u8], time: Duration) -> Result<Turn> {
    let before = server.processor_time()?;
    let mut load = client::load(server.address, request, CONNECTIONS, time).await?;
    let used = server.processor_time()?.saturating_sub(before);
    let answers = number(load.times.len());
    Ok(Turn {
        per_second: answers / load.took.as_secs_f64(),
        processor_us: used.as_secs_f64() * 1e6 / answers,
        p50: load.times.percentile(50),
        p99: load.times.percentile(99),
    })
}
