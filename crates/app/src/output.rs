//! Output of commands: results on stdout, as text for people or JSON for programs; progress and failures on stderr.

#![expect(clippy::print_stderr, reason = "the one place where failures are told")]

use std::io::Write as _;

use anyhow::Result;
use serde::Serialize;

/// The format of a command's output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints results of one kind, one per line: each as JSON, or in words.
    pub(crate) fn rows<T: Serialize>(self, rows: &[T], words: impl Fn(&T) -> String) -> Result<()> {
        rows.iter().try_for_each(|row| self.result(row, || words(row)))
    }

    /// Prints results of one kind: each as a line of JSON, or all of them in one text.
    pub(crate) fn list<T: Serialize>(self, rows: &[T], words: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            self.rows(rows, |_| String::new())
        } else {
            Self::line(&words())
        }
    }

    /// Whether the output is JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints one result: as a line of JSON, or in words.
    pub(crate) fn result(self, value: &impl Serialize, words: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            Self::line(&object(value)?)
        } else {
            Self::line(&words())
        }
    }

    /// Prints a line on stdout. A reader that went away (`lockstep … | head`) is no failure.
    pub(crate) fn line(text: &str) -> Result<()> {
        match writeln!(std::io::stdout().lock(), "{text}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }

    /// Tells a person on stderr how far a long command is; a program reads results only.
    pub(crate) fn progress(self, text: &str) {
        if !self.json {
            eprintln!("lockstep: {text}");
        }
    }

    /// Asks a person at the terminal.
    pub(crate) fn prompt(text: &str) -> Result<()> {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{text}")?;
        Ok(stderr.flush()?)
    }

    /// Prints on stderr why the command failed, with every cause that adds information, as text or as JSON.
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

/// Prints on stderr, as JSON in one line, what was wrong with a call: the message that a person would get.
pub(crate) fn wrong_call(message: &str) {
    let text = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    eprintln!("{}", serde_json::json!({ "error": text }));
}

/// Serialises a result as JSON. Anything but an object is a bug in the command: programs read one object per line.
fn object(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value)?;
    anyhow::ensure!(text.starts_with('{'), "the result is no JSON object");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_json_objects_and_lists_have_one_per_line() {
        assert_eq!(object(&serde_json::json!({ "a": [1] })).unwrap(), r#"{"a":[1]}"#);
        for wrong in [
            serde_json::json!([{ "a": 1 }]),
            serde_json::json!(1),
            serde_json::json!(null),
        ] {
            assert!(object(&wrong).is_err(), "{wrong}");
        }
    }
}
