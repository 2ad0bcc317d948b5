//! The server's log: limited in size, and quoted in errors.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Size in bytes above which the log is rotated: with one old file, at most twice this on disk.
const LONGEST_LOG: u64 = 4 * 1024 * 1024;

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

/// A log file that processes append to.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file for a process to write to; also returns its current length. Opened for appending, which
    /// [`Log::bound`] relies on.
    pub(crate) fn open(&self) -> Result<(File, u64), Error> {
        self.bound();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(Error::io("open", &self.path))?;
        let length = file.metadata().map_err(Error::io("open", &self.path))?.len();
        Ok((file, length))
    }

    /// Copies the content to the old file and truncates the log if it is too long. The file itself stays the same,
    /// because a running server continues to write to it.
    pub(crate) fn bound(&self) {
        self.bound_to(LONGEST_LOG);
    }

    fn bound_to(&self, longest: u64) {
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > longest) {
            let moved = fs::copy(&self.path, self.path.with_extension("old"))
                .and_then(|_| OpenOptions::new().write(true).open(&self.path)?.set_len(0));
            if let Err(error) = moved {
                tracing::warn!(%error, "could not truncate {}", self.path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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

    #[test]
    fn a_long_log_is_rotated_while_its_writer_continues() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::at(folder.path().join("log"));
        let (mut writer, _) = log.open().unwrap();
        writer.write_all(b"first\n").unwrap();
        log.bound_to(5);
        writer.write_all(b"second\n").unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "second\n");
        assert_eq!(fs::read_to_string(folder.path().join("log.old")).unwrap(), "first\n");
    }
}
