//! The program dies, anywhere: a real `lockstep worker` is aborted at its n-th failure point, started again and driven to
//! rest, and then the books have to balance against the sandbox's own ledger of money and keys.
//!
//! `serving` does the same to `lockstep serve` while orders and signed events come in through its API.
//!
//! Each run is one place and one accident of the wire. An ordinary test makes a few runs, spread over all places and
//! accidents; `cargo xtask crash` makes more of them, or all (`LOCKSTEP_CRASH_RUNS`, `LOCKSTEP_CRASH_SEED`).

mod serving;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{CallMatch, Catalogue, Config, Fault, FaultRule, Knobs, PriceBasis, Sandbox};
use lockstep_store::fulfilment::keys as stored;
use lockstep_testkit::TestDb;
use lockstep_testkit::sqlx;
use lockstep_vault::Keys;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::program::{DEADLINE, lockstep, with_account};

const SECRET: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const PRODUCT: &str = "10000000000042";

/// What else goes wrong while the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accident {
    None,
    AnswerDropped(CallMatch),
    AnswerCut(CallMatch, u64),
    TooMany(CallMatch),
    Fails500(CallMatch),
    Empty502(CallMatch),
    SentTwice(CallMatch),
    DatabaseCut,
    TwoWorkers,
    Reconciled,
}

impl Accident {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::None, Self::DatabaseCut, Self::TwoWorkers, Self::Reconciled];
        for call in [CallMatch::Order, CallMatch::Pay, CallMatch::Details, CallMatch::Key] {
            all.extend([
                Self::AnswerDropped(call),
                Self::AnswerCut(call, 0),
                Self::AnswerCut(call, 11),
                Self::TooMany(call),
                Self::Fails500(call),
                Self::Empty502(call),
                Self::SentTwice(call),
            ]);
        }
        all
    }

    /// What can happen to one program alone.
    fn wire() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|accident| !matches!(accident, Self::TwoWorkers | Self::Reconciled));
        all
    }

    fn rule(self) -> Option<FaultRule> {
        let (call, fault) = match self {
            Self::None | Self::DatabaseCut | Self::TwoWorkers | Self::Reconciled => return None,
            Self::AnswerDropped(call) => (call, Fault::DropAfter),
            Self::AnswerCut(call, bytes) => (call, Fault::TruncateAt { bytes }),
            Self::TooMany(call) => (call, Fault::RateLimited { retry_after: None }),
            Self::Fails500(call) => {
                let (code, message) = ("ERR99".to_owned(), String::new());
                (
                    call,
                    Fault::Error {
                        status: 500,
                        code,
                        message,
                    },
                )
            }
            Self::Empty502(call) => (call, Fault::EmptyBody502),
            Self::SentTwice(call) => (call, Fault::Duplicate),
        };
        Some(FaultRule::once(call, fault))
    }
}

/// A sandbox with one product, for many runs.
async fn supplier() -> Sandbox {
    let sandbox = Sandbox::start(Config {
        catalogue: Catalogue::Generated { count: 1, seed: 7 },
        knobs: Knobs {
            rate_per_minute: 0,
            charge_basis: PriceBasis::MinPrice,
            ..Knobs::default()
        },
        ..Config::default()
    })
    .await
    .unwrap();
    let product = json!({
        "id": PRODUCT, "name": "Portal", "type": "egoods", "slug": format!("/portal-i{PRODUCT}"), "qty": 100_000,
        "minPrice": 10, "retail_min_price": 10, "availableToBuy": true,
    });
    sandbox.control().add_product(product.as_object().unwrap().clone());
    sandbox
}

fn worker(db: &TestDb, g2a: &Sandbox, data: &Path, crash_at: Option<u64>) -> Command {
    let mut command = lockstep(&["worker"]);
    with_account(&mut command, g2a)
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_DATA_DIR", data)
        .env("LOCKSTEP_KEY_SECRET", SECRET)
        .env("LOCKSTEP_PACE", "test")
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(number) = crash_at {
        command.env("LOCKSTEP_CRASH_AT", number.to_string());
    }
    command
}

async fn open_units(db: &TestDb) -> i64 {
    // The database may be cut off just now.
    sqlx::query_scalar("select count(*) from order_units where state not in ('DONE', 'REFUNDED')")
        .fetch_one(&db.sql)
        .await
        .unwrap_or(1)
}

async fn all_end(db: &TestDb, said: &str) {
    let began = Instant::now();
    while open_units(db).await > 0 {
        if began.elapsed() > DEADLINE {
            let left: Vec<(String, Option<String>)> = sqlx::query_as("select state, last_error from order_units")
                .fetch_all(&db.sql)
                .await
                .unwrap();
            panic!("{said}: the order does not end: {left:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn stop(mut child: Child) {
    child.kill().await.unwrap();
}

/// One run. False when the order had ended before the place was reached: then there are no further places.
async fn dies_at(g2a: &Sandbox, number: u64, accident: Accident, met: &mut BTreeSet<String>) -> bool {
    let said = format!("place {number}, {accident:?}");
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    let game = db.game("Portal", "portal", "10.20").await;
    db.at_g2a(game, PRODUCT).await;
    let user = db.user("ada@example.org", "100.00").await;
    let order = db.order(user, game, 2).await;
    let control = g2a.control();
    let before = control.ledger().orders.len();
    control.clear_faults();
    if let Some(rule) = accident.rule() {
        control.add_fault(rule);
    }

    let log = folder.path().join("places");
    let mut first = worker(&db, g2a, folder.path(), Some(number))
        .env("LOCKSTEP_CRASH_LOG", &log)
        .spawn()
        .unwrap();
    let second = (accident == Accident::TwoWorkers).then(|| worker(&db, g2a, folder.path(), None).spawn().unwrap());
    let began = Instant::now();
    let mut died = false;
    while open_units(&db).await > 0 && !died {
        died = first.try_wait().unwrap().is_some();
        if accident == Accident::DatabaseCut && began.elapsed() < Duration::from_secs(5) {
            db.cut_connections().await;
        }
        assert!(began.elapsed() < DEADLINE, "{said}: it neither died nor came to rest");
        tokio::time::sleep(Duration::from_millis(if accident == Accident::DatabaseCut {
            100
        } else {
            10
        }))
        .await;
    }
    stop(first).await;
    if accident == Accident::Reconciled {
        let mut fix = lockstep(&["reconcile", "--fix"]);
        with_account(&mut fix, g2a)
            .env("DATABASE_URL", db.url())
            .env("LOCKSTEP_DATA_DIR", folder.path())
            .env("LOCKSTEP_KEY_SECRET", SECRET)
            .env("LOCKSTEP_CRASH_AT", (number % 5 + 1).to_string());
        crate::program::outcome(&mut fix).await;
    }
    if open_units(&db).await > 0 {
        let again = worker(&db, g2a, folder.path(), None).spawn().unwrap();
        all_end(&db, &said).await;
        stop(again).await;
    }
    if let Some(second) = second {
        stop(second).await;
    }
    control.clear_faults();
    check_books(&db, g2a, before, &said).await;
    let status: String = sqlx::query_scalar("select status::text from orders where id = $1")
        .bind(order.id)
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert!(matches!(status.as_str(), "COMPLETED" | "FAILED"), "{said}: {status}");
    if died {
        let reached = std::fs::read_to_string(log).unwrap_or_default();
        met.extend(reached.lines().last().map(str::to_owned));
    }
    died
}

async fn check_books(db: &TestDb, g2a: &Sandbox, before: usize, said: &str) {
    db.assert_books_balance().await;
    let known: BTreeSet<String> =
        sqlx::query_scalar("select g2a_order_id from g2a_orders where pay_asked_at is not null")
            .fetch_all(&db.sql)
            .await
            .unwrap()
            .into_iter()
            .collect();
    let flagged: BTreeSet<String> = sqlx::query_scalar("select g2a_order_id from incidents where kind = 'KEY_LOST'")
        .fetch_all(&db.sql)
        .await
        .unwrap()
        .into_iter()
        .collect();
    let keys = Keys::parse(SECRET).unwrap();
    let rows = sqlx::query("select id, key_ciphertext from game_keys")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    let texts: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            let place = stored::place(lockstep_domain::ids::KeyId(row.get::<Uuid, _>("id")));
            hex::encode(Sha256::digest(keys.open(&place, row.get("key_ciphertext")).unwrap()))
        })
        .collect();
    let ledger = g2a.control().ledger();
    for order in ledger.orders.iter().skip(before).filter(|order| order.paid_times > 0) {
        assert_eq!(order.paid_times, 1, "{said}: paid twice: {order:?}");
        assert!(
            known.contains(&order.order_id),
            "{said}: paid, and unknown here: {order:?}"
        );
        let sha = order.key_sha256.as_ref().unwrap();
        assert!(
            texts.contains(sha) || flagged.contains(&order.order_id),
            "{said}: paid, and its key is neither stored nor flagged: {order:?}"
        );
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Numbers that look random and are the same for the same seed.
fn number(seed: u64, index: u64) -> u64 {
    let digest = Sha256::digest(format!("{seed}/{index}"));
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Places that one order of two copies passes, about.
const PLACES: u64 = 70;

/// How many runs were asked for (`None`: every place under every accident), and their seed.
fn plan(default: u64) -> (Option<u64>, u64) {
    let runs = match setting("LOCKSTEP_CRASH_RUNS") {
        None => Some(default),
        Some(all) if all == "all" => None,
        Some(runs) => Some(runs.parse().expect("LOCKSTEP_CRASH_RUNS is a number, or all")),
    };
    let seed = setting("LOCKSTEP_CRASH_SEED").map_or(1, |seed| seed.parse().expect("LOCKSTEP_CRASH_SEED is a number"));
    (runs, seed)
}

#[tokio::test]
async fn whatever_dies_where_the_books_balance() {
    let (g2a, began, mut met) = (supplier().await, Instant::now(), BTreeSet::new());
    let (runs, seed) = plan(8);
    let all = Accident::all();
    let (mut made, mut died) = (0_u64, 0_u64);
    if let Some(runs) = runs {
        for run in 0..runs {
            // Every other run is a plain crash; places are spread evenly.
            let place = 1 + (number(seed, 2 * run) % PLACES + run * PLACES / runs.max(1)) % PLACES;
            let accident = if run % 2 == 0 {
                Accident::None
            } else {
                all[usize::try_from(number(seed, 2 * run + 1)).unwrap() % all.len()]
            };
            made += 1;
            died += u64::from(dies_at(&g2a, place, accident, &mut met).await);
        }
        assert!(died * 2 > runs, "most places are met: {died} of {runs} runs died");
    } else {
        for accident in all {
            let mut place = 1;
            while dies_at(&g2a, place, accident, &mut met).await {
                place += 1;
            }
            assert!(place > 10, "{accident:?}: only {place} places were met");
            (made, died) = (made + place, died + place - 1);
        }
    }
    println!(
        "working: {made} runs, {died} of them dead at {} different places, {:.0} s: {met:?}",
        met.len(),
        began.elapsed().as_secs_f64()
    );
}
