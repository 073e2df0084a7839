//! `hello` and `isMaster`: the handshake, and the answer by which drivers judge what they talk to.
//!
//! Argon presents itself as a mongos: no hosts to discover, no primary to look for.
//! Source: specifications "MongoDB Handshake" and "Server Discovery And Monitoring".

use std::time::Duration;

use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_wire::{Compressor, MAX_BSON_OBJECT_BYTES, MAX_MESSAGE_BYTES, MAX_WRITE_BATCH};
use bson::oid::ObjectId;
use bytes::Bytes;

use super::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Request;
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

/// The largest client metadata document. Source: specification "MongoDB Handshake", "Limitations".
const CLIENT_BYTES_MAX: usize = 512;

async fn run(cx: &Cx<'_>, legacy: bool) -> Result<Reply> {
    let doc = cx.request.doc();
    remember_client(cx, doc)?;
    let awaited = await_change(cx, doc).await?;
    let compressors = negotiate(cx, doc);

    let mut reply = DocBuf::with_capacity(512);
    if matches!(doc.get("helloOk"), Some(ValueRef::Bool(true))) {
        reply.append("helloOk", ValueRef::Bool(true));
    }
    let name = if legacy {
        "ismaster"
    } else {
        "isWritablePrimary"
    };
    reply.append(name, ValueRef::Bool(true));
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
    if !compressors.is_empty() {
        let array = reply.open_array("compression");
        for (index, compressor) in compressors.iter().enumerate() {
            reply.push(index, text(compressor.name()));
        }
        reply.close(array);
    }
    // Without users nobody has a mechanism; drivers then fall back to their default, which fails with a clear error.
    if let Some(ValueRef::String(_)) = doc.get("saslSupportedMechs") {
        let array = reply.open_array("saslSupportedMechs");
        reply.close(array);
    }
    let mut reply = Reply::from(reply);
    if awaited && cx.request.exhaust_allowed {
        reply.next = Some(follow_up(cx));
    }
    Ok(reply)
}

/// Keeps the client's description: once per connection.
fn remember_client(cx: &Cx<'_>, doc: Doc<'_>) -> Result<()> {
    let Some(client) = doc.get("client") else {
        return Ok(());
    };
    let client = client.as_document().ok_or_else(|| {
        Error::new(
            ErrorCode::TypeMismatch,
            "The client metadata document must be a document",
        )
    })?;
    if client.byte_len() > CLIENT_BYTES_MAX {
        return Err(Error::new(
            ErrorCode::ClientMetadataDocumentTooLarge,
            format!(
                "The client metadata document must be less then or equal to {CLIENT_BYTES_MAX} bytes"
            ),
        ));
    }
    let mut known = cx.connection.client.lock();
    if known.is_some() {
        return Err(Error::new(
            ErrorCode::ClientMetadataCannotBeMutated,
            "The client metadata document may only be sent in the first hello",
        ));
    }
    *known = Some(Bytes::copy_from_slice(client.as_bytes()));
    Ok(())
}

/// Waits, if the client asked for it, until the answer would differ from the one it knows: `maxAwaitTimeMS` at most.
///
/// Source: specification "Server Discovery And Monitoring", "Awaitable hello or legacy hello Server Specification".
async fn await_change(cx: &Cx<'_>, doc: Doc<'_>) -> Result<bool> {
    let (known, wait) = match (doc.get("topologyVersion"), doc.get("maxAwaitTimeMS")) {
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
    let wait = match wait {
        ValueRef::Int32(ms) => i64::from(ms),
        ValueRef::Int64(ms) => ms,
        ValueRef::Double(ms) => crate::request::whole(ms).unwrap_or(-1),
        _ => -1,
    };
    let wait = u64::try_from(wait)
        .map_err(|_| Error::location(31373, "maxAwaitTimeMS must be a non-negative integer"))?;
    let known = known.as_document().ok_or_else(|| {
        Error::new(
            ErrorCode::TypeMismatch,
            "BSON field 'topologyVersion' must be an object",
        )
    })?;
    let same_process = matches!(
        known.get("processId"),
        Some(ValueRef::ObjectId(id)) if ObjectId::from_bytes(id) == cx.shared.process_id
    );
    let known_counter = match known.get("counter") {
        Some(ValueRef::Int64(counter)) => counter,
        _ => {
            return Err(Error::new(
                ErrorCode::TypeMismatch,
                "BSON field 'topologyVersion.counter' must be a long",
            ));
        }
    };
    if same_process && known_counter > counter(cx) {
        return Err(Error::location(
            31382,
            "Received a topology version with a counter greater than the server's",
        ));
    }
    if same_process && known_counter == counter(cx) {
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

/// The topology changes once: when the server begins to stop.
fn counter(cx: &Cx<'_>) -> i64 {
    i64::from(cx.shared.is_stopping())
}

/// Settles on the compressors that both ends have, in the client's order.
fn negotiate(cx: &Cx<'_>, doc: Doc<'_>) -> Vec<Compressor> {
    let Some(offered) = doc.get("compression").and_then(|value| value.as_array()) else {
        return Vec::new();
    };
    let common: Vec<Compressor> = offered
        .values()
        .filter_map(|value| value.as_str().and_then(Compressor::from_name))
        .collect();
    cx.connection.compressors.lock().clone_from(&common);
    common
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
