//! The copy of the project that holds the mistakes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::patch::Planted;

/// Brings `tree` in `folder` to the state of the project with all patches, and returns its path.
///
/// Files that have not changed keep their times, so that a second run compiles only what has changed.
pub(super) fn make(root: &Path, folder: &Path, all: &[Planted]) -> Result<PathBuf> {
    let (next, tree) = (folder.join("next"), folder.join("tree"));
    drop(std::fs::remove_dir_all(&next));
    let mut paths = BTreeSet::new();
    for path in files(root)? {
        // Linked with every change of their crates, and needed by no test here.
        if is_other_test(&path, all) {
            continue;
        }
        let (from, to) = (root.join(&path), next.join(&path));
        create_parent(&to)?;
        std::fs::copy(&from, &to).with_context(|| from.display().to_string())?;
        paths.insert(path);
    }
    rename_version(&next.join("Cargo.toml"))?;
    plant(folder, &next, all)?;
    for path in &paths {
        let (from, to) = (next.join(path), tree.join(path));
        let bytes = std::fs::read(&from)?;
        if std::fs::read(&to).is_ok_and(|before| before == bytes) {
            continue;
        }
        create_parent(&to)?;
        std::fs::write(&to, bytes).with_context(|| to.display().to_string())?;
    }
    remove_others(&tree, &tree, &paths)?;
    std::fs::remove_dir_all(&next)?;
    Ok(tree)
}

/// What belongs to the project: tracked files, and new ones that are not ignored.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git, which lists the project's files")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listed = String::from_utf8(output.stdout).context("names of files")?;
    let files = listed.split_terminator('\0').map(PathBuf::from);
    Ok(files.filter(|path| root.join(path).is_file()).collect())
}

/// Whether it is a test program's file of a crate whose tests no patch names.
fn is_other_test(path: &Path, all: &[Planted]) -> bool {
    let words: Vec<_> = path.iter().map(|word| word.to_string_lossy()).collect();
    match words.as_slice() {
        [crates, of_crate, tests, ..] if crates == "crates" && tests == "tests" => all
            .iter()
            .flat_map(|one| &one.tests)
            .all(|test| test.of_crate != *of_crate),
        _ => false,
    }
}

/// Gives the copy's crates a version of their own.
///
/// Cargo names what it compiles after a crate's name, version and place *in its workspace*. Both trees share a target
/// folder, for the sake of the dependencies: with equal versions, one would be given the other's crates.
fn rename_version(manifest: &Path) -> Result<()> {
    let text = std::fs::read_to_string(manifest)?;
    let (before, package) = text.split_once("[workspace.package]").context("[workspace.package]")?;
    let (name, rest) = package.split_once("version = \"").context("version")?;
    let (version, rest) = rest.split_once('"').context("version")?;
    let text = format!("{before}[workspace.package]{name}version = \"{version}-mutants\"{rest}");
    std::fs::write(manifest, text)?;
    Ok(())
}

/// Applies all patches and lists those that do not apply.
fn plant(folder: &Path, next: &Path, all: &[Planted]) -> Result<()> {
    let mut complaints = Vec::new();
    for one in all {
        let output = Command::new("git")
            // The copy's code may be indented differently by now.
            .args(["apply", "--ignore-whitespace"])
            .arg(&one.file)
            .current_dir(next)
            // In a repository, `git apply` silently leaves out what is not below the current folder.
            .env("GIT_CEILING_DIRECTORIES", folder)
            .output()
            .context("git, which applies the patches")?;
        if !output.status.success() {
            complaints.push(format!(
                "{} no longer applies:\n{}",
                one.file.display(),
                String::from_utf8_lossy(&output.stderr).trim_end()
            ));
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\nTo renew a patch: `git apply --reject FILE` plants what still fits; plant the rest by hand; put the output of \
         `git diff -U2` in the place of the old diff, below the header; `git checkout` the planted files.",
        complaints.join("\n")
    )
}

fn create_parent(path: &Path) -> Result<()> {
    let parent = path.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())
}

/// Removes what is no longer part of the project.
fn remove_others(tree: &Path, folder: &Path, paths: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_others(tree, &path, paths)?;
            // Stays while it has files.
            drop(std::fs::remove_dir(&path));
        } else if path.strip_prefix(tree).is_ok_and(|path| !paths.contains(path)) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::patch;
    use super::*;

    /// A project with one file, and a patch of that file.
    fn project(folder: &Path, content: &str) -> Vec<Planted> {
        let git = |args: &[&str]| {
            let done = Command::new("git").args(args).current_dir(folder).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        std::fs::create_dir_all(folder.join("xtask/mutants")).unwrap();
        for (path, text) in [
            ("Cargo.toml", "[workspace.package]\nversion = \"1.2.3\"\n"),
            (".gitignore", "/target\n"),
            ("crates/a/src/lib.rs", content),
            ("crates/a/tests/it.rs", "tests of a"),
            ("crates/b/tests/it.rs", "tests of b"),
            (
                "xtask/mutants/odd.patch",
                "Mistake: it is odd\nTest: a it one\n--- a/crates/a/src/lib.rs\n+++ b/crates/a/src/lib.rs\n\
                 @@ -1,2 +1,3 @@\n first\n+'odd'\n second\n",
            ),
        ] {
            create_parent(&folder.join(path)).unwrap();
            std::fs::write(folder.join(path), text).unwrap();
        }
        git(&["init", "--quiet"]);
        patch::all(&folder.join("xtask/mutants")).unwrap()
    }

    #[test]
    fn copies_hold_the_mistakes_and_keep_what_has_not_changed() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let all = project(root, "first\nsecond\nthird\n");
        let folder = root.join("target/mutants");
        let tree = make(root, &folder, &all).unwrap();
        let read = |path: &str| std::fs::read_to_string(tree.join(path)).unwrap();
        assert_eq!(read("crates/a/src/lib.rs"), "first\n'odd'\nsecond\nthird\n");
        assert_eq!(read("Cargo.toml"), "[workspace.package]\nversion = \"1.2.3-mutants\"\n");
        assert!(tree.join("crates/a/tests/it.rs").is_file());
        assert!(!tree.join("crates/b").exists(), "no patch names its tests");

        let changed = |path: &str| std::fs::metadata(tree.join(path)).unwrap().modified().unwrap();
        let before = changed("crates/a/src/lib.rs");
        std::fs::remove_file(root.join("crates/a/tests/it.rs")).unwrap();
        make(root, &folder, &all).unwrap();
        assert_eq!(changed("crates/a/src/lib.rs"), before, "it is not compiled again");
        assert!(!tree.join("crates/a/tests").exists(), "what is gone is gone");
    }

    #[test]
    fn patches_that_no_longer_apply_are_named() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let all = project(root, "first\nsomething else\n");
        let error = make(root, &root.join("target/mutants"), &all).unwrap_err().to_string();
        assert!(error.contains("odd.patch no longer applies"), "{error}");
        assert!(error.contains("To renew a patch"), "{error}");
    }
}
