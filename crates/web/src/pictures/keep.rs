//! A cache of small pictures on disk with a size limit: the least recently used are removed first. Losing them only
//! costs time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lockstep_clock::Clock;

/// Minimum time between two updates of a file's last use.
const TOUCH: Duration = Duration::from_hours(6);

/// A folder of cached pictures.
#[derive(Debug, Clone)]
pub(crate) struct Keep {
    folder: PathBuf,
    most: u64,
    /// Approximate number of bytes in the folder; recounted at each eviction.
    held: Arc<AtomicU64>,
    clock: Clock,
}

impl Keep {
    /// A cache of about `most` bytes at most in `folder`.
    pub(crate) fn new(folder: PathBuf, most: u64, clock: Clock) -> Self {
        let held = files(&folder).iter().map(|file| file.size).sum();
        Self {
            folder,
            most,
            held: Arc::new(AtomicU64::new(held)),
            clock,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        // 256 folders, so that none becomes too large. Names are hexadecimal.
        self.folder.join(name.get(..2).unwrap_or("00")).join(name)
    }

    /// The picture under a name.
    pub(crate) async fn get(&self, name: &str) -> Option<Bytes> {
        let (path, now) = (self.path(name), SystemTime::from(self.clock.now()));
        tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&path).ok()?;
            let file = std::fs::File::options().append(true).open(&path).ok()?;
            let used = file.metadata().ok()?.modified().ok()?;
            if now.duration_since(used).is_ok_and(|unused| unused > TOUCH) {
                file.set_modified(now).ok();
            }
            Some(Bytes::from(bytes))
        })
        .await
        .ok()
        .flatten()
    }

    /// Stores `bytes` under a name. A full disk is not an error: the picture is fetched again the next time.
    pub(crate) async fn put(&self, name: String, bytes: Bytes) {
        let keep = self.clone();
        let done = tokio::task::spawn_blocking(move || keep.write(&name, &bytes)).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a picture could not be stored"
            );
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Readers see the whole file or none.
        let temporary = path.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
        let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &path));
        if written.is_err() {
            std::fs::remove_file(&temporary).ok();
        }
        written?;
        let size = bytes.len() as u64;
        if self.held.fetch_add(size, Ordering::Relaxed) + size > self.most {
            self.clear();
        }
        Ok(())
    }

    /// Removes the least recently used pictures until a fifth is free.
    fn clear(&self) {
        let mut files = files(&self.folder);
        files.sort_by_key(|file| file.used);
        let mut held: u64 = files.iter().map(|file| file.size).sum();
        for file in files {
            if held <= self.most / 5 * 4 {
                break;
            }
            if std::fs::remove_file(&file.path).is_ok() {
                held = held.saturating_sub(file.size);
            }
        }
        self.held.store(held, Ordering::Relaxed);
    }
}

struct Kept {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

fn files(folder: &Path) -> Vec<Kept> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries(folder)
        .flat_map(|part| entries(&part.path()).collect::<Vec<_>>())
        .filter_map(|entry| {
            let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(Kept {
                path: entry.path(),
                size: about.len(),
                used: about.modified().ok()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_clock::ManualClock;

    #[tokio::test]
    async fn the_last_use_is_recorded_at_most_every_six_hours() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_present();
        let keep = Keep::new(folder.path().to_owned(), 10_000, clock.clock());
        keep.put("00picture".into(), Bytes::from_static(b"picture")).await;
        let used = || std::fs::metadata(keep.path("00picture")).unwrap().modified().unwrap();
        let stored = used();
        clock.set((stored + TOUCH).into());
        keep.get("00picture").await.unwrap();
        assert_eq!(used(), stored);
        clock.advance(Duration::from_secs(1));
        keep.get("00picture").await.unwrap();
        assert_eq!(used(), SystemTime::from(clock.now()));
    }

    #[tokio::test]
    async fn least_recently_used_pictures_are_evicted() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::new(folder.path().to_owned(), 10_000, Clock::system());
        for n in 0..9_u64 {
            let name = format!("{n:02x}picture");
            keep.put(name.clone(), Bytes::from(vec![0; 1000])).await;
            let file = std::fs::File::options().append(true).open(keep.path(&name)).unwrap();
            file.set_modified(SystemTime::from(Clock::system().now()) - Duration::from_secs(100 - n))
                .unwrap();
        }
        keep.put("ffpicture".into(), Bytes::from(vec![0; 2000])).await;
        let mut there = Vec::new();
        for n in 0..9 {
            there.push(keep.get(&format!("{n:02x}picture")).await.is_some());
        }
        assert_eq!(there, [false, false, false, true, true, true, true, true, true]);
        assert_eq!(keep.get("ffpicture").await.unwrap().len(), 2000);
        // Existing files count after a restart as well.
        assert_eq!(
            Keep::new(folder.path().to_owned(), 1, Clock::system())
                .held
                .load(Ordering::Relaxed),
            8000
        );
    }
}
