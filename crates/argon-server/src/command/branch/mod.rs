//! Commands of branches and projects: what makes Argon more than a MongoDB.
//!
//! They are ordinary commands on the project's database, so that every driver and `mongosh` has them; the command line
//! sends the same. `createBranch`, `createProject` and the like answer with the new branch's own description.

mod create_branch;
mod create_project;
mod drop_branch;
mod drop_project;
mod list_branches;
mod list_projects;

use argon_engine::name::DatabaseName;
use argon_engine::{Branch, BranchEngine};
use argon_mql::{DocBuf, ValueRef};

pub(super) use create_branch::COMMAND as CREATE_BRANCH;
pub(super) use create_project::COMMAND as CREATE_PROJECT;
pub(super) use drop_branch::COMMAND as DROP_BRANCH;
pub(super) use drop_project::COMMAND as DROP_PROJECT;
pub(super) use list_branches::COMMAND as LIST_BRANCHES;
pub(super) use list_projects::COMMAND as LIST_PROJECTS;

use super::{Cx, text};
use crate::error::{Error, Result};

/// The project that the command is sent to: the database's, whatever branch of it is named.
fn project<'a>(cx: &'a Cx<'_>) -> Result<&'a str> {
    let parsed = DatabaseName::parse(&cx.request.database).map_err(argon_engine::Error::from)?;
    if argon_engine::name::RESERVED.contains(&parsed.project) {
        return Err(Error::bad_value(format!(
            "'{}' has no branches: send the command to the project's database",
            parsed.project
        )));
    }
    if let Some(passthrough) = &cx.shared.passthrough {
        passthrough.check_own(parsed.project)?;
    }
    Ok(parsed.project)
}

/// Appends what there is to say of a branch.
fn describe(doc: &mut DocBuf, branch: &Branch, parent: Option<&str>) {
    let meta = &branch.meta;
    doc.append("name", text(&meta.name));
    doc.append("database", text(&branch.database));
    doc.append("project", text(&branch.project));
    doc.append(
        "id",
        ValueRef::Binary {
            subtype: 4,
            bytes: branch.id().as_bytes(),
        },
    );
    doc.append(
        "engine",
        text(match meta.engine {
            BranchEngine::Wal => "wal",
            BranchEngine::Prefix => "prefix",
        }),
    );
    if let Some(parent) = parent {
        doc.append("parent", text(parent));
        if meta.engine == BranchEngine::Wal {
            doc.append("baseLsn", ValueRef::Int64(meta.base().0.cast_signed()));
        }
    }
    doc.append("createdAt", ValueRef::DateTime(meta.created_at_ms));
}
