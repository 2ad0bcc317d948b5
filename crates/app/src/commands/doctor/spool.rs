//! Whether the spool can hold keys in transit, on this machine and where other workers run.

use lockstep_fulfilment::Spool;
use lockstep_store::fulfilment::stops;

use super::Finding;
use crate::config::Config;
use crate::database::Database;
use crate::words::say;

const WHAT: &str = "spool";

/// Reports waiting files, files that were put aside, and workers that cannot write.
pub(super) async fn look(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    let folder = config.spool_folder();
    let here = lockstep_fulfilment::machine();
    match stops::all(&database.store).await {
        Ok(stops) => {
            for stop in stops.into_iter().filter(|stop| stop.is_one_worker) {
                let seen = say!(
                    "doctor.spool.stopped",
                    stop.since.format("%Y-%m-%d %H:%M UTC"),
                    stop.reason
                );
                let remedy = "doctor.spool.stopped.do";
                findings.push(Finding::wrong(WHAT, seen, remedy));
            }
        }
        Err(error) => findings.push(Finding::failed(WHAT, error)),
    }
    if let Err(error) = Spool::is_writable(&folder) {
        findings.push(Finding::wrong(
            WHAT,
            say!("doctor.spool.shut", folder.display(), here, error),
            "doctor.spool.shut.do",
        ));
    }
    match Spool::count(&folder) {
        Ok((0, 0)) => {}
        Ok((waiting, aside)) => findings.push(Finding::note(
            WHAT,
            say!("doctor.spool.waiting", waiting, folder.display(), here, aside),
            "doctor.spool.waiting.do",
        )),
        Err(error) => findings.push(Finding::wrong(
            WHAT,
            say!("doctor.spool.unreadable", folder.display(), here, error),
            "doctor.spool.unreadable.do",
        )),
    }
}
