//! Where a key lies between the wire and the database: one file an answer, sealed, on disk before anything reads it.
//!
//! A process takes a *slot*, a folder that it holds by a file lock for as long as it lives. Its name for leases lies
//! there, so whoever finds a slot free knows that its holder is dead, may free what that held, and takes over the
//! answers that it left. Answers that hold no readable key are put aside and never thrown away.

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
/// An answer that was being written when somebody last looked; whole all the same if it opens.
const PARTIAL: &str = "part";

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
        let aside = folder.join("aside");
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
            match &mine {
                None => mine = Some((slot, lock, worker)),
                Some((own, ..)) => {
                    for file in answers(&slot)? {
                        if let Some(name) = file.file_name() {
                            std::fs::rename(&file, own.join(name))?;
                        }
                    }
                }
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
        let (partial, whole) = (self.file(&name, PARTIAL), self.file(&name, WHOLE));
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(&sealed)?;
        file.sync_all()?;
        std::fs::rename(&partial, &whole)?;
        File::open(&self.slot)?.sync_all()?;
        Ok(Spooled {
            path: Some(whole),
            unit,
            g2a_order_id: head.g2a_order_id,
            complete,
            body: body.to_vec(),
        })
    }

    /// Everything in the slot, the oldest first. Files that do not open are put aside. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Spooled>> {
        let mut found = Vec::new();
        for path in answers(&self.slot)? {
            let sealed = std::fs::read(&path)?;
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let opened = self.keys.open(&place(name), &sealed).ok();
            if let Some((head, body)) = opened.and_then(|plain| split(&plain)) {
                found.push(Spooled {
                    path: Some(path),
                    unit: head.unit,
                    g2a_order_id: head.g2a_order_id,
                    complete: head.complete,
                    body,
                });
            } else {
                tracing::error!(file = %path.display(), "an answer in the spool cannot be opened and is put aside");
                self.set_aside(&path)?;
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
        answer.path.as_ref().map_or(Ok(()), |path| self.set_aside(path))
    }

    /// How many answers wait in all slots, and how many were put aside.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn count(folder: &Path) -> io::Result<(usize, usize)> {
        let mut waiting = 0;
        if !folder.exists() {
            return Ok((0, 0));
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "aside") {
                waiting += answers(&path)?.len();
            }
        }
        let aside = folder.join("aside");
        let kept = if aside.exists() {
            std::fs::read_dir(aside)?.count()
        } else {
            0
        };
        Ok((waiting, kept))
    }

    fn set_aside(&self, path: &Path) -> io::Result<()> {
        match path.file_name() {
            Some(name) => std::fs::rename(path, self.aside.join(name)),
            None => Ok(()),
        }
    }

    fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.slot.join(format!("{name}.{kind}"))
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

fn answers(slot: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(slot)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == WHOLE || kind == PARTIAL) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
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
}
