//! Records come back from a store as they went in, whatever they hold and however large they are.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use argon_storage::log::NO_EXTRA;
use argon_storage::log::memory::MemoryStore;
use argon_storage::testing::{document, project, record_of};
use argon_storage::{
    BranchId, ClusterTime, Entry, Error, LogStore, Lsn, Record, SessionStamp, Splice, Statement,
};
use bytes::Bytes;

async fn store() -> (MemoryStore, BranchId) {
    let store = MemoryStore::default();
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    (store, main.id)
}

fn record(branch: BranchId, first: Lsn, entries: Vec<Entry>) -> Record {
    Record {
        timestamp_ms: -5,
        cluster_time: ClusterTime::new(u32::MAX, 3),
        collections: vec!["users".into(), "orders".into()],
        ..record_of(branch, first, entries)
    }
}

fn every_entry() -> Vec<Entry> {
    let collection: Arc<str> = "users".into();
    let id = document(3, 0);
    vec![
        Entry::Put {
            collection: collection.clone(),
            document: document(100, 1),
        },
        Entry::Patch {
            collection: collection.clone(),
            document_id: id.clone(),
            splices: vec![
                Splice {
                    at: 0,
                    remove: 4,
                    insert: Bytes::from_static(&[1, 2, 3, 4]),
                },
                Splice {
                    at: u32::MAX,
                    remove: u32::MAX,
                    insert: Bytes::new(),
                },
            ],
        },
        Entry::Delete {
            collection: collection.clone(),
            document_id: id,
        },
        Entry::CreateCollection {
            collection: "orders".into(),
            options: NO_EXTRA,
        },
        Entry::DropCollection {
            collection: "other".into(),
        },
        Entry::RenameCollection {
            from: collection.clone(),
            to: "people".into(),
            drop_target: true,
        },
        Entry::CreateIndex {
            collection: collection.clone(),
            spec: document(1, 0),
        },
        Entry::DropIndex {
            collection: collection.clone(),
            name: "a_1".into(),
        },
        Entry::CollMod {
            collection,
            options: NO_EXTRA,
        },
        Entry::DropDatabase,
        Entry::Noop,
    ]
}

async fn check_round_trip(record: impl FnOnce(BranchId) -> Record) {
    let (store, branch) = store().await;
    let record = record(branch);
    store.append(&record).await.unwrap();
    assert_eq!(store.head(branch).await.unwrap(), record.last());
    let read = store
        .read(branch, Lsn::ZERO, Lsn::MAX, usize::MAX)
        .await
        .unwrap();
    assert!(read == [record], "the record has changed");
}

#[tokio::test]
async fn every_kind_of_entry_round_trips_inline() {
    check_round_trip(|branch| record(branch, Lsn(1), every_entry())).await;
}

#[tokio::test]
async fn every_kind_of_entry_round_trips_in_a_page() {
    check_round_trip(|branch| {
        let mut entries = every_entry();
        for number in 0..1000 {
            let document = document(300, number);
            entries.push(Entry::Put {
                collection: "users".into(),
                document,
            });
        }
        record(branch, Lsn(1), entries)
    })
    .await;
}

#[tokio::test]
async fn a_record_larger_than_a_document_round_trips_in_parts() {
    check_round_trip(|branch| {
        let put = |seed| Entry::Put {
            collection: "users".into(),
            document: document(15 << 20, seed),
        };
        record(branch, Lsn(1), vec![put(1), put(2)])
    })
    .await;
}

#[tokio::test]
async fn session_stamps_round_trip_inline_and_in_a_page() {
    for statements in [1, 1000] {
        check_round_trip(|branch| {
            let mut record = record(branch, Lsn(1), vec![Entry::Noop]);
            record.session = Some(SessionStamp {
                lsid: Bytes::from_static(b"some session"),
                txn_number: i64::MAX,
                statements: (0..statements)
                    .map(|stmt_id| Statement {
                        stmt_id,
                        outcome: document(20, 1),
                    })
                    .collect(),
            });
            record
        })
        .await;
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused() {
    let (store, branch) = store().await;
    let put = |document| {
        vec![Entry::Put {
            collection: "users".into(),
            document,
        }]
    };
    for record in [
        record(branch, Lsn(1), vec![]),
        record(branch, Lsn(0), vec![Entry::Noop]),
        record(branch, Lsn::MAX, vec![Entry::Noop]),
        record(branch, Lsn(1), put(Bytes::new())),
        record(branch, Lsn(1), put(Bytes::from_static(&[6, 0, 0, 0, 0]))),
        record(branch, Lsn(1), put(Bytes::from_static(&[5, 0, 0, 0, 1]))),
        Record {
            actor: "a".repeat(3 << 20),
            ..record(branch, Lsn(1), vec![Entry::Noop])
        },
    ] {
        let error = store.submit(&record).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    assert_eq!(store.head(branch).await.unwrap(), Lsn::ZERO);
}
