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
const REWRITE: &str = "Not supported: a collection has no file of its own that could be rewritten.";

pub(super) const COMPACT: Command = refused("compact", &[], REWRITE);
pub(super) const CREATE_ROLE: Command = refused("createRole", &[], USERS);
pub(super) const CREATE_USER: Command = refused("createUser", &[], USERS);
pub(super) const DROP_ALL_ROLES_FROM_DATABASE: Command =
    refused("dropAllRolesFromDatabase", &[], USERS);
pub(super) const DROP_ALL_USERS_FROM_DATABASE: Command =
    refused("dropAllUsersFromDatabase", &[], USERS);
pub(super) const DROP_ROLE: Command = refused("dropRole", &[], USERS);
pub(super) const DROP_USER: Command = refused("dropUser", &[], USERS);
pub(super) const FILE_MD5: Command = refused("filemd5", &[], "Not supported yet.");
pub(super) const GRANT_PRIVILEGES_TO_ROLE: Command = refused("grantPrivilegesToRole", &[], USERS);
pub(super) const GRANT_ROLES_TO_ROLE: Command = refused("grantRolesToRole", &[], USERS);
pub(super) const GRANT_ROLES_TO_USER: Command = refused("grantRolesToUser", &[], USERS);
pub(super) const MAP_REDUCE: Command = refused(
    "mapReduce",
    &["mapreduce"],
    "Not supported: Argon runs no JavaScript; use aggregate.",
);
pub(super) const MERGE_AUTHZ_COLLECTIONS: Command = refused("_mergeAuthzCollections", &[], USERS);
pub(super) const PLAN_CACHE_SET_FILTER: Command = refused(
    "planCacheSetFilter",
    &[],
    "Not supported: name an index with a hint.",
);
pub(super) const RE_INDEX: Command = refused("reIndex", &["reindex"], REWRITE);
pub(super) const REVOKE_PRIVILEGES_FROM_ROLE: Command =
    refused("revokePrivilegesFromRole", &[], USERS);
pub(super) const REVOKE_ROLES_FROM_ROLE: Command = refused("revokeRolesFromRole", &[], USERS);
pub(super) const REVOKE_ROLES_FROM_USER: Command = refused("revokeRolesFromUser", &[], USERS);
pub(super) const SET_CLUSTER_PARAMETER: Command =
    refused("setClusterParameter", &[], "Not supported.");
pub(super) const SET_DEFAULT_RW_CONCERN: Command = refused(
    "setDefaultRWConcern",
    &[],
    "Not supported: every write waits until it is durable.",
);
pub(super) const SET_FEATURE_COMPATIBILITY_VERSION: Command = refused(
    "setFeatureCompatibilityVersion",
    &[],
    "Not supported: it is always 6.0.",
);
pub(super) const UPDATE_ROLE: Command = refused("updateRole", &[], USERS);
pub(super) const UPDATE_USER: Command = refused("updateUser", &[], USERS);

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
