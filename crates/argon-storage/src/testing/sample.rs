//! Things to store.

use bytes::Bytes;

use crate::log::NO_EXTRA;
use crate::{
    BranchEngine, BranchId, BranchMeta, ClusterTime, Entry, Lsn, Operation, Parent, ProjectId,
    ProjectMeta, Record, WriterId,
};

/// A project and its main branch.
#[must_use]
pub fn project(name: &str) -> (ProjectMeta, BranchMeta) {
    let (id, main) = (ProjectId::random(), BranchId::random());
    let project = ProjectMeta {
        id,
        name: name.into(),
        main,
        created_at_ms: 1,
        extra: NO_EXTRA,
    };
    let branch = BranchMeta {
        id: main,
        project: id,
        name: "main".into(),
        wire_name: "main".into(),
        parent: None,
        created_at_ms: 1,
        engine: BranchEngine::Wal,
        extra: NO_EXTRA,
    };
    (project, branch)
}

/// A branch of `parent` at `base`.
#[must_use]
pub fn fork(parent: &BranchMeta, name: &str, base: Lsn) -> BranchMeta {
    BranchMeta {
        id: BranchId::random(),
        project: parent.project,
        name: name.into(),
        wire_name: name.replace('/', "-"),
        parent: Some(Parent {
            branch: parent.id,
            base,
        }),
        created_at_ms: 2,
        engine: BranchEngine::Wal,
        extra: document(20, 0),
    }
}

/// A document of one string of `bytes` bytes, hard to compress if `seed` is not zero.
#[must_use]
pub fn document(bytes: usize, seed: u64) -> Bytes {
    let mut state = seed;
    let mut document = Vec::with_capacity(bytes + 16);
    let length = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX).to_le_bytes();
    document.extend(length(bytes + 12));
    document.extend([0x02, 0]);
    document.extend(length(bytes + 1));
    document.extend((0..bytes).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seed);
        b' ' + u8::try_from((state >> 40) % 94).unwrap_or(0)
    }));
    document.extend([0, 0]);
    document.into()
}

/// A record that puts one document of about `bytes` bytes, different for each position.
#[must_use]
pub fn record(branch: BranchId, first: Lsn, bytes: usize) -> Record {
    let document = document(bytes, first.0);
    record_of(
        branch,
        first,
        vec![Entry::Put {
            collection: "users".into(),
            document,
        }],
    )
}

/// A record of these entries.
#[must_use]
pub fn record_of(branch: BranchId, first: Lsn, entries: Vec<Entry>) -> Record {
    Record {
        branch,
        first,
        timestamp_ms: 1_700_000_000_000,
        cluster_time: ClusterTime::new(1_700_000_000, 1),
        writer: WriterId::from_bytes([7; 16]),
        actor: "ada".into(),
        operation: Operation::Write,
        collections: vec!["users".into()],
        entries,
        session: None,
    }
}
