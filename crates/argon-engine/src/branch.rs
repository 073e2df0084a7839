//! A live branch: its head, the state that readers see, and the path of a write from decision to publication.
//!
//! ```text
//! decide (under the head's lock) ─ submit to the log ─ unlock ─ … durable … ─ publish ─ answer
//! ```
//!
//! The head is what writers build on; it may be ahead of what is durable. Readers see only what is published, and what
//! is published is durable. If the log refuses a record, everything decided on top of it is refused too, and the head
//! is read from the log again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use argon_storage::record::CollectionName;
use argon_storage::{BranchId, BranchMeta, ClusterTime, Entry, Lsn, Record, Ticket};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::name::Point;
use crate::state::State;
use crate::writer::Writer;

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
    published: ArcSwapOption<State>,
    /// Wakes commands that changed nothing but decided on what was not durable yet.
    progress: watch::Sender<Progress>,
    /// One materialisation at a time.
    loading: tokio::sync::Mutex<()>,
    pub(crate) dropped: AtomicBool,
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
    generation: u64,
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
    appended: Option<(Ticket, Arc<State>)>,
}

/// Stored bytes that are read from the log at a time.
const READ_BYTES: usize = 32 << 20;

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
            published: ArcSwapOption::new(state),
            progress: watch::Sender::new(Progress {
                published,
                generation: 0,
            }),
            loading: tokio::sync::Mutex::new(()),
            dropped: AtomicBool::new(false),
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

    /// When it was last used, on the cache's own count.
    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// The published state: everything acknowledged so far, materialised if it is not in memory.
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
        self.published.store(Some(Arc::clone(&state)));
        self.announce(state.lsn);
        Ok(state)
    }

    /// The branch in whose log `point` lies, this one or an ancestor, and the end of the last record up to it: rounded
    /// down, so that no reader sees half a command. Reads the log, not the state.
    ///
    /// # Errors
    /// [`Error::BeyondHead`], [`Error::Storage`].
    pub(crate) async fn locate(
        self: &Arc<Branch>,
        shared: &Shared,
        point: Option<Point>,
    ) -> Result<(Arc<Branch>, Lsn)> {
        let head = shared.store.head(self.id()).await?;
        match point {
            None => Ok((Arc::clone(self), head)),
            Some(Point::Lsn(lsn)) if lsn > head => {
                let branch = self.database.to_string();
                Err(Error::BeyondHead {
                    branch,
                    point: lsn,
                    head,
                })
            }
            Some(Point::Lsn(lsn)) => {
                let mut owner = self;
                while let Some(parent) = owner.parent.as_ref().filter(|_| lsn < owner.meta.base()) {
                    owner = parent;
                }
                if lsn == owner.meta.base() {
                    return Ok((Arc::clone(owner), lsn));
                }
                let records = shared
                    .store
                    .read(owner.id(), lsn.previous(), lsn, 1)
                    .await?;
                let end = records.first().map_or(lsn, |record| {
                    if record.last() <= lsn {
                        record.last()
                    } else {
                        record.first.previous()
                    }
                });
                Ok((Arc::clone(owner), end))
            }
            Some(Point::Instant(instant_ms)) => self.locate_instant(shared, head, instant_ms).await,
        }
    }

    /// The place of `instant_ms` (milliseconds since the epoch): after the last record that was not later.
    async fn locate_instant(
        self: &Arc<Branch>,
        shared: &Shared,
        head: Lsn,
        instant_ms: i64,
    ) -> Result<(Arc<Branch>, Lsn)> {
        let mut owner = self;
        let mut up_to = head;
        // The ancestor in whose log the instant lies: the newest whose first record is not later.
        while let Some(parent) = &owner.parent {
            let first = shared
                .store
                .read(owner.id(), owner.meta.base(), up_to, 1)
                .await?;
            if first
                .first()
                .is_some_and(|record| record.timestamp_ms <= instant_ms)
            {
                break;
            }
            up_to = owner.meta.base();
            owner = parent;
        }
        let mut found = owner.meta.base();
        // Times grow along a log, so the last record not later is found by halving.
        let (mut low, mut high) = (owner.meta.base(), up_to);
        while low < high {
            let middle = Lsn(low.0 + (high.0 - low.0) / 2);
            let records = shared.store.read(owner.id(), middle, high, 1).await?;
            match records.first() {
                Some(record) if record.timestamp_ms <= instant_ms => {
                    found = record.last();
                    low = record.last();
                }
                Some(_) | None => high = middle,
            }
        }
        Ok((Arc::clone(owner), found))
    }

    /// The published state, if it is in memory.
    pub(crate) fn published(&self) -> Option<Arc<State>> {
        self.published.load_full()
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
    async fn materialize(&self, shared: &Shared, up_to: Lsn) -> Result<Arc<State>> {
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
            shared.clock.observe(record.cluster_time, shared.wall_ms());
        }
        Ok(state)
    }

    /// Makes one command's decision on the head, appends it to the log and returns once it is durable and visible.
    ///
    /// `decide` may be called again on a newer state if another writer was faster. If it fails, nothing is written.
    /// The returned future must be polled to its end once it was polled: it publishes what the log has taken.
    ///
    /// # Errors
    /// What `decide` answers; [`Error::Storage`] if the log did not take the record.
    pub(crate) async fn write<T, E: From<Error>>(
        &self,
        shared: &Shared,
        origin: &Origin,
        mut decide: impl FnMut(&mut Writer) -> Result<T, E>,
    ) -> Result<T, E> {
        shared.store.ready().await.map_err(Error::from)?;
        let decided = loop {
            self.ensure_head(shared).await?;
            if let Some(decided) = self.decide(shared, origin, &mut decide)? {
                break decided;
            }
        };
        match decided.appended {
            Some((ticket, state)) => match ticket.await {
                Ok(()) => self.publish(state),
                Err(error) => {
                    self.refuse(decided.generation);
                    return Err(Error::from(error).into());
                }
            },
            None => self.wait(decided.lsn, decided.generation).await?,
        }
        decided.outcome
    }

    /// Decides on the head and submits the record; `None` if the head was let go of in between.
    fn decide<T, E: From<Error>>(
        &self,
        shared: &Shared,
        origin: &Origin,
        decide: &mut impl FnMut(&mut Writer) -> Result<T, E>,
    ) -> Result<Option<Decided<T, E>>> {
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
        if outcome.is_err() || writer.entries.is_empty() {
            return Ok(Some(Decided {
                outcome,
                lsn: state.lsn,
                generation,
                appended: None,
            }));
        }
        let now_ms = shared.wall_ms().max(state.timestamp_ms);
        shared.clock.observe(state.cluster_time, now_ms);
        let record = Record {
            branch: self.id(),
            first: state.lsn.next(),
            timestamp_ms: now_ms,
            cluster_time: shared
                .clock
                .tick(now_ms)
                .max(ClusterTime(state.cluster_time.0 + 1)),
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
                head.state = None;
                head.generation += 1;
                self.announce_generation(head.generation);
                return Err(error.into());
            }
        };
        let mut state = writer.state;
        state.seal(&record);
        let state = Arc::new(state);
        head.state = Some(Arc::clone(&state));
        Ok(Some(Decided {
            outcome,
            lsn: state.lsn,
            generation,
            appended: Some((ticket, state)),
        }))
    }

    /// Makes sure that there is a head to decide on.
    async fn ensure_head(&self, shared: &Shared) -> Result<()> {
        let published = self.state(shared).await?;
        if self.head.lock().state.is_some() {
            return Ok(());
        }
        let _one_at_a_time = self.loading.lock().await;
        // After a refusal the log may hold more than was published: an earlier record whose command has not run on yet.
        let up_to = shared.store.head(self.id()).await?;
        let state = if published.lsn < up_to {
            Box::pin(self.materialize(shared, up_to)).await?
        } else {
            published
        };
        let mut head = self.head.lock();
        if head.state.is_none() {
            head.state = Some(Arc::clone(&state));
            drop(head);
            self.publish(state);
        }
        Ok(())
    }

    /// Lets readers see `state`, unless they see a later one already.
    fn publish(&self, state: Arc<State>) {
        let lsn = state.lsn;
        self.published.rcu(|current| match current {
            Some(current) if current.lsn >= lsn => Some(Arc::clone(current)),
            _ => Some(Arc::clone(&state)),
        });
        self.announce(lsn);
    }

    fn announce(&self, lsn: Lsn) {
        self.progress.send_if_modified(|progress| {
            let further = progress.published < lsn;
            progress.published = progress.published.max(lsn);
            further
        });
    }

    fn announce_generation(&self, generation: u64) {
        self.progress
            .send_modify(|progress| progress.generation = generation);
    }

    /// Forgets what was decided on top of a refused record.
    fn refuse(&self, generation: u64) {
        let mut head = self.head.lock();
        if head.generation == generation {
            head.state = None;
            head.generation += 1;
            self.announce_generation(head.generation);
        }
    }

    /// Waits until everything up to `lsn` is durable: an answer must not tell of a write that may yet be refused.
    async fn wait(&self, lsn: Lsn, generation: u64) -> Result<()> {
        let reached =
            |progress: &Progress| progress.published >= lsn || progress.generation > generation;
        if self
            .published
            .load()
            .as_ref()
            .is_some_and(|state| state.lsn >= lsn)
        {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        let reached = progress
            .wait_for(reached)
            .await
            .map(|progress| progress.published >= lsn);
        match reached {
            Ok(true) => Ok(()),
            _ => Err(Error::Storage(argon_storage::Error::Unknown {
                reason: "a write that this command's answer depends on was refused".to_owned(),
            })),
        }
    }

    /// Lets go of the state in memory, unless a write is under way. Readers that hold it keep it.
    pub(crate) fn evict(&self) -> bool {
        let mut head = self.head.lock();
        let published = self.published.load_full();
        let quiet = match (&head.state, &published) {
            (Some(head), Some(published)) => head.lsn == published.lsn,
            (None, Some(_)) => true,
            _ => false,
        };
        if quiet {
            head.state = None;
            self.published.store(None);
        }
        quiet
    }
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
