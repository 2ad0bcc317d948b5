//! In production: whether the owner of a demo may still enter the console.

use lockstep_store::Store;
use lockstep_store::accounts::staff;

use super::{Finding, NO_ANSWER};
use crate::accounts::DEMO_OWNER;
use crate::config::Config;

pub(super) async fn look(config: &Config, store: &Store, findings: &mut Vec<Finding>) {
    if !config.production {
        return;
    }
    match staff::is_on_staff(store, DEMO_OWNER).await {
        Ok(false) => {}
        Ok(true) => findings.push(Finding::wrong(
            "demo owner",
            format!("{DEMO_OWNER}, the account of a demo, is on the staff"),
            format!("make another owner, then run `lockstep admin role {DEMO_OWNER} USER`"),
        )),
        Err(error) => findings.push(Finding::wrong("demo owner", error.to_string(), NO_ANSWER)),
    }
}
