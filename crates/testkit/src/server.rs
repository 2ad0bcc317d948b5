//! The PostgreSQL that all tests of this process share.

/// Address of the server (database `postgres`, a role that may create databases).
pub(crate) fn url() -> String {
    std::env::var("LOCKSTEP_TEST_DATABASE_URL").expect("LOCKSTEP_TEST_DATABASE_URL")
}
