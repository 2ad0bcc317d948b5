//! Moving in: the command, and a customer of the other shop who logs in here.

use lockstep_testkit::TestDb;

use crate::program::{Running, client, lockstep, outcome, sandbox, text, with_account};

/// The other shop of the import's own tests.
async fn other_shop() -> TestDb {
    let db = TestDb::empty().await;
    db.execute(include_str!("../../../import/tests/it/schema.sql")).await;
    db.execute(include_str!("../../../import/tests/it/damage.sql")).await;
    db
}

#[tokio::test]
async fn a_customer_of_the_other_shop_logs_in_here_and_has_the_balance() {
    let (from, to, g2a) = (other_shop().await, TestDb::empty().await, sandbox(20).await);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let report = folder.path().join("report.html");
    let mut import = lockstep(&["import", "prisma", from.url(), "--json", "--data-dir", data, "--report"]);
    let import = outcome(import.arg(&report).env("DATABASE_URL", to.url())).await;
    assert!(import.status.success(), "{}", text(&import.stderr));
    let lines: Vec<serde_json::Value> = text(&import.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let end = lines.last().unwrap();
    assert_eq!(end["tables"]["orders"]["taken"], 11, "{end}");
    assert!(
        lines
            .iter()
            .any(|line| line["kind"] == "refund_lost" && line["amount"] == "10.00")
    );
    assert!(std::fs::read_to_string(&report).unwrap().contains("refund_lost"));

    let mut serve = lockstep(&["serve", "--data-dir", data]);
    let store = Running::start(with_account(&mut serve, &g2a).env("DATABASE_URL", to.url())).await;
    // `$2b$`, `$2y$` with an address that registration refuses, and a second row of the first address.
    for (email, password, status) in [
        ("Anna@Shop.example", "Correct-Horse-7", 200),
        ("\"odd one\"@shop.example", "Correct-Horse-7", 200),
        ("anna@shop.example", "Wrong-Horse-7", 401),
        ("unbooked@shop.example", "Correct-Horse-7", 401),
    ] {
        let answer = client()
            .post(format!("http://{}/api/auth/login", store.address))
            .json(&serde_json::json!({ "email": email, "password": password }))
            .send()
            .await
            .unwrap();
        let seen = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        assert_eq!(seen, status, "{email}: {body}");
    }
}

#[tokio::test]
async fn what_is_no_shop_is_refused_and_a_dry_run_makes_no_schema() {
    let (from, to) = (other_shop().await, TestDb::empty().await);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut dry = lockstep(&["import", "prisma", from.url(), "--dry-run", "--data-dir", data]);
    let dry = outcome(dry.env("DATABASE_URL", to.url())).await;
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    assert!(text(&dry.stdout).contains("nothing was written") && text(&dry.stdout).contains("keys_missing"));
    let made: i64 = lockstep_testkit::sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&to.sql)
        .await
        .unwrap();
    assert_eq!(made, 0);
    for (url, words) in [
        ("prisma://accelerate.example/?api_key=k", "DIRECT_URL"),
        (to.url(), "is not the database of a Prisma shop"),
    ] {
        let refused = outcome(
            lockstep(&["import", "prisma", url, "--dry-run", "--data-dir", data]).env("DATABASE_URL", to.url()),
        )
        .await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
    }
    // Nor is a shop made for one that cannot be read.
    let fresh = folder.path().join("fresh");
    let refused = outcome(&mut lockstep(&[
        "import",
        "prisma",
        "mysql://root@127.0.0.1/shop",
        "--data-dir",
        fresh.to_str().unwrap(),
    ]))
    .await;
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(!fresh.exists(), "{}", text(&refused.stderr));
    let wrong = outcome(&mut lockstep(&[
        "import",
        "prisma",
        from.url(),
        "--settle",
        "key_twice",
    ]))
    .await;
    assert_eq!(wrong.status.code(), Some(2));
}
