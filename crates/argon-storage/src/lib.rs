//! The durable log and catalogue of Argon: what survives a power cut.
//!
//! # Promise
//!
//! A [`LogStore`] keeps, per branch, a dense sequence of [`Record`]s, and beside it the catalogue of
//! projects and branches and a few settings. A record is accepted at exactly the position it names
//! ([`Record::first`]), once, and is durable when its [`Ticket`] completes. What has been
//! acknowledged is never lost, what is damaged is reported with its place ([`Error::Corrupt`]), and
//! nothing is skipped or rewritten.
//!
//! # Picture
//!
//! ```text
//!   engine ── submit(record) ──► order fixed ──► one durable write per group ──► tickets complete
//!          ── read(branch, after, up_to) ◄── records in order, dense, checksums verified
//!
//!   log::memory     for tests
//!   log::embedded   one directory, one process: the default
//!   log::mongodb    a MongoDB deployment, any number of processes
//! ```
//!
//! # What it does not do
//!
//! It has never heard of a query. Documents are opaque BSON bytes; it neither applies an entry nor
//! knows what a state is. It decides no outcome: the session stamps it keeps for retryable writes
//! are bytes the engine chose. Clocks and identities come from the caller.

mod cluster_time;
mod error;
mod ids;
pub mod log;
mod lsn;
mod raw;
pub mod record;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use cluster_time::ClusterTime;
pub use error::{Error, Result};
pub use ids::{BranchId, ProjectId, WriterId};
pub use log::{
    BranchEngine, BranchMeta, Durability, LogStore, News, OpenOptions, Parent, ProjectMeta, Status,
    Ticket, open,
};
pub use lsn::Lsn;
pub use record::{Entry, Operation, Record, SessionStamp, Splice, Statement};
