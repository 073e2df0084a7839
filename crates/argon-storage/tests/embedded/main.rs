//! The embedded store when things go wrong: full and failing disks, damage, crashes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod cleaning;
mod damage;
mod disk;
mod model;

use std::path::Path;

use argon_storage::log::embedded::EmbeddedStore;
use argon_storage::testing::{project, record};
use argon_storage::{BranchMeta, LogStore, Lsn, OpenOptions};

fn open(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::open(directory, &OpenOptions::default()).unwrap()
}

/// A project in `store`.
async fn start(store: &dyn LogStore) -> BranchMeta {
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    main
}

/// Checks that the branch holds exactly the records of one entry and `bytes` bytes up to `head`.
async fn check(store: &dyn LogStore, branch: &BranchMeta, bytes: usize, head: u64) {
    assert_eq!(store.head(branch.id).await.unwrap(), Lsn(head));
    let records = store
        .read(branch.id, Lsn::ZERO, Lsn::MAX, usize::MAX)
        .await
        .unwrap();
    let first = branch.base().0 + 1;
    let expected: Vec<_> = (first..=head)
        .map(|lsn| record(branch.id, Lsn(lsn), bytes))
        .collect();
    assert!(
        records == expected,
        "{} records, expected {}",
        records.len(),
        expected.len()
    );
}
