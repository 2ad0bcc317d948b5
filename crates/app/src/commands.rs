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

/// `lockstep config`: every setting, the value in force and where it came from.
pub(crate) fn show_config(config: &Config, output: Output) -> Result<()> {
    output.rows(&config.shown, |row| {
        let source = format!("{:?}", row.source).to_lowercase();
        let value = match (&row.value, &row.default) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => format!("({default})"),
            (None, None) => "(not set)".to_owned(),
        };
        format!("{:<29} {source:<12} {value}", row.name)
    })
}
