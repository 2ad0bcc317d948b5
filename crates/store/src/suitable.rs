//! Checks whether a database can hold this shop: its encoding, its character classification, and how it parses strings.
//!
//! The check runs before a schema is created, because none of it can be changed afterwards: an unsuitable database
//! would store everything and find nothing written in letters other than a to z.

use crate::{Result, Store};

/// Something that makes a database unsuitable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsuitable {
    /// What is unsuitable.
    pub what: String,
    /// The remedy.
    pub cure: String,
    /// Whether a shop can use the database all the same.
    pub verdict: Verdict,
}

/// The consequence of an objection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No shop can use it.
    Refused,
    /// An existing shop continues with reduced function; a new one is refused.
    RefusedWhenNew,
    /// A shop can use it, with a missing feature.
    Limited,
}

impl std::fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.cure)
    }
}

impl Store {
    /// The objections to this database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub async fn unsuitable(&self) -> Result<Vec<Unsuitable>> {
        // In ASCII alone: a server with another encoding has to parse the query.
        let row = sqlx::query!(
            r#"-- store.suitable
            select current_database()::text as "name!", current_setting('server_encoding') as "encoding!",
                   current_setting('standard_conforming_strings') as "strings!", datctype::text as "ctype!"
              from pg_database where datname = current_database()"#
        )
        .fetch_one(self.alone())
        .await?;
        let (name, encoding, strings, ctype) = (row.name, row.encoding, row.strings, row.ctype);
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let anew = format!(
            "make another: create database {quoted} template template0 encoding 'UTF8' locale 'C.UTF-8' (or another UTF-8 locale \
             that `locale -a` names on its machine)"
        );
        let mut found = Vec::new();
        if encoding == "UTF8" {
            // Judged by behaviour, not by the locale's name.
            let knows_letters = sqlx::query_scalar!(
                r#"-- store.suitable.letters
                select (lower(chr(1046) || chr(201)) = chr(1078) || chr(233) and chr(1078) ~ '^[[:alpha:]]$') as "known!""#
            )
            .fetch_one(self.alone())
            .await?;
            if !knows_letters {
                found.push(Unsuitable {
                    what: format!(
                        "the database {name} has the character class {ctype}, which knows only the letters a to z: a search would \
                         never find Cyrillic, Greek or accented titles"
                    ),
                    cure: anew,
                    verdict: Verdict::RefusedWhenNew,
                });
            } else if !self.trigrams_know_letters().await? {
                found.push(Unsuitable {
                    what: format!(
                        "in the database {name} pg_trgm knows only the letters a to z (LC_CTYPE is {ctype}): misspelt Cyrillic or \
                         Greek titles are not found"
                    ),
                    cure: anew,
                    verdict: Verdict::Limited,
                });
            }
        } else {
            found.push(Unsuitable {
                what: format!("the database {name} has the encoding {encoding}; titles and names need UTF8"),
                cure: anew,
                verdict: Verdict::Refused,
            });
        }
        if strings != "on" {
            found.push(Unsuitable {
                what: format!("in the database {name} standard_conforming_strings is off, which changes the meaning of texts"),
                cure: format!(
                    "alter database {quoted} set standard_conforming_strings = on; or take it out of the role or postgresql.conf \
                     where it is set"
                ),
                verdict: Verdict::Refused,
            });
        }
        Ok(found)
    }

    /// Whether `pg_trgm` finds trigrams in letters other than a to z. It uses the C library's classification,
    /// independent of the database's locale provider. True if it is not installed yet.
    async fn trigrams_know_letters(&self) -> Result<bool> {
        let is_there = sqlx::query_scalar!(
            r#"-- store.suitable.has_trigrams
            select exists (select from pg_extension where extname = 'pg_trgm') as "there!""#
        )
        .fetch_one(self.alone())
        .await?;
        if !is_there {
            return Ok(true);
        }
        Ok(sqlx::query_scalar!(
            r#"-- store.suitable.trigrams
            select cardinality(show_trgm(chr(1046) || chr(1105) || chr(1083))) > 0 as "known!""#
        )
        .fetch_one(self.alone())
        .await?)
    }
}
