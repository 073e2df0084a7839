//! `create`: makes a collection.

use argon_mql::{Doc, DocBuf, ErrorCode};

use super::collection_options::Given;
use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(super) const COMMAND: Command = Command {
    name: "create",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Makes a collection.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = cx.request.collection()?;
    check_name(&cx.request.database, collection)?;
    let given = Given::read(cx.request.arguments().skip(1))?;
    let branch = write::branch(cx).await?;
    write::write(cx, &branch, |writer| {
        let namespace = writer.namespace(collection);
        if writer.collection(collection).is_some() {
            let message = format!("Collection {namespace} already exists.");
            return Err(Error::new(ErrorCode::NamespaceExists, message));
        }
        let options = given.document(&namespace, collection, writer.state())?;
        Ok(writer.create_collection(collection, options)?)
    })
    .await?;
    Ok(Reply::ok())
}

/// Refuses names that no new collection can have.
pub(super) fn check_name(database: &str, collection: &str) -> Result<()> {
    check_spelling(database, collection)?;
    if collection.starts_with("system.") && collection != "system.js" {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            format!("Invalid system namespace: {database}.{collection}"),
        ));
    }
    Ok(())
}

/// Refuses names that no collection has, a system's own included.
pub(super) fn check_spelling(database: &str, collection: &str) -> Result<()> {
    /// Source: MongoDB manual, "MongoDB Limits and Thresholds", "Namespace Length".
    const NAMESPACE_BYTES_MAX: usize = 255;
    let namespace = format!("{database}.{collection}");
    let invalid = |what: String| Err(Error::new(ErrorCode::InvalidNamespace, what));
    if namespace.len() > NAMESPACE_BYTES_MAX {
        return invalid(format!(
            "Fully qualified namespace is too long. Namespace: {namespace} Max: {NAMESPACE_BYTES_MAX}"
        ));
    }
    if collection.contains('$') || collection.starts_with('.') {
        return invalid(format!("Invalid collection name: {collection}"));
    }
    Ok(())
}

/// A collection's options as `listCollections` shows them: without what Argon keeps beside them.
pub(super) fn shown_options(options: Doc<'_>, out: &mut DocBuf) {
    for element in options.iter().filter(|element| element.key() != "uuid") {
        out.append_element(&element);
    }
}
