//! `lockstep reconcile`: compares orders, money, keys, the spool and G2A, prints each difference with its remedy, and
//! with `--fix` repairs what is safe to repair.

use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;
use lockstep_fulfilment::{Difference, Remedy, email_settings, machine, reconcile};
use lockstep_payments::{CompareError, Payments};
use lockstep_store::Store;
use lockstep_store::top_ups::{self, SettleError};

use crate::commands::doctor::{remedy_of_top_up, top_up_in_words};
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;
use crate::secrets::Secrets;
use crate::supplier::Supplier;
use crate::words::english;

/// Maximum number of top-ups that are listed for staff; there are few.
const MOST_TOP_UPS: u32 = 100;

/// The kinds of differences that `--fix` takes by the provider's object.
const TAKEN: [&str; 9] = [
    "charge_missing",
    "charge_unread",
    "dispute_fee",
    "dispute_missing",
    "dispute_state",
    "refund_fee",
    "refund_missing",
    "refund_state",
    "warning_missing",
];

/// Compares the books with the payment provider's, if there is one that takes cards.
async fn compare_payments(payments: &Payments, fix: bool, now: DateTime<Utc>) -> Result<Vec<Difference>> {
    let difference = |what: String, remedy, fixed| Difference {
        what,
        order: None,
        unit: None,
        g2a_order_id: None,
        remedy,
        fixed,
    };
    let compared = match payments.compare(fix, now).await {
        Ok(compared) => compared.unwrap_or_default(),
        Err(CompareError::Store(error)) => return Err(error.into()),
        Err(error) => {
            let what = format!("the books could not be compared with the payment provider's: {error}");
            return Ok(vec![difference(what, Remedy::Person, false)]);
        }
    };
    let words =
        |one: &lockstep_store::cards::comparison::Difference| format!("{} {}: {}", one.kind, one.reference, one.detail);
    let fixed = compared
        .fixed
        .iter()
        .map(|one| difference(words(one), Remedy::Settle, true));
    let left = compared.left.iter().map(|one| {
        let is_taken = !fix && TAKEN.contains(&one.kind.as_str());
        difference(
            words(one),
            if is_taken { Remedy::Settle } else { Remedy::Person },
            false,
        )
    });
    Ok(fixed.chain(left).collect())
}

async fn to_review(store: &Store) -> Result<Vec<Difference>> {
    let found = top_ups::to_review(store, MOST_TOP_UPS).await?;
    Ok(found
        .iter()
        .map(|top_up| Difference {
            what: format!(
                "{}; {}",
                english(&top_up_in_words(top_up)),
                english(&remedy_of_top_up(top_up))
            ),
            order: None,
            unit: None,
            g2a_order_id: None,
            remedy: Remedy::Person,
            fixed: false,
        })
        .collect())
}

/// Closes a top-up that staff has settled at the payment provider.
pub(crate) async fn reviewed(config: &Config, output: Output, id: TopUpId) -> Result<ExitCode> {
    let database = Database::open(config, Use::Join).await?;
    let done = top_ups::reviewed(&database.store, id, &machine()).await;
    database.close().await;
    if !done? {
        bail!("no top-up {id} waits for staff");
    }
    output.result(&serde_json::json!({"reviewed": id.to_string()}), || {
        format!("Top-up {id} is closed.")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Credits a top-up that waits for staff.
pub(crate) async fn credit(config: &Config, output: Output, id: TopUpId, amount: Option<Money>) -> Result<ExitCode> {
    let database = Database::open(config, Use::Join).await?;
    let done = top_ups::credit_by_staff(&database.store, id, amount, &machine()).await;
    database.close().await;
    let done = match done {
        Err(SettleError::AmountUnknown(why)) => bail!("{why}; give the amount with `--amount EUR`"),
        done => done?,
    };
    let credited = done.credited.unwrap_or(done.amount);
    tracing::info!(top_up = %id, %credited, "staff credited a top-up");
    output.result(
        &serde_json::json!({"credited": credited, "topUp": id.to_string(), "user": done.user.to_string()}),
        || {
            format!(
                "{credited} EUR were credited to user {}. Top-up {id} is closed.",
                done.user
            )
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Compares and prints the differences; exits with 1 if one remains.
pub(crate) async fn run(config: &Config, output: Output, fix: bool) -> Result<ExitCode> {
    let database = Database::open(config, Use::Join).await?;
    let secrets = Secrets::open(config, &database.store).await?;
    let supplier = Supplier::connect(config, &database.store).await?;
    let emails = email_settings(&secrets.keys, config.fulfilment.keys_in_emails);
    let (spool, now) = (config.spool_folder(), config.clock.now());
    let found = reconcile(&database.store, &supplier.client, &spool, &emails, fix, now).await;
    let sandbox = crate::payments::CardSandbox::join(config).await;
    let cards = match crate::payments::open(config, &database.store, &secrets.keys, sandbox.as_ref()) {
        Ok(payments) => compare_payments(&payments, fix, now).await,
        Err(error) => Err(error),
    };
    let payments = to_review(&database.store).await;
    supplier.close().await;
    database.close().await;
    let payments = payments?;
    let mut found = found?;
    found.extend(payments);
    found.extend(cards?);
    let left = found
        .iter()
        .filter(|one| !one.fixed && one.remedy != Remedy::None)
        .count();
    output.list(&found, || in_words(&found, left, fix))?;
    Ok(if left == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn in_words(found: &[Difference], left: usize, fix: bool) -> String {
    let mut lines = Vec::new();
    for one in found {
        lines.push(format!("{} {}", if one.fixed { "fixed" } else { "     " }, one.what));
        let about = [
            one.order.map(|id| format!("order {id}")),
            one.unit.map(|id| format!("copy {id}")),
            one.g2a_order_id.as_ref().map(|id| format!("G2A's order {id}")),
        ];
        let about: Vec<String> = about.into_iter().flatten().collect();
        if !about.is_empty() {
            lines.push(format!("      {}", about.join(", ")));
        }
        lines.push(format!(
            "      → {}",
            match one.remedy {
                Remedy::LookAgain if one.fixed => "the worker processes it next",
                Remedy::LookAgain if fix => {
                    "it is due, or a worker has claimed it: let `lockstep serve` or `lockstep worker` run, then check again"
                }
                Remedy::LookAgain => "`lockstep reconcile --fix` makes the worker process it at once",
                Remedy::Settle if one.fixed => "it is settled",
                Remedy::Settle => "`lockstep reconcile --fix` settles it",
                Remedy::RunWorker => "start `lockstep serve` or `lockstep worker` with this data folder",
                Remedy::Person => "staff have to review it: the account at G2A or at the payment provider, and the order's history in the console",
                Remedy::None => "it was compensated; close it in the console when its cause is known",
            }
        ));
    }
    lines.push(match left {
        0 => "Everything agrees.".to_owned(),
        1 => "One difference is left.".to_owned(),
        many => format!("{many} differences are left."),
    });
    lines.join("\n")
}
