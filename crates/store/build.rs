//! Compiles the crate again when a file appears that no source names: `migrate!` includes all migrations, and `query!`
//! finds its data by the hash of a statement.

#![expect(clippy::print_stdout, reason = "this is how a build script talks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=.sqlx");
}
