//! How positions and identities stand in queries.

use bson::spec::BinarySubtype;
use bson::{Binary, RawDocumentBuf, rawdoc};

use crate::record::record_key;
use crate::{BranchId, ClusterTime, Lsn, WriterId};

/// The bytes of a part's key in `wal_parts`.
const PART_BYTES: usize = 52;

pub(super) fn uuid(bytes: &[u8; 16]) -> Binary {
    Binary {
        subtype: BinarySubtype::Uuid,
        bytes: bytes.to_vec(),
    }
}

/// The key of the record of `branch` that begins at `first`.
pub(super) fn record_id(branch: BranchId, first: Lsn) -> Binary {
    key(&record_key(branch, first))
}

fn key(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

/// The records of `branch` that begin from `from` to `to`. The branch is named for sharded clusters.
pub(super) fn records_filter(branch: BranchId, from: Lsn, to: Lsn) -> RawDocumentBuf {
    rawdoc! {
        "branch_id": uuid(branch.as_bytes()),
        "_id": {"$gte": record_id(branch, from), "$lte": record_id(branch, to)},
    }
}

/// How the keys of the parts of one record begin: its position, then who wrote it and when. Two processes that want the
/// same position write parts for it before either has it.
pub(super) fn part_prefix(
    branch: BranchId,
    first: Lsn,
    writer: WriterId,
    cluster_time: ClusterTime,
) -> Vec<u8> {
    let mut prefix = record_key(branch, first).to_vec();
    prefix.extend_from_slice(writer.as_bytes());
    prefix.extend_from_slice(&cluster_time.0.to_be_bytes());
    prefix
}

/// The key of one part.
pub(super) fn part_place(prefix: &[u8], part: u32) -> Binary {
    let mut bytes = prefix.to_vec();
    bytes.extend_from_slice(&part.to_be_bytes());
    key(&bytes)
}

/// The parts whose keys begin with `prefix`. Binaries sort by length before they sort by bytes.
pub(super) fn parts_filter(branch: BranchId, prefix: &[u8]) -> RawDocumentBuf {
    let (mut from, mut to) = (prefix.to_vec(), prefix.to_vec());
    from.resize(PART_BYTES, 0);
    to.resize(PART_BYTES, u8::MAX);
    rawdoc! {
        "branch_id": uuid(branch.as_bytes()),
        "_id": {"$gte": key(&from), "$lte": key(&to)},
    }
}
