//! The synchronisation against a real PostgreSQL and the sandbox of G2A over real HTTP.

mod budget;
mod crashes;
mod drift;
mod failures;
mod passes;
mod slices;
mod support;
