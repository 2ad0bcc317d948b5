//! The request budget in PostgreSQL: the bucket arithmetic of `crates/g2a`, shared by all processes.

use std::time::Duration;

use lockstep_g2a::{BucketState, Budget as _, BudgetError, CallClass, Limits, MAX_PENALTY, UNITS_PER_CALL, take};
use lockstep_store::sync::{BucketSizes, Taken};
use lockstep_sync::StoreBudget;
use lockstep_testkit::TestDb;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

fn sizes(limits: Limits, class: CallClass) -> BucketSizes {
    BucketSizes {
        cost: UNITS_PER_CALL,
        kept_back: if class == CallClass::Catalogue {
            i64::from(limits.reserve()) * UNITS_PER_CALL
        } else {
            0
        },
        capacity: i64::from(limits.capacity()) * UNITS_PER_CALL,
        refill_per_ms: i64::from(limits.refill_per_minute()),
        at_first: 0,
        max_pause: MAX_PENALTY,
    }
}

async fn put(db: &TestDb, level: i64, age_ms: i64, blocked_for_ms: i64) -> BucketState {
    let (updated_at_ms, blocked_until_ms) = sqlx::query_as(
        "insert into g2a_budget (level, updated_at_ms, blocked_until_ms)
         select $1, now_ms - $2, now_ms + $3 from (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms) c
         on conflict (only_row) do update
            set level = excluded.level, updated_at_ms = excluded.updated_at_ms, blocked_until_ms = excluded.blocked_until_ms
         returning updated_at_ms, blocked_until_ms",
    )
    .bind(level)
    .bind(age_ms)
    .bind(blocked_for_ms)
    .fetch_one(&db.sql)
    .await
    .unwrap();
    BucketState {
        level,
        updated_at_ms,
        blocked_until_ms,
    }
}

#[tokio::test]
async fn the_statement_and_the_pure_bucket_agree() {
    let db = TestDb::new().await;
    let mut dice = StdRng::seed_from_u64(42);
    let (mut granted, mut refused) = (0, 0);
    for _ in 0..400 {
        let limits = Limits::per_minute(dice.random_range(4..2_000)).unwrap();
        let class = if dice.random_bool(0.5) {
            CallClass::Catalogue
        } else {
            CallClass::Order
        };
        let capacity = i64::from(limits.capacity()) * UNITS_PER_CALL;
        let age = match dice.random_range(0..4) {
            0 => dice.random_range(-200_000..0),
            1 => 0,
            _ => dice.random_range(0..5_000),
        };
        let blocked = if dice.random_bool(0.7) {
            -1_000
        } else {
            dice.random_range(-50..700_000)
        };
        let state = put(&db, dice.random_range(0..=capacity), age, blocked).await;
        match db.store.take_g2a_call(sizes(limits, class)).await.unwrap() {
            Taken::Granted => {
                granted += 1;
                let (level, updated_at_ms, blocked_until_ms): (i64, i64, i64) =
                    sqlx::query_as("select level, updated_at_ms, blocked_until_ms from g2a_budget")
                        .fetch_one(&db.sql)
                        .await
                        .unwrap();
                let after = BucketState {
                    level,
                    updated_at_ms,
                    blocked_until_ms,
                };
                // The statement's time: its own stamp, or a time within the tolerated backward step before it.
                let now = if (-5_000..0).contains(&age) {
                    updated_at_ms + age
                } else {
                    updated_at_ms
                };
                let pure = take(state, now, class, limits).expect("the pure bucket grants as well");
                assert_eq!(
                    (after.level, after.updated_at_ms),
                    (pure.level, pure.updated_at_ms),
                    "{state:?} {limits:?}"
                );
            }
            Taken::Refused(bucket) => {
                refused += 1;
                assert_eq!(
                    (bucket.level, bucket.updated_at_ms),
                    (state.level, state.updated_at_ms),
                    "nothing was taken"
                );
                // At least a millisecond has passed between the statement and the read of the bucket.
                let earliest = take(state, bucket.now_ms, class, limits);
                if let Ok(late) = earliest {
                    assert!(
                        late.level < i64::from(limits.refill_per_minute()) * 5_000,
                        "{state:?} {bucket:?} {limits:?}"
                    );
                }
            }
        }
    }
    assert!(granted > 50 && refused > 50, "{granted} {refused}");
}

/// A clock step back leaves the bucket empty and with a time in the future. It must fill from now on.
#[tokio::test]
async fn after_a_clock_step_back_calls_continue_at_once() {
    let db = TestDb::new().await;
    let limits = Limits::per_minute(600).unwrap();
    put(&db, 0, -600_000, -700_000).await;
    let budget = StoreBudget::new(db.store.clone(), limits);
    for _ in 0..5 {
        tokio::time::timeout(Duration::from_secs(20), budget.acquire(CallClass::Order))
            .await
            .expect("it is not waited for the clock")
            .unwrap();
    }
    // A pause keeps its duration.
    put(&db, 15 * UNITS_PER_CALL, -600_000, 600_000 + 30_000).await;
    for _ in 0..2 {
        let Taken::Refused(bucket) = db.store.take_g2a_call(sizes(limits, CallClass::Order)).await.unwrap() else {
            panic!("nobody calls during a pause");
        };
        let state = BucketState {
            level: bucket.level,
            updated_at_ms: bucket.updated_at_ms,
            blocked_until_ms: bucket.blocked_until_ms,
        };
        let wait = take(state, bucket.now_ms, CallClass::Order, limits).unwrap_err();
        assert!(
            wait <= Duration::from_secs(30) && wait > Duration::from_secs(5),
            "{wait:?}"
        );
    }
}

#[tokio::test]
async fn forty_concurrent_callers_share_the_bucket() {
    let db = TestDb::new().await;
    let limits = Limits::per_minute(600).unwrap();
    let still = BucketSizes {
        refill_per_ms: 0,
        ..sizes(limits, CallClass::Order)
    };
    put(&db, 15 * UNITS_PER_CALL, 0, -1).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = db.store.clone();
        tasks.spawn(async move { store.take_g2a_call(still).await.unwrap() });
    }
    let granted = tasks
        .join_all()
        .await
        .into_iter()
        .filter(|taken| *taken == Taken::Granted)
        .count();
    assert_eq!(granted, 15);
}

#[tokio::test]
async fn the_catalogue_leaves_the_reserve_to_orders() {
    let db = TestDb::new().await;
    let limits = Limits::per_minute(600).unwrap();
    let still = |class| BucketSizes {
        refill_per_ms: 0,
        ..sizes(limits, class)
    };
    put(&db, 15 * UNITS_PER_CALL, 0, -1).await;
    let mut granted = [0, 0];
    for (at, class) in [CallClass::Catalogue, CallClass::Order].into_iter().enumerate() {
        while db.store.take_g2a_call(still(class)).await.unwrap() == Taken::Granted {
            granted[at] += 1;
        }
    }
    assert_eq!(granted, [5, 10]);
}

#[tokio::test]
async fn a_pause_applies_to_all_and_a_missing_row_is_recreated_empty() {
    let db = TestDb::new().await;
    let limits = Limits::per_minute(600).unwrap();
    db.execute("truncate g2a_budget").await;
    let sizes = sizes(limits, CallClass::Order);
    let Taken::Refused(bucket) = db.store.take_g2a_call(sizes).await.unwrap() else {
        panic!("an empty bucket grants nothing");
    };
    assert_eq!(bucket.level, 0);
    put(&db, 15 * UNITS_PER_CALL, 0, -1).await;
    let budget = StoreBudget::new(db.store.clone(), limits);
    budget.penalise(Duration::from_mins(1)).await.unwrap();
    budget.penalise(Duration::from_secs(1)).await.unwrap();
    let Taken::Refused(bucket) = db.store.take_g2a_call(sizes).await.unwrap() else {
        panic!("nobody calls during a pause");
    };
    assert!(bucket.blocked_until_ms - bucket.now_ms > 30_000, "the later end counts");
    db.execute("truncate g2a_budget").await;
    budget.penalise(Duration::from_mins(1)).await.unwrap();
    assert!(
        matches!(db.store.take_g2a_call(sizes).await.unwrap(), Taken::Refused(_)),
        "a pause needs no row"
    );
}

#[tokio::test]
async fn the_bucket_starts_with_the_reserve_only_before_the_first_sync() {
    let db = TestDb::new().await;
    let limits = Limits::per_minute(600).unwrap();
    let at_first = 10 * UNITS_PER_CALL;
    let look = async || {
        db.execute("truncate g2a_budget").await;
        let sizes = BucketSizes {
            at_first,
            refill_per_ms: 0,
            ..sizes(limits, CallClass::Catalogue)
        };
        match db.store.take_g2a_call(sizes).await.unwrap() {
            Taken::Refused(bucket) => bucket.level,
            Taken::Granted => panic!("the catalogue has nothing of the share of orders"),
        }
    };
    assert_eq!(look().await, at_first);
    db.execute("insert into sync_runs (kind, reason, epoch) values ('FULL', 'test', 1)")
        .await;
    assert_eq!(look().await, at_first, "it has not read anything yet");
    db.execute("update sync_runs set pages_read = 1").await;
    assert_eq!(look().await, 0);
}

#[tokio::test]
async fn a_call_is_granted_after_its_refill() {
    let db = TestDb::new().await;
    let budget = StoreBudget::new(db.store.clone(), Limits::per_minute(6_000).unwrap());
    for _ in 0..5 {
        budget.acquire(CallClass::Catalogue).await.unwrap();
        budget.acquire(CallClass::Order).await.unwrap();
    }
}

#[tokio::test]
async fn without_the_database_no_call_is_granted() {
    let db = TestDb::new().await;
    let store = lockstep_store::Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
    let budget = StoreBudget::new(store.clone(), Limits::per_minute(600).unwrap());
    store.close().await;
    let refused = budget.acquire(CallClass::Catalogue).await.unwrap_err();
    assert!(matches!(refused, BudgetError::Unavailable(_)), "{refused}");
}
