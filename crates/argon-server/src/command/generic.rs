//! Fields that every command may carry, but not every command takes: `txnNumber`, `writeConcern`, `readConcern`, `help`.
//!
//! Source: what mongod 6.0.5 answers to each of its commands with each of them.

use argon_mql::{ErrorCode, ValueRef};

use super::{Access, Command, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Request, unknown_field};

/// Commands that take a transaction number outside of a transaction: writes that may be sent again. The commands about
/// sessions carry one without effect.
const NUMBERED: &[&str] = &[
    "abortTransaction",
    "commitTransaction",
    "delete",
    "findAndModify",
    "insert",
    "killAllSessions",
    "killAllSessionsByPattern",
    "killSessions",
    "update",
];

/// Commands that take a write concern.
const WRITES: &[&str] = &[
    "abortTransaction",
    "aggregate",
    "appendOplogNote",
    "applyOps",
    "cloneCollectionAsCapped",
    "collMod",
    "commitTransaction",
    "convertToCapped",
    "create",
    "createBranch",
    "createIndexes",
    "createProject",
    "createRole",
    "createUser",
    "delete",
    "drop",
    "dropAllRolesFromDatabase",
    "dropAllUsersFromDatabase",
    "dropBranch",
    "dropDatabase",
    "dropIndexes",
    "dropProject",
    "dropRole",
    "dropUser",
    "findAndModify",
    "grantPrivilegesToRole",
    "grantRolesToRole",
    "grantRolesToUser",
    "insert",
    "renameCollection",
    "revokePrivilegesFromRole",
    "revokeRolesFromRole",
    "revokeRolesFromUser",
    "setClusterParameter",
    "setDefaultRWConcern",
    "setFeatureCompatibilityVersion",
    "setUserWriteBlockMode",
    "update",
    "updateRole",
    "updateUser",
];

/// Commands that take a read concern other than `local`.
const READS: &[&str] = &["aggregate", "count", "distinct", "find", "getMore"];

/// Commands that know all their arguments, of which `help` is none; the others answer it.
const WITHOUT_HELP: &[&str] = &[
    "aggregate",
    "connectionStatus",
    "create",
    "createIndexes",
    "delete",
    "drop",
    "dropDatabase",
    "dropIndexes",
    "endSessions",
    "explain",
    "features",
    "findAndModify",
    "getCmdLineOpts",
    "getMore",
    "hostInfo",
    "insert",
    "invalidateUserCache",
    "killCursors",
    "listCollections",
    "listDatabases",
    "listIndexes",
    "logRotate",
    "ping",
    "refreshSessions",
    "rolesInfo",
    "update",
    "usersInfo",
];

/// Refuses those that `command` does not take, or answers `help`.
///
/// # Errors
/// 50889 or `NotARetryableWriteCommand`, `InvalidOptions`, 40415.
pub(super) fn check(request: &Request, command: &Command) -> Result<Option<Reply>> {
    let takes = |commands: &[&str]| commands.binary_search(&command.name).is_ok();
    if let Some(help) = request.doc().get("help")
        && !super::is_refused(command.name)
    {
        if takes(WITHOUT_HELP) || !is_true(help) {
            return Err(unknown_field(command.name, "help"));
        }
        let mut reply = Reply::ok();
        let help = format!("help for: {} {}", command.name, command.help);
        reply.doc().append("help", text(&help));
        return Ok(Some(reply));
    }
    if request.txn_number.is_some() && !request.in_transaction && !takes(NUMBERED) {
        return Err(if command.access == Access::Anonymous {
            Error::location(
                50889,
                "It is illegal to provide a txnNumber for this command",
            )
        } else {
            Error::location(
                50768,
                format!(
                    "txnNumber may only be provided for multi-document transactions and retryable write commands. \
                     autocommit:false was not provided, and {} is not a retryable write command.",
                    command.name
                ),
            )
        });
    }
    if request.doc().get("writeConcern").is_some() && !takes(WRITES) {
        return Err(Error::new(
            ErrorCode::InvalidOptions,
            "Command does not support writeConcern",
        ));
    }
    let concern = request
        .doc()
        .get("readConcern")
        .and_then(|concern| concern.as_document());
    let level = concern
        .and_then(|concern| concern.get("level"))
        .and_then(|level| level.as_str());
    let taken = match level {
        None | Some("local") => true,
        Some("snapshot") if command.name == "count" => false,
        Some(_) => takes(READS),
    };
    if !taken {
        return Err(Error::new(
            ErrorCode::InvalidOptions,
            format!("Command {} does not support this readConcern", command.name),
        ));
    }
    Ok(None)
}

/// Whether MongoDB takes `value` for true.
fn is_true(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Bool(value) => value,
        ValueRef::Null | ValueRef::Undefined => false,
        value => {
            argon_mql::value::Number::from_value(value).is_none_or(|number| number.to_f64() != 0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_known() {
        for names in [NUMBERED, WRITES, READS, WITHOUT_HELP] {
            assert!(names.is_sorted());
            for name in names {
                assert!(super::super::BY_NAME.contains_key(name), "{name}");
            }
        }
    }
}
