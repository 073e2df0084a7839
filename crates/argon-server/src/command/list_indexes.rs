//! `listIndexes`.

use argon_engine::state::Collection;
use argon_mql::ErrorCode;
use argon_mql::index::IndexSpec;
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
    let mut specs = vec![IndexSpec::id().document().clone()];
    specs.extend(
        collection
            .indexes()
            .iter()
            .map(|index| index.spec.document().clone()),
    );
    specs
}
