//! The wrapper that fails on demand does so, and stays out of the way otherwise.

use std::sync::Arc;
use std::time::Duration;

use argon_storage::log::memory::MemoryStore;
use argon_storage::testing::{FaultStore, SubmitFault, project, record};
use argon_storage::{Error, LogStore, Lsn};

#[tokio::test]
async fn each_fault_does_what_it_says() {
    let store = FaultStore::new(Arc::new(MemoryStore::default()));
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    store.order([
        SubmitFault::None,
        SubmitFault::QueueFull,
        SubmitFault::OutOfSpace,
        SubmitFault::UnknownLost,
        SubmitFault::UnknownStored,
        SubmitFault::Slow(Duration::from_millis(1)),
    ]);
    let append = async |lsn| store.append(&record(main.id, Lsn(lsn), 10)).await;
    append(1).await.unwrap();
    assert!(matches!(append(2).await, Err(Error::QueueFull { .. })));
    assert!(matches!(append(2).await, Err(Error::OutOfSpace { .. })));
    assert!(matches!(append(2).await, Err(Error::Unknown { .. })));
    assert_eq!(store.head(main.id).await.unwrap(), Lsn(1));
    assert!(matches!(append(2).await, Err(Error::Unknown { .. })));
    assert_eq!(store.head(main.id).await.unwrap(), Lsn(2));
    append(3).await.unwrap();
    append(4).await.unwrap();
    let records = store
        .read(main.id, Lsn::ZERO, Lsn::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!(records.len(), 4);
}
