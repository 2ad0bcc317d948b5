//! Where G2A's catalogue lands: who may write, what was written, what a pass has met, and the shared request budget.
//!
//! One synchronisation runs at a time, over all processes. [`CatalogueLock`] keeps a second one from beginning; the
//! [`Fence`] keeps one that was believed dead from writing after another has begun: beginning a run raises the epoch
//! of `sync_lease`, and every write below checks its own epoch under a share lock in the same transaction. Rows,
//! counters and the cursor of a run change together or not at all, so a run can be taken up where it was left.
//!
//! `lease` is about who, `runs` about what was done, `catalogue` about the games themselves and `taxonomy` about what they
//! are sorted by, `seen` about what a pass has met and what not, `asked` about what buying taught of prices, `flags` about
//! what follows with time, `budget` about the calls that G2A allows.

mod asked;
mod budget;
mod catalogue;
mod flags;
mod lease;
mod runs;
mod seen;
mod taxonomy;

pub use budget::{Bucket, BucketSizes, Taken};
pub use catalogue::{Listing, Scope, Written, known_since, write};
pub use flags::refresh_flags;
pub use lease::{CatalogueLock, Fence};
pub use runs::{
    Begun, Counts, Freshness, Problem, Run, RunKind, RunStatus, Step, begin, finish, freshness, last_runs, recent_runs,
    record, watermark,
};
pub use seen::{Among, count_known, count_seen, mark_seen, sell_out, unseen, withdraw};
pub use taxonomy::{Term, TermCounts};
