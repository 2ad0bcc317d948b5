//! The commands other than `serve`: each opens what it needs, does one thing and prints the result.

pub(crate) mod admin;
pub(crate) mod aside;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod events;
pub(crate) mod evidence;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod promo;
pub(crate) mod reconcile;
pub(crate) mod sandbox;
pub(crate) mod sync;
pub(crate) mod vat;
pub(crate) mod verify;

use anyhow::Result;

use crate::config::Config;
use crate::output::Output;

/// `lockstep config`: prints every setting with its value in force and its source.
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
