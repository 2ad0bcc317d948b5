//! Whether a settings file with secrets is readable by other users of the machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Finding;
use crate::config::{Config, Source};
use crate::words::say;

/// Settings that hold credentials, as `lockstep config` names them.
const SECRETS: &[&str] = &[
    "DATABASE_URL",
    "REDIS_URL",
    "SMTP_URL",
    "JWT_SECRET",
    "JWT_REFRESH_SECRET",
    "LOCKSTEP_KEY_SECRET",
    "G2A_API_SECRET",
    "G2A_WEBHOOK_SECRET",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "MOLLIE_API_KEY",
    "PAYMENT_WEBHOOK_SECRET",
];

pub(super) fn look(config: &Config) -> Option<Finding> {
    let held: Vec<&str> = config
        .shown
        .iter()
        .filter(|shown| shown.source == Source::File && shown.value.is_some() && SECRETS.contains(&shown.name.as_str()))
        .map(|shown| shown.name.as_str())
        .collect();
    if held.is_empty() {
        return None;
    }
    let path = config.settings_file.as_deref().unwrap_or(Path::new("lockstep.toml"));
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| {
        Finding::wrong(
            "configuration",
            say!("doctor.settings_file.open", path.display(), held.join(", ")),
            say!("doctor.settings_file.open.do", path.display()),
        )
    })
}
