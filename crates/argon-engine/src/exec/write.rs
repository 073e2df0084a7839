//! Updates, deletes and `findAndModify`, decided on a writer.

use std::sync::Arc;

use argon_mql::filter::Filter;
use argon_mql::plan::Hint;
use argon_mql::sort::Order;
use argon_mql::update::Update as Change;
use argon_mql::{Doc, Env, Value, ValueRef};
use bytes::Bytes;

use super::records::{Records, plan};
use crate::error::Result;
use crate::state::{Collection, RecordId};
use crate::writer::Writer;

/// One update statement.
pub struct Update {
    /// Which documents.
    pub filter: Filter,
    /// What becomes of them.
    pub change: Change,
    /// Whether all of them or only the first.
    pub multi: bool,
    /// Whether a new document is made if there is none.
    pub upsert: bool,
    /// Which index to use.
    pub hint: Option<Hint>,
}

/// What an update did.
#[derive(Clone, Debug, Default)]
pub struct Updated {
    /// Documents that the filter met.
    pub matched: u64,
    /// Documents that are different now.
    pub modified: u64,
    /// The `_id` of the document that was made.
    pub upserted: Option<Value>,
}

/// Decides one update statement. `new_id` makes an `_id` for an upsert; `options` are those of a collection that
/// comes into being with one.
///
/// # Errors
/// What the change or an index answers. In a `multi` update what was decided before the failure stays decided, as in
/// MongoDB.
pub fn update(
    writer: &mut Writer,
    collection: &str,
    statement: &Update,
    env: &Env<'_>,
    new_id: &mut dyn FnMut() -> [u8; 12],
    options: &dyn Fn() -> Bytes,
) -> Result<Updated> {
    writer.refuse_view(collection)?;
    let mut updated = Updated::default();
    if let Some(target) = writer.collection(collection).cloned() {
        let mut records = records(&target, &statement.filter, statement.hint.as_ref())?;
        while let Some((record, old)) = records.next(env)? {
            updated.matched += 1;
            if let Some(new) = changed(statement, &old, env)? {
                writer.replace(collection, record, new)?;
                updated.modified += 1;
            }
            if !statement.multi {
                break;
            }
        }
    }
    if updated.matched == 0 && statement.upsert {
        let document = statement.change.upsert(&statement.filter, env, new_id)?;
        let id = Doc::new(&document).get("_id").unwrap_or(ValueRef::Null);
        updated.upserted = Some(Value::share(id, &document));
        ensure(writer, collection, options)?;
        writer.insert(collection, document)?;
    }
    Ok(updated)
}

/// What a delete did: how many documents are gone.
pub type Deleted = u64;

/// Decides one delete statement.
///
/// # Errors
/// What the filter's expressions fail with, and a hint that names no index.
pub fn delete(
    writer: &mut Writer,
    collection: &str,
    filter: &Filter,
    hint: Option<&Hint>,
    multi: bool,
    env: &Env<'_>,
) -> Result<Deleted> {
    writer.refuse_view(collection)?;
    let Some(target) = writer.collection(collection).cloned() else {
        return Ok(0);
    };
    let mut deleted = 0;
    let mut records = records(&target, filter, hint)?;
    while let Some((record, _)) = records.next(env)? {
        writer.delete(collection, record)?;
        deleted += 1;
        if !multi {
            break;
        }
    }
    Ok(deleted)
}

/// A `findAndModify`.
pub struct FindAndModify {
    /// Which documents.
    pub filter: Filter,
    /// Which of them is the first.
    pub order: Order,
    /// Which index to use.
    pub hint: Option<Hint>,
    /// What becomes of it; `None` removes it.
    pub change: Option<Change>,
    /// Whether a new document is made if there is none.
    pub upsert: bool,
}

/// What a `findAndModify` did.
#[derive(Clone, Debug, Default)]
pub struct Modified {
    /// The document before.
    pub before: Option<Bytes>,
    /// The document after.
    pub after: Option<Bytes>,
    /// The `_id` of the document that was made.
    pub upserted: Option<Value>,
    /// The item of an array that the filter met in the document before, for a positional projection.
    pub matched: Option<usize>,
}

/// Decides a `findAndModify`.
///
/// # Errors
/// Those of [`update`] and [`delete`].
pub fn find_and_modify(
    writer: &mut Writer,
    collection: &str,
    command: &FindAndModify,
    env: &Env<'_>,
    new_id: &mut dyn FnMut() -> [u8; 12],
    options: &dyn Fn() -> Bytes,
) -> Result<Modified> {
    writer.refuse_view(collection)?;
    let target = writer.collection(collection).cloned();
    let found = match &target {
        Some(target) => first(target, command, env)?,
        None => None,
    };
    match (found, &command.change) {
        (Some((record, before)), None) => {
            writer.delete(collection, record)?;
            let matched = command.filter.array_match(&before, env)?;
            Ok(Modified {
                before: Some(before),
                matched,
                ..Modified::default()
            })
        }
        (Some((record, before)), Some(change)) => {
            let matched = command.filter.array_match(&before, env)?;
            let after = change.apply(&before, matched, env)?;
            if let Some(after) = &after {
                writer.replace(collection, record, after.clone())?;
            }
            let after = after.unwrap_or_else(|| before.clone());
            Ok(Modified {
                before: Some(before),
                after: Some(after),
                upserted: None,
                matched,
            })
        }
        (None, Some(change)) if command.upsert => {
            let document = change.upsert(&command.filter, env, new_id)?;
            let id = Doc::new(&document).get("_id").unwrap_or(ValueRef::Null);
            let upserted = Some(Value::share(id, &document));
            ensure(writer, collection, options)?;
            writer.insert(collection, document.clone())?;
            Ok(Modified {
                before: None,
                after: Some(document),
                upserted,
                matched: None,
            })
        }
        (None, _) => Ok(Modified::default()),
    }
}

/// Creates `collection` if it is not there, as a first write to it does.
///
/// # Errors
/// None that a fitting state can give.
pub(crate) fn ensure(
    writer: &mut Writer,
    collection: &str,
    options: &dyn Fn() -> Bytes,
) -> Result<()> {
    match writer.collection(collection) {
        Some(_) => Ok(()),
        None => writer.create_collection(collection, options()),
    }
}

/// The document that `statement` makes of `old`; `None` if it is the same.
fn changed(statement: &Update, old: &Bytes, env: &Env<'_>) -> Result<Option<Bytes>> {
    let matched = if statement.change.needs_match() {
        statement.filter.array_match(old, env)?
    } else {
        None
    };
    Ok(statement.change.apply(old, matched, env)?)
}

/// The records that `filter` leads to. They come from the collection as it was before the command's own changes, so that
/// an update cannot meet a document that it has moved in an index.
fn records(target: &Arc<Collection>, filter: &Filter, hint: Option<&Hint>) -> Result<Records> {
    let plan = plan(target, filter, &Order::Any, hint)?;
    Ok(Records::new(Arc::clone(target), filter.clone(), &plan))
}

fn first(
    target: &Arc<Collection>,
    command: &FindAndModify,
    env: &Env<'_>,
) -> Result<Option<(RecordId, Bytes)>> {
    let plan = plan(
        target,
        &command.filter,
        &command.order,
        command.hint.as_ref(),
    )?;
    let mut records = Records::new(Arc::clone(target), command.filter.clone(), &plan);
    let sort = match &command.order {
        Order::By(sort) if !plan.covers_sort() => sort,
        _ => return Ok(records.next(env)?),
    };
    let mut first: Option<(Vec<u8>, (RecordId, Bytes))> = None;
    while let Some(found) = records.next(env)? {
        let key = sort.key(Doc::new(&found.1))?;
        if first.as_ref().is_none_or(|(least, _)| key < *least) {
            first = Some((key, found));
        }
    }
    Ok(first.map(|(_, found)| found))
}
