//! One connection: bytes in, commands run one after another, bytes out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use argon_mql::value::validate;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_wire::{
    BytesMut, Compressor, Header, Limits, Message, MsgFlags, MsgWriter, OpCode, OpMsg, OpQuery,
    OpReply, Payload, Refused, compress, decode, encode_reply, room_for,
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Request;
use crate::server::Shared;

/// What commands may know about the connection they came on.
pub(crate) struct Connection {
    /// Its number, as in `connectionId`.
    pub(crate) id: i32,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The client's `client` document of its first handshake; given once.
    pub(crate) client: Mutex<Option<Bytes>>,
    /// What both ends can compress with, as negotiated by the last hello.
    pub(crate) compressors: Mutex<Vec<Compressor>>,
}

/// Past this much unused room the buffers are given back between messages.
const BUFFER_KEPT: usize = 1 << 20;

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, mut stream: TcpStream, peer: SocketAddr, id: i32) {
    let _ = stream.set_nodelay(true);
    let connection = Connection {
        id,
        peer,
        client: Mutex::new(None),
        compressors: Mutex::new(Vec::new()),
    };
    let limits = Limits::default();
    let mut stopping = shared.stopping.clone();
    let mut input = BytesMut::with_capacity(16 * 1024);
    let mut output = BytesMut::with_capacity(16 * 1024);
    loop {
        let message = match decode(&mut input, &limits) {
            Ok(Some(message)) => message,
            Ok(None) => {
                input.reserve(room_for(&input, &limits));
                let read = tokio::select! {
                    biased;
                    read = stream.read_buf(&mut input) => read,
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                };
                match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => {
                        shared
                            .counters
                            .bytes_in
                            .fetch_add(count as u64, Ordering::Relaxed);
                    }
                }
                continue;
            }
            Err(argon_wire::Error::Refused(refused)) => {
                refuse(&shared, &refused, &mut output);
                if send(&shared, &mut stream, &mut output).await.is_err() {
                    return;
                }
                continue;
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "connection closed: malformed message");
                return;
            }
        };
        let Message {
            header,
            compressor,
            payload,
        } = message;
        let going = match payload {
            Payload::Msg(msg) => {
                serve_msg(
                    &shared,
                    &connection,
                    &mut stream,
                    header,
                    compressor,
                    msg,
                    &mut output,
                )
                .await
            }
            Payload::Query(query) => {
                serve_query(&shared, &connection, header, &query, &mut output).await;
                send(&shared, &mut stream, &mut output).await.is_ok()
            }
            Payload::Unsupported {
                op_code: OpCode::GET_MORE,
            } => {
                let error = Error::location(5_739_101, "OP_GET_MORE is no longer supported");
                let body = Reply::error(&error).finish(true, shared.engine.cluster_time());
                let answered =
                    encode_reply(answer(header), OpReply::QUERY_FAILURE, &body, &mut output);
                answered.is_ok() && send(&shared, &mut stream, &mut output).await.is_ok()
            }
            Payload::Reply(_) | Payload::Unsupported { .. } => false,
        };
        if !going || shared.is_stopping() {
            return;
        }
        if output.capacity() > BUFFER_KEPT {
            output = BytesMut::with_capacity(16 * 1024);
        }
    }
}

/// Runs the command of an OP_MSG and answers it, again and again where the client allowed that.
async fn serve_msg(
    shared: &Arc<Shared>,
    connection: &Connection,
    stream: &mut TcpStream,
    header: Header,
    compressor: Option<Compressor>,
    msg: OpMsg,
    output: &mut BytesMut,
) -> bool {
    let silent = msg.flags.contains(MsgFlags::MORE_TO_COME);
    let checksum = msg.flags.contains(MsgFlags::CHECKSUM_PRESENT);
    let request = match parse(msg) {
        Ok(request) => request,
        Err(error) => {
            if silent {
                return true;
            }
            let body = Reply::error(&error).finish(true, shared.engine.cluster_time());
            return write_msg(output, answer(header), checksum, false, &body).is_ok()
                && send(shared, stream, output).await.is_ok();
        }
    };
    let mut to = header.request_id;
    let mut request = request;
    loop {
        let (body, more) = command::run(shared, connection, &request).await;
        if silent {
            return true;
        }
        let head = Header {
            request_id: next_request_id(),
            response_to: to,
        };
        let written = match compressor.filter(|_| command::may_compress(&request)) {
            None => write_msg(output, head, checksum, more.is_some(), &body),
            Some(compressor) => {
                let mut plain = BytesMut::with_capacity(body.len() + 64);
                // Specification "OP_COMPRESSED": a checksum is of no use inside, and drivers ask for none.
                write_msg(&mut plain, head, false, more.is_some(), &body)
                    .and_then(|()| compress(&plain, compressor, output))
            }
        };
        if let Err(error) = written {
            tracing::error!(%error, "a reply cannot be sent");
            return false;
        }
        if send(shared, stream, output).await.is_err() {
            return false;
        }
        match more {
            None => return true,
            Some(next) => {
                to = head.request_id;
                request = next;
            }
        }
        if shared.is_stopping() {
            return false;
        }
    }
}

/// Checks a message's documents and reads what every command may carry.
fn parse(msg: OpMsg) -> Result<Request> {
    validate(&msg.body)?;
    for sequence in &msg.sequences {
        for document in &sequence.documents {
            validate(document)?;
        }
    }
    Request::new(msg)
}

/// Answers a legacy OP_QUERY: the first hello of an old driver, or an error.
async fn serve_query(
    shared: &Arc<Shared>,
    connection: &Connection,
    header: Header,
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
    if let Err(error) = encode_reply(answer(header), flags, &body, output) {
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

/// Answers a message that was well framed but wrong inside.
fn refuse(shared: &Shared, refused: &Refused, output: &mut BytesMut) {
    if !refused.wants_reply() {
        return;
    }
    let error = Error::from(&refused.reason);
    let body = Reply::error(&error).finish(true, shared.engine.cluster_time());
    let head = answer(refused.header);
    let written = if refused.op_code == OpCode::QUERY {
        encode_reply(head, 0, &body, output)
    } else {
        write_msg(output, head, false, false, &body)
    };
    if let Err(error) = written {
        tracing::error!(%error, "a refusal cannot be sent");
    }
}

fn write_msg(
    output: &mut BytesMut,
    head: Header,
    checksum: bool,
    more_to_come: bool,
    body: &[u8],
) -> Result<(), argon_wire::Error> {
    let mut flags = MsgFlags::NONE;
    if checksum {
        flags.0 |= MsgFlags::CHECKSUM_PRESENT.0;
    }
    if more_to_come {
        flags.0 |= MsgFlags::MORE_TO_COME.0;
    }
    let mut writer = MsgWriter::new(output, head, flags);
    writer.body(body);
    writer.finish()
}

async fn send(
    shared: &Shared,
    stream: &mut TcpStream,
    output: &mut BytesMut,
) -> std::io::Result<()> {
    shared
        .counters
        .bytes_out
        .fetch_add(output.len() as u64, Ordering::Relaxed);
    let sent = stream.write_all(output).await;
    output.clear();
    sent
}

fn answer(to: Header) -> Header {
    Header {
        request_id: next_request_id(),
        response_to: to.request_id,
    }
}

fn next_request_id() -> i32 {
    use std::sync::atomic::AtomicI32;
    static NEXT: AtomicI32 = AtomicI32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
