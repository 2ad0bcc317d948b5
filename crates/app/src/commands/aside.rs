//! `lockstep keys aside`: staff review supplier answers from which no key could be read, and decide about them.

use std::io::Read as _;

use anyhow::{Context as _, Result, anyhow};
use lockstep_domain::Secret;
use lockstep_domain::ids::UserId;
use lockstep_fulfilment::{aside, email_settings};
use lockstep_store::fulfilment::keys::Recorded;
use lockstep_store::fulfilment::unreadable;
use serde_json::json;

use crate::cli::{AsideCommand, By};
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;
use crate::secrets::Secrets;

/// Maximum number of answers in the list.
const MOST: u32 = 200;
/// Maximum length of a key read from standard input, in bytes, including the line end.
const LONGEST: u64 = 8192;

/// Runs the given subcommand.
pub(crate) async fn run(config: &Config, output: Output, what: AsideCommand) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let done = act(config, &database, output, what).await;
    database.close().await;
    done
}

async fn act(config: &Config, database: &Database, output: Output, what: AsideCommand) -> Result<()> {
    let store = &database.store;
    match what {
        AsideCommand::List => list(database, output).await,
        AsideCommand::Show { id, by } => {
            let admin = admin(database, &by).await?;
            let shown = aside::show(store, &Secrets::open(config, store).await?.keys, id, admin).await?;
            output.result(&json!({ "id": id, "answer": shown.expose() }), || {
                shown.expose().to_owned()
            })
        }
        AsideCommand::Accept { id, key, by } => {
            let admin = admin(database, &by).await?;
            let key = Secret::new(key.map_or_else(from_stdin, Ok)?);
            let secrets = Secrets::open(config, store).await?.keys;
            let emails = email_settings(&secrets, config.fulfilment.keys_in_emails);
            let (became, words) = match aside::accept(store, &secrets, &emails, id, &key, admin).await? {
                Recorded::Delivered(_) => ("delivered", "The key is stored, and its copy has it."),
                Recorded::Stock => (
                    "stock",
                    "The key is stored. Its copy was made good before: it is stock, and sold to the next shopper.",
                ),
                Recorded::Known => ("known", "The key of this order was here already."),
                Recorded::Twice => ("twice", "This key is stored already, from another order."),
            };
            output.result(&json!({ "id": id, "became": became }), || words.to_owned())
        }
        AsideCommand::Discard { id, by } => {
            let admin = admin(database, &by).await?;
            aside::discard(store, id, admin).await?;
            output.result(&json!({ "id": id, "became": "discarded" }), || {
                "Discarded. If its copy still waits, it is made good at once.".to_owned()
            })
        }
        AsideCommand::BuyAgain { product, by } => {
            let admin = admin(database, &by).await?;
            let lifted = aside::buy_again(store, &product, admin).await?;
            anyhow::ensure!(lifted, "buying of the product {product} is not stopped");
            output.result(&json!({ "product": product, "stopped": false }), || {
                format!("The product {product} is bought again.")
            })
        }
    }
}

async fn list(database: &Database, output: Output) -> Result<()> {
    let answers = unreadable::waiting(&database.store, MOST).await?;
    let stops = unreadable::game_stops(&database.store).await?;
    let rows: Vec<serde_json::Value> = answers
        .iter()
        .map(|one| {
            json!({
                "kind": "answer", "id": one.id, "game": one.game, "unit": one.unit, "state": format!("{:?}", one.state),
                "awaited": one.is_awaited, "g2aOrderId": one.g2a_order_id, "bytes": one.bytes, "complete": one.complete,
                "machine": one.machine, "receivedAt": one.received_at,
            })
        })
        .chain(stops.iter().map(|one| {
            json!({
                "kind": "stopped", "game": one.game, "product": one.product, "since": one.since, "until": one.until,
                "reason": one.reason,
            })
        }))
        .collect();
    output.list(&rows, || {
        let mut lines = Vec::new();
        for one in &answers {
            lines.push(format!(
                "{}  {}  {} ({} bytes{}), G2A's order {}, came in at {}{}",
                one.id,
                one.received_at.format("%Y-%m-%d %H:%M UTC"),
                one.game,
                one.bytes,
                if one.complete { "" } else { ", broken off" },
                one.g2a_order_id,
                one.machine,
                if one.is_awaited { "; its copy waits for it" } else { "" },
            ));
        }
        if answers.is_empty() {
            lines.push("No answer waits for a decision.".to_owned());
        }
        for one in &stops {
            lines.push(format!(
                "{} (product {}) is not bought until {}: {}",
                one.game,
                one.product.as_deref().unwrap_or("?"),
                one.until.format("%Y-%m-%d %H:%M UTC"),
                one.reason
            ));
        }
        lines.join("\n")
    })
}

async fn admin(database: &Database, by: &By) -> Result<UserId> {
    let found = unreadable::admin(&database.store, by.email.trim()).await?;
    found.ok_or_else(|| anyhow!("{} is no admin; this is recorded in an admin's name", by.email))
}

fn from_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(LONGEST)
        .read_to_string(&mut text)
        .context("the key cannot be read from the standard input")?;
    Ok(text.trim().to_owned())
}
