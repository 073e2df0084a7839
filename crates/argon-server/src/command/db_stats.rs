//! `dbStats`: sizes and counts of a database.

use argon_mql::{Doc, ValueRef};

use super::coll_stats::{number, scale_of};
use super::{Access, Command, Cx, query, text};
use crate::error::Result;
use crate::prefix;
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "dbStats",
    aliases: &["dbstats"],
    access: Access::LoggedIn,
    help: "Sizes and counts of the database.",
    run: |cx| Box::pin(run(cx)),
};

#[expect(clippy::cast_precision_loss, reason = "MongoDB gives these as doubles")]
async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let mut scale = 1;
    let mut free_storage = false;
    for element in cx.request.arguments().skip(1) {
        match &**element.key() {
            b"scale" => {
                scale = scale_of(&Argument {
                    command: "dbStats",
                    element,
                })?
            }
            b"freeStorage" => {
                free_storage = !matches!(
                    element.value(),
                    ValueRef::Bool(false)
                        | ValueRef::Int32(0)
                        | ValueRef::Int64(0)
                        | ValueRef::Double(0.0)
                );
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("dbStats", element.key())),
        }
    }
    if let Some(names) = prefix::names(cx.shared, &cx.request.database).await? {
        let upstream = cx.shared.upstream()?;
        let stats = prefix::db_stats(upstream, &names, scale as f64, free_storage).await?;
        let mut reply = Reply::ok();
        reply.doc().append_all(Doc::new(&stats));
        return Ok(reply);
    }
    let state = query::state(cx).await?;
    let (mut collections, mut objects, mut data, mut indexes, mut index_bytes) = (0, 0, 0, 0, 0);
    for collection in state.collections() {
        collections += 1;
        objects += collection.len() as u64;
        data += collection.bytes();
        indexes += 1 + collection.indexes().len() as u64;
        index_bytes += collection.id_index_bytes();
        index_bytes += collection
            .indexes()
            .iter()
            .map(|index| index.bytes())
            .sum::<u64>();
    }
    let scaled = |bytes: u64| ValueRef::Double(bytes as f64 / scale as f64);
    let long = number;
    Ok(Reply::ok()
        .with("db", text(&cx.request.database))
        .with("collections", long(collections))
        .with("views", long(0))
        .with("objects", long(objects))
        .with(
            "avgObjSize",
            ValueRef::Double(if objects == 0 {
                0.0
            } else {
                data as f64 / objects as f64
            }),
        )
        .with("dataSize", scaled(data))
        .with("storageSize", scaled(data))
        .with("indexes", long(indexes))
        .with("indexSize", scaled(index_bytes))
        .with("totalSize", scaled(data + index_bytes))
        .with("scaleFactor", long(scale)))
}
