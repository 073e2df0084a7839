//! What can go wrong in the engine, in the engine's words.

use argon_storage::Lsn;

use crate::name::InvalidName;
use crate::state::Misfit;

/// The result of the engine's verbs.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the engine. The server turns it into MongoDB's codes in one place.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The query language refused something; it carries MongoDB's code.
    #[error(transparent)]
    Language(#[from] argon_mql::Error),
    /// The store failed.
    #[error(transparent)]
    Storage(argon_storage::Error),
    /// A database or branch name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The project is not there.
    #[error(
        "project '{0}' does not exist: create it with db.getSiblingDB('{0}').runCommand({{createProject: 1}}), or by writing to it"
    )]
    ProjectNotFound(String),
    /// The branch is not there.
    #[error(
        "branch '{branch}' of project '{project}' does not exist: create it with \
         db.getSiblingDB('{project}').runCommand({{createBranch: '{branch}'}})"
    )]
    BranchNotFound {
        /// The project.
        project: String,
        /// The branch's name as it was given.
        branch: String,
    },
    /// A project or branch of that name, or one that MongoDB would confuse with it, is there already.
    #[error("{0}")]
    Exists(String),
    /// The branch has branches of its own.
    #[error("branch '{0}' has branches of its own ({1}): drop them first")]
    HasChildren(String, String),
    /// The main branch stays as long as its project.
    #[error("the main branch of project '{0}' cannot be dropped; drop the project instead")]
    MainBranch(String),
    /// A point in history cannot be written to.
    #[error("database '{0}' is a point in history and read-only: fork a branch from it to write")]
    ReadOnlyPoint(String),
    /// A point that the branch has not reached.
    #[error("LSN {point} lies beyond the head of branch '{branch}', which is {head}")]
    BeyondHead {
        /// The branch.
        branch: String,
        /// The point asked for.
        point: Lsn,
        /// The branch's head.
        head: Lsn,
    },
    /// Nothing new may be made in the log.
    #[error(
        "{0} cannot be made in Argon's log, because that is turned off (wal.enabled is false): what exists can be read and \
         written; turn it on with argon config set wal.enabled true"
    )]
    WalOff(String),
    /// A setting's name or value that is none.
    #[error("{0}")]
    Setting(String),
    /// The branch's data are in the upstream MongoDB, where this cannot be done.
    #[error(
        "database '{0}' is kept in an upstream MongoDB (engine 'prefix'): this needs an Argon that is connected to it, \
         and a branch of the engine 'wal'"
    )]
    KeptUpstream(String),
    /// The branch's data are in the log, and not in the upstream MongoDB.
    #[error(
        "database '{0}' is kept in Argon's log (engine 'wal'), so it has no branches of the engine 'prefix'"
    )]
    KeptInLog(String),
    /// Other processes were faster again and again. Nothing was written.
    #[error(
        "gave up writing to branch '{branch}' after {attempts} attempts: others were faster each time"
    )]
    Contended {
        /// The branch.
        branch: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A write of a session's past.
    #[error(
        "Retryable write with txnNumber {asked} is prohibited on session because a newer write with txnNumber {known} has already started on this session"
    )]
    TransactionTooOld {
        /// The number the write came with.
        asked: i64,
        /// The number the session has reached.
        known: i64,
    },
    /// A record does not fit the state it belongs on.
    #[error("branch '{branch}': corrupt record at LSN {lsn}: {source}")]
    Replay {
        /// The branch.
        branch: String,
        /// The record's first LSN.
        lsn: Lsn,
        /// What does not fit.
        source: Misfit,
    },
}

impl Error {
    /// Whether a branch or project that was known is not there any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(
            self,
            Error::Storage(
                argon_storage::Error::BranchGone { .. } | argon_storage::Error::ProjectGone { .. }
            )
        )
    }
}

impl From<argon_storage::Error> for Error {
    fn from(error: argon_storage::Error) -> Error {
        Error::Storage(error)
    }
}
