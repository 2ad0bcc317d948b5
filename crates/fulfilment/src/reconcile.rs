//! Compares orders, units, money, keys and the spool with G2A, and reports what to do about each difference.
//!
//! It makes no decisions about a unit. `--fix` wakes the worker, which decides under its own fencing token, and settles
//! orders whose units have all ended.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::ids::{OrderId, UnitId};
use lockstep_domain::order::UnitState;
use lockstep_failpoint::failpoint;
use lockstep_g2a::Client;
use lockstep_store::fulfilment::review::{self, Remembered};
use lockstep_store::fulfilment::{EmailSettings, incidents, unreadable};
use lockstep_store::{Store, StoreError};
use serde::Serialize;

use crate::reading;
use crate::rules::DetailsOutcome;
use crate::spool::Spool;

/// How a difference is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// The worker checks the unit at once. Safe.
    LookAgain,
    /// The order is settled from its units. Safe.
    Settle,
    /// A worker has to run on the machine with the spool.
    RunWorker,
    /// Staff have to decide.
    Person,
    /// Already handled; for information only.
    None,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Description of the difference.
    pub what: String,
    /// The affected order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// The affected order unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitId>,
    /// The id of the order at G2A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_order_id: Option<String>,
    /// How it is resolved.
    pub remedy: Remedy,
    /// Whether it was fixed.
    pub fixed: bool,
}

impl Difference {
    fn new(what: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            what: what.into(),
            order: None,
            unit: None,
            g2a_order_id: None,
            remedy,
            fixed: false,
        }
    }

    fn about(self, remembered: &Remembered) -> Self {
        Self {
            order: Some(remembered.order),
            unit: Some(remembered.unit),
            g2a_order_id: Some(remembered.g2a_order_id.clone()),
            ..self
        }
    }
}

/// How far back, and how many of G2A's orders at most, are compared.
const SINCE: TimeDelta = TimeDelta::days(90);
const MOST: u32 = 2_000;

/// Compares everything at the time `now` and returns all differences. With `fix`, those with a safe remedy are fixed.
/// Makes one call to G2A for each order there whose key is not stored here.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reconcile(
    store: &Store,
    client: &Client,
    spool: &Path,
    emails: &EmailSettings,
    fix: bool,
    now: DateTime<Utc>,
) -> Result<Vec<Difference>, StoreError> {
    let mut found = Vec::new();
    for broken in lockstep_store::doctor::broken_invariants(store).await? {
        found.push(Difference::new(
            format!("{}: {} row(s) break this", broken.name, broken.rows),
            Remedy::Person,
        ));
    }
    failpoint!("reconcile.unsettled");
    for order in review::unsettled(store).await? {
        let mut difference = Difference::new("every copy has ended, but the order has not", Remedy::Settle);
        difference.order = Some(order);
        if fix {
            failpoint!("reconcile.settle.before");
            difference.fixed = review::settle_now(store, order, emails).await?;
            failpoint!("reconcile.settle.after");
        }
        found.push(difference);
    }
    for remembered in review::remembered(store, now - SINCE, true, MOST).await? {
        failpoint!("reconcile.details.before");
        let client = client.of_account(remembered.account.as_deref());
        let answer = client.order_details(&remembered.g2a_order_id).await;
        failpoint!("reconcile.details.after");
        let seen = reading::details(&answer);
        let Some(mut difference) = compare(&remembered, seen) else {
            continue;
        };
        if fix && difference.remedy == Remedy::LookAgain {
            difference.fixed = review::wake(store, remembered.unit).await?;
            failpoint!("reconcile.woken");
        }
        found.push(difference);
    }
    for answer in unreadable::waiting(store, MOST).await? {
        let what = format!(
            "an answer of {} bytes for {} contains no readable key; `lockstep keys aside show {}` shows it",
            answer.bytes, answer.game, answer.id
        );
        let mut difference = Difference::new(what, Remedy::Person);
        (difference.unit, difference.g2a_order_id) = (Some(answer.unit), Some(answer.g2a_order_id));
        found.push(difference);
    }
    match Spool::count(spool) {
        Ok((0, 0)) => {}
        Ok((waiting, aside)) => {
            let place = format!("{} on {}", spool.display(), crate::machine());
            if waiting > 0 {
                let what = format!("{waiting} answer(s) with keys wait in the spool {place}");
                found.push(Difference::new(what, Remedy::RunWorker));
            }
            if aside > 0 {
                let what = format!("{aside} file(s) that no secret opens were set aside in the spool {place}");
                found.push(Difference::new(what, Remedy::Person));
            }
        }
        Err(error) => found.push(Difference::new(
            format!("the spool cannot be read: {error}"),
            Remedy::Person,
        )),
    }
    for alarm in incidents::alarms(store).await? {
        let what = format!(
            "nothing can be bought since {}: {}",
            alarm.since.format("%Y-%m-%d %H:%M UTC"),
            alarm.detail
        );
        found.push(Difference::new(what, Remedy::Person));
    }
    for (kind, count) in incidents::open(store).await? {
        found.push(Difference::new(
            format!("{count} incident(s) of the kind {kind} are open"),
            Remedy::None,
        ));
    }
    Ok(found)
}

/// How long past its due time a unit is reported.
const OVERDUE: Duration = Duration::from_mins(10);

fn compare(remembered: &Remembered, seen: DetailsOutcome) -> Option<Difference> {
    let is_open = remembered.is_current && !remembered.state.is_final();
    let overdue = remembered.due_in < -i64::try_from(OVERDUE.as_secs()).unwrap_or(i64::MAX);
    let told = |what: &str, remedy| Some(Difference::new(what, remedy).about(remembered));
    match seen {
        DetailsOutcome::Paid if !is_open && remembered.pay_asked_at.is_none() => told(
            "G2A reports an order as paid that this shop did not pay",
            Remedy::Person,
        ),
        DetailsOutcome::Paid if !is_open => told(
            "paid at G2A, and given up here: its key or its money was lost",
            Remedy::Person,
        ),
        DetailsOutcome::Paid if matches!(remembered.state, UnitState::Ordered | UnitState::Paying) => {
            told("paid at G2A, and not recorded here yet", Remedy::LookAgain)
        }
        DetailsOutcome::Paid if remembered.state == UnitState::Paid => {
            told("the key is ready and was not fetched yet", Remedy::LookAgain)
        }
        DetailsOutcome::Unpaid if matches!(remembered.state, UnitState::Paid | UnitState::Fetching) && is_open => {
            told("paid according to this shop, unpaid according to G2A", Remedy::Person)
        }
        DetailsOutcome::TakenBack if is_open => told("G2A has reverted the order", Remedy::LookAgain),
        DetailsOutcome::NotFound if is_open && remembered.pay_asked_at.is_some() => told(
            "G2A does not know an order whose payment was requested",
            Remedy::LookAgain,
        ),
        _ if is_open && overdue && !remembered.is_held => told(
            "due for more than ten minutes, and claimed by no worker",
            Remedy::RunWorker,
        ),
        _ => None,
    }
}
