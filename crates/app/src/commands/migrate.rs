//! `lockstep migrate`

use anyhow::Result;

use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;

/// Applies pending migrations and lists them.
pub(crate) async fn run(config: &Config, output: Output) -> Result<()> {
    let database = Database::open(config, Use::Make).await?;
    let brought = database.migrate().await;
    let place = database.place.clone();
    database.close().await;
    let brought: Vec<String> = brought?
        .into_iter()
        .map(|(version, name)| format!("{version} {name}"))
        .collect();
    output.result(&serde_json::json!({ "database": place, "applied": brought }), || {
        if brought.is_empty() {
            "The schema is up to date.".to_owned()
        } else {
            format!("Applied:\n  {}", brought.join("\n  "))
        }
    })
}
