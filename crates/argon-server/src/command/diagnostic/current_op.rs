//! `currentOp`: the commands that are running, and on request the connections that run none.

use std::collections::HashSet;
use std::sync::Arc;

use argon_mql::filter::Filter;
use argon_mql::{Doc, DocBuf, ParseContext, ValueRef};
use bytes::Bytes;

use super::host_info::host;
use crate::command::{Access, Command, Cx, text};
use crate::connection::Connection;
use crate::error::Result;
use crate::operation::Operation;
use crate::reply::Reply;
use crate::server::now_ms;

pub(in crate::command) const COMMAND: Command = Command {
    name: "currentOp",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Lists running commands: {currentOp: 1, $all: <with idle connections>, $ownOps: <only one's own>, <filter>}.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

fn run(cx: &Cx<'_>) -> Result<Reply> {
    let mut idle = false;
    let mut filter = DocBuf::new();
    for element in cx.request.arguments().skip(1) {
        match &**element.key() {
            b"$all" => idle = truthy(&element.value()),
            // Without users every command is everybody's own, and no command is cut short.
            b"$ownOps" | b"$truncateOps" => {}
            _ => filter.append_element(&element),
        }
    }
    let filter = filter.finish();
    // Whoever asks for certain commands asks for nothing else.
    let asks_for_all = Doc::new(&filter).is_empty();
    let filter = Filter::parse(Doc::new(&filter), &ParseContext::new())?;
    let check = || cx.operation.check();
    let env = cx.env(Vec::new(), &check);
    let mut reply = Reply::ok();
    let doc = reply.doc();
    let array = doc.open_array("inprog");
    let mut count = 0;
    for operation in documents(cx, idle) {
        if filter.matches(&operation, &env)? {
            doc.push(count, ValueRef::Document(Doc::new(&operation)));
            count += 1;
        }
    }
    doc.close(array);
    if let Some(passthrough) = &cx.shared.passthrough
        && asks_for_all
    {
        passthrough.describe(doc);
    }
    Ok(reply)
}

/// As in C: everything but false and zero.
fn truthy(value: &ValueRef<'_>) -> bool {
    !matches!(
        value,
        ValueRef::Bool(false)
            | ValueRef::Int32(0)
            | ValueRef::Int64(0)
            | ValueRef::Double(0.0)
            | ValueRef::Null
            | ValueRef::Undefined
    )
}

/// What `currentOp` and `$currentOp` show: the running commands, then, if `idle`, the connections without one.
pub(in crate::command) fn documents(cx: &Cx<'_>, idle: bool) -> Vec<Bytes> {
    let operations = cx.shared.operations.list();
    let host = host(cx);
    let now = bson::DateTime::from_millis(now_ms())
        .try_to_rfc3339_string()
        .unwrap_or_default();
    let start = |connection: &Connection, active: bool| {
        let mut doc = DocBuf::with_capacity(512);
        doc.append("type", text("op"));
        doc.append("host", text(&host));
        doc.append("desc", text(&format!("conn{}", connection.id)));
        doc.append("connectionId", ValueRef::Int32(connection.id));
        doc.append("client", text(&connection.peer.to_string()));
        if let Some(client) = &*connection.client.lock() {
            let client = Doc::new(client);
            let application = client
                .get("application")
                .and_then(|value| value.as_document());
            if let Some(name) = application.and_then(|application| application.get("name")) {
                doc.append("appName", name);
            }
            doc.append("clientMetadata", ValueRef::Document(client));
        }
        doc.append("active", ValueRef::Bool(active));
        doc.append("currentOpTime", text(&now));
        doc
    };
    let mut documents: Vec<Bytes> = operations
        .iter()
        .map(|operation| {
            let mut doc = start(&operation.connection, true);
            describe(operation, &mut doc);
            doc.finish()
        })
        .collect();
    if idle {
        let busy: HashSet<i32> = operations
            .iter()
            .map(|operation| operation.connection.id)
            .collect();
        let connections = cx.shared.connections.lock();
        let mut connections: Vec<&Arc<Connection>> = connections
            .values()
            .filter(|connection| !busy.contains(&connection.id))
            .collect();
        connections.sort_by_key(|connection| connection.id);
        documents.extend(
            connections
                .iter()
                .map(|connection| start(connection, false).finish()),
        );
    }
    documents
}

fn describe(operation: &Operation, doc: &mut DocBuf) {
    let elapsed = operation.started.elapsed();
    doc.append("opid", ValueRef::Int32(operation.id));
    if let Some(lsid) = &operation.lsid {
        let session = doc.open_document("lsid");
        let (id, user) = lsid.split_at_checked(16).unwrap_or((lsid, &[]));
        doc.append(
            "id",
            ValueRef::Binary {
                subtype: 4,
                bytes: id,
            },
        );
        if !user.is_empty() {
            doc.append(
                "uid",
                ValueRef::Binary {
                    subtype: 0,
                    bytes: user,
                },
            );
        }
        doc.close(session);
    }
    let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
    let micros = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
    doc.append("secs_running", ValueRef::Int64(seconds));
    doc.append("microsecs_running", ValueRef::Int64(micros));
    let command = Doc::new(&operation.command);
    let first = command.iter().next();
    let name = first
        .as_ref()
        .map(|first| first.key().to_string())
        .unwrap_or_default();
    doc.append("op", text(kind(&name)));
    let collection = first.and_then(|first| match first.value() {
        ValueRef::String(collection) => Some(collection.to_string()),
        _ => command
            .get("collection")
            .and_then(|name| name.as_str())
            .map(str::to_owned),
    });
    // To MongoDB currentOp is a pipeline without a collection.
    let none = if matches!(name.as_str(), "aggregate" | "currentOp") {
        "$cmd.aggregate"
    } else {
        "$cmd"
    };
    let collection = collection.as_deref().unwrap_or(none);
    doc.append("ns", text(&format!("{}.{collection}", operation.database)));
    doc.append("command", ValueRef::Document(command));
    if let Some(progress) = &*operation.progress.lock() {
        let (done, total) = progress.now();
        doc.append("msg", text(&format!("Copying documents: {done}/{total}")));
        let progress = doc.open_document("progress");
        doc.append("done", ValueRef::Int64(done));
        doc.append("total", ValueRef::Int64(total));
        doc.close(progress);
    }
    doc.append("numYields", ValueRef::Int32(0));
    // Readers hold an immutable state and writers a moment's lock: nobody waits for anybody's.
    for field in ["locks", "lockStats"] {
        let empty = doc.open_document(field);
        doc.close(empty);
    }
    doc.append("waitingForLock", ValueRef::Bool(false));
}

/// The kind of operation, in the words of MongoDB's profiler.
fn kind(command: &str) -> &'static str {
    match command {
        "find" => "query",
        "insert" => "insert",
        "update" => "update",
        "delete" => "remove",
        "getMore" => "getmore",
        _ => "command",
    }
}
