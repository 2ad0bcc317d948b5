//! Reads the patches: a header for people and for this program, then a unified diff.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// A mistake as a patch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planted {
    /// The name of its file, which turns it on.
    pub(super) name: String,
    /// The mistake in one sentence.
    pub(super) mistake: String,
    /// The tests that have to find it: each of them has to fail.
    pub(super) tests: Vec<Test>,
    pub(super) file: PathBuf,
}

/// A test: `Test: store it orders::one_order_is_placed` is that test of `crates/store/tests/it`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// The folder of its crate in `crates`.
    pub(super) of_crate: String,
    /// The test program: a file or a folder in the crate's `tests`.
    pub(super) program: String,
    pub(super) name: String,
}

impl Test {
    pub(super) fn program(&self) -> (String, String) {
        (self.of_crate.clone(), self.program.clone())
    }
}

/// Reads all patches of a folder, in the order of their names.
pub(super) fn all(folder: &Path) -> Result<Vec<Planted>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "patch") {
            files.push(file);
        }
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file)?;
            read(&file, &text).with_context(|| file.display().to_string())
        })
        .collect()
}

fn read(file: &Path, text: &str) -> Result<Planted> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let is_diff = |line: &&str| line.starts_with("diff ") || line.starts_with("--- ");
    let header = text.lines().take_while(|line| !is_diff(line));
    let (mut mistake, mut tests) = (String::new(), Vec::new());
    for line in header {
        if let Some(test) = line.strip_prefix("Test: ") {
            let words: Vec<&str> = test.split_whitespace().collect();
            let [of_crate, program, name] = words.as_slice() else {
                bail!("a test is named by crate, program and name: {line}");
            };
            tests.push(Test {
                of_crate: (*of_crate).to_owned(),
                program: (*program).to_owned(),
                name: (*name).to_owned(),
            });
        } else if let Some(begin) = line.strip_prefix("Mistake: ") {
            begin.trim().clone_into(&mut mistake);
        } else if !line.trim().is_empty() {
            mistake = format!("{mistake} {}", line.trim());
        }
    }
    if mistake.is_empty() || tests.is_empty() {
        bail!("its header needs `Mistake: SENTENCE` and `Test: CRATE PROGRAM NAME`");
    }
    let is_guarded = ["\"", "'"].iter().any(|quote| {
        let name = format!("{quote}{name}{quote}");
        text.lines().any(|line| line.starts_with('+') && line.contains(&name))
    });
    if !is_guarded {
        bail!(
            "its mistake has to act only while LOCKSTEP_MUTANT (in SQL: lockstep.mutant) is {name:?}, because one build holds \
             all mistakes"
        );
    }
    Ok(Planted {
        name,
        mistake,
        tests,
        file: file.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Mistake: a key is\n  read twice\nTest: store it a::b\nTest: cache chaos c\n";

    #[test]
    fn headers_say_what_is_wrong_and_who_finds_it() {
        let text = format!("{HEADER}\n--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n x\n+if y(\"twice\") {{}}\n");
        let planted = read(Path::new("folder/twice.patch"), &text).unwrap();
        assert_eq!(
            (planted.name.as_str(), planted.mistake.as_str()),
            ("twice", "a key is read twice")
        );
        let [first, second] = planted.tests.as_slice() else {
            panic!("{planted:?}")
        };
        assert_eq!(
            (first.program(), first.name.as_str()),
            (("store".into(), "it".into()), "a::b")
        );
        assert_eq!(second.program(), ("cache".into(), "chaos".into()));
    }

    #[test]
    fn incomplete_patches_are_refused() {
        let guard = "--- a/x\n+++ b/x\n+'twice'\n";
        for (text, complaint) in [
            (format!("Mistake: x\n{guard}"), "its header needs"),
            (format!("Test: store it a\n{guard}"), "its header needs"),
            (format!("Mistake: x\nTest: store a\n{guard}"), "crate, program and name"),
            (format!("{HEADER}--- a/x\n+++ b/x\n+'once'\n"), "act only while"),
            (format!("{HEADER}--- a/x\n+++ b/x\n 'twice'\n"), "act only while"),
        ] {
            let refused = read(Path::new("twice.patch"), &text).unwrap_err().to_string();
            assert!(refused.contains(complaint), "{refused}");
        }
    }
}
