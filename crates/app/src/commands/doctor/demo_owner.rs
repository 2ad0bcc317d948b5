//! In production: whether the owner of a demo may still enter the console.

use lockstep_store::Store;
use lockstep_store::accounts::staff;

use super::Finding;
use crate::accounts::DEMO_OWNER;
use crate::config::Config;
use crate::words::say;

pub(super) async fn look(config: &Config, store: &Store, findings: &mut Vec<Finding>) {
    if !config.production {
        return;
    }
    match staff::is_on_staff(store, DEMO_OWNER).await {
        Ok(false) => {}
        Ok(true) => findings.push(Finding::wrong(
            "demo owner",
            say!("doctor.demo_owner.staff", DEMO_OWNER),
            say!("doctor.demo_owner.staff.do", DEMO_OWNER),
        )),
        Err(error) => findings.push(Finding::failed("demo owner", error)),
    }
}
