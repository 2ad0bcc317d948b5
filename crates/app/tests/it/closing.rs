//! Shutdown ends within its time limit, whatever is blocked, and names what it aborted; the next start resumes that.

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{CallMatch, Fault, FaultRule, PriceBasis, Sandbox};
use lockstep_testkit::TestDb;
use tokio::process::Command;

use crate::program::{DEADLINE, Running, lockstep, sandbox, with_account};

/// The time limit of shutdown in these tests, and how much longer a busy machine may take to notice that a process has
/// ended.
const LIMIT: Duration = Duration::from_secs(6);
const SLACK: Duration = Duration::from_secs(4);

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap()
}

/// The store on a database, with its data folder in `data`.
fn serve(db: &TestDb, g2a: &Sandbox, data: &Path) -> Command {
    let mut command = lockstep(&["serve", "--shutdown-seconds", "6", "--pace", "test", "--data-dir"]);
    command.arg(data).env("DATABASE_URL", db.url());
    with_account(&mut command, g2a);
    command
}

/// Stops the store; returns its exit code and its log, and checks its time limit.
async fn end(store: Running) -> (Option<i32>, String) {
    let log = store.log();
    let asked = Instant::now();
    store.signal("TERM").await;
    let code = store.ended().await.code();
    assert!(asked.elapsed() < LIMIT + SLACK, "it took {:?}", asked.elapsed());
    let log = log.lock().unwrap().clone();
    (code, log)
}

async fn signal_all(name: &str, pids: &[String]) {
    let sent = Command::new("kill")
        .args(["-s", name])
        .args(pids)
        .status()
        .await
        .unwrap();
    assert!(sent.success());
}

/// The processes of the private server.
fn server_of(data: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().into_string() else {
            continue;
        };
        let Ok(working) = std::fs::read_link(entry.path().join("cwd")) else {
            continue;
        };
        if working.starts_with(data) {
            all.push(pid);
        }
    }
    all
}

#[tokio::test]
async fn shutdown_with_a_frozen_database_is_in_time_and_restart_works() {
    let folder = folder();
    let data = folder.path().join("data");
    let start = || {
        let mut command = lockstep(&["serve", "--shutdown-seconds", "6", "--data-dir"]);
        command.arg(&data);
        command
    };
    let store = Running::start(&mut start()).await;
    store
        .wait_for("/api/games", |answer| answer.pointer("/data/data/0").map(drop))
        .await;
    let server = server_of(&data);
    assert!(server.len() > 1, "{server:?}");
    signal_all("STOP", &server).await;
    // A request that waits for the database.
    let waiting = {
        let address = store.address.clone();
        tokio::spawn(async move {
            crate::program::client()
                .get(format!("http://{address}/readyz"))
                .send()
                .await
        })
    };
    let (code, log) = end(store).await;
    signal_all("CONT", &server).await;
    drop(waiting.await);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("shutting down within 6 s"), "{log}");
    assert!(!log.contains("keys being read: 1"), "none was: {log}");
    // The server was stopped with its owner, and the next one waits for it to end.
    let again = Running::start(&mut start()).await;
    assert_eq!(again.get("/readyz").await.0, 200);
    assert_eq!(end(again).await.0, Some(0));
}

/// Places an order for one copy of an available game.
async fn order(db: &TestDb, store: &Running) {
    let game = store
        .wait_for("/api/games?inStockOnly=true", |answer| {
            answer.pointer("/data/data/0/id")?.as_str()?.parse().ok()
        })
        .await;
    let user = db.user("ada@example.org", "1000.00").await;
    db.order(user, game, 1).await;
}

async fn until(what: &str, reached: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !reached().await {
        assert!(Instant::now() < deadline, "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn pending_key_call_is_aborted_by_name_and_resumed_at_restart() {
    let (db, g2a, folder) = (TestDb::new().await, sandbox(20).await, folder());
    let control = g2a.control();
    control.change_knobs(|knobs| knobs.charge_basis = PriceBasis::MinPrice);
    control.add_fault(FaultRule::once(CallMatch::Key, Fault::Hold));
    let store = Running::start(&mut serve(&db, &g2a, folder.path())).await;
    order(&db, &store).await;
    until("its key is asked for", async || control.held().len() == 1).await;
    let (code, log) = end(store).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("units in progress: 1, keys being read: 1"), "{log}");
    let again = Running::start(&mut serve(&db, &g2a, folder.path())).await;
    until("it is delivered", async || {
        db.count("orders where status = 'COMPLETED'").await == 1
    })
    .await;
    assert_eq!(end(again).await.0, Some(0));
    db.assert_books_balance().await;
    let paid = control
        .ledger()
        .orders
        .iter()
        .filter(|order| order.paid_times > 0)
        .count();
    let flagged = db.count("incidents where kind = 'KEY_LOST'").await;
    assert_eq!(
        i64::try_from(paid).unwrap(),
        1 + flagged,
        "what was read by nobody is told"
    );
}

#[tokio::test]
async fn draining_store_is_unready_and_answers_requests() {
    let (db, g2a, folder) = (TestDb::new().await, sandbox(20).await, folder());
    let mut command = serve(&db, &g2a, folder.path());
    command.env("LOCKSTEP_DRAIN_SECONDS", "3");
    let store = Running::start(&mut command).await;
    assert_eq!(store.get("/readyz").await.0, 200);
    store.signal("TERM").await;
    let asked = Instant::now();
    while store.get("/readyz").await.0 != 503 {
        assert!(asked.elapsed() < Duration::from_secs(3), "it says so at once");
    }
    assert_eq!(store.get("/api/games").await.0, 200);
    assert_eq!(store.ended().await.code(), Some(0));
    assert!(asked.elapsed() < LIMIT + SLACK);
}
