//! What the tests may break must not be in the program.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground gives way has to fail where it does"
)]

use std::process::Command;

/// The features of this crate in a build of the program: no test, no example.
fn features_in(edges: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--package",
            "lockstep",
            "--edges",
            edges,
        ])
        .args(["--format", "{p} [{f}]", "--prefix", "none"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("lockstep-cache "));
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
        .to_owned()
}

#[test]
fn the_program_is_built_without_the_feature_that_breaks_rules() {
    assert!(
        features_in("normal,build").ends_with("[]"),
        "{}",
        features_in("normal,build")
    );
}
