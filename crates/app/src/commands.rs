//! The commands besides `serve`: each opens what it needs, does one thing, and says what it did.

pub(crate) mod admin;
pub(crate) mod aside;
pub(crate) mod backup;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod promo;
pub(crate) mod reconcile;
pub(crate) mod sandbox;
pub(crate) mod sync;

use anyhow::Result;

use crate::config::Config;
use crate::output::Output;

/// `lockstep config`: every setting, its value and where it came from; empty values are defaults.
pub(crate) fn show_config(config: &Config, output: Output) -> Result<()> {
    if output.is_json() {
        let rows: Vec<_> = config
            .shown
            .iter()
            .map(|(name, value, source)| serde_json::json!({ "name": name, "value": value, "source": source }))
            .collect();
        return Output::line(&serde_json::to_string(&rows)?);
    }
    for (name, value, source) in &config.shown {
        let source = format!("{source:?}").to_lowercase();
        Output::line(format!("{name:<24} {source:<12} {value}").trim_end())?;
    }
    Ok(())
}
