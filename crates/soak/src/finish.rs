//! Final checks: after all faults are healed, all work must end, and then everything is counted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lockstep_domain::ids::KeyId;
use lockstep_store::fulfilment::keys::place;
use lockstep_testkit::{broken_rules, sqlx};
use lockstep_vault::Keys;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use uuid::Uuid;

use crate::buyer::Memory;
use crate::ground::{Ground, SECRET};
use crate::shop::Shop;
use crate::verdicts::{Rule, Verdicts};
use crate::{chaos, watch};

/// Time limit for all work to end after the last buyer: a lease of five minutes, and the work that waited for it.
const DRAIN: Duration = Duration::from_mins(7);

/// Interval between two lines that say what work is left.
const PROGRESS: Duration = Duration::from_secs(15);

/// Work in progress: for each kind a query that counts it.
const OPEN: &[(&str, &str)] = &[
    (
        "copies on their way",
        "select count(*) from order_units where state not in ('DONE', 'REFUNDED')",
    ),
    (
        "orders that have not ended",
        "select count(*) from orders where status in ('PENDING', 'PROCESSING')",
    ),
    (
        "e-mails to send",
        "select count(*) from mail_outbox where sent_at is null and gave_up_at is null",
    ),
];

/// Waits until no work is left; returns how long that took.
pub(crate) async fn drain(ground: &Ground, verdicts: &Verdicts) -> Duration {
    let began = Instant::now();
    let mut reported = Duration::ZERO;
    loop {
        let mut left = Vec::new();
        for (what, question) in OPEN {
            match ground.database.number(question).await {
                Ok(0) => {}
                Ok(count) => left.push(format!("{count} {what}")),
                Err(error) => left.push(format!("{what}: {error:#}")),
            }
        }
        let spooled: usize = ground.instances.iter().map(|one| spooled(&one.data)).sum();
        if spooled > 0 {
            left.push(format!("{spooled} answers in the spool"));
        }
        if left.is_empty() {
            verdicts.held(Rule::Drained);
            return began.elapsed();
        }
        if began.elapsed() > DRAIN {
            verdicts.broken(Rule::Drained, left.join(", "));
            return began.elapsed();
        }
        if began.elapsed() >= reported + PROGRESS {
            reported = began.elapsed();
            crate::say(&format!("{:>9} s  waiting for {}", reported.as_secs(), left.join(", ")));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Number of responses in the slots of a spool.
fn spooled(data: &std::path::Path) -> usize {
    let slots = std::fs::read_dir(data.join("spool")).into_iter().flatten().flatten();
    slots
        .filter(|slot| slot.file_name() != "aside")
        .flat_map(|slot| std::fs::read_dir(slot.path()).into_iter().flatten().flatten())
        .filter(|file| {
            let path = file.path();
            path.extension().is_some_and(|kind| kind == "key" || kind == "part")
        })
        .count()
}

/// Checks everything.
pub(crate) async fn judge(ground: &Ground, shop: &Shop, memories: &[Memory]) -> Result<()> {
    let (sql, verdicts) = (&ground.database.sql, &shop.verdicts);
    let broken = broken_rules(sql).await?;
    verdicts.judge(Rule::Books, (!broken.is_empty()).then(|| broken.join("; ")));
    supplier(ground, verdicts).await?;
    for memory in memories {
        buyer(ground, verdicts, memory).await?;
    }
    left_nothing(ground, verdicts).await?;
    for (recipient, evidence) in ground.postbox.pairs() {
        verdicts.judge(Rule::MailInOrder, evidence.map(|seen| format!("{recipient}: {seen}")));
    }
    reconcile(ground, verdicts).await?;
    let first = ground.instances.first().context("no instance")?;
    let findings = chaos::doctor(first).await?;
    // The disks of a run are small on purpose, so that they can be filled.
    for (what, state, seen) in findings.iter().filter(|(what, ..)| what != "disk") {
        verdicts.judge(
            Rule::DoctorTrue,
            (state == "wrong").then(|| format!("all is healed, and the doctor says of {what}: {seen}")),
        );
    }
    for door in 0..shop.doors.len() {
        verdicts.judge(
            Rule::ReadyTrue,
            watch::ready(shop, door, Duration::from_secs(5))
                .await
                .err()
                .map(|error| format!("at the end: {error:#}")),
        );
    }
    Ok(())
}

/// Checks the supplier's ledger against the database.
async fn supplier(ground: &Ground, verdicts: &Verdicts) -> Result<()> {
    let sql = &ground.database.sql;
    let known: BTreeSet<String> =
        sqlx::query_scalar("select g2a_order_id from g2a_orders where pay_asked_at is not null")
            .fetch_all(sql)
            .await?
            .into_iter()
            .collect();
    let flagged: BTreeSet<String> = sqlx::query_scalar(
        "select g2a_order_id from incidents
          where kind in ('KEY_LOST', 'KEY_UNREADABLE', 'SUPPLIER_CANCELLED') and g2a_order_id is not null",
    )
    .fetch_all(sql)
    .await?
    .into_iter()
    .collect();
    let keys = Keys::parse(SECRET)?;
    let mut stored = BTreeSet::new();
    for row in sqlx::query("select id, key_ciphertext from game_keys where g2a_order_id is not null")
        .fetch_all(sql)
        .await?
    {
        let place = place(KeyId(row.get::<Uuid, _>("id")));
        match keys.open(&place, row.get("key_ciphertext")) {
            Ok(text) => drop(stored.insert(hex::encode(Sha256::digest(text)))),
            Err(error) => verdicts.broken(Rule::KeysKept, format!("{place}: {error}")),
        }
    }
    for order in ground.supplier.control().ledger().orders {
        if order.paid_times == 0 {
            continue;
        }
        let once = order.paid_times == 1 && known.contains(&order.order_id);
        verdicts.judge(
            Rule::SupplierPaidOnce,
            (!once).then(|| format!("paid twice, or unknown here: {order:?}")),
        );
        let kept =
            order.key_sha256.as_ref().is_some_and(|sha| stored.contains(sha)) || flagged.contains(&order.order_id);
        verdicts.judge(
            Rule::KeysKept,
            (!kept).then(|| format!("paid, and its key is neither stored nor flagged: {order:?}")),
        );
    }
    Ok(())
}

/// Checks a buyer's acknowledgements against the database.
async fn buyer(ground: &Ground, verdicts: &Verdicts, memory: &Memory) -> Result<()> {
    let sql = &ground.database.sql;
    let rows = sqlx::query(
        "select o.id::text as id, (select count(*) from order_units u where u.order_id = o.id) as copies,
                (select count(*) from transactions t where t.order_id = o.id and t.type = 'PURCHASE') as charges
           from orders o join users u on u.id = o.user_id where u.email = $1",
    )
    .bind(&memory.email)
    .fetch_all(sql)
    .await?;
    let there: BTreeSet<(String, i64, i64)> = rows
        .iter()
        .map(|row| (row.get("id"), row.get("copies"), row.get("charges")))
        .collect();
    for placed in &memory.orders {
        let expected = (placed.id.clone(), i64::try_from(placed.copies)?, 1);
        verdicts.judge(
            Rule::OrdersOnce,
            (!there.contains(&expected)).then(|| {
                let seen: Vec<_> = there.iter().filter(|order| order.0 == placed.id).collect();
                format!("{placed:?} of {} is there as {seen:?}", memory.email)
            }),
        );
    }
    let (least, count) = (memory.orders.len(), there.len());
    let most = least + usize::try_from(memory.unanswered)?;
    verdicts.judge(
        Rule::OrdersOnce,
        (!(least..=most).contains(&count)).then(|| {
            format!(
                "{}: {least} orders were answered and {} not, and {count} are there",
                memory.email, memory.unanswered
            )
        }),
    );
    for (id, cents) in &memory.topped_up {
        let credited: Option<i64> = sqlx::query_scalar(
            "select (t.amount * 100)::bigint from top_ups p join transactions t on t.id = p.transaction_id
              where p.id = $1::uuid and t.status = 'COMPLETED'",
        )
        .bind(id)
        .fetch_optional(sql)
        .await?;
        verdicts.judge(
            Rule::WritesKept,
            (credited != Some(*cents)).then(|| {
                format!(
                    "top-up {id} of {} was paid with {cents} cents, {credited:?} credited",
                    memory.email
                )
            }),
        );
    }
    Ok(())
}

/// Remains of deleted accounts: for each kind a query that counts it.
const LEFT: &[(&str, &str)] = &[
    (
        "cart lines",
        "select count(*) from cart_items c join users u on u.id = c.user_id where u.deleted_at is not null",
    ),
    (
        "wishes",
        "select count(*) from wishlist w join users u on u.id = w.user_id where u.deleted_at is not null",
    ),
    (
        "top-ups that can be paid",
        "select count(*) from top_ups t join users u on u.id = t.user_id
          where u.deleted_at is not null and t.status in ('PENDING', 'PROCESSING')",
    ),
];

async fn left_nothing(ground: &Ground, verdicts: &Verdicts) -> Result<()> {
    for (what, question) in LEFT {
        let count = ground.database.number(question).await?;
        verdicts.judge(
            Rule::LeftNothing,
            (count != 0).then(|| format!("{count} {what} of deleted accounts")),
        );
    }
    Ok(())
}

async fn reconcile(ground: &Ground, verdicts: &Verdicts) -> Result<()> {
    // Each data folder has its own spool.
    for instance in [ground.instances.first(), ground.instances.last()]
        .into_iter()
        .flatten()
    {
        let output = instance.command(&["reconcile", "--json"]).output().await?;
        let found = chaos::lines(&output).context("lockstep reconcile")?;
        // What was put aside needs a person, and was planned.
        let left: Vec<Value> = found
            .into_iter()
            .filter(|one| one["fixed"] != true && !matches!(one["remedy"].as_str(), Some("none" | "person")))
            .collect();
        verdicts.judge(
            Rule::Reconciled,
            (!left.is_empty()).then(|| format!("{}: {}", instance.name, Value::Array(left.clone()))),
        );
    }
    Ok(())
}
