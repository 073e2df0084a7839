//! OP_QUERY, with which drivers older than the specification of 2026 open a connection, and nothing else any more.
//!
//! Source: what mongod 6.0.5 answers; specification "MongoDB Handshake".

use std::sync::Arc;

use argon_mql::value::validate;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_wire::{BytesMut, Header, MsgFlags, OpMsg, OpQuery, OpReply, encode_reply};

use crate::command;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Request;
use crate::server::Shared;

/// Answers a legacy OP_QUERY: the first hello of an old driver, or an error.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    head: Header,
    query: &OpQuery,
    output: &mut BytesMut,
) {
    let (body, failed) = match query_request(query) {
        Ok(request) => (command::run(shared, connection, &request).await.0, false),
        Err(error) => {
            let failed = query.command_database().is_none();
            let mut body = DocBuf::new();
            if failed {
                body.append("$err", ValueRef::String(error.message.as_str().into()));
                body.append("code", ValueRef::Int32(error.code.number()));
                body.append("ok", ValueRef::Double(0.0));
                (body.finish(), true)
            } else {
                (
                    Reply::error(&error).finish(true, shared.engine.cluster_time()),
                    false,
                )
            }
        }
    };
    let flags = if failed {
        OpReply::QUERY_FAILURE
    } else {
        OpReply::AWAIT_CAPABLE
    };
    if let Err(error) = encode_reply(head, flags, &body, output) {
        tracing::error!(%error, "a legacy reply cannot be sent");
    }
}

/// The command that a legacy OP_QUERY carries.
///
/// Source: mongod 6.0.5 takes handshake and authentication commands this way, and refuses all else.
fn query_request(query: &OpQuery) -> Result<Request> {
    let Some(database) = query.command_database() else {
        return Err(Error::location(
            5_739_101,
            "OP_QUERY is no longer supported. The client driver may require an upgrade. For more \
             details see https://dochub.mongodb.org/core/legacy-opcode-removal",
        ));
    };
    if !matches!(query.number_to_return, 1 | -1) {
        return Err(Error::location(
            16979,
            format!(
                "Bad numberToReturn ({}) for $cmd type ns - can only be 1 or -1",
                query.number_to_return
            ),
        ));
    }
    if query.flags & OpQuery::EXHAUST != 0 {
        let message = "The 'exhaust' OP_QUERY flag is invalid for commands";
        return Err(Error::location(18527, message));
    }
    validate(&query.query)?;
    // A driver may wrap the command to send a read preference along.
    let whole = Doc::new(&query.query);
    let inner = ["$query", "query"]
        .iter()
        .find_map(|key| whole.element(key.as_bytes()))
        .filter(|_| {
            whole
                .iter()
                .next()
                .is_some_and(|first| first.key() == "$query" || first.key() == "query")
        })
        .and_then(|element| element.value().as_document());
    let command = inner.unwrap_or(whole);
    let name = command
        .iter()
        .next()
        .map(|first| first.key().to_string())
        .unwrap_or_default();
    if !command::allowed_in_query(&name) {
        return Err(Error::new(
            ErrorCode::UnsupportedOpQueryCommand,
            format!(
                "Unsupported OP_QUERY command: {name}. The client driver may require an upgrade. For more \
                 details see https://dochub.mongodb.org/core/legacy-opcode-removal"
            ),
        ));
    }
    let mut body = DocBuf::new();
    body.append_all(command);
    if command.get("$db").is_none() {
        body.append("$db", ValueRef::String(database.as_ref().into()));
    }
    Request::new(OpMsg {
        flags: MsgFlags::NONE,
        body: body.finish(),
        sequences: Vec::new(),
    })
}
