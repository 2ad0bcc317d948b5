//! The end of a log, to be quoted in an error.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Length of the part of a log that an error quotes, in bytes.
const LONGEST_TAIL: u64 = 4096;

/// The last lines of a log for display: at most 4 KB, without control characters.
///
/// PostgreSQL runs with `log_error_verbosity=terse` and without statements in the log, so that no row of a table
/// appears here either.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LogTail(String);

impl LogTail {
    /// Reads the end of `path`, at most back to the offset `from` in bytes. An unreadable log gives an empty tail,
    /// because it is only ever quoted beside another error.
    pub(crate) fn read(path: &Path, from: u64) -> Self {
        let mut bytes = Vec::new();
        let mut cut = false;
        if let Ok(mut file) = File::open(path) {
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            let start = from.min(length).max(length.saturating_sub(LONGEST_TAIL));
            cut = start > from;
            if file.seek(SeekFrom::Start(start)).is_ok() && file.take(LONGEST_TAIL).read_to_end(&mut bytes).is_err() {
                bytes.clear();
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        // If the text was cut, the first line is most likely incomplete.
        let whole = if cut {
            text.split_once('\n').map_or("", |(_, rest)| rest)
        } else {
            &*text
        };
        Self(
            whole
                .chars()
                .filter(|letter| *letter == '\n' || !letter.is_control())
                .collect::<String>()
                .trim()
                .to_owned(),
        )
    }

    /// Whether the tail contains the text.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }
}

impl fmt::Display for LogTail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "(nothing)" } else { &self.0 })
    }
}

impl fmt::Debug for LogTail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_tail_starts_at_a_line_and_has_no_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, format!("{}\nlast \u{1b}[31mline\u{7}\n", "x".repeat(10_000))).unwrap();
        assert_eq!(LogTail::read(&path, 0).to_string(), "last [31mline");
    }

    #[test]
    fn a_tail_omits_output_of_earlier_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "old\nnew\n").unwrap();
        assert_eq!(LogTail::read(&path, 4).to_string(), "new");
        assert_eq!(LogTail::read(&folder.path().join("none"), 0).to_string(), "(nothing)");
    }
}
