//! The database side of catalogue synchronisation: who may write, what was written, what a pass has seen, and the
//! shared request budget.
//!
//! One synchronisation runs at a time across all processes. [`CatalogueLock`] keeps a second one from starting; the
//! [`Fence`] keeps one that was presumed dead from writing after another has started: starting a run increments the
//! epoch of `sync_lease`, and every write below checks its own epoch under a share lock in the same transaction. Rows,
//! counters and the cursor of a run change together or not at all, so an interrupted run can be resumed.
//!
//! `lease` holds the exclusive right to run, `runs` the records of runs, `listing` a product as a row, `catalogue` the games
//! and `taxonomy` their categories and tags, `seen` what a pass has and has not seen, `asked` prices learned while buying,
//! `priced` the prices by the rules, `kept` what staff have set, `flags` flags
//! that change with time, `budget` the calls that G2A allows.

mod asked;
mod budget;
mod catalogue;
mod flags;
mod kept;
mod lease;
mod listing;
mod priced;
mod runs;
mod seen;
pub(crate) mod taxonomy;

pub use budget::{Bucket, BucketSizes, Taken, UNITS_PER_CALL, look_at_budget};
pub use catalogue::{Scope, Written, known_since, prices, write};
pub use flags::refresh_flags;
pub use lease::{CatalogueLock, Fence};
pub use listing::Listing;
pub use runs::{
    Begun, Counts, Freshness, Problem, Run, RunKind, RunStatus, Step, begin, finish, freshness, last_runs,
    page_of_runs, recent_runs, record, watermark,
};
pub use seen::{Among, count_known, count_seen, mark_seen, sell_out, unseen, withdraw};
pub use taxonomy::{Term, TermCounts};
