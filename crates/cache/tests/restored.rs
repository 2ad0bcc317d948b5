//! A database restored from another server's backup: its answers are cached like those of any database.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground gives way has to fail where it does"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{insert_games, pool, price, until, with_redis};
use lockstep_cache::{Cache, Config};
use lockstep_domain::GameId;
use lockstep_embedded_postgres::{Durability, Options, Postgres};
use lockstep_store::Store;
use lockstep_testkit::{TestDb, TestRedis};
use sqlx::PgPool;

/// A busy machine may pause a process beyond the default lease, which costs a load and is correct.
fn patient() -> Config {
    Config {
        lease: Duration::from_mins(1),
        ..Config::default()
    }
}

/// Reads 48 games eleven times: after the first round, all 480 answers must be cached.
async fn repeated_reads_come_from_the_copies(cache: &Cache, sql: &PgPool, games: &[GameId]) {
    assert_eq!(games.len(), 48);
    for game in games {
        assert_eq!(price(cache, sql, *game).await, Some(1));
    }
    let before = cache.status().counters.l1_hits;
    for _ in 0..10 {
        for game in games {
            assert_eq!(price(cache, sql, *game).await, Some(1));
        }
    }
    let counters = cache.status().counters;
    assert_eq!(counters.l1_hits - before, 480, "{counters:?}");
}

async fn wait_for_forgotten_ids(store: &Store, cache: &Cache) {
    until("the restored ids are forgotten", async || {
        !store.has_foreign_ids().await.unwrap()
    })
    .await;
    cache.catch_up().await.unwrap();
}

#[tokio::test]
async fn ids_of_another_server_are_forgotten_at_start_and_at_run_time() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let games = insert_games(&db, 48).await;
    let restore = "insert into cache_inval (xid, tags) select (9000000000 + n)::text::xid8, '{home,game:*}' from generate_series(1, 6000) n;
                   update cache_floor set floor = '9000005000'";
    db.execute(restore).await;
    let config = Config {
        lease: patient().lease,
        ..with_redis(&redis.url())
    };
    let cache = Cache::start(db.store.clone(), config).await;
    wait_for_forgotten_ids(&db.store, &cache).await;
    repeated_reads_come_from_the_copies(&cache, &db.sql, &games).await;

    // A backup is restored under the running process.
    db.execute(restore).await;
    wait_for_forgotten_ids(&db.store, &cache).await;
    let refused = cache.status().counters.refused_identity;
    repeated_reads_come_from_the_copies(&cache, &db.sql, &games).await;
    assert!(
        cache.status().counters.refused_identity > refused,
        "what was read under the old name is not believed"
    );
}

/// Reads and writes while the ids are being forgotten: no answer is older than a confirmed write.
#[tokio::test]
async fn no_stale_value_is_served_while_ids_are_forgotten() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let caches = [
        Cache::start(db.store.clone(), Config::default()).await,
        Cache::start(db.store.clone(), Config::default()).await,
    ];
    for round in 2..42 {
        if round % 4 == 0 {
            db.execute(
                "insert into cache_inval (xid, tags) select (9000000000 + n)::text::xid8, '{game:*}' from generate_series(1, 300) n;
                 update cache_floor set floor = '9000000200'",
            )
            .await;
        }
        common::set_price(&db, game, round).await;
        for cache in &caches {
            cache.catch_up().await.unwrap();
            assert_eq!(price(cache, &db.sql, game).await, Some(round.into()));
        }
    }
    wait_for_forgotten_ids(&db.store, &caches[0]).await;
}

/// A separate cluster, deleted when dropped.
struct Cluster {
    postgres: Postgres,
    store: Store,
    sql: PgPool,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            durability: Durability::TestOnly,
            bin_dir: std::env::var_os("LOCKSTEP_PG_BIN").map(PathBuf::from),
            ..Options::new(folder.path())
        };
        let postgres = tokio::task::spawn_blocking(move || Postgres::start(&options).unwrap())
            .await
            .unwrap();
        let url = postgres.connection_string();
        Self {
            store: Store::new(&url, &lockstep_store::Options::default()).unwrap(),
            sql: pool(&url, 4),
            postgres,
            _folder: folder,
        }
    }

    fn bin(&self) -> &Path {
        self.postgres.installation().bin_dir()
    }

    async fn number(&self, question: &'static str) -> u64 {
        let text: String = sqlx::query_scalar(question).fetch_one(&self.sql).await.unwrap();
        text.parse().unwrap()
    }
}

/// `pg_dump | psql`, as for a move to a new server.
async fn dump_and_restore(from: &Cluster, to: &Cluster) {
    let mut dump = Command::new(from.bin().join("pg_dump"))
        .args(["--no-owner", "--dbname", &from.postgres.connection_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut psql = Command::new(to.bin().join("psql"));
    psql.args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname"])
        .arg(to.postgres.connection_string())
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null());
    let (dumped, restored) = tokio::task::spawn_blocking(move || (psql.status().unwrap(), dump.wait().unwrap()))
        .await
        .unwrap();
    assert!(dumped.success() && restored.success());
}

#[tokio::test]
async fn a_dump_restored_to_a_new_server_is_cached_normally() {
    let old = Cluster::new().await;
    old.store.migrate().await.unwrap();
    let games: Vec<GameId> = sqlx::query_scalar::<_, uuid::Uuid>(
        "insert into games (title, slug, description, price, image, release_date)
         select 'Game ' || n, 'game-' || n, '', 1, '', now() from generate_series(1, 48) n returning id",
    )
    .fetch_all(&old.sql)
    .await
    .unwrap()
    .into_iter()
    .map(GameId)
    .collect();
    // A shop with a long history and a pruned log.
    sqlx::raw_sql("do $$ begin for n in 1..20000 loop perform pg_current_xact_id(); commit; end loop; end $$")
        .execute(&old.sql)
        .await
        .unwrap();
    sqlx::raw_sql("update games set rating_critic = 3; update cache_inval set at = at - interval '2 days'")
        .execute(&old.sql)
        .await
        .unwrap();
    assert!(old.store.prune_invalidations(Duration::from_hours(25)).await.unwrap() > 0);
    sqlx::raw_sql("update games set rating_critic = 4")
        .execute(&old.sql)
        .await
        .unwrap();

    let new = Cluster::new().await;
    dump_and_restore(&old, &new).await;
    let floor = new.number("select floor::text from cache_floor").await;
    let next = new.number("select pg_snapshot_xmax(pg_current_snapshot())::text").await;
    assert!(
        floor > next,
        "the new server is behind, else this shows nothing: {floor}, {next}"
    );

    let cache = Cache::start(new.store.clone(), patient()).await;
    wait_for_forgotten_ids(&new.store, &cache).await;
    repeated_reads_come_from_the_copies(&cache, &new.sql, &games).await;
    assert_eq!(new.number("select floor::text from cache_floor").await, 0);
}
