//! Jobs of staff: asked for by many, done by one worker, continued by the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_clock::Clock;
use lockstep_domain::ids::UserId;
use lockstep_g2a_sandbox::{CallMatch, Catalogue, Fault, FaultRule, Knobs};
use lockstep_store::StoreError;
use lockstep_store::audit::By;
use lockstep_store::jobs::{self, Cancelled, Claim, Job, JobKind, JobResult, JobState, Lane, NewJob, Submitted, Which};
use lockstep_sync::jobs::{Intervals, work};
use lockstep_sync::{Context, SyncError, What};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Shop, one_at_a_time};

/// Short enough for a test, and long enough for a busy machine to renew in time.
fn short() -> Intervals {
    Intervals {
        lease: Duration::from_millis(1_500),
        renew: Duration::from_millis(100),
        look: Duration::from_millis(50),
        busy: Duration::from_millis(50),
        call: Duration::from_secs(7),
        pause: Duration::from_millis(700),
    }
}

/// A worker that can be stopped, or killed by dropping it.
struct Worker {
    stop: CancellationToken,
    running: JoinHandle<()>,
    _news: watch::Sender<u64>,
}

impl Worker {
    fn start(cx: Arc<Context>) -> Self {
        let (stop, (told, news)) = (CancellationToken::new(), watch::channel(0));
        let until = stop.clone();
        let running = tokio::spawn(async move { work(&cx, Uuid::now_v7(), news, &short(), &until).await });
        Self {
            stop,
            running,
            _news: told,
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap();
    }

    async fn kill(mut self) {
        self.running.abort();
        assert!((&mut self.running).await.unwrap_err().is_cancelled());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn shop(products: u64) -> (Shop, By) {
    let catalogue = Catalogue::Generated {
        count: products,
        seed: 2,
    };
    let shop = Shop::start(catalogue, Knobs::default(), one_at_a_time()).await;
    let user = UserId(shop.db.user("root@example.org", "0").await);
    (shop, By::Staff(user))
}

fn of_products(ids: &[String]) -> NewJob {
    NewJob {
        products: ids.to_vec(),
        ..NewJob::new(JobKind::Products)
    }
}

async fn ask(shop: &Shop, by: &By, new: &NewJob) -> Job {
    match jobs::submit(&shop.db.store, by, new).await.unwrap() {
        Submitted::New(job) => job,
        other => panic!("{other:?}"),
    }
}

/// Waits until the job is so.
async fn until(shop: &Shop, id: Uuid, is_so: impl Fn(&Job) -> bool) -> Job {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let job = jobs::by_id(&shop.db.store, id).await.unwrap().unwrap();
        if is_so(&job) {
            return job;
        }
        assert!(Instant::now() < deadline, "{job:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ended(shop: &Shop, id: Uuid) -> Job {
    until(shop, id, |job| job.state.has_ended()).await
}

#[tokio::test]
async fn one_of_many_workers_does_a_job_and_equal_requests_join_it() {
    let (shop, by) = shop(45).await;
    let asks = (0..8).map(|n| {
        let (store, by) = (shop.db.store.clone(), by.clone());
        let new = NewJob::new(if n % 4 == 3 {
            JobKind::Incremental
        } else {
            JobKind::Full
        });
        async move { jobs::submit(&store, &by, &new).await.unwrap() }
    });
    let answers = futures::future::join_all(asks).await;
    let made: Vec<&Job> = answers
        .iter()
        .filter_map(|asked| match asked {
            Submitted::New(job) => Some(job),
            _ => None,
        })
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    let same =
        |asked: &&Submitted| matches!(asked, Submitted::New(job) | Submitted::Joined(job) if job.kind == made[0].kind);
    let busy = |asked: &&Submitted| matches!(asked, Submitted::Busy(job) if job.id == made[0].id);
    assert_eq!(
        answers.iter().filter(same).count() + answers.iter().filter(busy).count(),
        8
    );
    let workers: Vec<Worker> = (0..3)
        .map(|_| Worker::start(Arc::new(shop.another_process())))
        .collect();
    let job = ended(&shop, made[0].id).await;
    assert_eq!(
        (job.state, job.epoch, job.result.reason.as_deref()),
        (JobState::Completed, 1, None)
    );
    assert_eq!(job.result.counts.created, 45);
    assert!(
        job.result.log.iter().any(|line| line.contains("45 products")),
        "{:?}",
        job.result.log
    );
    assert_eq!(shop.db.count("sync_runs").await, 1);
    assert_eq!(shop.db.count("audit_log where action = 'supplier.sync'").await, 1);
    shop.assert_in_line().await;
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn the_next_worker_goes_on_where_a_killed_one_was() {
    let (shop, by) = shop(130).await;
    let job = ask(&shop, &by, &NewJob::new(JobKind::Full)).await;
    shop.gate.only(3);
    let first = Worker::start(Arc::clone(&shop.cx));
    shop.gate.reached(4).await;
    first.kill().await;
    shop.gate.open();
    let second = Worker::start(Arc::new(shop.another_process()));
    let job = ended(&shop, job.id).await;
    assert_eq!((job.state, job.epoch), (JobState::Completed, 2), "{job:?}");
    let run: (i32, String) = sqlx::query_as("select resumes, reason from sync_runs")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(run, (1, format!("staff, job {}", job.id)));
    shop.assert_in_line().await;
    second.stop().await;
}

#[tokio::test]
async fn a_stopped_worker_gives_its_job_back_and_read_products_are_not_read_again() {
    let (shop, by) = shop(30).await;
    let ids: Vec<String> = [3, 9, 14].map(|at| shop.id_at(at)).to_vec();
    let job = ask(&shop, &by, &of_products(&ids)).await;
    shop.gate.only(1);
    let first = Worker::start(Arc::clone(&shop.cx));
    shop.gate.reached(2).await;
    first.stop().await;
    let given_back = jobs::by_id(&shop.db.store, job.id).await.unwrap().unwrap();
    assert_eq!((given_back.state, given_back.done), (JobState::Waiting, 1));
    shop.gate.open();
    let second = Worker::start(Arc::new(shop.another_process()));
    let job = ended(&shop, job.id).await;
    assert_eq!((job.state, job.done, job.epoch), (JobState::Completed, 3, 2), "{job:?}");
    assert_eq!((job.result.counts.seen, job.result.counts.created), (3, 3));
    let asked = shop.requests();
    for (id, times) in ids.iter().zip([1, 1, 1]) {
        let calls = asked.iter().filter(|target| target.contains(id.as_str())).count();
        assert_eq!(calls, times, "{id}: {asked:?}");
    }
    second.stop().await;
}

#[tokio::test]
async fn a_product_that_g2a_refuses_stops_no_other() {
    let (shop, by) = shop(5).await;
    let ids = [shop.id_at(1), "no-number".to_owned(), shop.id_at(3)];
    let job = ask(&shop, &by, &of_products(&ids)).await;
    let worker = Worker::start(Arc::new(shop.another_process()));
    let job = ended(&shop, job.id).await;
    assert_eq!((job.state, job.done), (JobState::Completed, 3), "{job:?}");
    assert_eq!(job.result.counts.created, 2);
    let problems: Vec<_> = job
        .result
        .problems
        .iter()
        .map(|problem| problem.product.as_deref())
        .collect();
    assert_eq!(problems, [Some("no-number")]);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_waits_for_a_run_of_the_schedule_and_can_be_cancelled_meanwhile() {
    let (shop, by) = shop(45).await;
    shop.gate.only(1);
    let scheduled = tokio::spawn({
        let cx = Arc::clone(&shop.cx);
        async move { lockstep_sync::run(&cx, What::Full, "schedule", CancellationToken::new()).await }
    });
    shop.gate.reached(2).await;
    let worker = Worker::start(Arc::new(shop.another_process()));
    let first = ask(&shop, &by, &NewJob::new(JobKind::Full)).await;
    until(&shop, first.id, |job| job.state == JobState::Running).await;
    let cancelled = jobs::cancel(&shop.db.store, &by, Which::Catalogue).await.unwrap();
    assert!(matches!(cancelled, Some(Cancelled::Requested(job)) if job.id == first.id));
    assert_eq!(ended(&shop, first.id).await.state, JobState::Cancelled);
    let second = ask(&shop, &by, &NewJob::new(JobKind::Incremental)).await;
    until(&shop, second.id, |job| job.state == JobState::Running).await;
    shop.gate.open();
    scheduled.await.unwrap().unwrap();
    let second = ended(&shop, second.id).await;
    assert_eq!((second.state, second.epoch), (JobState::Completed, 1), "{second:?}");
    worker.stop().await;
    // One that no worker has is over at once, and then there is none to cancel.
    let third = ask(&shop, &by, &NewJob::new(JobKind::Full)).await;
    let cancelled = jobs::cancel(&shop.db.store, &by, Which::Catalogue).await.unwrap();
    assert!(matches!(cancelled, Some(Cancelled::Over(job)) if job.id == third.id && job.state == JobState::Cancelled));
    assert_eq!(jobs::cancel(&shop.db.store, &by, Which::Catalogue).await.unwrap(), None);
    assert_eq!(shop.db.count("audit_log where action = 'supplier.cancel'").await, 2);
}

#[tokio::test]
async fn a_worker_that_was_too_slow_writes_nothing_more() {
    let (shop, by) = shop(1).await;
    let (store, lease) = (&shop.db.store, Duration::from_mins(1));
    let job = ask(&shop, &by, &of_products(&["1".to_owned()])).await;
    let slow = jobs::claim(store, Uuid::now_v7(), Lane::Catalogue, Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let quick = jobs::claim(store, Uuid::now_v7(), Lane::Catalogue, lease)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((slow.id, quick.id, slow.epoch, quick.epoch), (job.id, job.id, 1, 2));
    assert_eq!(
        jobs::claim(store, Uuid::now_v7(), Lane::Catalogue, lease)
            .await
            .unwrap(),
        None
    );
    let (slow, quick, result) = (Claim::of(&slow), Claim::of(&quick), JobResult::default());
    let fenced = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Fenced));
    assert!(fenced(jobs::renew(store, slow, lease).await.map(drop)));
    assert!(fenced(jobs::save(store, slow, 1, &result).await));
    assert!(fenced(jobs::release(store, slow, lease).await));
    assert!(fenced(jobs::finish(store, slow, JobState::Failed, &result).await));
    jobs::save(store, quick, 1, &result).await.unwrap();
    jobs::finish(store, quick, JobState::Completed, &result).await.unwrap();
    assert!(fenced(jobs::save(store, quick, 1, &result).await), "it is over");
}

#[tokio::test]
async fn single_calls_are_made_beside_a_synchronisation_and_tell_what_g2a_says() {
    let (shop, by) = shop(45).await;
    let client = shop.client();
    let cx = Context::new(shop.db.store.clone(), client.clone(), one_at_a_time(), Clock::system());
    let lock = shop.db.store.lock_catalogue().await.unwrap().unwrap();
    let worker = Worker::start(Arc::new(cx));
    let sync = ask(&shop, &by, &NewJob::new(JobKind::Full)).await;
    until(&shop, sync.id, |job| job.state == JobState::Running).await;
    let test = ask(&shop, &by, &NewJob::new(JobKind::Connection)).await;
    let test = ended(&shop, test.id).await;
    assert_eq!(test.state, JobState::Completed, "{test:?}");
    assert!(test.result.log[0].starts_with("G2A answered after"), "{test:?}");
    let listing = NewJob {
        page: 2,
        page_size: 4,
        ..NewJob::new(JobKind::Listing)
    };
    let listed = ask(&shop, &by, &listing).await;
    let listed = ended(&shop, listed.id).await;
    assert_eq!(
        (listed.state, listed.result.log.len()),
        (JobState::Completed, 6),
        "{listed:?}"
    );
    assert!(listed.result.log[2].contains(" EUR  "), "{listed:?}");
    assert_eq!(shop.db.count("games").await, 0, "it is only shown");
    let calls = client.calls();
    assert_eq!(
        (calls.requests, calls.succeeded, calls.latency_ms.len()),
        (2, 2, 2),
        "{calls:?}"
    );
    let fault = Fault::Error {
        status: 401,
        code: "AU01".into(),
        message: String::new(),
    };
    shop.g2a.add_fault(FaultRule::forever(CallMatch::Any, fault));
    let refused = ask(&shop, &by, &NewJob::new(JobKind::Connection)).await;
    let refused = ended(&shop, refused.id).await;
    let why = refused.result.reason.unwrap_or_default();
    assert_eq!(refused.state, JobState::Failed);
    assert!(why.contains("401"), "{why}");
    lock.release().await.unwrap();
    let sync = ended(&shop, sync.id).await;
    assert_eq!(
        (sync.state, sync.result.reason.is_some()),
        (JobState::Failed, true),
        "{sync:?}"
    );
    let calls = client.calls();
    assert!(
        calls.failed >= 2 && calls.requests == calls.succeeded + calls.failed,
        "{calls:?}"
    );
    worker.stop().await;
}

/// An error in the program ends the job, with a reason; the worker goes on.
#[tokio::test]
async fn a_job_that_panics_has_failed_and_the_next_is_done() {
    let (shop, by) = shop(5).await;
    shop.gate.before_each(|_| panic!("an error in the program"));
    let worker = Worker::start(Arc::clone(&shop.cx));
    for kind in [JobKind::Full, JobKind::Connection] {
        let job = ask(&shop, &by, &NewJob::new(kind)).await;
        let job = ended(&shop, job.id).await;
        let why = job.result.reason.clone().unwrap_or_default();
        assert_eq!((job.state, job.epoch), (JobState::Failed, 1), "{job:?}");
        assert!(why.contains("an error in Lockstep"), "{why}");
    }
    worker.stop().await;
    let worker = Worker::start(Arc::new(shop.another_process()));
    let job = ask(&shop, &by, &NewJob::new(JobKind::Full)).await;
    assert_eq!(ended(&shop, job.id).await.state, JobState::Completed);
    shop.assert_in_line().await;
    worker.stop().await;
}

/// What the database refuses once it refuses always: the job ends instead of going round.
#[tokio::test]
async fn a_job_that_the_database_refuses_has_failed() {
    let (shop, by) = shop(5).await;
    shop.db
        .execute("alter table sync_runs add constraint none_is_begun check (reason = '') not valid")
        .await;
    let worker = Worker::start(Arc::new(shop.another_process()));
    let job = ask(&shop, &by, &NewJob::new(JobKind::Full)).await;
    let job = ended(&shop, job.id).await;
    assert_eq!((job.state, job.epoch), (JobState::Failed, 1), "{job:?}");
    let why = job.result.reason.unwrap_or_default();
    assert!(why.starts_with("The database refused"), "{why}");
    worker.stop().await;
}

/// A single call is cancelled, too, and the job says first that it was asked to, then that it is over.
#[tokio::test]
async fn jobs_of_single_calls_are_cancelled_by_id() {
    let (shop, by) = shop(5).await;
    let store = &shop.db.store;
    shop.gate.only(0);
    let worker = Worker::start(Arc::clone(&shop.cx));
    let job = ask(&shop, &by, &NewJob::new(JobKind::Connection)).await;
    shop.gate.reached(1).await;
    let cancelled = jobs::cancel(store, &by, Which::Job(job.id)).await.unwrap();
    assert!(matches!(cancelled, Some(Cancelled::Requested(of)) if of.id == job.id && of.cancel_asked));
    let job = ended(&shop, job.id).await;
    assert_eq!((job.state, job.cancel_asked), (JobState::Cancelled, true), "{job:?}");
    assert_eq!(
        jobs::cancel(store, &by, Which::Job(job.id)).await.unwrap(),
        None,
        "it is over"
    );
    worker.stop().await;
    // One that nobody has begun.
    let job = ask(&shop, &by, &NewJob::new(JobKind::Listing)).await;
    let cancelled = jobs::cancel(store, &by, Which::Job(job.id)).await.unwrap();
    assert!(matches!(cancelled, Some(Cancelled::Over(of)) if of.id == job.id));
}

/// The schedule looks for the lock now and then; a job that gives it back only between two products would hardly ever be met.
#[tokio::test]
async fn a_job_about_many_products_lets_the_schedule_in() {
    let (shop, by) = shop(60).await;
    let ids: Vec<String> = (0..40).map(|at| shop.id_at(at)).collect();
    let worker = Worker::start(Arc::new(shop.another_process()));
    let job = ask(&shop, &by, &of_products(&ids)).await;
    until(&shop, job.id, |job| job.done > 0).await;
    let scheduled = async {
        loop {
            match shop.try_run(What::Full).await {
                Err(SyncError::AlreadyRunning) => tokio::time::sleep(Duration::from_millis(300)).await,
                done => break done.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), scheduled).await.unwrap();
    let now = jobs::by_id(&shop.db.store, job.id).await.unwrap().unwrap();
    assert!(
        now.done < 40,
        "the schedule had its turn before the end of the job: {now:?}"
    );
    let job = ended(&shop, job.id).await;
    assert_eq!(
        (job.state, job.done, job.epoch),
        (JobState::Completed, 40, 1),
        "{job:?}"
    );
    worker.stop().await;
}
