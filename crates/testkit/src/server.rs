//! The PostgreSQL server that all tests of this process share.
//!
//! `cargo xtask test` starts one for all test programs and names it in `LOCKSTEP_TEST_DATABASE_URL`; a test program
//! that is run directly starts its own, in a folder that the next one removes.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lockstep_embedded_postgres::{Durability, Options, Postgres};

/// URL of the server, with a role that may create databases.
pub(crate) fn url() -> String {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| std::env::var("LOCKSTEP_TEST_DATABASE_URL").unwrap_or_else(|_| own_server()))
        .clone()
}

fn own_server() -> String {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    let parent = std::env::temp_dir().join("lockstep-tests");
    remove_stale_folders(&parent);
    let folder = parent.join(std::process::id().to_string());
    let postgres = SERVER.get_or_init(|| {
        let options = Options {
            durability: Durability::TestOnly,
            max_connections: 400,
            ..Options::new(folder)
        };
        Postgres::start(&options)
            .unwrap_or_else(|error| panic!("tests need a PostgreSQL; run them with `cargo xtask test`: {error}"))
    });
    postgres.superuser_connection_string()
}

/// Removes the folders of terminated test programs: a static server stops with its process, but its data remains.
fn remove_stale_folders(parent: &Path) {
    let folders = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let dead = |folder: &PathBuf| {
        let pid = folder
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.parse::<u32>().ok());
        pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    for folder in folders.filter(dead) {
        drop(std::fs::remove_dir_all(folder));
    }
}
