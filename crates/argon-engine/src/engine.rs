//! The engine: finds branches by name, forks and drops them, and keeps their states within the cache's bounds.

mod settings;
mod upstream;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argon_storage::{
    BranchEngine, BranchId, BranchMeta, ClusterTime, LogStore, Lsn, Parent, ProjectId, ProjectMeta,
    WriterId,
};

use argon_storage::log::NO_EXTRA;
use parking_lot::RwLock;

use crate::branch::{Branch, Origin};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::follow::{Counters, ReadConsistency};
use crate::joint::{Joint, Joints};
use crate::name::{DatabaseName, MAIN, Point, RESERVED, wire_name};
use crate::past::Past;
use crate::state::{Meter, State};
use crate::writer::Writer;

pub use settings::{SETTINGS, Setting, SettingSource, SettingValue};
pub use upstream::UpstreamBranch;
/// How often a name is resolved anew because what it meant was dropped meanwhile.
const RESOLUTIONS_MAX: u32 = 4;

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Most bytes of documents (and their indexes) that states in memory may hold together.
    pub cache_bytes: usize,
    /// Whether naming a branch that does not exist forks it from main.
    pub auto_branch: bool,
    /// What a read sees where several processes share the store.
    pub read_consistency: ReadConsistency,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cache_bytes: 1 << 30,
            auto_branch: false,
            read_consistency: ReadConsistency::default(),
        }
    }
}

/// What the engine's parts share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn LogStore>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) past: Past,
    pub(crate) clock: Clock,
    pub(crate) writer: WriterId,
    /// Whether other processes append to the store.
    pub(crate) follows: bool,
    pub(crate) counters: Counters,
    uses: AtomicU64,
    pub(crate) config: Config,
}

/// The WAL engine over one store.
pub struct Engine {
    pub(crate) shared: Shared,
    pub(crate) catalog: RwLock<Catalog>,
    /// One change of the catalogue at a time, so that two commands cannot create the same thing.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Values of settings that this server was started with.
    given: Vec<(&'static str, String)>,
    /// Readings of the store's catalogue.
    pub(crate) catalog_reads: Joint<Result<()>>,
    /// Looks in the store's catalogue for names that are not known here.
    name_looks: Joints<argon_storage::Result<bool>>,
}

/// A database name resolved: what a command reads or writes.
#[derive(Clone)]
pub struct Database {
    /// The branch.
    pub branch: Arc<Branch>,
    /// The point in its history, where the name has one: such a database is read-only.
    pub point: Option<Point>,
}

/// One branch, for listings.
#[derive(Clone)]
pub struct BranchInfo {
    /// The branch.
    pub branch: Arc<Branch>,
    /// The parent's name, if it has one.
    pub parent: Option<String>,
}

impl Shared {
    pub(crate) fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    #[expect(
        clippy::unused_self,
        reason = "the clock is read in one place, where a simulation can replace it"
    )]
    pub(crate) fn wall_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Shared {
    /// A pause of up to `most`, at least half of it, so that processes that met once do not meet again.
    pub(crate) fn jitter(&self, most: Duration) -> Duration {
        let mut hash = DefaultHasher::new();
        (self.writer, self.next_use()).hash(&mut hash);
        let share = u32::try_from(hash.finish() % 1024).unwrap_or(0);
        most / 2 + most / 2048 * share
    }
}

impl Engine {
    /// Opens the engine over `store`.
    ///
    /// # Errors
    /// [`Error::Storage`] if the catalogue cannot be read.
    pub async fn open(store: Arc<dyn LogStore>, config: Config) -> Result<Engine> {
        let mut catalog = Catalog::default();
        catalog.update(store.projects().await?, store.branches().await?);
        let shared = Shared {
            follows: store.is_shared(),
            counters: Counters::default(),
            store,
            meter: Arc::new(Meter::default()),
            past: Past::default(),
            clock: Clock::default(),
            writer: WriterId::random(),
            uses: AtomicU64::new(1),
            config,
        };
        Ok(Engine {
            shared,
            catalog: RwLock::new(catalog),
            changing: tokio::sync::Mutex::new(()),
            given: Vec::new(),
            catalog_reads: Joint::default(),
            name_looks: Joints::default(),
        })
    }

    /// The current logical time, for `operationTime` and `$clusterTime`.
    pub fn cluster_time(&self) -> ClusterTime {
        self.shared.clock.now(self.shared.wall_ms())
    }

    /// The wall clock in milliseconds since the epoch.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.shared.wall_ms()
    }

    /// Takes note of a logical time that a client has seen.
    pub fn observe(&self, seen: ClusterTime) {
        self.shared.clock.observe(seen, self.shared.wall_ms());
    }

    /// Bytes that documents hold in memory now.
    pub fn cached_bytes(&self) -> usize {
        self.shared.meter.held()
    }

    /// Most bytes that states may hold.
    pub fn cache_bytes_max(&self) -> usize {
        self.shared.config.cache_bytes
    }

    /// Finds the database called `name`; `None` if there is no such project yet.
    ///
    /// # Errors
    /// [`Error::Name`], and [`Error::BranchNotFound`] unless `auto-branch` is set.
    pub async fn database(&self, name: &str) -> Result<Option<Database>> {
        let parsed = DatabaseName::parse(name)?;
        let mut found = self.find(parsed.project, parsed.branch);
        if found.is_err() && self.is_elsewhere(parsed.project, parsed.branch).await? {
            self.refresh().await?;
            found = self.find(parsed.project, parsed.branch);
        }
        match found {
            Ok(branch) if branch.meta.engine != BranchEngine::Wal => {
                return Err(Error::KeptUpstream(name.to_owned()));
            }
            Ok(branch) => {
                return Ok(Some(Database {
                    branch,
                    point: parsed.point,
                }));
            }
            Err(Error::ProjectNotFound(_)) if parsed.branch == MAIN => return Ok(None),
            Err(_) if self.shared.config.auto_branch => {}
            Err(_) => {
                return Err(Error::BranchNotFound {
                    project: parsed.project.to_owned(),
                    branch: parsed.branch.to_owned(),
                });
            }
        }
        self.create_project(parsed.project, IfExists::Keep).await?;
        let branch = match self
            .create_branch(parsed.project, parsed.branch, MAIN, None)
            .await
        {
            // Another connection was faster.
            Err(Error::Exists(_)) => self.find(parsed.project, parsed.branch)?,
            created => created?,
        };
        Ok(Some(Database {
            branch,
            point: parsed.point,
        }))
    }

    /// Whether the store has a branch that is not known here: another process has created it, or this one is about to know.
    ///
    /// Who asks for names that do not exist again and again must not have the whole catalogue read each time.
    async fn is_elsewhere(&self, project: &str, branch: &str) -> Result<bool> {
        if !self.shared.follows {
            return Ok(false);
        }
        let look = self.shared.store.has_branch(project, branch);
        // Neither name has this character.
        let key = format!("{project}\0{branch}");
        Ok(self.name_looks.ask(&key, look).await?)
    }

    /// Finds the database called `name` for a write: the project comes into being if it is not there.
    ///
    /// # Errors
    /// Those of [`Engine::database`]; [`Error::ReadOnlyPoint`] for a point in history.
    pub async fn database_for_write(&self, name: &str) -> Result<Arc<Branch>> {
        let database = match self.database(name).await? {
            Some(database) => database,
            None => {
                let branch = self.create_project(name, IfExists::Keep).await?;
                Database {
                    branch,
                    point: None,
                }
            }
        };
        match database.point {
            None => Ok(database.branch),
            Some(_) => Err(Error::ReadOnlyPoint(name.to_owned())),
        }
    }

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

    /// Creates a project with its main branch; gives the main branch.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`].
    pub async fn create_project(&self, name: &str, if_exists: IfExists) -> Result<Arc<Branch>> {
        self.create_project_of(name, if_exists, BranchEngine::Wal)
            .await
    }

    async fn create_project_of(
        &self,
        name: &str,
        if_exists: IfExists,
        engine: BranchEngine,
    ) -> Result<Arc<Branch>> {
        let parsed = DatabaseName::parse(name)?;
        if RESERVED.contains(&name) {
            return Err(crate::name::InvalidName(format!(
                "database '{name}' is Argon's own: it is empty, and nothing can be written to it"
            ))
            .into());
        }
        if parsed.project != name {
            return Err(
                crate::name::InvalidName(format!("Invalid database name: '{name}'")).into(),
            );
        }
        let existing = |branch: Arc<Branch>| match if_exists {
            IfExists::Keep => Ok(branch),
            IfExists::Refuse => Err(Error::Exists(format!("project '{name}' already exists"))),
        };
        let _one_at_a_time = self.changing.lock().await;
        self.reload().await?;
        if let Some(main) = self.main_of(name)? {
            return existing(main);
        }
        if engine == BranchEngine::Wal {
            self.check_wal(&format!("project '{name}'")).await?;
        }
        let now_ms = self.shared.wall_ms();
        let main = BranchMeta {
            id: BranchId::random(),
            project: ProjectId::random(),
            name: MAIN.to_owned(),
            wire_name: MAIN.to_owned(),
            parent: None,
            created_at_ms: now_ms,
            engine,
            extra: NO_EXTRA,
        };
        let project = ProjectMeta {
            id: main.project,
            name: name.to_owned(),
            main: main.id,
            created_at_ms: now_ms,
            extra: NO_EXTRA,
        };
        match self.shared.store.create_project(&project, &main).await {
            Err(argon_storage::Error::Exists { .. }) if self.shared.follows => {
                // Another process was faster.
                self.reload().await?;
                let main = self.main_of(name)?;
                return existing(main.ok_or_else(|| Error::ProjectNotFound(name.to_owned()))?);
            }
            created => created?,
        }
        let empty = Some(Arc::new(State::empty()));
        let branch = Arc::new(Branch::new(main, name.into(), None, empty));
        let mut catalog = self.catalog.write();
        catalog.add_project(project);
        catalog.add_branch(Arc::clone(&branch));
        Ok(branch)
    }

    /// The main branch of the project called `name`, if that is there.
    ///
    /// # Errors
    /// [`Error::Exists`] if a project is there whose name differs in case only.
    fn main_of(&self, name: &str) -> Result<Option<Arc<Branch>>> {
        if let Ok(main) = self.find(name, MAIN) {
            return Ok(Some(main));
        }
        match self.catalog.read().differing_in_case(name) {
            None => Ok(None),
            Some(other) => Err(Error::Exists(format!(
                "db already exists with different case already have: [{other}] trying to create [{name}]"
            ))),
        }
    }

    /// Drops a project with all its branches.
    ///
    /// # Errors
    /// [`Error::ProjectNotFound`].
    pub async fn drop_project(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.changing.lock().await;
        self.reload().await?;
        let id = self
            .catalog
            .read()
            .project(name)
            .map(|project| project.meta.id)
            .ok_or_else(|| Error::ProjectNotFound(name.to_owned()))?;
        self.shared.store.drop_project(id).await?;
        self.catalog.write().remove_project(name);
        Ok(())
    }

    /// Forks a branch called `name` from branch `from` of `project`: at its head, or at `point`. O(1) in the data.
    ///
    /// # Errors
    /// [`Error::ProjectNotFound`], [`Error::BranchNotFound`], [`Error::Name`], [`Error::Exists`], [`Error::BeyondHead`].
    pub async fn create_branch(
        &self,
        project: &str,
        name: &str,
        from: &str,
        point: Option<Point>,
    ) -> Result<Arc<Branch>> {
        let _one_at_a_time = self.changing.lock().await;
        self.reload().await?;
        let parent = self.find(project, from)?;
        if parent.meta.engine != BranchEngine::Wal {
            return Err(Error::KeptUpstream(parent.database.to_string()));
        }
        self.check_wal(&format!("branch '{name}'")).await?;
        let wire_name = self.free_wire_name(project, name)?;
        let (owner, base) = parent.locate(&self.shared, point).await?;
        // Forking never waits for data: the branch starts with the parent's state if that is at hand, and is built when it
        // is first used otherwise.
        let state = owner.published().filter(|state| state.lsn == base);
        let fork = Parent {
            branch: owner.id(),
            base,
        };
        let id = BranchId::random();
        let meta = self.meta(&parent, name, wire_name, fork, BranchEngine::Wal, id);
        self.enter(meta, owner, state).await
    }

    /// The wire name of a new branch called `name`, if neither is in use.
    fn free_wire_name(&self, project: &str, name: &str) -> Result<String> {
        let wire_name = wire_name(project, name)?;
        let catalog = self.catalog.read();
        let known = catalog
            .project(project)
            .map(|project| project.branches.values());
        match known.into_iter().flatten().find(|other| {
            other.meta.name == name || other.meta.wire_name.eq_ignore_ascii_case(&wire_name)
        }) {
            Some(other) => Err(Error::Exists(format!(
                "branch '{}' of project '{project}' already exists as database '{}'",
                other.meta.name, other.database
            ))),
            None => Ok(wire_name),
        }
    }

    fn meta(
        &self,
        parent: &Branch,
        name: &str,
        wire_name: String,
        fork: Parent,
        engine: BranchEngine,
        id: BranchId,
    ) -> BranchMeta {
        BranchMeta {
            id,
            project: parent.meta.project,
            name: name.to_owned(),
            wire_name,
            parent: Some(fork),
            created_at_ms: self.shared.wall_ms(),
            engine,
            extra: NO_EXTRA,
        }
    }

    /// Enters a new branch into the catalogue, forked from `owner`, with its state if that is at hand.
    async fn enter(
        &self,
        meta: BranchMeta,
        owner: Arc<Branch>,
        state: Option<Arc<State>>,
    ) -> Result<Arc<Branch>> {
        match self.shared.store.create_branch(&meta).await {
            Err(argon_storage::Error::Exists { what }) if self.shared.follows => {
                // Another process was faster.
                self.reload().await?;
                return Err(Error::Exists(format!("{what} already exists")));
            }
            created => created?,
        }
        let project = Arc::clone(&owner.project);
        let branch = Arc::new(Branch::new(meta, project, Some(owner), state));
        self.catalog.write().add_branch(Arc::clone(&branch));
        Ok(branch)
    }

    /// Drops a branch.
    ///
    /// # Errors
    /// [`Error::BranchNotFound`], [`Error::MainBranch`], [`Error::HasChildren`].
    pub async fn drop_branch(&self, project: &str, name: &str) -> Result<()> {
        let _one_at_a_time = self.changing.lock().await;
        self.reload().await?;
        let branch = self.find(project, name)?;
        self.check_droppable(&branch)?;
        self.shared.store.drop_branch(branch.id()).await?;
        self.catalog.write().remove_branch(&branch);
        Ok(())
    }

    /// Whether `branch` could be dropped now.
    ///
    /// # Errors
    /// [`Error::MainBranch`], [`Error::HasChildren`].
    pub fn check_droppable(&self, branch: &Branch) -> Result<()> {
        if branch.meta.wire_name == MAIN {
            return Err(Error::MainBranch(branch.project.to_string()));
        }
        {
            let catalog = self.catalog.read();
            let children: Vec<&str> = catalog
                .project(&branch.project)
                .into_iter()
                .flat_map(|project| project.children(branch.id()))
                .map(|child| child.meta.name.as_str())
                .collect();
            if !children.is_empty() {
                return Err(Error::HasChildren(
                    branch.meta.name.clone(),
                    children.join(", "),
                ));
            }
        }
        Ok(())
    }

    /// The names of all projects that this process knows; of all that there are after [`Engine::refresh`].
    pub fn projects(&self) -> Vec<Arc<str>> {
        self.catalog
            .read()
            .projects()
            .map(|project| Arc::clone(&project.name))
            .collect()
    }

    /// The branches of `project` that this process knows, by wire name; all that there are after [`Engine::refresh`].
    ///
    /// # Errors
    /// [`Error::ProjectNotFound`].
    pub fn branches(&self, project: &str) -> Result<Vec<BranchInfo>> {
        let catalog = self.catalog.read();
        let project = catalog
            .project(project)
            .ok_or_else(|| Error::ProjectNotFound(project.to_owned()))?;
        Ok(project
            .branches
            .values()
            .map(|branch| BranchInfo {
                branch: Arc::clone(branch),
                parent: branch.parent().map(|parent| parent.meta.name.clone()),
            })
            .collect())
    }

    /// The last durable LSN of `branch`.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn head(&self, branch: &Branch) -> Result<Lsn> {
        Ok(self.shared.store.head(branch.id()).await?)
    }

    /// Makes everything submitted durable and lets go of the store.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn close(&self) -> Result<()> {
        Ok(self.shared.store.close().await?)
    }

    /// Drops every state that is in memory and not being written; for tests and for measuring a cold start.
    pub fn evict_all(&self) {
        self.shared.past.clear();
        for branch in self.loaded() {
            branch.evict();
        }
    }

    fn find(&self, project: &str, branch: &str) -> Result<Arc<Branch>> {
        let catalog = self.catalog.read();
        let project = catalog
            .project(project)
            .ok_or_else(|| Error::ProjectNotFound(project.to_owned()))?;
        project.branch(branch).cloned()
    }

    pub(crate) fn loaded(&self) -> Vec<Arc<Branch>> {
        let catalog = self.catalog.read();
        catalog
            .projects()
            .flat_map(|project| project.branches.values())
            .filter(|branch| branch.is_loaded())
            .cloned()
            .collect()
    }

    /// Lets go of the states used longest ago until the rest fits, `keep`'s excepted.
    fn shrink(&self, keep: BranchId) {
        let over = || self.shared.meter.held() > self.shared.config.cache_bytes;
        if !over() {
            return;
        }
        if self.shared.past.clear() && !over() {
            return;
        }
        let mut loaded = self.loaded();
        loaded.sort_by_key(|branch| branch.last_used());
        for branch in loaded {
            if !over() {
                break;
            }
            if branch.id() != keep {
                branch.evict();
            }
        }
    }
}

/// What creating something that exists means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfExists {
    /// It is what was wanted.
    Keep,
    /// It is an error.
    Refuse,
}
