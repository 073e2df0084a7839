//! `collStats`: sizes and counts of one collection.

use argon_engine::state::Collection;
use argon_mql::{DocBuf, ErrorCode, ValueRef};

use super::{Access, Command, Cx, query, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "collStats",
    aliases: &["collstats"],
    access: Access::LoggedIn,
    help: "Sizes and counts of one collection.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let name = cx.request.collection()?;
    let mut scale = 1;
    for element in cx.request.arguments().skip(1) {
        match &**element.key() {
            b"scale" => {
                scale = scale_of(&Argument {
                    command: "collStats",
                    element,
                })?
            }
            b"verbose" | b"waitForLock" | b"numericOnly" => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("collStats", element.key())),
        }
    }
    let (_, collection) = query::open(cx).await?;
    if let Some(collection) = &collection {
        query::refuse_view(cx, collection)?;
    }
    let mut reply = Reply::ok();
    reply
        .doc()
        .append("ns", text(&format!("{}.{name}", cx.request.database)));
    append(reply.doc(), collection.as_deref(), scale);
    Ok(reply)
}

/// Reads `scale`: what sizes are divided by.
pub(super) fn scale_of(argument: &Argument<'_>) -> Result<u64> {
    let scale = argument.integer()?;
    u64::try_from(scale)
        .ok()
        .filter(|scale| *scale > 0)
        .ok_or_else(|| {
            Error::new(
                ErrorCode::location(51024),
                format!("BSON field 'scale' value must be >= 1, actual value '{scale}'"),
            )
        })
}

/// Appends the sizes and counts; all zero for a collection that does not exist.
pub(super) fn append(doc: &mut DocBuf, collection: Option<&Collection>, scale: u64) {
    let scaled = |bytes: u64| number(bytes / scale);
    let count = collection.map_or(0, Collection::len) as u64;
    let bytes = collection.map_or(0, Collection::bytes);
    doc.append("size", scaled(bytes));
    doc.append("count", number(count));
    if let Some(average) = bytes.checked_div(count) {
        doc.append("avgObjSize", number(average));
    }
    doc.append("numOrphanDocs", number(0));
    // Documents are kept in the log and in memory: what they take is what they are.
    doc.append("storageSize", scaled(bytes));
    doc.append("freeStorageSize", number(0));
    if let Some(collection) = collection {
        doc.append(
            "capped",
            ValueRef::Bool(collection.options.capped.is_some()),
        );
        if let Some(capped) = collection.options.capped {
            doc.append("max", number(capped.documents.unwrap_or(0)));
            doc.append("maxSize", scaled(capped.bytes));
        }
        let id_bytes = collection.id_index_bytes();
        let sizes: Vec<(&str, u64)> = [("_id_", id_bytes)]
            .into_iter()
            .chain(
                collection
                    .indexes()
                    .iter()
                    .map(|index| (index.spec.name(), index.bytes())),
            )
            .collect();
        let total: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
        doc.append("nindexes", number(sizes.len() as u64));
        let builds = doc.open_array("indexBuilds");
        doc.close(builds);
        doc.append("totalIndexSize", scaled(total));
        doc.append("totalSize", scaled(bytes + total));
        let each = doc.open_document("indexSizes");
        for (name, bytes) in &sizes {
            doc.append(name, scaled(*bytes));
        }
        doc.close(each);
    } else {
        doc.append("nindexes", number(0));
        doc.append("totalIndexSize", number(0));
        doc.append("totalSize", number(0));
        let each = doc.open_document("indexSizes");
        doc.close(each);
    }
    doc.append("scaleFactor", number(scale));
}

/// An int where it fits, as MongoDB gives counts and sizes.
pub(super) fn number(number: u64) -> ValueRef<'static> {
    i32::try_from(number).map_or(ValueRef::Int64(number.cast_signed()), ValueRef::Int32)
}
