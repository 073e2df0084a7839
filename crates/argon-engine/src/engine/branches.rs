//! Projects and branches: created, dropped, listed.

use std::sync::Arc;

use argon_storage::log::NO_EXTRA;
use argon_storage::{BranchEngine, BranchId, BranchMeta, Parent, ProjectId, ProjectMeta};

use super::Engine;
use crate::branch::Branch;
use crate::error::{Error, Result};
use crate::name::{DatabaseName, MAIN, Point, RESERVED, wire_name};
use crate::state::State;

/// One branch, for listings.
#[derive(Clone)]
pub struct BranchInfo {
    /// The branch.
    pub branch: Arc<Branch>,
    /// The parent's name, if it has one.
    pub parent: Option<String>,
}

/// What creating something that exists means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfExists {
    /// It is what was wanted.
    Keep,
    /// It is an error.
    Refuse,
}

impl Engine {
    /// Creates a project with its main branch; gives the main branch.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`].
    pub async fn create_project(&self, name: &str, if_exists: IfExists) -> Result<Arc<Branch>> {
        self.create_project_of(name, if_exists, BranchEngine::Wal)
            .await
    }

    pub(super) async fn create_project_of(
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
    pub(super) fn free_wire_name(&self, project: &str, name: &str) -> Result<String> {
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

    pub(super) fn meta(
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
    pub(super) async fn enter(
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
}
