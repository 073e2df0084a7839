//! A store that is gone with the process: for tests, and to try Argon out.
//!
//! It keeps records as the same bytes as every other store, so the codec is always part of a test.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::ledger::{Change, Ledger};
use super::{BranchMeta, LogStore, ProjectMeta, Status, Ticket};
use crate::record::{Encoded, Stored, encode};
use crate::{BranchId, Error, Lsn, ProjectId, Record, Result};

/// A store in memory. Every change is "durable" at once.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ledger: Ledger,
    logs: HashMap<BranchId, BTreeMap<Lsn, Encoded>>,
    settings: HashMap<String, Bytes>,
    closed: bool,
}

/// Opens an empty store; there is nothing to name after the scheme.
pub(super) async fn open(rest: &str) -> Result<Arc<dyn LogStore>> {
    if !rest.is_empty() {
        return Err(Error::BadUri {
            uri: format!("memory:{rest}"),
            reason: "a store in memory has no name".into(),
        });
    }
    Ok(Arc::new(MemoryStore::default()))
}

impl MemoryStore {
    fn make(&self, change: Change) -> Result<()> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Error::Closed);
        }
        inner.ledger.check(&change)?;
        inner.ledger.apply(&change);
        match change {
            Change::Append(record) => {
                inner
                    .logs
                    .entry(record.branch)
                    .or_default()
                    .insert(record.first, record);
            }
            Change::DropBranch(branch) => {
                inner.logs.remove(&branch);
            }
            Change::DropProject { branches, .. } => {
                for branch in branches {
                    inner.logs.remove(&branch);
                }
            }
            Change::PutSetting { key, value } => {
                inner.settings.insert(key, value);
            }
            Change::CreateProject { .. } | Change::CreateBranch(_) => {}
        }
        Ok(())
    }
}

#[async_trait]
impl LogStore for MemoryStore {
    fn status(&self) -> Status {
        Status::healthy("memory")
    }

    fn submit(&self, record: &Record) -> Result<Ticket> {
        self.make(Change::Append(encode(record)?))?;
        Ok(Ticket::ready(Ok(())))
    }

    async fn ready(&self) -> Result<()> {
        if self.inner.lock().closed {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    async fn head(&self, branch: BranchId) -> Result<Lsn> {
        self.inner.lock().ledger.head(branch)
    }

    async fn read(
        &self,
        branch: BranchId,
        after: Lsn,
        up_to: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<Record>> {
        let inner = self.inner.lock();
        let found = inner.ledger.branch(branch)?;
        let mut reading = super::Reading::new(found, after, up_to, bytes_max)?;
        let Some(log) = inner.logs.get(&branch) else {
            return reading.finish();
        };
        // The record that holds `after + 1` may have begun before it.
        let start = log
            .range(..=reading.next())
            .next_back()
            .map_or(Lsn::ZERO, |(first, _)| *first);
        for (first, record) in log.range(start..) {
            let stored = Stored::parse(branch, *first, &record.main)?;
            let part = |index: u32| {
                Ok(usize::try_from(index)
                    .ok()
                    .and_then(|index| record.parts.get(index))
                    .cloned())
            };
            if !reading.take(stored, record.len(), part)? {
                break;
            }
        }
        reading.finish()
    }

    async fn projects(&self) -> Result<Vec<ProjectMeta>> {
        Ok(self.inner.lock().ledger.projects())
    }

    async fn branches(&self) -> Result<Vec<BranchMeta>> {
        Ok(self.inner.lock().ledger.branches())
    }

    async fn create_project(&self, project: &ProjectMeta, main: &BranchMeta) -> Result<()> {
        self.make(Change::CreateProject {
            project: Arc::new(project.clone()),
            main: Arc::new(main.clone()),
        })
    }

    async fn create_branch(&self, branch: &BranchMeta) -> Result<()> {
        self.make(Change::CreateBranch(Arc::new(branch.clone())))
    }

    async fn drop_branch(&self, branch: BranchId) -> Result<()> {
        self.make(Change::DropBranch(branch))
    }

    async fn drop_project(&self, project: ProjectId) -> Result<()> {
        let change = self.inner.lock().ledger.drop_of_project(project)?;
        self.make(change)
    }

    async fn setting(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.inner.lock().settings.get(key).cloned())
    }

    async fn put_setting(&self, key: &str, value: Bytes) -> Result<()> {
        self.make(Change::PutSetting {
            key: key.to_owned(),
            value,
        })
    }

    async fn close(&self) -> Result<()> {
        self.inner.lock().closed = true;
        Ok(())
    }
}
