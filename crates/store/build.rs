//! Compiles the crate again when a file appears that no source names: `migrate!` includes all migrations, and `query!`
//! finds its data by the hash of a statement.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=.sqlx");
}
