//! Where a key lies between the wire and the database: one file an answer, sealed, on disk before anything reads it.
//!
//! A process takes a *slot*, a folder that it holds by a file lock for as long as it lives. Its name for leases lies
//! there, so whoever finds a slot free knows that its holder is dead, may free what that held, and takes over the
//! answers that it left. Answers that hold no readable key are put aside and never thrown away.
//!
//! A file that is being written ends in `.part` and belongs to its writer alone: nobody else opens, moves or judges it
//! while the writer lives. What a dead process left half written is judged once, by whoever takes its slot over.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lockstep_domain::ids::UnitId;
use lockstep_vault::Keys;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most processes that can work in one data folder.
const SLOTS: u32 = 256;
/// An answer, whole.
const WHOLE: &str = "key";
/// An answer that its writer has not finished. Left by a dead process it may be whole all the same.
const PARTIAL: &str = "part";
/// The folder of what a person has to look at.
const ASIDE: &str = "aside";

/// The spool of this process.
pub struct Spool {
    slot: PathBuf,
    aside: PathBuf,
    worker: Uuid,
    keys: Keys,
    /// Held until the process ends.
    _lock: File,
}

/// An answer in the spool.
pub struct Spooled {
    /// Its file; none when the disk failed.
    path: Option<PathBuf>,
    /// The unit it is for.
    pub unit: UnitId,
    /// The order at G2A.
    pub g2a_order_id: String,
    /// The answer had an end.
    pub complete: bool,
    /// What came. Not to be shown to anybody.
    pub body: Vec<u8>,
}

impl Spooled {
    /// An answer that the disk did not take.
    pub(crate) fn in_memory(unit: UnitId, g2a_order_id: String, complete: bool, body: Vec<u8>) -> Self {
        Self {
            path: None,
            unit,
            g2a_order_id,
            complete,
            body,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    unit: UnitId,
    g2a_order_id: String,
    complete: bool,
}

impl Spool {
    /// Takes a slot below `folder`, and takes over what the dead have left. The second value names them: every slot
    /// that was free, this one included.
    ///
    /// # Errors
    /// When the folder cannot be made, locked or read.
    pub fn open(folder: &Path, keys: Keys) -> io::Result<(Self, Vec<Uuid>)> {
        private_dir(folder)?;
        let aside = folder.join(ASIDE);
        private_dir(&aside)?;
        let (mut mine, mut dead): (Option<(PathBuf, File, Uuid)>, Vec<Uuid>) = (None, Vec::new());
        for number in 0..SLOTS {
            let slot = folder.join(number.to_string());
            if mine.is_some() && !slot.exists() {
                break;
            }
            private_dir(&slot)?;
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(slot.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => continue,
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
            let worker = worker_of(&slot)?;
            dead.push(worker);
            // Nobody writes here as long as the lock is held.
            take_over(&slot, mine.as_ref().map_or(&slot, |(own, ..)| own), &aside, &keys)?;
            if mine.is_none() {
                mine = Some((slot, lock, worker));
            }
        }
        let (slot, lock, worker) = mine.ok_or_else(|| io::Error::other("too many workers share one data folder"))?;
        let spool = Self {
            slot,
            aside,
            worker,
            keys,
            _lock: lock,
        };
        Ok((spool, dead))
    }

    /// The name that this process takes units under.
    pub fn worker(&self) -> Uuid {
        self.worker
    }

    /// Puts an answer on disk and comes back when it is there for good. Blocks.
    ///
    /// # Errors
    /// When it is not: then it is in memory only.
    pub fn put(&self, unit: UnitId, g2a_order_id: &str, body: &[u8], complete: bool) -> io::Result<Spooled> {
        let head = Head {
            unit,
            g2a_order_id: g2a_order_id.to_owned(),
            complete,
        };
        let mut plain = serde_json::to_vec(&head)?;
        plain.push(b'\n');
        plain.extend_from_slice(body);
        let name = Uuid::now_v7().simple().to_string();
        let sealed = self.keys.seal(&place(&name), &plain);
        let whole = write(&self.slot, &name, &sealed)?;
        Ok(Spooled {
            path: Some(whole),
            unit,
            g2a_order_id: head.g2a_order_id,
            complete,
            body: body.to_vec(),
        })
    }

    /// Every whole answer in the slot, the oldest first. Files that do not open are put aside; what another task of this
    /// process is writing, or has just recorded and removed, is not seen. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Spooled>> {
        let mut found = Vec::new();
        for path in files(&self.slot, &[WHOLE])? {
            let sealed = match std::fs::read(&path) {
                Ok(sealed) => sealed,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "an answer in the spool cannot be read");
                    continue;
                }
            };
            if let Some((head, body)) = unseal(&self.keys, &path, &sealed) {
                found.push(Spooled {
                    path: Some(path),
                    unit: head.unit,
                    g2a_order_id: head.g2a_order_id,
                    complete: head.complete,
                    body,
                });
            } else {
                tracing::error!(file = %path.display(), "an answer in the spool cannot be opened and is put aside");
                set_aside(&path, &self.aside)?;
            }
        }
        Ok(found)
    }

    /// The answer is in the database.
    ///
    /// # Errors
    /// When its file cannot be removed; reading it again harms nobody.
    pub fn remove(&self, answer: &Spooled) -> io::Result<()> {
        let Some(path) = &answer.path else { return Ok(()) };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The answer holds no key that can be read: it is kept, sealed, for a person.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn keep(&self, answer: &Spooled) -> io::Result<()> {
        answer.path.as_ref().map_or(Ok(()), |path| set_aside(path, &self.aside))
    }

    /// How many answers wait in all slots, those included that are being written, and how many were put aside. Looks at
    /// names only, so it may be asked beside living workers.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn count(folder: &Path) -> io::Result<(usize, usize)> {
        let mut waiting = 0;
        for slot in list(folder)? {
            if slot.is_dir() && slot.file_name().is_none_or(|name| name != ASIDE) {
                waiting += files(&slot, &[WHOLE, PARTIAL])?.len();
            }
        }
        Ok((waiting, list(&folder.join(ASIDE))?.len()))
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

fn place(name: &str) -> String {
    format!("spool/{name}")
}

fn split(plain: &[u8]) -> Option<(Head, Vec<u8>)> {
    let end = plain.iter().position(|byte| *byte == b'\n')?;
    Some((serde_json::from_slice(&plain[..end]).ok()?, plain[end + 1..].to_vec()))
}

fn private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The slot's name for leases, made by whoever came first.
fn worker_of(slot: &Path) -> io::Result<Uuid> {
    let file = slot.join("worker");
    if let Some(id) = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
    {
        return Ok(id);
    }
    let id = Uuid::new_v4();
    std::fs::write(&file, id.to_string())?;
    File::open(&file)?.sync_all()?;
    Ok(id)
}

/// On disk for good, under its final name, or not at all.
fn write(slot: &Path, name: &str, sealed: &[u8]) -> io::Result<PathBuf> {
    let partial = slot.join(name).with_extension(PARTIAL);
    let whole = slot.join(name).with_extension(WHOLE);
    let written = (|| {
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(sealed)?;
        file.sync_all()?;
        std::fs::rename(&partial, &whole)?;
        File::open(slot)?.sync_all()
    })();
    if written.is_err() {
        // Half a file says nothing, and takes room that the next answer needs.
        drop(std::fs::remove_file(&partial));
    }
    written.map(|()| whole)
}

/// Moves what a dead process left in `slot` to `own`, which may be the same. Call it only under the slot's lock.
fn take_over(slot: &Path, own: &Path, aside: &Path, keys: &Keys) -> io::Result<()> {
    for path in files(slot, &[WHOLE, PARTIAL])? {
        let Some(name) = path.file_stem() else { continue };
        if path.extension().is_some_and(|kind| kind == PARTIAL) {
            let sealed = std::fs::read(&path)?;
            if sealed.is_empty() || path.with_extension(WHOLE).exists() {
                // Its writer died before the first byte, or a backup caught the file before and after its last step.
                std::fs::remove_file(&path)?;
                continue;
            }
            if unseal(keys, &path, &sealed).is_none() {
                tracing::error!(file = %path.display(), "a dead process left half an answer; it is put aside");
                set_aside(&path, aside)?;
                continue;
            }
            // Nobody has synced it yet.
            File::open(&path)?.sync_all()?;
        } else if slot == own {
            continue;
        }
        std::fs::rename(&path, own.join(name).with_extension(WHOLE))?;
    }
    File::open(own)?.sync_all()
}

fn unseal(keys: &Keys, path: &Path, sealed: &[u8]) -> Option<(Head, Vec<u8>)> {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    split(&keys.open(&place(name), sealed).ok()?)
}

fn set_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    match std::fs::rename(path, aside.join(name)) {
        // Somebody else has dealt with it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(()),
        moved => moved,
    }
}

/// The files of these kinds in a folder, the oldest first.
fn files(folder: &Path, kinds: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut found = list(folder)?;
    found.retain(|path| {
        path.extension()
            .and_then(|kind| kind.to_str())
            .is_some_and(|kind| kinds.contains(&kind))
    });
    found.sort();
    Ok(found)
}

/// Everything in a folder; nothing when there is none.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::parse(&"44".repeat(32)).unwrap()
    }

    #[test]
    fn what_a_dead_process_left_is_taken_over_and_a_living_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let unit = UnitId(Uuid::new_v4());
        let (first, dead) = Spool::open(folder.path(), keys()).unwrap();
        assert_eq!(dead, [first.worker()]);
        first.put(unit, "80", b"{\"key\":\"A\"}", true).unwrap();
        let (second, dead) = Spool::open(folder.path(), keys()).unwrap();
        assert_eq!(dead, [second.worker()], "the first one lives");
        assert!(second.entries().unwrap().is_empty());
        second.put(unit, "81", b"{\"key\":\"B\"}", false).unwrap();
        let (one, two) = (first.worker(), second.worker());
        drop((first, second));
        let (third, dead) = Spool::open(folder.path(), keys()).unwrap();
        assert_eq!(dead, [one, two]);
        let left: Vec<_> = third
            .entries()
            .unwrap()
            .into_iter()
            .map(|answer| (answer.g2a_order_id, answer.complete, answer.body))
            .collect();
        assert_eq!(
            left,
            [
                ("80".to_owned(), true, b"{\"key\":\"A\"}".to_vec()),
                ("81".to_owned(), false, b"{\"key\":\"B\"}".to_vec())
            ]
        );
        assert_eq!(Spool::count(folder.path()).unwrap(), (2, 0));
    }

    #[test]
    fn no_key_lies_in_the_folder_in_clear_and_half_a_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path(), keys()).unwrap();
        let answer = spool
            .put(UnitId(Uuid::new_v4()), "80", b"{\"key\":\"SECRET\"}", true)
            .unwrap();
        let path = answer.path.unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"SECRET"));
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(spool.entries().unwrap().is_empty());
        assert_eq!(Spool::count(folder.path()).unwrap(), (0, 1));
    }

    #[test]
    fn many_write_while_others_record_and_nobody_loses_anything() {
        const WRITERS: usize = 12;
        const EACH: usize = 16;
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path(), keys()).unwrap();
        let writing = std::sync::atomic::AtomicUsize::new(WRITERS);
        let ordering = std::sync::atomic::Ordering::SeqCst;
        let recorded = std::sync::Mutex::new(std::collections::BTreeSet::new());
        let body = vec![b'k'; 4096];
        let record_all = || {
            for answer in spool.entries().unwrap() {
                spool.remove(&answer).unwrap();
                recorded.lock().unwrap().insert(answer.g2a_order_id);
            }
        };
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (spool, writing, body) = (&spool, &writing, &body);
                scope.spawn(move || {
                    let put =
                        |number: &usize| spool.put(UnitId(Uuid::new_v4()), &format!("{writer}-{number}"), body, true);
                    let failed = (0..EACH).filter(|number| put(number).is_err()).count();
                    writing.fetch_sub(1, ordering);
                    assert_eq!(failed, 0, "answers that are in memory only");
                });
            }
            for looker in 0..4 {
                let (folder, writing, record_all) = (folder.path(), &writing, &record_all);
                scope.spawn(move || {
                    while writing.load(ordering) > 0 {
                        if looker == 0 {
                            // Another process starts, and ends again.
                            Spool::open(folder, keys()).unwrap();
                            Spool::count(folder).unwrap();
                        } else {
                            record_all();
                        }
                    }
                });
            }
        });
        record_all();
        assert_eq!(recorded.lock().unwrap().len(), WRITERS * EACH);
        assert_eq!(Spool::count(folder.path()).unwrap(), (0, 0));
    }

    #[test]
    fn what_a_dead_process_had_not_finished_is_judged_by_whoever_takes_its_slot() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path(), keys()).unwrap();
        let put = |id: &str| {
            let answer = spool.put(UnitId(Uuid::new_v4()), id, b"{\"key\":\"A\"}", true);
            answer.unwrap().path.unwrap()
        };
        let (whole, half, empty) = (put("80"), put("81"), put("82"));
        let bytes = std::fs::read(&half).unwrap();
        std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
        std::fs::write(&empty, b"").unwrap();
        for path in [&whole, &half, &empty] {
            std::fs::rename(path, path.with_extension(PARTIAL)).unwrap();
        }
        assert!(spool.entries().unwrap().is_empty(), "its writer may live");
        let (beside, _) = Spool::open(folder.path(), keys()).unwrap();
        assert_eq!(Spool::count(folder.path()).unwrap(), (3, 0), "untouched while it lives");
        drop((spool, beside));
        let (next, _) = Spool::open(folder.path(), keys()).unwrap();
        let left: Vec<_> = next
            .entries()
            .unwrap()
            .into_iter()
            .map(|answer| answer.g2a_order_id)
            .collect();
        assert_eq!(left, ["80"]);
        assert_eq!(Spool::count(folder.path()).unwrap(), (1, 1));
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (partial, whole) = (folder.path().join("a.part"), folder.path().join("a.key"));
        // The final name is a folder that is not empty: everything works but the last step.
        std::fs::create_dir_all(whole.join("taken")).unwrap();
        assert!(write(folder.path(), "a", b"sealed").is_err());
        assert!(!partial.exists());
    }
}
