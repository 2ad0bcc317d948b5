//! Failures of the supplier or the database: the shop does not change, and the report has a clear reason.

use lockstep_g2a_sandbox::{CallMatch, Catalogue, Fault, FaultRule, Knobs};
use lockstep_store::sync::RunStatus;
use lockstep_sync::{Settings, SyncError, What};

use crate::support::{Shop, one_at_a_time};

fn error(status: u16, code: &str) -> Fault {
    Fault::Error {
        status,
        code: code.into(),
        message: "no".into(),
    }
}

/// Every failure of G2A, the resulting status of the run, and a word of its reason.
fn failures() -> Vec<(Fault, RunStatus, &'static str)> {
    use RunStatus::{Failed, Interrupted};
    vec![
        (error(401, "AUTH02"), Failed, "G2A_API_HASH"),
        (error(403, "AUTH01"), Failed, "G2A_API_SECRET"),
        (error(401, "AUTH03"), Failed, "address of this machine"),
        (error(400, "PR02"), Failed, "PR02"),
        (error(500, "API00"), Interrupted, "status 500"),
        (Fault::EmptyBody502, Interrupted, "502"),
        (Fault::TruncateAt { bytes: 300 }, Interrupted, "half-way"),
        (Fault::DropBefore, Interrupted, "no complete answer"),
        (Fault::DropAfter, Interrupted, "no complete answer"),
        (Fault::Nonsense, Interrupted, "not JSON"),
        (Fault::WrongJson, Interrupted, "another shape"),
    ]
}

#[tokio::test]
async fn no_byte_of_the_catalogue_changes_while_g2a_fails() {
    let shop = Shop::start(
        Catalogue::Generated { count: 90, seed: 4 },
        Knobs::default(),
        one_at_a_time(),
    )
    .await;
    shop.run(What::Full).await;
    shop.g2a.drift_now(40);
    let before = shop.bytes().await;
    for (fault, status, word) in failures() {
        for what in [What::Full, What::Stock, What::Incremental, What::Product(shop.id_at(3))] {
            shop.g2a.add_fault(FaultRule::forever(CallMatch::Any, fault.clone()));
            let report = shop.run(what.clone()).await;
            let one = matches!(what, What::Product(_));
            assert_eq!(
                report.status,
                if one { RunStatus::Failed } else { status },
                "{fault:?} {what:?}"
            );
            let reason = report.stopped_by.clone().unwrap_or_default();
            assert!(reason.contains(word), "{fault:?} {what:?}: {reason}");
            assert_eq!(shop.bytes().await, before, "{fault:?} {what:?}");
            shop.g2a.clear_faults();
        }
    }
    let report = shop.run(What::Full).await;
    assert_eq!(report.status, RunStatus::Completed, "{report}");
    shop.assert_in_line().await;
}

#[tokio::test]
async fn a_run_that_fails_midway_resumes_and_writes_only_real_pages() {
    for (fault, status, _) in failures() {
        let shop = Shop::start(
            Catalogue::Generated { count: 90, seed: 4 },
            Knobs::default(),
            one_at_a_time(),
        )
        .await;
        shop.g2a
            .add_fault(FaultRule::forever(CallMatch::Products, fault.clone()).after(3));
        let report = shop.run(What::Full).await;
        assert_eq!((report.status, report.counts.created), (status, 30), "{fault:?}");
        let (games, expected) = (shop.games().await, shop.expected());
        assert!(
            games.iter().all(|(id, game)| expected.get(id) == Some(game)),
            "{fault:?}"
        );
        shop.g2a.clear_faults();
        let report = shop.run(What::Full).await;
        assert_eq!(report.status, RunStatus::Completed, "{fault:?}");
        assert_eq!(report.resumes, i32::from(status == RunStatus::Interrupted), "{fault:?}");
        shop.assert_in_line().await;
    }
}

#[tokio::test]
async fn a_run_waits_after_a_429_and_continues() {
    let shop = Shop::start(
        Catalogue::Generated { count: 90, seed: 4 },
        Knobs::default(),
        one_at_a_time(),
    )
    .await;
    shop.g2a.add_fault(
        FaultRule::once(CallMatch::Products, Fault::RateLimited { retry_after: Some(0) })
            .after(2)
            .times(9),
    );
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Products, Fault::RateLimited { retry_after: Some(1) }).after(4));
    let report = shop.run(What::Full).await;
    assert_eq!(
        (report.status, report.resumes, report.counts.created),
        (RunStatus::Completed, 0, 90),
        "{report}"
    );
}

#[tokio::test]
async fn after_a_database_restart_the_next_run_resumes() {
    let shop = Shop::start(
        Catalogue::Generated { count: 130, seed: 4 },
        Knobs::default(),
        one_at_a_time(),
    )
    .await;
    shop.gate.only(5);
    let (result, ()) = tokio::join!(shop.try_run(What::Full), async {
        shop.gate.reached(6).await;
        shop.db.cut_connections().await;
        shop.gate.open();
    });
    // Connections are renewed at once, so the run may survive; it must not lose data.
    if let Err(error) = result {
        assert!(matches!(error, SyncError::Store(_)), "{error}");
        let report = shop.run_after_crash(What::Full).await;
        assert_eq!(report.status, RunStatus::Completed);
    }
    shop.assert_in_line().await;
}

#[tokio::test]
async fn a_vanished_catalogue_withdraws_nothing() {
    let shop = Shop::with(120).await;
    shop.run(What::Full).await;
    let ids: Vec<String> = (0..70).map(|place| shop.id_at(place)).collect();
    for id in &ids {
        shop.g2a.remove_product(id);
    }
    for what in [What::Full, What::Stock] {
        let before = shop.bytes().await;
        let report = shop.run(what).await;
        assert_eq!(
            (report.status, report.counts.withdrawn),
            (RunStatus::Completed, 0),
            "{report}"
        );
        assert!(
            report.withheld > 50 && report.problems[0].reason.contains("not believed"),
            "{report}"
        );
        assert_eq!(shop.bytes().await, before);
    }
    // An operator overrides the limit.
    let settings = Settings {
        max_missing_percent: 100,
        ..Settings::default()
    };
    let cx = lockstep_sync::Context::new(
        shop.db.store.clone(),
        shop.client(),
        settings,
        lockstep_clock::Clock::system(),
    );
    let report = lockstep_sync::run(&cx, What::Full, "test", tokio_util::sync::CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(report.counts.withdrawn, 70);
    shop.assert_in_line().await;
}

#[tokio::test]
async fn an_empty_answer_withdraws_nothing() {
    let shop = Shop::with(30).await;
    shop.run(What::Full).await;
    let before = shop.bytes().await;
    for product in shop.products() {
        shop.g2a.remove_product(product["id"].as_str().unwrap());
    }
    let report = shop.run(What::Full).await;
    assert_eq!((report.counts.withdrawn, report.withheld), (0, 30), "{report}");
    assert_eq!(shop.bytes().await, before);
}
