//! The store in one directory, for one process: the default.
//!
//! # Picture
//!
//! ```text
//!   submit ──► queue ──► committer ──► log/0000000007.seg   one write and one fdatasync per group
//!                            │                  ▲
//!                            ▼                  │ reads blocks
//!                        published ◄── readers ─┘           catalogue, heads, block index
//!                                                keeper: next file, summaries, cleaning
//! ```
//!
//! The log is a row of segments, each a row of frames, each a stored document with two checksums. A
//! group of changes is one contiguous write and one sync. Every segment begins with the whole
//! catalogue, so that any older one can go once nobody needs its records. Every byte is drawn in
//! `docs/storage-format.md`; why this and no storage engine from a registry is in
//! `docs/adr/2026-11-20-embedded-store.md`.
//!
//! # What it does not do
//!
//! It keeps no documents in memory and no cache: the operating system's is enough for a log that is
//! read in order. It does not drop records of living branches; that needs to know about snapshots.

mod active;
mod committer;
mod disk;
mod frame;
mod frames;
mod index;
mod keeper;
mod reader;
mod recovery;
mod segment;
mod shared;

use std::fs::{File, OpenOptions as FileOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use self::committer::Committer;
use self::disk::Disk;
use self::keeper::Keeper;
use self::segment::Paths;
use self::shared::{Shared, Task};
use super::ledger::Change;
use super::{BranchMeta, LogStore, OpenOptions, ProjectMeta, Status, Ticket};
use crate::record::encode;
use crate::{BranchId, Error, Lsn, ProjectId, Record, Result};

/// A store in one directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until the threads have ended.
    lock: Mutex<Option<File>>,
}

/// Opens the store in the directory that the address names.
pub(super) async fn open(rest: &str, options: &OpenOptions) -> Result<Arc<dyn LogStore>> {
    if rest.is_empty() {
        return Err(Error::BadUri {
            uri: "embedded:".into(),
            reason: "it names no directory".into(),
        });
    }
    let (directory, options) = (rest.to_owned(), options.clone());
    let store = blocking(move || EmbeddedStore::open(Path::new(&directory), &options)).await?;
    Ok(Arc::new(store))
}

/// Runs what waits for the disk where it delays no other task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::Closed))
}

impl EmbeddedStore {
    /// Opens the store in `directory`, which is created if it is not there. Blocks the thread.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NewerFormat`], [`Error::CorruptCatalog`] or [`Error::Io`].
    pub fn open(directory: &Path, options: &OpenOptions) -> Result<Self> {
        let disk = Disk {
            #[cfg(any(test, feature = "testing"))]
            faults: options.faults.clone(),
        };
        let paths = Paths::new(directory);
        paths.create()?;
        let lock = lock(&paths)?;
        let (published, active) = recovery::recover(paths.clone(), disk, options.segment_bytes)?;
        let mut segments: Vec<u64> = published.segments.keys().copied().collect();
        segments.pop();
        let unsummarized = segments
            .into_iter()
            .filter(|number| !paths.summary(*number).exists());
        let unsummarized: Vec<u64> = unsummarized.collect();
        let shared = Arc::new(Shared::new(published));
        let committer = Committer::new(Arc::clone(&shared), active, options.durability);
        let keeper = Keeper::new(Arc::clone(&shared), paths);
        let failed = |source| Error::io("starting a thread of the store", source);
        let threads = vec![
            thread::Builder::new()
                .name("argon-log".into())
                .spawn(move || committer.run())
                .map_err(failed)?,
            thread::Builder::new()
                .name("argon-keeper".into())
                .spawn(move || keeper.run())
                .map_err(failed)?,
        ];
        for number in unsummarized {
            shared.task(Task::Summarize(number));
        }
        shared.task(Task::Clean);
        Ok(EmbeddedStore {
            shared,
            threads: Mutex::new(threads),
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Ends the threads, after everything submitted is done. Blocks the thread.
    fn stop(&self) {
        self.shared.refuse(Error::Closed);
        self.shared.task(Task::Stop);
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has told its tickets so by going away.
            let _ = thread.join();
        }
        *self.lock.lock() = None;
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(paths: &Paths) -> Result<File> {
    let path = paths.lock();
    let failed = |source| Error::io(format!("locking {}", path.display()), source);
    let file = FileOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked {
            directory: paths.directory().to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[async_trait]
impl LogStore for EmbeddedStore {
    fn status(&self) -> Status {
        Status {
            last_error: self.shared.refusal().map(|error| error.to_string()),
            ..Status::healthy("embedded")
        }
    }

    fn submit(&self, record: &Record) -> Result<Ticket> {
        self.shared.submit(Change::Append(encode(record)?))
    }

    async fn ready(&self) -> Result<()> {
        self.shared.ready().await
    }

    async fn head(&self, branch: BranchId) -> Result<Lsn> {
        self.shared.read().ledger.head(branch)
    }

    async fn read(
        &self,
        branch: BranchId,
        after: Lsn,
        up_to: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<Record>> {
        let shared = Arc::clone(&self.shared);
        blocking(move || reader::read(&shared, branch, after, up_to, bytes_max)).await
    }

    async fn projects(&self) -> Result<Vec<ProjectMeta>> {
        Ok(self.shared.read().ledger.projects())
    }

    async fn branches(&self) -> Result<Vec<BranchMeta>> {
        Ok(self.shared.read().ledger.branches())
    }

    async fn create_project(&self, project: &ProjectMeta, main: &BranchMeta) -> Result<()> {
        let (project, main) = (Arc::new(project.clone()), Arc::new(main.clone()));
        self.shared
            .submit(Change::CreateProject { project, main })?
            .await
    }

    async fn create_branch(&self, branch: &BranchMeta) -> Result<()> {
        self.shared
            .submit(Change::CreateBranch(Arc::new(branch.clone())))?
            .await
    }

    async fn drop_branch(&self, branch: BranchId) -> Result<()> {
        self.shared.submit(Change::DropBranch(branch))?.await
    }

    async fn drop_project(&self, project: ProjectId) -> Result<()> {
        self.shared
            .plan(|ledger| ledger.drop_of_project(project))?
            .await
    }

    async fn setting(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.shared.read().settings.get(key).cloned())
    }

    async fn put_setting(&self, key: &str, value: Bytes) -> Result<()> {
        self.shared
            .submit(Change::PutSetting {
                key: key.to_owned(),
                value,
            })?
            .await
    }

    async fn close(&self) -> Result<()> {
        self.shared.refuse(Error::Closed);
        self.shared.task(Task::Stop);
        let threads: Vec<_> = self.threads.lock().drain(..).collect();
        let lock = self.lock.lock().take();
        blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
            drop(lock);
            Ok(())
        })
        .await?;
        match self.shared.refusal() {
            Some(error @ Error::Poisoned { .. }) => Err(error),
            _ => Ok(()),
        }
    }
}
