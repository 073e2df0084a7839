//! Damaged files: what was acknowledged is there or reported with its place, never skipped.

use std::fs;
use std::path::Path;

use argon_storage::log::embedded::EmbeddedStore;
use argon_storage::testing::{DiskFaults, document, fork, record, record_of};
use argon_storage::{BranchMeta, Entry, Error, LogStore, Lsn, OpenOptions, Record};

use super::disk::copy_log;
use super::{open, start};

const SEGMENT: &str = "log/0000000001.seg";

/// Every byte of a closed store's log, one bit flipped: either all is there, or the error names the
/// place, and every other record is there.
#[tokio::test]
async fn a_flipped_bit_is_found_and_placed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let main = start(&store).await;
    let branch = fork(&main, "b", Lsn::ZERO);
    store.create_branch(&branch).await.unwrap();
    let mut expected = [Vec::new(), Vec::new()];
    for lsn in 1..=4 {
        for (branch, records) in [&main, &branch].iter().zip(&mut expected) {
            let mut next = record(branch.id, Lsn(lsn), 40);
            if lsn == 4 {
                let put = Entry::Put {
                    collection: "c".into(),
                    document: document(20_000, 0),
                };
                next = record_of(branch.id, Lsn(lsn), vec![put, Entry::Noop]);
            }
            store.append(&next).await.unwrap();
            records.push(next);
        }
    }
    store
        .put_setting("key", vec![1, 2, 3].into())
        .await
        .unwrap();
    drop(store);

    let bytes = fs::read(directory.path().join(SEGMENT)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir_all(copy.path().join("log")).unwrap();
    let (mut refused, mut placed) = (0, 0);
    // A prime step reaches every part of the format, in a bearable time.
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(copy.path().join(SEGMENT), damaged).unwrap();
        let store = match EmbeddedStore::open(copy.path(), &OpenOptions::default()) {
            Ok(store) => store,
            Err(Error::CorruptCatalog { what, .. }) => {
                assert!(
                    what.contains("segment 1") || what.contains("catalogue"),
                    "{what}"
                );
                refused += 1;
                continue;
            }
            Err(error) => panic!("byte {at}: {error}"),
        };
        for (branch, records) in [&main, &branch].iter().zip(&expected) {
            placed += usize::from(!is_whole_or_placed(&store, branch, records, at).await);
        }
        drop(store);
    }
    assert!(
        refused > 0 && placed > 100,
        "{refused} refused, {placed} placed"
    );
}

/// True if all is there. Else the damaged record is named, and those before and after can be read.
async fn is_whole_or_placed(
    store: &EmbeddedStore,
    branch: &BranchMeta,
    expected: &[Record],
    at: usize,
) -> bool {
    let last = expected[expected.len() - 1].last();
    assert_eq!(store.head(branch.id).await.unwrap(), last, "byte {at}");
    match store.read(branch.id, Lsn::ZERO, Lsn::MAX, usize::MAX).await {
        Ok(records) => {
            assert!(records == expected, "byte {at}: other records");
            true
        }
        Err(Error::Corrupt {
            branch: damaged,
            lsn,
            ..
        }) => {
            assert_eq!(damaged, branch.id, "byte {at}");
            let record = expected.iter().find(|record| record.first == lsn);
            let record = record.unwrap_or_else(|| panic!("byte {at}: no record at {lsn}"));
            let before = store
                .read(branch.id, Lsn::ZERO, lsn.previous(), usize::MAX)
                .await;
            let after = store
                .read(branch.id, record.last(), Lsn::MAX, usize::MAX)
                .await;
            let rest = [before.unwrap(), after.unwrap()].concat();
            assert_eq!(rest.len(), expected.len() - 1, "byte {at}");
            false
        }
        Err(error) => panic!("byte {at}: {error}"),
    }
}

/// A log as a crash leaves it, with records of `bytes` bytes, and how far it was acknowledged:
/// `(acknowledged, submitted)`.
async fn crashed(directory: &Path, bytes: usize, segment_bytes: u64) -> (BranchMeta, u64, u64) {
    let faults = DiskFaults::default();
    let options = OpenOptions {
        faults: faults.clone(),
        segment_bytes,
        ..OpenOptions::default()
    };
    let live = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(live.path(), &options).unwrap();
    let main = start(&store).await;
    for lsn in 1..=3 {
        store
            .append(&record(main.id, Lsn(lsn), bytes))
            .await
            .unwrap();
    }
    // The fourth waits in its sync; then the others go together, and wait in theirs.
    faults.hold();
    let syncs = faults.syncs();
    let mut tickets = vec![store.submit(&record(main.id, Lsn(4), bytes)).unwrap()];
    while faults.syncs() == syncs {
        tokio::task::yield_now().await;
    }
    for lsn in 5..=9 {
        tickets.push(store.submit(&record(main.id, Lsn(lsn), bytes)).unwrap());
    }
    faults.release();
    faults.hold();
    while faults.syncs() == syncs + 1 {
        faults.release();
        tokio::task::yield_now().await;
        faults.hold();
    }
    copy_log(live.path(), directory);
    faults.release();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    (main, 4, 9)
}

async fn recovers_a_prefix(
    directory: &Path,
    main: &BranchMeta,
    bytes: usize,
    at_least: u64,
    what: &str,
) -> u64 {
    let store = match EmbeddedStore::open(directory, &OpenOptions::default()) {
        Ok(store) => store,
        Err(error) => panic!("{what}: {error}"),
    };
    let head = store.head(main.id).await.unwrap().0;
    assert!(head >= at_least, "{what}: {head} of {at_least}");
    super::check(&store, main, bytes, head).await;
    store
        .append(&record(main.id, Lsn(head + 1), bytes))
        .await
        .unwrap();
    drop(store);
    super::check(&open(directory), main, bytes, head + 1).await;
    head
}

/// A power cut while the last group was being written: any of its pages may be missing.
#[tokio::test]
async fn a_torn_group_is_cut_off_and_nothing_before_it() {
    let base = tempfile::tempdir().unwrap();
    let (main, acknowledged, submitted) = crashed(base.path(), 40, 1 << 20).await;
    let bytes = fs::read(base.path().join(SEGMENT)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // Five records of the last group, of which each takes the same.
    let frame = (used - group_start(&bytes)) / 5;
    let start = group_start(&bytes);
    let (mut whole, mut cut) = (0, 0);
    for at in (start..used).step_by(24) {
        for length in [8, 64, frame, frame * 2] {
            let copy = tempfile::tempdir().unwrap();
            copy_log(base.path(), copy.path());
            let mut torn = bytes.clone();
            let end = (at + length).min(used);
            torn[at..end].fill(0);
            fs::write(copy.path().join(SEGMENT), torn).unwrap();
            let what = format!("zeros from {at} to {end}");
            let head = recovers_a_prefix(copy.path(), &main, 40, acknowledged, &what).await;
            if head == submitted {
                whole += 1
            } else {
                cut += 1
            }
        }
    }
    assert!(cut > whole, "{cut} cut, {whole} whole");
}

/// Where the last group begins: its frames say that every frame before it was durable.
fn group_start(bytes: &[u8]) -> usize {
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let headers: Vec<usize> = (40..bytes.len() - 64)
        .step_by(8)
        .filter(|at| bytes[*at..].starts_with(b"ArFr"))
        .collect();
    let durable = headers.iter().map(|at| u64_at(at + 16)).max().unwrap();
    *headers
        .iter()
        .find(|at| u64_at(*at + 8) == durable)
        .unwrap()
}

/// A file cut at every length: whatever is whole is there, and the store goes on.
#[tokio::test]
async fn a_log_cut_anywhere_opens_with_a_prefix() {
    let base = tempfile::tempdir().unwrap();
    let (main, acknowledged, _) = crashed(base.path(), 40, 1 << 20).await;
    let bytes = fs::read(base.path().join(SEGMENT)).unwrap();
    let start = group_start(&bytes);
    for length in (start..bytes.len()).step_by(11) {
        let copy = tempfile::tempdir().unwrap();
        copy_log(base.path(), copy.path());
        fs::write(copy.path().join(SEGMENT), &bytes[..length]).unwrap();
        let what = format!("cut at {length}");
        recovers_a_prefix(copy.path(), &main, 40, acknowledged, &what).await;
    }
    // Before its first group was whole, a store is as good as new.
    for length in (0..300).step_by(5) {
        let copy = tempfile::tempdir().unwrap();
        copy_log(base.path(), copy.path());
        fs::write(copy.path().join(SEGMENT), &bytes[..length]).unwrap();
        let store = open(copy.path());
        assert!(store.projects().await.unwrap().len() <= 1);
    }
}

/// The same where the last group is the first of a segment, whose header and catalogue go with it.
#[tokio::test]
async fn a_torn_beginning_of_a_segment_is_as_if_it_had_not_begun() {
    let base = tempfile::tempdir().unwrap();
    let (main, acknowledged, _) = crashed(base.path(), 3000, 1).await;
    let newest = |directory: &Path| {
        let files = fs::read_dir(directory.join("log"))
            .unwrap()
            .map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|e| e == "seg"))
            .max()
            .unwrap()
    };
    let bytes = fs::read(newest(base.path())).unwrap();
    assert_eq!(
        group_start(&bytes),
        40,
        "the group is not the segment's first"
    );
    for at in (0..bytes.len()).step_by(397) {
        for length in [8, 512, 4096, usize::MAX] {
            let copy = tempfile::tempdir().unwrap();
            copy_log(base.path(), copy.path());
            let mut torn = bytes.clone();
            let end = at.saturating_add(length).min(bytes.len());
            torn[at..end].fill(0);
            fs::write(newest(copy.path()), torn).unwrap();
            let what = format!("zeros from {at} to {end}");
            recovers_a_prefix(copy.path(), &main, 3000, acknowledged, &what).await;
        }
    }
}
