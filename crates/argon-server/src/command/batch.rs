//! Batches: the part of a result that fits one reply, and the cursor that keeps the rest.

use std::sync::Arc;
use std::time::Instant;

use argon_engine::exec::Reading;
use argon_engine::state::State;
use argon_mql::stage::{Context, Documents, Reader, Source};
use argon_mql::{Doc, DocBuf, ValueRef};
use argon_wire::MAX_BSON_OBJECT_BYTES;
use bytes::Bytes;

use super::{Cx, text};
use crate::cursor::{Cursor, Tailing};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, unknown_field};

/// Documents in a first batch if the client does not say. Source: MongoDB manual, "cursor.batchSize()".
pub(crate) const FIRST_BATCH_DEFAULT: u64 = 101;

/// A query that was opened and now answers its first batch.
pub(crate) struct Opened {
    /// The namespace as the client names it.
    pub(crate) namespace: String,
    /// The result.
    pub(crate) source: Box<dyn Source>,
    /// Other collections that its stages read.
    pub(crate) reader: Box<dyn Reader + Send>,
    /// Most documents in the first batch; 0 opens the cursor and nothing else.
    pub(crate) batch_size: Option<u64>,
    /// Whether nothing is kept behind the first batch.
    pub(crate) single_batch: bool,
    /// Whether the cursor is kept however long it is unused.
    pub(crate) no_timeout: bool,
    /// Whether blocking stages may write what exceeds their memory to disk.
    pub(crate) allow_disk_use: bool,
    /// The `let` variables.
    pub(crate) variables: Vec<(String, argon_mql::Value)>,
    /// Whether it may take long: then other tasks are moved off this thread first.
    pub(crate) heavy: bool,
    /// How it goes on after its end, if it is tailable.
    pub(crate) tailing: Option<Tailing>,
    /// Where identity and namespace stand in the answer.
    pub(crate) layout: Layout,
}

/// The order of fields in a first answer: mongod has two, and what is compared byte by byte shows which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// Documents, then identity and namespace: results of queries.
    BatchFirst,
    /// Identity and namespace, then documents: listings, and `find` on a collection that does not exist.
    BatchLast,
}

/// Answers the first batch of `opened` and keeps the rest.
pub(crate) fn first(cx: &Cx<'_>, opened: Opened) -> Result<Reply> {
    let Opened {
        namespace,
        source,
        reader,
        batch_size,
        single_batch,
        layout,
        ..
    } = opened;
    let mut cursor = Cursor {
        namespace,
        lsid: cx.request.lsid.clone(),
        no_timeout: opened.no_timeout,
        allow_disk_use: opened.allow_disk_use,
        source,
        reader,
        pending: None,
        variables: opened.variables,
        heavy: opened.heavy,
        tailing: opened.tailing,
        last_used: Instant::now(),
    };
    let limit = batch_size.unwrap_or(FIRST_BATCH_DEFAULT);
    let mut reply = Reply::ok();
    let body = reply.doc().open_document("cursor");
    let mut apart = DocBuf::new();
    let out = match layout {
        Layout::BatchFirst => reply.doc(),
        Layout::BatchLast => &mut apart,
    };
    let exhausted = fill(cx, &mut cursor, "firstBatch", limit, out)?;
    let namespace = cursor.namespace.clone();
    // What follows a collection has no end.
    let ends = exhausted && cursor.tailing.is_none();
    let id = if ends || single_batch {
        0
    } else {
        keep(cx, cursor)?
    };
    let doc = reply.doc();
    doc.append("id", ValueRef::Int64(id));
    doc.append("ns", text(&namespace));
    doc.append_all(Doc::new(&apart.finish()));
    doc.close(body);
    Ok(reply)
}

fn keep(cx: &Cx<'_>, cursor: Cursor) -> Result<i64> {
    cx.shared.cursors.open(cursor).ok_or_else(|| {
        Error::location(
            argon_mql::ErrorCode::IngressRequestRateLimitExceeded.number(),
            "too many open cursors",
        )
    })
}

/// Appends up to `limit` documents of `cursor` as array `name`; whether they were the last.
pub(crate) fn fill(
    cx: &Cx<'_>,
    cursor: &mut Cursor,
    name: &str,
    limit: u64,
    out: &mut DocBuf,
) -> Result<bool> {
    if cursor.heavy {
        tokio::task::block_in_place(|| fill_here(cx, cursor, name, limit, out))
    } else {
        fill_here(cx, cursor, name, limit, out)
    }
}

fn fill_here(
    cx: &Cx<'_>,
    cursor: &mut Cursor,
    name: &str,
    limit: u64,
    out: &mut DocBuf,
) -> Result<bool> {
    let check = || cx.operation.check();
    let env = cx.env(cursor.variables.clone(), &check);
    let context = Context {
        env: &env,
        reader: &*cursor.reader,
        spill: cx.spill(cursor.allow_disk_use),
    };
    let array = out.open_array(name);
    let start = out.byte_len();
    let mut count = 0;
    let mut exhausted = false;
    while (count as u64) < limit {
        let next = match cursor.pending.take() {
            Some(pending) => Some(pending),
            None => cursor.source.next(&context)?,
        };
        let Some(document) = next else {
            exhausted = true;
            break;
        };
        if count > 0 && out.byte_len() - start + document.len() > MAX_BSON_OBJECT_BYTES {
            cursor.pending = Some(document);
            break;
        }
        out.push(count, ValueRef::Document(Doc::new(&document)));
        count += 1;
    }
    out.close(array);
    // A full batch may have been the whole result: looking one further saves the client a round trip.
    if !exhausted && limit > 0 && cursor.pending.is_none() {
        cursor.pending = cursor.source.next(&context)?;
        exhausted = cursor.pending.is_none();
    }
    Ok(exhausted)
}

/// Answers a result without documents.
pub(crate) fn empty(namespace: &str) -> Reply {
    let mut reply = Reply::ok();
    let doc = reply.doc();
    let body = doc.open_document("cursor");
    let batch = doc.open_array("firstBatch");
    doc.close(batch);
    doc.append("id", ValueRef::Int64(0));
    doc.append("ns", text(namespace));
    doc.close(body);
    reply
}

/// Answers a listing of metadata: by cursor like every result, so that a small batch size is kept to.
pub(crate) fn listing(
    cx: &Cx<'_>,
    namespace: String,
    documents: Vec<Bytes>,
    batch_size: Option<u64>,
) -> Result<Reply> {
    first(
        cx,
        Opened {
            namespace,
            source: Box::new(Documents::new(documents)),
            reader: Box::new(Reading::new(Arc::new(State::empty()))),
            batch_size: Some(batch_size.unwrap_or(u64::MAX)),
            single_batch: false,
            no_timeout: false,
            allow_disk_use: true,
            variables: Vec::new(),
            heavy: false,
            tailing: None,
            layout: Layout::BatchLast,
        },
    )
}

/// The batch size in a command's `cursor` document.
pub(crate) fn size_of(cursor: Doc<'_>, command: &'static str) -> Result<Option<u64>> {
    let mut size = None;
    for element in cursor.iter() {
        match &**element.key() {
            b"batchSize" => size = Some(Argument { command, element }.count()?),
            _ => return Err(unknown_field(command, element.key())),
        }
    }
    Ok(size)
}
