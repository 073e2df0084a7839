//! `compact` and `reIndex`: maintenance of files that Argon has not. Documents are kept in the log and in memory, and every
//! index is built anew whenever a state is.
//!
//! Scripts run `compact` all the same, so it checks its arguments as a mongod does and finds nothing to do. `reIndex` is
//! refused by whatever is no standalone mongod.

use std::sync::Arc;

use argon_engine::state::Collection;
use argon_mql::{ErrorCode, ValueRef};

use crate::command::{Access, Command, Cx, query};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(in crate::command) const COMPACT: Command = Command {
    name: "compact",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Frees nothing: a collection has no file of its own.",
    run: |cx| Box::pin(compact(cx)),
};

pub(in crate::command) const RE_INDEX: Command = Command {
    name: "reIndex",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Refused, as by all but a standalone mongod: indexes are never in need of it.",
    run: |cx| Box::pin(std::future::ready(re_index(cx))),
};

async fn compact(cx: &Cx<'_>) -> Result<Reply> {
    let name = named(cx)?;
    if name.starts_with("system.") {
        return Err(Error::uncoded("can't compact a system namespace"));
    }
    let collection = existing(cx).await?;
    if collection.options.view.is_some() {
        return Err(Error::new(
            ErrorCode::CommandNotSupportedOnView,
            "can't compact a view",
        ));
    }
    Ok(Reply::ok().with("bytesFreed", ValueRef::Int32(0)))
}

fn re_index(cx: &Cx<'_>) -> Result<Reply> {
    named(cx)?;
    Err(Error::new(
        ErrorCode::IllegalOperation,
        "reIndex is only allowed on a standalone mongod instance.",
    ))
}

/// The collection's name, where another type is its own error.
fn named<'a>(cx: &'a Cx<'_>) -> Result<&'a str> {
    match cx.request.subject() {
        ValueRef::String(_) => cx.request.collection(),
        value => {
            let message = format!("collection name has invalid type {}", value.type_name());
            Err(Error::new(ErrorCode::InvalidNamespace, message))
        }
    }
}

async fn existing(cx: &Cx<'_>) -> Result<Arc<Collection>> {
    let (_, collection) = query::open(cx).await?;
    collection.ok_or_else(|| Error::new(ErrorCode::NamespaceNotFound, "collection does not exist"))
}
