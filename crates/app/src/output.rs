//! What commands say: results on stdout, as text for people or JSON for programs; progress and failures on stderr.

#![expect(clippy::print_stderr, reason = "the one place where failures are told")]

use std::io::Write as _;

use anyhow::Result;
use serde::Serialize;

/// Where and how a command answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Results of one kind: each as JSON on a line of its own, or in words.
    pub(crate) fn rows<T: Serialize>(self, rows: &[T], words: impl Fn(&T) -> String) -> Result<()> {
        rows.iter().try_for_each(|row| self.result(row, || words(row)))
    }

    /// Whether results are to be JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One result: as JSON on a line, or in words.
    pub(crate) fn result(self, value: &impl Serialize, words: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            Self::line(&serde_json::to_string(value)?)
        } else {
            Self::line(&words())
        }
    }

    /// A line on stdout. A reader that went away (`lockstep … | head`) is no failure.
    pub(crate) fn line(text: &str) -> Result<()> {
        match writeln!(std::io::stdout().lock(), "{text}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }

    /// A question to a person at the terminal.
    pub(crate) fn prompt(text: &str) -> Result<()> {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{text}")?;
        Ok(stderr.flush()?)
    }

    /// Why the command failed, with every cause that says something new: on stderr, as text or as JSON.
    pub(crate) fn failure(self, error: &anyhow::Error) {
        let mut text = String::new();
        for cause in error.chain().map(ToString::to_string) {
            if !text.contains(&cause) {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&cause);
            }
        }
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": text }));
        } else {
            eprintln!("lockstep: {text}");
        }
    }
}
