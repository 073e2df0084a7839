//! `dropIndexes`.

use argon_engine::Writer;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::{Access, Command, Cx, text, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{is_generic, missing_field, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "dropIndexes",
    aliases: &["deleteIndexes"],
    access: Access::LoggedIn,
    help: "Removes indexes of a collection.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = cx.request.collection()?;
    let mut index = None;
    for element in cx.request.arguments().skip(1) {
        match &**element.key() {
            b"index" => index = Some(element.value()),
            key if is_generic(key) => {}
            _ => return Err(unknown_field("dropIndexes", element.key())),
        }
    }
    let index = index.ok_or_else(|| missing_field("dropIndexes.index"))?;
    if cx
        .shared
        .engine
        .database(&cx.request.database)
        .await?
        .is_none()
    {
        return Err(not_found(&format!("{}.{collection}", cx.request.database)));
    }
    let index = argon_mql::Value::copy_of(index);
    let branch = write::branch(cx).await?;
    let answer = write::write(cx, &branch, |writer| {
        drop_indexes(writer, collection, index.as_ref())
    })
    .await?;
    let mut reply = Reply::ok();
    reply.doc().append_all(Doc::new(&answer));
    Ok(reply)
}

fn drop_indexes(writer: &mut Writer, collection: &str, index: ValueRef<'_>) -> Result<Bytes> {
    let target = writer
        .collection(collection)
        .cloned()
        .ok_or_else(|| not_found(&writer.namespace(collection)))?;
    writer.refuse_view(collection)?;
    let before = 1 + target.indexes().len();
    let mut doc = DocBuf::new();
    doc.append(
        "nIndexesWas",
        ValueRef::Int32(i32::try_from(before).unwrap_or(i32::MAX)),
    );
    let names: Vec<String> = match index {
        ValueRef::String(name) if name == "*" => {
            doc.append("msg", text("non-_id indexes dropped for collection"));
            target.indexes().iter().map(|index| index.spec.name().to_owned()).collect()
        }
        ValueRef::String(name) => vec![name.to_string()],
        ValueRef::Array(names) => names
            .values()
            .map(|name| match name {
                ValueRef::String(name) => Ok(name.to_string()),
                value => Err(Error::new(
                    ErrorCode::TypeMismatch,
                    format!(
                        "BSON field 'dropIndexes.index' is the wrong type '{}', expected type 'string'",
                        value.type_name()
                    ),
                )),
            })
            .collect::<Result<_>>()?,
        ValueRef::Document(pattern) => vec![by_pattern(&target, pattern)?],
        value => {
            return Err(Error::new(
                ErrorCode::TypeMismatch,
                format!(
                    "BSON field 'dropIndexes.index' is the wrong type '{}', expected types '[string, object]'",
                    value.type_name()
                ),
            ));
        }
    };
    for name in names {
        if name == "_id_" {
            return Err(Error::new(
                ErrorCode::InvalidOptions,
                "cannot drop _id index",
            ));
        }
        writer.drop_index(collection, &name)?;
    }
    Ok(doc.finish())
}

fn by_pattern(target: &argon_engine::state::Collection, pattern: Doc<'_>) -> Result<String> {
    if argon_mql::index::IndexSpec::id().has_pattern(pattern) {
        return Ok("_id_".to_owned());
    }
    let mut found = target
        .indexes()
        .iter()
        .filter(|index| index.spec.has_pattern(pattern))
        .map(|index| index.spec.name());
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(name.to_owned()),
        (None, _) => Err(Error::new(
            ErrorCode::IndexNotFound,
            format!("can't find index with key: {pattern}"),
        )),
        (Some(_), Some(_)) => Err(Error::new(
            ErrorCode::AmbiguousIndexKeyPattern,
            format!("indexes found for key: {pattern}, identify by name instead"),
        )),
    }
}

fn not_found(namespace: &str) -> Error {
    Error::new(
        ErrorCode::NamespaceNotFound,
        format!("ns not found {namespace}"),
    )
}
