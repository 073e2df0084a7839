//! `getMore`.

use argon_mql::{ErrorCode, ValueRef};

use super::{Access, Command, Cx, batch, text};
use crate::cursor::Unavailable;
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

#[expect(
    clippy::unused_async,
    reason = "the table's functions are asynchronous"
)]
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
    if cx.request.deadline.is_some() {
        return Err(Error::bad_value(
            "cannot set maxTimeMS on getMore command for a non-awaitData cursor",
        ));
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
    } else {
        None
    };
    if let Some(refusal) = refusal {
        cx.shared.cursors.put_back(id, cursor);
        return Err(refusal);
    }
    let mut reply = Reply::ok();
    let body = reply.doc().open_document("cursor");
    let filled = batch::fill(
        cx,
        &mut cursor,
        "nextBatch",
        batch_size.unwrap_or(u64::MAX),
        reply.doc(),
    );
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

fn not_found(id: i64) -> Error {
    Error::new(
        ErrorCode::CursorNotFound,
        format!("cursor id {id} not found"),
    )
}
