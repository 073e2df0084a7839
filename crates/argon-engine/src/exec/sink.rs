//! `$out` and `$merge`: the documents of a pipeline written to a collection. One pipeline is one record, so readers see
//! all of it or nothing.

use std::collections::HashMap;

use argon_mql::expr::Scope;
use argon_mql::stage::{Merge, WhenMatched, WhenNotMatched};
use argon_mql::update::{Update, UpdateOptions};
use argon_mql::value::key;
use argon_mql::{Doc, DocBuf, Env, Error as Language, ErrorCode, ParseContext, Value, ValueRef};
use bytes::Bytes;

use super::write::ensure;
use crate::error::{Error, Result};
use crate::state::{Collection, RecordId};
use crate::writer::Writer;

/// Replaces `collection` by `documents`; its indexes stay.
///
/// # Errors
/// What an index answers. Nothing has changed then, if the caller drops the writer.
pub fn out(
    writer: &mut Writer,
    collection: &str,
    documents: &[Bytes],
    new_id: &dyn Fn() -> [u8; 12],
    options: &dyn Fn() -> Bytes,
) -> Result<()> {
    writer.refuse_view(collection)?;
    let old = writer.collection(collection).cloned();
    if old.as_ref().is_some_and(|old| old.options.capped.is_some()) {
        return Err(Language::location(
            17152,
            format!(
                "namespace '{}' is capped so it can't be used for $out",
                writer.namespace(collection)
            ),
        )
        .into());
    }
    let mut created = options();
    if let Some(old) = &old {
        created = with_options_of(&created, Doc::new(&old.options.document));
        writer.drop_collection(collection)?;
    }
    writer.create_collection(collection, created)?;
    for index in old.iter().flat_map(|old| old.indexes()) {
        writer.create_index(collection, &index.spec)?;
    }
    for document in documents {
        writer.insert(collection, with_id(document, new_id))?;
    }
    Ok(())
}

/// Merges `documents` into a collection.
///
/// # Errors
/// MongoDB's own for a document that does not fit `merge`. Nothing has changed then, if the caller drops the writer.
pub fn merge(
    writer: &mut Writer,
    merge: &Merge,
    documents: &[Bytes],
    env: &Env<'_>,
    new_id: &dyn Fn() -> [u8; 12],
    options: &dyn Fn() -> Bytes,
) -> Result<()> {
    let on: Vec<&[u8]> = match merge.on.as_slice() {
        [] => vec![b"_id"],
        on => on.iter().map(|field| &field[..]).collect(),
    };
    check_unique(writer, &merge.collection, &on)?;
    ensure(writer, &merge.collection, options)?;
    let change = Change::new(&merge.when_matched)?;
    let by_id = on.as_slice() == [b"_id"];
    let mut known = if by_id {
        HashMap::new()
    } else {
        index_by(writer, &merge.collection, &on)
    };
    for document in documents {
        (env.check_interrupt)()?;
        let document = if by_id {
            with_id(document, new_id)
        } else {
            document.clone()
        };
        let key = on_key(&document, &on)?;
        let found = match (by_id, writer.collection(&merge.collection)) {
            (true, Some(target)) => {
                target.find_id(Doc::new(&document).get("_id").unwrap_or(ValueRef::Missing))
            }
            _ => known.get(&key).copied(),
        };
        match found {
            Some(_) if matches!(change, Change::Fail) => {
                writer
                    .insert(&merge.collection, document)
                    .map_err(|error| match error {
                        Error::Language(error) => Error::Language(error.context(ALREADY_THERE)),
                        error => error,
                    })?;
            }
            Some(record) => {
                let target = writer.collection(&merge.collection);
                let old = target.and_then(|target| target.document(record)).cloned();
                let old = old.unwrap_or_default();
                if let Some(new) = change.apply(&old, &document, env)? {
                    writer.replace(&merge.collection, record, new)?;
                }
            }
            None => match merge.when_not_matched {
                WhenNotMatched::Discard => {}
                WhenNotMatched::Insert => {
                    let mut document = with_id(&document, new_id);
                    if matches!(change, Change::Merge | Change::Keep) {
                        document = as_set(&document);
                    }
                    let record = writer.insert(&merge.collection, document)?;
                    known.insert(key, record);
                }
                WhenNotMatched::Fail => {
                    return Err(Language::location(
                        13113,
                        "$merge could not find a matching document in the target collection for at least one \
                         document in the source collection",
                    )
                    .into());
                }
            },
        }
    }
    Ok(())
}

/// What `whenMatched: "fail"` says before the duplicate key's own words.
const ALREADY_THERE: &str = "$merge with whenMatched: fail found an existing document with the same values for the 'on' \
     fields :: caused by :: ";

/// What becomes of a document that is there already.
enum Change<'a> {
    Replace,
    Keep,
    Merge,
    Fail,
    Pipeline {
        update: Box<Update>,
        variables: &'a [(String, argon_mql::expr::Expr)],
    },
}

impl Change<'_> {
    fn new(when: &WhenMatched) -> Result<Change<'_>> {
        Ok(match when {
            WhenMatched::Replace => Change::Replace,
            WhenMatched::KeepExisting => Change::Keep,
            WhenMatched::Merge => Change::Merge,
            WhenMatched::Fail => Change::Fail,
            WhenMatched::Pipeline { stages, variables } => {
                let names = variables.iter().map(|(name, _)| name.clone());
                let cx = ParseContext::new().with_variables(names);
                let stages = ValueRef::Array(Doc::new(stages));
                let update = Update::parse(stages, &UpdateOptions::default(), &cx)?;
                Change::Pipeline {
                    update: Box::new(update),
                    variables,
                }
            }
        })
    }

    /// What `old` becomes; `None` if it stays.
    fn apply(&self, old: &Bytes, new: &Bytes, env: &Env<'_>) -> Result<Option<Bytes>> {
        match self {
            Change::Keep => Ok(None),
            // The caller inserts it, which fails as it has to.
            Change::Fail => Ok(None),
            Change::Replace => {
                let fields = Doc::new(new).iter().filter(|field| field.key() != "_id");
                checked_id(old, new)?;
                let mut out = DocBuf::with_capacity(new.len() + 24);
                // One that is equal but a number of another type takes its place.
                let id = Doc::new(new).get("_id").or(Doc::new(old).get("_id"));
                out.append("_id", id.unwrap_or(ValueRef::Null));
                fields.for_each(|field| out.append_element(&field));
                Ok(changed(old, out.finish()))
            }
            Change::Merge => {
                checked_id(old, new)?;
                let (old_doc, new_doc) = (Doc::new(old), Doc::new(new));
                let id = |doc: Doc<'_>| doc.get("_id").map(|id| DocBuf::array([id]));
                if id(old_doc) != id(new_doc) {
                    // A number of another type is equal, but not the same.
                    return Err(altered_id());
                }
                let mut out = DocBuf::with_capacity(old.len() + new.len());
                for field in old_doc.iter() {
                    match new_doc
                        .element(field.key())
                        .filter(|_| field.key() != "_id")
                    {
                        Some(set) => out.append_element(&set),
                        None => out.append_element(&field),
                    }
                }
                let mut added: Vec<_> = new_doc
                    .iter()
                    .filter(|field| old_doc.element(field.key()).is_none())
                    .collect();
                added.sort_by(|a, b| in_order_of_set(a.key(), b.key()));
                added.iter().for_each(|field| out.append_element(field));
                Ok(changed(old, out.finish()))
            }
            Change::Pipeline { update, variables } => {
                let scope = Scope::new(new, env);
                let mut values: Vec<(String, Value)> = Vec::with_capacity(variables.len());
                for (name, expression) in *variables {
                    values.push((name.clone(), expression.eval(&scope)?));
                }
                let inner = Env {
                    now_ms: env.now_ms,
                    cluster_time: env.cluster_time,
                    variables: values,
                    seed: env.seed.clone(),
                    check_interrupt: env.check_interrupt,
                };
                Ok(update.apply(old, None, &inner)?)
            }
        }
    }
}

/// The order in which `$set` adds fields: numbers by value, other names by bytes.
fn in_order_of_set(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let number = |name: &[u8]| {
        let digits = !name.is_empty() && name.iter().all(u8::is_ascii_digit);
        digits.then(|| std::str::from_utf8(name).ok()?.parse::<u64>().ok())?
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// `document` as an upsert with `$set` makes it, which is how mongod merges.
fn as_set(document: &Bytes) -> Bytes {
    let mut fields: Vec<_> = Doc::new(document).iter().collect();
    fields.sort_by(|a, b| {
        let not_id = |name: &[u8]| name != b"_id";
        not_id(a.key())
            .cmp(&not_id(b.key()))
            .then_with(|| in_order_of_set(a.key(), b.key()))
    });
    let mut out = DocBuf::with_capacity(document.len());
    fields.iter().for_each(|field| out.append_element(field));
    out.finish()
}

fn changed(old: &Bytes, new: Bytes) -> Option<Bytes> {
    (*old != new).then_some(new)
}

/// Refuses a new `_id` for a document that is there.
fn checked_id(old: &[u8], new: &[u8]) -> Result<()> {
    let (Some(old), Some(new)) = (Doc::new(old).get("_id"), Doc::new(new).get("_id")) else {
        return Ok(());
    };
    if argon_mql::value::equal(old, new) {
        return Ok(());
    }
    Err(altered_id())
}

#[cold]
fn altered_id() -> Error {
    Language::new(
        ErrorCode::ImmutableField,
        "$merge failed to update the matching document, did you attempt to modify the _id or the shard key? :: caused by \
         :: After applying the update, the (immutable) field '_id' was found to have been altered",
    )
    .into()
}

/// Refuses fields that no unique index keeps unique.
fn check_unique(writer: &Writer, collection: &str, on: &[&[u8]]) -> Result<()> {
    let mut wanted: Vec<&[u8]> = on.to_vec();
    wanted.sort_unstable();
    let by_id = wanted == [b"_id"];
    let unique = by_id
        || writer.collection(collection).is_some_and(|target| {
            target.indexes().iter().any(|index| {
                let mut fields: Vec<&[u8]> = index
                    .spec
                    .fields()
                    .iter()
                    .map(|field| &**field.path.text())
                    .collect();
                fields.sort_unstable();
                index.spec.unique() && index.spec.partial_filter().is_none() && fields == wanted
            })
        });
    if unique {
        return Ok(());
    }
    Err(Language::location(
        51183,
        "Cannot find index to verify that join fields will be unique",
    )
    .into())
}

/// The records of a collection by the values of the fields that identify them.
fn index_by(writer: &Writer, collection: &str, on: &[&[u8]]) -> HashMap<Vec<u8>, RecordId> {
    let target = writer.collection(collection);
    target
        .iter()
        .flat_map(|target: &&std::sync::Arc<Collection>| target.after(None))
        .filter_map(|(record, document)| Some((on_key(document, on).ok()?, record)))
        .collect()
}

/// The values of the fields that identify a document, as a key.
fn on_key(document: &[u8], on: &[&[u8]]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(24);
    for field in on {
        let name = String::from_utf8_lossy(field);
        let mut value = ValueRef::Document(Doc::new(document));
        for part in field.split(|byte| *byte == b'.') {
            value = value
                .as_document()
                .and_then(|doc| doc.get(part))
                .unwrap_or(ValueRef::Missing);
        }
        if *field == b"_id" && matches!(value, ValueRef::Array(_)) {
            return Err(Language::location(
                51185,
                format!("$merge write error: 'on' field '{name}' is an array"),
            )
            .into());
        }
        let generated = *field == b"_id" && matches!(value, ValueRef::Missing);
        if !generated && (value.is_nullish() || matches!(value, ValueRef::Array(_))) {
            return Err(Language::location(
                51132,
                format!(
                    "$merge write error: 'on' field '{name}' cannot be missing, null, undefined or an array"
                ),
            )
            .into());
        }
        key::append(&mut bytes, value, false);
    }
    Ok(bytes)
}

/// The document with an `_id` in front.
fn with_id(document: &Bytes, new_id: &dyn Fn() -> [u8; 12]) -> Bytes {
    let doc = Doc::new(document);
    if doc.iter().next().is_some_and(|first| first.key() == "_id") {
        return document.clone();
    }
    let mut out = DocBuf::with_capacity(document.len() + 24);
    match doc.element(b"_id") {
        Some(id) => out.append_element(&id),
        None => out.append("_id", ValueRef::ObjectId(new_id())),
    }
    doc.iter()
        .filter(|field| field.key() != "_id")
        .for_each(|field| out.append_element(&field));
    out.finish()
}

/// The options of a collection that takes another's place: its own UUID, the other's options.
fn with_options_of(created: &Bytes, old: Doc<'_>) -> Bytes {
    let mut options = DocBuf::new();
    if let Some(uuid) = Doc::new(created).element(b"uuid") {
        options.append_element(&uuid);
    }
    old.iter()
        .filter(|field| field.key() != "uuid")
        .for_each(|field| options.append_element(&field));
    options.finish()
}
