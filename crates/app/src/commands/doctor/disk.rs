//! Whether there is free space where this process writes: spool, pictures, private database.

use rustix::fs::statvfs;

use super::Finding;
use crate::config::Config;
use crate::words::say;

/// Free space below which failures are imminent, in bytes.
const LITTLE: u64 = 512 << 20;
/// Free space below which a note is printed, in bytes.
const SCARCE: u64 = 2 << 30;

/// Returns `None` if there is no data folder yet.
pub(super) fn look(config: &Config) -> Option<Finding> {
    let there = statvfs(&config.data_dir).ok()?;
    Some(judge(
        &config.data_dir.display().to_string(),
        there.f_bavail.saturating_mul(there.f_frsize),
    ))
}

fn judge(folder: &str, free: u64) -> Finding {
    let seen = say!("doctor.disk.free", free >> 20, folder);
    let remedy = "doctor.disk.do";
    match free {
        ..LITTLE => Finding::wrong("disk", seen, remedy),
        LITTLE..SCARCE => Finding::note("disk", seen, remedy),
        _ => Finding::well("disk", seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::State;
    use crate::words::english;

    #[test]
    fn low_disk_space_is_wrong_and_scarce_space_is_noted() {
        for (free, state) in [
            (0, State::Wrong),
            (LITTLE - 1, State::Wrong),
            (LITTLE, State::Note),
            (SCARCE - 1, State::Note),
            (SCARCE, State::Well),
        ] {
            let finding = judge("./data", free);
            assert_eq!(finding.state, state, "{free}");
            assert_eq!(finding.remedy.is_some(), state != State::Well, "{free}");
        }
        assert_eq!(english(&judge("./data", 700 << 20).seen), "700 MiB free for ./data");
    }
}
