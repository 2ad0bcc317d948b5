//! The other shop, this shop, and an import between them.

use lockstep_import::prisma::{self, Options, Progress, Target};
use lockstep_import::{ImportError, Report};
use lockstep_store::audit::By;
use lockstep_store::doctor::broken_invariants;
use lockstep_testkit::{TestDb, broken_rules, secrets, sqlx};

/// The other shop's database with its tables.
pub(crate) async fn tables() -> TestDb {
    let db = TestDb::empty().await;
    db.execute(include_str!("schema.sql")).await;
    db
}

/// A shop with every damage.
pub(crate) async fn damaged() -> TestDb {
    let db = tables().await;
    db.execute(include_str!("damage.sql")).await;
    db
}

/// An import from one to the other.
pub(crate) async fn import(from: &TestDb, to: &TestDb, settle: &[&str]) -> Report {
    watched(from, to, settle, &|_| {}).await.unwrap()
}

/// An import that reports how far it is.
pub(crate) async fn watched(
    from: &TestDb,
    to: &TestDb,
    settle: &[&str],
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, ImportError> {
    let keys = secrets();
    prisma::run(&Options {
        url: from.url(),
        target: Some(Target {
            store: &to.store,
            secrets: &keys,
            by: By::Operator("test".into()),
        }),
        costs: Some(&to.store),
        ask: None,
        since: None,
        settle: settle.iter().map(|kind| (*kind).to_owned()).collect(),
        progress,
    })
    .await
}

/// What an import would bring.
pub(crate) async fn dry_run(url: &str) -> Result<Report, ImportError> {
    prisma::run(&Options {
        url,
        target: None,
        costs: None,
        ask: None,
        since: None,
        settle: Vec::new(),
        progress: &|_| {},
    })
    .await
}

/// The ids and amounts of the findings of a kind.
pub(crate) fn found<'r>(report: &'r Report, kind: &str) -> Vec<(&'r str, Option<&'r str>)> {
    let mut found: Vec<_> = (report.findings.iter())
        .filter(|finding| finding.kind == kind)
        .map(|finding| (finding.id.as_str(), finding.amount.as_deref()))
        .collect();
    found.sort_unstable();
    found
}

/// Rows of a statement as texts.
pub(crate) async fn rows(db: &TestDb, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar(statement).fetch_all(&db.sql).await.unwrap()
}

/// The rules of the books that do not hold.
pub(crate) async fn books(db: &TestDb) -> Vec<String> {
    let mut broken = broken_rules(&db.sql).await.unwrap();
    broken.extend(
        broken_invariants(&db.store)
            .await
            .unwrap()
            .into_iter()
            .map(|broken| format!("{broken:?}")),
    );
    broken
}
