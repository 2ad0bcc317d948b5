//! Told to end, the store ends within its time, whatever stands still, and says what it cut; the next start takes that up.

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{CallMatch, Fault, FaultRule, PriceBasis, Sandbox};
use lockstep_testkit::TestDb;
use tokio::process::Command;

use crate::program::{DEADLINE, Running, lockstep, sandbox, with_account};

/// The setting, and what a busy machine may need beyond it to notice that a process has ended.
const LIMIT: Duration = Duration::from_secs(6);
const SLACK: Duration = Duration::from_secs(4);

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap()
}

/// The store over a database, with its data in `data`.
fn serve(db: &TestDb, g2a: &Sandbox, data: &Path) -> Command {
    let mut command = lockstep(&["serve", "--shutdown-seconds", "6", "--pace", "test", "--data-dir"]);
    command.arg(data).env("DATABASE_URL", db.url());
    with_account(&mut command, g2a);
    command
}

/// Ends the store; returns its code and what it said, and holds it to its time.
async fn end(store: Running) -> (Option<i32>, String) {
    let said = store.said();
    let asked = Instant::now();
    store.signal("TERM").await;
    let code = store.ended().await.code();
    assert!(asked.elapsed() < LIMIT + SLACK, "it took {:?}", asked.elapsed());
    let said = said.lock().unwrap().clone();
    (code, said)
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

/// The private server and its processes.
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
async fn with_its_database_frozen_it_ends_in_time_and_opens_again() {
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
    // A request that waits for it.
    let waiting = {
        let address = store.address.clone();
        tokio::spawn(async move {
            crate::program::client()
                .get(format!("http://{address}/readyz"))
                .send()
                .await
        })
    };
    let (code, said) = end(store).await;
    signal_all("CONT", &server).await;
    drop(waiting.await);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("closing within 6 s"), "{said}");
    assert!(!said.contains("keys being read: 1"), "none was: {said}");
    // The server was told to end with its owner, and the next one waits for that.
    let again = Running::start(&mut start()).await;
    assert_eq!(again.get("/readyz").await.0, 200);
    assert_eq!(end(again).await.0, Some(0));
}

/// Bought by a shopper: a copy of a game that can be had.
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
async fn a_key_that_does_not_come_is_cut_by_name_and_its_copy_is_taken_up_at_the_next_start() {
    let (db, g2a, folder) = (TestDb::new().await, sandbox(20).await, folder());
    let control = g2a.control();
    control.change_knobs(|knobs| knobs.charge_basis = PriceBasis::MinPrice);
    control.add_fault(FaultRule::once(CallMatch::Key, Fault::Hold));
    let store = Running::start(&mut serve(&db, &g2a, folder.path())).await;
    order(&db, &store).await;
    until("its key is asked for", async || control.held().len() == 1).await;
    let (code, said) = end(store).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("copies in hand: 1, keys being read: 1"), "{said}");
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
async fn while_it_drains_readiness_says_no_and_requests_are_answered() {
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
