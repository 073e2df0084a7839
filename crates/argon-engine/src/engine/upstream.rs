//! Branches that live in the upstream MongoDB: the catalogue knows them, their data are not here.

use std::sync::Arc;

use argon_storage::{BranchEngine, BranchId, Lsn, Parent};

use super::{Engine, IfExists};
use crate::branch::Branch;
use crate::error::{Error, Result};
use crate::name::{DatabaseName, InvalidName, MAIN};

/// A branch in the upstream MongoDB.
#[derive(Clone)]
pub struct UpstreamBranch {
    /// The branch.
    pub branch: Arc<Branch>,
    /// The wire names of all branches of its project that are in the upstream, main's excepted.
    pub beside: Vec<String>,
}

impl Engine {
    /// Counts the changes of the catalogue: while it stays, so does what was read from it.
    pub fn catalog_generation(&self) -> u64 {
        self.catalog.read().generation()
    }

    /// Whether there is a project called `name`.
    pub fn has_project(&self, name: &str) -> bool {
        self.catalog.read().project(name).is_some()
    }

    /// The branch called `name` (or known by that name on the wire) of `project`.
    ///
    /// # Errors
    /// [`Error::ProjectNotFound`], [`Error::BranchNotFound`].
    pub fn branch(&self, project: &str, name: &str) -> Result<Arc<Branch>> {
        self.find(project, name)
    }

    /// The branch that the database called `name` means, if it is one in the upstream; `None` if it is any other.
    ///
    /// # Errors
    /// [`Error::BranchNotFound`] in a project whose main is in the upstream; [`Error::Name`] for a point in its history,
    /// because it has none.
    pub fn upstream_branch(&self, name: &str) -> Result<Option<UpstreamBranch>> {
        let Ok(parsed) = DatabaseName::parse(name) else {
            return Ok(None);
        };
        let catalog = self.catalog.read();
        let Some(project) = catalog.project(parsed.project) else {
            return Ok(None);
        };
        let in_upstream = |branch: &Branch| branch.meta.engine == BranchEngine::Prefix;
        let branch = match project.branch(parsed.branch) {
            Ok(branch) if in_upstream(branch) => Arc::clone(branch),
            Ok(_) => return Ok(None),
            Err(missing) => {
                let main = project.branch(MAIN);
                return if main.is_ok_and(|main| in_upstream(main)) {
                    Err(missing)
                } else {
                    Ok(None)
                };
            }
        };
        if parsed.point.is_some() {
            return Err(InvalidName(format!(
                "'{name}' is no database: branches of the prefix engine have no history"
            ))
            .into());
        }
        let beside = project
            .branches
            .values()
            .filter(|other| in_upstream(other) && other.meta.wire_name != MAIN)
            .map(|other| other.meta.wire_name.clone())
            .collect();
        Ok(Some(UpstreamBranch { branch, beside }))
    }

    /// Takes the upstream database called `name` into the catalogue, as a project whose main branch it is.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Exists`] if there is such a project, and its main branch is in the log.
    pub async fn adopt_upstream(&self, name: &str) -> Result<Arc<Branch>> {
        let main = self
            .create_project_of(name, IfExists::Keep, BranchEngine::Prefix)
            .await?;
        if main.meta.engine != BranchEngine::Prefix {
            return Err(Error::Exists(format!(
                "project '{name}' is kept in Argon's log: branches of the prefix engine need one that is in the upstream \
                 MongoDB"
            )));
        }
        Ok(main)
    }

    /// Enters a branch called `name` of branch `from`, both in the upstream, into the catalogue. Copying the data is the
    /// caller's part.
    ///
    /// # Errors
    /// As [`Engine::create_branch`]; [`Error::KeptInLog`] if `from` is a branch in the log.
    pub async fn create_upstream_branch(
        &self,
        project: &str,
        name: &str,
        from: &str,
        id: BranchId,
    ) -> Result<Arc<Branch>> {
        let _one_at_a_time = self.changing.lock().await;
        self.reload().await?;
        let parent = self.find(project, from)?;
        if parent.meta.engine != BranchEngine::Prefix {
            return Err(Error::KeptInLog(parent.database.to_string()));
        }
        let wire_name = self.free_wire_name(project, name)?;
        let fork = Parent {
            branch: parent.id(),
            base: Lsn::ZERO,
        };
        let meta = self.meta(&parent, name, wire_name, fork, BranchEngine::Prefix, id);
        self.enter(meta, parent, None).await
    }
}
