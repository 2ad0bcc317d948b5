//! The real binary, as an operator uses it: real PostgreSQL, a real G2A sandbox, real signals.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod aside;
mod audit;
mod closing;
mod commands;
mod crash;
mod erase;
mod import;
mod last_answer;
mod logs;
mod program;
mod serve;
mod settings;
mod settings_of_staff;
mod staff_jobs;
mod surroundings;
mod traces;
mod vat;
mod volume;
