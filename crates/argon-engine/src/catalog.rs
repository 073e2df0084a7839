//! Projects and branches in memory: names to live branches. The store's catalogue is the truth; this follows it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use argon_storage::{BranchId, BranchMeta, ProjectId, ProjectMeta};

use crate::branch::Branch;
use crate::error::{Error, Result};

/// Every project and branch.
#[derive(Default)]
pub(crate) struct Catalog {
    projects: BTreeMap<Arc<str>, Project>,
    /// Counts the changes.
    generation: u64,
    by_id: HashMap<BranchId, Arc<Branch>>,
}

/// A project and its live branches.
pub(crate) struct Project {
    pub(crate) meta: ProjectMeta,
    pub(crate) name: Arc<str>,
    /// By wire name.
    pub(crate) branches: BTreeMap<String, Arc<Branch>>,
}

impl Catalog {
    /// Makes it what the store has. Branches that stay are the same objects as before: one branch has one writer here.
    pub(crate) fn update(&mut self, projects: Vec<ProjectMeta>, branches: Vec<BranchMeta>) {
        let mains: HashSet<BranchId> = branches.iter().map(|branch| branch.id).collect();
        // A project that is being dropped, or created, may have lost its branches, or not got them yet.
        let projects: BTreeMap<ProjectId, ProjectMeta> = projects
            .into_iter()
            .filter(|project| mains.contains(&project.main))
            .map(|project| (project.id, project))
            .collect();
        let known = self.by_id.len();
        self.projects
            .retain(|_, project| projects.contains_key(&project.meta.id));
        let mut names: BTreeMap<ProjectId, Arc<str>> = BTreeMap::new();
        for (id, meta) in projects {
            names.insert(id, Arc::from(meta.name.as_str()));
            if !self.projects.contains_key(&*meta.name) {
                self.add_project(meta);
            }
        }
        let gone = |branch: &Arc<Branch>| {
            !mains.contains(&branch.id()) || !names.contains_key(&branch.meta.project)
        };
        for project in self.projects.values_mut() {
            project.branches.retain(|_, branch| !gone(branch));
        }
        self.by_id.retain(|_, branch| !gone(branch));
        if self.by_id.len() < known {
            self.generation += 1;
        }
        let mut waiting: Vec<BranchMeta> = branches
            .into_iter()
            .filter(|meta| !self.by_id.contains_key(&meta.id))
            .collect();
        // A parent comes before its children; identities are random, so their order says nothing.
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut later = Vec::new();
            for meta in waiting {
                let parent = match meta.parent {
                    None => None,
                    Some(parent) => match self.by_id.get(&parent.branch) {
                        Some(parent) => Some(Arc::clone(parent)),
                        None => {
                            later.push(meta);
                            continue;
                        }
                    },
                };
                let Some(project) = names.get(&meta.project) else {
                    continue;
                };
                self.add_branch(Arc::new(Branch::new(
                    meta,
                    Arc::clone(project),
                    parent,
                    None,
                )));
            }
            waiting = later;
            if waiting.len() == before {
                for meta in &waiting {
                    tracing::error!(branch = %meta.id, name = meta.name, "branch without its parent left out");
                }
                break;
            }
        }
    }

    /// Counts the changes: while it stays, so does everything here.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn add_project(&mut self, meta: ProjectMeta) {
        self.generation += 1;
        let name: Arc<str> = Arc::from(meta.name.as_str());
        let project = Project {
            meta,
            name: Arc::clone(&name),
            branches: BTreeMap::new(),
        };
        self.projects.insert(name, project);
    }

    pub(crate) fn add_branch(&mut self, branch: Arc<Branch>) {
        self.generation += 1;
        self.by_id.insert(branch.id(), Arc::clone(&branch));
        if let Some(project) = self.projects.get_mut(&branch.project) {
            project
                .branches
                .insert(branch.meta.wire_name.clone(), branch);
        }
    }

    pub(crate) fn remove_branch(&mut self, branch: &Branch) {
        self.generation += 1;
        self.by_id.remove(&branch.id());
        if let Some(project) = self.projects.get_mut(&branch.project) {
            project.branches.remove(&branch.meta.wire_name);
        }
    }

    pub(crate) fn remove_project(&mut self, name: &str) {
        self.generation += 1;
        for branch in self
            .projects
            .remove(name)
            .into_iter()
            .flat_map(|project| project.branches.into_values())
        {
            self.by_id.remove(&branch.id());
        }
    }

    pub(crate) fn branch(&self, id: BranchId) -> Option<&Arc<Branch>> {
        self.by_id.get(&id)
    }

    pub(crate) fn project(&self, name: &str) -> Option<&Project> {
        self.projects.get(name)
    }

    pub(crate) fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    /// The project whose name differs from `name` in case only, which MongoDB does not allow beside it.
    pub(crate) fn differing_in_case(&self, name: &str) -> Option<&Arc<str>> {
        self.projects
            .keys()
            .find(|known| ***known != *name && known.eq_ignore_ascii_case(name))
    }
}

impl Project {
    /// The branch that `name` means: its wire name, or its name as it was given.
    pub(crate) fn branch(&self, name: &str) -> Result<&Arc<Branch>> {
        self.branches
            .get(name)
            .or_else(|| {
                self.branches
                    .values()
                    .find(|branch| branch.meta.name == name)
            })
            .ok_or_else(|| Error::BranchNotFound {
                project: self.name.to_string(),
                branch: name.to_owned(),
            })
    }

    /// The branches forked from `branch`.
    pub(crate) fn children(&self, branch: BranchId) -> impl Iterator<Item = &Arc<Branch>> {
        self.branches.values().filter(move |child| {
            child
                .meta
                .parent
                .is_some_and(|parent| parent.branch == branch)
        })
    }
}
