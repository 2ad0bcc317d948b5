//! `lockstep erase`: forgets a person, and says what is removed and what stays.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use lockstep_cache::Cache;
use lockstep_domain::account::Email;
use lockstep_fulfilment::machine;
use lockstep_store::accounts::{self, AccountError, Erased, Held};
use lockstep_store::audit::By;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;

/// Until processes that have not seen the deletion no longer write to Redis.
const AGAIN: Duration = Duration::from_millis(600);

/// What is removed, in words.
const REMOVED: [(&str, &str); 8] = [
    ("sessions", "sessions"),
    ("logIns", "log-ins"),
    ("emails", "e-mails in the queue"),
    ("cartAndWishes", "games in cart, wishlist and alerts"),
    ("billingDetails", "billing details"),
    ("credentials", "codes, second factors and tokens"),
    ("originsOfPayments", "records of where payments were begun"),
    ("paymentEvents", "events of payment services"),
];

/// What stays, and why.
const KEPT: [(&str, &str); 5] = [
    ("orders", "orders, without a name: the books refer to them"),
    ("bookings", "bookings, without a name: they prove the balance"),
    (
        "receipts",
        "receipts, with the buyer's name, address, country and VAT id until the tenth year is over: the law asks for them",
    ),
    ("withdrawals", "withdrawals, without a name: they explain refunds"),
    ("auditEntries", "entries of the audit log, by id only"),
];

pub(crate) async fn run(config: &Config, output: Output, email: &str, yes: bool) -> Result<()> {
    let email = Email::of_existing_account(email).map_err(|error| anyhow!("{email:?} is {error}"))?;
    let database = Database::open(config, Use::Join).await?;
    let done = async {
        database.be_up_to_date().await?;
        let held = accounts::held(&database.store, &email).await?;
        if !held.is_nothing() && !yes {
            confirm(&email, &held)?;
        }
        let erased = accounts::erase(&database.store, &email, &By::Operator(machine()))
            .await
            .map_err(refused)?;
        let cached = match &erased {
            Some(erased) => forget_answers(config, &database, erased).await,
            None => Ok(()),
        };
        anyhow::Ok((erased, cached))
    };
    let done = done.await;
    database.close().await;
    let (erased, cached) = done?;
    let files = delete_files(&config.data_dir.join("mail"), &email).context("the folder of e-mails")?;
    tell(output, erased.as_ref(), files)?;
    cached
}

/// Why nothing was erased, and what to do.
fn refused(error: AccountError) -> anyhow::Error {
    match error {
        AccountError::OrdersUnderWay => anyhow!(
            "an order is being delivered, or a withdrawal waits for a decision; nothing was erased. End them in the console first"
        ),
        AccountError::PaymentUnderWay => {
            anyhow!("a payment, refund or dispute is not over; nothing was erased. Settle it in the console first")
        }
        AccountError::LastAdmin => {
            anyhow!(
                "this is the last owner of the shop; nothing was erased. Make another one first: `lockstep admin create`"
            )
        }
        AccountError::Store(error) => anyhow!(error).context("erasing"),
        error => anyhow!(error),
    }
}

/// Shows what is stored and asks for the address once more.
fn confirm(email: &Email, held: &Held) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("nothing was erased; say --yes where nobody can be asked");
    }
    Output::prompt(&format!(
        "{}\nThis cannot be undone. Type the address again to erase them: ",
        in_words(held, "Would be removed", "Would stay")
    ))?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the answer")?;
    if Email::of_existing_account(line.trim()).ok().as_ref() != Some(email) {
        bail!("another address was typed; nothing was erased");
    }
    Ok(())
}

/// Removes the person's answers from Redis. Running processes refuse them already, and an evictor removes them; here nothing is
/// left to whether one runs.
async fn forget_answers(config: &Config, database: &Database, erased: &Erased) -> Result<()> {
    if config.redis_url.is_none() {
        return Ok(());
    }
    let settings = lockstep_cache::Config {
        redis_url: config.redis_url.clone(),
        key_prefix: config.redis_prefix.clone(),
        clock: config.clock.clone(),
        random: config.random.clone(),
        ..lockstep_cache::Config::default()
    };
    settings.check().context("REDIS_URL")?;
    let cache = Cache::start(database.store.clone(), settings).await;
    let dropped = async {
        cache.drop_tags(&erased.tags).await?;
        tokio::time::sleep(AGAIN).await;
        cache.drop_tags(&erased.tags).await
    };
    let dropped = dropped.await;
    cache.shutdown().await;
    dropped
        .map(|_count| ())
        .context("everything was erased from the database; what is in Redis goes within minutes")
}

/// Deletes the e-mails to the person that were written to `folder` for want of a mail server; returns how many.
fn delete_files(folder: &Path, email: &Email) -> Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut deleted = 0;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "eml") {
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).to_lowercase();
        if email.spellings().iter().any(|name| text.contains(&name.to_lowercase())) {
            std::fs::remove_file(&path)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

fn tell(output: Output, erased: Option<&Erased>, files: u64) -> Result<()> {
    let Some(Erased { before, .. }) = erased else {
        return output.result(&json!({ "erased": files > 0, "mailFiles": files }), || {
            if files > 0 {
                format!(
                    "{files} e-mail(s) in the data folder were deleted; the database holds nothing about this address."
                )
            } else {
                "Nothing is stored about this address.".to_owned()
            }
        });
    };
    let object = |rows: &[(&'static str, u64)]| -> Map<String, Value> {
        rows.iter()
            .map(|(kind, count)| ((*kind).to_owned(), json!(count)))
            .collect()
    };
    let value = json!({
        "erased": true,
        "account": before.account,
        "balance": before.balance,
        "removed": object(&before.removed),
        "kept": object(&before.kept),
        "mailFiles": files,
    });
    output.result(&value, || {
        format!(
            "{}\nErased. Nobody was told: answer the person yourself. Backups from before still hold their data until they are deleted.",
            in_words(before, "Removed", "Stays")
        )
    })
}

/// What is stored, a kind on each line.
fn in_words(held: &Held, removed: &str, kept: &str) -> String {
    let mut lines = vec![format!("{removed}:")];
    if held.account.is_some() {
        lines.push("  the account: address, names, picture, password".to_owned());
    }
    let line = |words: &[(&str, &str)], (kind, count): &(&'static str, u64)| {
        let word = words.iter().find(|(known, _)| known == kind);
        format!("  {count} {}", word.map_or(*kind, |(_, word)| *word))
    };
    lines.extend(held.removed.iter().map(|row| line(&REMOVED, row)));
    if !held.kept.is_empty() {
        lines.push(format!("{kept}:"));
        lines.extend(held.kept.iter().map(|row| line(&KEPT, row)));
    }
    if held.balance.is_positive() {
        lines.push(format!(
            "The balance of {} EUR stays in the books, and nobody can spend it any more.",
            held.balance
        ));
    }
    lines.join("\n")
}
