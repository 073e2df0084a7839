//! Databases that are kept by the deployment behind Argon: their commands are passed on as they came.
//!
//! ```text
//! connection ──▶ claim ──┬─▶ Own     parsed and run by `command`
//!                        └─▶ Theirs  forward: the frame goes out, its answer comes back
//! ```
//!
//! A project wins over a database of the same name there. A name that is neither is looked up, so that what somebody
//! created there a moment ago is found; then the setting `new-databases` decides, and of what may become projects the share
//! that `wal.rollout-percent` gives to the log.

mod databases;
mod failure;
mod forward;
mod hearsay;
mod reach;
mod status;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon_engine::BranchEngine;
use argon_mql::ErrorCode;
use argon_upstream::{Request, Upstream};
use argon_wire::{Bytes, BytesMut, Compressor, Limits, inflate};

use crate::error::{Error, Result};
use crate::prefix::{self, Claimed, Rewriting};
use crate::server::Shared;
use databases::Databases;
use hearsay::Hearsay;

pub(crate) use forward::{forward, refuse};
pub(crate) use hearsay::listen;
pub(crate) use reach::check_request;

/// The deployment behind Argon, and what goes there.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// The deployment.
    pub upstream: Arc<Upstream>,
    /// Where a database goes that is neither a project nor there yet.
    pub new_databases: NewDatabases,
    /// The database there in which Argon keeps its own data; no client gets at it through Argon.
    pub own_database: String,
}

/// Where a database goes that is neither a project nor kept upstream yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewDatabases {
    /// It becomes a project.
    #[default]
    Project,
    /// It is created upstream.
    Upstream,
}

impl FromStr for NewDatabases {
    type Err = String;

    fn from_str(text: &str) -> Result<NewDatabases, String> {
        match text {
            "project" => Ok(NewDatabases::Project),
            "upstream" => Ok(NewDatabases::Upstream),
            _ => Err(format!("`{text}` is neither `project` nor `upstream`")),
        }
    }
}

impl fmt::Display for NewDatabases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NewDatabases::Project => "project",
            NewDatabases::Upstream => "upstream",
        })
    }
}

/// What passes commands on.
pub(crate) struct Passthrough {
    pub(crate) upstream: Arc<Upstream>,
    databases: Databases,
    hearsay: Hearsay,
    new_databases: NewDatabases,
    pub(crate) own_database: String,
}

/// Whose command it is.
pub(crate) enum Claim {
    /// Argon's own, out of its compression.
    Own(BytesMut, Option<Compressor>),
    /// The deployment's.
    Theirs(Box<Request>, Option<Compressor>, Option<Rewriting>),
    /// Nobody's.
    Refused(Box<Request>, Option<Compressor>, Error),
}

/// Commands that are Argon's on any database: they are about the connection, the server, its users, or branches.
const OWN_COMMANDS: &[&str] = &[
    "applyOps",
    "authenticate",
    "buildInfo",
    "buildinfo",
    "connectionStatus",
    "createBranch",
    "createProject",
    "createRole",
    "createUser",
    "dropAllRolesFromDatabase",
    "dropAllUsersFromDatabase",
    "dropBranch",
    "dropProject",
    "dropRole",
    "dropUser",
    "getnonce",
    "grantPrivilegesToRole",
    "grantRolesToRole",
    "grantRolesToUser",
    "hello",
    "isMaster",
    "ismaster",
    "killAllSessions",
    "killAllSessionsByPattern",
    "listBranches",
    "listCommands",
    "listProjects",
    "logout",
    "revokePrivilegesFromRole",
    "revokeRolesFromRole",
    "revokeRolesFromUser",
    "rolesInfo",
    "saslContinue",
    "saslStart",
    "serverStatus",
    "setProfilingFilterGlobally",
    "setUserWriteBlockMode",
    "startRecordingTraffic",
    "startSession",
    "stopRecordingTraffic",
    "updateRole",
    "updateUser",
    "usersInfo",
    "whatsmyuri",
];

/// Whether the command called `name` is Argon's on any database. Those of a cluster's members among themselves
/// (`_shardsvrRenameCollection`, `clusterAggregate`) are nobody's: a mongos has none of them.
pub(crate) fn is_own_command(name: &str) -> bool {
    OWN_COMMANDS.binary_search(&name).is_ok()
        || name.starts_with('_')
        || name.starts_with("cluster")
}

impl Passthrough {
    pub(crate) fn new(config: UpstreamConfig) -> Passthrough {
        Passthrough {
            databases: Databases::new(Arc::clone(&config.upstream)),
            hearsay: Hearsay::new(),
            upstream: config.upstream,
            new_databases: config.new_databases,
            own_database: config.own_database,
        }
    }

    /// Decides whose command `frame` is.
    ///
    /// # Errors
    /// A message that does not inflate.
    pub(crate) async fn claim(
        &self,
        shared: &Shared,
        frame: BytesMut,
        limits: &Limits,
    ) -> Result<Claim, argon_wire::Error> {
        let (frame, compressor) = inflate(frame, limits)?;
        // What cannot be read here is for the own commands' parser to refuse.
        let request = match Request::read(frame) {
            Ok(request) => request,
            Err(frame) => return Ok(Claim::Own(frame, compressor)),
        };
        let database = home(&request);
        if !argon_engine::name::RESERVED.contains(&database)
            && !is_own_command(request.command())
            && let Err(error) = self.hear(shared, database).await
        {
            return Ok(Claim::Refused(Box::new(request), compressor, error));
        }
        let request = match prefix::claim(shared, request).await {
            Ok(Claimed::Not(request)) => request,
            Ok(Claimed::Theirs(request, rewriting)) => {
                return Ok(Claim::Theirs(Box::new(request), compressor, rewriting));
            }
            Ok(Claimed::Own(request)) => return Ok(Claim::Own(request.into_frame(), compressor)),
            Err((request, error)) => {
                return Ok(Claim::Refused(Box::new(request), compressor, error));
            }
        };
        let theirs = match self.is_theirs(shared, &request).await {
            Ok(true) => {
                let checked = check_request(shared, None, home(&request), &request).await;
                checked.map(|()| true)
            }
            theirs => theirs,
        };
        Ok(match theirs {
            Ok(true) => Claim::Theirs(Box::new(request), compressor, None),
            Ok(false) => Claim::Own(request.into_frame(), compressor),
            Err(error) => Claim::Refused(Box::new(request), compressor, error),
        })
    }

    async fn is_theirs(&self, shared: &Shared, request: &Request) -> Result<bool> {
        let database = request.database();
        let command = request.command();
        if matches!(command, "endSessions" | "killSessions" | "refreshSessions") {
            self.tell(request).await;
            return Ok(false);
        }
        if argon_engine::name::RESERVED.contains(&database) {
            return match command {
                // Sent to `admin`, whichever databases the transaction is about. Projects in the log have none, and one that
                // is not known here may have been begun through another server.
                "commitTransaction" | "abortTransaction" => {
                    Ok(request.in_transaction() && self.upstream.is_replicated())
                }
                "renameCollection" => match home(request) {
                    "admin" => Ok(false),
                    database => self.keeps(shared, database).await,
                },
                _ => Ok(false),
            };
        }
        if is_own_command(command) {
            return Ok(false);
        }
        if let Some(cursor) = request.cursor()
            && self.upstream.has_cursor(cursor)
        {
            return Ok(true);
        }
        self.keeps(shared, database).await
    }

    /// Whether the deployment keeps the database called `name`.
    ///
    /// # Errors
    /// If it cannot be asked, or the database is Argon's own there.
    pub(crate) async fn keeps(&self, shared: &Shared, name: &str) -> Result<bool> {
        self.check_own(name)?;
        if is_projects(shared, name) {
            return Ok(false);
        }
        let names_branch = name.contains('~');
        if self.new_databases == NewDatabases::Upstream && !names_branch {
            return Ok(true);
        }
        if self.databases.exists(name).await? {
            return Ok(true);
        }
        // It could be made on either side, so the share that goes to the log decides.
        Ok(!names_branch && shared.engine.engine_of_new(name).await? == BranchEngine::Prefix)
    }

    /// Fails for the database in which Argon keeps its own data.
    ///
    /// # Errors
    /// If `name` is that one.
    pub(crate) fn check_own(&self, name: &str) -> Result<()> {
        if name == self.own_database {
            return Err(Error::new(
                ErrorCode::Unauthorized,
                format!(
                    "database '{name}' holds Argon's own data: connect to the MongoDB itself to look at it"
                ),
            ));
        }
        Ok(())
    }

    /// What `listDatabases` says of the databases that pass through.
    pub(crate) async fn list(&self, shared: &Shared, name_only: bool) -> Result<Vec<Bytes>> {
        let mut listed = self.databases.list(name_only).await?;
        listed.retain(|database| {
            let name = database.get_str("name").unwrap_or_default();
            !self.hides(shared, name)
        });
        Ok(listed
            .into_iter()
            .map(|database| database.into_bytes().into())
            .collect())
    }

    /// Names that clients do not see: projects win over them, or they are Argon's own.
    fn hides(&self, shared: &Shared, name: &str) -> bool {
        name == self.own_database
            || argon_engine::name::RESERVED.contains(&name)
            // A project's main branch that is kept there is the database itself.
            || (is_projects(shared, name)
                && !matches!(shared.engine.upstream_branch(name), Ok(Some(_))))
    }

    /// Tells the deployment, too, what a client says about its sessions.
    async fn tell(&self, request: &Request) {
        if !self.upstream.is_ready() {
            return;
        }
        let upstream = Arc::clone(&self.upstream);
        let mut copy = request.clone();
        let telling = async move {
            if let Err(error) = upstream.send(&mut copy).await {
                tracing::debug!(%error, "upstream was not told of sessions");
            }
        };
        if request.command() == "killSessions" {
            // The client may rely on it.
            telling.await;
        } else {
            tokio::spawn(telling);
        }
    }
}

/// The database that `request` is about: the one that it is sent to, or for a command of `admin` that is about a collection,
/// where that is.
pub(crate) fn home(request: &Request) -> &str {
    match (request.database(), request.command()) {
        ("admin", "renameCollection") => request
            .subject()
            .and_then(|namespace| namespace.split_once('.'))
            .map_or("admin", |(database, _)| database),
        (database, _) => database,
    }
}

/// Whether the database called `name` belongs to a project: its main branch, or another one that may be there or not.
pub(crate) fn is_projects(shared: &Shared, name: &str) -> bool {
    let project = name.split_once('~').map_or(name, |(project, _)| project);
    shared.engine.has_project(project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(OWN_COMMANDS.is_sorted());
    }
}
