//! A store that fails on demand, in front of any other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::{
    BranchId, BranchMeta, Error, LogStore, Lsn, News, ProjectId, ProjectMeta, Record, Result,
    Status, Ticket,
};

/// How one submission fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitFault {
    /// It does not.
    None,
    /// Refused at once: the queue is full.
    QueueFull,
    /// Its ticket says that there was no room. It is not stored, so what follows it leaves a gap.
    OutOfSpace,
    /// Its ticket says that the outcome is unknown. It is stored.
    UnknownStored,
    /// Its ticket says that the outcome is unknown. It is not stored.
    UnknownLost,
    /// It is stored, and its ticket completes this much later.
    Slow(Duration),
}

/// Forwards everything to another store, except where a fault was ordered.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn LogStore>,
    faults: Mutex<VecDeque<SubmitFault>>,
}

impl FaultStore {
    /// A store in front of `inner` that does not fail yet.
    #[must_use]
    pub fn new(inner: Arc<dyn LogStore>) -> Self {
        FaultStore {
            inner,
            faults: Mutex::default(),
        }
    }

    /// Orders faults for the submissions to come, one each, after those ordered before.
    pub fn order(&self, faults: impl IntoIterator<Item = SubmitFault>) {
        self.faults.lock().extend(faults);
    }
}

#[async_trait]
impl LogStore for FaultStore {
    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn resume(&self, branch: BranchId) {
        self.inner.resume(branch);
    }

    fn news(&self) -> Option<broadcast::Receiver<News>> {
        self.inner.news()
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    fn submit(&self, record: &Record) -> Result<Ticket> {
        let fault = self.faults.lock().pop_front().unwrap_or(SubmitFault::None);
        let reason = || "a test made it fail".to_owned();
        match fault {
            SubmitFault::None => self.inner.submit(record),
            SubmitFault::QueueFull => Err(Error::QueueFull { pending_bytes: 0 }),
            SubmitFault::OutOfSpace => {
                Ok(Ticket::ready(Err(Error::OutOfSpace { reason: reason() })))
            }
            SubmitFault::UnknownStored => {
                let stored = self.inner.submit(record)?;
                let (done, ticket) = Ticket::pending();
                tokio::spawn(async move {
                    let outcome = stored.await;
                    let unknown = Err(Error::Unknown { reason: reason() });
                    // Whoever dropped the ticket does not want to know.
                    drop(done.send(outcome.and(unknown)));
                });
                Ok(ticket)
            }
            SubmitFault::UnknownLost => Ok(Ticket::ready(Err(Error::Unknown { reason: reason() }))),
            SubmitFault::Slow(delay) => {
                let stored = self.inner.submit(record)?;
                let (done, ticket) = Ticket::pending();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    drop(done.send(stored.await));
                });
                Ok(ticket)
            }
        }
    }

    async fn ready(&self) -> Result<()> {
        self.inner.ready().await
    }

    async fn head(&self, branch: BranchId) -> Result<Lsn> {
        self.inner.head(branch).await
    }

    async fn read(
        &self,
        branch: BranchId,
        after: Lsn,
        up_to: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<Record>> {
        self.inner.read(branch, after, up_to, bytes_max).await
    }

    async fn projects(&self) -> Result<Vec<ProjectMeta>> {
        self.inner.projects().await
    }

    async fn branches(&self) -> Result<Vec<BranchMeta>> {
        self.inner.branches().await
    }

    async fn create_project(&self, project: &ProjectMeta, main: &BranchMeta) -> Result<()> {
        self.inner.create_project(project, main).await
    }

    async fn create_branch(&self, branch: &BranchMeta) -> Result<()> {
        self.inner.create_branch(branch).await
    }

    async fn drop_branch(&self, branch: BranchId) -> Result<()> {
        self.inner.drop_branch(branch).await
    }

    async fn drop_project(&self, project: ProjectId) -> Result<()> {
        self.inner.drop_project(project).await
    }

    async fn setting(&self, key: &str) -> Result<Option<Bytes>> {
        self.inner.setting(key).await
    }

    async fn put_setting(&self, key: &str, value: Bytes) -> Result<()> {
        self.inner.put_setting(key, value).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
