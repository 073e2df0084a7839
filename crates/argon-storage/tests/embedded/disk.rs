//! Full, failing and slow disks; the lock; the format.

use std::fs;

use argon_storage::log::embedded::EmbeddedStore;
use argon_storage::testing::{DiskFaults, record};
use argon_storage::{Durability, Error, LogStore, Lsn, OpenOptions};

use super::{check, open, start};

fn with(faults: &DiskFaults) -> OpenOptions {
    OpenOptions {
        faults: faults.clone(),
        ..OpenOptions::default()
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_nothing() {
    for room in [0, 1, 63, 64, 500, 5_000, 50_000] {
        let directory = tempfile::tempdir().unwrap();
        let faults = DiskFaults::default();
        let store = EmbeddedStore::open(directory.path(), &with(&faults)).unwrap();
        let main = start(&store).await;
        faults.set_room(room);
        let mut head = 0;
        let error = loop {
            match store.append(&record(main.id, Lsn(head + 1), 1000)).await {
                Ok(()) => head += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::OutOfSpace { .. }), "{error}");
        check(&store, &main, 1000, head).await;
        let error = store.put_setting("key", vec![1].into()).await.unwrap_err();
        assert!(matches!(error, Error::OutOfSpace { .. }), "{error}");

        // What is on disk now is what a crash now would leave.
        let copy = tempfile::tempdir().unwrap();
        copy_log(directory.path(), copy.path());
        check(&open(copy.path()), &main, 1000, head).await;

        faults.set_room(u64::MAX);
        store
            .append(&record(main.id, Lsn(head + 1), 1000))
            .await
            .unwrap();
        drop(store);
        check(&open(directory.path()), &main, 1000, head + 1).await;
    }
}

/// Copies the files as they are, as a crash would leave them.
pub(super) fn copy_log(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to.join("log")).unwrap();
    for file in fs::read_dir(from.join("log")).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, to.join("log").join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn what_was_submitted_after_a_failed_record_fails_too() {
    let directory = tempfile::tempdir().unwrap();
    let faults = DiskFaults::default();
    let store = EmbeddedStore::open(directory.path(), &with(&faults)).unwrap();
    let main = start(&store).await;
    store.append(&record(main.id, Lsn(1), 100)).await.unwrap();

    faults.hold();
    let mut tickets = vec![store.submit(&record(main.id, Lsn(2), 100)).unwrap()];
    while faults.syncs() < 3 {
        tokio::task::yield_now().await;
    }
    // The second record waits in its sync; the rest will be one group, for which there is no room.
    for lsn in 3..=20 {
        tickets.push(store.submit(&record(main.id, Lsn(lsn), 100)).unwrap());
    }
    faults.set_room(700);
    faults.release();
    let mut outcomes = Vec::new();
    for ticket in tickets {
        outcomes.push(ticket.await);
    }
    assert!(outcomes[0].is_ok());
    for outcome in &outcomes[1..] {
        assert!(
            matches!(outcome, Err(Error::OutOfSpace { .. })),
            "{outcome:?}"
        );
    }
    let error = store.submit(&record(main.id, Lsn(21), 100)).unwrap_err();
    assert!(matches!(error, Error::Gap { head: Lsn(2), .. }), "{error}");
    faults.set_room(u64::MAX);
    store.append(&record(main.id, Lsn(3), 100)).await.unwrap();
    check(&store, &main, 100, 3).await;
}

#[tokio::test]
async fn a_failed_sync_poisons_the_store_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let faults = DiskFaults::default();
    let store = EmbeddedStore::open(directory.path(), &with(&faults)).unwrap();
    let main = start(&store).await;
    store.append(&record(main.id, Lsn(1), 100)).await.unwrap();
    faults.set_fail_sync(true);
    let error = store
        .append(&record(main.id, Lsn(2), 100))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Poisoned { .. }), "{error}");
    // A sync that works again proves nothing about what was lost.
    faults.set_fail_sync(false);
    let error = store
        .append(&record(main.id, Lsn(2), 100))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Poisoned { .. }), "{error}");
    assert!(matches!(
        store.ready().await.unwrap_err(),
        Error::Poisoned { .. }
    ));
    check(&store, &main, 100, 1).await;
    assert!(store.close().await.is_err());
    drop(store);
    let store = open(directory.path());
    let head = store.head(main.id).await.unwrap();
    assert!(head >= Lsn(1));
    store
        .append(&record(main.id, head.next(), 100))
        .await
        .unwrap();
}

#[tokio::test]
async fn concurrent_appends_share_one_sync() {
    let directory = tempfile::tempdir().unwrap();
    let faults = DiskFaults::default();
    let store = EmbeddedStore::open(directory.path(), &with(&faults)).unwrap();
    let main = start(&store).await;
    let before = faults.syncs();
    faults.hold();
    let tickets: Vec<_> = (1..=100)
        .map(|lsn| store.submit(&record(main.id, Lsn(lsn), 100)).unwrap())
        .collect();
    // Readers see durable records only.
    assert_eq!(store.head(main.id).await.unwrap(), Lsn::ZERO);
    assert!(
        store
            .read(main.id, Lsn::ZERO, Lsn::MAX, 1)
            .await
            .unwrap()
            .is_empty()
    );
    faults.release();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert!(
        faults.syncs() - before <= 3,
        "{} syncs",
        faults.syncs() - before
    );
    check(&store, &main, 100, 100).await;
}

#[tokio::test]
async fn a_full_queue_pushes_back() {
    let directory = tempfile::tempdir().unwrap();
    let faults = DiskFaults::default();
    let store = EmbeddedStore::open(directory.path(), &with(&faults)).unwrap();
    let main = start(&store).await;
    faults.hold();
    let mut tickets = Vec::new();
    let mut lsn = Lsn(1);
    let error = loop {
        match store.submit(&record(main.id, lsn, 8 << 20)) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
        lsn = lsn.next();
    };
    assert!(matches!(error, Error::QueueFull { .. }), "{error}");
    let waiting = store.ready();
    let mut waiting = std::pin::pin!(waiting);
    let at_once = std::time::Duration::from_millis(1);
    assert!(
        tokio::time::timeout(at_once, waiting.as_mut())
            .await
            .is_err()
    );
    faults.release();
    waiting.await.unwrap();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    store.append(&record(main.id, lsn, 8 << 20)).await.unwrap();
}

#[tokio::test]
async fn an_interval_syncs_later_and_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let faults = DiskFaults::default();
    let durability: Durability = "interval:50ms".parse().unwrap();
    let options = OpenOptions {
        durability,
        ..with(&faults)
    };
    let store = EmbeddedStore::open(directory.path(), &options).unwrap();
    let main = start(&store).await;
    let before = faults.syncs();
    for lsn in 1..=20 {
        store.append(&record(main.id, Lsn(lsn), 100)).await.unwrap();
    }
    assert!(faults.syncs() < before + 20);
    while faults.syncs() == before {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    store.append(&record(main.id, Lsn(21), 100)).await.unwrap();
    drop(store);
    check(&open(directory.path()), &main, 100, 21).await;
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let error = EmbeddedStore::open(directory.path(), &OpenOptions::default()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(
        text.contains(&directory.path().display().to_string()),
        "{text}"
    );
    store.close().await.unwrap();
    // Closed is enough, even while somebody still holds it.
    drop(open(directory.path()));
    drop(store);
    drop(open(directory.path()));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    start(&store).await;
    drop(store);
    let path = directory.path().join("log/0000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..36]);
    bytes[36..40].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = EmbeddedStore::open(directory.path(), &OpenOptions::default()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NewerFormat {
                found: 2,
                supported: 1
            }
        ),
        "{error}"
    );
}
