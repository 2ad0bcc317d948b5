//! The server's log, limited in size.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Size in bytes above which the log is rotated: with one old file, at most twice this on disk.
const LONGEST_LOG: u64 = 4 * 1024 * 1024;

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
