//! The command as an operator runs it. A complete run is part of CI (`cargo xtask soak`); these tests only cover what
//! is cheap.

use std::process::Command;

fn schedule(seed: &str) -> std::io::Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep-soak"))
        .args([
            "--minutes",
            "10",
            "--plan",
            "--program",
            "none",
            "--folder",
            "none",
            "--redis",
            "none",
            "--seed",
            seed,
        ])
        .output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn schedule_output_is_reproducible_and_depends_on_the_seed() {
    let first = schedule("7").unwrap();
    assert!(
        first.contains("SupplierSlow") && first.contains("RedisKilled"),
        "{first}"
    );
    assert_eq!(first, schedule("7").unwrap());
    assert_ne!(first, schedule("8").unwrap());
}
