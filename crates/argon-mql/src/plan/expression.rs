//! What an `$expr` asks of single fields: comparisons of a field with a constant, of which an index may find the documents.
//!
//! Expressions compare in the order of all values, whatever their types, and take a missing field for less than null. Arrays
//! are compared as a whole, so an index with arrays on the path is of no use.

use super::bounds::Bounds;
use super::interval::{Interval, Intervals};
use crate::collation::Collation;
use crate::filter::CompareOp;
use crate::path::Path;
use crate::value::{Doc, Value, ValueRef};

/// Comparisons of a field, of which one holds for every document that an expression lets pass.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) path: Path,
    any: Vec<(CompareOp, Value)>,
}

/// The comparisons that `expression`, as written, consists of; what is no comparison is left out.
pub(super) fn comparisons(expression: ValueRef<'_>) -> Vec<Comparison> {
    let mut found = Vec::new();
    collect(expression, &mut found);
    found
}

fn collect(expression: ValueRef<'_>, found: &mut Vec<Comparison>) {
    let ValueRef::Document(doc) = expression else {
        return;
    };
    let mut elements = doc.iter();
    let (Some(operator), None) = (elements.next(), elements.next()) else {
        return;
    };
    let ValueRef::Array(arguments) = operator.value() else {
        return;
    };
    let (op, mirrored) = match &**operator.key() {
        // The nesting of commands is limited, and with it this recursion.
        b"$and" => return arguments.values().for_each(|part| collect(part, found)),
        b"$or" => return found.extend(any(arguments)),
        b"$eq" => (CompareOp::Eq, CompareOp::Eq),
        b"$gt" => (CompareOp::Gt, CompareOp::Lt),
        b"$gte" => (CompareOp::Gte, CompareOp::Lte),
        b"$lt" => (CompareOp::Lt, CompareOp::Gt),
        b"$lte" => (CompareOp::Lte, CompareOp::Gte),
        _ => return,
    };
    let mut arguments = arguments.values();
    let (Some(left), Some(right), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return;
    };
    let comparison = match (field(left), constant(right), constant(left), field(right)) {
        (Some(path), Some(operand), ..) => Comparison {
            path,
            any: vec![(op, operand)],
        },
        (_, _, Some(operand), Some(path)) => Comparison {
            path,
            any: vec![(mirrored, operand)],
        },
        _ => return,
    };
    found.push(comparison);
}

/// The comparison that the branches of an `$or` are, if all are of one field.
fn any(branches: Doc<'_>) -> Option<Comparison> {
    let mut whole: Option<Comparison> = None;
    for branch in branches.values() {
        let mut found = comparisons(branch);
        let (Some(mut only), true) = (found.pop(), found.is_empty()) else {
            return None;
        };
        match &mut whole {
            None => whole = Some(only),
            Some(whole) if whole.path == only.path => whole.any.append(&mut only.any),
            Some(_) => return None,
        }
    }
    whole
}

/// The field that a string like `$a.b` means.
fn field(value: ValueRef<'_>) -> Option<Path> {
    let ValueRef::String(text) = value else {
        return None;
    };
    let path = text.strip_prefix(b"$")?;
    let path = (!path.is_empty() && !path.starts_with(b"$")).then(|| Path::new(path))?;
    // Expressions know no positions.
    path.parts()
        .iter()
        .all(|part| part.index().is_none())
        .then_some(path)
}

/// The value of an operand that no document changes.
fn constant(value: ValueRef<'_>) -> Option<Value> {
    let value = match value {
        ValueRef::Document(doc) => literal(doc)?,
        ValueRef::String(text) if text.starts_with(b"$") => return None,
        value => value,
    };
    let plain = !matches!(
        value,
        ValueRef::Document(_)
            | ValueRef::Array(_)
            | ValueRef::Undefined
            | ValueRef::Missing
            | ValueRef::Regex { .. }
            | ValueRef::MinKey
            | ValueRef::MaxKey
    );
    plain.then(|| Value::copy_of(value))
}

fn literal(doc: Doc<'_>) -> Option<ValueRef<'_>> {
    let mut elements = doc.iter();
    match (elements.next(), elements.next()) {
        (Some(only), None) if only.key() == "$literal" || only.key() == "$const" => {
            Some(only.value())
        }
        _ => None,
    }
}

impl Comparison {
    /// The keys that the documents have among theirs; `None` if an index does not help. The condition has to be looked at
    /// again in the documents: a key does not tell null from missing.
    pub(super) fn bounds(&self, collation: Option<&Collation>, multikey: bool) -> Option<Bounds> {
        if multikey {
            return None;
        }
        let all = self.any.iter();
        all.map(|(op, operand)| one(*op, operand, collation))
            .reduce(Bounds::union)
    }
}

fn one(op: CompareOp, operand: &Value, collation: Option<&Collation>) -> Bounds {
    let (operand, collation) = match (collation, operand) {
        (Some(collation), Value::String(text)) => {
            let mut key = Vec::new();
            collation.append_key(&mut key, text.as_ref().into());
            (Value::String(key.into()), Some(collation.clone()))
        }
        (_, operand) => (operand.clone(), None),
    };
    let intervals = match (op, operand) {
        (CompareOp::Eq, Value::Null) => Intervals::of([
            Interval::point(Value::Undefined),
            Interval::point(Value::Null),
        ]),
        // A missing field is less than null, and has its key.
        (CompareOp::Lt | CompareOp::Lte, Value::Null) => {
            Intervals::of([Interval::new(Value::MinKey, true, Value::Null, true)])
        }
        (CompareOp::Eq, value) => Intervals::point(value),
        (CompareOp::Gt, value) => Intervals::of([Interval::new(value, false, Value::MaxKey, true)]),
        (CompareOp::Gte, value) => Intervals::of([Interval::new(value, true, Value::MaxKey, true)]),
        (CompareOp::Lt, value) => Intervals::of([Interval::new(Value::MinKey, true, value, false)]),
        (CompareOp::Lte, value) => Intervals::of([Interval::new(Value::MinKey, true, value, true)]),
    };
    Bounds {
        missing: intervals.has_null(),
        intervals,
        exact: false,
        collation,
    }
}
