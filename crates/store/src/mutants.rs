//! Mistakes that tests put in on purpose, to show that a test finds each (`cargo xtask mutants`).
//!
//! The program is never built with the feature; without it no mistake is made and this is nothing.

/// Whether this mistake is to be made: `LOCKSTEP_MUTANT` names it.
#[cfg(feature = "mutants")]
pub fn make(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("LOCKSTEP_MUTANT").ok()).as_deref() == Some(name)
}

/// No mistake is made.
#[cfg(not(feature = "mutants"))]
pub const fn make(_name: &str) -> bool {
    false
}
