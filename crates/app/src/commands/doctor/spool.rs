//! Whether the spool can hold keys in transit, on this machine and where other workers run.

use lockstep_fulfilment::Spool;
use lockstep_store::fulfilment::stops;

use super::{Finding, NO_ANSWER};
use crate::config::Config;
use crate::database::Database;

const WHAT: &str = "spool";

/// Reports waiting files, files that were put aside, and workers that cannot write.
pub(super) async fn look(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    let folder = config.spool_folder();
    let here = lockstep_fulfilment::machine();
    match stops::all(&database.store).await {
        Ok(stops) => {
            for stop in stops.into_iter().filter(|stop| stop.is_one_worker) {
                let seen = format!(
                    "buys nothing since {}: {}",
                    stop.since.format("%Y-%m-%d %H:%M UTC"),
                    stop.reason
                );
                let remedy = "free space on that disk, or make the folder writable; buying continues by itself";
                findings.push(Finding::wrong(WHAT, seen, remedy));
            }
        }
        Err(error) => findings.push(Finding::wrong(WHAT, error.to_string(), NO_ANSWER)),
    }
    if let Err(error) = Spool::is_writable(&folder) {
        findings.push(Finding::wrong(
            WHAT,
            format!("{} on {here} cannot be written: {error}", folder.display()),
            "free space on the disk, or make the folder writable for this user",
        ));
    }
    match Spool::count(&folder) {
        Ok((0, 0)) => {}
        Ok((waiting, aside)) => findings.push(Finding::note(
            WHAT,
            format!(
                "{waiting} answer(s) with keys wait in {} on {here}, {aside} file(s) that cannot be opened were set aside",
                folder.display()
            ),
            "a worker with this data folder records them; what was set aside needs a review by staff, and perhaps an older secret",
        )),
        Err(error) => findings.push(Finding::wrong(
            WHAT,
            format!("{} on {here}: {error}", folder.display()),
            "make the folder readable and writable for this user",
        )),
    }
}
