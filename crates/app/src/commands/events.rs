//! `lockstep events`: signed deliveries that had no effect, as received.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use lockstep_store::deliveries;
use serde_json::json;

use crate::cli::EventsCommand;
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;

/// Maximum number of deliveries in the list.
const MOST: u32 = 200;

/// Runs the given subcommand.
pub(crate) async fn run(config: &Config, output: Output, what: EventsCommand) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let done = act(&database, output, what).await;
    database.close().await;
    done
}

async fn act(database: &Database, output: Output, what: EventsCommand) -> Result<()> {
    let store = &database.store;
    match what {
        EventsCommand::List { all } => {
            let kept = deliveries::latest(store, all, MOST).await?;
            output.list(&kept, || {
                if kept.is_empty() {
                    return "Every signed delivery had its effect.".to_owned();
                }
                let lines = kept.iter().map(|one| {
                    format!(
                        "{}  {}  {:<8} {:<19} {}{}{}",
                        one.id,
                        one.received_at.format("%Y-%m-%d %H:%M:%S UTC"),
                        one.source,
                        one.reason,
                        one.kind.as_deref().unwrap_or("-"),
                        one.detail
                            .as_deref()
                            .map(|detail| format!(": {detail}"))
                            .unwrap_or_default(),
                        if one.times > 1 {
                            format!(" ({} times)", one.times)
                        } else {
                            String::new()
                        },
                    )
                });
                lines.collect::<Vec<_>>().join("\n")
            })
        }
        EventsCommand::Show { id } => {
            let body = deliveries::body(store, id)
                .await?
                .context("there is no such delivery")?;
            if output.is_json() {
                let text = std::str::from_utf8(&body).ok();
                return Output::line(&json!({ "id": id, "hex": hex::encode(&body), "text": text }).to_string());
            }
            // The bytes as received, for other programs.
            let mut out = std::io::stdout().lock();
            out.write_all(&body)
                .and_then(|()| out.flush())
                .context("standard output")
        }
    }
}
