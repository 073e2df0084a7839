//! The document that an upsert inserts: the equalities of the filter, then the update.
//!
//! Source: MongoDB manual, "db.collection.update", "Upsert Behavior".

use bytes::Bytes;

use super::replace;
use crate::filter::{Filter, Leaf, Node, Predicate};
use crate::path::Path;
use crate::value::{Doc, DocBuf, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

/// Refuses a filter whose equalities cannot be told.
///
/// # Errors
/// `QueryFeatureNotAllowed` for `$expr`.
pub(super) fn check_filter(filter: &Filter) -> Result<()> {
    if has_expr(filter.root()) {
        return Err(Error::new(
            ErrorCode::QueryFeatureNotAllowed,
            "$expr is not allowed in the query predicate for an upsert",
        ));
    }
    Ok(())
}

fn has_expr(node: &Node) -> bool {
    match node {
        Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => nodes.iter().any(has_expr),
        Node::Not(inner) => has_expr(inner),
        Node::Expr(_) => true,
        _ => false,
    }
}

/// A document of the paths that `filter` wants equal to one value, ordered by path.
///
/// # Errors
/// `NotSingleValueField` if one path, or a path and one below it, are wanted equal to several values.
pub(super) fn seed(filter: &Filter) -> Result<Bytes> {
    let mut equalities = equalities(filter);
    equalities.sort_by(|a, b| a.0.text().cmp(b.0.text()));
    for (at, (path, _)) in equalities.iter().enumerate() {
        if path.text().is_empty() {
            return Err(Error::new(
                ErrorCode::IllegalOperation,
                "Cannot call setValue on the root object",
            ));
        }
        for (other, _) in &equalities[at + 1..] {
            if path == other {
                return Err(matched_twice(path));
            }
            if other.is_within(path) {
                return Err(Error::new(
                    ErrorCode::NotSingleValueField,
                    format!(
                        "cannot infer query fields to set, both paths '{}' and '{}' are matched",
                        other.text(),
                        path.text()
                    ),
                ));
            }
        }
    }
    let mut out = DocBuf::new();
    nest(&equalities, 0, &mut out);
    Ok(out.finish())
}

/// Writes `equalities`, which share their first `depth` components.
fn nest(equalities: &[(&Path, &Value)], depth: usize, out: &mut DocBuf) {
    let mut rest = equalities;
    while let Some((path, value)) = rest.first() {
        let Some(part) = path.parts().get(depth) else {
            return;
        };
        let same = |row: &&(&Path, &Value)| row.0.parts().get(depth) == Some(part);
        let count = rest.iter().take_while(same).count();
        if path.parts().len() == depth + 1 {
            out.append(part.name(), value.as_ref());
        } else {
            let open = out.open_document(part.name());
            // A filter's paths are as long as a document is deep at most, or its parse would have failed.
            nest(&rest[..count], depth + 1, out);
            out.close(open);
        }
        rest = &rest[count.max(1)..];
    }
}

/// The `_id` that the filter of a replacement gives, alone in a document.
///
/// # Errors
/// Code 111 if only a part of it is given, `NotSingleValueField` if it is given twice.
pub(super) fn seed_id(filter: &Filter) -> Result<Bytes> {
    let mut out = DocBuf::new();
    let mut given = false;
    for (path, value) in equalities(filter) {
        match path.parts() {
            [part] if part.name() == b"_id" => {
                if std::mem::replace(&mut given, true) {
                    return Err(matched_twice(path));
                }
                out.append("_id", value.as_ref());
            }
            [first, ..] if first.name() == b"_id" => {
                return Err(Error::location(
                    111,
                    format!(
                        "field at '_id' must be exactly specified, field at sub-path '{}'found",
                        path.text()
                    ),
                ));
            }
            _ => {}
        }
    }
    Ok(out.finish())
}

/// Refuses a replacement whose own `_id` is an array, for which mongod has another code than elsewhere.
///
/// # Errors
/// `NotSingleValueField`.
pub(super) fn check_replacement(spec: Doc<'_>) -> Result<()> {
    match spec.get("_id") {
        Some(ValueRef::Array(_)) => Err(Error::new(
            ErrorCode::NotSingleValueField,
            "After applying the update to the document, the (immutable) field '_id' was found to be an array or array descendant.",
        )),
        _ => Ok(()),
    }
}

/// The paths that `filter` wants equal to one value; `$in` with one value is that, too.
fn equalities(filter: &Filter) -> Vec<(&Path, &Value)> {
    let mut found = filter.equalities();
    single_ins(filter.root(), &mut found);
    found
}

fn single_ins<'f>(node: &'f Node, found: &mut Vec<(&'f Path, &'f Value)>) {
    match node {
        Node::And(nodes) => nodes.iter().for_each(|node| single_ins(node, found)),
        Node::Or(nodes) if nodes.len() == 1 => single_ins(&nodes[0], found),
        Node::Leaf(Leaf {
            path,
            predicate: Predicate::In(values),
        }) if values.regexes().is_empty() => {
            if let [value] = values.values() {
                found.push((path, value));
            }
        }
        _ => {}
    }
}

#[cold]
fn matched_twice(path: &Path) -> Error {
    Error::new(
        ErrorCode::NotSingleValueField,
        format!(
            "cannot infer query fields to set, path '{}' is matched twice",
            path.text()
        ),
    )
}

/// `doc` with its `_id` first, or a new one if it has none.
///
/// # Errors
/// Those of a bad `_id`; code 17420 for too large a document.
pub(super) fn finish(doc: Bytes, new_id: impl FnOnce() -> [u8; 12]) -> Result<Bytes> {
    let view = Doc::new(&doc);
    let id = view.element(b"_id");
    if let Some(id) = &id {
        replace::check_id(id.value())?;
    }
    let first = view.iter().next();
    let in_place = first.is_some_and(|first| first.key() == "_id");
    let finished = if in_place {
        doc
    } else {
        let mut out = DocBuf::with_capacity(doc.len() + 32);
        match id {
            Some(id) => out.append_element(&id),
            None => out.append("_id", ValueRef::ObjectId(new_id())),
        }
        for element in view.iter().filter(|element| element.key() != "_id") {
            out.append_element(&element);
        }
        out.finish()
    };
    if finished.len() > super::DOCUMENT_BYTES_MAX {
        return Err(Error::location(
            17420,
            format!(
                "Document to upsert is larger than {}",
                super::DOCUMENT_BYTES_MAX
            ),
        ));
    }
    Ok(finished)
}
