//! What a mongos is asked about its cluster. Argon looks like one and has none behind it.
//!
//! Commands that change a cluster are not here: they are unknown, and say so.

use argon_mql::{DocBuf, ValueRef};

use super::{Access, Command, Cx, text};
use crate::error::{Error, UNCODED};
use crate::reply::Reply;

pub(super) const FLUSH_ROUTER_CONFIG: Command = Command {
    name: "flushRouterConfig",
    aliases: &["flushrouterconfig"],
    access: Access::AdminDatabase,
    help: "Forgets what is cached of the cluster: nothing is.",
    run: |_| Box::pin(async { Ok(Reply::ok().with("flushed", ValueRef::Bool(true))) }),
};

pub(super) const IS_DB_GRID: Command = Command {
    name: "isdbgrid",
    aliases: &["isDBGrid"],
    access: Access::Anonymous,
    help: "Tells that this looks like a mongos.",
    run: |cx| Box::pin(std::future::ready(Ok(is_db_grid(cx)))),
};

pub(super) const LIST_SHARDS: Command = Command {
    name: "listShards",
    aliases: &["listshards"],
    access: Access::AdminDatabase,
    help: "Lists shards: there are none.",
    run: |_| {
        Box::pin(async {
            let mut reply = DocBuf::new();
            let shards = reply.open_array("shards");
            reply.close(shards);
            Ok(Reply::from(reply))
        })
    },
};

pub(super) const REPL_SET_GET_STATUS: Command = Command {
    name: "replSetGetStatus",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Tells that this is no member of a replica set.",
    run: |_| Box::pin(std::future::ready(Err(no_replica_set()))),
};

fn is_db_grid(cx: &Cx<'_>) -> Reply {
    Reply::ok()
        .with("isdbgrid", ValueRef::Double(1.0))
        .with("hostname", text(&cx.shared.address.to_string()))
}

/// Tools know a mongos by this answer's `info`.
fn no_replica_set() -> Error {
    let mut details = DocBuf::new();
    details.append("info", text("mongos"));
    Error {
        code: UNCODED,
        message: "replSetGetStatus is not supported through mongos".to_owned(),
        details: Some(details.finish()),
        labels: Vec::new(),
    }
}
