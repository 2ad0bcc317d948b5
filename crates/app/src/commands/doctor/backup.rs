//! Whether the database is saved elsewhere, as far as it can know.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::Store;
use lockstep_store::backups::{self, Saved};

use super::Finding;
use crate::words::say;

/// How old a backup may be.
const OLD: TimeDelta = TimeDelta::days(7);

pub(super) async fn look(store: &Store, now: DateTime<Utc>) -> Finding {
    match backups::last(store).await {
        Ok(saved) => judge(saved, now),
        Err(error) => Finding::failed("backup", error),
    }
}

fn judge(saved: Option<Saved>, now: DateTime<Utc>) -> Finding {
    let remedy = "doctor.backup.do";
    let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
    let (seen, at) = match saved {
        None => return Finding::note("backup", "doctor.backup.none", remedy),
        Some(Saved::Standby) => return Finding::well("backup", "doctor.backup.standby"),
        Some(Saved::Command(at)) => (say!("doctor.backup.command", stamp(at)), at),
        Some(Saved::Archive(at)) => (say!("doctor.backup.archive", stamp(at)), at),
    };
    if now - at > OLD {
        Finding::note("backup", seen, remedy)
    } else {
        Finding::well("backup", seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::State;

    #[test]
    fn only_a_backup_of_the_last_week_counts() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        for (saved, state) in [
            (None, State::Note),
            (Some(Saved::Standby), State::Well),
            (Some(Saved::Command(now - TimeDelta::days(6))), State::Well),
            (Some(Saved::Command(now - TimeDelta::days(8))), State::Note),
            (Some(Saved::Archive(now - TimeDelta::hours(1))), State::Well),
        ] {
            assert_eq!(judge(saved, now).state, state, "{saved:?}");
        }
    }
}
