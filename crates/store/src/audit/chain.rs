//! The chain of the audit log: each entry holds the digest of the one before (migration 0243).
//!
//! The database computes the digests when it writes. Here they are computed again from what stands in the rows, so that
//! a row that was changed by somebody who could disable triggers is found and named. Somebody who computes the whole
//! rest of the chain anew, or cuts its end off, is found by an older [`Head`] that was kept elsewhere.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Result, Store};

/// Rows that are read at once.
const PAGE: i64 = 1_000;
/// Faults that are reported at most.
const MOST_FAULTS: usize = 100;

/// The digest of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// What the first entry holds as the digest before it.
    const START: Self = Self([0; 32]);

    fn of_column(bytes: &[u8]) -> Self {
        // The schema bounds it to 32 bytes; any other length matches no digest.
        bytes.try_into().map_or(Self::START, Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in the chain and the digest there, written `12:4f0c…` with 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The position, from 1; 0 for an empty log.
    pub position: i64,
    /// The digest of the entry there.
    pub digest: Digest,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.position, self.digest)
    }
}

/// A text is no [`Head`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a position and 64 hexadecimal digits, such as 12:4f0c…, as `lockstep audit verify` prints them")]
pub struct NotAHead;

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (position, digits) = text.trim().split_once(':').ok_or(NotAHead)?;
        let position = position
            .parse()
            .ok()
            .filter(|position| *position >= 0)
            .ok_or(NotAHead)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAHead);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotAHead)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAHead)?;
        }
        Ok(Self {
            position,
            digest: Digest(digest),
        })
    }
}

/// What is wrong with the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The entry does not have the content that its digest is of.
    Changed {
        /// Its position.
        position: i64,
        /// Its id.
        entry: Uuid,
    },
    /// The entry was removed.
    Removed {
        /// Its position.
        position: i64,
        /// Its id.
        entry: Uuid,
    },
    /// The entry does not hold the digest of the one before: it, the one before, or their digests were replaced.
    Unlinked {
        /// Its position.
        position: i64,
        /// Its id.
        entry: Uuid,
    },
    /// Positions are missing in the chain.
    Gap {
        /// The first one that is missing.
        from: i64,
        /// The last one.
        to: i64,
    },
    /// An entry that was written past the chain.
    Outside {
        /// Its id.
        entry: Uuid,
    },
    /// The chain does not contain the given head: its end was cut off, or it was computed anew.
    OtherChain {
        /// The head that was expected.
        expected: Head,
    },
}

impl Fault {
    /// What is at fault: the id of an entry, or positions in the chain.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Changed { entry, .. }
            | Self::Removed { entry, .. }
            | Self::Unlinked { entry, .. }
            | Self::Outside { entry } => entry.to_string(),
            Self::Gap { from, to } => format!("{from}-{to}"),
            Self::OtherChain { expected } => expected.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { position, entry } => write!(f, "entry {position} ({entry}) was changed"),
            Self::Removed { position, entry } => write!(f, "entry {position} ({entry}) was removed"),
            Self::Unlinked { position, entry } => {
                write!(
                    f,
                    "entry {position} ({entry}) does not follow the one before: one of the two was replaced"
                )
            }
            Self::Gap { from, to } if from == to => write!(f, "entry {from} was removed from the chain"),
            Self::Gap { from, to } => write!(f, "entries {from} to {to} were removed from the chain"),
            Self::Outside { entry } => write!(f, "entry {entry} was written past the chain"),
            Self::OtherChain { expected } => write!(f, "the chain does not contain {expected}"),
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The end of the chain. Kept elsewhere, it proves later that nothing before it was changed or cut off.
    pub head: Head,
    /// The faults, at most 100.
    pub faults: Vec<Fault>,
}

/// An entry as it is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// Its position.
    pub position: i64,
    /// Its id.
    pub id: Uuid,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The member of staff; `None`: the operator at the command line.
    pub staff: Option<Uuid>,
    /// The action.
    pub action: String,
    /// Kind of its target.
    pub subject_kind: String,
    /// Id of its target.
    pub subject: Uuid,
    /// Its parameters.
    pub details: serde_json::Value,
    /// What its digest is of, after the 32 bytes of `previous`: SHA-256 of both is `digest`.
    pub content: String,
    /// Digest of the entry before, hexadecimal.
    pub previous: String,
    /// Its digest, hexadecimal.
    pub digest: String,
}

/// A row of the chain, with the entry if it is there.
struct Link {
    position: i64,
    entry_id: Uuid,
    previous: Vec<u8>,
    digest: Vec<u8>,
    is_there: bool,
    /// What the digest is of, without its position: the lines after it.
    content: Option<String>,
}

async fn links(store: &Store, after: i64) -> Result<Vec<Link>> {
    Ok(sqlx::query_as!(
        Link,
        r#"-- store.audit.links
        select c.position, c.entry_id, c.previous, c.digest, l.id is not null as "is_there!",
               concat_ws(e'\n', l.id, (extract(epoch from l.at) * 1000000)::bigint, coalesce(l.admin_id::text, '-'), l.action,
                         l.subject_id, l.details, l.subject_kind) as "content?"
          from audit_chain c left join audit_log l on l.id = c.entry_id
         where c.position > $1 order by c.position limit $2"#,
        after,
        PAGE
    )
    .fetch_all(store.alone())
    .await?)
}

/// Checks the whole chain; and, with `expected`, that it contains that head.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn verify(store: &Store, expected: Option<Head>) -> Result<Checked> {
    let mut faults = Vec::new();
    let mut head = Head {
        position: 0,
        digest: Digest::START,
    };
    let mut is_contained = expected.is_none_or(|expected| expected == head);
    loop {
        let links = links(store, head.position).await?;
        let is_last = links.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        for link in links {
            check(&link, head, &mut faults);
            head = Head {
                position: link.position,
                digest: Digest::of_column(&link.digest),
            };
            is_contained |= expected == Some(head);
        }
        if is_last {
            break;
        }
    }
    faults.extend(outside(store).await?.into_iter().map(|entry| Fault::Outside { entry }));
    if let Some(expected) = expected.filter(|_| !is_contained) {
        faults.push(Fault::OtherChain { expected });
    }
    faults.truncate(MOST_FAULTS);
    Ok(Checked { head, faults })
}

/// Checks one row against the one before, `head`.
fn check(link: &Link, head: Head, faults: &mut Vec<Fault>) {
    if faults.len() >= MOST_FAULTS {
        return;
    }
    let (position, entry) = (link.position, link.entry_id);
    if position != head.position + 1 {
        faults.push(Fault::Gap {
            from: head.position + 1,
            to: position - 1,
        });
    } else if link.previous != head.digest.0 {
        faults.push(Fault::Unlinked { position, entry });
    }
    if !link.is_there {
        faults.push(Fault::Removed { position, entry });
        return;
    }
    let mut hash = Sha256::new();
    hash.update(&link.previous);
    hash.update(position.to_string());
    hash.update("\n");
    hash.update(link.content.as_deref().unwrap_or_default());
    if hash.finalize()[..] != link.digest[..] {
        faults.push(Fault::Changed { position, entry });
    }
}

/// Entries that the chain does not have, the oldest first.
async fn outside(store: &Store) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "-- store.audit.outside
        select l.id from audit_log l
         where not exists (select 1 from audit_chain c where c.entry_id = l.id) order by l.at limit $1",
        i64::try_from(MOST_FAULTS).unwrap_or(i64::MAX)
    )
    .fetch_all(store.alone())
    .await?)
}

/// Entries after the position `after`, at most 1,000, in the order of the chain.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn export(store: &Store, after: i64) -> Result<Vec<Exported>> {
    let rows = sqlx::query!(
        r#"-- store.audit.export
        select c.position, c.previous, c.digest, l.id, l.at, l.admin_id, l.action, l.subject_kind, l.subject_id, l.details,
               concat_ws(e'\n', c.position, l.id, (extract(epoch from l.at) * 1000000)::bigint, coalesce(l.admin_id::text, '-'),
                         l.action, l.subject_id, l.details, l.subject_kind) as "content!"
          from audit_chain c join audit_log l on l.id = c.entry_id
         where c.position > $1 order by c.position limit $2"#,
        after,
        PAGE
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Exported {
            position: row.position,
            id: row.id,
            at: row.at,
            staff: row.admin_id,
            action: row.action,
            subject_kind: row.subject_kind,
            subject: row.subject_id,
            details: row.details,
            content: row.content,
            previous: Digest::of_column(&row.previous).to_string(),
            digest: Digest::of_column(&row.digest).to_string(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        let head = Head {
            position: 12,
            digest: Digest([0xa7; 32]),
        };
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in [
            "",
            "12",
            "12:",
            "x:00",
            "-1:",
            "12:zz",
            &format!("12:{}", "é".repeat(32)),
        ] {
            assert_eq!(wrong.parse::<Head>(), Err(NotAHead), "{wrong}");
        }
    }
}
