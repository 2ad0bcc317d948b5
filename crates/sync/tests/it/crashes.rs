//! Runs that end in the middle, and runs that meet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{CallMatch, Catalogue, Fault, FaultRule, Knobs};
use lockstep_store::sync::{RunKind, RunStatus};
use lockstep_sync::{Settings, SyncError, What, run};
use tokio_util::sync::CancellationToken;

use crate::support::{Shop, one_at_a_time};

async fn seven_pages() -> Shop {
    Shop::start(
        Catalogue::Generated { count: 130, seed: 2 },
        Knobs::default(),
        one_at_a_time(),
    )
    .await
}

/// How much more often each page was asked for than in a run without a crash.
fn repeated(with_crash: &[String], without: &[String]) -> i32 {
    let mut counts: HashMap<&str, i32> = HashMap::new();
    for target in with_crash {
        // The time since when changes are asked for differs between runs.
        *counts
            .entry(target.split("&updatedAtFrom").next().unwrap())
            .or_default() += 1;
    }
    for target in without {
        *counts
            .entry(target.split("&updatedAtFrom").next().unwrap())
            .or_default() -= 1;
    }
    counts.values().map(|more| (*more).max(0)).sum()
}

#[tokio::test]
async fn killed_in_front_of_any_call_a_run_goes_on_without_repeating_a_page() {
    let whole = seven_pages().await;
    let uninterrupted = whole.run(What::Full).await;
    for call in 1..=uninterrupted.calls {
        let shop = seven_pages().await;
        shop.gate.only(usize::try_from(call).unwrap() - 1);
        {
            let cx = Arc::clone(&shop.cx);
            let killed = run(&cx, What::Full, "killed", CancellationToken::new());
            tokio::select! {
                result = killed => panic!("call {call} was not waited for: {result:?}"),
                () = shop.gate.reached(call) => {}
            }
        }
        shop.gate.open();
        let report = shop.run_after_crash(What::Full).await;
        assert_eq!(
            (report.status, report.resumes),
            (RunStatus::Completed, 1),
            "call {call}: {report}"
        );
        assert_eq!(repeated(&shop.requests(), &whole.requests()), 0, "call {call}");
        assert_eq!(report.counts, uninterrupted.counts, "call {call}");
        shop.assert_in_line().await;
    }
}

#[tokio::test]
async fn killed_while_any_page_is_on_its_way_a_run_repeats_that_page_only() {
    let whole = seven_pages().await;
    let uninterrupted = whole.run(What::Full).await;
    for call in 1..=uninterrupted.calls {
        let shop = seven_pages().await;
        shop.g2a
            .add_fault(FaultRule::once(CallMatch::Products, Fault::Slow { milliseconds: 15_000 }).after(call - 1));
        {
            let cx = Arc::clone(&shop.cx);
            let killed = run(&cx, What::Full, "killed", CancellationToken::new());
            let sent = async {
                let deadline = Instant::now() + Duration::from_secs(14);
                while shop.g2a.request_counts().total < u64::from(call) {
                    assert!(Instant::now() < deadline, "call {call} was never made");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                result = killed => panic!("call {call} was not waited for: {result:?}"),
                () = sent => {}
            }
        }
        let report = shop.run_after_crash(What::Full).await;
        assert_eq!(
            (report.status, report.resumes),
            (RunStatus::Completed, 1),
            "call {call}: {report}"
        );
        assert_eq!(repeated(&shop.requests(), &whole.requests()), 1, "call {call}");
        assert_eq!(report.counts, uninterrupted.counts, "call {call}");
        shop.assert_in_line().await;
    }
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_is_interrupted_and_taken_up_again() {
    let shop = seven_pages().await;
    shop.gate.only(4);
    let (cx, stop) = (Arc::clone(&shop.cx), CancellationToken::new());
    let (report, ()) = tokio::join!(run(&cx, What::Full, "test", stop.clone()), async {
        shop.gate.reached(5).await;
        stop.cancel();
    });
    let report = report.unwrap();
    assert_eq!(report.status, RunStatus::Interrupted);
    assert_eq!(report.stopped_by.as_deref(), Some("it was asked to stop"));
    assert_eq!(
        shop.count("select count(*) from games").await,
        i64::from(report.counts.created)
    );
    shop.gate.open();
    let report = shop.run(What::Full).await;
    assert_eq!(
        (report.status, report.resumes, report.counts.created),
        (RunStatus::Completed, 1, 130)
    );
}

#[tokio::test]
async fn an_unfinished_run_that_is_too_old_is_given_up() {
    let shop = seven_pages().await;
    shop.gate.only(4);
    let stop = CancellationToken::new();
    tokio::join!(run(&shop.cx, What::Full, "test", stop.clone()), async {
        shop.gate.reached(5).await;
        stop.cancel();
    })
    .0
    .unwrap();
    shop.gate.open();
    shop.db
        .execute("update sync_runs set started_at = now() - interval '3 hours'")
        .await;
    let report = shop.run(What::Full).await;
    assert_eq!((report.status, report.resumes), (RunStatus::Completed, 0));
    assert_eq!(
        shop.count("select count(*) from sync_runs where status = 'FAILED'")
            .await,
        1
    );
    assert_eq!(shop.count("select count(*) from sync_seen").await, 0);
}

#[tokio::test]
async fn a_stock_check_between_does_not_spoil_what_a_full_run_has_to_go_on_with() {
    let shop = seven_pages().await;
    shop.gate.only(5);
    let stop = CancellationToken::new();
    tokio::join!(run(&shop.cx, What::Full, "test", stop.clone()), async {
        shop.gate.reached(6).await;
        stop.cancel();
    })
    .0
    .unwrap();
    shop.gate.open();
    let stock = shop.run(What::Stock).await;
    assert_eq!((stock.kind, stock.status), (RunKind::Stock, RunStatus::Completed));
    let report = shop.run(What::Full).await;
    assert_eq!((report.status, report.resumes), (RunStatus::Completed, 1));
    shop.assert_in_line().await;
}

#[tokio::test]
async fn of_two_runs_at_once_one_is_refused() {
    let shop = seven_pages().await;
    shop.gate.only(3);
    let other = shop.another_process();
    let (report, ()) = tokio::join!(shop.run(What::Full), async {
        shop.gate.reached(4).await;
        for what in [What::Full, What::Stock, What::Product("1".into())] {
            let refused = run(&other, what, "second", CancellationToken::new()).await.unwrap_err();
            assert!(matches!(refused, SyncError::AlreadyRunning), "{refused}");
            assert_eq!(refused.to_string(), "another synchronisation is running; one at a time");
        }
        shop.gate.open();
    });
    assert_eq!(report.status, RunStatus::Completed);
    assert_eq!(shop.count("select count(*) from sync_runs").await, 1);
    run(&other, What::Stock, "third", CancellationToken::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_run_that_was_believed_dead_writes_nothing_after_another_has_begun() {
    let shop = seven_pages().await;
    shop.gate.only(4);
    let other = shop.another_process();
    let (zombie, before) = tokio::join!(shop.try_run(What::Full), async {
        shop.gate.reached(5).await;
        // Its lock is lost, as by a network that broke; it does not know.
        shop.db
            .execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())")
            .await;
        let deadline = Instant::now() + Duration::from_secs(20);
        let report = loop {
            match run(&other, What::Full, "successor", CancellationToken::new()).await {
                Err(SyncError::AlreadyRunning) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                result => break result.unwrap(),
            }
        };
        assert_eq!(
            (report.status, report.resumes, report.counts.created),
            (RunStatus::Completed, 1, 130)
        );
        shop.g2a
            .set_price(&shop.id_at(1), "77".parse().unwrap(), "77".parse().unwrap());
        let before = shop.bytes().await;
        shop.gate.open();
        before
    });
    assert!(matches!(zombie, Err(SyncError::Overtaken)), "{zombie:?}");
    assert_eq!(shop.bytes().await, before);
    assert_eq!(
        shop.count("select count(*) from sync_runs where status = 'COMPLETED'")
            .await,
        1
    );
}

#[tokio::test]
async fn killed_with_several_pages_on_their_way_a_run_repeats_at_most_those() {
    let settings = Settings {
        calls_per_minute: 1_000_000,
        max_in_flight: 4,
        ..Settings::default()
    };
    let start = || {
        Shop::start(
            Catalogue::Generated { count: 700, seed: 2 },
            Knobs::default(),
            settings.clone(),
        )
    };
    let whole = start().await;
    whole.run(What::Full).await;
    for call in [12, 20, 27, 33] {
        let shop = start().await;
        shop.gate.only(call - 1);
        {
            let cx = Arc::clone(&shop.cx);
            let killed = run(&cx, What::Full, "killed", CancellationToken::new());
            tokio::select! {
                result = killed => panic!("call {call} was not waited for: {result:?}"),
                () = shop.gate.reached(u32::try_from(call).unwrap()) => {}
            }
        }
        shop.gate.open();
        let report = shop.run_after_crash(What::Full).await;
        assert_eq!(
            (report.status, report.counts.created),
            (RunStatus::Completed, 700),
            "{report}"
        );
        let again = repeated(&shop.requests(), &whole.requests());
        assert!(again <= 4, "call {call}: {again} pages were asked for again");
    }
}

#[tokio::test]
async fn many_pages_under_way_at_once_lose_none() {
    let settings = Settings {
        calls_per_minute: 1_000_000,
        ..Settings::default()
    };
    let shop = Shop::start(Catalogue::Generated { count: 600, seed: 2 }, Knobs::default(), settings).await;
    let report = shop.run(What::Full).await;
    assert_eq!(
        (report.status, report.counts.created),
        (RunStatus::Completed, 600),
        "{report}"
    );
    shop.assert_in_line().await;
}
