//! Features for fault injection must not be in the released program.

use std::process::Command;

/// The workspace's crates with their features in a build of the program, without tests and examples.
fn in_the_program() -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--package",
            "lockstep",
            "--edges",
            "normal,build",
        ])
        .args(["--format", "{p} [{f}]", "--prefix", "none"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let ours: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("lockstep"))
        .map(str::to_owned)
        .collect();
    assert!(
        ours.iter().any(|line| line.starts_with("lockstep-store ")),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ours
}

#[test]
fn program_is_built_without_fault_injection_features() {
    for line in in_the_program() {
        assert!(!line.contains("mutants"), "{line}");
    }
}
