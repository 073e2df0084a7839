//! `insert`.

use std::sync::atomic::Ordering::Relaxed;

use argon_engine::Writer;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_wire::MAX_BSON_OBJECT_BYTES;
use bytes::Bytes;

use super::write::{Arguments, Done, implicit_options, new_id};
use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(super) const COMMAND: Command = Command {
    name: "insert",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Adds documents to a collection.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = cx.request.collection()?;
    check_target(cx, collection)?;
    let arguments = Arguments::read(cx.request, "insert", "documents", |_| Ok(false))?;
    let count = arguments.statements.len() as u64;
    cx.shared.counters.inserts.fetch_add(count, Relaxed);
    let time = cx.shared.engine.cluster_time().0;
    let documents: Vec<Result<Bytes>> = arguments
        .statements
        .iter()
        .map(|document| prepare(document, time))
        .collect();
    write::run(cx, &arguments, |writer, index| match &documents[index] {
        Ok(document) => add(writer, collection, document),
        Err(error) => Err(error.clone()),
    })
    .await
}

fn add(writer: &mut Writer, collection: &str, document: &Bytes) -> Result<Done> {
    if writer.collection(collection).is_none() {
        writer.create_collection(collection, implicit_options())?;
    }
    writer.insert(collection, document.clone())?;
    Ok(Done {
        n: 1,
        ..Done::default()
    })
}

/// Refuses to write documents to a collection that cannot be, or is not the client's to write.
pub(super) fn check_target(cx: &Cx<'_>, collection: &str) -> Result<()> {
    super::create::check_spelling(&cx.request.database, collection)?;
    check_writable(collection)
}

/// Refuses to write to a collection that is not the client's to write.
pub(super) fn check_writable(collection: &str) -> Result<()> {
    if collection.starts_with("system.") && collection != "system.js" {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            format!("cannot write to '{collection}'"),
        ));
    }
    Ok(())
}

/// Makes a client's document what is stored: `_id` first, made if there is none, and empty timestamps filled in.
fn prepare(document: &Bytes, time: u64) -> Result<Bytes> {
    let doc = Doc::new(document);
    if document.len() > MAX_BSON_OBJECT_BYTES {
        return Err(Error::bad_value(format!(
            "object to insert too large. size in bytes: {}, max size: {MAX_BSON_OBJECT_BYTES}",
            document.len()
        )));
    }
    let mut first_is_id = false;
    let mut empty_timestamp = false;
    for (at, element) in doc.iter().enumerate() {
        if element.key() == "_id" {
            first_is_id |= at == 0;
            check_id(&element.value())?;
        }
        empty_timestamp |=
            matches!(element.value(), ValueRef::Timestamp(0)) && element.key() != "_id";
    }
    if first_is_id && !empty_timestamp {
        return Ok(document.clone());
    }
    let mut stored = DocBuf::with_capacity(document.len() + 24);
    match doc.element(b"_id") {
        Some(id) => stored.append_element(&id),
        None => stored.append("_id", ValueRef::ObjectId(new_id())),
    }
    for (at, element) in doc
        .iter()
        .filter(|element| element.key() != "_id")
        .enumerate()
    {
        match element.value() {
            // MongoDB manual, "Timestamps": an empty timestamp in a top-level field becomes the current time.
            ValueRef::Timestamp(0) => {
                stored.append(element.key(), ValueRef::Timestamp(time + at as u64));
            }
            _ => stored.append_element(&element),
        }
    }
    Ok(stored.finish())
}

fn check_id(id: &ValueRef<'_>) -> Result<()> {
    let refused = |what: &str| {
        Err(Error::new(
            ErrorCode::InvalidIdField,
            format!("The '_id' value cannot be of type {what}"),
        ))
    };
    match id {
        ValueRef::Array(_) => refused("array"),
        ValueRef::Regex { .. } => refused("regex"),
        ValueRef::Undefined => refused("undefined"),
        ValueRef::Document(doc) => match doc.iter().find(|element| element.key().starts_with(b"$"))
        {
            Some(element) => Err(Error::new(
                ErrorCode::DollarPrefixedFieldName,
                format!(
                    "_id fields may not contain '$'-prefixed fields: {} is not valid for storage.",
                    element.key()
                ),
            )),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
