//! The rules every store keeps: which change may follow which.
//!
//! A [`Ledger`] is the catalogue and the heads at one point of the order. A store that makes changes
//! durable in groups keeps two: one with everything submitted, against which changes are checked,
//! and one with everything durable, from which readers are answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::catalog::{BranchMeta, ProjectMeta, check_setting, folded};
use crate::record::Encoded;
use crate::{BranchId, Error, Lsn, ProjectId, Result};

/// One change of a store, atomic.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Append(Encoded),
    CreateProject {
        project: Arc<ProjectMeta>,
        main: Arc<BranchMeta>,
    },
    CreateBranch(Arc<BranchMeta>),
    DropBranch(BranchId),
    DropProject {
        project: ProjectId,
        branches: Vec<BranchId>,
    },
    PutSetting {
        key: String,
        value: Bytes,
    },
}

impl Change {
    /// About how much it makes the store write, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Change::Append(record) => record.len(),
            Change::CreateProject { project, main } => {
                1024 + project.extra.len() + main.extra.len()
            }
            Change::CreateBranch(branch) => 512 + branch.extra.len(),
            Change::DropBranch(_) => 128,
            Change::DropProject { branches, .. } => 128 + branches.len() * 128,
            Change::PutSetting { key, value } => 64 + key.len() + value.len(),
        }
    }
}

/// A branch at one point of the order.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) meta: Arc<BranchMeta>,
    /// Its last entry; the failure if its last record is damaged.
    pub(crate) head: Result<Lsn>,
    children: u32,
}

/// The catalogue and the heads at one point of the order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    projects: BTreeMap<ProjectId, Project>,
    branches: BTreeMap<BranchId, Branch>,
    /// By [`folded`] name.
    project_names: HashMap<String, ProjectId>,
}

#[derive(Clone, Debug)]
struct Project {
    meta: Arc<ProjectMeta>,
    names: HashMap<String, BranchId>,
    /// By [`folded`] name.
    wire_names: HashMap<String, BranchId>,
}

impl Ledger {
    pub(crate) fn branch(&self, branch: BranchId) -> Result<&Branch> {
        self.branches
            .get(&branch)
            .ok_or(Error::BranchGone { branch })
    }

    pub(crate) fn head(&self, branch: BranchId) -> Result<Lsn> {
        self.branch(branch)?.head.clone()
    }

    pub(crate) fn projects(&self) -> Vec<ProjectMeta> {
        self.projects
            .values()
            .map(|project| (*project.meta).clone())
            .collect()
    }

    pub(crate) fn branches(&self) -> Vec<BranchMeta> {
        self.branches
            .values()
            .map(|branch| (*branch.meta).clone())
            .collect()
    }

    pub(crate) fn project_metas(&self) -> impl Iterator<Item = &ProjectMeta> {
        self.projects.values().map(|project| &*project.meta)
    }

    pub(crate) fn branch_metas(&self) -> impl Iterator<Item = &BranchMeta> {
        self.branches.values().map(|branch| &*branch.meta)
    }

    pub(crate) fn set_head(&mut self, branch: BranchId, head: Lsn) {
        if let Some(branch) = self.branches.get_mut(&branch) {
            branch.head = Ok(head);
        }
    }

    pub(crate) fn has_branch(&self, branch: BranchId) -> bool {
        self.branches.contains_key(&branch)
    }

    /// The change that drops `project` with all its branches.
    pub(crate) fn drop_of_project(&self, project: ProjectId) -> Result<Change> {
        let found = self
            .projects
            .get(&project)
            .ok_or(Error::ProjectGone { project })?;
        let branches = found.names.values().copied().collect();
        Ok(Change::DropProject { project, branches })
    }

    /// Whether `change` may come next.
    pub(crate) fn check(&self, change: &Change) -> Result<()> {
        match change {
            Change::Append(record) => self.check_append(record.branch, record.first),
            Change::CreateProject { project, main } => self.check_project(project, main),
            Change::CreateBranch(branch) => self.check_branch(branch),
            Change::DropBranch(branch) => self.check_drop(*branch),
            Change::DropProject { project, .. } => match self.projects.contains_key(project) {
                true => Ok(()),
                false => Err(Error::ProjectGone { project: *project }),
            },
            Change::PutSetting { key, value } => check_setting(key, value),
        }
    }

    fn check_append(&self, branch: BranchId, first: Lsn) -> Result<()> {
        let head = self.head(branch)?;
        if first <= head {
            return Err(Error::Taken {
                branch,
                first,
                head,
            });
        }
        if first != head.next() {
            return Err(Error::Gap {
                branch,
                first,
                head,
            });
        }
        Ok(())
    }

    fn check_project(&self, project: &ProjectMeta, main: &BranchMeta) -> Result<()> {
        project.check()?;
        main.check()?;
        if main.id != project.main || main.project != project.id || main.parent.is_some() {
            return Err(Error::invalid(
                "the project and its main branch do not belong together",
            ));
        }
        if self.projects.contains_key(&project.id) || self.branches.contains_key(&main.id) {
            return Err(Error::Exists {
                what: format!("project {}", project.id),
            });
        }
        if self.project_names.contains_key(&folded(&project.name)) {
            return Err(Error::Exists {
                what: format!("project `{}`", project.name),
            });
        }
        Ok(())
    }

    fn check_branch(&self, branch: &BranchMeta) -> Result<()> {
        branch.check()?;
        let project = self
            .projects
            .get(&branch.project)
            .ok_or(Error::ProjectGone {
                project: branch.project,
            })?;
        if self.branches.contains_key(&branch.id) {
            return Err(Error::Exists {
                what: format!("branch {}", branch.id),
            });
        }
        if project.names.contains_key(&branch.name) {
            return Err(Error::Exists {
                what: format!("branch `{}`", branch.name),
            });
        }
        if project.wire_names.contains_key(&folded(&branch.wire_name)) {
            return Err(Error::Exists {
                what: format!("a branch with the wire name `{}`", branch.wire_name),
            });
        }
        if let Some(parent) = branch.parent {
            let found = self.branch(parent.branch)?;
            let head = found.head.clone()?;
            if found.meta.project != branch.project {
                return Err(Error::invalid("the parent belongs to another project"));
            }
            if parent.base > head {
                return Err(Error::Gap {
                    branch: parent.branch,
                    first: parent.base,
                    head,
                });
            }
        }
        Ok(())
    }

    fn check_drop(&self, branch: BranchId) -> Result<()> {
        let found = self.branch(branch)?;
        if found.children > 0 {
            return Err(Error::HasChildren { branch });
        }
        let project = self.projects.get(&found.meta.project);
        if project.is_some_and(|project| project.meta.main == branch) {
            return Err(Error::invalid(
                "a project's main branch is dropped with the project only",
            ));
        }
        Ok(())
    }

    /// Makes `change`, which was checked, part of this point.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(record) => {
                if let Some(branch) = self.branches.get_mut(&record.branch) {
                    branch.head = Ok(record.last);
                }
            }
            Change::CreateProject { project, main } => {
                self.add_project(Arc::clone(project));
                self.add_branch(Arc::clone(main), Ok(main.base()));
            }
            Change::CreateBranch(branch) => {
                self.add_branch(Arc::clone(branch), Ok(branch.base()));
            }
            Change::DropBranch(branch) => self.remove_branch(*branch),
            Change::DropProject { project, branches } => {
                for branch in branches {
                    self.remove_branch(*branch);
                }
                if let Some(project) = self.projects.remove(project) {
                    self.project_names.remove(&folded(&project.meta.name));
                }
            }
            Change::PutSetting { .. } => {}
        }
    }

    /// Adds a project that is stored already.
    pub(crate) fn add_project(&mut self, meta: Arc<ProjectMeta>) {
        self.project_names.insert(folded(&meta.name), meta.id);
        let project = Project {
            meta: Arc::clone(&meta),
            names: HashMap::new(),
            wire_names: HashMap::new(),
        };
        self.projects.insert(meta.id, project);
    }

    /// Adds a branch that is stored already, after its project. Parents may come after children.
    pub(crate) fn add_branch(&mut self, meta: Arc<BranchMeta>, head: Result<Lsn>) {
        if let Some(project) = self.projects.get_mut(&meta.project) {
            project.names.insert(meta.name.clone(), meta.id);
            project.wire_names.insert(folded(&meta.wire_name), meta.id);
        }
        if let Some(parent) = meta
            .parent
            .and_then(|parent| self.branches.get_mut(&parent.branch))
        {
            parent.children += 1;
        }
        self.branches.insert(
            meta.id,
            Branch {
                meta,
                head,
                children: 0,
            },
        );
    }

    /// Counts children anew, after branches were added in any order.
    pub(crate) fn count_children(&mut self) {
        let mut counts: HashMap<BranchId, u32> = HashMap::new();
        for branch in self.branches.values() {
            if let Some(parent) = branch.meta.parent {
                *counts.entry(parent.branch).or_default() += 1;
            }
        }
        for (id, branch) in &mut self.branches {
            branch.children = counts.get(id).copied().unwrap_or(0);
        }
    }

    fn remove_branch(&mut self, id: BranchId) {
        let Some(branch) = self.branches.remove(&id) else {
            return;
        };
        let meta = branch.meta;
        if let Some(project) = self.projects.get_mut(&meta.project) {
            project.names.remove(&meta.name);
            project.wire_names.remove(&folded(&meta.wire_name));
        }
        if let Some(parent) = meta
            .parent
            .and_then(|parent| self.branches.get_mut(&parent.branch))
        {
            parent.children = parent.children.saturating_sub(1);
        }
    }
}
