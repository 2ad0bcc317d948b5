//! The format of a value in Redis: everything needed to validate it, then the body.
//!
//! The head is lower-case hexadecimal of fixed width, so that a Lua script can compare the first field as text and a
//! person can read it:
//!
//! | bytes | what |
//! |---|---|
//! | 16 | `xmax` of the stamp; the fill script keeps the greater one |
//! | 16 | `xmin` |
//! | 4 + 16 n | transactions that were running |
//! | 4 + 16 n | hashes of the tags |
//! | 16 | identity of the database |
//! | 16 | when it was read, Unix milliseconds |
//! | 16 | checksum over the key's name and everything but itself |
//! | 2 | flags: 1 found, 2 repeatable |
//! | rest | the body |
//!
//! Redis may contain anything: old values, truncated values, values of other programs, our values under a wrong name.
//! Decoding returns `None` for all of them and has no other failure.

use bytes::Bytes;
use lockstep_store::Snapshot;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::entry::Proof;

/// Maximum size in bytes of a value in Redis; a larger value would delay all others on the same connection.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Width in bytes of the first field, which fills are compared by.
const WIDTH: usize = 16;

const FOUND: u8 = 1;
const REPEATABLE: u8 = 2;

/// A decoded value from Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) proof: Proof,
    /// The body; `None` if the row does not exist.
    pub(crate) body: Option<Bytes>,
    /// When it was read from PostgreSQL, in Unix milliseconds of the writer's clock.
    pub(crate) made_ms: u64,
}

/// Returns the first field of a value with this stamp.
pub(crate) fn order(stamp: &Snapshot) -> String {
    format!("{:016x}", stamp.xmax)
}

/// Encodes a value for Redis under `name`; `None` if it is too large.
pub(crate) fn seal(name: &str, sealed: &Sealed) -> Option<Vec<u8>> {
    let Proof {
        stamp,
        tags,
        identity,
        repeatable,
    } = &sealed.proof;
    let body = sealed.body.as_deref().unwrap_or_default();
    let running = u16::try_from(stamp.running.len()).ok()?;
    let tag_count = u16::try_from(tags.len()).ok()?;
    let mut bytes = Vec::with_capacity(body.len() + 128 + (stamp.running.len() + tags.len()) * WIDTH);
    put(&mut bytes, stamp.xmax, WIDTH);
    put(&mut bytes, stamp.xmin, WIDTH);
    put(&mut bytes, running.into(), 4);
    for xid in &stamp.running {
        put(&mut bytes, *xid, WIDTH);
    }
    put(&mut bytes, tag_count.into(), 4);
    for tag in tags {
        put(&mut bytes, *tag, WIDTH);
    }
    put(&mut bytes, *identity, WIDTH);
    put(&mut bytes, sealed.made_ms, WIDTH);
    let mut flags = Vec::with_capacity(2);
    let found = if sealed.body.is_some() { FOUND } else { 0 };
    put(&mut flags, (found | if *repeatable { REPEATABLE } else { 0 }).into(), 2);
    let sum = checksum(name, &bytes, &flags, body);
    put(&mut bytes, sum, WIDTH);
    bytes.extend_from_slice(&flags);
    bytes.extend_from_slice(body);
    (bytes.len() <= MAX_BYTES).then_some(bytes)
}

/// Decodes a value read from Redis under `name`; `None` unless it is ours and complete.
pub(crate) fn open(name: &str, bytes: &Bytes) -> Option<Sealed> {
    let mut rest: &[u8] = bytes;
    let xmax = take(&mut rest, WIDTH)?;
    let xmin = take(&mut rest, WIDTH)?;
    let running = take_list(&mut rest)?;
    let tags = take_list(&mut rest)?;
    let identity = take(&mut rest, WIDTH)?;
    let made_ms = take(&mut rest, WIDTH)?;
    let head = &bytes[..bytes.len() - rest.len()];
    let sum = take(&mut rest, WIDTH)?;
    let flag_bytes = rest.get(..2)?;
    let flags = u8::try_from(take(&mut rest, 2)?).ok()?;
    if sum != checksum(name, head, flag_bytes, rest)
        || flags > (FOUND | REPEATABLE)
        || xmin > xmax
        || !running.is_sorted()
        || running.iter().any(|xid| *xid < xmin || *xid >= xmax)
        || !tags.is_sorted()
        || (flags & FOUND == 0 && !rest.is_empty())
    {
        return None;
    }
    let body = bytes.slice(bytes.len() - rest.len()..);
    Some(Sealed {
        proof: Proof {
            stamp: Snapshot { xmin, xmax, running },
            tags: tags.into(),
            identity,
            repeatable: flags & REPEATABLE != 0,
        },
        body: (flags & FOUND != 0).then_some(body),
        made_ms,
    })
}

/// Computes the checksum. It covers the name, so that a value copied to another key is rejected there.
fn checksum(name: &str, head: &[u8], flags: &[u8], body: &[u8]) -> u64 {
    let mut hash = Xxh3::with_seed(xxh3_64(name.as_bytes()));
    hash.update(head);
    hash.update(flags);
    hash.update(body);
    hash.digest()
}

fn put(bytes: &mut Vec<u8>, number: u64, width: usize) {
    for place in (0..width).rev() {
        let digit = (number >> (place * 4)) & 0xf;
        bytes.extend(u8::try_from(digit).map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
    }
}

fn take(rest: &mut &[u8], width: usize) -> Option<u64> {
    let (field, after) = rest.split_at_checked(width)?;
    *rest = after;
    field.iter().try_fold(0_u64, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

fn take_list(rest: &mut &[u8]) -> Option<Vec<u64>> {
    let count = usize::try_from(take(rest, 4)?).ok()?;
    if rest.len() < count * WIDTH {
        return None;
    }
    (0..count).map(|_| take(rest, WIDTH)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed() -> impl Strategy<Value = Sealed> {
        (
            (0_u64..1 << 60, prop::collection::btree_set(0_u64..1000, 0..20)),
            prop::collection::btree_set(any::<u64>(), 0..20),
            any::<(u64, u64, bool)>(),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..2000)),
        )
            .prop_map(|((xmin, running), tags, (identity, made_ms, repeatable), body)| {
                let running: Vec<u64> = running.into_iter().map(|offset| xmin + offset).collect();
                let xmax = running.last().map_or(xmin, |last| last + 1);
                Sealed {
                    proof: Proof {
                        stamp: Snapshot { xmin, xmax, running },
                        tags: tags.into_iter().collect(),
                        identity,
                        repeatable,
                    },
                    body: body.map(Bytes::from),
                    made_ms,
                }
            })
    }

    proptest! {
        #[test]
        fn sealed_values_round_trip(value in sealed(), name in "[a-z:]{1,20}") {
            let bytes = Bytes::from(seal(&name, &value).unwrap());
            prop_assert!(bytes.starts_with(order(&value.proof.stamp).as_bytes()));
            prop_assert_eq!(open(&name, &bytes), Some(value));
        }

        #[test]
        fn a_value_under_another_name_is_rejected(value in sealed()) {
            let bytes = Bytes::from(seal("game:1", &value).unwrap());
            prop_assert_eq!(open("game:2", &bytes), None);
        }

        #[test]
        fn a_value_with_one_changed_byte_is_rejected(value in sealed(), at in any::<prop::sample::Index>(), by in 1_u8..=255) {
            let mut bytes = seal("k", &value).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(open("k", &bytes.into()), None);
        }

        #[test]
        fn a_truncated_value_is_rejected(value in sealed(), at in any::<prop::sample::Index>()) {
            let bytes = seal("k", &value).unwrap();
            let half = Bytes::copy_from_slice(&bytes[..at.index(bytes.len())]);
            prop_assert_eq!(open("k", &half), None);
        }

        #[test]
        fn random_bytes_are_rejected_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(open("k", &bytes.into()), None);
        }

        #[test]
        fn random_hexadecimal_is_rejected_without_panic(text in "[0-9a-f]{0,400}") {
            prop_assert_eq!(open("k", &text.into_bytes().into()), None);
        }
    }

    #[test]
    fn oversized_values_are_not_sealed() {
        let value = Sealed {
            proof: Proof {
                stamp: Snapshot {
                    xmin: 1,
                    xmax: 1,
                    running: Vec::new(),
                },
                tags: Box::default(),
                identity: 1,
                repeatable: true,
            },
            body: Some(vec![0; MAX_BYTES].into()),
            made_ms: 0,
        };
        assert_eq!(seal("k", &value), None);
    }
}
