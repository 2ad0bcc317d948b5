//! Keeps each key answer between the network and the database: one file per answer, sealed, on disk before it is
//! parsed.
//!
//! A process takes a *slot*, a folder that it holds by a file lock for as long as it lives. The slot's file `worker`
//! has the worker id for leases. A process that finds a slot unlocked knows that its holder is dead, so it may release
//! that worker's units, and it takes over the answers left there. Files that do not open are set aside and never
//! deleted.
//!
//! A file that is being written ends in `.part` and belongs to its writer: no other process opens, moves or judges it
//! while the writer lives. The process that takes over a dead writer's slot judges its partial files once.
//!
//! A slot reserves disk space, which it frees when an answer needs it. [`Spool::probe`] checks whether an answer could
//! be written now, and recreates a folder that was removed while the process ran.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lockstep_domain::ids::UnitId;
use lockstep_vault::Keys;
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Maximum number of processes per data folder.
const SLOTS: u32 = 256;
/// Extension of a complete answer.
const WHOLE: &str = "key";
/// Extension of an answer that is being written. One left by a dead process may be complete nevertheless.
const PARTIAL: &str = "part";
/// Folder of files that staff have to look at.
const ASIDE: &str = "aside";
/// Extension of a trial write.
const PROBE: &str = "probe";
/// Extension of an incomplete trial write.
const PROBING: &str = "probing";
/// The file that reserves disk space for answers: many keys, or a small file.
const RESERVE: &str = "reserve";
/// Its length in bytes.
const RESERVED: usize = 1 << 20;

/// The spool of this process.
pub struct Spool {
    folder: PathBuf,
    aside: PathBuf,
    keys: Keys,
    slot: Mutex<Slot>,
    /// A write has failed since the last probe.
    failed: AtomicBool,
}

/// The slot that this process holds.
struct Slot {
    path: PathBuf,
    worker: Uuid,
    /// Held until the process ends.
    lock: File,
}

impl Slot {
    /// Whether the folder is still the locked one. It may have been removed and recreated.
    fn is_held(&self) -> bool {
        let (Ok(held), Ok(there)) = (self.lock.metadata(), std::fs::metadata(self.path.join("lock"))) else {
            return false;
        };
        (held.dev(), held.ino()) == (there.dev(), there.ino())
    }
}

/// An answer in the spool.
#[derive(Clone)]
pub struct Spooled {
    /// Its file; `None` when the disk failed.
    path: Option<PathBuf>,
    /// The unit that it belongs to.
    pub unit: UnitId,
    /// The id of the order at G2A.
    pub g2a_order_id: String,
    /// The answer was received to its end.
    pub complete: bool,
    /// The received bytes. They may contain a key; never log them.
    pub body: Vec<u8>,
}

impl Spooled {
    /// An answer that could not be written to disk.
    pub(crate) fn in_memory(unit: UnitId, g2a_order_id: String, complete: bool, body: Vec<u8>) -> Self {
        Self {
            path: None,
            unit,
            g2a_order_id,
            complete,
            body,
        }
    }

    /// The id in its file name, so that it stays the same after a crash; a new one without a file.
    pub(crate) fn id(&self) -> Uuid {
        let name = self.path.as_ref().and_then(|path| path.file_stem()?.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or_else(Uuid::now_v7)
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        self.path.is_some()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    unit: UnitId,
    g2a_order_id: String,
    complete: bool,
}

impl Spool {
    /// Takes a slot below `folder` and takes over what dead processes left. The second value lists their worker ids:
    /// one for every slot that was free, including this one.
    ///
    /// # Errors
    /// When the folder cannot be created, locked or read.
    pub fn open(folder: &Path, keys: Keys) -> io::Result<(Self, Vec<Uuid>)> {
        let (slot, dead) = take_slot(folder, &keys, None)?;
        let spool = Self {
            folder: folder.to_owned(),
            aside: folder.join(ASIDE),
            keys,
            slot: Mutex::new(slot),
            failed: AtomicBool::new(false),
        };
        Ok((spool, dead))
    }

    /// Checks whether an answer could be written now by writing a file. Recreates a removed folder; the value then
    /// lists the dead workers, as [`open`](Self::open) does. Blocks.
    ///
    /// # Errors
    /// When the write fails: nothing may be bought here.
    pub fn probe(&self) -> io::Result<Option<Vec<Uuid>>> {
        let dead = self.retake_slot()?;
        let slot = self.slot().path.clone();
        let reserve = slot.join(RESERVE);
        if std::fs::metadata(&reserve).map_or(0, |found| found.size()) < RESERVED as u64 {
            // Not zeros: some file systems allocate no space for them.
            let mut bytes = vec![0; RESERVED];
            #[expect(clippy::disallowed_methods, reason = "filler; nothing depends on its value")]
            rand::rng().fill_bytes(&mut bytes);
            write(&unique(&slot, PROBING), &reserve, &bytes)?;
        }
        let probe = unique(&slot, PROBE);
        let written = write(&probe.with_extension(PROBING), &probe, &[0; 4096]);
        drop(std::fs::remove_file(&probe));
        written?;
        self.failed.store(false, Ordering::Relaxed);
        Ok(dead)
    }

    /// Whether a write has failed since the last probe.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Takes a slot again when the held one is gone, with the same worker id if possible.
    fn retake_slot(&self) -> io::Result<Option<Vec<Uuid>>> {
        let mut slot = self.slot();
        if slot.is_held() {
            private_dir(&self.aside)?;
            return Ok(None);
        }
        let (anew, dead) = take_slot(&self.folder, &self.keys, Some(slot.worker))?;
        tracing::warn!(folder = %self.folder.display(), "the spool folder was missing and has been created again");
        let dead = dead.into_iter().filter(|worker| *worker != slot.worker).collect();
        *slot = anew;
        Ok(Some(dead))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker id under which this process claims units.
    pub fn worker(&self) -> Uuid {
        self.slot().worker
    }

    /// Writes an answer to disk and returns when it is durable. Blocks.
    ///
    /// # Errors
    /// When the write fails: the answer is in memory only.
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
        let whole = self.write_answer(&name, &sealed).or_else(|error| {
            tracing::warn!(%error, "an answer could not be written; retrying with the reserved space");
            self.failed.store(true, Ordering::Relaxed);
            self.retake_slot()?;
            drop(std::fs::remove_file(self.slot().path.join(RESERVE)));
            self.write_answer(&name, &sealed)
        })?;
        Ok(Spooled {
            path: Some(whole),
            unit,
            g2a_order_id: head.g2a_order_id,
            complete,
            body: body.to_vec(),
        })
    }

    fn write_answer(&self, name: &str, sealed: &[u8]) -> io::Result<PathBuf> {
        let whole = self.slot().path.join(name).with_extension(WHOLE);
        write(&whole.with_extension(PARTIAL), &whole, sealed)?;
        Ok(whole)
    }

    /// All complete answers in the slot, oldest first. Files that do not open are set aside; files that another task of
    /// this process is writing, or has just recorded and removed, are skipped. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Spooled>> {
        let mut found = Vec::new();
        let slot = self.slot().path.clone();
        for path in files(&slot, &[WHOLE])? {
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
                tracing::error!(file = %path.display(), "an answer in the spool cannot be opened and is set aside");
                set_aside(&path, &self.aside)?;
            }
        }
        Ok(found)
    }

    /// Removes an answer that is in the database.
    ///
    /// # Errors
    /// When its file cannot be removed. Recording it again has no effect.
    pub fn remove(&self, answer: &Spooled) -> io::Result<()> {
        let Some(path) = &answer.path else { return Ok(()) };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The files set aside that open now, for example after a secret was restored. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn openable_aside(&self) -> io::Result<Vec<Spooled>> {
        let found = files(&self.aside, &[WHOLE, PARTIAL])?;
        let opened = found.into_iter().filter_map(|path| {
            // Other processes may read this folder at the same time.
            let (head, body) = unseal(&self.keys, &path, &std::fs::read(&path).ok()?)?;
            Some(Spooled {
                path: Some(path),
                unit: head.unit,
                g2a_order_id: head.g2a_order_id,
                complete: head.complete,
                body,
            })
        });
        Ok(opened.collect())
    }

    /// Checks that a file can be written into `folder`; an absent folder is accepted. For processes other than the
    /// worker. Blocks.
    ///
    /// # Errors
    /// When the write fails.
    pub fn is_writable(folder: &Path) -> io::Result<()> {
        if !folder.exists() {
            // No worker has run here yet; the first one creates the folder.
            return Ok(());
        }
        let probe = unique(folder, PROBE);
        let written = write(&probe.with_extension(PROBING), &probe, &[0; 4096]);
        drop(std::fs::remove_file(&probe));
        written
    }

    /// Counts the answers in all slots, including partial ones, and the files set aside. Reads names only, so it is
    /// safe beside running workers.
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

/// Counts of answers on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealedFiles {
    /// Answers that any configured secret opens.
    pub all: u64,
    /// Of these, the ones that are not sealed with the first secret.
    pub older: u64,
}

/// Result of a rotation of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Files sealed again, with the first secret.
    pub anew: u64,
    /// Files sealed with another secret in the slots; they belong to the workers that hold the slots.
    pub waiting: u64,
}

impl Spool {
    /// Counts the sealed answers below `folder`. Safe beside running workers. Blocks.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn sealed(folder: &Path, keys: &Keys) -> io::Result<SealedFiles> {
        let mut count = SealedFiles::default();
        for place in list(folder)?.into_iter().filter(|place| place.is_dir()) {
            for path in files(&place, &[WHOLE, PARTIAL])? {
                // A worker may record and remove it, or still be writing it.
                let Ok(sealed) = std::fs::read(&path) else { continue };
                if unseal(keys, &path, &sealed).is_some() {
                    count.all += 1;
                    count.older += u64::from(!keys.is_current(&sealed));
                }
            }
        }
        Ok(count)
    }

    /// Seals the files that were set aside with the first secret, and counts the files in the slots that use another.
    /// Blocks.
    ///
    /// # Errors
    /// When a folder cannot be read or a file cannot be written.
    pub fn reseal(folder: &Path, keys: &Keys) -> io::Result<Resealed> {
        let (aside, mut done) = (folder.join(ASIDE), Resealed::default());
        for path in files(&aside, &[WHOLE, PARTIAL])? {
            let Ok(sealed) = std::fs::read(&path) else { continue };
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if keys.is_current(&sealed) {
                continue;
            }
            let Ok(plain) = keys.open(&place(name), &sealed) else {
                continue;
            };
            write(&unique(&aside, PROBING), &path, &keys.seal(&place(name), &plain))?;
            done.anew += 1;
        }
        let all = Self::sealed(folder, keys)?;
        done.waiting = all.older;
        Ok(done)
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("folder", &self.folder)
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

/// The slot's worker id: the stored one, else `again`, else a new one.
fn worker_of(slot: &Path, again: Option<Uuid>) -> io::Result<Uuid> {
    let file = slot.join("worker");
    if let Some(id) = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
    {
        return Ok(id);
    }
    let id = again.unwrap_or_else(Uuid::new_v4);
    std::fs::write(&file, id.to_string())?;
    File::open(&file)?.sync_all()?;
    Ok(id)
}

/// A file name that only this call uses.
fn unique(slot: &Path, kind: &str) -> PathBuf {
    slot.join(Uuid::new_v4().simple().to_string()).with_extension(kind)
}

/// Writes durably under the final name, or not at all.
fn write(partial: &Path, whole: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = (|| {
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(partial, whole)?;
        whole.parent().map_or(Ok(()), |slot| File::open(slot)?.sync_all())
    })();
    if written.is_err() {
        // A partial file is useless and takes space that the next answer needs.
        drop(std::fs::remove_file(partial));
    }
    written
}

/// Takes the first unlocked slot below `folder`, and what dead processes left there and in every other unlocked slot.
/// With `again`, a process that lost its slot takes one more, with its old worker id if the slot is new, and leaves the
/// other slots alone.
fn take_slot(folder: &Path, keys: &Keys, again: Option<Uuid>) -> io::Result<(Slot, Vec<Uuid>)> {
    private_dir(folder)?;
    let aside = folder.join(ASIDE);
    private_dir(&aside)?;
    let (mut mine, mut dead): (Option<Slot>, Vec<Uuid>) = (None, Vec::new());
    for number in 0..SLOTS {
        let path = folder.join(number.to_string());
        if mine.is_some() && (again.is_some() || !path.exists()) {
            break;
        }
        private_dir(&path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => continue,
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let worker = worker_of(&path, again)?;
        let slot = Slot { path, worker, lock };
        if !slot.is_held() {
            return Err(io::Error::other("the folder of the spool is being replaced"));
        }
        dead.push(worker);
        // No process writes here while the lock is held.
        take_over(&slot.path, &mine.as_ref().unwrap_or(&slot).path, &aside, keys)?;
        if mine.is_none() {
            mine = Some(slot);
        }
    }
    let mine = mine.ok_or_else(|| io::Error::other("too many workers share one data folder"))?;
    Ok((mine, dead))
}

/// Moves what a dead process left in `slot` to `own`, which may be the same. Call it only while holding the slot's
/// lock.
fn take_over(slot: &Path, own: &Path, aside: &Path, keys: &Keys) -> io::Result<()> {
    for path in files(slot, &[PROBE, PROBING])? {
        drop(std::fs::remove_file(path));
    }
    if slot != own {
        drop(std::fs::remove_file(slot.join(RESERVE)));
    }
    for path in files(slot, &[WHOLE, PARTIAL])? {
        let Some(name) = path.file_stem() else { continue };
        if path.extension().is_some_and(|kind| kind == PARTIAL) {
            let sealed = std::fs::read(&path)?;
            if sealed.is_empty() || path.with_extension(WHOLE).exists() {
                // Its writer died before the first byte, or a backup copied the file both before and after its rename.
                std::fs::remove_file(&path)?;
                continue;
            }
            if unseal(keys, &path, &sealed).is_none() {
                tracing::error!(file = %path.display(), "a process that ended left a partial answer; it is set aside");
                set_aside(&path, aside)?;
                continue;
            }
            // Its writer has not synced it.
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
        // Another process has moved it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(()),
        moved => moved,
    }
}

/// The files with these extensions in a folder, oldest first.
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

/// Everything in a folder; empty when the folder does not exist.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
