//! The store in a MongoDB deployment, which any number of processes share.
//!
//! # Picture
//!
//! ```text
//!   submit ──► lanes (one per branch) ──► senders: one ordered insert per batch ──► wal_entries
//!                                            │ nobody knows? read the positions back
//!   head, read ─────────────────────────────────────────────────────────────────► wal_entries
//!   projects, branches, create, drop ───────────────────────────────────────────► projects, branches
//!   keeper: seals, what dropped branches leave behind        news: change stream
//! ```
//!
//! The key of a record is (branch, first LSN). It is unique, and logs are dense: so inserting a record *is* comparing
//! the end of its branch's log with what the writer believes, and setting it. Nothing else guards a log; there is no
//! leader, no lock and no clock. Every change is made with majority write concern and in the journal.
//!
//! What the collections hold and how changes of several documents become atomic is in `docs/storage-format.md`; how to
//! run it, in `docs/mongodb-store.md`.
//!
//! # What it does not do
//!
//! It uses no transactions: a standalone has none, and one insert does not need one. It does not shard the collections;
//! it names the branch in every query, so that they can be.

mod catalog;
mod connect;
mod keeper;
mod keys;
mod lanes;
mod nesting;
mod news;
mod reader;
mod upstream;
mod writer;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;

pub use connect::without_credentials;

use self::lanes::{Lanes, Pending};
use self::upstream::{Deployment, Upstream};
use super::{BranchMeta, LogStore, News, OpenOptions, ProjectMeta, Status, Ticket};
use crate::{BranchId, Error, Lsn, ProjectId, Record, Result};

const WAL_ENTRIES: &str = "wal_entries";
const WAL_PARTS: &str = "wal_parts";
const PROJECTS: &str = "projects";
const BRANCHES: &str = "branches";
const SETTINGS: &str = "settings";
const FORMAT: &str = "format";
/// Branches whose records are to be removed.
const GARBAGE: &str = "garbage";

/// A store in a MongoDB deployment.
#[derive(Debug)]
pub struct MongoStore {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<AbortHandle>>,
    /// Set once somebody wants news.
    watching: OnceLock<()>,
}

/// What the verbs, the senders and the keeper share.
#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    lanes: Lanes,
    news: broadcast::Sender<News>,
    /// The keeper waits here.
    keeper: Notify,
    runtime: Handle,
}

/// Opens the store at `<scheme>:<rest>`.
pub(super) async fn open(
    scheme: &str,
    rest: &str,
    options: &OpenOptions,
) -> Result<Arc<dyn LogStore>> {
    let uri = format!("{scheme}:{rest}");
    let upstream = connect::connect(&uri, &options.mongodb_database).await?;
    let shared = Arc::new(Shared {
        upstream,
        lanes: Lanes::default(),
        news: broadcast::Sender::new(news::NEWS_MAX),
        keeper: Notify::new(),
        runtime: Handle::current(),
    });
    let keeper = tokio::spawn(keeper::run(Arc::clone(&shared)));
    Ok(Arc::new(MongoStore {
        shared,
        tasks: Mutex::new(vec![keeper.abort_handle()]),
        watching: OnceLock::new(),
    }))
}

impl Shared {
    fn start_sender(self: &Arc<Self>) {
        self.runtime.spawn(writer::run(Arc::clone(self)));
    }

    fn tell(&self, news: News) {
        // Nobody needs to listen.
        drop(self.news.send(news));
    }
}

impl Drop for MongoStore {
    fn drop(&mut self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

#[async_trait]
impl LogStore for MongoStore {
    fn is_shared(&self) -> bool {
        true
    }

    fn resume(&self, branch: BranchId) {
        self.shared.lanes.resume(branch);
    }

    fn news(&self) -> Option<broadcast::Receiver<News>> {
        if self.shared.upstream.deployment == Deployment::Standalone {
            // It has no change streams.
            return None;
        }
        let receiver = self.shared.news.subscribe();
        self.watching.get_or_init(|| {
            let task = news::run(Arc::clone(&self.shared));
            let task = self.shared.runtime.spawn(task).abort_handle();
            self.tasks.lock().push(task);
        });
        Some(receiver)
    }

    fn status(&self) -> Status {
        self.shared.upstream.status()
    }

    fn submit(&self, record: &Record) -> Result<Ticket> {
        let (done, ticket) = Ticket::pending();
        let pending = Pending {
            record: nesting::encode_for_mongodb(record)?,
            submitted: Instant::now(),
            done,
        };
        if self.shared.lanes.submit(pending)? {
            self.shared.start_sender();
        }
        Ok(ticket)
    }

    async fn ready(&self) -> Result<()> {
        self.shared.lanes.ready().await
    }

    async fn head(&self, branch: BranchId) -> Result<Lsn> {
        self.shared.head(branch).await
    }

    async fn read(
        &self,
        branch: BranchId,
        after: Lsn,
        up_to: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<Record>> {
        self.shared.read(branch, after, up_to, bytes_max).await
    }

    async fn projects(&self) -> Result<Vec<ProjectMeta>> {
        self.shared.projects().await
    }

    async fn branches(&self) -> Result<Vec<BranchMeta>> {
        self.shared.branches().await
    }

    async fn has_branch(&self, project: &str, branch: &str) -> Result<bool> {
        self.shared.has_branch(project, branch).await
    }

    async fn create_project(&self, project: &ProjectMeta, main: &BranchMeta) -> Result<()> {
        self.shared.open_for_changes()?;
        self.shared.create_project(project, main).await
    }

    async fn create_branch(&self, branch: &BranchMeta) -> Result<()> {
        self.shared.open_for_changes()?;
        self.shared.create_branch(branch).await
    }

    async fn drop_branch(&self, branch: BranchId) -> Result<()> {
        self.shared.open_for_changes()?;
        self.shared.drop_branch(branch).await
    }

    async fn drop_project(&self, project: ProjectId) -> Result<()> {
        self.shared.open_for_changes()?;
        self.shared.drop_project(project).await
    }

    async fn setting(&self, key: &str) -> Result<Option<Bytes>> {
        self.shared.setting(key).await
    }

    async fn put_setting(&self, key: &str, value: Bytes) -> Result<()> {
        self.shared.open_for_changes()?;
        self.shared.put_setting(key, &value).await
    }

    async fn close(&self) -> Result<()> {
        self.shared.lanes.close();
        self.shared.lanes.drained().await;
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        Ok(())
    }
}

impl Shared {
    fn open_for_changes(&self) -> Result<()> {
        if self.lanes.is_closed() {
            return Err(Error::Closed);
        }
        Ok(())
    }
}
