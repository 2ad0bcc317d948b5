//! Moving in: reads another shop's database or files, brings what they hold into this shop, and reports what the other shop
//! got wrong.
//!
//! `the other shop → [this] → store::imports`
//!
//! The other shop's database is read in one read-only snapshot, while that shop may still run. Ids here follow from the ids
//! there, so that a run that was killed, or is repeated, brings only what is not here yet. Nothing is made up: what does not
//! fit the rules of the books is named in the report.

pub mod keys;
pub mod prisma;
mod report;
pub mod shops;

pub use report::{Finding, Report, Row, Table};

use uuid::Uuid;

/// Why an import did not take place, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The address is not one of PostgreSQL.
    #[error("{0}")]
    Address(&'static str),
    /// The other database cannot be reached, or fails.
    #[error("the other shop's database: {0}")]
    Source(#[from] sqlx::Error),
    /// It is not such a shop's database.
    #[error("this is not the database of a Prisma shop: it lacks {0}")]
    NotAShop(String),
    /// A file cannot be read.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// This shop's database failed. What was committed stays; run the command again.
    #[error(transparent)]
    Store(#[from] lockstep_store::StoreError),
}

/// The id here of a row of the other shop: its own where that is a UUID, else one that follows from it.
pub fn own_id(source: &str, kind: &str, foreign: &str) -> Uuid {
    match Uuid::try_parse(foreign) {
        // The other forms that a UUID is written in could be another row's id.
        Ok(id) if foreign.len() == 36 && id.hyphenated().to_string() == foreign => id,
        _ => Uuid::new_v5(&NAMESPACE, format!("{source}/{kind}/{foreign}").as_bytes()),
    }
}

/// The namespace of ids that follow from those of other shops.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c6f_636b_7374_6570_8d00_696d_706f_7274);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_where_it_is_a_uuid_and_else_follows_from_it() {
        let id = "54ea2061-fc27-4683-9fb6-d625d6d106fb";
        assert_eq!(own_id("prisma", "user", id).to_string(), id);
        for other in [
            "seed-1",
            "54EA2061-FC27-4683-9FB6-D625D6D106FB",
            "54ea2061fc2746839fb6d625d6d106fb",
            "",
        ] {
            let own = own_id("prisma", "user", other);
            assert_ne!(own.to_string(), other);
            assert_eq!(own, own_id("prisma", "user", other));
            assert_ne!(own, own_id("prisma", "game", other));
        }
    }
}
