//! The export of a user's data, a file that is generated while it is read.
//!
//! A separate task reads page after page (`lockstep_store::accounts::export`) and sends one chunk at a time. Until the
//! reader takes a chunk, nothing more is read and no database connection is held. A reader that takes nothing for
//! [`STALL`], or is not finished after [`LONGEST_EXPORT`], is dropped. An export therefore takes a few hundred
//! kilobytes of memory, whatever its size.
//!
//! A truncated file must not look complete. Its last bytes are sent only when everything was read; otherwise the body
//! ends with an error, on which HTTP closes the connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use lockstep_auth::{AuthError, CurrentUser};
use lockstep_domain::ids::UserId;
use lockstep_store::accounts::AccountError;
use lockstep_store::accounts::export::{LISTS, page, person};
use lockstep_store::{Stamped, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument as _;

use crate::limits::LONGEST_EXPORT;
use crate::{Shop, ShopError};

/// Maximum number of concurrent exports per process, for all users together.
pub(crate) const AT_ONCE: usize = 4;

/// How long a reader may take nothing before it is dropped.
const STALL: Duration = Duration::from_secs(30);

/// An export in progress. [`next`](Self::next) reads it; dropping it ends it.
#[derive(Debug)]
pub struct Export {
    chunks: mpsc::Receiver<Chunk>,
    before: &'static str,
    after: &'static str,
    /// The last bytes were sent.
    whole: bool,
}

#[derive(Debug)]
enum Chunk {
    Some(Bytes),
    /// Everything was read.
    End,
}

/// The export is truncated; the response must be aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the export could not be read to its end")]
pub struct Torn;

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("its client disconnected")]
    ReaderGone,
    #[error("its client read nothing for {} s", .0.as_secs())]
    ReaderStalled(Duration),
    #[error("it was not done after {} s", .0.as_secs())]
    TooLong(Duration),
    #[error("the account was deleted meanwhile")]
    AccountGone,
    #[error("the database: {0}")]
    Store(#[from] StoreError),
}

impl Export {
    /// Puts the file's JSON object between `before` and `after`. The result must be valid JSON.
    pub fn wrap(&mut self, before: &'static str, after: &'static str) {
        (self.before, self.after) = (before, after);
    }

    /// The next bytes of the file; `None` after the last ones.
    ///
    /// # Errors
    /// [`Torn`], in place of the last bytes.
    pub async fn next(&mut self) -> Option<Result<Bytes, Torn>> {
        if self.whole {
            return None;
        }
        if !self.before.is_empty() {
            return Some(Ok(Bytes::from_static(std::mem::take(&mut self.before).as_bytes())));
        }
        match self.chunks.recv().await {
            Some(Chunk::Some(bytes)) => Some(Ok(bytes)),
            Some(Chunk::End) => {
                self.whole = true;
                (!self.after.is_empty()).then_some(Ok(Bytes::from_static(self.after.as_bytes())))
            }
            None => Some(Err(Torn)),
        }
    }
}

impl Shop {
    /// Exports everything stored about the caller as one JSON object: the account, and a list for each kind of row with
    /// one row per line. The password hash, one-time codes and the keys' ciphertext are left out.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller has exported too often, has another export in progress, or no longer
    /// exists; [`ShopError::Busy`] while this process runs its maximum number of exports.
    #[tracing::instrument(name = "shop.export", skip_all)]
    pub async fn export(&self, caller: &CurrentUser) -> Result<Export, ShopError> {
        let place = self.place_of_export()?;
        self.allow_export(caller).await?;
        self.begin_export(caller.user(), place, true).await
    }

    /// The same about `user`, for staff; the use case of staff has checked their permission. It does not count as one that the
    /// user has asked for.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when there is no such user; [`ShopError::Busy`] as for [`export`](Self::export).
    #[tracing::instrument(name = "shop.export_of", skip_all)]
    pub async fn export_of(&self, user: UserId) -> Result<Export, ShopError> {
        let place = self.place_of_export()?;
        self.begin_export(user, place, false).await
    }

    fn place_of_export(&self) -> Result<OwnedSemaphorePermit, ShopError> {
        let place = Arc::clone(self.exports()).try_acquire_owned();
        place.map_err(|_taken| ShopError::Busy)
    }

    /// Starts the task that writes the file. `is_counted` if the user holds their slot for it.
    async fn begin_export(
        &self,
        user: UserId,
        place: OwnedSemaphorePermit,
        is_counted: bool,
    ) -> Result<Export, ShopError> {
        let person = match self.store().read(|tx| Box::pin(person(tx, user))).await {
            Ok(Stamped {
                value: Some(person), ..
            }) => person,
            failed => {
                if is_counted {
                    self.export_ended(user).await;
                }
                failed?;
                return Err(AuthError::Account(AccountError::NotFound).into());
            }
        };
        let (sender, chunks) = mpsc::channel(1);
        let shop = self.clone();
        let writing = async move {
            // The account's slot is held for as long as the task may run; see `LONGEST_EXPORT`.
            let longest = LONGEST_EXPORT.saturating_sub(STALL);
            let writing = write(shop.store(), user, person, &sender, STALL);
            let written = tokio::time::timeout(longest, writing)
                .await
                .unwrap_or(Err(Ended::TooLong(longest)));
            if let Err(ended) = &written {
                tracing::info!(%user, "an export was not read to its end: {ended}");
            }
            // Before the reader sees the end, so that an immediate second export is allowed.
            if is_counted {
                shop.export_ended(user).await;
            }
            drop(place);
            if written.is_ok() {
                drop(tokio::time::timeout(STALL, sender.send(Chunk::End)).await);
            }
        };
        tokio::spawn(writing.in_current_span());
        Ok(Export {
            chunks,
            before: "",
            after: "",
            whole: false,
        })
    }
}

/// Sends the file, page by page.
async fn write(
    store: &Store,
    user: UserId,
    person: String,
    reader: &mpsc::Sender<Chunk>,
    stall: Duration,
) -> Result<(), Ended> {
    let mut chunk = BytesMut::new();
    chunk.put_slice(b"{\"user\":");
    chunk.put_slice(person.as_bytes());
    for list in &LISTS {
        chunk.put_slice(b",\n\"");
        chunk.put_slice(list.name.as_bytes());
        chunk.put_slice(b"\":[");
        let (mut next, mut is_first) = (None, true);
        loop {
            let read = store.read(|tx| Box::pin(page(tx, user, list, next))).await?;
            let page = read.value.ok_or(Ended::AccountGone)?;
            for row in &page.rows {
                chunk.put_slice(if is_first { b"\n" } else { b",\n" });
                chunk.put_slice(row.as_bytes());
                is_first = false;
            }
            next = page.next;
            if next.is_none() {
                break;
            }
            send_chunk(reader, chunk.split().freeze(), stall).await?;
        }
        chunk.put_u8(b']');
    }
    chunk.put_slice(b"}");
    send_chunk(reader, chunk.freeze(), stall).await
}

/// Sends a chunk once the reader has taken the previous one.
async fn send_chunk(reader: &mpsc::Sender<Chunk>, bytes: Bytes, stall: Duration) -> Result<(), Ended> {
    match tokio::time::timeout(stall, reader.send(Chunk::Some(bytes))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_gone)) => Err(Ended::ReaderGone),
        Err(_elapsed) => Err(Ended::ReaderStalled(stall)),
    }
}

#[cfg(test)]
mod tests {
    use lockstep_testkit::TestDb;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    /// A user with `looks` reveals of one key, enough for several pages, and a few orders.
    async fn user_with_reveals(db: &TestDb, looks: u32) -> UserId {
        let game = db.game("Portal \"2\"", "portal", "1.00").await;
        let ada = db.user("ada@example.org", "500.00").await;
        let mut key = Uuid::nil();
        for _ in 0..3 {
            let order = db.order(ada, game, 1).await;
            key = db.deliver(order.units[0]).await;
        }
        // Every five rows share a timestamp.
        db.execute(&format!(
            "alter table key_reveals disable trigger key_reveals_fold, drop constraint key_reveals_once_a_minute;
             insert into key_reveals (game_key_id, user_id, how, at, last_at)
             select '{key}', '{ada}', 'PAGE', at, at
               from generate_series(1, {looks}) n, lateral (select now() - (n / 5) * interval '1 minute' as at) _;
             insert into login_history (user_id, succeeded, user_agent) select '{ada}', true, repeat('ü', 500) from generate_series(1, 1500)"
        ))
        .await;
        UserId(ada)
    }

    async fn read(store: &Store, user: UserId) -> (Result<(), Ended>, Vec<Bytes>) {
        let person = store
            .read(|tx| Box::pin(person(tx, user)))
            .await
            .unwrap()
            .value
            .unwrap();
        let (sender, mut chunks) = mpsc::channel(1);
        let read = async {
            let mut read = Vec::new();
            while let Some(Chunk::Some(bytes)) = chunks.recv().await {
                read.push(bytes);
            }
            read
        };
        let write = async move { write(store, user, person, &sender, STALL).await };
        tokio::join!(write, read)
    }

    /// Compares the file with what single statements return.
    #[tokio::test]
    async fn pages_have_every_row_once_and_in_order() {
        let db = TestDb::new().await;
        let ada = user_with_reveals(&db, 1234).await;
        let (written, chunks) = read(&db.store, ada).await;
        written.unwrap();
        let largest = chunks.iter().map(Bytes::len).max().unwrap();
        assert!(
            chunks.len() > 10 && largest < 300_000,
            "{} chunks, the largest of {largest} bytes",
            chunks.len()
        );
        let file: Value = serde_json::from_slice(&chunks.concat()).unwrap();
        let wanted: sqlx::types::Json<Value> = sqlx::query_scalar(
            "select jsonb_build_object(
                'orders', (select jsonb_agg(id order by created_at, id) from orders),
                'transactions', (select jsonb_agg(id order by created_at, id) from transactions),
                'keyReveals', (select jsonb_agg(id order by at, id) from key_reveals),
                'loginHistory', (select jsonb_agg(id order by created_at, id) from login_history))",
        )
        .fetch_one(&db.sql)
        .await
        .unwrap();
        for (list, ids) in wanted.0.as_object().unwrap() {
            let found: Vec<&Value> = file[list].as_array().unwrap().iter().map(|row| &row["id"]).collect();
            assert!(ids.as_array().unwrap().iter().eq(found.iter().copied()), "{list}");
        }
        assert_eq!(file["orders"][2]["items"][0]["title"], "Portal \"2\"");
        assert_eq!(file["orders"][2]["keys"][0]["order_id"], file["orders"][2]["id"]);
        let names: Vec<&String> = file.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 1 + LISTS.len(), "{names:?}");
        let text = file.to_string();
        for secret in ["key_ciphertext", "password_hash", "refresh_id", "\"minute\""] {
            assert!(!text.contains(secret), "{secret}");
        }
    }

    #[tokio::test]
    async fn stalled_readers_are_dropped_and_hold_no_connection() {
        let db = TestDb::new().await;
        let ada = user_with_reveals(&db, 2000).await;
        let one = lockstep_store::Options {
            max_connections: 1,
            ..lockstep_store::Options::default()
        };
        let store = Store::new(db.url(), &one).unwrap();
        let (sender, chunks) = mpsc::channel(1);
        let stall = Duration::from_secs(1);
        let writing = write(&store, ada, "{}".to_owned(), &sender, stall);
        let asking = async {
            // Waits until two chunks are queued.
            while sender.capacity() > 0 {
                tokio::task::yield_now().await;
            }
            store.ping().await
        };
        let (written, asked) = tokio::join!(writing, asking);
        asked.unwrap();
        assert!(matches!(written, Err(Ended::ReaderStalled(_))), "{written:?}");
        drop(chunks);
    }

    #[tokio::test]
    async fn deleted_accounts_and_failed_reads_leave_truncated_files() {
        let db = TestDb::new().await;
        let ada = user_with_reveals(&db, 2000).await;
        for (fault, wanted) in [
            ("alter table login_history rename to hidden", "the database"),
            (
                "alter table hidden rename to login_history;
                 update users set email = 'deleted-x@deleted.invalid', nickname = null, deleted_at = now()",
                "the account was deleted",
            ),
        ] {
            let (sender, chunks) = mpsc::channel(1);
            let mut export = Export {
                chunks,
                before: "<",
                after: ">",
                whole: false,
            };
            let writing = async {
                let written = write(&db.store, ada, "{}".to_owned(), &sender, STALL).await;
                drop(sender);
                written
            };
            let reading = async {
                let (mut file, mut faulty) = (Vec::new(), false);
                while let Some(chunk) = export.next().await {
                    match chunk {
                        Ok(bytes) => file.extend_from_slice(&bytes),
                        Err(torn) => return (torn, file),
                    }
                    if file.len() > 1 && !faulty {
                        faulty = true;
                        db.execute(fault).await;
                    }
                }
                panic!("it looks whole");
            };
            let (written, (torn, file)) = tokio::join!(writing, reading);
            let written = written.unwrap_err().to_string();
            assert!(written.starts_with(wanted), "{written}");
            assert_eq!((torn, file.ends_with(b">")), (Torn, false));
        }
    }
}
