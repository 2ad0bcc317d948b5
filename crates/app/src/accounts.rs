//! The account service with the operator's settings, for serving and for commands.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lockstep_auth::Auth;
use lockstep_auth::password::HashSettings;
use lockstep_store::Store;

use crate::config::Config;
use crate::secrets::Secrets;

/// The account of a demo's owner.
pub(crate) const DEMO_OWNER: &str = "owner@demo.example";

/// How long a command waits for a password to be hashed: no request times out, however busy the machine.
const PATIENCE_AT_THE_COMMAND_LINE: Duration = Duration::from_mins(5);

/// The account service on this database, for a command.
pub(crate) async fn open(config: &Config, store: &Store) -> Result<Auth> {
    let hashing = HashSettings {
        patience: PATIENCE_AT_THE_COMMAND_LINE,
        ..HashSettings::default()
    };
    open_with(config, store, Secrets::open(config, store).await?, hashing)
}

/// The account service on this database, with these secrets and this cost of hashing.
pub(crate) fn open_with(config: &Config, store: &Store, secrets: Secrets, hashing: HashSettings) -> Result<Auth> {
    Auth::start(
        store.clone(),
        lockstep_auth::Settings {
            hashing,
            limits: config.rate_limits,
            admin_second_factor: config.production,
            issuer: config.shop_name.clone(),
            clock: config.clock.clone(),
            random: config.random.clone(),
            ..lockstep_auth::Settings::new(secrets.tokens, secrets.keys)
        },
    )
    .context("password hashing")
}
