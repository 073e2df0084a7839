//! `createIndexes`.

use std::sync::Arc;

use argon_engine::Writer;
use argon_mql::collation::Collation;
use argon_mql::index::{Existing, IndexSpec};
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::{Access, Command, Cx, create, list_indexes, text, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field, wrong_type};

pub(super) const COMMAND: Command = Command {
    name: "createIndexes",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Makes indexes on a collection.",
    run: |cx| Box::pin(run(cx)),
};

/// The options of an index that MongoDB 6.0 knows.
const KNOWN_OPTIONS: &[&str] = &[
    "2dsphereIndexVersion",
    "background",
    "bits",
    "bucketSize",
    "clustered",
    "collation",
    "default_language",
    "dropDups",
    "expireAfterSeconds",
    "hidden",
    "key",
    "language_override",
    "max",
    "min",
    "name",
    "partialFilterExpression",
    "prepareUnique",
    "sparse",
    "storageEngine",
    "textIndexVersion",
    "unique",
    "v",
    "weights",
    "wildcardProjection",
];

/// Most indexes of a collection. Source: MongoDB manual, "MongoDB Limits and Thresholds", "Number of Indexes per Collection".
const INDEXES_MAX: usize = 64;

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = cx.request.collection()?;
    create::check_name(&cx.request.database, collection)?;
    let mut specs = None;
    let mut lenient = false;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "createIndexes",
            element,
        };
        match &**element.key() {
            b"indexes" => specs = Some(argument.array()?),
            // mongorestore asks for this: options of other versions are left out, not refused.
            b"ignoreUnknownIndexOptions" => lenient = argument.bool()?,
            b"commitQuorum" => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("createIndexes", element.key())),
        }
    }
    let specs = specs.ok_or_else(|| missing_field("createIndexes.indexes"))?;
    if specs.is_empty() {
        return Err(Error::bad_value(
            "Must specify at least one index to create",
        ));
    }
    let mut parsed = Vec::new();
    for item in specs.iter() {
        let ValueRef::Document(spec) = item.value() else {
            let path = format!("createIndexes.indexes.{}", item.key());
            return Err(wrong_type(&path, &item.value(), "object"));
        };
        parsed.push(Given {
            collated: spec.get("collation").is_some(),
            spec: Arc::new(parse(spec, lenient)?),
        });
    }
    let branch = write::branch(cx).await?;
    let answer = write::write(cx, &branch, |writer| {
        tokio::task::block_in_place(|| create_indexes(writer, collection, &parsed))
    })
    .await?;
    let mut reply = Reply::ok();
    reply.doc().append_all(Doc::new(&answer));
    Ok(reply)
}

/// An index as it was asked for.
struct Given {
    spec: Arc<IndexSpec>,
    /// Whether it says how strings are compared; otherwise its collection does.
    collated: bool,
}

impl Given {
    /// The index that it means in a collection that compares strings by `collation`.
    fn within(&self, collation: Option<&Collation>) -> Result<Arc<IndexSpec>> {
        let Some(collation) = collation.filter(|_| !self.collated) else {
            return Ok(Arc::clone(&self.spec));
        };
        let mut doc = DocBuf::new();
        doc.append_all(Doc::new(self.spec.document()));
        doc.append(
            "collation",
            ValueRef::Document(Doc::new(collation.document())),
        );
        Ok(Arc::new(IndexSpec::parse(Doc::new(&doc.finish()))?))
    }
}

fn parse(spec: Doc<'_>, lenient: bool) -> Result<IndexSpec> {
    // Old drivers and dumps say to which collection an index belongs; newer servers leave it out.
    let mut cleaned = DocBuf::with_capacity(spec.byte_len());
    for element in spec.iter() {
        if element.key() == "ns"
            || (lenient && !KNOWN_OPTIONS.iter().any(|known| element.key() == *known))
        {
            continue;
        }
        cleaned.append_element(&element);
    }
    let cleaned = cleaned.finish();
    Ok(IndexSpec::parse(Doc::new(&cleaned))?)
}

fn create_indexes(writer: &mut Writer, collection: &str, specs: &[Given]) -> Result<Bytes> {
    let created = writer.collection(collection).is_none();
    if created {
        writer.create_collection(collection, write::implicit_options())?;
    }
    let before = count(writer, collection);
    let options = writer
        .collection(collection)
        .map(|target| Arc::clone(&target.options));
    let collation = options
        .as_ref()
        .and_then(|options| options.collation.as_deref());
    for given in specs {
        let spec = &given.within(collation)?;
        if spec.is_id() {
            continue;
        }
        let existing = {
            let id = IndexSpec::id();
            let target = writer.collection(collection);
            let secondary = target
                .iter()
                .flat_map(|target| target.indexes())
                .map(|index| &*index.spec);
            spec.check_existing([&id].into_iter().chain(secondary))?
        };
        if existing == Existing::Same {
            continue;
        }
        if count(writer, collection) >= INDEXES_MAX {
            return Err(Error::new(
                ErrorCode::CannotCreateIndex,
                format!(
                    "add index fails, too many indexes for {} key:{}",
                    writer.namespace(collection),
                    spec.key_pattern()
                ),
            ));
        }
        writer.create_index(collection, spec)?;
    }
    let after = count(writer, collection);
    let mut doc = DocBuf::new();
    doc.append("numIndexesBefore", int(before));
    doc.append("numIndexesAfter", int(after));
    if before == after {
        doc.append("note", text("all indexes already exist"));
    } else {
        doc.append("createdCollectionAutomatically", ValueRef::Bool(created));
    }
    Ok(doc.finish())
}

fn count(writer: &Writer, collection: &str) -> usize {
    writer.collection(collection).map_or(1, |target| {
        let id = usize::from(list_indexes::clustered(target).is_none());
        id + target.indexes().len()
    })
}

fn int(number: usize) -> ValueRef<'static> {
    ValueRef::Int32(i32::try_from(number).unwrap_or(i32::MAX))
}
