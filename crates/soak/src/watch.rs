//! Continuous checks: readiness, freshness, the books, the spool, and whether the processes are alive.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lockstep_testkit::{broken_rules, sqlx};
use sqlx::Executor as _;
use tokio::task::JoinHandle;

use crate::ground::Ground;
use crate::machine::is_busy;
use crate::plan::{Fault, Lane};
use crate::shop::{Request, Shop};
use crate::timeline::Period;
use crate::verdicts::Rule;

/// Time limit for readiness to be lost after the failure of a required component.
const LOSS: Duration = Duration::from_secs(5);
/// Time limit for readiness to return after its recovery.
const RETURN: Duration = Duration::from_secs(15);
/// Highest allowed staleness of a response.
const PROMISE: Duration = Duration::from_secs(1);

/// Waits until an instance is ready.
pub(crate) async fn ready(shop: &Shop, door: usize, patience: Duration) -> Result<()> {
    let (instance, address) = *shop.doors.get(door).context("no such door")?;
    let began = Instant::now();
    let mut seen;
    loop {
        let asked = tokio::time::timeout(Duration::from_secs(5), shop.raw(address, &Request::get("/readyz"))).await;
        seen = match asked {
            Ok(Ok(answer)) if answer.status == 200 => return Ok(()),
            Ok(Ok(answer)) => format!("{} {}", answer.status, answer.body),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer within 5 s".to_owned(),
        };
        if began.elapsed() > patience {
            bail!(
                "instance {instance} is not ready after {} s: {seen}",
                began.elapsed().as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Starts all continuous checks; they end when `stop` is set.
pub(crate) fn start(ground: &Arc<Ground>, shop: &Shop, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (ground, shop, stop) = (ground.clone(), shop.clone(), stop.clone());
    tokio::spawn(async move {
        tokio::join!(
            readiness(&ground, &shop, 0, &stop),
            readiness(&ground, &shop, 1, &stop),
            freshness(&ground, &shop, &stop),
            books(&ground, &shop, &stop),
            processes(&ground, &shop, &stop),
            outages(&ground, &shop, &stop),
        );
    })
}

async fn readiness(ground: &Ground, shop: &Shop, door: usize, stop: &AtomicBool) {
    let Some((number, address)) = shop.doors.get(door).copied() else {
        return;
    };
    let Some(instance) = ground.instances.get(number) else {
        return;
    };
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let (sent, up) = (Instant::now(), instance.up_since());
        let asked = tokio::time::timeout(Duration::from_secs(5), shop.raw(address, &Request::get("/readyz"))).await;
        let seen = match asked {
            Ok(Ok(answer)) => Ok((answer.status, answer.body)),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err("no answer within 5 s".to_owned()),
        };
        // Only if it ran undisturbed from well before the request until after the response.
        let Some(since) = up.filter(|since| *since + RETURN < sent && instance.up_since() == Some(*since)) else {
            continue;
        };
        let faults = shop.timeline.between(sent, Instant::now(), RETURN);
        let evidence = match (expected(&faults, number, sent), &seen) {
            // A frozen database may delay the response.
            (Some(true), Ok((200, _))) | (Some(false), Ok((503, _)) | Err(_)) | (None, _) => None,
            (Some(true), Err(_)) if is_busy() => None,
            (Some(ready), seen) => Some(format!(
                "instance {number}, up for {} s, has to be {}, and answers {seen:?} after {} ms",
                since.elapsed().as_secs(),
                if ready { "ready" } else { "not ready" },
                sent.elapsed().as_millis()
            )),
        };
        shop.verdicts.judge(Rule::ReadyTrue, evidence);
    }
}

/// Whether an instance must be ready (or must not be) given the faults that are active or ended recently; `None` when
/// both are valid.
fn expected(faults: &[Period], instance: usize, sent: Instant) -> Option<bool> {
    let gone = |period: &&Period| {
        let required = matches!(
            period.fault,
            Fault::DatabaseStopped | Fault::DatabaseFrozen | Fault::DatabaseReadOnly
        );
        required && period.from + LOSS < sent && period.until.is_none()
    };
    if faults.iter().any(|period| gone(&period)) {
        return Some(false);
    }
    let unclear = faults.iter().any(|period| match period.fault {
        // Neither a row lock nor an unread log makes an instance unready. With a full data folder it serves but does
        // not buy.
        Fault::GameRowLocked | Fault::UserRowLocked | Fault::LogUnread | Fault::DataFolderFull => false,
        fault => match fault.lane() {
            Lane::Database => true,
            Lane::Instance => period.instance == Some(instance),
            Lane::Redis | Lane::Supplier | Lane::Mail => false,
        },
    });
    (!unclear).then_some(true)
}

/// A price and when it was committed; unknown if the commit was not confirmed.
struct Version {
    price: i64,
    committed: Option<Instant>,
}

/// Changes a price by plain SQL continuously and reads it through both instances.
async fn freshness(ground: &Ground, shop: &Shop, stop: &AtomicBool) {
    let Ok(games) = ground
        .database
        .number("select count(*) from games where slug = 'soak-freshness'")
        .await
    else {
        return;
    };
    let (mut versions, mut price) = (Vec::<Version>::new(), 1_000 * games);
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        price += 1;
        if connection.is_none() {
            connection = ground.database.connect().await.ok();
        }
        if let Some(open) = &mut connection {
            let statement = format!("update games set price = {price} where slug = 'soak-freshness'");
            let written =
                tokio::time::timeout(Duration::from_secs(3), open.execute(sqlx::AssertSqlSafe(statement))).await;
            let committed = matches!(written, Ok(Ok(_))).then(Instant::now);
            if committed.is_none() {
                connection = None;
            }
            versions.push(Version { price, committed });
        }
        // Reads several times: immediately, and later than the allowed staleness.
        for _ in 0..6 {
            for (number, address) in shop.doors.iter() {
                let sent = Instant::now();
                let request = Request::get("/api/games/slug/soak-freshness");
                let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(3), shop.raw(*address, &request)).await
                else {
                    continue;
                };
                if answer.status != 200 {
                    continue;
                }
                let shown = answer.json()["data"]["price"].to_string();
                let shown: i64 = shown.split('.').next().and_then(|euro| euro.parse().ok()).unwrap_or(0);
                let place = versions.iter().position(|version| version.price == shown);
                let later = versions.get(place.map_or(0, |place| place + 1)..).unwrap_or_default();
                let stale = later
                    .iter()
                    .filter_map(|version| Some((version.price, version.committed?)))
                    .find(|(_, committed)| *committed + PROMISE < sent);
                shop.verdicts.judge(
                    Rule::Fresh,
                    stale.map(|(price, committed)| {
                        format!(
                            "instance {number} answered the price {shown} to a question that came {} ms after {price} was committed",
                            (sent - committed).as_millis()
                        )
                    }),
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if versions.len() > 200 {
            versions.drain(..100);
        }
    }
}

/// The books balance at every moment; each rule is one statement and therefore one snapshot.
async fn books(ground: &Ground, shop: &Shop, stop: &AtomicBool) {
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if last.elapsed() < Duration::from_secs(15) {
            continue;
        }
        let began = Instant::now();
        let asked = tokio::time::timeout(Duration::from_mins(1), broken_rules(&ground.database.sql)).await;
        // Skipped while the database is unreachable.
        if let Ok(Ok(broken)) = asked {
            shop.verdicts
                .judge(Rule::Books, (!broken.is_empty()).then(|| broken.join("; ")));
        }
        // Checking takes at most a tenth of the time.
        last = Instant::now() + began.elapsed() * 9;
    }
}

/// Records when the database does not answer, planned or not.
async fn outages(ground: &Ground, shop: &Shop, stop: &AtomicBool) {
    let mut away = None;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answers = ground.database.answers(Duration::from_secs(3)).await.is_ok();
        match away {
            None if !answers => away = Some(shop.timeline.begin(Fault::DatabaseAway, None)),
            Some(mark) if answers => {
                shop.timeline.end(mark);
                shop.timeline.recovered(mark);
                away = None;
            }
            _ => {}
        }
    }
}

async fn processes(ground: &Ground, shop: &Shop, stop: &AtomicBool) {
    let mut reported = 0;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for instance in &ground.instances {
            if let Some(status) = instance.ended_by_itself() {
                shop.verdicts.broken(
                    Rule::Processes,
                    format!("{} ended by itself: {status}; started again", instance.name),
                );
                instance.start().ok();
            } else {
                shop.verdicts.held(Rule::Processes);
            }
            let aside = files_in(&instance.data.join("spool/aside"));
            let unreadable = shop
                .timeline
                .all()
                .iter()
                .any(|period| matches!(period.fault, Fault::SupplierUnreadable | Fault::SupplierCutting));
            if aside <= reported || unreadable {
                shop.verdicts.held(Rule::NothingAside);
            } else {
                reported = aside;
                shop.verdicts.broken(
                    Rule::NothingAside,
                    format!("{aside} answer(s) in the spool of {} were set aside", instance.name),
                );
            }
        }
    }
}

/// Number of files in a folder.
pub(crate) fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| {
        entries.flatten().filter(|entry| entry.path().is_file()).count()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(fault: Fault, instance: Option<usize>, age: u64, ended: bool) -> Period {
        let from = Instant::now().checked_sub(Duration::from_secs(age)).unwrap();
        Period {
            fault,
            instance,
            from,
            until: ended.then(Instant::now),
            recovered: None,
        }
    }

    #[test]
    fn readiness_follows_required_components_only() {
        let now = Instant::now();
        assert_eq!(expected(&[], 0, now), Some(true));
        assert_eq!(
            expected(&[period(Fault::DatabaseStopped, None, 8, false)], 0, now),
            Some(false)
        );
        assert_eq!(
            expected(&[period(Fault::DatabaseStopped, None, 1, false)], 0, now),
            None
        );
        assert_eq!(expected(&[period(Fault::DatabaseStopped, None, 8, true)], 0, now), None);
        for harmless in [
            Fault::RedisKilled,
            Fault::SupplierSlow,
            Fault::MailClosing,
            Fault::GameRowLocked,
        ] {
            assert_eq!(expected(&[period(harmless, None, 8, false)], 0, now), Some(true));
        }
        assert_eq!(
            expected(&[period(Fault::InstanceKilled, Some(1), 8, false)], 0, now),
            Some(true)
        );
        assert_eq!(
            expected(&[period(Fault::InstanceKilled, Some(1), 8, false)], 1, now),
            None
        );
    }
}
