//! Whether there is room where this process writes: answers with keys, pictures, the private database.

use rustix::fs::statvfs;

use super::Finding;
use crate::config::Config;

/// Less room than this, in bytes, ends in failures soon.
const LITTLE: u64 = 512 << 20;
/// Less than this is worth knowing.
const SCARCE: u64 = 2 << 30;

/// `None` where there is no data folder yet.
pub(super) fn look(config: &Config) -> Option<Finding> {
    let there = statvfs(&config.data_dir).ok()?;
    Some(judge(
        &config.data_dir.display().to_string(),
        there.f_bavail.saturating_mul(there.f_frsize),
    ))
}

fn judge(folder: &str, free: u64) -> Finding {
    let seen = format!("{} MiB free for {folder}", free >> 20);
    let remedy =
        "free room there, or move the data folder (--data-dir): an answer with a key has to be written down at once";
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

    #[test]
    fn little_room_is_wrong_and_scarce_room_is_told() {
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
        assert_eq!(judge("./data", 700 << 20).seen, "700 MiB free for ./data");
    }
}
