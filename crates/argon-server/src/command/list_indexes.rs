//! `listIndexes`.

use argon_engine::state::Collection;
use argon_mql::index::IndexSpec;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::{Access, Command, Cx, batch, query};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "listIndexes",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Lists the indexes of a collection.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let name = cx.request.collection()?;
    let mut batch_size = None;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "listIndexes",
            element,
        };
        match &**element.key() {
            b"cursor" => batch_size = batch::size_of(argument.document()?, "listIndexes.cursor")?,
            b"includeBuildUUIDs" | b"includeIndexBuildInfo" => {
                argument.bool()?;
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("listIndexes", element.key())),
        }
    }
    let (_, collection) = query::open(cx).await?;
    let namespace = format!("{}.{name}", cx.request.database);
    let collection = collection.ok_or_else(|| {
        Error::new(
            ErrorCode::NamespaceNotFound,
            format!("ns does not exist: {namespace}"),
        )
    })?;
    query::refuse_view(cx, &collection)?;
    batch::listing(cx, namespace, specs(&collection), batch_size)
}

/// Every index's specification, the `_id` index first.
pub(super) fn specs(collection: &Collection) -> Vec<Bytes> {
    let first = clustered(collection).unwrap_or_else(|| id(collection));
    let mut specs = vec![first];
    specs.extend(
        collection
            .indexes()
            .iter()
            .map(|index| index.spec.document().clone()),
    );
    specs
}

/// The specification of the `_id` index, which orders as its collection does.
pub(super) fn id(collection: &Collection) -> Bytes {
    let spec = match &collection.options.collation {
        Some(collation) => IndexSpec::id_collated(collation),
        None => IndexSpec::id(),
    };
    spec.document().clone()
}

/// What a clustered collection has in place of an `_id` index: it is kept in the order of `_id` itself.
pub(super) fn clustered(collection: &Collection) -> Option<Bytes> {
    let options = Doc::new(&collection.options.document);
    let spec = options.get("clusteredIndex")?.as_document()?;
    let mut doc = DocBuf::new();
    doc.append_all(spec);
    doc.append("clustered", ValueRef::Bool(true));
    Some(doc.finish())
}
