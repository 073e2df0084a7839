//! `dataSize`: bytes and number of the documents of a collection, or of a range of `_id`.

use std::ops::Bound;
use std::time::Instant;

use argon_engine::state::Collection;
use argon_mql::{Doc, ErrorCode, ValueRef};

use crate::command::coll_stats::number;
use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(in crate::command) const COMMAND: Command = Command {
    name: "dataSize",
    aliases: &["datasize"],
    access: Access::LoggedIn,
    help: "Bytes and number of documents: {dataSize: <database>.<collection>, min: {_id: _}, max: {_id: _}}.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let started = Instant::now();
    let namespace = match cx.request.subject() {
        ValueRef::String(namespace) => namespace.to_string(),
        value => {
            return Err(Error::bad_value(format!(
                "collection name has invalid type {}",
                value.type_name()
            )));
        }
    };
    let (database, name) = namespace
        .split_once('.')
        .filter(|(database, name)| {
            !database.is_empty() && !name.is_empty() && !name.starts_with('.')
        })
        .ok_or_else(|| {
            Error::new(
                ErrorCode::InvalidNamespace,
                format!("Invalid namespace specified '{namespace}'"),
            )
        })?;
    let body = cx.request.doc();
    let bound = |key| {
        let document = body.get(key).and_then(|value| value.as_document());
        document.filter(|document| !document.is_empty())
    };
    let (min, max) = (bound("min"), bound("max"));
    let engine = &cx.shared.engine;
    let collection = match engine.database(database).await? {
        Some(database) => engine
            .read(&database, None)
            .await?
            .collection(name)
            .cloned(),
        None => None,
    };
    if let Some(collection) = &collection
        && collection.options.view.is_some()
    {
        return Err(Error::new(
            ErrorCode::CommandNotSupportedOnView,
            format!("Namespace {namespace} is a view, not a collection"),
        ));
    }
    let mut reply = Reply::ok();
    let (bytes, count) = match &collection {
        None => (0, 0),
        Some(collection) => {
            let estimate = match body.get("estimate") {
                Some(ValueRef::Bool(estimate)) => estimate,
                _ => false,
            };
            let measured = match (min, max) {
                (None, None) => (collection.bytes(), collection.len() as u64),
                (Some(min), Some(max)) => {
                    let by_id = bound("keyPattern").is_none_or(is_id);
                    if !by_id || !is_id(min) || !is_id(max) {
                        return Err(Error::uncoded(
                            "couldn't find valid index containing key pattern",
                        ));
                    }
                    let (bytes, count) = measure(cx, collection, min, max)?;
                    if estimate {
                        let average = collection.bytes() / (collection.len() as u64).max(1);
                        (average * count, count)
                    } else {
                        (bytes, count)
                    }
                }
                (Some(_), None) => return Err(Error::bad_value("max must be set if min is set")),
                (None, Some(_)) => return Err(Error::bad_value("min must be set if max is set")),
            };
            reply.doc().append("estimate", ValueRef::Bool(estimate));
            measured
        }
    };
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(reply
        .with("size", number(bytes))
        .with("numObjects", number(count))
        .with("millis", number(millis)))
}

/// Whether the only field is `_id`.
fn is_id(document: Doc<'_>) -> bool {
    let mut fields = document.iter();
    fields.next().is_some_and(|field| field.key() == "_id") && fields.next().is_none()
}

/// Bytes and number of the documents from `min` up to before `max`.
fn measure(cx: &Cx<'_>, collection: &Collection, min: Doc<'_>, max: Doc<'_>) -> Result<(u64, u64)> {
    /// Documents between two looks at the command's interruption.
    const TURN: u64 = 1024;
    let key = |doc: Doc<'_>| collection.id_key(doc.get("_id").unwrap_or(ValueRef::Missing));
    let (low, high) = (key(min), key(max));
    let (mut bytes, mut count) = (0, 0);
    if low >= high {
        return Ok((bytes, count));
    }
    let bounds = (Bound::Included(&*low), Bound::Excluded(&*high));
    for (_, record) in collection.ids(bounds) {
        count += 1;
        bytes += collection
            .document(record)
            .map_or(0, |document| document.len() as u64);
        if count % TURN == 0 {
            cx.operation.check()?;
        }
    }
    Ok((bytes, count))
}
