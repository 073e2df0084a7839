//! The engine: finds branches by name, forks and drops them, and keeps their states within the cache's bounds.

mod branches;
mod contents;
mod settings;
mod upstream;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argon_storage::{BranchEngine, BranchId, ClusterTime, LogStore, Lsn, WriterId};
use parking_lot::RwLock;

use crate::branch::Branch;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::follow::{Counters, ReadConsistency};
use crate::joint::{Joint, Joints};
use crate::name::{DatabaseName, MAIN, Point};
use crate::past::Past;
use crate::state::Meter;

pub use branches::{BranchInfo, IfExists};
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
