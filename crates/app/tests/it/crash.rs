//! Crashes at any point: a real `lockstep worker` is aborted at its n-th failure point, restarted and run until the
//! order ends, and then the books have to balance against the sandbox's own ledger of money and keys.
//!
//! `serving` does the same to `lockstep serve` while orders and signed events arrive through its API.
//!
//! Each run combines one failure point with one fault: of the network, of the machine or of the market. An ordinary
//! test makes a few runs, spread over all points and faults; `cargo xtask crash` makes more of them, or all
//! (`LOCKSTEP_CRASH_RUNS`, `LOCKSTEP_CRASH_SEED`, `LOCKSTEP_CRASH_ACCIDENT`), and names the failure points of the
//! sources at which no run crashed. Runs share nothing, so that several execute in parallel.

mod cards;
mod checkouts;
mod serving;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use lockstep_domain::Money;
use lockstep_domain::ids::KeyId;
use lockstep_g2a_sandbox::{
    CallMatch, Catalogue, Config, Control, Fault, FaultRule, Knobs, OrderIds, PriceBasis, Sandbox,
};
use lockstep_store::audit::By;
use lockstep_store::fulfilment::keys as stored;
use lockstep_store::fulfilment::{self as records, EmailSettings, Replaced, ReplacementBudget};
use lockstep_testkit::TestDb;
use lockstep_testkit::sqlx;
use lockstep_vault::Keys;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::program::{DEADLINE, lockstep, with_account};

pub(crate) const SECRET: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
pub(crate) const PRODUCT: &str = "10000000000042";

/// The fault that accompanies the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accident {
    None,
    NotAnswered(CallMatch),
    AnswerDropped(CallMatch),
    AnswerCut(CallMatch, u64),
    TooMany(CallMatch),
    Fails500(CallMatch),
    Empty502(CallMatch),
    SentTwice(CallMatch),
    Refused(CallMatch, &'static str),
    DatabaseCut,
    TwoWorkers,
    /// The reconciler crashes at its first failure point, again at its second, and so on until it completes, before a
    /// worker continues.
    Reconciled,
    SoldOut,
    DearerThanListed,
    DearerInTheList,
    OwnKey,
    /// The order was delivered before, and others are bought in place of its faulty keys.
    FaultyKeys,
    /// The same, and only one can be bought: the other copy gets its faulty key again.
    FaultyKeysSoldOut,
    KeyLate,
    KeysLost,
    NoFunds,
    TakenBackThere,
    IdsOfSeconds,
    ReservationOver,
    ReservationOverUnpaid,
    /// Many orders are in progress when the worker crashes.
    ManyBuyers,
}

/// Number of concurrent buyers in [`Accident::ManyBuyers`].
const BUYERS: u64 = 14;

impl Accident {
    fn all() -> Vec<Self> {
        let mut all = vec![
            Self::None,
            Self::DatabaseCut,
            Self::TwoWorkers,
            Self::Reconciled,
            Self::SoldOut,
            Self::DearerThanListed,
            Self::DearerInTheList,
            Self::OwnKey,
            Self::FaultyKeys,
            Self::FaultyKeysSoldOut,
            Self::KeyLate,
            Self::KeysLost,
            Self::NoFunds,
            Self::TakenBackThere,
            Self::IdsOfSeconds,
            Self::ReservationOver,
            Self::ReservationOverUnpaid,
            Self::ManyBuyers,
            // Too late, unknown to the supplier, no privilege.
            Self::Refused(CallMatch::Pay, "ORD114"),
            Self::Refused(CallMatch::Key, "ORD02"),
            Self::Refused(CallMatch::Key, "AUTH04"),
        ];
        all.extend(Self::wire());
        if let Some(only) = setting("LOCKSTEP_CRASH_ACCIDENT") {
            all.retain(|accident| format!("{accident:?}").starts_with(&only));
            assert!(!all.is_empty(), "no accident is called {only}");
        }
        all
    }

    /// Number of buyers, each with an order of two copies.
    fn buyers(self) -> u64 {
        if self == Self::ManyBuyers { BUYERS } else { 1 }
    }

    /// Faults of a single answer.
    fn wire() -> Vec<Self> {
        let calls = [CallMatch::Order, CallMatch::Pay, CallMatch::Details, CallMatch::Key];
        calls
            .into_iter()
            .flat_map(|call| {
                [
                    Self::NotAnswered(call),
                    Self::AnswerDropped(call),
                    Self::AnswerCut(call, 0),
                    Self::AnswerCut(call, 11),
                    Self::TooMany(call),
                    Self::Fails500(call),
                    Self::Empty502(call),
                    Self::SentTwice(call),
                ]
            })
            .collect()
    }

    fn rule(self) -> Option<FaultRule> {
        let error = |status, code: &str| Fault::Error {
            status,
            code: code.to_owned(),
            message: String::new(),
        };
        let (call, fault) = match self {
            Self::NotAnswered(call) => (call, Fault::DropBefore),
            Self::AnswerDropped(call) => (call, Fault::DropAfter),
            Self::AnswerCut(call, bytes) => (call, Fault::TruncateAt { bytes }),
            Self::TooMany(call) => (call, Fault::RateLimited { retry_after: None }),
            Self::Fails500(call) => (call, error(500, "ERR99")),
            Self::Empty502(call) => (call, Fault::EmptyBody502),
            Self::SentTwice(call) => (call, Fault::Duplicate),
            Self::Refused(call, code) => (call, error(400, code)),
            Self::ReservationOverUnpaid => (CallMatch::Pay, Fault::DropBefore),
            _ => return None,
        };
        Some(FaultRule::once(call, fault))
    }

    /// Applies the fault to the next order of two copies.
    async fn prepare(self, db: &TestDb, g2a: &Control) {
        if let Some(rule) = self.rule() {
            g2a.add_fault(rule);
        }
        match self {
            Self::SoldOut => drop(g2a.set_stock(PRODUCT, 1)),
            Self::DearerThanListed => {
                g2a.set_price(PRODUCT, "10.00".parse().unwrap(), "10.21".parse().unwrap());
                g2a.change_knobs(|knobs| {
                    (knobs.charge_basis, knobs.cap_basis) = (PriceBasis::RetailMinPrice, PriceBasis::MinPrice);
                });
            }
            Self::DearerInTheList => drop(g2a.set_price(PRODUCT, "11.00".parse().unwrap(), "11.00".parse().unwrap())),
            Self::OwnKey => {
                db.execute(
                    "insert into game_keys (id, game_id, key_ciphertext, key_hash)
                     select gen_random_uuid(), id, 'sealed', sha256('of our own') from games",
                )
                .await;
            }
            Self::FaultyKeys => replace_delivered_keys(db).await,
            Self::FaultyKeysSoldOut => {
                replace_delivered_keys(db).await;
                g2a.set_stock(PRODUCT, 1);
            }
            Self::KeyLate => g2a.change_knobs(|knobs| knobs.key_delay_seconds = 1),
            Self::KeysLost => g2a.add_fault(FaultRule {
                times: lockstep_g2a_sandbox::Times::N(3),
                ..FaultRule::once(CallMatch::Key, Fault::DropAfter)
            }),
            Self::NoFunds => g2a.set_wallet("0".parse().unwrap()),
            Self::TakenBackThere => g2a.change_knobs(|knobs| {
                knobs.key_delay_seconds = 3600;
                knobs.silent_refund_after_seconds = Some(0);
            }),
            Self::IdsOfSeconds => g2a.change_knobs(|knobs| knobs.order_ids = OrderIds::EpochSeconds),
            Self::ReservationOver => age_reservations(db, "ORDERED").await,
            Self::ReservationOverUnpaid => age_reservations(db, "PAYING").await,
            _ => {}
        }
    }
}

/// Delivers the order, and has its keys replaced: none is in own stock, so others are bought.
async fn replace_delivered_keys(db: &TestDb) {
    let units: Vec<Uuid> = sqlx::query_scalar("select id from order_units")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    let secrets = Keys::parse(SECRET).unwrap();
    let mut keys = Vec::new();
    for unit in units {
        let key = db.deliver(unit).await;
        let text = format!("faulty-{key}");
        sqlx::query("update game_keys set key_ciphertext = $2, key_hash = $3 where id = $1")
            .bind(key)
            .bind(secrets.seal(&stored::place(KeyId(key)), text.as_bytes()))
            .bind(secrets.hash(stored::HASH, &[text.as_bytes()]).as_slice())
            .execute(&db.sql)
            .await
            .unwrap();
        keys.push(key);
    }
    db.execute("update orders set status = 'PROCESSING'; update orders set status = 'COMPLETED'")
        .await;
    let budget = ReplacementBudget {
        a_day: "50.00".parse().unwrap(),
        allowed_loss: Money::ZERO,
    };
    for key in keys {
        let emails = EmailSettings::default();
        let by = By::Operator("test".to_owned());
        let replaced = records::replace(&db.store, &by, KeyId(key), "used", budget, &emails).await;
        assert_eq!(replaced.unwrap(), Replaced::Buying);
    }
}

/// Dates each unit's first order at G2A back by an hour when the unit reaches `state`.
async fn age_reservations(db: &TestDb, state: &str) {
    db.execute(&format!(
        "create table aged (unit uuid primary key);
         create function age() returns trigger language plpgsql as $$
         begin
             insert into aged values (new.id) on conflict do nothing;
             if found then
                 new.ordered_at := now() - interval '1 hour';
             end if;
             return new;
         end $$;
         create trigger age before update on order_units for each row
             when (new.state = '{state}' and old.state is distinct from new.state) execute function age();"
    ))
    .await;
}

/// A sandbox with one product, for many runs.
pub(crate) async fn supplier() -> Sandbox {
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

pub(crate) fn worker(db: &TestDb, g2a: &Sandbox, data: &Path, crash_at: Option<u64>) -> Command {
    let mut command = lockstep(&["worker"]);
    with_account(&mut command, g2a)
        .env("DATABASE_URL", db.url())
        .env("LOCKSTEP_DATA_DIR", data)
        .env("LOCKSTEP_KEY_SECRET", SECRET)
        .env("LOCKSTEP_PACE", "test")
        .env("LOCKSTEP_WORKERS", "32")
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .stderr(log_of(data));
    if let Some(number) = crash_at {
        command.env("LOCKSTEP_CRASH_AT", number.to_string());
    }
    command
}

/// The file to which all workers of a run write their errors.
fn log_of(data: &Path) -> std::fs::File {
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(data.join("errors"));
    file.unwrap()
}

async fn open_units(db: &TestDb) -> i64 {
    // The database connection may be cut at the moment.
    sqlx::query_scalar("select count(*) from order_units where state not in ('DONE', 'REFUNDED')")
        .fetch_one(&db.sql)
        .await
        .unwrap_or(1)
}

pub(crate) async fn all_end(db: &TestDb, context: &str) {
    let began = Instant::now();
    while open_units(db).await > 0 {
        if began.elapsed() > DEADLINE {
            let left: Vec<(String, Option<String>)> = sqlx::query_as("select state, last_error from order_units")
                .fetch_all(&db.sql)
                .await
                .unwrap();
            panic!("{context}: the order does not end: {left:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn stop(mut child: Child) {
    child.kill().await.unwrap();
}

/// One run, with its own shop and supplier. Returns false if the order ended before the failure point was reached: then
/// there are no further points.
async fn dies_at(number: u64, accident: Accident, met: &mut BTreeSet<String>) -> bool {
    let context = format!("place {number}, {accident:?}");
    let (db, g2a) = tokio::join!(TestDb::new(), supplier());
    let folder = tempfile::tempdir().unwrap();
    let game = db.game("Portal", "portal", "10.20").await;
    db.at_g2a(game, PRODUCT).await;
    for buyer in 0..accident.buyers() {
        let user = db.user(&format!("ada-{buyer}@example.org"), "100.00").await;
        db.order(user, game, 2).await;
    }
    // The more orders are in progress, the more failure points are passed.
    let number = number * accident.buyers();
    let control = g2a.control();
    accident.prepare(&db, &control).await;

    let log = folder.path().join("places");
    let mut first = worker(&db, &g2a, folder.path(), Some(number))
        .env("LOCKSTEP_CRASH_LOG", &log)
        .spawn()
        .unwrap();
    let second = (accident == Accident::TwoWorkers).then(|| worker(&db, &g2a, folder.path(), None).spawn().unwrap());
    let began = Instant::now();
    let mut died = false;
    while open_units(&db).await > 0 && !died {
        died = first.try_wait().unwrap().is_some();
        if accident == Accident::DatabaseCut && began.elapsed() < Duration::from_secs(5) {
            db.cut_connections().await;
        }
        if accident == Accident::NoFunds && db.count("supplier_alarms").await > 0 {
            control.set_wallet("1000".parse().unwrap());
        }
        assert!(
            began.elapsed() < DEADLINE,
            "{context}: it neither died nor came to rest"
        );
        tokio::time::sleep(Duration::from_millis(if accident == Accident::DatabaseCut {
            100
        } else {
            10
        }))
        .await;
    }
    stop(first).await;
    if died {
        met.extend(last_line(&log));
    }
    if accident == Accident::NoFunds {
        control.set_wallet("1000".parse().unwrap());
    }
    if accident == Accident::Reconciled {
        reconciler_dies_everywhere(&db, &g2a, folder.path(), met).await;
    }
    if open_units(&db).await > 0 {
        let again = worker(&db, &g2a, folder.path(), None).spawn().unwrap();
        all_end(&db, &context).await;
        stop(again).await;
    }
    if let Some(second) = second {
        stop(second).await;
    }
    check_books(&db, &g2a, 0, &context).await;
    if matches!(accident, Accident::FaultyKeys | Accident::FaultyKeysSoldOut) {
        // A crash may lose a key that was just read, or keep a reservation of the last one.
        let kept = db.count("incidents where kind = 'REPLACEMENT_FAILED'").await;
        assert!(kept > 0 || accident == Accident::FaultyKeys, "{context}");
        assert_eq!(db.count("order_units where state = 'DONE'").await, 2, "{context}");
        assert_eq!(db.count("transactions where type = 'REFUND'").await, 0, "{context}");
        let faulty = db.count("game_keys where faulty_at is not null").await;
        let told = db.count("mail_outbox where kind = 'keys-ready'").await;
        assert_eq!((faulty, told), (2 - kept, 2 - kept), "{context}");
    }
    let open: Vec<String> =
        sqlx::query_scalar("select status::text from orders where status not in ('COMPLETED', 'FAILED')")
            .fetch_all(&db.sql)
            .await
            .unwrap();
    assert!(open.is_empty(), "{context}: {open:?}");
    // A recorded answer may still be in the spool: its worker was killed as soon as the order had ended.
    let (_, aside) = lockstep_fulfilment::Spool::count(&folder.path().join("spool")).unwrap();
    assert_eq!(aside, 0, "{context}: answers were set aside");
    let errors = std::fs::read_to_string(folder.path().join("errors")).unwrap();
    assert!(!errors.contains("spool"), "{context}: {errors}");
    died
}

/// Runs `reconcile --fix`, which crashes at its first failure point, then at its second, and so on until it completes.
async fn reconciler_dies_everywhere(db: &TestDb, g2a: &Sandbox, data: &Path, met: &mut BTreeSet<String>) {
    let log = data.join("places-of-reconcile");
    for place in 1..100 {
        let mut fix = lockstep(&["reconcile", "--fix"]);
        with_account(&mut fix, g2a)
            .env("DATABASE_URL", db.url())
            .env("LOCKSTEP_DATA_DIR", data)
            .env("LOCKSTEP_KEY_SECRET", SECRET)
            .env("LOCKSTEP_CRASH_AT", place.to_string())
            .env("LOCKSTEP_CRASH_LOG", &log);
        // Aborted programs have no exit code.
        if crate::program::outcome(&mut fix).await.status.code().is_some() {
            return;
        }
        met.extend(last_line(&log));
    }
    panic!("reconcile does not come to its end");
}

/// The last failure point in the log, at which the program crashed.
fn last_line(log: &Path) -> Option<String> {
    let log = std::fs::read_to_string(log).ok()?;
    log.lines().last().map(str::to_owned)
}

/// The names of all failure points in the sources of the worker and the reconciler.
fn named_places() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(crates.join("fulfilment/src")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        names.extend(
            text.split("failpoint!(\"")
                .skip(1)
                .filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned())),
        );
    }
    assert!(names.len() > 50, "the sources are not where they were: {names:?}");
    names
}

pub(crate) async fn check_books(db: &TestDb, g2a: &Sandbox, before: usize, context: &str) {
    db.assert_books_balance().await;
    let known: BTreeSet<String> =
        sqlx::query_scalar("select g2a_order_id from g2a_orders where pay_asked_at is not null")
            .fetch_all(&db.sql)
            .await
            .unwrap()
            .into_iter()
            .collect();
    let flagged: BTreeSet<String> =
        sqlx::query_scalar("select g2a_order_id from incidents where kind in ('KEY_LOST', 'SUPPLIER_CANCELLED')")
            .fetch_all(&db.sql)
            .await
            .unwrap()
            .into_iter()
            .collect();
    let keys = Keys::parse(SECRET).unwrap();
    let rows = sqlx::query("select id, key_ciphertext from game_keys where key_ciphertext <> 'sealed'")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    let texts: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            let place = stored::place(KeyId(row.get::<Uuid, _>("id")));
            hex::encode(Sha256::digest(keys.open(&place, row.get("key_ciphertext")).unwrap()))
        })
        .collect();
    let ledger = g2a.control().ledger();
    for order in ledger.orders.iter().skip(before).filter(|order| order.paid_times > 0) {
        assert_eq!(order.paid_times, 1, "{context}: paid twice: {order:?}");
        assert!(
            known.contains(&order.order_id),
            "{context}: paid, and unknown here: {order:?}"
        );
        let sha = order.key_sha256.as_ref().unwrap();
        assert!(
            texts.contains(sha) || flagged.contains(&order.order_id),
            "{context}: paid, and its key is neither stored nor flagged: {order:?}"
        );
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A pseudo-random number, the same for the same seed.
fn number(seed: u64, index: u64) -> u64 {
    let digest = Sha256::digest(format!("{seed}/{index}"));
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Approximate number of failure points that one order of two copies passes.
const PLACES: u64 = 70;

/// The requested number of runs (`None`: every failure point with every fault), and their seed.
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
async fn crash_with_many_orders_in_progress_loses_nothing() {
    let (runs, seed) = plan(3);
    let runs = runs.unwrap_or(3).clamp(1, 3);
    let mut died = 0;
    for run in 0..runs {
        let place = 1 + (number(seed, run) % PLACES + run * PLACES / runs) % PLACES;
        died += u64::from(dies_at(place, Accident::ManyBuyers, &mut BTreeSet::new()).await);
    }
    assert!(died > 0, "a worker that dies at none of {runs} places");
}

#[tokio::test]
async fn crash_while_a_faulty_key_is_replaced_loses_nothing() {
    let (_, seed) = plan(0);
    let runs = [Accident::FaultyKeys, Accident::FaultyKeysSoldOut]
        .into_iter()
        .flat_map(|accident| (0..2).map(move |run| (1 + 6 * run + number(seed, run) % 6, accident)));
    let mut each = futures::stream::iter(runs)
        .map(|(place, accident)| async move { dies_at(place, accident, &mut BTreeSet::new()).await })
        .buffer_unordered(AT_ONCE);
    while let Some(died) = each.next().await {
        assert!(died, "a worker that buys a replacement passes so many places");
    }
}

/// Number of parallel runs: mostly they wait for programs to start.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn books_balance_after_any_crash() {
    let began = Instant::now();
    let (runs, seed) = plan(8);
    let all = Accident::all();
    let (mut made, mut died, mut met) = (0_u64, 0_u64, BTreeSet::new());
    if let Some(runs) = runs {
        let mut each = futures::stream::iter(0..runs)
            .map(|run| {
                // Every other run has no further fault; failure points are spread evenly.
                let place = 1 + (number(seed, 2 * run) % PLACES + run * PLACES / runs.max(1)) % PLACES;
                let accident = if run % 2 == 0 {
                    Accident::None
                } else {
                    all[usize::try_from(number(seed, 2 * run + 1)).unwrap() % all.len()]
                };
                async move {
                    let mut met = BTreeSet::new();
                    (dies_at(place, accident, &mut met).await, met)
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((has_died, places)) = each.next().await {
            (made, died) = (made + 1, died + u64::from(has_died));
            met.extend(places);
        }
        assert!(died * 2 > runs, "most places are met: {died} of {runs} runs died");
    } else {
        let mut each = futures::stream::iter(all)
            .map(|accident| async move {
                let (mut place, mut met) = (1, BTreeSet::new());
                while dies_at(place, accident, &mut met).await {
                    place += 1;
                }
                println!("{accident:?}: died at {} places", place - 1);
                assert!(place > 10, "{accident:?}: only {place} places were met");
                (place, met)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((place, places)) = each.next().await {
            (made, died) = (made + place, died + place - 1);
            met.extend(places);
        }
        let unmet: Vec<_> = named_places().difference(&met).cloned().collect();
        println!("places at which nothing died: {unmet:?}");
    }
    println!(
        "working: {made} runs, {died} of them dead at {} different places, {:.0} s: {met:?}",
        met.len(),
        began.elapsed().as_secs_f64()
    );
}
