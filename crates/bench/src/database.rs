//! Throughput of the database itself through the same driver: the baseline of every other figure, and the means to
//! distinguish a slow machine from a slow product.
//!
//! A stamped read of the store takes four round trips (begin, snapshot, query, end) where a plain select takes one; a
//! commit waits for the disk.

use std::time::{Duration, Instant};

use anyhow::Result;
use lockstep_domain::GameId;
use lockstep_store::games;
use lockstep_testkit::sqlx::{self, Executor as _, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Run;
use crate::figures::{Figure, Section, Times, number};
use crate::servers::Database;

const TOGETHER: usize = 16;

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Stamped,
    Commit,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let database = run.few().await?;
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from games order by md5(id::text) limit 2000")
        .fetch_all(&database.sql)
        .await?;
    database
        .sql
        .execute("create table if not exists bench_counter (id integer primary key, n bigint not null)")
        .await?;
    database
        .sql
        .execute("insert into bench_counter select i, 0 from generate_series(1, 16) i on conflict do nothing")
        .await?;
    let time = Duration::from_millis(if run.quick { 300 } else { 1_000 });
    let mut figures = Vec::new();
    for tasks in [1, TOGETHER] {
        let (mut plain, mut stamped, mut commits, mut p50) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..run.rounds() {
            for (kind, rates) in [
                (Kind::Plain, &mut plain),
                (Kind::Stamped, &mut stamped),
                (Kind::Commit, &mut commits),
            ] {
                let (rate, mut times) = repeat(database, &ids, kind, tasks, time).await?;
                rates.push(rate);
                if matches!(kind, Kind::Plain) {
                    p50.push(times.percentile(50));
                }
            }
        }
        figures.push(Figure::alone(
            format!("{tasks} at once: select by primary key"),
            "1/s",
            &plain,
        ));
        figures.push(Figure::alone(
            format!("{tasks} at once: select by primary key, p50"),
            "ms",
            &p50,
        ));
        figures.push(Figure::against(
            format!("{tasks} at once: stamped read of one whole game"),
            "1/s",
            &stamped,
            &plain,
        ));
        figures.push(Figure::alone(
            format!("{tasks} at once: durable commit of one row"),
            "1/s",
            &commits,
        ));
    }
    Ok(Section {
        name: "database",
        about: "PostgreSQL through sqlx over a Unix socket, 10,000 games; reference: select by primary key.".to_owned(),
        figures,
    })
}

async fn repeat(database: &Database, ids: &[Uuid], kind: Kind, tasks: usize, time: Duration) -> Result<(f64, Times)> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(u32::try_from(tasks)?)
        .test_before_acquire(false)
        .connect(&database.url)
        .await?;
    let began = Instant::now();
    let end = began + time;
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let (pool, store) = (pool.clone(), database.store.clone());
        let mut ids = ids.to_vec();
        let middle = ids.len() * task / tasks;
        ids.rotate_left(middle);
        running.spawn(async move {
            let mut times = Times::default();
            let mut now = Instant::now();
            for id in ids.iter().cycle() {
                match kind {
                    Kind::Plain => select(&pool, *id).await?,
                    Kind::Stamped => {
                        let id = GameId(*id);
                        store.read(|tx| Box::pin(games::by_id(tx, id))).await?;
                    }
                    Kind::Commit => {
                        let row = i32::try_from(task)? + 1;
                        sqlx::query("update bench_counter set n = n + 1 where id = $1")
                            .bind(row)
                            .execute(&pool)
                            .await?;
                    }
                }
                let done = Instant::now();
                times.add(done - now);
                now = done;
                if now >= end {
                    break;
                }
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Times::default();
    while let Some(ended) = running.join_next().await {
        times.extend(&ended??);
    }
    let rate = number(times.len()) / began.elapsed().as_secs_f64();
    pool.close().await;
    Ok((rate, times))
}

async fn select(pool: &PgPool, id: Uuid) -> Result<()> {
    let _price: (Uuid, bool) = sqlx::query_as("select id, in_stock from games where id = $1")
        .bind(id)
        .fetch_one(pool)
        .await?;
    Ok(())
}
