//! `getMore`.

use std::time::{Duration, Instant};

use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};

use super::{Access, Command, Cx, batch, text};
use crate::cursor::{Cursor, Tailing, Unavailable};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field, wrong_type};

pub(super) const COMMAND: Command = Command {
    name: "getMore",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Gives the next batch of a cursor.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    cx.shared
        .counters
        .get_mores
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = match cx.request.subject() {
        ValueRef::Int64(id) => id,
        value => return Err(wrong_type("getMore.getMore", &value, "long")),
    };
    let mut collection = None;
    let mut batch_size = None;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "getMore",
            element,
        };
        match &**element.key() {
            b"collection" => collection = Some(argument.string()?),
            b"batchSize" => batch_size = Some(argument.count()?).filter(|size| *size > 0),
            b"term" | b"lastKnownCommittedOpTime" => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("getMore", element.key())),
        }
    }
    let collection = collection.ok_or_else(|| missing_field("getMore.collection"))?;
    if collection.is_empty() {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            format!("Invalid namespace specified '{}.'", cx.request.database),
        ));
    }
    let namespace = format!("{}.{collection}", cx.request.database);
    let mut cursor = cx
        .shared
        .cursors
        .take(id)
        .map_err(|unavailable| match unavailable {
            Unavailable::NotFound => not_found(id),
            Unavailable::InUse => Error::new(
                ErrorCode::CursorInUse,
                format!("cursor id {id} is already in use"),
            ),
        })?;
    let refusal = if cursor.namespace != namespace {
        Some(Error::new(
            ErrorCode::Unauthorized,
            format!(
                "Requested getMore on namespace '{namespace}', but cursor belongs to a different namespace {}",
                cursor.namespace
            ),
        ))
    } else if cursor.lsid != cx.request.lsid {
        let (code, made, asked) = match (&cursor.lsid, &cx.request.lsid) {
            (None, _) => (50736, "not in a session", "in a session"),
            (Some(_), None) => (50737, "in a session", "without an lsid"),
            (Some(_), Some(_)) => (50738, "in a session", "in another session"),
        };
        Some(Error::location(
            code,
            format!("Cannot run getMore on cursor {id}, which was created {made}, {asked}"),
        ))
    } else if cx.request.deadline.is_some()
        && !cursor.tailing.as_ref().is_some_and(|tailing| tailing.waits)
    {
        Some(Error::bad_value(
            "cannot set maxTimeMS on getMore command for a non-awaitData cursor",
        ))
    } else {
        None
    };
    if let Some(refusal) = refusal {
        cx.shared.cursors.put_back(id, cursor);
        return Err(refusal);
    }
    let mut reply = Reply::ok();
    let body = reply.doc().open_document("cursor");
    let limit = batch_size.unwrap_or(u64::MAX);
    let filled = match cursor.tailing.clone() {
        Some(tailing) => follow(cx, &mut cursor, &tailing, limit, reply.doc()).await,
        None => batch::fill(cx, &mut cursor, "nextBatch", limit, reply.doc()),
    };
    let exhausted = match filled {
        Ok(exhausted) => exhausted,
        Err(error) => {
            cx.shared.cursors.kill(id, None);
            return Err(error);
        }
    };
    if exhausted {
        cx.shared.cursors.kill(id, None);
    } else if !cx.shared.cursors.put_back(id, cursor) {
        return Err(Error::new(ErrorCode::CursorKilled, "cursor was killed"));
    }
    let doc = reply.doc();
    doc.append("id", ValueRef::Int64(if exhausted { 0 } else { id }));
    doc.append("ns", text(&namespace));
    doc.close(body);
    Ok(reply)
}

/// The longest that a batch waits without looking whether the command has to end.
const WAIT: Duration = Duration::from_millis(100);

/// How long a batch waits if the client does not say. Source: MongoDB manual, "getMore", "maxTimeMS".
const WAIT_DEFAULT: Duration = Duration::from_secs(1);

/// Appends what has come since the last batch; waits for the first document if the cursor is one that waits. It never
/// ends.
async fn follow(
    cx: &Cx<'_>,
    cursor: &mut Cursor,
    tailing: &Tailing,
    limit: u64,
    out: &mut DocBuf,
) -> Result<bool> {
    let at_once = matches!(
        cx.request.doc().get("maxTimeMS"),
        Some(ValueRef::Int32(0) | ValueRef::Int64(0) | ValueRef::Double(0.0))
    );
    let now = Instant::now();
    let until = match cx.request.deadline {
        Some(deadline) => deadline,
        None if at_once => now,
        None => now + WAIT_DEFAULT,
    };
    loop {
        let state = cx.shared.engine.read(&tailing.database, None).await?;
        tailing
            .tail
            .advance(state.collection(&tailing.collection))?;
        let mut batch = DocBuf::new();
        batch::fill(cx, cursor, "nextBatch", limit, &mut batch)?;
        let batch = batch.finish();
        let empty = Doc::new(&batch)
            .get("nextBatch")
            .and_then(|batch| batch.as_array())
            .is_none_or(|batch| batch.is_empty());
        let now = Instant::now();
        // A point in history does not change.
        let may_come = tailing.waits && tailing.database.point.is_none() && now < until;
        if !empty || !may_come {
            out.append_all(Doc::new(&batch));
            return Ok(false);
        }
        let changed = tailing.database.branch.changed(state.lsn);
        let wait = WAIT.min(until - now);
        // Too late is no error: the batch is empty then.
        let _ = tokio::time::timeout(wait, changed).await;
        cx.operation.check()?;
    }
}

fn not_found(id: i64) -> Error {
    Error::new(
        ErrorCode::CursorNotFound,
        format!("cursor id {id} not found"),
    )
}
