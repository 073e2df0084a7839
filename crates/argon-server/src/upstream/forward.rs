//! A command out, its answers back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use argon_upstream::{Exchange, Reply, Request};
use argon_wire::{BytesMut, Compressor, Header, MsgFlags, compress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Passthrough;
use super::failure::translate;
use crate::connection::{next_request_id, write_msg};
use crate::error::Error;
use crate::prefix::Rewriting;
use crate::server::Shared;

/// What a client sends before it has its answer is read ahead up to this many bytes. A connection that is not read does
/// not tell that it has ended.
const AHEAD_MAX: usize = 64 * 1024;

/// Passes `request` on and its answers back; false if the connection is over.
pub(crate) async fn forward(
    shared: &Arc<Shared>,
    passthrough: &Passthrough,
    stream: &mut TcpStream,
    input: &mut BytesMut,
    mut request: Box<Request>,
    compressor: Option<Compressor>,
    rewriting: Option<Rewriting>,
) -> bool {
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let upstream = &passthrough.upstream;
    let sent = if request.is_silent() {
        // Nobody waits for it, so nobody leaves before it is done.
        upstream.send(&mut request).await
    } else {
        tokio::select! {
            biased;
            sent = upstream.send(&mut request) => sent,
            // Dropping the call closes its connection, and the server ends what a client does not wait for any more.
            () = gone(stream, input) => {
                upstream.abandon(&request);
                return false;
            }
        }
    };
    let mut exchange = match sent {
        Ok(None) => return true,
        Ok(Some(exchange)) => exchange,
        Err(error) => {
            let error = Error::of_upstream(error, &request, upstream);
            return refuse(shared, stream, &request, compressor, &error).await;
        }
    };
    if request.command() == "dropDatabase" && !exchange.reply().has_error() {
        passthrough.databases.forget(request.database());
    }
    let rewrite = |exchange: &mut Exchange| {
        if let Some(rewriting) = &rewriting {
            rewriting.reply(exchange.reply_mut());
        }
    };
    rewrite(&mut exchange);
    while exchange.reply().has_more() {
        if !answer(shared, stream, exchange.reply().frame(), compressor).await {
            return false;
        }
        let next = tokio::select! {
            biased;
            next = exchange.next() => next,
            () = gone(stream, input) => {
                upstream.abandon(&request);
                return false;
            }
        };
        if let Err(error) = next {
            // The client waits for the next answer of the same request.
            tracing::debug!(%error, "connection closed: an exhausted cursor is lost");
            return false;
        }
        rewrite(&mut exchange);
    }
    let reply: Reply = exchange.into_reply();
    answer(shared, stream, &translate(reply), compressor).await
}

/// Answers a request that was not passed on, or whose answer does not come; false if the connection is over.
pub(crate) async fn refuse(
    shared: &Arc<Shared>,
    stream: &mut TcpStream,
    request: &Request,
    compressor: Option<Compressor>,
    error: &Error,
) -> bool {
    tracing::debug!(
        code = error.code.number(),
        command = request.command(),
        database = request.database(),
        "{}",
        error.message
    );
    if request.is_silent() {
        return true;
    }
    let body = crate::reply::Reply::error(error).finish(true, shared.engine.cluster_time());
    let header = Header {
        request_id: next_request_id(),
        response_to: request.id(),
    };
    let checksum = request.flags().contains(MsgFlags::CHECKSUM_PRESENT);
    let mut frame = BytesMut::new();
    if let Err(error) = write_msg(&mut frame, header, checksum, false, &body) {
        tracing::error!(%error, "a reply cannot be sent");
        return false;
    }
    answer(shared, stream, &frame, compressor).await
}

async fn answer(
    shared: &Shared,
    stream: &mut TcpStream,
    frame: &[u8],
    compressor: Option<Compressor>,
) -> bool {
    let mut small = BytesMut::new();
    let bytes = match compressor {
        None => frame,
        Some(compressor) => match compress(frame, compressor, &mut small) {
            Ok(()) => &small,
            Err(error) => {
                tracing::error!(%error, "a reply cannot be compressed");
                return false;
            }
        },
    };
    let count = bytes.len() as u64;
    shared
        .counters
        .bytes_out
        .fetch_add(count, Ordering::Relaxed);
    stream.write_all(bytes).await.is_ok()
}

/// Waits until the client has closed its connection; what it sends meanwhile is kept.
async fn gone(stream: &mut TcpStream, input: &mut BytesMut) {
    while input.len() < AHEAD_MAX {
        input.reserve(4096);
        match stream.read_buf(input).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}
