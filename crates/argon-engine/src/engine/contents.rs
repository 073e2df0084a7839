//! What databases hold: read, and written to.

use std::sync::Arc;

use argon_storage::ClusterTime;

use super::{Database, Engine, RESOLUTIONS_MAX};
use crate::branch::{Branch, Origin};
use crate::error::{Error, Result};
use crate::follow::ReadConsistency;
use crate::state::State;
use crate::writer::Writer;

impl Engine {
    /// The contents of the database called `name`, as [`Engine::read`] gives them; `None` if there is no such project yet.
    ///
    /// # Errors
    /// Those of [`Engine::database`] and [`Engine::read`].
    pub async fn open_database(
        &self,
        name: &str,
        after: Option<ClusterTime>,
    ) -> Result<Option<Arc<State>>> {
        let mut attempts = 0;
        loop {
            let Some(database) = self.database(name).await? else {
                return Ok(None);
            };
            match self.read(&database, after).await {
                Err(error) if error.is_gone() && attempts < RESOLUTIONS_MAX => {
                    attempts += 1;
                    self.refresh().await?;
                }
                read => return read.map(Some),
            }
        }
    }

    /// The contents of `database`: everything acknowledged so far, or as of its point. In a shared store that is not read
    /// strongly, everything this process has heard of, and everything up to `after`.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Replay`], [`Error::BeyondHead`].
    pub async fn read(
        &self,
        database: &Database,
        after: Option<ClusterTime>,
    ) -> Result<Arc<State>> {
        let branch = &database.branch;
        if database.point.is_none() {
            let loaded = branch.is_loaded();
            let state = if self.shared.follows {
                self.read_shared(branch, after).await?
            } else {
                branch.state(&self.shared).await?
            };
            if !loaded {
                self.shrink(branch.id());
            }
            return Ok(state);
        }
        let (owner, lsn) = branch.locate(&self.shared, database.point).await?;
        let state = owner.state_at(&self.shared, lsn).await?;
        self.shrink(branch.id());
        Ok(state)
    }

    async fn read_shared(&self, branch: &Branch, after: Option<ClusterTime>) -> Result<Arc<State>> {
        if self.shared.config.read_consistency == ReadConsistency::Causal {
            let state = branch.state(&self.shared).await?;
            // Times grow along a log, so nothing up to `after` can come any more. If the branch's last write was earlier,
            // only the store can tell that it was the last.
            if after.is_none_or(|after| state.cluster_time >= after) {
                return Ok(state);
            }
        }
        branch.fresh(&self.shared).await
    }

    /// The contents of the database called `name` as far as this process knows them, which is everything unless others
    /// write to the store too. For what a write prepares: its decision sees the latest.
    ///
    /// # Errors
    /// Those of [`Engine::open_database`].
    pub async fn known_database(&self, name: &str) -> Result<Option<Arc<State>>> {
        if self.shared.follows
            && let Some(Database {
                branch,
                point: None,
            }) = self.database(name).await?
        {
            match branch.state(&self.shared).await {
                Err(error) if error.is_gone() => {}
                state => return state.map(Some),
            }
        }
        self.open_database(name, None).await
    }

    /// Makes one command's decision on `branch` and appends it to the log; durable and visible when it returns. If
    /// another process has dropped the branch, the decision is made on what has its name now.
    ///
    /// # Errors
    /// What `decide` answers; [`Error::Storage`] if the log did not take it, [`Error::Contended`].
    pub async fn write<T, E: From<Error>>(
        &self,
        branch: &Branch,
        origin: &Origin,
        mut decide: impl FnMut(&mut Writer) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut attempts = 0;
        let mut successor: Option<Arc<Branch>> = None;
        let written = loop {
            let target = successor.as_deref().unwrap_or(branch);
            match target.write(&self.shared, origin, &mut decide).await {
                // Another process has dropped it, before the name was resolved here.
                Err(error)
                    if error.is_gone() && self.shared.follows && attempts < RESOLUTIONS_MAX =>
                {
                    attempts += 1;
                    self.refresh().await?;
                    successor = Some(self.database_for_write(&branch.database).await?);
                }
                written => break written,
            }
        };
        if self.shared.meter.held() > self.shared.config.cache_bytes {
            self.shrink(branch.id());
        }
        written?
    }
}
