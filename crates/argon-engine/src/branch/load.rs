//! A branch's states: built from the log, kept up with what others append, let go of.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use argon_storage::{Lsn, Record};

use super::Branch;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::state::State;

/// Stored bytes that are read from the log at a time.
const READ_BYTES: usize = 32 << 20;

/// How long a reader waits for this process's own record, which the store has already, to be acknowledged here, before it
/// reads it back.
const OWN_RECORD_WAIT: Duration = Duration::from_millis(50);

impl Branch {
    /// The published state: everything acknowledged so far, materialised if it is not in memory. In a shared store,
    /// everything that this process has heard of.
    ///
    /// # Errors
    /// [`Error::Storage`] if the log cannot be read, [`Error::Replay`] if it is damaged.
    pub(crate) async fn state(&self, shared: &Shared) -> Result<Arc<State>> {
        self.last_used.store(shared.next_use(), Ordering::Relaxed);
        if let Some(state) = self.published.load_full() {
            return Ok(state);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(state) = self.published.load_full() {
            return Ok(state);
        }
        let up_to = shared.store.head(self.id()).await?;
        let state = Box::pin(self.materialize(shared, up_to)).await?;
        // A writer's publication cannot come in between: writers publish on top of a published state only.
        self.publish(&state, None);
        Ok(state)
    }

    /// A state with everything that was acknowledged to any process before the call.
    ///
    /// # Errors
    /// As [`Branch::state`]; [`argon_storage::Error::BranchGone`] if the branch was dropped.
    pub(crate) async fn fresh(&self, shared: &Shared) -> Result<Arc<State>> {
        let head = self.store_head(shared).await?;
        self.reach(shared, head).await
    }

    /// The branch's head in the store at some time after the call. Concurrent callers share one look.
    pub(crate) async fn store_head(&self, shared: &Shared) -> Result<Lsn> {
        let head = self.looks.ask(shared.store.head(self.id())).await?;
        self.heard_of(head);
        Ok(head)
    }

    /// A state that holds everything up to `target`, which the store has: read from the log if it is not published yet.
    ///
    /// # Errors
    /// As [`Branch::state`].
    pub(crate) async fn reach(&self, shared: &Shared, target: Lsn) -> Result<Arc<State>> {
        self.last_used.store(shared.next_use(), Ordering::Relaxed);
        if let Some(state) = self.published_from(target) {
            return Ok(state);
        }
        if let Some(generation) = self.is_writing(target) {
            // The store has this process's own records, so their acknowledgement is on its way; or the records are
            // another's, and the refusal is.
            let mut progress = self.progress.subscribe();
            let known = progress.wait_for(|progress| {
                progress.published >= target || progress.generation > generation
            });
            let _ = tokio::time::timeout(OWN_RECORD_WAIT, known).await;
            if let Some(state) = self.published_from(target) {
                return Ok(state);
            }
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(state) = self.published_from(target) {
            return Ok(state);
        }
        let state = Box::pin(self.materialize(shared, target)).await?;
        self.follow(shared, &state);
        Ok(state)
    }

    /// Whether what this process has submitted reaches up to `target`, and its writers' generation.
    pub(crate) fn is_writing(&self, target: Lsn) -> Option<u64> {
        let head = self.head.lock();
        let reaches = head.state.as_ref().is_some_and(|state| state.lsn >= target);
        (reaches && self.in_flight.load(Ordering::Acquire) > 0).then_some(head.generation)
    }

    /// Publishes `state`, which was read from the log, and lets writers go on from it.
    fn follow(&self, shared: &Shared, state: &Arc<State>) {
        {
            let mut head = self.head.lock();
            let behind = head.state.as_ref().is_some_and(|head| head.lsn < state.lsn);
            // With records under way the store decides whether they, or those read here, are on top of the head.
            if behind && self.in_flight.load(Ordering::Acquire) == 0 {
                head.state = Some(Arc::clone(state));
                shared.store.resume(self.id());
            }
        }
        self.publish(state, None);
    }

    fn published_from(&self, target: Lsn) -> Option<Arc<State>> {
        self.published().filter(|state| state.lsn >= target)
    }

    /// The published state, if it is in memory.
    pub(crate) fn published(&self) -> Option<Arc<State>> {
        self.published.load_full()
    }

    /// Lets go of the state in memory, unless a write is under way. Readers that hold it keep it.
    pub(crate) fn evict(&self) -> bool {
        let mut head = self.head.lock();
        let quiet = self.in_flight.load(Ordering::Acquire) == 0 && self.is_loaded();
        if quiet {
            head.state = None;
            self.published.store(None);
        }
        quiet
    }

    /// The state at `lsn`, the end of a record of this branch, built if it is not remembered.
    pub(crate) async fn state_at(&self, shared: &Shared, lsn: Lsn) -> Result<Arc<State>> {
        if let Some(state) = shared
            .past
            .find(self.id(), lsn)
            .filter(|state| state.lsn == lsn)
        {
            return Ok(state);
        }
        let state = Box::pin(self.materialize(shared, lsn)).await?;
        shared.past.remember(self.id(), &state);
        Ok(state)
    }

    /// Builds the state at `up_to` from the nearest state in memory and the log above it.
    pub(super) async fn materialize(&self, shared: &Shared, up_to: Lsn) -> Result<Arc<State>> {
        let published = self.published().filter(|state| state.lsn <= up_to);
        let past = shared.past.find(self.id(), up_to);
        let mut state = match [published, past]
            .into_iter()
            .flatten()
            .max_by_key(|state| state.lsn)
        {
            Some(state) => state,
            None => match &self.parent {
                Some(parent) => {
                    Box::pin(parent.materialize(shared, self.meta.base().min(up_to))).await?
                }
                None => Arc::new(State::empty()),
            },
        };
        while state.lsn < up_to {
            let records = shared
                .store
                .read(self.id(), state.lsn, up_to, READ_BYTES)
                .await?;
            let reached = state.lsn;
            state = tokio::task::block_in_place(|| self.replay(shared, state, &records, up_to))?;
            if state.lsn == reached {
                break;
            }
        }
        Ok(state)
    }

    /// Folds `records` on top of `state`, up to the last that ends at or before `up_to`.
    fn replay(
        &self,
        shared: &Shared,
        mut state: Arc<State>,
        records: &[Record],
        up_to: Lsn,
    ) -> Result<Arc<State>> {
        let next = Arc::make_mut(&mut state);
        for record in records {
            if record.last() > up_to {
                break;
            }
            next.replay(record, &shared.meter)
                .map_err(|source| Error::Replay {
                    branch: self.database.to_string(),
                    lsn: record.first,
                    source,
                })?;
            shared.clock.follow(record.cluster_time);
            shared.counters.replayed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(state)
    }
}
