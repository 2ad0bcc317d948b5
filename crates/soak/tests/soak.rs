//! The command as somebody types it. A whole run is CI's (`cargo xtask soak`); here only what costs nothing.

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
fn a_seed_prints_the_same_schedule_each_time_and_another_seed_another() {
    let first = schedule("7").unwrap();
    assert!(
        first.contains("SupplierSlow") && first.contains("RedisKilled"),
        "{first}"
    );
    assert_eq!(first, schedule("7").unwrap());
    assert_ne!(first, schedule("8").unwrap());
}
