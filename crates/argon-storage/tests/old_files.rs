//! Data written by earlier versions open in this one.
//!
//! `files/format-<version>` holds a store's `log` directory as that version left it. A new format
//! version gets a new folder; the old ones stay.

use std::fs;
use std::path::Path;

use argon_storage::log::embedded::EmbeddedStore;
use argon_storage::record::apply_patch;
use argon_storage::testing::{document, fork, project, record_of};
use argon_storage::{
    BranchId, Entry, LogStore, Lsn, OpenOptions, Record, SessionStamp, Splice, Statement,
};
use bytes::Bytes;

/// What every version's files hold: one record of every entry, one in a page.
fn records(branch: BranchId) -> [Record; 2] {
    let collection: std::sync::Arc<str> = "users".into();
    let id = document(3, 0);
    let splices = vec![Splice {
        at: 9,
        remove: 1,
        insert: Bytes::from_static(b"abc"),
    }];
    let entries = vec![
        Entry::CreateCollection {
            collection: collection.clone(),
            options: document(1, 0),
        },
        Entry::CreateIndex {
            collection: collection.clone(),
            spec: document(2, 0),
        },
        Entry::Put {
            collection: collection.clone(),
            document: document(20, 1),
        },
        Entry::Patch {
            collection: collection.clone(),
            document_id: id.clone(),
            splices,
        },
        Entry::Delete {
            collection: collection.clone(),
            document_id: id,
        },
        Entry::CollMod {
            collection: collection.clone(),
            options: document(1, 0),
        },
        Entry::RenameCollection {
            from: collection.clone(),
            to: "people".into(),
            drop_target: true,
        },
        Entry::DropIndex {
            collection: collection.clone(),
            name: "a_1".into(),
        },
        Entry::DropCollection {
            collection: collection.clone(),
        },
        Entry::DropDatabase,
        Entry::Noop,
    ];
    let mut small = record_of(branch, Lsn(1), entries);
    small.session = Some(SessionStamp {
        lsid: Bytes::from_static(b"session"),
        txn_number: 5,
        statements: vec![Statement {
            stmt_id: 1,
            outcome: document(4, 0),
        }],
    });
    let put = Entry::Put {
        collection,
        document: document(20_000, 0),
    };
    let mut large = record_of(branch, small.last().next(), vec![put]);
    large.session.clone_from(&small.session);
    [small, large]
}

#[tokio::test]
async fn format_1() {
    let directory = tempfile::tempdir().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/format-1");
    fs::create_dir(directory.path().join("log")).unwrap();
    for file in fs::read_dir(files).unwrap() {
        let path = file.unwrap().path();
        fs::copy(
            &path,
            directory.path().join("log").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    let store = EmbeddedStore::open(directory.path(), &OpenOptions::default()).unwrap();
    let shop = store.projects().await.unwrap().remove(0);
    assert_eq!(shop.name, "shop");
    let mut branches = store.branches().await.unwrap();
    branches.sort_by_key(|branch| branch.name.clone());
    let names: Vec<_> = branches.iter().map(|branch| &*branch.wire_name).collect();
    assert_eq!(names, ["feature-x", "main"]);
    let parent = branches[0].parent.unwrap();
    assert_eq!((parent.branch, parent.base), (shop.main, Lsn(12)));
    let found = store
        .read(shop.main, Lsn::ZERO, Lsn::MAX, usize::MAX)
        .await
        .unwrap();
    assert!(found == records(shop.main));
    assert_eq!(store.head(branches[0].id).await.unwrap(), Lsn(13));
    assert_eq!(
        store.setting("clock").await.unwrap(),
        Some(Bytes::from_static(b"7"))
    );
    if let Entry::Patch { splices, .. } = &found[0].entries[3] {
        assert_eq!(
            apply_patch(b"0123456789", splices).unwrap(),
            b"012345678abc"
        );
    }
}

/// Writes the current format's files, once per version:
/// `ARGON_WRITE_OLD_FILES=<directory> cargo test -p argon-storage --test old_files write`.
#[tokio::test]
async fn write() {
    let Ok(directory) = std::env::var("ARGON_WRITE_OLD_FILES") else {
        return;
    };
    let options = OpenOptions {
        segment_bytes: 1,
        ..OpenOptions::default()
    };
    let store = EmbeddedStore::open(Path::new(&directory), &options).unwrap();
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    for record in records(main.id) {
        store.append(&record).await.unwrap();
    }
    let feature = fork(&main, "feature/x", Lsn(12));
    let dropped = fork(&main, "dropped", Lsn(12));
    store.create_branch(&feature).await.unwrap();
    store.create_branch(&dropped).await.unwrap();
    store
        .append(&record_of(feature.id, Lsn(13), vec![Entry::Noop]))
        .await
        .unwrap();
    store
        .append(&record_of(dropped.id, Lsn(13), vec![Entry::Noop]))
        .await
        .unwrap();
    store.drop_branch(dropped.id).await.unwrap();
    store
        .put_setting("clock", Bytes::from_static(b"7"))
        .await
        .unwrap();
    // Too large for the segment: it begins another, and the one before gets a summary.
    store
        .put_setting("large", vec![1; 20_000].into())
        .await
        .unwrap();
    while !Path::new(&directory).join("log/0000000002.idx").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
