//! The table of commands, and how one is run.
//!
//! A command is a file here, a row in [`COMMANDS`], and cases under `tests/cases/command`.

mod aggregate;
mod batch;
mod branch;
mod coll_stats;
mod count;
mod create;
mod create_indexes;
mod db_stats;
mod delete;
mod distinct;
mod drop;
mod drop_database;
mod drop_indexes;
mod find;
mod find_and_modify;
mod get_more;
mod hello;
mod insert;
mod kill_cursors;
mod list_collections;
mod list_indexes;
mod ping;
mod query;
mod rename_collection;
mod update;
mod write;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use argon_mql::{ErrorCode, ValueRef};
use bytes::Bytes;

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::request::Request;
use crate::server::Shared;

/// A row of the table.
pub(crate) struct Command {
    /// Its name, as MongoDB spells it.
    pub(crate) name: &'static str,
    /// Other spellings that drivers still send.
    pub(crate) aliases: &'static [&'static str],
    /// Who may run it.
    pub(crate) access: Access,
    /// One sentence for `listCommands`.
    pub(crate) help: &'static str,
    /// Runs it.
    pub(crate) run: Run,
}

/// Who may run a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Anyone, before logging in too.
    Anonymous,
    /// Clients that have logged in, where there is authentication.
    LoggedIn,
    /// As [`Access::LoggedIn`], and only on the `admin` database.
    AdminDatabase,
}

type Run = for<'a> fn(&'a Cx<'a>) -> Running<'a>;
type Running<'a> = Pin<Box<dyn Future<Output = Result<Reply>> + Send + 'a>>;

/// What a running command has at hand.
pub(crate) struct Cx<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) connection: &'a Connection,
    pub(crate) request: &'a Request,
    pub(crate) operation: &'a Operation,
}

/// Every command, by name.
pub(crate) const COMMANDS: &[Command] = &[
    aggregate::COMMAND,
    coll_stats::COMMAND,
    count::COMMAND,
    create::COMMAND,
    branch::CREATE_BRANCH,
    create_indexes::COMMAND,
    branch::CREATE_PROJECT,
    db_stats::COMMAND,
    delete::COMMAND,
    distinct::COMMAND,
    drop::COMMAND,
    branch::DROP_BRANCH,
    drop_database::COMMAND,
    drop_indexes::COMMAND,
    branch::DROP_PROJECT,
    find::COMMAND,
    find_and_modify::COMMAND,
    get_more::COMMAND,
    hello::HELLO,
    insert::COMMAND,
    hello::IS_MASTER,
    kill_cursors::COMMAND,
    branch::LIST_BRANCHES,
    list_collections::COMMAND,
    list_indexes::COMMAND,
    branch::LIST_PROJECTS,
    ping::COMMAND,
    rename_collection::COMMAND,
    update::COMMAND,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Command>> = LazyLock::new(|| {
    COMMANDS
        .iter()
        .flat_map(|command| {
            command
                .aliases
                .iter()
                .chain([&command.name])
                .map(move |name| (*name, command))
        })
        .collect()
});

/// Commands whose messages are never compressed. Source: specification "OP_COMPRESSED".
const NEVER_COMPRESSED: &[&str] = &[
    "hello",
    "isMaster",
    "ismaster",
    "saslStart",
    "saslContinue",
    "getnonce",
    "authenticate",
    "createUser",
    "updateUser",
    "copydbSaslStart",
    "copydbgetnonce",
    "copydb",
];

/// Commands that mongod 6.0.5 takes in a legacy OP_QUERY.
const IN_QUERY: &[&str] = &[
    "hello",
    "isMaster",
    "ismaster",
    "saslStart",
    "saslContinue",
    "authenticate",
    "logout",
    "getnonce",
    "_isSelf",
    // mongod refuses this one; old tools depend on it all the same, and it tells nothing secret.
    "buildInfo",
    "buildinfo",
];

/// Whether the answer to `request` may be compressed.
pub(crate) fn may_compress(request: &Request) -> bool {
    let first = request.doc().iter().next();
    !first.is_some_and(|first| NEVER_COMPRESSED.iter().any(|name| first.key() == *name))
}

/// Whether a legacy OP_QUERY may carry the command called `name`.
pub(crate) fn allowed_in_query(name: &str) -> bool {
    IN_QUERY.contains(&name)
}

/// Runs the command in `request`: the finished answer, and the request to run next without being asked (exhaust).
pub(crate) async fn run(
    shared: &Arc<Shared>,
    connection: &Connection,
    request: &Request,
) -> (Bytes, Option<Request>) {
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let running = shared.operations.start(connection.id, request);
    let cx = Cx {
        shared,
        connection,
        request,
        operation: &running.operation,
    };
    let mut next = None;
    let (reply, failed) = match dispatch(&cx).await {
        Ok(mut reply) => {
            next = reply.next.take();
            (reply, false)
        }
        Err(error) => {
            let error = error.labelled(request.txn_number.is_some());
            tracing::debug!(
                code = error.code.number(),
                command = request.name(),
                database = request.database,
                "{}",
                error.message
            );
            (Reply::error(&error), true)
        }
    };
    (reply.finish(failed, shared.engine.cluster_time()), next)
}

async fn dispatch(cx: &Cx<'_>) -> Result<Reply> {
    let request = cx.request;
    let first = request.doc().iter().next();
    let command = first
        .and_then(|first| std::str::from_utf8(first.key()).ok())
        .and_then(|name| BY_NAME.get(name))
        .ok_or_else(|| unknown_command(request))?;
    if let Some(lsid) = &request.lsid {
        cx.shared.sessions.touch(lsid);
    }
    if let Some(seen) = request.cluster_time {
        cx.shared.engine.observe(argon_engine::ClusterTime(seen));
    }
    if request.in_transaction {
        // Half a transaction is worse than none: refuse the first command as a server without them does.
        return Err(Error::new(
            ErrorCode::IllegalOperation,
            "Transaction numbers are only allowed on a replica set member or mongos",
        ));
    }
    if command.access == Access::AdminDatabase && request.database != "admin" {
        return Err(Error::new(
            ErrorCode::Unauthorized,
            format!(
                "{} may only be run against the admin database.",
                command.name
            ),
        ));
    }
    (command.run)(cx).await
}

fn unknown_command(request: &Request) -> Error {
    Error::new(
        ErrorCode::CommandNotFound,
        format!("no such command: '{}'", request.name()),
    )
}

impl Cx<'_> {
    /// The user's name, for the log; empty without authentication.
    pub(crate) fn origin(&self) -> argon_engine::Origin {
        argon_engine::Origin::default()
    }

    /// Surroundings for evaluating this command's expressions.
    pub(crate) fn env<'e>(
        &self,
        variables: Vec<(String, argon_mql::Value)>,
        check_interrupt: &'e dyn Fn() -> argon_mql::Result<()>,
    ) -> argon_mql::Env<'e> {
        argon_mql::Env {
            now_ms: crate::server::now_ms(),
            cluster_time: self.shared.engine.cluster_time().0,
            variables,
            seed: std::cell::Cell::new(rand::random()),
            check_interrupt,
        }
    }
}

/// A document field's value, for replies built from constants.
pub(crate) fn text(text: &str) -> ValueRef<'_> {
    ValueRef::String(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_names_unique() {
        assert!(
            COMMANDS.windows(2).all(|pair| {
                pair[0].name.to_ascii_lowercase() < pair[1].name.to_ascii_lowercase()
            })
        );
        let names: usize = COMMANDS
            .iter()
            .map(|command| 1 + command.aliases.len())
            .sum();
        assert_eq!(names, BY_NAME.len());
    }
}
