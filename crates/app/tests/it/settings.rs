//! Processes of one shop have to be set alike; who differs is refused by the name of the setting.

use futures::future::join_all;
use lockstep_testkit::TestDb;
use tokio::process::Command;

use crate::program::{DEADLINE, Running, lockstep, outcome, text};

/// `lockstep web` of a shop on `db`, set like every other one of this file but for `changed`.
fn web(db: &TestDb, folder: &tempfile::TempDir, changed: &[(&str, &str)]) -> Command {
    set(lockstep(&["web"]), db, folder, changed)
}

fn set(mut command: Command, db: &TestDb, folder: &tempfile::TempDir, changed: &[(&str, &str)]) -> Command {
    command
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_DATA_DIR", folder.path())
        .env("LOCKSTEP_BIND", "127.0.0.1:0")
        .env("LOCKSTEP_PUBLIC_URL", "http://shop.example")
        .env("JWT_SECRET", "a".repeat(40))
        .env("JWT_REFRESH_SECRET", "b".repeat(40))
        .env("LOCKSTEP_KEY_SECRET", "11".repeat(32))
        .env("G2A_API_URL", "http://127.0.0.1:1/v1")
        .env("G2A_API_HASH", "hash-of-one")
        .env("G2A_API_EMAIL", "one@example.org")
        .env("G2A_API_SECRET", "secret")
        .envs(changed.iter().copied());
    command
}

#[tokio::test]
async fn who_differs_from_a_running_instance_is_refused_by_the_name_of_the_setting() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let first = Running::start(&mut web(&db, &folder, &[])).await;
    let (jwt, other_key) = ("c".repeat(40), "22".repeat(32));
    let differing = [
        ("LOCKSTEP_KEY_SECRET", other_key.as_str()),
        ("JWT_SECRET", &jwt),
        ("JWT_REFRESH_SECRET", &jwt),
        ("G2A_MARKUP_PERCENT", "5"),
        ("G2A_PRICE_BASIS", "max"),
        ("G2A_ALLOWED_LOSS", "0.50"),
        ("G2A_API_URL", "http://127.0.0.1:2/v1"),
        ("G2A_API_HASH", "hash-of-two"),
        ("G2A_API_EMAIL", "two@example.org"),
        ("LOCKSTEP_PREORDER_DAYS", "30"),
        ("LOCKSTEP_CART_MAX_COPIES", "7"),
        ("LOCKSTEP_CART_MAX_LINES", "7"),
    ];
    let attempts = differing.iter().map(|change| {
        let mut command = web(&db, &folder, &[*change]);
        async move { outcome(&mut command).await }
    });
    for ((name, value), refused) in differing.iter().zip(join_all(attempts).await) {
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{name}: {told}");
        assert!(
            told.contains(name) && told.contains("stop the others first"),
            "{name}: {told}"
        );
        for (other, _) in differing.iter().filter(|(other, _)| !name.starts_with(other)) {
            assert!(!told.contains(&format!("{other} is ")), "{name}: {told}");
        }
        assert!(
            !name.contains("SECRET") && *name != "G2A_API_HASH" || !told.contains(value),
            "{name} is shown: {told}"
        );
    }
    // Written otherwise is not another value, and a new password of the same account is no other account.
    let alike = [("G2A_MARKUP_PERCENT", "2.00"), ("G2A_API_SECRET", "new")];
    let second = Running::start(&mut web(&db, &folder, &alike)).await;

    let doctor = async |changed: &[(&str, &str)]| {
        text(
            &outcome(&mut set(lockstep(&["doctor"]), &db, &folder, changed))
                .await
                .stdout,
        )
    };
    let well = doctor(&[]).await;
    assert!(well.contains("2 running, with the same settings"), "{well}");
    let ill = doctor(&[("G2A_MARKUP_PERCENT", "5")]).await;
    assert!(
        ill.contains("WRONG instances") && ill.contains("G2A_MARKUP_PERCENT is 5 here and 2 at"),
        "{ill}"
    );

    let kept: Vec<String> = lockstep_testkit::sqlx::query_scalar("select settings::text from instances")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    for secret in ["aaaaaaaa", "bbbbbbbb", "11111111", "hash-of-one", "one@example.org"] {
        assert!(!kept.concat().contains(secret), "{secret} is in the database: {kept:?}");
    }

    // When nobody is left, settings may change.
    for running in [first, second] {
        running.signal("TERM").await;
        assert_eq!(running.ended().await.code(), Some(0));
    }
    let changed = [("G2A_MARKUP_PERCENT", "5"), ("JWT_SECRET", &jwt)];
    let alone = Running::start(&mut web(&db, &folder, &changed)).await;
    // And when it was killed, after a while.
    alone.signal("KILL").await;
    alone.ended().await;
    Running::start(&mut web(&db, &folder, &[])).await;
}

#[tokio::test]
async fn two_that_differ_and_start_at_once_do_not_both_run() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let mut migrate = set(lockstep(&["migrate"]), &db, &folder, &[]);
    assert!(outcome(&mut migrate).await.status.success());
    let start = |markup: &str| {
        let mut command = web(&db, &folder, &[("G2A_MARKUP_PERCENT", markup)]);
        command.stderr(std::process::Stdio::piped()).spawn().expect("it starts")
    };
    let (mut one, mut two) = (start("3"), start("4"));
    let first_ended = async {
        tokio::select! {
            ended = one.wait() => (ended, true),
            ended = two.wait() => (ended, false),
        }
    };
    let (ended, is_one) = tokio::time::timeout(DEADLINE, first_ended)
        .await
        .expect("one of them is refused");
    assert_eq!(ended.unwrap().code(), Some(1));
    let (refused, mut runs) = if is_one { (one, two) } else { (two, one) };
    let told = text(&refused.wait_with_output().await.unwrap().stderr);
    assert!(told.contains("G2A_MARKUP_PERCENT"), "{told}");
    assert!(runs.try_wait().unwrap().is_none(), "the other runs");
    assert_eq!(db.count("instances").await, 1);
}

#[tokio::test]
async fn a_new_key_secret_in_front_is_a_rotation_and_one_without_the_old_is_refused_even_alone() {
    let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let (both, reversed) = (format!("{new},{old}"), format!("{old},{new}"));
    let first = Running::start(&mut web(&db, &folder, &[])).await;
    let user = db.user("ada@example.org", "10.00").await;
    db.execute(&format!(
        "insert into user_totp (user_id, nonce) values ('{user}', sha256('x'))"
    ))
    .await;

    let second = Running::start(&mut web(&db, &folder, &[("LOCKSTEP_KEY_SECRET", &both)])).await;
    // The one that has not got the new secret yet cannot read what the other seals, and is told so.
    let doctor = outcome(&mut set(lockstep(&["doctor"]), &db, &folder, &[])).await;
    let told = text(&doctor.stdout);
    assert!(
        told.contains("WRONG instances") && told.contains("LOCKSTEP_KEY_SECRET"),
        "{told}"
    );
    for running in [first, second] {
        running.signal("TERM").await;
        running.ended().await;
    }

    // Alone, and still: what is stored is sealed with the new one now.
    let refused = outcome(&mut web(&db, &folder, &[])).await;
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains("LOCKSTEP_KEY_SECRET") && told.contains("end of the list") && told.contains("keys accept"),
        "{told}"
    );
    Running::start(&mut web(&db, &folder, &[("LOCKSTEP_KEY_SECRET", &reversed)])).await;

    // A secret that is lost for ever does not close the shop for ever.
    let lost = "33".repeat(32);
    let with_lost = [("LOCKSTEP_KEY_SECRET", lost.as_str())];
    assert_eq!(outcome(&mut web(&db, &folder, &with_lost)).await.status.code(), Some(1));
    let accepted = outcome(&mut set(lockstep(&["keys", "accept"]), &db, &folder, &with_lost)).await;
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    Running::start(&mut web(&db, &folder, &with_lost)).await;
}
