//! Commands that MongoDB has and Argon has not: "not supported" differs from "unknown".
//!
//! A command that gets written loses its row here.

use argon_mql::ErrorCode;

use super::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;

const fn refused(
    name: &'static str,
    aliases: &'static [&'static str],
    help: &'static str,
) -> Command {
    Command {
        name,
        aliases,
        access: Access::LoggedIn,
        help,
        run: |cx| Box::pin(std::future::ready(not_supported(cx))),
    }
}

fn not_supported(cx: &Cx<'_>) -> Result<Reply> {
    let message = format!("command {} is not supported by Argon", cx.request.name());
    Err(Error::new(ErrorCode::CommandNotSupported, message))
}

const USERS: &str = "Not supported yet: Argon has no users.";

/// They all answer `CommandNotSupported`. Sorted as [`super::COMMANDS`] is.
pub(super) const COMMANDS: &[Command] = &[
    refused("_mergeAuthzCollections", &[], USERS),
    refused(
        "appendOplogNote",
        &[],
        "Not supported: the log holds what happened to documents, and no notes.",
    ),
    refused(
        "applyOps",
        &[],
        "Not supported: the log is written by commands only.",
    ),
    refused(
        "compactStructuredEncryptionData",
        &[],
        "Not supported: there are no encrypted collections.",
    ),
    refused("createRole", &[], USERS),
    refused("createUser", &[], USERS),
    refused(
        "dbCheck",
        &[],
        "Not supported: there are no secondaries to compare; use validate.",
    ),
    refused("dropAllRolesFromDatabase", &[], USERS),
    refused("dropAllUsersFromDatabase", &[], USERS),
    refused(
        "dropConnections",
        &[],
        "Not supported: Argon has no connections to other servers.",
    ),
    refused("dropRole", &[], USERS),
    refused("dropUser", &[], USERS),
    refused("filemd5", &[], "Not supported yet."),
    refused(
        "getClusterParameter",
        &[],
        "Not supported: there are no cluster parameters; use getParameter.",
    ),
    refused("getDiagnosticData", &[], "Not supported: use serverStatus."),
    refused("grantPrivilegesToRole", &[], USERS),
    refused("grantRolesToRole", &[], USERS),
    refused("grantRolesToUser", &[], USERS),
    refused(
        "mapReduce",
        &["mapreduce"],
        "Not supported: Argon runs no JavaScript; use aggregate.",
    ),
    refused(
        "planCacheSetFilter",
        &[],
        "Not supported: name an index with a hint.",
    ),
    refused("revokePrivilegesFromRole", &[], USERS),
    refused("revokeRolesFromRole", &[], USERS),
    refused("revokeRolesFromUser", &[], USERS),
    refused(
        "rotateCertificates",
        &[],
        "Not supported: Argon has no TLS.",
    ),
    refused("setClusterParameter", &[], "Not supported."),
    refused(
        "setDefaultRWConcern",
        &[],
        "Not supported: every write waits until it is durable.",
    ),
    refused(
        "setFeatureCompatibilityVersion",
        &[],
        "Not supported: it is always 6.0.",
    ),
    refused(
        "setFreeMonitoring",
        &[],
        "Not supported: Argon reports to nobody.",
    ),
    refused(
        "setIndexCommitQuorum",
        &[],
        "Not supported: indexes are built by one server.",
    ),
    refused(
        "setProfilingFilterGlobally",
        &[],
        "Not supported: Argon has no profiler.",
    ),
    refused(
        "setUserWriteBlockMode",
        &[],
        "Not supported: name a point in history to have a database that is only read.",
    ),
    refused("startRecordingTraffic", &[], "Not supported."),
    refused("stopRecordingTraffic", &[], "Not supported."),
    refused("updateRole", &[], USERS),
    refused("updateUser", &[], USERS),
    refused(
        "validateDBMetadata",
        &[],
        "Not supported: no collection uses what the Stable API has not.",
    ),
];

/// Source: what mongod 6.0.5 answers to drivers older than 3.6, which are not supported any more.
pub(super) const GET_LAST_ERROR: Command = Command {
    name: "getLastError",
    aliases: &["getlasterror"],
    access: Access::Anonymous,
    help: "Not supported any more: writes answer for themselves.",
    run: |_| {
        let error = Error::location(5_739_000, "getLastError command is not supported");
        Box::pin(std::future::ready(Err(error)))
    },
};

/// Source: what mongod 6.0.5 answers outside a transaction; inside one every command is refused before it gets here.
const fn outside_transaction(name: &'static str) -> Command {
    Command {
        name,
        aliases: &[],
        access: Access::AdminDatabase,
        help: "Not supported yet: Argon has no transactions.",
        run: |cx| {
            let message = format!("{} must be run within a transaction", cx.request.name());
            let error = Error::new(ErrorCode::CommandFailed, message);
            Box::pin(std::future::ready(Err(error)))
        },
    }
}

pub(super) const ABORT_TRANSACTION: Command = outside_transaction("abortTransaction");
pub(super) const COMMIT_TRANSACTION: Command = outside_transaction("commitTransaction");
