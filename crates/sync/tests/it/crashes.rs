//! Runs that crash, and concurrent runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{CallMatch, Catalogue, Fault, FaultRule, Knobs};
use lockstep_store::sync::{RunKind, RunStatus};
use lockstep_sync::{Settings, SyncError, What, run};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
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

/// Number of requests for pages beyond those of a run without a crash.
fn repeated(with_crash: &[String], without: &[String]) -> i32 {
    let mut counts: HashMap<&str, i32> = HashMap::new();
    for target in with_crash {
        // The start time of the requested changes differs between runs.
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
async fn a_run_killed_before_any_call_resumes_without_repeats() {
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
async fn a_run_killed_during_any_call_repeats_only_that_page() {
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
async fn a_stopped_run_is_interrupted_and_resumed() {
    let shop = seven_pages().await;
    shop.gate.only(4);
    let (cx, halt) = (Arc::clone(&shop.cx), CancellationToken::new());
    let (report, ()) = tokio::join!(run(&cx, What::Full, "test", halt.clone()), async {
        shop.gate.reached(5).await;
        halt.cancel();
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
async fn an_unfinished_run_that_is_too_old_is_abandoned() {
    let shop = seven_pages().await;
    shop.gate.only(4);
    let halt = CancellationToken::new();
    tokio::join!(run(&shop.cx, What::Full, "test", halt.clone()), async {
        shop.gate.reached(5).await;
        halt.cancel();
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
async fn a_stock_check_does_not_affect_the_resumption_of_a_full_run() {
    let shop = seven_pages().await;
    shop.gate.only(5);
    let halt = CancellationToken::new();
    tokio::join!(run(&shop.cx, What::Full, "test", halt.clone()), async {
        shop.gate.reached(6).await;
        halt.cancel();
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
async fn of_two_concurrent_runs_one_is_refused() {
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
async fn a_superseded_run_writes_nothing() {
    let shop = seven_pages().await;
    shop.gate.only(4);
    let other = shop.another_process();
    let (zombie, before) = tokio::join!(shop.try_run(What::Full), async {
        shop.gate.reached(5).await;
        // Its lock is lost, as after a network failure; the run does not know.
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

/// Ten pages, eight of them requested concurrently, from a G2A that holds back every answer until the test releases it.
const PAGES: u32 = 10;

struct Slow {
    shop: Shop,
    run: tokio::task::JoinHandle<Result<lockstep_sync::Report, SyncError>>,
    dice: StdRng,
}

fn eight_at_once() -> Settings {
    Settings {
        calls_per_minute: 1_000_000,
        in_flight_at_first: 8,
        ..Settings::default()
    }
}

async fn ten_pages() -> Shop {
    let goods = Catalogue::Generated { count: 200, seed: 2 };
    Shop::start(goods, Knobs::default(), eight_at_once()).await
}

async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !happened().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Slow {
    async fn start(seed: u64) -> Self {
        let shop = ten_pages().await;
        shop.g2a.add_fault(FaultRule::forever(CallMatch::Products, Fault::Hold));
        let cx = Arc::clone(&shop.cx);
        let run = tokio::spawn(async move { run(&cx, What::Full, "killed", CancellationToken::new()).await });
        Self {
            shop,
            run,
            dice: StdRng::seed_from_u64(seed),
        }
    }

    /// Waits until as many calls are in flight as possible before the `nth` answer: the first requests the number of
    /// pages, the others request pages.
    async fn under_way(&self, nth: u32) {
        let under_way = match nth {
            2.. if nth <= PAGES + 1 => 8.min(PAGES + 2 - nth),
            _ => 1,
        };
        until("as many calls under way as may be", async || {
            self.shop.g2a.held().len() == usize::try_from(under_way).unwrap()
        })
        .await;
    }

    /// Releases the answer of one call in flight.
    fn answer(&mut self) {
        let held = self.shop.g2a.held();
        assert!(self.shop.g2a.release(held[self.dice.random_range(0..held.len())]));
    }

    /// Waits until the content of the `nth` answer is written.
    async fn written(&self, nth: u32) {
        if (2..=PAGES + 1).contains(&nth) {
            until("the page is written", async || {
                self.shop.count("select pages_read::bigint from sync_runs").await == i64::from(nth - 1)
            })
            .await;
        } else {
            until("the next call", async || {
                !self.shop.g2a.held().is_empty() || self.run.is_finished()
            })
            .await;
        }
    }

    /// Kills the run, lets G2A answer at once from now on, resumes the run, and returns the number of calls that it
    /// took.
    async fn kill_and_resume(self) -> (Shop, u32) {
        self.run.abort();
        drop(self.run.await);
        self.shop.g2a.clear_faults();
        let report = self.shop.run_after_crash(What::Full).await;
        assert_eq!(
            (report.status, report.resumes, report.counts.created),
            (RunStatus::Completed, 1, 200),
            "{report}"
        );
        self.shop.assert_in_line().await;
        (self.shop, report.calls)
    }
}

/// Number of page answers beyond those of a run without a crash.
fn repeated_answers(with_crash: &Shop, without: &Shop) -> i32 {
    let answered = |shop: &Shop| -> Vec<String> {
        let all = shop.g2a.requests(20_000).into_iter();
        all.filter(|request| request.answered_at.is_some() && request.status == Some(200))
            .map(|request| request.target)
            .collect()
    };
    repeated(&answered(with_crash), &answered(without))
}

#[tokio::test]
async fn killed_after_any_write_no_answered_page_is_requested_again() {
    let whole = ten_pages().await;
    let calls = whole.run(What::Full).await.calls;
    for last in 1..calls {
        let mut slow = Slow::start(u64::from(last)).await;
        for nth in 1..=last {
            slow.under_way(nth).await;
            slow.answer();
            slow.written(nth).await;
        }
        let (after, more) = slow.kill_and_resume().await;
        assert_eq!(more, calls - last, "after answer {last}");
        assert_eq!(repeated_answers(&after, &whole), 0, "after answer {last}");
    }
}

#[tokio::test]
async fn killed_before_any_write_only_the_last_answer_is_requested_again() {
    let whole = ten_pages().await;
    let calls = whole.run(What::Full).await.calls;
    for last in 1..=calls {
        let mut slow = Slow::start(u64::from(last)).await;
        for nth in 1..last {
            slow.under_way(nth).await;
            slow.answer();
            slow.written(nth).await;
        }
        slow.under_way(last).await;
        // Every write of the run waits for this transaction.
        let mut stop = slow.shop.db.sql.begin().await.unwrap();
        sqlx::query("select 1 from sync_lease for update")
            .execute(&mut *stop)
            .await
            .unwrap();
        slow.answer();
        until("it waits to write", async || {
            let waiting =
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            slow.shop.count(waiting).await > 0
        })
        .await;
        slow.run.abort();
        until("it is dead", async || slow.run.is_finished()).await;
        stop.rollback().await.unwrap();
        let (after, more) = slow.kill_and_resume().await;
        assert_eq!(more, calls - last + 1, "at answer {last}");
        assert_eq!(repeated_answers(&after, &whole), 1, "at answer {last}");
    }
}

#[tokio::test]
async fn pages_beside_a_failed_one_are_written_and_not_requested_again() {
    let whole = ten_pages().await;
    let calls = whole.run(What::Full).await.calls;
    let shop = ten_pages().await;
    // The request for the number of pages and four of the eight are held back; the other four fail twice, once per
    // attempt.
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Products, Fault::Hold).times(5));
    shop.g2a
        .add_fault(FaultRule::once(CallMatch::Products, Fault::EmptyBody502).times(8));
    let (report, ()) = tokio::join!(shop.run(What::Full), async {
        until("the first look", async || shop.g2a.held() == [1]).await;
        assert!(shop.g2a.release(1));
        until("four have failed", async || {
            shop.g2a.request_counts().total == 1 + 4 + 8
        })
        .await;
        for number in shop.g2a.held() {
            assert!(shop.g2a.release(number));
        }
    });
    assert_eq!(
        (report.status, report.counts.pages_read),
        (RunStatus::Interrupted, 4),
        "{report}"
    );
    let report = shop.run(What::Full).await;
    assert_eq!(
        (report.status, report.resumes, report.calls),
        (RunStatus::Completed, 1, calls - 5),
        "{report}"
    );
    assert_eq!(repeated_answers(&shop, &whole), 0);
    shop.assert_in_line().await;
}

#[tokio::test]
async fn concurrent_pages_are_all_written() {
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
