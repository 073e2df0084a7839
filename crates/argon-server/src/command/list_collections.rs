//! `listCollections`.

use argon_mql::filter::Filter;
use argon_mql::index::IndexSpec;
use argon_mql::{Doc, DocBuf, ParseContext, ValueRef};
use bytes::Bytes;

use super::{Access, Command, Cx, batch, create, list_indexes, query, text};
use crate::error::Result;
use crate::prefix;
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "listCollections",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Lists the collections of the database.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let mut filter = Doc::EMPTY;
    let mut name_only = false;
    let mut batch_size = None;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "listCollections",
            element,
        };
        match &**element.key() {
            b"filter" => filter = argument.document()?,
            b"nameOnly" => name_only = argument.bool()?,
            b"cursor" => {
                batch_size = batch::size_of(argument.document()?, "listCollections.cursor")?
            }
            b"authorizedCollections" | b"includePendingDrops" => {
                argument.bool()?;
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("listCollections", element.key())),
        }
    }
    let filter = Filter::parse(filter, &ParseContext::new())?;
    let namespace = format!("{}.$cmd.listCollections", cx.request.database);
    if let Some(names) = prefix::names(cx.shared, &cx.request.database).await? {
        let mut documents = Vec::new();
        let check = || cx.operation.check();
        for item in prefix::list_collections(cx.shared.upstream()?, &names).await? {
            if !filter.matches(&item, &cx.env(Vec::new(), &check))? {
                continue;
            }
            documents.push(if name_only { named(&item) } else { item });
        }
        return batch::listing(cx, namespace, documents, batch_size);
    }
    let state = query::state(cx).await?;
    let read_only = cx
        .shared
        .engine
        .database(&cx.request.database)
        .await?
        .is_some_and(|database| database.point.is_some());
    let check = || cx.operation.check();
    let env = cx.env(Vec::new(), &check);
    let mut documents: Vec<Bytes> = Vec::new();
    let mut has_views = false;
    for collection in state.collections() {
        let mut doc = DocBuf::new();
        doc.append("name", text(&collection.name));
        let is_view = collection.options.view.is_some();
        has_views |= is_view;
        doc.append("type", text(if is_view { "view" } else { "collection" }));
        if !name_only {
            let options = doc.open_document("options");
            create::shown_options(Doc::new(&collection.options.document), &mut doc);
            doc.close(options);
            let info = doc.open_document("info");
            doc.append("readOnly", ValueRef::Bool(is_view || read_only));
            if !is_view {
                let uuid = collection.options.uuid();
                doc.append(
                    "uuid",
                    ValueRef::Binary {
                        subtype: 4,
                        bytes: &uuid,
                    },
                );
            }
            doc.close(info);
            if !is_view && list_indexes::clustered(collection).is_none() {
                let id = list_indexes::id(collection);
                doc.append("idIndex", ValueRef::Document(Doc::new(&id)));
            }
        }
        let doc = doc.finish();
        if filter.matches(&doc, &env)? {
            documents.push(doc);
        }
    }
    if has_views {
        // MongoDB keeps the definitions of views in a collection, and tools expect to see it.
        let mut doc = DocBuf::new();
        doc.append("name", text("system.views"));
        doc.append("type", text("collection"));
        if !name_only {
            let options = doc.open_document("options");
            doc.close(options);
            let info = doc.open_document("info");
            doc.append("readOnly", ValueRef::Bool(read_only));
            doc.append(
                "uuid",
                ValueRef::Binary {
                    subtype: 4,
                    bytes: &[0; 16],
                },
            );
            doc.close(info);
            doc.append(
                "idIndex",
                ValueRef::Document(Doc::new(IndexSpec::id().document())),
            );
        }
        let doc = doc.finish();
        if filter.matches(&doc, &env)? {
            documents.push(doc);
        }
    }
    batch::listing(cx, namespace, documents, batch_size)
}

/// What `nameOnly` leaves of an item.
fn named(item: &[u8]) -> Bytes {
    let mut doc = DocBuf::new();
    for element in Doc::new(item).iter() {
        if element.key() == "name" || element.key() == "type" {
            doc.append_element(&element);
        }
    }
    doc.finish()
}
