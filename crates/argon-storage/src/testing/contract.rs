//! What every log store promises, whatever it is made of.

#![expect(clippy::unwrap_used, reason = "a broken contract ends the test")]

use std::sync::Arc;

use bytes::Bytes;

use super::{document, fork, project, record, record_of};
use crate::record::STORED_BYTES_MAX;
use crate::{BranchMeta, Entry, Error, LogStore, Lsn, OpenOptions, Record, open};

/// Checks the contract on stores opened at addresses and with options that `place` makes up, each new and empty.
///
/// # Panics
/// If the contract is broken.
pub async fn contract(place: impl Fn() -> (String, OpenOptions)) {
    positions_are_compared_and_set(&start(place()).await).await;
    submissions_keep_their_order(&start(place()).await).await;
    concurrent_appends_do_not_mix(&start(place()).await).await;
    ranges_are_read_whole(&start(place()).await).await;
    large_records_come_back(&start(place()).await).await;
    the_catalogue_keeps_its_rules(&start(place()).await).await;
    dropped_branches_are_gone(&start(place()).await).await;
    settings_are_kept(&start(place()).await).await;
    a_closed_store_refuses_writes(&start(place()).await).await;
}

type Expected = fn(&Error) -> bool;
type Started = (Arc<dyn LogStore>, BranchMeta);

async fn start((uri, options): (String, OpenOptions)) -> Started {
    let store = open(&uri, &options).await.unwrap();
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    assert_eq!(store.head(main.id).await.unwrap(), Lsn::ZERO);
    (store, main)
}

async fn read_all(store: &dyn LogStore, branch: &BranchMeta) -> Vec<Record> {
    store
        .read(branch.id, Lsn::ZERO, Lsn::MAX, usize::MAX)
        .await
        .unwrap()
}

async fn positions_are_compared_and_set((store, main): &Started) {
    store.append(&record(main.id, Lsn(1), 10)).await.unwrap();
    let two = record_of(main.id, Lsn(2), vec![Entry::Noop, Entry::Noop]);
    store.append(&two).await.unwrap();
    assert_eq!(store.head(main.id).await.unwrap(), Lsn(3));
    for (first, head) in [(1, 3), (2, 3), (3, 3)] {
        let error = store
            .append(&record(main.id, Lsn(first), 10))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Taken { head: h, .. } if h == Lsn(head)),
            "{error}"
        );
    }
    let error = store
        .append(&record(main.id, Lsn(5), 10))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Gap { .. }), "{error}");
    let nobody = project("other").1.id;
    let error = store.append(&record(nobody, Lsn(1), 10)).await.unwrap_err();
    assert!(matches!(error, Error::BranchGone { .. }), "{error}");
    assert_eq!(read_all(&**store, main).await.len(), 2);
}

async fn submissions_keep_their_order((store, main): &Started) {
    let records: Vec<Record> = (1..=500)
        .map(|lsn| record(main.id, Lsn(lsn), 100))
        .collect();
    let tickets: Vec<_> = records
        .iter()
        .map(|record| store.submit(record).unwrap())
        .collect();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert!(read_all(&**store, main).await == records);
    // A ticket that nobody waits for withdraws nothing.
    drop(store.submit(&record(main.id, Lsn(501), 10)).unwrap());
    store.append(&record(main.id, Lsn(502), 10)).await.unwrap();
    assert_eq!(store.head(main.id).await.unwrap(), Lsn(502));
}

async fn concurrent_appends_do_not_mix((store, main): &Started) {
    let mut tasks = Vec::new();
    for number in 0..8 {
        let branch = fork(main, &format!("b{number}"), Lsn::ZERO);
        store.create_branch(&branch).await.unwrap();
        let store = Arc::clone(store);
        tasks.push(tokio::spawn(async move {
            for lsn in 1..=100 {
                store
                    .append(&record(branch.id, Lsn(lsn), 50))
                    .await
                    .unwrap();
                // Acknowledged means readable.
                assert_eq!(store.head(branch.id).await.unwrap(), Lsn(lsn));
            }
            branch
        }));
    }
    for task in tasks {
        let branch = task.await.unwrap();
        let expected: Vec<_> = (1..=100)
            .map(|lsn| record(branch.id, Lsn(lsn), 50))
            .collect();
        assert!(read_all(&**store, &branch).await == expected);
    }
}

async fn ranges_are_read_whole((store, main): &Started) {
    // Records of three entries: 1-3, 4-6, … 298-300.
    for first in (1..=298).step_by(3) {
        let entries = vec![Entry::Noop, Entry::DropDatabase, Entry::Noop];
        drop(
            store
                .submit(&record_of(main.id, Lsn(first), entries))
                .unwrap(),
        );
    }
    store.append(&record(main.id, Lsn(301), 10)).await.unwrap();
    let read = async |after, up_to, bytes| {
        let records = store
            .read(main.id, Lsn(after), Lsn(up_to), bytes)
            .await
            .unwrap();
        let firsts: Vec<u64> = records.iter().map(|record| record.first.0).collect();
        firsts
    };
    assert_eq!(read(0, 3, usize::MAX).await, [1]);
    assert_eq!(read(0, 4, usize::MAX).await, [1, 4]);
    assert_eq!(read(1, 2, usize::MAX).await, [1]);
    assert_eq!(read(3, 3, usize::MAX).await, [0u64; 0]);
    assert_eq!(read(150, 156, usize::MAX).await, [151, 154]);
    assert_eq!(read(299, u64::MAX, usize::MAX).await, [298, 301]);
    assert_eq!(read(301, u64::MAX, usize::MAX).await, [0u64; 0]);
    assert_eq!(read(400, 500, usize::MAX).await, [0u64; 0]);
    // At least one at a time, whatever the limit.
    let (mut after, mut count) = (0, 0);
    loop {
        let records = store.read(main.id, Lsn(after), Lsn::MAX, 1).await.unwrap();
        let Some(last) = records.last() else { break };
        after = last.last().0;
        count += records.len();
    }
    assert_eq!((after, count), (301, 101));
}

async fn large_records_come_back((store, main): &Started) {
    let put = |bytes, seed| Entry::Put {
        collection: "users".into(),
        document: document(bytes, seed),
    };
    let mut first = Lsn(1);
    let mut expected = Vec::new();
    for entries in [
        vec![Entry::Noop],
        vec![put(15 << 20, 1)],
        (0..2000).map(|seed| put(300, seed)).collect(),
        vec![
            put(STORED_BYTES_MAX, 2),
            put(STORED_BYTES_MAX, 3),
            put(STORED_BYTES_MAX, 4),
        ],
        vec![Entry::Noop],
    ] {
        let record = record_of(main.id, first, entries);
        first = record.last().next();
        store.append(&record).await.unwrap();
        expected.push(record);
    }
    assert!(read_all(&**store, main).await == expected);
}

async fn the_catalogue_keeps_its_rules((store, main): &Started) {
    store.append(&record(main.id, Lsn(1), 10)).await.unwrap();
    let feature = fork(main, "feature/x", Lsn(1));
    store.create_branch(&feature).await.unwrap();
    assert_eq!(store.head(feature.id).await.unwrap(), Lsn(1));
    store.append(&record(feature.id, Lsn(2), 10)).await.unwrap();
    assert_eq!(store.head(main.id).await.unwrap(), Lsn(1));

    let exists = |error: &Error| matches!(error, Error::Exists { .. });
    let refused: [(BranchMeta, Expected); 7] = [
        (feature.clone(), |error| {
            matches!(error, Error::Exists { .. })
        }),
        (fork(main, "feature/x", Lsn(1)), |error| {
            matches!(error, Error::Exists { .. })
        }),
        (fork(main, "feature-x", Lsn(1)), |error| {
            matches!(error, Error::Exists { .. })
        }),
        (fork(main, "Feature-X", Lsn(1)), |error| {
            matches!(error, Error::Exists { .. })
        }),
        (fork(main, "b", Lsn(2)), |error| {
            matches!(error, Error::Gap { .. })
        }),
        (fork(&project("p").1, "b", Lsn(0)), |error| {
            matches!(error, Error::ProjectGone { .. })
        }),
        (
            BranchMeta {
                extra: Bytes::new(),
                ..fork(main, "b", Lsn(1))
            },
            |error| matches!(error, Error::Invalid { .. }),
        ),
    ];
    for (branch, is_expected) in refused {
        let error = store.create_branch(&branch).await.unwrap_err();
        assert!(is_expected(&error), "{}: {error}", branch.name);
    }
    for name in ["shop", "Shop"] {
        let (again, again_main) = project(name);
        assert!(exists(
            &store.create_project(&again, &again_main).await.unwrap_err()
        ));
    }
    for (project, branch, is_there) in [
        ("shop", "main", true),
        ("shop", "feature/x", true),
        ("shop", "feature-x", true),
        ("shop", "other", false),
        ("other", "main", false),
    ] {
        let found = store.has_branch(project, branch).await.unwrap();
        assert_eq!(found, is_there, "{project} {branch}");
    }

    let error = store.drop_branch(main.id).await.unwrap_err();
    assert!(matches!(error, Error::HasChildren { .. }), "{error}");
    let branches = store.branches().await.unwrap();
    assert_eq!(branches.len(), 2);
    assert!(branches.contains(&feature));
    assert_eq!(store.projects().await.unwrap().len(), 1);
}

async fn dropped_branches_are_gone((store, main): &Started) {
    let branch = fork(main, "b", Lsn(0));
    store.create_branch(&branch).await.unwrap();
    store.append(&record(branch.id, Lsn(1), 10)).await.unwrap();
    store.drop_branch(branch.id).await.unwrap();
    let gone = |error: &Error| matches!(error, Error::BranchGone { .. });
    assert!(gone(&store.head(branch.id).await.unwrap_err()));
    assert!(gone(
        &store
            .append(&record(branch.id, Lsn(2), 10))
            .await
            .unwrap_err()
    ));
    assert!(gone(
        &store
            .read(branch.id, Lsn(0), Lsn::MAX, 1)
            .await
            .unwrap_err()
    ));
    assert!(gone(&store.drop_branch(branch.id).await.unwrap_err()));
    // The name is free again, for a branch that has nothing of the old one.
    let again = fork(main, "b", Lsn(0));
    store.create_branch(&again).await.unwrap();
    assert!(read_all(&**store, &again).await.is_empty());

    let error = store
        .drop_project(crate::ProjectId::random())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ProjectGone { .. }), "{error}");
    store.drop_project(main.project).await.unwrap();
    assert!(store.branches().await.unwrap().is_empty());
    assert!(store.projects().await.unwrap().is_empty());
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
}

async fn settings_are_kept((store, _): &Started) {
    assert_eq!(store.setting("clock").await.unwrap(), None);
    store
        .put_setting("clock", Bytes::from_static(b"1"))
        .await
        .unwrap();
    store
        .put_setting("clock", Bytes::from_static(b"2"))
        .await
        .unwrap();
    assert_eq!(
        store.setting("clock").await.unwrap(),
        Some(Bytes::from_static(b"2"))
    );
    let error = store
        .put_setting("large", vec![0; 2 << 20].into())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

async fn a_closed_store_refuses_writes((store, main): &Started) {
    let ticket = store.submit(&record(main.id, Lsn(1), 10)).unwrap();
    store.close().await.unwrap();
    ticket.await.unwrap();
    let error = store
        .append(&record(main.id, Lsn(2), 10))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    assert_eq!(read_all(&**store, main).await.len(), 1);
    store.close().await.unwrap();
}
