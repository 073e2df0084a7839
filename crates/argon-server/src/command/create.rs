//! `create`: makes a collection.

use argon_mql::index::IndexSpec;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "create",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Makes a collection.",
    run: |cx| Box::pin(run(cx)),
};

/// Options that ask for a kind of collection that is not there yet.
const UNSUPPORTED: &[&str] = &[
    "capped",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "collation",
    "encryptedFields",
    "expireAfterSeconds",
    "pipeline",
    "timeseries",
    "validator",
    "viewOn",
];

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = cx.request.collection()?;
    check_name(cx, collection)?;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "create",
            element,
        };
        let key = element.key();
        match &**key {
            // What has no effect on how a collection behaves here.
            b"storageEngine" | b"indexOptionDefaults" => {
                argument.document()?;
            }
            b"autoIndexId" | b"temp" | b"recordPreImages" => {
                argument.bool()?;
            }
            b"size" | b"max" | b"flags" => {
                argument.integer()?;
            }
            b"validationLevel" | b"validationAction" => {
                argument.string()?;
            }
            b"idIndex" => {
                let spec = IndexSpec::parse(argument.document()?)?;
                if !spec.is_id() {
                    return Err(Error::bad_value(
                        "The field 'key' for an _id index must be {_id: 1}",
                    ));
                }
            }
            _ if UNSUPPORTED.iter().any(|name| key == *name) => {
                let asked = !matches!(
                    element.value(),
                    ValueRef::Bool(false) | ValueRef::Null | ValueRef::Undefined
                ) && !element.value().as_document().is_some_and(Doc::is_empty);
                if asked {
                    return Err(Error::new(
                        ErrorCode::CommandNotSupported,
                        format!("collections with '{key}' are not supported yet"),
                    ));
                }
            }
            name if is_generic(name) => {}
            _ => return Err(unknown_field("create", key)),
        }
    }
    let branch = write::branch(cx).await?;
    write::write(cx, &branch, |writer| {
        writer.create_collection(collection, write::implicit_options())?;
        Ok(Bytes::new())
    })
    .await?;
    Ok(Reply::ok())
}

/// Refuses names that no collection can have.
pub(super) fn check_name(cx: &Cx<'_>, collection: &str) -> Result<()> {
    /// Source: MongoDB manual, "MongoDB Limits and Thresholds", "Namespace Length".
    const NAMESPACE_BYTES_MAX: usize = 255;
    let namespace = format!("{}.{collection}", cx.request.database);
    let invalid = |what: String| Err(Error::new(ErrorCode::InvalidNamespace, what));
    if namespace.len() > NAMESPACE_BYTES_MAX {
        return invalid(format!(
            "Fully qualified namespace is too long. Namespace: {namespace} Max: {NAMESPACE_BYTES_MAX}"
        ));
    }
    if collection.contains('$') {
        return invalid(format!("Invalid collection name: {collection}"));
    }
    if collection.starts_with("system.") {
        return invalid(format!("Invalid system namespace: {namespace}"));
    }
    Ok(())
}

/// A collection's options as `listCollections` shows them: without what Argon keeps beside them.
pub(super) fn shown_options(options: Doc<'_>, out: &mut DocBuf) {
    for element in options.iter().filter(|element| element.key() != "uuid") {
        out.append_element(&element);
    }
}
