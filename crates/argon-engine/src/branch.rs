//! A live branch: its head, the state that readers see, and the path of a write from decision to publication.
//!
//! ```text
//! decide (under the head's lock) ─ submit to the log ─ unlock ─ … durable … ─ publish ─ answer
//! ```
//!
//! The head is what writers build on; it may be ahead of what is durable. Readers see only what is published, and what
//! is published is durable. If the log refuses a record, everything decided on top of it is refused too, the head
//! is read from the log again, and the commands decide anew.
//!
//! Where other processes append to the same log, the head may be behind it. A record then loses its position to another's
//! and is decided anew on what was missed; a reader, and a command that changed nothing, first look where the log's head
//! is.

mod contention;
mod load;
mod locate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use argon_storage::record::CollectionName;
use argon_storage::{BranchId, BranchMeta, Entry, Error as StorageError, Lsn, Record, Ticket};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::engine::Shared;
use crate::error::Result;
use crate::joint::Joint;
use crate::state::State;
use crate::writer::Writer;
use contention::{Patience, Turns};

/// A live branch.
pub struct Branch {
    /// What the catalogue says of it.
    pub meta: BranchMeta,
    /// The project's name.
    pub project: Arc<str>,
    /// The database name under which clients reach it.
    pub database: Arc<str>,
    parent: Option<Arc<Branch>>,
    head: Mutex<Head>,
    /// Records submitted whose outcome this process has not dealt with yet. Grows under the head's lock only.
    in_flight: AtomicUsize,
    published: ArcSwapOption<State>,
    /// Wakes commands that changed nothing but decided on what was not durable yet.
    progress: watch::Sender<Progress>,
    /// One materialisation at a time.
    loading: tokio::sync::Mutex<()>,
    turns: Turns,
    /// Looks at the branch's head in the store.
    looks: Joint<argon_storage::Result<Lsn>>,
    /// The furthest head that this process has heard of.
    known: AtomicU64,
    last_used: AtomicU64,
}

/// What writers build on.
#[derive(Default)]
struct Head {
    /// `None` until a writer needs it, and after the log has refused a record.
    state: Option<Arc<State>>,
    /// Counts the refusals: commands decided before one must not be published after it.
    generation: u64,
}

/// How far the branch is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Progress {
    published: Lsn,
    /// Counts the refusals, as [`Head::generation`] does.
    generation: u64,
    /// How far what this generation's writers decided on is durable. Others' records may be published in place of theirs,
    /// so what is published does not tell.
    settled: Lsn,
}

/// Who writes, and what for.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The user's name; empty without authentication.
    pub actor: String,
}

/// A decided command that waits for the log.
struct Decided<T, E> {
    outcome: Result<T, E>,
    /// The position after which the outcome is durable.
    lsn: Lsn,
    generation: u64,
    /// Whether what it was decided on was not durable yet.
    waits: bool,
    appended: Option<(Ticket, Arc<State>)>,
}

impl Branch {
    pub(crate) fn new(
        meta: BranchMeta,
        project: Arc<str>,
        parent: Option<Arc<Branch>>,
        state: Option<Arc<State>>,
    ) -> Branch {
        let database = if meta.wire_name == crate::name::MAIN {
            Arc::clone(&project)
        } else {
            format!("{project}~{}", meta.wire_name).into()
        };
        let published = state.as_ref().map_or(Lsn::ZERO, |state| state.lsn);
        Branch {
            meta,
            project,
            database,
            parent,
            head: Mutex::new(Head {
                state: state.clone(),
                generation: 0,
            }),
            in_flight: AtomicUsize::new(0),
            published: ArcSwapOption::new(state),
            progress: watch::Sender::new(Progress {
                published,
                generation: 0,
                settled: published,
            }),
            loading: tokio::sync::Mutex::new(()),
            turns: Turns::default(),
            looks: Joint::default(),
            known: AtomicU64::new(0),
            last_used: AtomicU64::new(0),
        }
    }

    /// Its identity.
    pub fn id(&self) -> BranchId {
        self.meta.id
    }

    /// The branch it was forked from.
    pub fn parent(&self) -> Option<&Arc<Branch>> {
        self.parent.as_ref()
    }

    /// Whether its state is in memory.
    pub fn is_loaded(&self) -> bool {
        self.published.load().is_some()
    }

    /// Returns once something after `after` is published.
    pub async fn changed(&self, after: Lsn) {
        let mut progress = self.progress.subscribe();
        // It cannot be closed: the sender is the branch's own.
        let _ = progress
            .wait_for(|progress| progress.published > after)
            .await;
    }

    /// Whether its state is in memory and has no collection.
    pub fn is_known_empty(&self) -> bool {
        self.published()
            .is_some_and(|state| state.collections().next().is_none())
    }

    /// Takes note that the store has records up to `last`.
    pub(crate) fn heard_of(&self, last: Lsn) {
        self.known.fetch_max(last.0, Ordering::Relaxed);
    }

    /// Entries that the store is known to have and that are not published yet.
    pub(crate) fn behind(&self) -> u64 {
        let known = self.known.load(Ordering::Relaxed);
        let published = self.published().map_or(known, |state| state.lsn.0);
        known.saturating_sub(published)
    }

    /// How often this process has looked for the head in a shared store.
    pub(crate) fn looks(&self) -> u64 {
        self.looks.put()
    }

    /// Records that were submitted and not dealt with yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed) as u64
    }

    /// When it was last used, on the cache's own count.
    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Makes one command's decision on the head, appends it to the log and returns once it is durable and visible.
    ///
    /// `decide` may be called again on a newer state if another writer was faster. If it fails, nothing is written.
    /// The returned future must be polled to its end once it was polled: it publishes what the log has taken.
    ///
    /// # Errors
    /// [`crate::Error::Storage`] if the log did not take the record, [`crate::Error::Contended`] if others were faster again and again.
    /// What `decide` answers is inside.
    pub(crate) async fn write<T, E>(
        &self,
        shared: &Shared,
        origin: &Origin,
        decide: &mut impl FnMut(&mut Writer) -> Result<T, E>,
    ) -> Result<Result<T, E>> {
        let mut patience = Patience::new(self);
        // The log's head after the command came, once that was looked up.
        let mut known = None;
        loop {
            shared.store.ready().await?;
            if shared.follows {
                self.take_turns(shared).await;
            }
            self.ensure_head(shared).await?;
            let decided = match self.decide(shared, origin, decide) {
                Ok(Some(decided)) => decided,
                Ok(None) => continue,
                Err(error) if is_lost(&error) => {
                    patience.lost(shared, &error).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some((ticket, state)) = decided.appended else {
                if decided.waits && !self.wait(decided.lsn, decided.generation).await {
                    patience.again(shared).await?;
                    continue;
                }
                if !shared.follows {
                    return Ok(decided.outcome);
                }
                // Nothing was appended that would have been refused if it was decided on an old state.
                let head = match known {
                    Some(head) => head,
                    None => *known.insert(self.store_head(shared).await?),
                };
                if decided.lsn >= head {
                    return Ok(decided.outcome);
                }
                self.reach(shared, head).await?;
                if self.in_flight() > 0 {
                    // Until those are refused, decisions are made on top of them.
                    patience.again(shared).await?;
                }
                continue;
            };
            let taken = ticket.await;
            match &taken {
                Ok(()) => {
                    self.publish(&state, Some(decided.generation));
                    if shared.follows {
                        self.won();
                    }
                }
                Err(_) => self.refuse(decided.generation),
            }
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            match taken {
                Ok(()) => return Ok(decided.outcome),
                Err(error) if is_lost(&error) => patience.lost(shared, &error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Decides on the head and submits the record; `None` if the head was let go of in between.
    fn decide<T, E>(
        &self,
        shared: &Shared,
        origin: &Origin,
        decide: &mut impl FnMut(&mut Writer) -> Result<T, E>,
    ) -> argon_storage::Result<Option<Decided<T, E>>> {
        let mut head = self.head.lock();
        let Some(state) = &head.state else {
            return Ok(None);
        };
        let mut writer = Writer::new(
            State::clone(state),
            Arc::clone(&self.database),
            Arc::clone(&shared.meter),
            shared.wall_ms(),
        );
        let outcome = decide(&mut writer);
        let generation = head.generation;
        let waits = self.in_flight.load(Ordering::Acquire) > 0;
        if outcome.is_err() || writer.entries.is_empty() {
            return Ok(Some(Decided {
                outcome,
                lsn: state.lsn,
                generation,
                waits,
                appended: None,
            }));
        }
        let now_ms = shared.wall_ms().max(state.timestamp_ms);
        shared.clock.follow(state.cluster_time);
        let record = Record {
            branch: self.id(),
            first: state.lsn.next(),
            timestamp_ms: now_ms,
            cluster_time: shared.clock.tick(now_ms),
            writer: shared.writer,
            actor: origin.actor.clone(),
            operation: writer.operation,
            collections: touched(&writer.entries),
            entries: writer.entries,
            session: writer.stamp,
        };
        let ticket = match shared.store.submit(&record) {
            Ok(ticket) => ticket,
            Err(error) => {
                // The log knows better where the head is: read it again before the next decision.
                self.forget(&mut head);
                return Err(error);
            }
        };
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let mut state = writer.state;
        state.seal(&record);
        let state = Arc::new(state);
        head.state = Some(Arc::clone(&state));
        Ok(Some(Decided {
            outcome,
            lsn: state.lsn,
            generation,
            waits,
            appended: Some((ticket, state)),
        }))
    }

    /// Makes sure that there is a head to decide on.
    async fn ensure_head(&self, shared: &Shared) -> Result<()> {
        let published = self.state(shared).await?;
        {
            let mut head = self.head.lock();
            match &head.state {
                // Others' records were published after the last of this process's own.
                Some(state)
                    if state.lsn < published.lsn && self.in_flight.load(Ordering::Acquire) == 0 =>
                {
                    head.state = Some(published);
                    shared.store.resume(self.id());
                    return Ok(());
                }
                Some(_) => return Ok(()),
                None => {}
            }
        }
        let _one_at_a_time = self.loading.lock().await;
        if self.head.lock().state.is_some() {
            return Ok(());
        }
        // After a refusal the log may hold more than was published: an earlier record whose command has not run on yet, or
        // those of another process.
        let up_to = shared.store.head(self.id()).await?;
        let state = match self.published() {
            Some(published) if published.lsn >= up_to => published,
            _ => Box::pin(self.materialize(shared, up_to)).await?,
        };
        let mut head = self.head.lock();
        if head.state.is_none() {
            head.state = Some(Arc::clone(&state));
            shared.store.resume(self.id());
            self.publish(&state, Some(head.generation));
        }
        Ok(())
    }

    /// Lets readers see `state`, unless they see a later one already. `writers` is the generation that decided it, or goes
    /// on from it.
    fn publish(&self, state: &Arc<State>, writers: Option<u64>) {
        let lsn = state.lsn;
        self.published.rcu(|current| match current {
            Some(current) if current.lsn >= lsn => Some(Arc::clone(current)),
            _ => Some(Arc::clone(state)),
        });
        self.progress.send_if_modified(|progress| {
            let before = *progress;
            progress.published = progress.published.max(lsn);
            if writers == Some(progress.generation) {
                progress.settled = progress.settled.max(lsn);
            }
            *progress != before
        });
    }

    /// Forgets what was decided on top of a refused record.
    fn refuse(&self, generation: u64) {
        let mut head = self.head.lock();
        if head.generation == generation {
            self.forget(&mut head);
        }
    }

    fn forget(&self, head: &mut Head) {
        head.state = None;
        head.generation += 1;
        self.progress.send_modify(|progress| {
            progress.generation = head.generation;
            progress.settled = Lsn::ZERO;
        });
    }

    /// Waits until everything up to `lsn` is durable as writers of `generation` decided it: an answer must not tell of a
    /// write that may yet be refused. False if it was refused, or nobody can tell any more.
    async fn wait(&self, lsn: Lsn, generation: u64) -> bool {
        let settled =
            |progress: &Progress| progress.generation == generation && progress.settled >= lsn;
        let mut progress = self.progress.subscribe();
        progress
            .wait_for(|progress| settled(progress) || progress.generation > generation)
            .await
            .is_ok_and(|progress| settled(&progress))
    }
}

/// Whether the log has refused a record for its position: nothing of it was written, and it can be decided anew.
fn is_lost(error: &StorageError) -> bool {
    matches!(error, StorageError::Taken { .. } | StorageError::Gap { .. })
}

/// The collections that a command's entries touch, each once.
fn touched(entries: &[Entry]) -> Vec<CollectionName> {
    let mut touched: Vec<CollectionName> = Vec::new();
    let mut touch = |name: &CollectionName| {
        // Entries of one command mostly touch one collection, and share its name.
        if !touched
            .iter()
            .any(|known| Arc::ptr_eq(known, name) || known == name)
        {
            touched.push(Arc::clone(name));
        }
    };
    for entry in entries {
        match entry {
            Entry::Put { collection, .. }
            | Entry::Patch { collection, .. }
            | Entry::Delete { collection, .. }
            | Entry::CreateCollection { collection, .. }
            | Entry::DropCollection { collection }
            | Entry::CreateIndex { collection, .. }
            | Entry::DropIndex { collection, .. }
            | Entry::CollMod { collection, .. } => touch(collection),
            Entry::RenameCollection { from, to, .. } => {
                touch(from);
                touch(to);
            }
            Entry::DropDatabase | Entry::Noop => {}
        }
    }
    touched
}
