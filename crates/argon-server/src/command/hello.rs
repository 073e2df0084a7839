//! `hello` and `isMaster`: the handshake, and the answer by which drivers judge what they talk to.
//!
//! Argon presents itself as a mongos: no hosts to discover, no primary to look for.
//! Source: specifications "MongoDB Handshake" and "Server Discovery And Monitoring".

use std::time::Duration;

use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_wire::{Compressor, MAX_BSON_OBJECT_BYTES, MAX_MESSAGE_BYTES, MAX_WRITE_BATCH};
use bson::oid::ObjectId;

use super::{Access, Command, Cx, client_metadata, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, Request, missing_field, unknown_field, wrong_type};
use crate::server::now_ms;
use crate::session::TIMEOUT_MINUTES;

pub(super) const HELLO: Command = Command {
    name: "hello",
    aliases: &[],
    access: Access::Anonymous,
    help: "Describes the server to a driver.",
    run: |cx| Box::pin(run(cx, false)),
};

pub(super) const IS_MASTER: Command = Command {
    name: "isMaster",
    aliases: &["ismaster"],
    access: Access::Anonymous,
    help: "Describes the server to an old driver; see hello.",
    run: |cx| Box::pin(run(cx, true)),
};

/// Wire versions of MongoDB 6.0.
pub(crate) const WIRE_VERSION_MAX: i32 = 17;

async fn run(cx: &Cx<'_>, legacy: bool) -> Result<Reply> {
    let doc = cx.request.doc();
    client_metadata::remember(cx.connection, doc)?;
    let awaited = await_change(cx, doc).await?;
    let compressors = negotiate(cx, doc)?;

    let mut reply = DocBuf::with_capacity(512);
    if hello_ok(doc)? {
        reply.append("helloOk", ValueRef::Bool(true));
    }
    let primary = if legacy {
        "ismaster"
    } else {
        "isWritablePrimary"
    };
    reply.append(primary, ValueRef::Bool(true));
    reply.append("msg", text("isdbgrid"));
    let version = reply.open_document("topologyVersion");
    reply.append(
        "processId",
        ValueRef::ObjectId(cx.shared.process_id.bytes()),
    );
    reply.append("counter", ValueRef::Int64(counter(cx)));
    reply.close(version);
    reply.append("maxBsonObjectSize", int(MAX_BSON_OBJECT_BYTES));
    reply.append("maxMessageSizeBytes", int(MAX_MESSAGE_BYTES));
    reply.append("maxWriteBatchSize", int(MAX_WRITE_BATCH));
    reply.append("localTime", ValueRef::DateTime(now_ms()));
    reply.append(
        "logicalSessionTimeoutMinutes",
        ValueRef::Int32(TIMEOUT_MINUTES),
    );
    reply.append("connectionId", ValueRef::Int32(cx.connection.id));
    reply.append("minWireVersion", ValueRef::Int32(0));
    reply.append("maxWireVersion", ValueRef::Int32(WIRE_VERSION_MAX));
    reply.append("readOnly", ValueRef::Bool(false));
    if matches!(doc.get("loadBalanced"), Some(ValueRef::Bool(true))) {
        // Specification "Load Balancer Support": by it a driver behind a balancer knows which server a connection goes to,
        // and keeps cursors and transactions on their connections.
        let process = cx.shared.process_id.bytes();
        reply.append("serviceId", ValueRef::ObjectId(process));
    }
    if !compressors.is_empty() {
        let array = reply.open_array("compression");
        for (index, compressor) in compressors.iter().enumerate() {
            reply.push(index, text(compressor.name()));
        }
        reply.close(array);
    }
    check_mechanisms_asked(doc)?;
    let mut reply = Reply::from(reply);
    if awaited && cx.request.exhaust_allowed {
        reply.next = Some(follow_up(cx));
    }
    Ok(reply)
}

/// Waits, if the client asked for it, until the answer would differ from the one it knows: `maxAwaitTimeMS` at most.
///
/// Source: specification "Server Discovery And Monitoring", "Awaitable hello or legacy hello Server Specification".
async fn await_change(cx: &Cx<'_>, doc: Doc<'_>) -> Result<bool> {
    let given = |key: &str| {
        doc.element(key.as_bytes())
            .filter(|given| !given.value().is_nullish())
    };
    let (known, wait) = match (given("topologyVersion"), given("maxAwaitTimeMS")) {
        (None, None) => return Ok(false),
        (Some(known), Some(wait)) => (known, wait),
        (Some(_), None) => {
            return Err(Error::location(
                31368,
                "A request with a 'topologyVersion' must include 'maxAwaitTimeMS'",
            ));
        }
        (None, Some(_)) => {
            return Err(Error::location(
                31368,
                "A request with 'maxAwaitTimeMS' must include a 'topologyVersion'",
            ));
        }
    };
    let wait = Argument {
        command: "hello",
        element: wait,
    }
    .count()?;
    let (process, known_counter) = topology_version(known.value())?;
    let same_process = process == cx.shared.process_id;
    let newest = counter(cx);
    if same_process && known_counter > newest {
        return Err(Error::location(
            51764,
            format!(
                "Received a topology version with counter: {known_counter} which is greater than the server \
                 topology version counter: {newest}"
            ),
        ));
    }
    if same_process && known_counter == newest {
        let mut stopping = cx.shared.stopping.clone();
        let wait = Duration::from_millis(wait);
        let stopped = tokio::time::timeout(wait, stopping.wait_for(|stopping| *stopping)).await;
        if stopped.is_ok() {
            return Err(Error::new(
                ErrorCode::ShutdownInProgress,
                "The server is in quiesce mode and will shut down",
            ));
        }
    }
    Ok(true)
}

/// The client's `topologyVersion`.
fn topology_version(value: ValueRef<'_>) -> Result<(ObjectId, i64)> {
    const PATH: &str = "hello.topologyVersion";
    let doc = value
        .as_document()
        .ok_or_else(|| wrong_type(PATH, &value, "object"))?;
    let (mut process, mut counter) = (None, None);
    for element in doc.iter() {
        let path = || format!("{PATH}.{}", element.key());
        match (&**element.key(), element.value()) {
            (b"processId", ValueRef::ObjectId(id)) => process = Some(ObjectId::from_bytes(id)),
            (b"processId", value) => return Err(wrong_type(&path(), &value, "objectId")),
            (b"counter", ValueRef::Int64(value)) => counter = Some(value),
            (b"counter", value) => return Err(wrong_type(&path(), &value, "long")),
            _ => return Err(unknown_field(PATH, element.key())),
        }
    }
    let process = process.ok_or_else(|| missing_field("hello.topologyVersion.processId"))?;
    let counter = counter.ok_or_else(|| missing_field("hello.topologyVersion.counter"))?;
    if counter < 0 {
        let message = "topologyVersion must have a non-negative counter";
        return Err(Error::location(31372, message));
    }
    Ok((process, counter))
}

/// Checks `saslSupportedMechs`. There are no users, so there is nothing to answer to it.
fn check_mechanisms_asked(doc: Doc<'_>) -> Result<()> {
    match doc.get("saslSupportedMechs") {
        Some(ValueRef::String(user)) if !user.contains(&b'.') => Err(Error::bad_value(
            "UserName must contain a '.' separated database.user pair",
        )),
        Some(value) if !matches!(value, ValueRef::String(_) | ValueRef::Document(_)) => {
            Err(Error::new(
                ErrorCode::TypeMismatch,
                format!(
                    "BSON field 'hello.saslSupportedMechs' is the wrong type '{}', expected types '[string, object]'",
                    value.type_name()
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether the client asked if it may say `hello` from now on; what it says about it does not matter.
fn hello_ok(doc: Doc<'_>) -> Result<bool> {
    let asked = doc
        .element(b"helloOk")
        .filter(|asked| !asked.value().is_nullish());
    asked.map_or(Ok(false), |element| {
        Argument {
            command: "hello",
            element,
        }
        .bool()
        .map(|_| true)
    })
}

/// The topology changes once: when the server begins to stop.
fn counter(cx: &Cx<'_>) -> i64 {
    i64::from(cx.shared.is_stopping())
}

/// Settles on the compressors that both ends have, in the client's order.
fn negotiate(cx: &Cx<'_>, doc: Doc<'_>) -> Result<Vec<Compressor>> {
    const PATH: &str = "hello.compression";
    let offered = match doc.get("compression") {
        None | Some(ValueRef::Null) => return Ok(Vec::new()),
        Some(ValueRef::Array(offered)) => offered,
        Some(value) => return Err(wrong_type(PATH, &value, "array")),
    };
    let mut common = Vec::new();
    for item in offered.iter() {
        let value = item.value();
        let name = value
            .as_str()
            .ok_or_else(|| wrong_type(&format!("{PATH}.{}", item.key()), &value, "string"))?;
        common.extend(Compressor::from_name(name));
    }
    cx.connection.compressors.lock().clone_from(&common);
    Ok(common)
}

/// The request that a streaming client makes by not asking: the same, knowing the answer it just got.
fn follow_up(cx: &Cx<'_>) -> Request {
    let mut body = DocBuf::new();
    for element in cx.request.doc().iter() {
        if element.key() == "topologyVersion" {
            let version = body.open_document("topologyVersion");
            body.append(
                "processId",
                ValueRef::ObjectId(cx.shared.process_id.bytes()),
            );
            body.append("counter", ValueRef::Int64(counter(cx)));
            body.close(version);
        } else if element.key() != "client" {
            body.append_element(&element);
        }
    }
    cx.request.with_body(body.finish())
}

fn int(number: usize) -> ValueRef<'static> {
    ValueRef::Int32(i32::try_from(number).unwrap_or(i32::MAX))
}
