//! Diagnostic commands of one line each.

use argon_mql::{DocBuf, ValueRef};

use crate::command::{Access, Command, text};
use crate::reply::Reply;

pub(in crate::command) const AVAILABLE_QUERY_OPTIONS: Command = Command {
    name: "availableQueryOptions",
    aliases: &["availablequeryoptions"],
    access: Access::LoggedIn,
    help: "Tells which flags a legacy OP_QUERY may have.",
    run: |_| {
        Box::pin(async { Ok(Reply::ok().with("options", ValueRef::Int32(LEGACY_QUERY_FLAGS))) })
    },
};

/// tailable, secondaryOk, noCursorTimeout, awaitData, exhaust, partial. Source: mongod 6.0.5.
const LEGACY_QUERY_FLAGS: i32 = 246;

pub(in crate::command) const CONN_POOL_STATS: Command = Command {
    name: "connPoolStats",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Counts connections to other servers: there are none.",
    run: |_| Box::pin(std::future::ready(Ok(conn_pool_stats()))),
};

pub(in crate::command) const CONN_POOL_SYNC: Command = Command {
    name: "connPoolSync",
    aliases: &["connpoolsync"],
    access: Access::LoggedIn,
    help: "Drops pooled connections to other servers: there are none.",
    run: |_| Box::pin(async { Ok(Reply::ok()) }),
};

pub(in crate::command) const FEATURES: Command = Command {
    name: "features",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Tells about features that were optional once.",
    run: |cx| {
        let [_, _, _, _, a, b, c, ..] = cx.shared.process_id.bytes();
        Box::pin(async move {
            let mut reply = DocBuf::new();
            let js = reply.open_document("js");
            reply.append("utf8", ValueRef::Bool(true));
            reply.close(js);
            let machine = i64::from(u32::from_be_bytes([0, a, b, c]));
            reply.append("oidMachine", ValueRef::Int64(machine));
            Ok(Reply::from(reply))
        })
    },
};

pub(in crate::command) const GET_FREE_MONITORING_STATUS: Command = Command {
    name: "getFreeMonitoringStatus",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Tells that nothing is reported to anybody.",
    run: |_| Box::pin(async { Ok(Reply::ok().with("state", text("undecided"))) }),
};

pub(in crate::command) const LOCK_INFO: Command = Command {
    name: "lockInfo",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Lists locks: readers and writers hold none.",
    run: |_| {
        Box::pin(async {
            let mut reply = DocBuf::new();
            let locks = reply.open_array("lockInfo");
            reply.close(locks);
            Ok(Reply::from(reply))
        })
    },
};

pub(in crate::command) const WHATS_MY_URI: Command = Command {
    name: "whatsmyuri",
    aliases: &[],
    access: Access::Anonymous,
    help: "Tells the address that the client comes from.",
    run: |cx| {
        let you = cx.connection.peer.to_string();
        Box::pin(async move { Ok(Reply::ok().with("you", text(&you))) })
    },
};

fn conn_pool_stats() -> Reply {
    let mut reply = DocBuf::new();
    for field in [
        "numClientConnections",
        "numAScopedConnections",
        "totalInUse",
        "totalAvailable",
        "totalCreated",
        "totalRefreshing",
        "totalRefreshed",
    ] {
        reply.append(field, ValueRef::Int32(0));
    }
    for field in ["pools", "hosts"] {
        let empty = reply.open_document(field);
        reply.close(empty);
    }
    reply.append("numReplicaSetMonitorsCreated", ValueRef::Int32(0));
    let sets = reply.open_document("replicaSets");
    reply.close(sets);
    Reply::from(reply)
}
