//! After the database's clock was set back, rows speak of times that are to come. What waits goes on all the same.

use std::time::Duration;

use lockstep_store::clock::{SetBack, set_back};
use lockstep_store::fulfilment::{incidents, next_due};
use lockstep_store::top_ups::due;
use lockstep_testkit::TestDb;

const RETRY: Duration = Duration::from_mins(5);

async fn seconds_left(db: &TestDb, table: &str) -> f64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select extract(epoch from not_before - now())::float8 from {table}"
    )))
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn units_keep_their_remaining_wait_after_the_clock_is_set_back() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "1.00").await;
    let user = db.user("ada@example.org", "50.00").await;
    db.order(user, game, 1).await;
    for step in [10, 600, 86_400, 40_000_000] {
        for wait in [0, 2, 300, 3_600] {
            db.execute(&format!(
                "update order_units set not_before = now() + make_interval(secs => {step} + {wait});
                 update order_units set waits_from = now() + make_interval(secs => {step}),
                        ordered_at = now() + make_interval(secs => {step}), pay_asked_at = now() + make_interval(secs => {step})"
            ))
            .await;
            let moved = set_back(&db.store, RETRY).await.unwrap();
            assert_eq!((moved.units, moved.others), (1, 0), "{step} {wait}");
            let due = next_due(&db.store).await.unwrap().unwrap();
            assert!(due <= Duration::from_secs(wait), "{step} {wait}: {due:?}");
            assert!(
                due + Duration::from_secs(5) >= Duration::from_secs(wait),
                "{step} {wait}: {due:?}"
            );
            assert_eq!(
                db.count("order_units where ordered_at > now() or pay_asked_at > now()")
                    .await,
                0
            );
            assert!(set_back(&db.store, RETRY).await.unwrap().is_empty(), "once is enough");
        }
    }
}

#[tokio::test]
async fn valid_waits_are_left_unchanged() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "1.00").await;
    let user = db.user("ada@example.org", "50.00").await;
    db.order(user, game, 1).await;
    db.execute(&format!(
        "update order_units set not_before = now() + interval '1 hour';
         insert into supplier_alarms (kind, retry_at, detail) values ('FUNDS', now() + interval '5 minutes', 'x');
         insert into top_ups (user_id, amount, method, provider, reference, not_before)
         values ('{user}', 1, 'card', 'test', 'r', now() + interval '1 hour');
         insert into mail_outbox (user_id, recipient, kind, letter, not_after, attempts, not_before)
         values ('{user}', 'a', 'welcome', '{{}}', now() + interval '1 day', 3, now() + interval '5 minutes');
         insert into sync_runs (kind, reason, epoch) values ('FULL', 'test', 1)"
    ))
    .await;
    assert_eq!(set_back(&db.store, RETRY).await.unwrap(), SetBack::default());
    assert!(next_due(&db.store).await.unwrap().unwrap() > Duration::from_mins(59));
    assert!(incidents::buying_stops_for(&db.store).await.unwrap().unwrap() > Duration::from_mins(4));
}

#[tokio::test]
async fn all_other_waits_resume_after_the_clock_is_set_back() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "50.00").await;
    db.execute(&format!(
        "insert into supplier_alarms (kind, since, retry_at, detail)
         values ('FUNDS', now() + interval '1 day', now() + interval '1 day 5 minutes', 'x');
         insert into top_ups (user_id, amount, method, provider, reference, created_at, not_before)
         values ('{user}', 1, 'card', 'test', 'r', now() + interval '1 day', now() + interval '1 day 1 minute');
         insert into mail_outbox (user_id, recipient, kind, letter, created_at, not_after, not_before)
         values ('{user}', 'a', 'welcome', '{{}}', now() + interval '1 day', now() + interval '2 days', now() + interval '1 day');
         insert into sync_runs (kind, reason, epoch, status, started_at, finished_at)
         values ('FULL', 'test', 1, 'COMPLETED', now() + interval '1 day', now() + interval '1 day 1 minute'),
                ('STOCK', 'test', 2, 'RUNNING', now() + interval '1 day', null);
         insert into mail_outbox (user_id, recipient, kind, letter, not_after, attempts, not_before)
         values ('{user}', 'b', 'refund', '{{}}', now() + interval '2 days', 3, now() + interval '15 minutes');
         insert into supplier_jobs (id, kind, due_at) values (gen_random_uuid(), 'FULL', now() + interval '1 day')"
    ))
    .await;
    let moved = set_back(&db.store, RETRY).await.unwrap();
    assert_eq!((moved.units, moved.others), (0, 7));
    assert_eq!(db.count("supplier_jobs where due_at <= now()").await, 1);
    assert!(incidents::buying_stops_for(&db.store).await.unwrap().unwrap() <= RETRY);
    assert!(seconds_left(&db, "top_ups").await <= 60.0);
    assert!(seconds_left(&db, "mail_outbox where attempts = 0").await <= 0.0);
    assert!(seconds_left(&db, "mail_outbox where attempts > 0").await <= 300.0);
    assert_eq!(
        db.count("sync_runs where status = 'RUNNING' and finished_at is null")
            .await,
        1
    );
    assert_eq!(
        db.count("sync_runs where started_at > now() or finished_at > now()")
            .await,
        0
    );
    assert!(set_back(&db.store, RETRY).await.unwrap().is_empty());
}

/// Announcements are spread over hours on purpose, and a job belongs to its worker for some seconds: neither is a wait that a
/// step of the clock has made longer.
#[tokio::test]
async fn announcements_and_jobs_keep_their_times_when_the_clock_is_right() {
    let db = TestDb::new().await;
    db.execute(
        "insert into mail_outbox (recipient, kind, sealed, not_after, not_before)
         select n || '@example.org', 'announcement', 's', now() + interval '3 days', now() + n * interval '1 hour'
           from generate_series(1, 5) n;
         insert into supplier_jobs (id, kind, due_at) values (gen_random_uuid(), 'FULL', now() + interval '15 seconds')",
    )
    .await;
    assert_eq!(set_back(&db.store, RETRY).await.unwrap(), SetBack::default());
    assert_eq!(
        db.count("mail_outbox where not_before > now() + interval '50 minutes'")
            .await,
        5
    );
    assert_eq!(
        db.count("supplier_jobs where due_at > now() + interval '10 seconds'")
            .await,
        1
    );
}

/// Rows that were written before the step keep a beginning that is to come, for as long as it takes. They are put right once:
/// what they are put off by afterwards, as by the day of those that staff has to look at, is not undone each minute.
#[tokio::test]
async fn a_top_up_from_the_future_is_put_right_once_and_then_asked_about_less_and_less_often() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "50.00").await;
    db.execute(&format!(
        "insert into top_ups (user_id, amount, method, provider, reference, created_at, not_before)
         values ('{user}', 1, 'card', 'test', 'r', now() + interval '9 days', now() + interval '9 days 1 minute')"
    ))
    .await;
    assert_eq!(set_back(&db.store, RETRY).await.unwrap().others, 1);
    for attempt in 1..=8 {
        db.execute("update top_ups set not_before = now(), asking_until = null")
            .await;
        assert_eq!(
            due(&db.store, "test", 9, Duration::from_secs(30)).await.unwrap().len(),
            1
        );
        let waits = seconds_left(&db, "top_ups").await;
        assert_eq!(
            set_back(&db.store, RETRY).await.unwrap(),
            SetBack::default(),
            "attempt {attempt}"
        );
        assert!(seconds_left(&db, "top_ups").await > waits - 20.0, "attempt {attempt}");
    }
    db.execute("update top_ups set review = 'NO_END', review_since = now(), not_before = now(), asking_until = null")
        .await;
    assert_eq!(
        due(&db.store, "test", 9, Duration::from_secs(30)).await.unwrap().len(),
        1
    );
    assert_eq!(set_back(&db.store, RETRY).await.unwrap(), SetBack::default());
    assert!(seconds_left(&db, "top_ups").await > 86_000.0);
}
