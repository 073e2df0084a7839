//! The table of commands, and how one is run.
//!
//! A command is a file here, a row in [`COMMANDS`], and cases under `tests/cases/command`.

mod administration;
mod aggregate;
mod authentication;
mod batch;
mod branch;
mod capped;
mod client_metadata;
mod cluster;
mod coll_mod;
mod coll_stats;
mod collection_options;
mod count;
mod create;
mod create_indexes;
mod db_stats;
mod delete;
mod diagnostic;
mod distinct;
mod drop;
mod drop_database;
mod drop_indexes;
mod explain;
mod explain_stages;
mod find;
mod find_and_modify;
mod generic;
mod get_more;
mod hello;
mod insert;
mod kill_cursors;
mod list_collections;
mod list_indexes;
mod ping;
mod query;
mod refused;
mod rename_collection;
mod session;
mod stable_api;
mod system_source;
mod update;
mod write;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use argon_mql::{ErrorCode, ValueRef};
use bytes::Bytes;

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::request::Request;
use crate::server::Shared;

/// The version of MongoDB whose behaviour this is.
pub(crate) const VERSION: &str = "6.0.5";

/// The revision that a mongod 6.0.5 names, which some tools look at.
pub(crate) const GIT_VERSION: &str = "c9a99c120371d4d4c52cbb15dac34a36ce8d3b1d";

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

/// The commands, by name; those that are only refused are in [`refused::COMMANDS`].
const COMMANDS: &[Command] = &[
    refused::ABORT_TRANSACTION,
    aggregate::COMMAND,
    authentication::AUTHENTICATE,
    diagnostic::AVAILABLE_QUERY_OPTIONS,
    diagnostic::BUILD_INFO,
    capped::CLONE_COLLECTION_AS_CAPPED,
    coll_mod::COMMAND,
    coll_stats::COMMAND,
    refused::COMMIT_TRANSACTION,
    administration::COMPACT,
    diagnostic::CONNECTION_STATUS,
    diagnostic::CONN_POOL_STATS,
    diagnostic::CONN_POOL_SYNC,
    capped::CONVERT_TO_CAPPED,
    count::COMMAND,
    create::COMMAND,
    branch::CREATE_BRANCH,
    create_indexes::COMMAND,
    branch::CREATE_PROJECT,
    diagnostic::CURRENT_OP,
    diagnostic::DATA_SIZE,
    diagnostic::DB_HASH,
    db_stats::COMMAND,
    delete::COMMAND,
    distinct::COMMAND,
    drop::COMMAND,
    branch::DROP_BRANCH,
    drop_database::COMMAND,
    drop_indexes::COMMAND,
    branch::DROP_PROJECT,
    session::END_SESSIONS,
    explain::COMMAND,
    diagnostic::FEATURES,
    find::COMMAND,
    find_and_modify::COMMAND,
    cluster::FLUSH_ROUTER_CONFIG,
    administration::FSYNC,
    diagnostic::GET_CMD_LINE_OPTS,
    administration::GET_CONFIG,
    administration::GET_DEFAULT_RW_CONCERN,
    diagnostic::GET_FREE_MONITORING_STATUS,
    refused::GET_LAST_ERROR,
    diagnostic::GET_LOG,
    get_more::COMMAND,
    authentication::GET_NONCE,
    administration::GET_PARAMETER,
    hello::HELLO,
    diagnostic::HOST_INFO,
    insert::COMMAND,
    administration::INVALIDATE_USER_CACHE,
    cluster::IS_DB_GRID,
    hello::IS_MASTER,
    session::KILL_ALL_SESSIONS,
    session::KILL_ALL_SESSIONS_BY_PATTERN,
    kill_cursors::COMMAND,
    administration::KILL_OP,
    session::KILL_SESSIONS,
    branch::LIST_BRANCHES,
    list_collections::COMMAND,
    diagnostic::LIST_COMMANDS,
    diagnostic::LIST_DATABASES,
    list_indexes::COMMAND,
    branch::LIST_PROJECTS,
    cluster::LIST_SHARDS,
    diagnostic::LOCK_INFO,
    authentication::LOGOUT,
    administration::LOG_ROTATE,
    ping::COMMAND,
    administration::PLAN_CACHE_CLEAR,
    administration::PLAN_CACHE_CLEAR_FILTERS,
    administration::PLAN_CACHE_LIST_FILTERS,
    administration::PROFILE,
    session::REFRESH_SESSIONS,
    administration::RE_INDEX,
    rename_collection::COMMAND,
    cluster::REPL_SET_GET_STATUS,
    authentication::ROLES_INFO,
    authentication::SASL_CONTINUE,
    authentication::SASL_START,
    diagnostic::SERVER_STATUS,
    administration::SET_CONFIG,
    administration::SET_PARAMETER,
    administration::SHUTDOWN,
    session::START_SESSION,
    update::COMMAND,
    authentication::USERS_INFO,
    diagnostic::VALIDATE,
    diagnostic::WHATS_MY_URI,
];

/// Every command, by name.
pub(crate) static ALL: LazyLock<Vec<&'static Command>> = LazyLock::new(|| {
    let mut all: Vec<_> = COMMANDS.iter().chain(refused::COMMANDS).collect();
    all.sort_by_cached_key(|command| command.name.to_ascii_lowercase());
    all
});

static BY_NAME: LazyLock<HashMap<&'static str, &'static Command>> = LazyLock::new(|| {
    ALL.iter()
        .flat_map(|&command| {
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
    "buildInfo",
    "buildinfo",
];

/// Whether the command called `name` is known and not supported.
pub(crate) fn is_refused(name: &str) -> bool {
    refused::COMMANDS.iter().any(|command| command.name == name)
}

pub use administration::parameters;

/// Whether the command called `name` is in version 1 of the Stable API.
pub(crate) fn is_in_stable_api(name: &str) -> bool {
    stable_api::COMMANDS.binary_search(&name).is_ok()
}

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
    connection: &Arc<Connection>,
    request: &Request,
) -> (Bytes, Option<Request>) {
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let start = Instant::now();
    let running = shared.operations.start(connection, request);
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
    shared.until_known(&request.database).await;
    let reply = reply.finish(failed, shared.engine.cluster_time());
    let took = start.elapsed();
    let name = request.name();
    if let Some(namespace) = namespace(request, &name) {
        shared.latencies.count(&namespace, &name, took);
    }
    shared
        .slow_log
        .note(connection, request, &name, took, reply.len());
    (reply, next)
}

/// The namespace that a command is about, if that is a collection.
fn namespace(request: &Request, name: &str) -> Option<String> {
    let collection = match request.subject() {
        ValueRef::String(_) => request.collection().ok()?,
        _ if name == "getMore" => request.doc().get("collection")?.as_str()?,
        _ => return None,
    };
    Some([&request.database, ".", collection].concat())
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
    if request.has_api_parameters {
        stable_api::check(request, command)?;
    }
    check_database_name(&request.database)?;
    if request.in_transaction {
        // Half a transaction is worse than none: refuse the first command as a server without them does.
        return Err(Error::new(
            ErrorCode::IllegalOperation,
            "Transactions are not supported: run the operations outside of one",
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
    if let Some(reply) = generic::check(request, command)? {
        return Ok(reply);
    }
    (command.run)(cx).await
}

/// Refuses names that no database can have, whatever the command.
fn check_database_name(name: &str) -> Result<()> {
    /// Source: MongoDB manual, "MongoDB Limits and Thresholds", "Length of Database Names".
    const BYTES_MAX: usize = 63;
    let message = if name.contains('\0') {
        "namespaces cannot have embedded null characters".to_owned()
    } else if name.contains('.') {
        format!("'.' is an invalid character in the database name: {name}")
    } else if name.is_empty() || name.len() > BYTES_MAX || name.contains(['/', '\\', ' ', '"']) {
        format!("Invalid database name: '{name}'")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorCode::InvalidNamespace, message))
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

    /// Where stages may put what exceeds their memory, if the client allows it.
    pub(crate) fn spill(&self, allow_disk_use: bool) -> Option<&dyn argon_mql::spill::Area> {
        allow_disk_use.then_some(&self.shared.scratch as _)
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
        for rows in [COMMANDS, refused::COMMANDS] {
            assert!(rows.windows(2).all(|pair| {
                pair[0].name.to_ascii_lowercase() < pair[1].name.to_ascii_lowercase()
            }));
        }
        let names: usize = ALL.iter().map(|command| 1 + command.aliases.len()).sum();
        assert_eq!(names, BY_NAME.len());
    }
}
