//! The machine of a measurement; without it a figure is meaningless.

use std::process::Command;

use serde::Serialize;

/// The machine and the programs.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    processors: usize,
    memory_gib: u64,
    kernel: String,
    rustc: String,
    postgresql: String,
    redis: String,
    lockstep: String,
    build: &'static str,
}

impl Machine {
    /// Queries the system; what cannot be determined is empty.
    pub(crate) fn look(postgresql: String) -> Self {
        let redis = std::env::var_os("LOCKSTEP_REDIS_BIN").unwrap_or_else(|| "redis-server".into());
        Self {
            date: chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string(),
            processor: line("/proc/cpuinfo", "model name"),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: line("/proc/meminfo", "MemTotal")
                .split_whitespace()
                .next()
                .and_then(|kib| kib.parse::<u64>().ok())
                .map_or(0, |kib| kib.div_ceil(1 << 20)),
            kernel: said(Command::new("uname").arg("-sr")),
            rustc: said(Command::new("rustc").arg("--version")),
            postgresql,
            redis: said(Command::new(redis).arg("--version")),
            lockstep: format!(
                "{} {}",
                env!("CARGO_PKG_VERSION"),
                said(Command::new("git").args(["describe", "--always", "--dirty"]))
            ),
            build: if cfg!(debug_assertions) {
                "debug: figures mean nothing"
            } else {
                "release"
            },
        }
    }

    /// The machine as text.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}\n{} x {}, {} GiB, {}\nlockstep {} ({}), {}, PostgreSQL {}, {}\n",
            self.date,
            self.processors,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.lockstep,
            self.build,
            self.rustc,
            self.postgresql,
            self.redis
        )
    }
}

/// The average number of runnable processes over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn line(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find(|line| line.starts_with(name));
    found
        .and_then(|line| line.split_once(':'))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map_or_else(String::new, |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
