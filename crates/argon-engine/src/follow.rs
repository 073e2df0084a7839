//! What other processes do to a store that several share: the catalogue they change, the records they append.
//!
//! Nothing here is needed for a right answer. Who needs to know asks the store; this keeps what is in memory warm, and
//! wakes those who wait for a change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon_storage::{BranchId, Lsn, News};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::engine::Engine;
use crate::error::Result;

/// What happened since the process started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Records that lost their position to another process's.
    pub(crate) lost: AtomicU64,
    /// Decisions that were made anew.
    pub(crate) redecided: AtomicU64,
    /// Records that were read from the log and folded.
    pub(crate) replayed: AtomicU64,
}

/// How the engine stands to its store, for whoever looks after it.
#[derive(Clone, Debug)]
pub struct Status {
    /// The store.
    pub store: argon_storage::Status,
    /// Whether other processes use the store too.
    pub shared: bool,
    /// What a read sees.
    pub read_consistency: ReadConsistency,
    /// Entries that the store is known to have and that are not in memory yet, of the branches that are.
    pub behind: u64,
    /// Records that are on their way to the store.
    pub in_flight: u64,
    /// Looks at branches' heads in a shared store, each for all reads that came before it; of the branches in memory.
    pub head_checks: u64,
    /// Records that lost their position to another process's.
    pub appends_lost: u64,
    /// Decisions that were made anew.
    pub decisions_repeated: u64,
    /// Records that were read from the log and folded.
    pub records_replayed: u64,
}

/// What a read of a branch's present sees in a store that several processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadConsistency {
    /// Everything acknowledged to any client before the read: it looks where the branch's head is.
    #[default]
    Strong,
    /// What this process has heard of, its own writes included; everything up to the time that the client names in
    /// `readConcern.afterClusterTime`, as drivers do in causally consistent sessions.
    Causal,
}

impl std::str::FromStr for ReadConsistency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "strong" => Ok(ReadConsistency::Strong),
            "causal" => Ok(ReadConsistency::Causal),
            _ => Err(format!("`{text}` is neither `strong` nor `causal`")),
        }
    }
}

impl std::fmt::Display for ReadConsistency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReadConsistency::Strong => "strong",
            ReadConsistency::Causal => "causal",
        })
    }
}

/// News that were waiting, put together.
#[derive(Default)]
struct Gathered {
    catalog: bool,
    anything: bool,
    appended: BTreeMap<BranchId, Lsn>,
}

impl Gathered {
    fn add(&mut self, news: News) {
        match news {
            News::Anything => self.anything = true,
            News::Catalog => self.catalog = true,
            News::Appended { branch, last } => {
                let known = self.appended.entry(branch).or_default();
                *known = last.max(*known);
            }
        }
    }
}

impl Engine {
    /// Keeps what is in memory up with what other processes write, for as long as it is polled. Ends if the store has no
    /// news to tell.
    pub async fn follow(&self) {
        let Some(mut news) = self.shared.store.news() else {
            return;
        };
        loop {
            let mut gathered = Gathered::default();
            match news.recv().await {
                Ok(first) => gathered.add(first),
                Err(RecvError::Lagged(_)) => gathered.anything = true,
                Err(RecvError::Closed) => return,
            }
            loop {
                match news.try_recv() {
                    Ok(next) => gathered.add(next),
                    Err(TryRecvError::Lagged(_)) => gathered.anything = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            self.catch_up(gathered).await;
        }
    }

    async fn catch_up(&self, news: Gathered) {
        if news.anything || news.catalog {
            self.note(self.refresh().await);
        }
        if news.anything {
            for branch in self.loaded() {
                self.note(branch.fresh(&self.shared).await);
            }
            return;
        }
        for (id, last) in news.appended {
            let Some(branch) = self.branch_by_id(id) else {
                continue;
            };
            branch.heard_of(last);
            // What is not in memory is read when it is needed. Of this process's own records its writers take care.
            let behind = branch.published().is_some_and(|state| state.lsn < last);
            if behind && branch.is_writing(last).is_none() {
                self.note(branch.reach(&self.shared, last).await);
            }
        }
    }

    /// Nobody waits for what goes wrong here: the next read meets it again.
    fn note<T>(&self, outcome: Result<T>) {
        if let Err(error) = outcome {
            tracing::debug!(%error, "cannot follow the store");
        }
    }

    /// Reads the catalogue again if other processes may have changed it, or waits for a change that is under way.
    ///
    /// # Errors
    /// [`crate::Error::Storage`] if the store cannot be read.
    pub async fn refresh(&self) -> Result<()> {
        if !self.shared.follows {
            drop(self.changing.lock().await);
            return Ok(());
        }
        let read = async {
            let _one_at_a_time = self.changing.lock().await;
            self.reload().await
        };
        self.catalog_reads.ask(read).await
    }

    /// Reads the catalogue again if other processes may have changed it. The caller holds the lock on changes, so that what
    /// this process has just created is not taken for dropped.
    pub(crate) async fn reload(&self) -> Result<()> {
        if !self.shared.follows {
            return Ok(());
        }
        let projects = self.shared.store.projects().await?;
        let branches = self.shared.store.branches().await?;
        self.catalog.write().update(projects, branches);
        Ok(())
    }

    /// How the engine stands to its store.
    pub fn status(&self) -> Status {
        let counters = &self.shared.counters;
        let (mut behind, mut in_flight, mut head_checks) = (0, 0, 0);
        for branch in self.loaded() {
            behind += branch.behind();
            in_flight += branch.in_flight();
            head_checks += branch.looks();
        }
        Status {
            store: self.shared.store.status(),
            shared: self.shared.follows,
            read_consistency: self.shared.config.read_consistency,
            behind,
            in_flight,
            head_checks,
            appends_lost: counters.lost.load(Ordering::Relaxed),
            decisions_repeated: counters.redecided.load(Ordering::Relaxed),
            records_replayed: counters.replayed.load(Ordering::Relaxed),
        }
    }

    fn branch_by_id(&self, id: BranchId) -> Option<Arc<crate::Branch>> {
        self.catalog.read().branch(id).cloned()
    }
}
