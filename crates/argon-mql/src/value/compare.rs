//! MongoDB's total order over BSON values.
//!
//! Source: MongoDB manual, "Comparison/Sort Order"; details the manual leaves open are recordings of mongod 6.0.5:
//! missing equals undefined, symbols are strings, documents compare type, name and value of one element after the other,
//! pointers and binaries compare their length first.

use std::cmp::Ordering;

use super::doc::{Doc, Element};
use super::number::{Number, compare_f64};
use super::reference::ValueRef;
use crate::collation::Collation;

/// A type's place in MongoDB's order. Types that compare by value with one another share one.
///
/// The numbers leave room for what [`key`](super::key) puts between them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names are the BSON specification's")]
#[repr(u8)]
pub enum TypeOrder {
    MinKey = 0x08,
    /// Undefined, and no value at all.
    Undefined = 0x10,
    Null = 0x14,
    /// Int, long, double, decimal.
    Number = 0x20,
    /// String and symbol.
    String = 0x50,
    Document = 0x58,
    Array = 0x60,
    Binary = 0x68,
    ObjectId = 0x70,
    Bool = 0x78,
    DateTime = 0x80,
    Timestamp = 0x88,
    Regex = 0x90,
    DbPointer = 0x98,
    JavaScript = 0xA0,
    JavaScriptWithScope = 0xA8,
    MaxKey = 0xF0,
}

impl TypeOrder {
    /// The place of the type of `value`.
    #[inline]
    pub fn of(value: &ValueRef<'_>) -> TypeOrder {
        match value {
            ValueRef::MinKey => TypeOrder::MinKey,
            ValueRef::Missing | ValueRef::Undefined => TypeOrder::Undefined,
            ValueRef::Null => TypeOrder::Null,
            ValueRef::Double(_)
            | ValueRef::Int32(_)
            | ValueRef::Int64(_)
            | ValueRef::Decimal128(_) => TypeOrder::Number,
            ValueRef::Symbol(_) | ValueRef::String(_) => TypeOrder::String,
            ValueRef::Document(_) => TypeOrder::Document,
            ValueRef::Array(_) => TypeOrder::Array,
            ValueRef::Binary { .. } => TypeOrder::Binary,
            ValueRef::ObjectId(_) => TypeOrder::ObjectId,
            ValueRef::Bool(_) => TypeOrder::Bool,
            ValueRef::DateTime(_) => TypeOrder::DateTime,
            ValueRef::Timestamp(_) => TypeOrder::Timestamp,
            ValueRef::Regex { .. } => TypeOrder::Regex,
            ValueRef::DbPointer { .. } => TypeOrder::DbPointer,
            ValueRef::JavaScript(_) => TypeOrder::JavaScript,
            ValueRef::JavaScriptWithScope { .. } => TypeOrder::JavaScriptWithScope,
            ValueRef::MaxKey => TypeOrder::MaxKey,
        }
    }
}

/// Whether two values are of types that compare by value with one another: what `{$lt: 5}` demands of a field.
#[inline]
pub fn comparable(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    TypeOrder::of(&a) == TypeOrder::of(&b)
}

/// MongoDB's order of two values: a total order in which missing equals undefined and stands before null.
///
/// Finds and sorts treat a missing field as null; they have to say so before they compare.
#[inline]
pub fn compare(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    compare_with(a, b, None)
}

/// Whether two values are equal in MongoDB's order: 1 equals 1.0, {a: 1, b: 2} does not equal {b: 2, a: 1}.
#[inline]
pub fn equal(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    equal_with(a, b, None)
}

/// As [`equal`], with strings compared by `collation`.
#[inline]
pub fn equal_with(a: ValueRef<'_>, b: ValueRef<'_>, collation: Option<&Collation>) -> bool {
    match (a, b) {
        (ValueRef::String(a), ValueRef::String(b)) if collation.is_none() => a == b,
        (ValueRef::ObjectId(a), ValueRef::ObjectId(b)) => a == b,
        _ => compare_with(a, b, collation) == Ordering::Equal,
    }
}

/// As [`compare`], with strings compared by `collation`.
#[inline]
pub fn compare_with(a: ValueRef<'_>, b: ValueRef<'_>, collation: Option<&Collation>) -> Ordering {
    match (a, b) {
        (ValueRef::Int32(a), ValueRef::Int32(b)) => a.cmp(&b),
        (ValueRef::Int64(a), ValueRef::Int64(b))
        | (ValueRef::DateTime(a), ValueRef::DateTime(b)) => a.cmp(&b),
        (ValueRef::Double(a), ValueRef::Double(b)) => compare_f64(a, b),
        (ValueRef::ObjectId(a), ValueRef::ObjectId(b)) => a.cmp(&b),
        (ValueRef::Bool(a), ValueRef::Bool(b)) => a.cmp(&b),
        (ValueRef::Timestamp(a), ValueRef::Timestamp(b)) => a.cmp(&b),
        (ValueRef::String(a) | ValueRef::Symbol(a), ValueRef::String(b) | ValueRef::Symbol(b)) => {
            match collation {
                None => a.cmp(b),
                Some(collation) => collation.compare(a, b),
            }
        }
        _ => compare_rest(a, b, collation),
    }
}

/// The less frequent pairs, kept out of the code that is inlined.
fn compare_rest(a: ValueRef<'_>, b: ValueRef<'_>, collation: Option<&Collation>) -> Ordering {
    if let (Some(a), Some(b)) = (Number::from_value(a), Number::from_value(b)) {
        return a.compare(b);
    }
    match (a, b) {
        (ValueRef::Document(a), ValueRef::Document(b)) => compare_documents(a, b, collation),
        (ValueRef::Array(a), ValueRef::Array(b)) => compare_arrays(a, b, collation),
        (
            ValueRef::Binary {
                subtype: s1,
                bytes: b1,
            },
            ValueRef::Binary {
                subtype: s2,
                bytes: b2,
            },
        ) => b1
            .len()
            .cmp(&b2.len())
            .then(s1.cmp(&s2))
            .then_with(|| b1.cmp(b2)),
        (
            ValueRef::Regex {
                pattern: p1,
                options: o1,
            },
            ValueRef::Regex {
                pattern: p2,
                options: o2,
            },
        ) => p1.cmp(p2).then_with(|| o1.cmp(o2)),
        (
            ValueRef::DbPointer {
                namespace: n1,
                id: i1,
            },
            ValueRef::DbPointer {
                namespace: n2,
                id: i2,
            },
        ) => n1
            .len()
            .cmp(&n2.len())
            .then_with(|| n1.cmp(n2))
            .then(i1.cmp(&i2)),
        (ValueRef::JavaScript(a), ValueRef::JavaScript(b)) => a.cmp(b),
        (
            ValueRef::JavaScriptWithScope {
                code: c1,
                scope: s1,
            },
            ValueRef::JavaScriptWithScope {
                code: c2,
                scope: s2,
            },
        ) => c1
            .cmp(c2)
            .then_with(|| compare_documents(s1, s2, collation)),
        _ => TypeOrder::of(&a).cmp(&TypeOrder::of(&b)),
    }
}

/// The order of two documents: element by element by type, then name, then value; the shorter first.
pub fn compare_documents(a: Doc<'_>, b: Doc<'_>, collation: Option<&Collation>) -> Ordering {
    in_order(a, b, |a, b| {
        let (left, right) = (a.value(), b.value());
        TypeOrder::of(&left)
            .cmp(&TypeOrder::of(&right))
            .then_with(|| a.key().cmp(b.key()))
            .then_with(|| compare_with(left, right, collation))
    })
}

/// The order of two arrays: item by item by type, then value; the shorter first.
fn compare_arrays(a: Doc<'_>, b: Doc<'_>, collation: Option<&Collation>) -> Ordering {
    in_order(a, b, |a, b| compare_with(a.value(), b.value(), collation))
}

fn in_order<'a>(
    a: Doc<'a>,
    b: Doc<'a>,
    compare: impl Fn(Element<'a>, Element<'a>) -> Ordering,
) -> Ordering {
    let (mut left, mut right) = (a.iter(), b.iter());
    loop {
        let order = match (left.next(), right.next()) {
            (Some(a), Some(b)) => compare(a, b),
            (None, None) => return Ordering::Equal,
            (a, b) => return a.is_some().cmp(&b.is_some()),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}
