//! The real binary, as an operator uses it: real PostgreSQL, a real G2A sandbox, real signals.

mod commands;
mod program;
mod serve;
