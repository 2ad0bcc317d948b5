//! Staff handle an answer without a readable key, with the commands of the real program.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use lockstep_g2a_sandbox::{CallMatch, Fault, FaultRule};
use lockstep_testkit::TestDb;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::crash::{PRODUCT, SECRET, stop, supplier, worker};
use crate::program::{DEADLINE, lockstep, outcome, text};

fn command(db: &TestDb, data: &Path, arguments: &[&str]) -> Command {
    let mut command = lockstep(arguments);
    command
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_DATA_DIR", data)
        .env("LOCKSTEP_KEY_SECRET", SECRET);
    command
}

async fn json(db: &TestDb, data: &Path, arguments: &[&str]) -> Value {
    let done = outcome(&mut command(db, data, arguments)).await;
    assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[tokio::test]
async fn admin_lists_shows_and_accepts_an_answer_that_doctor_reports() {
    let (db, g2a) = tokio::join!(TestDb::new(), supplier());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let game = db.game("Portal", "portal", "10.20").await;
    db.at_g2a(game, PRODUCT).await;
    let user = db.user("ada@example.org", "100.00").await;
    db.order(user, game, 1).await;
    db.user("root@example.org", "0").await;
    db.execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    g2a.control()
        .add_fault(FaultRule::once(CallMatch::Key, Fault::Nonsense).processed());
    let child = worker(&db, &g2a, data, None).spawn().unwrap();
    let began = Instant::now();
    while db.count("order_units where state = 'LOST'").await == 0 {
        assert!(began.elapsed() < DEADLINE, "the answer does not come in");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }

    let listed = json(&db, data, &["keys", "aside", "list", "--json"]).await;
    let id = listed["id"].as_str().unwrap().to_owned();
    assert_eq!((&listed["kind"], &listed["awaited"]), (&"answer".into(), &true.into()));
    let output = outcome(&mut command(&db, data, &["doctor"])).await;
    assert!(
        text(&output.stdout).contains("keys aside list"),
        "{}",
        text(&output.stdout)
    );

    let by = ["--by", "root@example.org", "--json"];
    let refused = outcome(&mut command(
        &db,
        data,
        &["keys", "aside", "show", &id, "--by", "ada@example.org"],
    ))
    .await;
    assert!(!refused.status.success() && refused.stdout.is_empty(), "no admin");
    let shown = json(&db, data, &[&["keys", "aside", "show", &id][..], &by].concat()).await;
    assert!(shown["answer"].as_str().unwrap().contains("back"), "{shown}");

    let mut accept = command(&db, data, &[&["keys", "aside", "accept", &id][..], &by].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = accept.stdin.take().unwrap();
    typed.write_all(b"AAAA-BBBB-CCCC\n").await.unwrap();
    drop(typed);
    let done = tokio::time::timeout(DEADLINE, accept.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("delivered"), "{}", text(&done.stdout));
    let log = text(&done.stderr) + &text(&refused.stderr);
    assert!(!log.contains("AAAA"), "keys are in no log");
    stop(child).await;
    assert_eq!(db.count("order_units where state = 'DONE'").await, 1);
    assert_eq!(db.count("audit_log where action like 'answer.%'").await, 2);
    assert_eq!(g2a.control().ledger().orders.len(), 1, "nothing was bought again");
}

#[tokio::test]
async fn doctor_reports_unwritable_spools_here_and_on_other_workers() {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    db.execute(
        "insert into buying_stops (worker, machine, reason) values (gen_random_uuid(), 'attic', 'the disk is full')",
    )
    .await;
    std::fs::write(folder.path().join("spool"), "not a folder").unwrap();
    let output = outcome(&mut command(&db, folder.path(), &["doctor"])).await;
    let output = text(&output.stdout);
    assert!(output.contains("a worker on attic: the disk is full"), "{output}");
    assert!(output.contains("cannot be written"), "{output}");
}
