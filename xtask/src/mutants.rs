//! `cargo xtask mutants`: plants known mistakes in a copy of the project, one at a time, and expects the tests that guard
//! against each of them to fail.
//!
//! `patches → copy, built once → [this] → which test finds which mistake`
//!
//! The mistakes are patches (`xtask/mutants/NAME.patch`), so the product contains none of them. One build of the copy holds
//! them all: each acts only while the environment variable `LOCKSTEP_MUTANT`, or the database setting `lockstep.mutant`, has
//! its name.

mod copy;
mod patch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use patch::{Planted, Test};

/// Number of tests that run at once: they wait more than they compute.
const AT_ONCE: usize = 4;
/// Time limit of one run. The slowest test takes a quarter of a minute.
const LIMIT: Duration = Duration::from_mins(3);
/// Number of runs in which a test has to find a mistake. Some draw their faults by chance, and while other tests run beside them one
/// run may draw too few.
const RUNS: u32 = 3;

/// The test programs of the copy, by crate and target.
type Programs = BTreeMap<(String, String), PathBuf>;

/// A way to start test programs of the copy.
struct Runner<'a> {
    tree: &'a Path,
    /// The folder of the output of every run.
    logs: PathBuf,
    programs: Programs,
    /// Tells a test program where its servers are.
    ready: &'a (dyn Fn(&mut Command) + Sync),
}

/// Plants every mistake, or those with these names, and fails when a test does not notice.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let all = patch::all(&root.join("xtask/mutants"))?;
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|one| one.name != **name)) {
        bail!("there is no xtask/mutants/{unknown}.patch");
    }
    let target = root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let folder = target.join("mutants");
    let tree = copy::make(root, &folder, &all)?;
    let programs = build(&tree, &target, &all)?;
    let planted: Vec<&Planted> = all
        .iter()
        .filter(|one| names.is_empty() || names.contains(&one.name))
        .collect();
    super::with_servers(|ready| {
        let logs = folder.join("logs");
        drop(std::fs::remove_dir_all(&logs));
        std::fs::create_dir_all(&logs)?;
        let runner = Runner {
            tree: &tree,
            logs,
            programs,
            ready,
        };
        runner.sound(&planted)?;
        runner.all_found(&planted)
    })
}

/// Builds the test programs that the patches name.
///
/// All crates are selected, so that dependencies are compiled with the same features as for `cargo test --workspace`; the
/// copy lacks the tests of crates that no patch names.
fn build(tree: &Path, target: &Path, all: &[Planted]) -> Result<Programs> {
    let mut cargo = super::cargo();
    cargo
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .args([
            "test",
            "--workspace",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ])
        .stderr(std::process::Stdio::inherit());
    let wanted: BTreeSet<&str> = tests(all).map(|test| test.program.as_str()).collect();
    for program in wanted {
        cargo.args(["--test", program]);
    }
    eprintln!("$ {} (in {})", super::shown(&cargo), tree.display());
    let output = cargo.output().context("cargo")?;
    if !output.status.success() {
        bail!("the copy with all mistakes cannot be compiled; the patches are in xtask/mutants");
    }
    let mut programs = Programs::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let field = |path: &str| message.pointer(path).and_then(Value::as_str);
        let (Some(program), Some(manifest), Some(target)) =
            (field("/executable"), field("/manifest_path"), field("/target/name"))
        else {
            continue;
        };
        let of_crate = Path::new(manifest).parent().and_then(Path::file_name);
        if let Some(of_crate) = of_crate {
            let of_crate = of_crate.to_string_lossy().into_owned();
            programs.insert((of_crate, target.to_owned()), program.into());
        }
    }
    for test in tests(all) {
        if !programs.contains_key(&test.program()) {
            bail!(
                "there is no test program crates/{}/tests/{}",
                test.of_crate,
                test.program
            );
        }
    }
    Ok(programs)
}

/// Every test that is named, once for each mistake that it has to find.
fn tests(all: &[Planted]) -> impl Iterator<Item = &Test> {
    all.iter().flat_map(|one| &one.tests)
}

impl Runner<'_> {
    /// Expects every named test to pass while no mistake acts.
    fn sound(&self, planted: &[&Planted]) -> Result<()> {
        let mut by_program: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
        for test in planted.iter().flat_map(|one| &one.tests) {
            by_program.entry(test.program()).or_default().insert(&test.name);
        }
        let groups: Vec<_> = by_program.into_iter().collect();
        let outputs = in_parallel(&groups, |(program, names)| {
            let names: Vec<&str> = names.iter().copied().collect();
            self.output_of(program, &names, None)
        });
        for ((program, names), output) in groups.iter().zip(outputs) {
            let output = output?;
            for name in names {
                if verdict(&output, name) != Some("ok") {
                    bail!(
                        "{name} of crates/{} has to pass while nothing is wrong:\n{output}",
                        program.0
                    );
                }
            }
        }
        Ok(())
    }

    /// Expects every test to fail with the mistake that it has to find.
    fn all_found(&self, planted: &[&Planted]) -> Result<()> {
        let runs: Vec<(&Planted, &Test)> = planted
            .iter()
            .flat_map(|one| one.tests.iter().map(move |test| (*one, test)))
            .collect();
        let faults: Vec<String> = in_parallel(&runs, |(one, test)| self.found(one, test))
            .into_iter()
            .filter_map(Result::err)
            .map(|error| format!("{error:#}"))
            .collect();
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        eprintln!("{0} of {0} mistakes found, by {1} tests", planted.len(), runs.len());
        Ok(())
    }

    fn found(&self, one: &Planted, test: &Test) -> Result<()> {
        for run in 1..=RUNS {
            let began = Instant::now();
            let output = self.output_of(&test.program(), &[&test.name], Some(&one.name))?;
            let is_found = match verdict(&output, &test.name) {
                Some("FAILED") => true,
                Some("ok") => false,
                _ => bail!("the run with {} came to no end:\n{output}", one.name),
            };
            eprintln!(
                "{} {}: {}\n         by {} of crates/{} in {:.1?}, run {run}",
                if is_found { "found   " } else { "SURVIVED" },
                one.name,
                one.mistake,
                test.name,
                test.of_crate,
                began.elapsed()
            );
            if is_found {
                return Ok(());
            }
        }
        bail!("{} does not find {} in {RUNS} runs", test.name, one.name)
    }

    /// Runs these tests of a program, with a mistake or without, and returns what they print.
    fn output_of(&self, program: &(String, String), names: &[&str], mistake: Option<&str>) -> Result<String> {
        let executable = self.programs.get(program).context("it was built")?;
        let shown = format!("{}-{}-{}", mistake.unwrap_or("none"), program.0, program.1);
        let log = self.logs.join(match names {
            [name] => format!("{shown}-{}.log", name.replace(':', "_")),
            _ => format!("{shown}.log"),
        });
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(executable);
        command
            .current_dir(self.tree.join("crates").join(&program.0))
            .arg("--exact")
            .args(names)
            .env_remove("LOCKSTEP_MUTANT")
            .stdout(file.try_clone()?)
            .stderr(file);
        (self.ready)(&mut command);
        if let Some(name) = mistake {
            command.env("LOCKSTEP_MUTANT", name);
            // A setting of every session, for mistakes in migrations.
            command.env("PGOPTIONS", format!("-c lockstep.mutant={name}"));
        }
        let mut child = command.spawn().with_context(|| executable.display().to_string())?;
        let end = Instant::now() + LIMIT;
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                bail!("{shown} takes longer than {LIMIT:?}: {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let bytes = std::fs::read(&log).with_context(|| log.display().to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The result of one test in a test program's output: `ok` or `FAILED`.
fn verdict<'a>(output: &'a str, test: &str) -> Option<&'a str> {
    let start = format!("test {test} ... ");
    output.lines().find_map(|line| line.strip_prefix(&start)).map(str::trim)
}

/// Applies `work` to all elements, a few at a time. The results are in the order of `all`.
fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, work) = (AtomicUsize::new(0), &work);
    let take = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(index) else { return done };
            done.push((index, work(one)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(take)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_from_the_output() {
        let output = "running 2 tests\ntest a::b ... ok\ntest a::bc ... FAILED\n";
        assert_eq!(verdict(output, "a::b"), Some("ok"));
        assert_eq!(verdict(output, "a::bc"), Some("FAILED"));
        assert_eq!(verdict(output, "a"), None);
    }

    #[test]
    fn results_keep_their_order() {
        let all: Vec<u32> = (0..50).collect();
        assert_eq!(
            in_parallel(&all, |one| one * 2),
            (0..100).step_by(2).collect::<Vec<_>>()
        );
    }

    /// A patch that no longer applies shows at once, not only in `cargo xtask mutants`.
    #[test]
    fn every_patch_applies() {
        let root = crate::root();
        if !root.join(".git").exists() {
            return; // An archive of the sources: `cargo xtask mutants` needs the repository, too.
        }
        let all = patch::all(&root.join("xtask/mutants")).unwrap();
        assert!(all.len() >= 20, "{}", all.len());
        let scratch = tempfile::tempdir().unwrap();
        copy::make(&root, scratch.path(), &all).unwrap();
    }
}
