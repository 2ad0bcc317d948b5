//! Deliberate faults for mutation testing, which shows that a test detects each (`cargo xtask mutants`).
//!
//! The released program is built without this feature and contains none of them.

/// Whether this fault is active: `LOCKSTEP_MUTANT` names it.
#[cfg(feature = "mutants")]
pub fn make(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("LOCKSTEP_MUTANT").ok()).as_deref() == Some(name)
}

/// No fault is active.
#[cfg(not(feature = "mutants"))]
pub const fn make(_name: &str) -> bool {
    false
}
