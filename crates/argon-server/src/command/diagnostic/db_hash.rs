//! `dbHash`: what a database holds, in a few bytes: equal hashes, equal documents.
//!
//! The hashes are those that a mongod gives for the same documents, so that a copy can be compared with its original.

use std::fmt::Write;
use std::ops::Bound;
use std::time::Instant;

use argon_engine::state::{Collection, State};
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;
use md5::{Digest, Md5};

use crate::command::coll_stats::number;
use crate::command::diagnostic::host;
use crate::command::{Access, Command, Cx, query, text};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(in crate::command) const COMMAND: Command = Command {
    name: "dbHash",
    aliases: &["dbhash"],
    access: Access::LoggedIn,
    help: "Hashes of the documents of each collection: {dbHash: 1, collections: [<name>, …]}.",
    run: |cx| Box::pin(run(cx)),
};

/// Where MongoDB keeps the definitions of views, which count as documents.
const VIEWS: &str = "system.views";

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let started = Instant::now();
    if let ValueRef::String(name) = cx.request.subject()
        && !name.is_empty()
    {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            format!("Invalid db name: {}.{name}", cx.request.database),
        ));
    }
    let mut wanted = Vec::new();
    if let Some(ValueRef::Array(names)) = cx.request.doc().get("collections") {
        for name in names.values() {
            let ValueRef::String(name) = name else {
                return Err(Error::uncoded("collections entries have to be strings"));
            };
            wanted.push(name.to_string());
        }
    }
    let state = query::state(cx).await?;
    let hashes = tokio::task::block_in_place(|| hashes(cx, &state, &wanted))?;

    let mut total = Md5::new();
    for (_, hash) in &hashes {
        total.update(hash);
    }
    let stored = || {
        hashes
            .iter()
            .filter_map(|(name, _)| state.collection(name).map(|found| (name, found)))
    };
    let mut reply = Reply::ok().with("host", text(&host(cx)));
    let doc = reply.doc();
    let collections = doc.open_document("collections");
    for (name, hash) in &hashes {
        doc.append(name, text(hash));
    }
    doc.close(collections);
    let capped = doc.open_array("capped");
    let names = stored().filter(|(_, found)| found.options.capped.is_some());
    for (at, (name, _)) in names.enumerate() {
        doc.push(at, text(name));
    }
    doc.close(capped);
    let uuids = doc.open_document("uuids");
    for (name, found) in stored() {
        let bytes = &found.options.uuid();
        doc.append(name, ValueRef::Binary { subtype: 4, bytes });
    }
    doc.close(uuids);
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(reply
        .with("md5", text(&hex(total)))
        .with("timeMillis", number(millis)))
}

/// The hash of each collection among `wanted`, or of all if that is empty; by name.
fn hashes(cx: &Cx<'_>, state: &State, wanted: &[String]) -> Result<Vec<(String, String)>> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut hashes = Vec::new();
    let mut views = Vec::new();
    for collection in state.collections() {
        if collection.options.view.is_some() {
            views.push(definition(cx, collection));
        } else if is_wanted(&collection.name) {
            hashes.push((collection.name.to_string(), hash(cx, collection)?));
        }
    }
    if !views.is_empty() && is_wanted(VIEWS) {
        let mut hasher = Md5::new();
        for view in &views {
            hasher.update(view);
        }
        hashes.push((VIEWS.to_owned(), hex(hasher)));
    }
    hashes.sort_unstable();
    Ok(hashes)
}

/// The hash over a collection's documents in the order of `_id`.
fn hash(cx: &Cx<'_>, collection: &Collection) -> Result<String> {
    /// Documents between two looks at the command's interruption.
    const TURN: usize = 1024;
    let mut hasher = Md5::new();
    let everything = collection.ids((Bound::Unbounded, Bound::Unbounded));
    for (at, (_, record)) in everything.enumerate() {
        if at % TURN == 0 {
            cx.operation.check()?;
        }
        if let Some(document) = collection.document(record) {
            hasher.update(document);
        }
    }
    Ok(hex(hasher))
}

/// A view as the document by which MongoDB keeps it.
fn definition(cx: &Cx<'_>, view: &Collection) -> Bytes {
    let mut doc = DocBuf::new();
    let namespace = format!("{}.{}", cx.request.database, view.name);
    doc.append("_id", text(&namespace));
    let options = Doc::new(&view.options.document);
    for element in options.iter().filter(|element| element.key() != "uuid") {
        doc.append_element(&element);
    }
    doc.finish()
}

fn hex(hasher: Md5) -> String {
    let mut text = String::with_capacity(32);
    for byte in hasher.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
