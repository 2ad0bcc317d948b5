//! The environment of the program: a pooler in front of the database, a restored database, a wrong clock.

use std::path::PathBuf;
use std::sync::Arc;

use lockstep_cache::{Cache, Payload};
use lockstep_domain::{CacheKey, GameId};
use lockstep_embedded_postgres::Postgres;
use lockstep_store::Store;
use lockstep_testkit::sqlx::{self, Connection as _};
use lockstep_testkit::{DatabaseProxy, TestDb, TestPooler};

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::program::{DEADLINE, Running, client, lockstep, outcome, sandbox, text, with_account};

#[tokio::test]
async fn transaction_pooler_is_refused_and_session_pooler_works() {
    let (db, g2a) = (TestDb::new().await, sandbox(20).await);
    let shared = TestPooler::start(&db, "transaction", "").await;
    for command in ["migrate", "serve"] {
        let mut command = lockstep(&[command]);
        with_account(&mut command, &g2a)
            .env("DATABASE_URL", shared.url())
            .env("LOCKSTEP_BIND", "127.0.0.1:0");
        let refused = outcome(&mut command).await;
        let output = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{output}");
        assert!(
            output.contains("pooler") && output.contains("pool_mode = session"),
            "{output}"
        );
    }
    let mut doctor = lockstep(&["doctor"]);
    let doctor = outcome(with_account(&mut doctor, &g2a).env("DATABASE_URL", shared.url())).await;
    let output = text(&doctor.stdout);
    assert!(
        output.contains("WRONG database") && output.contains("pool_mode = session"),
        "{output}"
    );

    let session = TestPooler::start(&db, "session", "").await;
    let mut serve = lockstep(&["serve"]);
    let serve = with_account(&mut serve, &g2a).env("DATABASE_URL", session.url());
    let store = Running::start(serve).await;
    store
        .wait_for("/api/games?inStockOnly=false&pageSize=1", |answer| {
            answer.pointer("/data/total")?.as_u64().filter(|total| *total > 0)
        })
        .await;
}

/// The private database of a data folder, opened by the test.
async fn open(folder: &str) -> (Arc<Postgres>, Store) {
    let options = lockstep_embedded_postgres::Options {
        bin_dir: std::env::var_os("LOCKSTEP_PG_BIN").map(PathBuf::from),
        ..lockstep_embedded_postgres::Options::new(folder)
    };
    let postgres = tokio::task::spawn_blocking(move || Postgres::start(&options).unwrap())
        .await
        .unwrap();
    let store = Store::new(&postgres.connection_string(), &lockstep_store::Options::default()).unwrap();
    (Arc::new(postgres), store)
}

async fn close(postgres: Arc<Postgres>, store: Store) {
    store.close().await;
    tokio::task::spawn_blocking(move || drop(postgres)).await.unwrap();
}

#[tokio::test]
async fn foreign_transaction_ids_of_a_restored_backup_are_deleted() {
    let (from, to, kept) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let (from, to) = (from.path().to_str().unwrap(), to.path().to_str().unwrap());
    let kept = kept.path().join("monday");
    let kept = kept.to_str().unwrap();
    let run = async |args: &[&str]| {
        let out = outcome(&mut lockstep(args)).await;
        assert!(out.status.success(), "{}", text(&out.stderr));
    };
    run(&["migrate", "--data-dir", from]).await;
    // A shop that has been open for a while, and whose invalidation log was pruned.
    let (postgres, store) = open(from).await;
    let mut sql = sqlx::PgConnection::connect(&postgres.connection_string())
        .await
        .unwrap();
    for statement in [
        "set synchronous_commit = off",
        "do $$ begin for n in 1..20000 loop perform pg_current_xact_id(); commit; end loop; end $$",
        "insert into cache_inval (tags) values ('{home,game:*}')",
        "update cache_floor set floor = pg_current_xact_id()",
    ] {
        sqlx::raw_sql(statement).execute(&mut sql).await.unwrap();
    }
    sql.close().await.unwrap();
    close(postgres, store).await;
    run(&["backup", kept, "--data-dir", from]).await;
    run(&["restore", kept, "--data-dir", to]).await;

    let (postgres, store) = open(to).await;
    let look = store
        .look_at_invalidations(&lockstep_store::Snapshot::ORIGIN)
        .await
        .unwrap();
    assert!(
        look.snapshot.xmax < 20_000 && !look.foreign && look.floor == 0 && look.news.is_empty(),
        "{look:?}"
    );
    let config = lockstep_cache::Config {
        lease: std::time::Duration::from_mins(1),
        ..lockstep_cache::Config::default()
    };
    let cache = Cache::start(store.clone(), config).await;
    for n in 0..481 {
        let read = cache.read(CacheKey::Game(GameId(uuid::Uuid::nil())), |store: Store| async move {
            store
                .read(|_| Box::pin(async { Ok(Payload::bytes("{}".into())) }))
                .await
        });
        read.await.unwrap();
        assert_eq!(
            cache.status().counters.l1_hits,
            n,
            "every repeated read comes from the copy"
        );
    }
    cache.shutdown().await;
    close(postgres, store).await;
}

#[tokio::test]
async fn doctor_reports_restored_transaction_ids_and_migrate_deletes_them() {
    let (db, g2a) = (TestDb::new().await, sandbox(20).await);
    db.execute("update cache_floor set floor = '9000000000'").await;
    let run = async |args: &[&str]| {
        let mut command = lockstep(args);
        text(
            &outcome(with_account(&mut command, &g2a).env("DATABASE_URL", db.url()))
                .await
                .stdout,
        )
    };
    let ill = run(&["doctor"]).await;
    assert!(ill.contains("WRONG copies") && ill.contains("restored backup"), "{ill}");
    run(&["migrate"]).await;
    let well = run(&["doctor"]).await;
    assert!(well.contains("ok    copies"), "{well}");
}

/// From the first second the port answers that the process runs and the store is not open; the reason is in the log;
/// and when the database becomes available, the store opens by itself.
#[tokio::test]
async fn starting_store_reports_that_its_database_is_unavailable() {
    let (db, g2a) = (TestDb::new().await, sandbox(20).await);
    let bind = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let way = DatabaseProxy::refusing(&db);
    let away = way.address();
    let mut serve = lockstep(&["serve"]);
    with_account(&mut serve, &g2a)
        .env("DATABASE_URL", way.url())
        .env("LOCKSTEP_BIND", bind.to_string());
    let mut child = serve
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let output = tokio::time::timeout(DEADLINE, async {
        loop {
            let line = log.next_line().await.unwrap().expect("it waits");
            if line.contains("does not answer yet") {
                return line;
            }
        }
    })
    .await
    .expect("it says why");
    let log = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    assert!(
        output.contains(&format!("{away} refuses connections"))
            && output.contains("attempt 1")
            && output.contains("every 2 s"),
        "{output}"
    );
    let status = async |path: &str| {
        let answer = client().get(format!("http://{bind}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(status("/healthz").await, (200, "ok".to_owned()));
    for path in ["/", "/readyz", "/api/health", "/api/games", "/games", "/metrics"] {
        assert_eq!(status(path).await.0, 503, "{path}");
    }
    let doctor = outcome(lockstep(&["doctor"]).env("DATABASE_URL", way.url())).await;
    assert!(
        text(&doctor.stdout).contains("refuses connections"),
        "{}",
        text(&doctor.stdout)
    );

    way.mend();
    let started = std::time::Instant::now();
    while status("/").await.0 != 200 {
        assert!(started.elapsed() < DEADLINE, "it does not open");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(status("/readyz").await.0, 200);
    log.abort();
}

#[tokio::test]
async fn address_of_another_kind_of_database_is_refused_at_once() {
    for command in ["serve", "migrate", "doctor"] {
        let refused = outcome(
            lockstep(&[command])
                .env("DATABASE_URL", "mysql://root:hunter2@127.0.0.1/shop")
                .env("LOCKSTEP_BIND", "127.0.0.1:0"),
        )
        .await;
        let output = text(&refused.stderr) + &text(&refused.stdout);
        assert_eq!(refused.status.code(), Some(1), "{command}: {output}");
        assert!(
            output.contains("mysql://") && output.contains("postgres://"),
            "{command}: {output}"
        );
        assert!(!output.contains("hunter2"), "{command}: {output}");
    }
}
