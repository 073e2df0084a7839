//! The WAL engine: branches, state and history over a durable log.
//!
//! ```text
//! engine     names to branches; fork, drop; the cache's bounds
//! branch     one branch: decide, append, publish; materialise
//! writer     one command's decisions: changes to a private state, and the entries that stand for them
//! state      immutable contents at one LSN, and the fold that makes them from records
//! follow     what other processes do to a shared store
//! past       states of points in history that were read lately
//! exec       MongoDB's reads and writes over a state or a writer
//! ```
//!
//! It knows no sockets, no cursors and no `ok: 1`: those are the server's.

mod branch;
mod catalog;
mod clock;
mod engine;
mod error;
pub mod exec;
mod expire;
mod follow;
mod joint;
pub mod name;
mod past;
pub mod state;
mod writer;

pub use argon_storage::{BranchEngine, BranchId, ClusterTime, Error as StorageError, Lsn};
pub use branch::{Branch, Origin};
pub use engine::{
    BranchInfo, Config, Database, Engine, IfExists, SETTINGS, Setting, SettingSource, SettingValue,
    UpstreamBranch,
};
pub use error::{Error, Result};
pub use follow::{ReadConsistency, Status};
pub use writer::{Retry, Writer};
