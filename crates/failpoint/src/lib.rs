//! Crash points for tests, which prove that a crash there loses nothing.
//!
//! `failpoint!("paying.recorded")` surrounds everything that waits: a commit, a call, a file. Release builds compile it
//! to nothing. In a debug build the environment decides: `LOCKSTEP_CRASH_AT=7` aborts the process at the seventh point
//! reached, `LOCKSTEP_CRASH_AT=webhook.after` at the point of that name, without unwinding or cleaning up, like a power
//! failure. With `LOCKSTEP_CRASH_LOG=FILE` each point reached appends a line to that file, so that the test knows when
//! there are no new ones.

/// Aborts the process here if a test requests it. Does nothing in release builds.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::reached($name);
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

    /// Counts the point, and aborts the process if it is the requested one.
    pub fn reached(name: &str) {
        let plan = plan();
        if plan.at.is_none() && plan.log.is_none() {
            return;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(mut log) = plan.log.as_ref() {
            // One write call: several tasks reach points concurrently.
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
