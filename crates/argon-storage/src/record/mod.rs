//! The record: what is appended to a branch's log atomically.
//!
//! The log is physical. An [`Entry`] holds what became of one document (or one piece of collection
//! metadata), never a filter or an update expression, so that replay is a pure fold. How a record
//! is stored, byte by byte, is drawn in `docs/storage-format.md`.

mod decode;
mod encode;
mod patch;

use std::sync::Arc;

use bytes::Bytes;

use crate::{BranchId, ClusterTime, Lsn, WriterId};

pub(crate) use decode::{Stored, record_place};
pub(crate) use encode::{Encoded, encode, encode_as_page, record_key};
pub use encode::{PAGE_BYTES_MIN, RECORD_BYTES_MAX, STORED_BYTES_MAX};
pub use patch::apply_patch;

/// A collection's name, shared by the entries of a record.
pub type CollectionName = Arc<str>;

/// What is appended to one branch's log atomically: its entries become visible together.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The branch it belongs to.
    pub branch: BranchId,
    /// The position of the first entry; entry `i` has `first + i`.
    pub first: Lsn,
    /// Wall clock when it was decided, in milliseconds since the Unix epoch. For people.
    pub timestamp_ms: i64,
    /// Logical time of the record, monotone along the log.
    pub cluster_time: ClusterTime,
    /// The nonce of the writer that decided it.
    pub writer: WriterId,
    /// Who asked for it: a user's name, or empty when there was no authentication.
    pub actor: String,
    /// What kind of command it stands for.
    pub operation: Operation,
    /// The collections it touches, each once.
    pub collections: Vec<CollectionName>,
    /// The outcomes, at least one.
    pub entries: Vec<Entry>,
    /// What a retry of the same command is answered with; only for retryable writes.
    pub session: Option<SessionStamp>,
}

impl Record {
    /// The position of the last entry.
    #[must_use]
    pub fn last(&self) -> Lsn {
        let entries = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        self.first.advance(entries.saturating_sub(1))
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The kind of command a record stands for: for histories and filters, not for replay.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[$doc])* $variant,)*
        }

        impl Operation {
            /// Every kind.
            pub const ALL: &'static [Operation] = &[$(Operation::$variant,)*];

            /// The stored name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Operation::$variant => $name,)*
                }
            }
        }
    };
}

operations! {
    /// Documents were written.
    Write = "write",
    /// A collection was created.
    Create = "create",
    /// A collection or the whole database was dropped.
    Drop = "drop",
    /// A collection was renamed.
    Rename = "rename",
    /// Indexes were created or dropped.
    Index = "index",
    /// A collection's options changed.
    CollMod = "collMod",
    /// Several commands in one transaction.
    Transaction = "transaction",
    /// Nothing changed; the record marks a point in time.
    Noop = "noop",
    /// The branch was set to another state.
    Reset = "reset",
    /// Another branch's changes were merged.
    Merge = "merge",
    /// The branch was dropped: the last record of its log, written by the store itself where several
    /// processes share it, so that nothing can be appended any more.
    Seal = "seal",
}

/// What tells a stored record from every other that wants its position: no writer gives a time twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) writer: WriterId,
    pub(crate) cluster_time: ClusterTime,
    /// The stored document's, so that it holds even for a writer whose clock stands still.
    pub(crate) checksum: i32,
}

impl Operation {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|operation| operation.name() == name)
    }
}

/// The outcome of one operation on one document or one piece of collection metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The document stands in the collection under its `_id`: in place of the one that had it, or
    /// at the end of the natural order.
    Put {
        /// Where.
        collection: CollectionName,
        /// The whole document, BSON.
        document: Bytes,
    },
    /// A document's bytes changed here and there. See [`apply_patch`].
    Patch {
        /// Where.
        collection: CollectionName,
        /// BSON document whose only element is the patched document's `_id`.
        document_id: Bytes,
        /// The changes, by ascending position, not overlapping.
        splices: Vec<Splice>,
    },
    /// The document is gone.
    Delete {
        /// Where.
        collection: CollectionName,
        /// BSON document whose only element is the deleted document's `_id`.
        document_id: Bytes,
    },
    /// The collection exists, empty.
    CreateCollection {
        /// Its name.
        collection: CollectionName,
        /// BSON document of its options, with the stable UUID the engine gave it.
        options: Bytes,
    },
    /// The collection is gone with its documents and indexes.
    DropCollection {
        /// Its name.
        collection: CollectionName,
    },
    /// The collection has another name.
    RenameCollection {
        /// The name until now.
        from: CollectionName,
        /// The name from now on.
        to: CollectionName,
        /// Whether a collection that had the new name is dropped by this.
        drop_target: bool,
    },
    /// The index exists.
    CreateIndex {
        /// Where.
        collection: CollectionName,
        /// BSON document of its specification.
        spec: Bytes,
    },
    /// The index is gone.
    DropIndex {
        /// Where.
        collection: CollectionName,
        /// The index's name.
        name: String,
    },
    /// The collection's options are these now, whole.
    CollMod {
        /// Where.
        collection: CollectionName,
        /// BSON document of the options.
        options: Bytes,
    },
    /// Every collection is gone.
    DropDatabase,
    /// Nothing changed.
    Noop,
}

impl Entry {
    /// The stored name of the kind.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Entry::Put { .. } => "put",
            Entry::Patch { .. } => "patch",
            Entry::Delete { .. } => "delete",
            Entry::CreateCollection { .. } => "createCollection",
            Entry::DropCollection { .. } => "dropCollection",
            Entry::RenameCollection { .. } => "renameCollection",
            Entry::CreateIndex { .. } => "createIndex",
            Entry::DropIndex { .. } => "dropIndex",
            Entry::CollMod { .. } => "collMod",
            Entry::DropDatabase => "dropDatabase",
            Entry::Noop => "noop",
        }
    }
}

/// One change of a patch: at byte `at` of the *old* document, `remove` bytes give way to `insert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Offset in the old document, in bytes.
    pub at: u32,
    /// How many of the old document's bytes go.
    pub remove: u32,
    /// The bytes that come in their place.
    pub insert: Bytes,
}

/// What the log remembers of a retryable write, so that its retry is answered and not applied twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStamp {
    /// The logical session's identity, as the engine spells it.
    pub lsid: Bytes,
    /// The transaction number that the driver chose.
    pub txn_number: i64,
    /// The statements that this record completes.
    pub statements: Vec<Statement>,
}

/// One statement of a retryable write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its number within the command, or within the retries of it.
    pub stmt_id: i32,
    /// BSON document the engine decided; what a retry is answered from.
    pub outcome: Bytes,
}
