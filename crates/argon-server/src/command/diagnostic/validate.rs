//! `validate`: checks a collection's documents and indexes against each other.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use argon_engine::state::{Collection, Index, entry};
use argon_mql::{Doc, ErrorCode, ValueRef};

use crate::command::{Access, Command, Cx, query, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Argument;

pub(in crate::command) const COMMAND: Command = Command {
    name: "validate",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Checks a collection's documents and indexes against each other.",
    run: |cx| Box::pin(run(cx)),
};

/// Entries checked between two looks at whether the command was given up.
const CHECK_EVERY: usize = 4096;

/// What was found out about one index.
struct Checked {
    name: String,
    keys: usize,
    errors: Vec<String>,
}

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let name = cx.request.collection()?;
    let (mut full, mut background, mut metadata) = (false, false, false);
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "validate",
            element,
        };
        match &**element.key() {
            b"full" => full = argument.bool()?,
            b"background" => background = argument.bool()?,
            b"metadata" => metadata = argument.bool()?,
            // There is nothing to repair: what does not fit is never made a state.
            b"repair" if argument.bool()? => {
                let message = "Running the validate command with { repair: true } in read-only mode is not supported.";
                return Err(Error::new(ErrorCode::InvalidOptions, message));
            }
            _ => {}
        }
    }
    if full && background {
        return Err(Error::new(
            ErrorCode::InvalidOptions,
            "Running the validate command with both { background: true } and { full: true } is not supported.",
        ));
    }
    let (_, collection) = query::open(cx).await?;
    let namespace = format!("{}.{name}", cx.request.database);
    let Some(collection) = collection else {
        let message = format!("Collection '{namespace}' does not exist to validate.");
        return Err(Error::new(ErrorCode::NamespaceNotFound, message));
    };
    if collection.options.view.is_some() {
        return Err(Error::new(
            ErrorCode::CommandNotSupportedOnView,
            "Cannot validate a view",
        ));
    }
    let mut reply = Reply::ok();
    let doc = reply.doc();
    doc.append("ns", text(&namespace));
    let mut errors = Vec::new();
    if !metadata {
        let (invalid, checked) = tokio::task::block_in_place(|| check(cx, &collection))?;
        errors.extend(
            checked
                .iter()
                .flat_map(|index| index.errors.iter().cloned()),
        );
        if invalid > 0 {
            errors.push(format!("{invalid} documents are not valid BSON"));
        }
        doc.append("nInvalidDocuments", int(invalid));
        doc.append("nNonCompliantDocuments", ValueRef::Int32(0));
        doc.append("nrecords", int(collection.len()));
        doc.append("nIndexes", int(checked.len()));
        let keys = doc.open_document("keysPerIndex");
        for index in &checked {
            doc.append(&index.name, int(index.keys));
        }
        doc.close(keys);
        let details = doc.open_document("indexDetails");
        for index in &checked {
            let detail = doc.open_document(&index.name);
            doc.append("valid", ValueRef::Bool(index.errors.is_empty()));
            doc.close(detail);
        }
        doc.close(details);
    }
    doc.append("valid", ValueRef::Bool(errors.is_empty()));
    doc.append("repaired", ValueRef::Bool(false));
    let warnings = doc.open_array("warnings");
    doc.close(warnings);
    let array = doc.open_array("errors");
    for (at, error) in errors.iter().enumerate() {
        doc.push(at, text(error));
    }
    doc.close(array);
    for field in ["extraIndexEntries", "missingIndexEntries", "corruptRecords"] {
        let array = doc.open_array(field);
        doc.close(array);
    }
    Ok(reply)
}

fn int(count: usize) -> ValueRef<'static> {
    ValueRef::Int32(i32::try_from(count).unwrap_or(i32::MAX))
}

/// The number of documents that are no BSON, and what is wrong with each index.
fn check(cx: &Cx<'_>, collection: &Collection) -> Result<(usize, Vec<Checked>)> {
    let mut invalid = 0;
    let mut by_id = Checked {
        name: "_id_".to_owned(),
        keys: 0,
        errors: Vec::new(),
    };
    for (at, (record, document)) in collection.after(None).enumerate() {
        if at % CHECK_EVERY == 0 {
            cx.operation.check()?;
        }
        if argon_mql::value::validate(document).is_err() {
            invalid += 1;
            continue;
        }
        let id = Doc::new(document).get("_id").unwrap_or(ValueRef::Missing);
        match collection.find_id(id) {
            Some(found) if found == record => by_id.keys += 1,
            _ => by_id.errors.push(format!(
                "a document's _id leads elsewhere: key {:?}",
                collection.id_key(id)
            )),
        }
    }
    let mut checked = vec![by_id];
    for index in collection.indexes() {
        checked.push(check_index(cx, collection, index)?);
    }
    Ok((invalid, checked))
}

/// Compares an index's entries with the keys that the documents have.
fn check_index(cx: &Cx<'_>, collection: &Collection, index: &Arc<Index>) -> Result<Checked> {
    let mut expected = HashSet::new();
    for (at, (record, document)) in collection.after(None).enumerate() {
        if at % CHECK_EVERY == 0 {
            cx.operation.check()?;
        }
        for key in index.keys(document)?.keys {
            expected.insert(entry(&key, record));
        }
    }
    let mut extra = 0;
    for (key, record) in index.ascending((Bound::Unbounded, Bound::Unbounded)) {
        if !expected.remove(&entry(key, record)) {
            extra += 1;
        }
    }
    let name = index.spec.name();
    let mut errors = Vec::new();
    if extra > 0 {
        errors.push(format!(
            "index '{name}' has {extra} entries that no document has"
        ));
    }
    if !expected.is_empty() {
        errors.push(format!(
            "index '{name}' lacks {} entries that documents have",
            expected.len()
        ));
    }
    Ok(Checked {
        name: name.to_owned(),
        keys: index.len(),
        errors,
    })
}
