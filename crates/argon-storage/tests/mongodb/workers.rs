//! Writers that do what an engine does, and the proof that the log holds what they were told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argon_storage::testing::{document, record_of};
use argon_storage::{BranchId, ClusterTime, Entry, Error, LogStore, Lsn, WriterId};

/// What became of a writer's records, by cluster time.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) stored: Vec<ClusterTime>,
    pub(crate) refused: Vec<ClusterTime>,
    pub(crate) unknown: Vec<ClusterTime>,
}

/// Appends to `branch` until `count` records are stored or `stop` says so; every refused one is decided anew on what the
/// store says then.
pub(crate) async fn write(
    store: Arc<dyn LogStore>,
    branch: BranchId,
    (writer, count): (WriterId, usize),
    stop: Arc<AtomicBool>,
) -> Told {
    let mut told = Told::default();
    let mut clock = 0;
    while told.stored.len() < count && !stop.load(Ordering::Relaxed) {
        let head = match store.head(branch).await {
            Ok(head) => head,
            Err(Error::Unavailable { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        clock += 1;
        let time = ClusterTime::new(1_700_000_000, clock);
        // Of one to three entries, so that positions are jumped over.
        let put = || Entry::Put {
            collection: "users".into(),
            document: document(200, u64::from(clock)),
        };
        let entries = (0..=clock % 3).map(|_| put()).collect();
        let mut record = record_of(branch, head.next(), entries);
        (record.writer, record.cluster_time) = (writer, time);
        match store.append(&record).await {
            Ok(()) => told.stored.push(time),
            Err(Error::Taken { .. } | Error::Gap { .. } | Error::Unavailable { .. }) => {
                told.refused.push(time);
                store.resume(branch);
            }
            Err(Error::Unknown { .. }) => {
                told.unknown.push(time);
                store.resume(branch);
            }
            Err(error) => panic!("{error}"),
        }
    }
    told
}

/// Checks that the log is dense and holds what was acknowledged once, what was refused never.
pub(crate) async fn prove(store: &dyn LogStore, branch: BranchId, told: &[(WriterId, Told)]) {
    // Reading fails on gaps and overlaps.
    let records = store
        .read(branch, Lsn::ZERO, Lsn::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!(
        records.last().map_or(Lsn::ZERO, |record| record.last()),
        store.head(branch).await.unwrap()
    );
    let mut found: HashMap<(WriterId, ClusterTime), usize> = HashMap::new();
    for record in &records {
        *found
            .entry((record.writer, record.cluster_time))
            .or_default() += 1;
    }
    let count = |writer, time| found.get(&(writer, time)).copied().unwrap_or(0);
    let mut expected = 0;
    for (writer, told) in told {
        for time in &told.stored {
            assert_eq!(count(*writer, *time), 1, "{writer} {time}: acknowledged");
        }
        for time in &told.refused {
            assert_eq!(count(*writer, *time), 0, "{writer} {time}: refused");
        }
        for time in &told.unknown {
            assert!(count(*writer, *time) <= 1, "{writer} {time}: unknown");
        }
        expected += told.stored.len();
        expected += told
            .unknown
            .iter()
            .map(|time| count(*writer, *time))
            .sum::<usize>();
    }
    assert_eq!(records.len(), expected, "nothing else is in the log");
}
