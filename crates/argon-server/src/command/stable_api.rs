//! The Stable API: what a client promises not to go beyond.
//!
//! Source: MongoDB manual, "Stable API".

use argon_mql::{ErrorCode, ValueRef};

use super::Command;
use crate::error::{Error, Result};
use crate::request::{Request, wrong_type};

/// The commands of version 1, as mongod 6.0.5 lists them.
pub(super) const COMMANDS: &[&str] = &[
    "abortTransaction",
    "aggregate",
    "authenticate",
    "collMod",
    "commitTransaction",
    "count",
    "create",
    "createIndexes",
    "delete",
    "drop",
    "dropDatabase",
    "dropIndexes",
    "endSessions",
    "explain",
    "find",
    "findAndModify",
    "getMore",
    "hello",
    "insert",
    "killCursors",
    "listCollections",
    "listDatabases",
    "listIndexes",
    "ping",
    "refreshSessions",
    "saslContinue",
    "saslStart",
    "update",
];

/// Checks `apiVersion`, `apiStrict` and `apiDeprecationErrors` of a request for `command`.
///
/// # Errors
/// MongoDB's for a version that is not there, and for a command outside it where the client is strict.
pub(super) fn check(request: &Request, command: &Command) -> Result<()> {
    let doc = request.doc();
    let mut version = None;
    let (mut strict, mut others) = (false, false);
    for element in doc.iter() {
        let value = element.value();
        let path = || format!("APIParametersFromClient.{}", element.key());
        match (&**element.key(), value) {
            (b"apiVersion" | b"apiStrict" | b"apiDeprecationErrors", ValueRef::Null) => {}
            (b"apiVersion", ValueRef::String(text)) => version = Some(text),
            (b"apiVersion", value) => return Err(wrong_type(&path(), &value, "string")),
            (b"apiStrict", ValueRef::Bool(value)) => (strict, others) = (value, true),
            (b"apiDeprecationErrors", ValueRef::Bool(_)) => others = true,
            (b"apiStrict" | b"apiDeprecationErrors", value) => {
                return Err(wrong_type(&path(), &value, "bool"));
            }
            _ => {}
        }
    }
    match version {
        None if others => Err(Error::location(
            4_886_600,
            "Provided apiStrict and/or apiDeprecationErrors without passing apiVersion",
        )),
        Some(version) if version != "1" => Err(Error::new(
            ErrorCode::APIVersionError,
            format!("Cannot accept API version {version}"),
        )),
        Some(_) if strict && COMMANDS.binary_search(&command.name).is_err() => Err(Error::new(
            ErrorCode::APIStrictError,
            format!(
                "Provided apiStrict:true, but the command {} is not in API Version 1. Information on supported \
                 commands and migrations in API Version 1 can be found at \
                 https://dochub.mongodb.org/core/manual-versioned-api",
                command.name
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(COMMANDS.is_sorted());
    }
}
