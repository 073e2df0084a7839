//! Where the log lives: one trait, one folder per store.
//!
//! [`open`] finds the store by the scheme of its address. A new store is a folder here, a row in
//! [`STORES`], and one test that calls the contract in `testing`.

mod catalog;
pub mod embedded;
mod ledger;
pub mod memory;
pub mod mongodb;
mod reading;
mod ticket;

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

pub use catalog::{BranchEngine, BranchMeta, NO_EXTRA, Parent, ProjectMeta};
pub(crate) use reading::Reading;
pub use ticket::Ticket;

use crate::{BranchId, Error, Lsn, ProjectId, Record, Result};

/// The format of everything stored, as `docs/storage-format.md` draws it. Data of a newer format
/// are refused.
pub const FORMAT_VERSION: u32 = 1;

/// The durable log of every branch, the catalogue of projects and branches, and settings.
///
/// All changes of one store are ordered: the order in which [`submit`](Self::submit) and the
/// catalogue's verbs were called is the order in which they become durable. Concurrent changes share
/// one durable write. "Durable" is what [`Durability`] says.
///
/// A change that cannot be made durable fails, and with it every change that was submitted after it
/// and is not durable yet. A full disk ends there ([`Error::OutOfSpace`]); a failed fsync leaves
/// the store refusing writes ([`Error::Poisoned`]). Reads go on in either case.
///
/// # A store that several processes share
///
/// There, positions are held by records of other processes too, and every verb that answers from the log or the
/// catalogue ([`head`](Self::head), [`read`](Self::read), [`projects`](Self::projects), [`branches`](Self::branches))
/// tells of everything that was acknowledged to any process before the verb was called: never of a stale replica, an
/// earlier answer or this process's memory. A record is known by its writer and its cluster time together: no writer
/// gives the same time twice. An unknown outcome is resolved by comparing both with what is found at the position.
///
/// When a record is refused, every record of its branch that was submitted after it is refused with it, at that moment,
/// and all that are submitted later get [`Error::Gap`] at once, until [`resume`](Self::resume): they were decided on top
/// of the refused one, but their position may fit what others have appended meanwhile.
#[async_trait]
pub trait LogStore: Send + Sync + fmt::Debug {
    /// Whether other processes append to the store and change its catalogue, so that what this process remembers may be
    /// old.
    fn is_shared(&self) -> bool {
        false
    }

    /// Takes records of `branch` again, after one was refused: the caller has forgotten everything that it decided on top
    /// of the refused record, and goes on from what it has read since. Does nothing if none was refused.
    fn resume(&self, branch: BranchId) {
        let _ = branch;
    }

    /// News of what any process, this one included, has made durable since the call; `None` from a store that is not
    /// shared, or cannot tell.
    ///
    /// They only wake caches up, the log is the truth: they may come late, twice or out of order, and none is owed. Who
    /// cannot say what was missed (a change stream that was cut off) sends [`News::Anything`]. The channel is bounded:
    /// a receiver that lags behind takes that as [`News::Anything`] itself.
    fn news(&self) -> Option<broadcast::Receiver<News>> {
        None
    }

    /// How the store is, for whoever looks after it. Answers at once, from memory.
    fn status(&self) -> Status;

    /// Takes `record` as the next of its branch and returns without waiting.
    ///
    /// Its place in the order is fixed when this returns; the ticket completes when it is durable.
    /// The next record of the branch may be submitted before that. Dropping the ticket does not
    /// withdraw the record. The call encodes the record and does no I/O.
    ///
    /// # Errors
    /// At once, and nothing was stored: [`Error::Taken`] if the position is held, [`Error::Gap`] if
    /// the record does not follow the last one submitted, [`Error::BranchGone`], [`Error::Invalid`],
    /// [`Error::QueueFull`], [`Error::Poisoned`], [`Error::Corrupt`] if the branch's last record is
    /// damaged. From the ticket: [`Error::OutOfSpace`], [`Error::Poisoned`], [`Error::Unknown`], and
    /// [`Error::Taken`] where several processes share a store.
    fn submit(&self, record: &Record) -> Result<Ticket>;

    /// Waits until the queue has room, so that [`submit`](Self::submit) is not refused for it.
    ///
    /// Call it before taking the lock under which outcomes are decided.
    ///
    /// # Errors
    /// [`Error::Poisoned`] or [`Error::Closed`].
    async fn ready(&self) -> Result<()>;

    /// Appends `record`; durable when it returns.
    ///
    /// # Errors
    /// Those of [`submit`](Self::submit) and of its ticket.
    async fn append(&self, record: &Record) -> Result<()> {
        self.ready().await?;
        self.submit(record)?.await
    }

    /// The position of the branch's last durable entry; its base if it has none of its own.
    ///
    /// # Errors
    /// [`Error::BranchGone`]; [`Error::Corrupt`] if the last record is damaged.
    async fn head(&self, branch: BranchId) -> Result<Lsn>;

    /// The records of the branch's own log that hold entries after `after` and up to `up_to`, in
    /// order, durable ones only.
    ///
    /// Records are whole: the first may begin before `after + 1` and the last may end beyond
    /// `up_to`. Stops early once the records read take `bytes_max` as stored, but not before the
    /// first, so progress is made by asking again after the last one's end. Empty means there are
    /// none. What lies at or below the branch's base belongs to its ancestors.
    ///
    /// # Errors
    /// [`Error::BranchGone`]; [`Error::Corrupt`] with its place if a record is damaged or missing.
    async fn read(
        &self,
        branch: BranchId,
        after: Lsn,
        up_to: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<Record>>;

    /// Every project, by identity.
    async fn projects(&self) -> Result<Vec<ProjectMeta>>;

    /// Every branch of every project, by identity.
    async fn branches(&self) -> Result<Vec<BranchMeta>>;

    /// Whether there is a project called `project`, and in it a branch that goes by `branch`, as its name or as its wire name: what
    /// [`projects`](Self::projects) and [`branches`](Self::branches) would tell.
    async fn has_branch(&self, project: &str, branch: &str) -> Result<bool> {
        let projects = self.projects().await?;
        let Some(project) = projects.iter().find(|found| found.name == project) else {
            return Ok(false);
        };
        let branches = self.branches().await?;
        Ok(branches.iter().any(|found| {
            found.project == project.id && (found.name == branch || found.wire_name == branch)
        }))
    }

    /// Creates a project together with its main branch, atomically; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Exists`] if name, whatever its case, or identity is in use, [`Error::Invalid`] if the two do not belong
    /// together, and those of a ticket.
    async fn create_project(&self, project: &ProjectMeta, main: &BranchMeta) -> Result<()>;

    /// Creates a branch, atomically; durable when it returns. Its head is its base.
    ///
    /// # Errors
    /// [`Error::Exists`] if its identity, or its name or wire name (whatever its case) within the project, is in use,
    /// [`Error::ProjectGone`], [`Error::BranchGone`] if the parent is gone, [`Error::Gap`] if the
    /// base lies beyond the parent's head, and those of a ticket.
    async fn create_branch(&self, branch: &BranchMeta) -> Result<()>;

    /// Drops a branch and its log, atomically; durable when it returns. Records submitted before are
    /// kept until then, later ones are refused. The log's bytes are given back in the background,
    /// after a crash too.
    ///
    /// # Errors
    /// [`Error::BranchGone`], [`Error::HasChildren`], [`Error::Invalid`] for a project's main branch,
    /// and those of a ticket.
    async fn drop_branch(&self, branch: BranchId) -> Result<()>;

    /// Drops a project with all its branches, atomically; durable when it returns.
    ///
    /// # Errors
    /// [`Error::ProjectGone`] and those of a ticket.
    async fn drop_project(&self, project: ProjectId) -> Result<()>;

    /// A setting's value; `None` if it was never put.
    async fn setting(&self, key: &str) -> Result<Option<Bytes>>;

    /// Sets a setting; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Invalid`] if key or value is too large, and those of a ticket.
    async fn put_setting(&self, key: &str, value: Bytes) -> Result<()>;

    /// Makes everything submitted durable, then refuses further changes. Reads may go on. A store
    /// that is dropped without this loses nothing acknowledged.
    async fn close(&self) -> Result<()>;
}

/// What has changed in a shared store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Records were appended.
    Appended {
        /// The branch.
        branch: BranchId,
        /// The position of the last one's last entry.
        last: Lsn,
    },
    /// Projects or branches were created or dropped.
    Catalog,
    /// Nobody knows: anything.
    Anything,
}

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What kind of store it is: its scheme.
    pub kind: &'static str,
    /// Whether its last verb reached it.
    pub reachable: bool,
    /// The last failure to reach it, or to write to it.
    pub last_error: Option<String>,
}

impl Status {
    /// A store of `kind` that nothing is wrong with.
    pub fn healthy(kind: &'static str) -> Status {
        Status {
            kind,
            reachable: true,
            last_error: None,
        }
    }
}

/// When a change counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is on disk: nothing acknowledged is lost, power loss included. The default.
    #[default]
    Ack,
    /// Once the operating system has it, which then has at most this long to put it on disk. An
    /// acknowledged write survives the process's end, but a power cut loses the last interval,
    /// as with MongoDB's journal. What is kept is a prefix of what was acknowledged.
    Interval(Duration),
}

/// The longest [`Durability::Interval`], in milliseconds: MongoDB's `commitIntervalMs` has the same
/// maximum. Source: MongoDB manual, "storage.journal.commitIntervalMs".
pub const INTERVAL_MS_MAX: u64 = 500;

impl FromStr for Durability {
    type Err = String;

    /// Reads `ack` or `interval:<n>ms`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "ack" {
            return Ok(Durability::Ack);
        }
        text.strip_prefix("interval:")
            .and_then(|interval| interval.strip_suffix("ms"))
            .and_then(|number| number.parse().ok())
            .filter(|ms| (1..=INTERVAL_MS_MAX).contains(ms))
            .map(|ms| Durability::Interval(Duration::from_millis(ms)))
            .ok_or_else(|| {
                format!("`{text}` is neither `ack` nor `interval:<1 to {INTERVAL_MS_MAX}>ms`")
            })
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Ack => f.write_str("ack"),
            Durability::Interval(interval) => write!(f, "interval:{}ms", interval.as_millis()),
        }
    }
}

/// The default of [`OpenOptions::mongodb_database`].
pub const MONGODB_DATABASE: &str = "argon";

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// When a change counts as durable.
    pub durability: Durability,
    /// From this size on, in bytes, the embedded store begins another file. Space is given back by
    /// the file.
    pub segment_bytes: u64,
    /// The database in which the MongoDB store keeps everything.
    pub mongodb_database: String,
    /// How the disk fails.
    #[cfg(any(test, feature = "testing"))]
    pub faults: crate::testing::DiskFaults,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions {
            durability: Durability::default(),
            segment_bytes: 64 << 20,
            mongodb_database: MONGODB_DATABASE.to_owned(),
            #[cfg(any(test, feature = "testing"))]
            faults: crate::testing::DiskFaults::default(),
        }
    }
}

type Opening<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn LogStore>>> + Send + 'a>>;

/// A kind of store: how its addresses begin, and how it is opened.
struct Store {
    scheme: &'static str,
    open: for<'a> fn(&'a str, &'a OpenOptions) -> Opening<'a>,
}

/// Every kind of store, by scheme.
const STORES: &[Store] = &[
    Store {
        scheme: "embedded",
        open: |rest, options| Box::pin(embedded::open(rest, options)),
    },
    Store {
        scheme: "memory",
        open: |rest, _| Box::pin(memory::open(rest)),
    },
    Store {
        scheme: "mongodb",
        open: |rest, options| Box::pin(mongodb::open("mongodb", rest, options)),
    },
    Store {
        scheme: "mongodb+srv",
        open: |rest, options| Box::pin(mongodb::open("mongodb+srv", rest, options)),
    },
];

/// Opens the store at `uri`: `embedded:<directory>`, created if it is not there, `memory:`, or a MongoDB connection
/// string.
///
/// # Errors
/// [`Error::BadUri`], [`Error::Locked`], [`Error::NewerFormat`], [`Error::CorruptCatalog`],
/// [`Error::Unavailable`] or [`Error::Io`].
pub async fn open(uri: &str, options: &OpenOptions) -> Result<Arc<dyn LogStore>> {
    let bad = |reason: &str| Error::BadUri {
        uri: uri.to_owned(),
        reason: reason.to_owned(),
    };
    let (scheme, rest) = uri.split_once(':').ok_or_else(|| bad("it has no scheme"))?;
    let store = STORES
        .iter()
        .find(|store| store.scheme == scheme)
        .ok_or_else(|| bad("no store has this scheme"))?;
    (store.open)(rest, options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(STORES.is_sorted_by(|a, b| a.scheme < b.scheme));
    }

    #[test]
    fn durability_reads_what_it_writes() {
        for text in ["ack", "interval:1ms", "interval:100ms", "interval:500ms"] {
            assert_eq!(text.parse::<Durability>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "interval",
            "interval:0ms",
            "interval:501ms",
            "interval:5",
            "Ack",
        ] {
            assert!(text.parse::<Durability>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn unknown_addresses_are_refused() {
        for uri in ["", "shop", "mongo:x", "memory:x"] {
            let error = open(uri, &OpenOptions::default()).await.unwrap_err();
            assert!(matches!(error, Error::BadUri { .. }), "{uri}: {error}");
        }
    }
}
