//! What can go wrong, and what the caller should do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{BranchId, Lsn, ProjectId};

/// The result of a store's verbs.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the store. Cheap to clone: one failed write fails every record that shared it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another record holds this position. Read what was missed, decide again, append again.
    #[error("branch {branch}: LSN {first} is taken, the head is {head}")]
    Taken {
        /// The branch appended to.
        branch: BranchId,
        /// The position the record asked for.
        first: Lsn,
        /// The last position given out.
        head: Lsn,
    },
    /// The record does not start right after the head: one before it was refused, or never came.
    /// Forget what was decided on top of the refused one and decide again.
    #[error("branch {branch}: LSN {first} would leave a gap, the head is {head}")]
    Gap {
        /// The branch appended to.
        branch: BranchId,
        /// The position the record asked for.
        first: Lsn,
        /// The last position given out.
        head: Lsn,
    },
    /// The branch does not exist, or no longer: cached names of it are stale.
    #[error("branch {branch} does not exist")]
    BranchGone {
        /// The identity asked for.
        branch: BranchId,
    },
    /// The project does not exist, or no longer.
    #[error("project {project} does not exist")]
    ProjectGone {
        /// The identity asked for.
        project: ProjectId,
    },
    /// The name (or identity) is in use already.
    #[error("{what} exists already")]
    Exists {
        /// What was to be created, with its name.
        what: String,
    },
    /// The branch has branches of its own and cannot be dropped before them.
    #[error("branch {branch} has child branches")]
    HasChildren {
        /// The branch that was to be dropped.
        branch: BranchId,
    },
    /// What was asked for can never be stored. A defect of the caller.
    #[error("invalid: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// A stored record is damaged or missing. Other branches are not concerned.
    #[error("branch {branch}: corrupt record at LSN {lsn}: {reason}")]
    Corrupt {
        /// The branch whose log is damaged.
        branch: BranchId,
        /// Where: the position of the damaged record's first entry.
        lsn: Lsn,
        /// What was found.
        reason: String,
    },
    /// A stored item of the catalogue or of the settings is damaged.
    #[error("corrupt {what}: {reason}")]
    CorruptCatalog {
        /// Which item.
        what: String,
        /// What was found.
        reason: String,
    },
    /// Too much waits to become durable. Nothing was stored: await [`LogStore::ready`] and try again.
    ///
    /// [`LogStore::ready`]: crate::LogStore::ready
    #[error("the write queue is full: {pending_bytes} bytes wait to become durable")]
    QueueFull {
        /// What waits, in bytes.
        pending_bytes: usize,
    },
    /// The disk has no room for it. Nothing of it was stored; reads go on, and writes as soon as
    /// there is room.
    #[error("no space left: {reason}")]
    OutOfSpace {
        /// Which limit was met.
        reason: String,
    },
    /// The outcome is unknown: the record may be durable or not. Read the position back and compare
    /// the writer's nonce; never retry blindly.
    #[error("the outcome of the write is unknown: {reason}")]
    Unknown {
        /// Why it is unknown.
        reason: String,
    },
    /// The store cannot be reached, or cannot serve at the moment: it has no primary, or a time-out was met. Nothing was
    /// stored. It may be back soon, and another process may reach it.
    #[error("the store cannot be reached: {reason}")]
    Unavailable {
        /// What was met.
        reason: String,
    },
    /// A write failed in a way after which the store cannot know what is on disk. Reads go on; every
    /// write is refused until the store is opened again.
    #[error("the store takes no more writes until it is reopened: {reason}")]
    Poisoned {
        /// The failure that did it.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Another process has the directory open.
    #[error("data directory {} is in use by another process", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The data were written by a newer version.
    #[error(
        "the data have format {found}, this version reads up to {supported}: use a newer version"
    )]
    NewerFormat {
        /// The stored format version.
        found: u32,
        /// The newest that can be read.
        supported: u32,
    },
    /// The store's address cannot be used.
    #[error("store `{uri}`: {reason}")]
    BadUri {
        /// The address as given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system or the engine below failed outside a write to the log.
    #[error("{context}")]
    Io {
        /// What was being done.
        context: String,
        /// The failure.
        source: Arc<io::Error>,
    },
}

impl Error {
    pub(crate) fn io(context: impl Into<String>, source: io::Error) -> Self {
        Error::Io {
            context: context.into(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Error::Invalid {
            reason: reason.into(),
        }
    }
}
