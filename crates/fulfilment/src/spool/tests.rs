//! Tests of the spool with real folders.

use super::*;

fn keys() -> Keys {
    Keys::parse(&"44".repeat(32)).unwrap()
}

#[test]
fn slots_of_dead_processes_are_taken_over_and_live_ones_left_alone() {
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
fn answers_are_encrypted_on_disk_and_truncated_files_set_aside() {
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
fn concurrent_writes_and_reads_lose_no_answer() {
    const WRITERS: usize = 12;
    const EACH: usize = 16;
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), keys()).unwrap();
    let writing = std::sync::atomic::AtomicUsize::new(WRITERS);
    let ordering = Ordering::SeqCst;
    let recorded = Mutex::new(std::collections::BTreeSet::new());
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
                let put = |number: &usize| spool.put(UnitId(Uuid::new_v4()), &format!("{writer}-{number}"), body, true);
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
                        // Another process starts and ends.
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
fn partial_files_are_judged_when_their_slot_is_taken_over() {
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
fn failed_writes_leave_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let (partial, whole) = (folder.path().join("a.part"), folder.path().join("a.key"));
    // The final name is a folder that is not empty: every step but the last one works.
    std::fs::create_dir_all(whole.join("taken")).unwrap();
    assert!(write(&partial, &whole, b"sealed").is_err());
    assert!(!partial.exists());
}

fn is_put(spool: &Spool, id: &str) -> bool {
    spool.put(UnitId(Uuid::new_v4()), id, b"{\"key\":\"A\"}", true).is_ok()
}

#[test]
fn removed_folders_are_recreated_and_locked() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("spool");
    let (spool, _) = Spool::open(&place, keys()).unwrap();
    let name = spool.worker();
    std::fs::remove_dir_all(&place).unwrap();
    assert!(is_put(&spool, "80"), "an answer is not lost for it");
    assert_eq!((spool.entries().unwrap().len(), spool.worker()), (1, name));
    // In the other order: another process recreates the folder first.
    std::fs::remove_dir_all(&place).unwrap();
    let (other, _) = Spool::open(&place, keys()).unwrap();
    assert!(spool.probe().unwrap().is_some(), "it is another slot");
    assert!(is_put(&spool, "81") && is_put(&other, "82"));
    assert_eq!((spool.entries().unwrap().len(), other.entries().unwrap().len()), (1, 1));
    assert_eq!(spool.worker(), name);
    assert!(spool.probe().unwrap().is_none(), "it is held");
}

#[test]
fn probe_reports_whether_the_next_write_would_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("spool");
    let (spool, _) = Spool::open(&place, keys()).unwrap();
    spool.probe().unwrap();
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::write(&place, "not a folder").unwrap();
    for _ in 0..2 {
        spool.probe().unwrap_err();
        assert!(!is_put(&spool, "80") && spool.has_failed());
    }
    std::fs::remove_file(&place).unwrap();
    spool.probe().unwrap();
    assert!(!spool.has_failed() && is_put(&spool, "80"));
    let slot = spool.slot().path.clone();
    let mut left: Vec<_> = list(&slot).unwrap();
    left.retain(|path| path.extension().is_none_or(|kind| kind != WHOLE));
    left.sort();
    let names: Vec<_> = left.iter().filter_map(|path| path.file_name()).collect();
    assert_eq!(names, ["lock", RESERVE, "worker"], "probes leave nothing");
}

#[test]
fn reserved_space_is_freed_for_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), keys()).unwrap();
    spool.probe().unwrap();
    let reserve = spool.slot().path.join(RESERVE);
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), RESERVED as u64);
    std::fs::remove_dir_all(spool.slot().path.clone()).unwrap();
    assert!(is_put(&spool, "80"));
    assert!(!reserve.exists() && spool.has_failed());
    spool.probe().unwrap();
    assert!(reserve.exists());
}
