//! `convertToCapped` and `cloneCollectionAsCapped`: a collection's newest documents in a capped one.

use argon_engine::Writer;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::coll_stats::number;
use super::collection_options::capped_bytes;
use super::{Access, Command, Cx, create, write};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(super) const CLONE_COLLECTION_AS_CAPPED: Command = Command {
    name: "cloneCollectionAsCapped",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Copies a collection to a capped one: {cloneCollectionAsCapped: _, toCollection: _, size: <bytes>}.",
    run: |cx| Box::pin(clone(cx)),
};

pub(super) const CONVERT_TO_CAPPED: Command = Command {
    name: "convertToCapped",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Makes a collection a capped one, without its indexes: {convertToCapped: _, size: <bytes>}.",
    run: |cx| Box::pin(convert(cx)),
};

/// Where the documents wait while the collection is made anew; nobody sees it, because the command is one record.
const ASIDE: &str = "system.converting";

async fn clone(cx: &Cx<'_>) -> Result<Reply> {
    let from = source(cx)?;
    let to = match cx.request.doc().get("toCollection") {
        Some(ValueRef::String(to)) => to.to_string(),
        _ => {
            return Err(Error::new(
                ErrorCode::TypeMismatch,
                "'toCollection' must be of type String",
            ));
        }
    };
    if to.is_empty() {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            "Invalid target collection name: ",
        ));
    }
    create::check_name(&cx.request.database, &to)?;
    let size = size(cx)?;
    check_source(cx, from).await?;
    let branch = write::branch(cx).await?;
    write::write(cx, &branch, |writer| {
        require(writer, from)?;
        if let Some(there) = writer.collection(&to) {
            let namespace = writer.namespace(&to);
            let message = if there.options.view.is_some() {
                format!("A view already exists. NS: {namespace}")
            } else {
                format!(
                    "cloneCollectionAsCapped failed - destination collection {namespace} already exists. \
                     source collection: {}",
                    writer.namespace(from)
                )
            };
            return Err(Error::new(ErrorCode::NamespaceExists, message));
        }
        tokio::task::block_in_place(|| copy(writer, from, &to, size))?;
        Ok(())
    })
    .await?;
    Ok(Reply::ok())
}

async fn convert(cx: &Cx<'_>) -> Result<Reply> {
    let name = source(cx)?;
    super::insert::check_writable(name)?;
    let size = size(cx)?;
    check_source(cx, name).await?;
    let branch = write::branch(cx).await?;
    write::write(cx, &branch, |writer| {
        require(writer, name)?;
        tokio::task::block_in_place(|| {
            copy(writer, name, ASIDE, size)?;
            writer.rename_collection(ASIDE, name, true)?;
            Ok(())
        })
    })
    .await?;
    Ok(Reply::ok())
}

fn source<'a>(cx: &Cx<'a>) -> Result<&'a str> {
    match cx.request.subject() {
        ValueRef::String(_) => cx.request.collection(),
        value => Err(Error::new(
            ErrorCode::InvalidNamespace,
            format!("collection name has invalid type {}", value.type_name()),
        )),
    }
}

/// Refuses before a project is made for the sake of a collection that is not there.
async fn check_source(cx: &Cx<'_>, name: &str) -> Result<()> {
    let state = super::query::state(cx).await?;
    match state.collection(name) {
        None => Err(not_found(&format!("{}.{name}", cx.request.database))),
        Some(_) => Ok(()),
    }
}

fn not_found(namespace: &str) -> Error {
    Error::new(
        ErrorCode::NamespaceNotFound,
        format!("source collection {namespace} does not exist"),
    )
}

fn require(writer: &Writer, name: &str) -> Result<()> {
    if writer.collection(name).is_none() {
        return Err(not_found(&writer.namespace(name)));
    }
    Ok(writer.refuse_view(name)?)
}

/// Reads `size`, in bytes, rounded up as `create` does.
fn size(cx: &Cx<'_>) -> Result<u64> {
    let spec = || Error::uncoded("invalid command spec");
    #[expect(clippy::cast_possible_truncation, reason = "as in C, and then checked")]
    let size = match cx.request.doc().get("size") {
        Some(ValueRef::Int32(size)) => i64::from(size),
        Some(ValueRef::Int64(size)) => size,
        Some(ValueRef::Double(size)) => size as i64,
        _ => return Err(spec()),
    };
    if size == 0 {
        return Err(spec());
    }
    u64::try_from(size)
        .map(|_| capped_bytes(size).unsigned_abs())
        .map_err(|_| Error::bad_value("size has to be >= 0"))
}

/// Copies to capped collection `to` the newest documents of `from` that fit.
fn copy(writer: &mut Writer, from: &str, to: &str, size: u64) -> Result<()> {
    let Some(source) = writer.collection(from).cloned() else {
        return Ok(());
    };
    let options = options(Doc::new(&source.options.document), size);
    writer.create_collection(to, options)?;
    // They passed when they came, or were let in all the same.
    writer.bypass_validation = true;
    let mut newest: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    for (_, document) in source.before(None) {
        bytes += document.len() as u64;
        if bytes > size {
            break;
        }
        newest.push(document.clone());
    }
    for document in newest.into_iter().rev() {
        writer.insert(to, document)?;
    }
    Ok(())
}

/// The options of a capped collection that is otherwise as `source`.
fn options(source: Doc<'_>, size: u64) -> Bytes {
    let mut options = DocBuf::new();
    options.append_all(Doc::new(&write::implicit_options()));
    options.append("capped", ValueRef::Bool(true));
    options.append("size", number(size));
    for element in source.iter() {
        if !matches!(&**element.key(), b"uuid" | b"capped" | b"size") {
            options.append_element(&element);
        }
    }
    options.finish()
}
