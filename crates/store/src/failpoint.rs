//! Places where a test can make the program die, to prove that dying there costs nobody anything.
//!
//! `failpoint!("paying.recorded")` stands before and after everything that waits: a commit, a call, a file. In a release
//! build it is nothing. In a debug build the environment decides: with `LOCKSTEP_CRASH_AT=7` the seventh place that is
//! reached, and with `LOCKSTEP_CRASH_AT=webhook.after` the place of that name, aborts the process, without unwinding and
//! without a word to anybody, as a power cut would; with
//! `LOCKSTEP_CRASH_LOG=FILE` each place that is reached is a line of that file, so that the test knows when no new one
//! is left.

/// Dies here, when a test asked for it. Nothing in release builds.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::failpoint::reached($name);
    };
}

#[cfg(debug_assertions)]
mod armed {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        at: Option<String>,
        log: Option<std::fs::File>,
    }

    static COUNT: AtomicU64 = AtomicU64::new(0);

    fn plan() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| Plan {
            at: std::env::var("LOCKSTEP_CRASH_AT").ok(),
            log: std::env::var_os("LOCKSTEP_CRASH_LOG")
                .and_then(|file| std::fs::OpenOptions::new().create(true).append(true).open(file).ok()),
        })
    }

    /// Counts the place, and dies if it is the one.
    pub fn reached(name: &str) {
        let plan = plan();
        if plan.at.is_none() && plan.log.is_none() {
            return;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(mut log) = plan.log.as_ref() {
            // In one piece: several tasks reach places at once.
            drop(log.write_all(format!("{name}\n").as_bytes()));
        }
        if plan
            .at
            .as_ref()
            .is_some_and(|at| at == name || *at == number.to_string())
        {
            std::process::abort();
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::reached;
