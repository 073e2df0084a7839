//! One connection: bytes in, commands run one after another, bytes out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argon_mql::Doc;
use argon_mql::value::validate;
use argon_wire::{
    BytesMut, Compressor, Header, Limits, Message, MsgFlags, MsgWriter, OpCode, OpMsg, OpReply,
    Payload, Refused, compress, encode_reply, parse as parse_message, room_for, take,
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command;
use crate::error::{Error, Result};
use crate::legacy;
use crate::reply::Reply;
use crate::request::Request;
use crate::server::Shared;
use crate::upstream::{self, Claim, forward};

/// What commands may know about the connection they came on.
pub(crate) struct Connection {
    /// Its number, as in `connectionId`.
    pub(crate) id: i32,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The client's `client` document of its first handshake; given once.
    pub(crate) client: Mutex<Option<Bytes>>,
    /// Whether there was a handshake.
    pub(crate) greeted: AtomicBool,
    /// What both ends can compress with, as negotiated by the last hello.
    pub(crate) compressors: Mutex<Vec<Compressor>>,
}

/// An open connection's place on the list; dropping it takes it off.
struct Registered<'a> {
    shared: &'a Shared,
    id: i32,
}

impl<'a> Registered<'a> {
    fn new(shared: &'a Shared, connection: &Arc<Connection>) -> Registered<'a> {
        shared
            .connections
            .lock()
            .insert(connection.id, Arc::clone(connection));
        Registered {
            shared,
            id: connection.id,
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.connections.lock().remove(&self.id);
    }
}

/// Past this much unused room the buffers are given back between messages.
const BUFFER_KEPT: usize = 1 << 20;

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, mut stream: TcpStream, peer: SocketAddr, id: i32) {
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection {
        id,
        peer,
        client: Mutex::new(None),
        greeted: AtomicBool::new(false),
        compressors: Mutex::new(Vec::new()),
    });
    let _registered = Registered::new(&shared, &connection);
    let limits = Limits::default();
    let mut stopping = shared.stopping.clone();
    let mut input = BytesMut::with_capacity(16 * 1024);
    let mut output = BytesMut::with_capacity(16 * 1024);
    loop {
        let taken = match take(&mut input, &limits) {
            Ok(Some(frame)) => match &shared.passthrough {
                None => Ok((frame, None)),
                Some(passthrough) => match passthrough.claim(&shared, frame, &limits).await {
                    Ok(Claim::Own(frame, compressor)) => Ok((frame, compressor)),
                    Ok(Claim::Theirs(request, compressor, rewriting)) => {
                        let (stream, input) = (&mut stream, &mut input);
                        let going = forward(
                            &shared,
                            passthrough,
                            stream,
                            input,
                            request,
                            compressor,
                            rewriting,
                        )
                        .await;
                        if !going || shared.is_stopping() {
                            return;
                        }
                        continue;
                    }
                    Ok(Claim::Refused(request, compressor, error)) => {
                        let going =
                            upstream::refuse(&shared, &mut stream, &request, compressor, &error)
                                .await;
                        if !going {
                            return;
                        }
                        continue;
                    }
                    Err(error) => Err(error),
                },
            },
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
            Err(error) => Err(error),
        };
        let parsed = taken.and_then(|(frame, inflated)| {
            let message = parse_message(frame.freeze(), &limits)?;
            Ok((message, inflated))
        });
        let (message, inflated) = match parsed {
            Ok(parsed) => parsed,
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
        let compressor = compressor.or(inflated);
        if header.response_to != 0 {
            // Source: mongod 6.0.5. An answer to something that was never asked.
            tracing::debug!(%peer, "connection closed: a request that says it is an answer");
            return;
        }
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
                legacy::serve(&shared, &connection, answer(header), &query, &mut output).await;
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
    connection: &Arc<Connection>,
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
        let name = &sequence.identifier;
        if Doc::new(&msg.body).element(name.as_bytes()).is_some() {
            return Err(Error::location(
                40433,
                format!("Duplicate field between body and document sequence {name}"),
            ));
        }
        for document in &sequence.documents {
            validate(document)?;
        }
    }
    Request::new(msg)
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
        let checksum = refused.flags.contains(MsgFlags::CHECKSUM_PRESENT);
        write_msg(output, head, checksum, false, &body)
    };
    if let Err(error) = written {
        tracing::error!(%error, "a refusal cannot be sent");
    }
}

pub(crate) fn write_msg(
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

pub(crate) fn next_request_id() -> i32 {
    use std::sync::atomic::AtomicI32;
    static NEXT: AtomicI32 = AtomicI32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
