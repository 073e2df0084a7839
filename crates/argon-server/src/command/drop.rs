//! `drop`: removes a collection.

use std::sync::Arc;

use argon_engine::Writer;
use argon_mql::{DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::{Access, Command, Cx, text, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "drop",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Removes a collection with its indexes.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = cx.request.collection()?;
    for element in cx.request.arguments().skip(1) {
        if !is_generic(element.key()) {
            return Err(unknown_field("drop", element.key()));
        }
    }
    let namespace = format!("{}.{collection}", cx.request.database);
    // A database that is not there must not come into being by this.
    if cx
        .shared
        .engine
        .database(&cx.request.database)
        .await?
        .is_none()
    {
        return Err(not_found());
    }
    let branch = write::branch(cx).await?;
    let answer = write::write(cx, &branch, |writer| {
        if collection == VIEWS {
            return drop_views(writer, &namespace);
        }
        let Some(target) = writer.collection(collection) else {
            return Err(not_found());
        };
        let indexes = target.indexes().len() + 1;
        let is_view = target.options.view.is_some();
        writer.drop_collection(collection)?;
        let mut doc = DocBuf::new();
        if !is_view {
            let indexes = i32::try_from(indexes).unwrap_or(i32::MAX);
            doc.append("nIndexesWas", ValueRef::Int32(indexes));
        }
        doc.append("ns", text(&namespace));
        Ok(doc.finish())
    })
    .await?;
    let mut reply = Reply::ok();
    reply.doc().append_all(argon_mql::Doc::new(&answer));
    Ok(reply)
}

/// Where MongoDB keeps the definitions of a database's views: to drop it is to drop them all.
const VIEWS: &str = "system.views";

fn drop_views(writer: &mut Writer, namespace: &str) -> Result<Bytes> {
    let views: Vec<_> = writer
        .state()
        .collections()
        .filter(|collection| collection.options.view.is_some())
        .map(|view| Arc::clone(&view.name))
        .collect();
    if views.is_empty() {
        return Err(not_found());
    }
    for view in &views {
        writer.drop_collection(view)?;
    }
    let mut doc = DocBuf::new();
    doc.append("nIndexesWas", ValueRef::Int32(1));
    doc.append("ns", text(namespace));
    Ok(doc.finish())
}

fn not_found() -> Error {
    Error::new(ErrorCode::NamespaceNotFound, "ns not found")
}
