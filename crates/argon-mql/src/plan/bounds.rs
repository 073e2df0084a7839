//! What a condition on a path lets pass of an index on that path.

use super::interval::{Interval, Intervals};
use super::prefix;
use crate::collation::Collation;
use crate::filter::{Compare, CompareOp, In, Node, Predicate, TypeSet};
use crate::regex::Regex;
use crate::value::{BsonType, Doc, TypeOrder, Value, ValueRef};

/// The keys that documents meeting a condition have among theirs.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) intervals: Intervals,
    /// Whether having such a key is enough to meet the condition.
    pub(super) exact: bool,
    /// Whether a document without the field may meet it.
    pub(super) missing: bool,
    /// How the condition compares strings; none is by bytes. Strings in the intervals are this collation's sort keys.
    pub(super) collation: Option<Collation>,
}

impl Bounds {
    fn new(intervals: Intervals, exact: bool) -> Bounds {
        Bounds {
            missing: intervals.has_null(),
            intervals,
            exact,
            collation: None,
        }
    }

    /// All values, of which the condition then has to pick.
    fn full(missing: bool) -> Bounds {
        Bounds {
            intervals: Intervals::full(),
            exact: false,
            missing,
            collation: None,
        }
    }

    /// Whether what is in the intervals depends on how strings compare.
    pub(super) fn has_strings(&self) -> bool {
        !self.intervals.is_full() && self.intervals.iter().any(spans_strings)
    }

    /// Both conditions' values. Strings of two collations have no order in common.
    pub(super) fn intersect(self, other: &Bounds) -> Option<Bounds> {
        if self.collation != other.collation && self.has_strings() && other.has_strings() {
            return None;
        }
        Some(Bounds {
            intervals: self.intervals.intersect(&other.intervals),
            exact: self.exact && other.exact,
            missing: self.missing && other.missing,
            collation: self.collation.or_else(|| other.collation.clone()),
        })
    }

    /// The values of either condition.
    pub(super) fn union(self, other: Bounds) -> Bounds {
        if self.collation != other.collation && self.has_strings() && other.has_strings() {
            return Bounds::full(self.missing || other.missing);
        }
        Bounds {
            intervals: self.intervals.union(other.intervals),
            exact: self.exact && other.exact,
            missing: self.missing || other.missing,
            collation: self.collation.or(other.collation),
        }
    }
}

/// Whether a string, or something that may hold one, may be in the interval.
fn spans_strings(interval: &Interval) -> bool {
    let (low, high) = (
        TypeOrder::of(&interval.low.as_ref()),
        TypeOrder::of(&interval.high.as_ref()),
    );
    high >= TypeOrder::String && low <= TypeOrder::Array
}

/// The bounds of `predicate`; `None` if an index does not help.
pub(super) fn of(predicate: &Predicate) -> Option<Bounds> {
    Some(match predicate {
        Predicate::Compare(compare) => of_compare(compare),
        Predicate::In(list) => of_in(list),
        Predicate::Regex(regex) => of_regex(regex),
        Predicate::Exists => Bounds::full(false),
        Predicate::Type(types) => of_types(*types),
        Predicate::Mod { .. } => Bounds::new(Intervals::of([all_of(TypeOrder::Number)]), false),
        Predicate::ElemMatchValue(node) => return of_items(node),
        Predicate::Bits(_) | Predicate::Size(_) | Predicate::ElemMatchObject(_) => return None,
    })
}

/// The bounds of the opposite of `predicate`. `multikey` tells whether the path leads through arrays in some document.
pub(super) fn of_not(predicate: &Predicate, multikey: bool) -> Option<Bounds> {
    if matches!(predicate, Predicate::Exists) {
        return Some(Bounds::new(Intervals::point(Value::Null), false));
    }
    let complementable = match predicate {
        Predicate::Compare(compare) => is_plain(compare.operand()),
        Predicate::In(list) => list.regexes().is_empty() && list.values().iter().all(is_plain),
        _ => false,
    };
    if !complementable {
        return None;
    }
    let inner = of(predicate)?;
    // What the bounds only contain has no complement.
    if inner.intervals.is_full() {
        return None;
    }
    // An empty array has the key undefined but is not null.
    let null = inner.intervals.has_null();
    if null && multikey {
        return None;
    }
    if !inner.exact && !null {
        return None;
    }
    // Nothing stands between undefined and null.
    let gap = Interval::new(Value::Undefined, true, Value::Null, true);
    let holes = if null {
        inner.intervals.union(Intervals::of([gap]))
    } else {
        inner.intervals
    };
    // With arrays, another item may break the condition.
    let mut outer = Bounds::new(holes.complement(), !multikey);
    outer.collation = inner.collation;
    Some(outer)
}

/// Whether an operand's comparisons are exact in an index: no array, and no end of the whole order.
fn is_plain(value: &Value) -> bool {
    !matches!(
        value,
        Value::Array(_) | Value::MinKey | Value::MaxKey | Value::Regex(_)
    )
}

fn of_compare(compare: &Compare) -> Bounds {
    of_operand(compare.op(), compare.operand(), compare.collation())
}

fn of_operand(op: CompareOp, operand: &Value, collation: Option<&Collation>) -> Bounds {
    match (collation, operand) {
        (Some(collation), Value::String(text) | Value::Symbol(text)) => {
            let mut key = Vec::new();
            collation.append_key(&mut key, text.as_ref().into());
            let mut bounds = of_plain_operand(op, &Value::String(key.into()));
            bounds.collation = Some(collation.clone());
            bounds
        }
        // The strings inside would have to be replaced; the filter finds the documents.
        (Some(_), Value::Document(_) | Value::Array(_)) => Bounds::full(false),
        _ => of_plain_operand(op, operand),
    }
}

fn of_plain_operand(op: CompareOp, operand: &Value) -> Bounds {
    match operand {
        Value::Null | Value::Undefined | Value::Missing => match op {
            CompareOp::Eq | CompareOp::Gte | CompareOp::Lte => Bounds::new(nulls(), false),
            CompareOp::Gt | CompareOp::Lt => Bounds::new(Intervals::none(), true),
        },
        Value::Array(array) => match op {
            CompareOp::Eq => Bounds::new(array_point(Doc::new(array), operand), false),
            // Single items order otherwise than the arrays they are in.
            _ => Bounds::new(Intervals::full(), false),
        },
        Value::MinKey | Value::MaxKey => {
            let interval = match op {
                CompareOp::Eq => Interval::point(operand.clone()),
                CompareOp::Gt => Interval::new(operand.clone(), false, Value::MaxKey, true),
                CompareOp::Gte => Interval::new(operand.clone(), true, Value::MaxKey, true),
                CompareOp::Lt => Interval::new(Value::MinKey, true, operand.clone(), false),
                CompareOp::Lte => Interval::new(Value::MinKey, true, operand.clone(), true),
            };
            Bounds::new(Intervals::of([interval]), op == CompareOp::Eq)
        }
        _ if is_nan(operand) => match op {
            CompareOp::Eq | CompareOp::Gte | CompareOp::Lte => {
                Bounds::new(Intervals::point(operand.clone()), true)
            }
            CompareOp::Gt | CompareOp::Lt => Bounds::new(Intervals::none(), true),
        },
        _ => {
            let all = all_of(TypeOrder::of(&operand.as_ref()));
            // A comparison finds no NaN, though NaN is below all numbers.
            let low = match all.low {
                Value::Double(_) => Value::Double(f64::NEG_INFINITY),
                low => low,
            };
            let value = operand.clone();
            let interval = match op {
                CompareOp::Eq => Interval::point(value),
                CompareOp::Gt => Interval::new(value, false, all.high, all.high_in),
                CompareOp::Gte => Interval::new(value, true, all.high, all.high_in),
                CompareOp::Lt => Interval::new(low, true, value, false),
                CompareOp::Lte => Interval::new(low, true, value, true),
            };
            Bounds::new(Intervals::of([interval]), true)
        }
    }
}

fn of_in(list: &In) -> Bounds {
    // Collected first: joining them one by one would sort them again for each.
    let mut all = Bounds::new(Intervals::none(), true);
    let mut intervals = Vec::with_capacity(list.values().len());
    for value in list.values() {
        let one = of_operand(CompareOp::Eq, value, list.collation());
        all.exact &= one.exact;
        all.missing |= one.missing;
        all.collation = all.collation.or(one.collation);
        intervals.extend(one.intervals.iter().cloned());
    }
    all.intervals = Intervals::of(intervals);
    for regex in list.regexes() {
        all = all.union(of_regex(regex));
    }
    all
}

fn of_regex(regex: &Regex) -> Bounds {
    let found = prefix::prefix(regex.pattern(), regex.options());
    let strings = match prefix::after(&found.text) {
        Some(after) => Interval::new(
            Value::string(found.text),
            true,
            Value::String(after.into()),
            false,
        ),
        None => all_of(TypeOrder::String),
    };
    // A regular expression also finds itself, stored as a value.
    let itself = Value::Regex(Box::new((
        regex.pattern().to_owned().into(),
        regex.options().to_owned().into(),
    )));
    Bounds::new(
        Intervals::of([strings, Interval::point(itself)]),
        found.exact,
    )
}

fn of_types(types: TypeSet) -> Bounds {
    if types.contains(BsonType::Array) {
        // The array itself has no key, only its items.
        return Bounds::full(false);
    }
    let intervals = ALL_TYPES
        .iter()
        .filter(|(kind, _)| types.contains(*kind))
        .map(|&(_, order)| all_of(order));
    Bounds {
        missing: false,
        ..Bounds::new(Intervals::of(intervals), false)
    }
}

/// The bounds of an `$elemMatch` with operators: all hold for one item, so they may be intersected whatever the arrays.
fn of_items(node: &Node) -> Option<Bounds> {
    let one = |node: &Node| match node {
        Node::Leaf(leaf) => of(&leaf.predicate),
        _ => None,
    };
    let mut bounds = match node {
        Node::And(nodes) => nodes.iter().filter_map(one).reduce(|found, next| {
            let common = found.clone().intersect(&next);
            common.unwrap_or(found)
        })?,
        node => one(node)?,
    };
    bounds.exact = false;
    bounds.missing = false;
    Some(bounds)
}

fn nulls() -> Intervals {
    Intervals::of([
        Interval::point(Value::Undefined),
        Interval::point(Value::Null),
    ])
}

/// The keys that documents have of which the field equals an array: one of its items (undefined, if it has none), or the
/// array itself, where it is an item.
fn array_point(array: Doc<'_>, whole: &Value) -> Intervals {
    let first = array.values().next().unwrap_or(ValueRef::Undefined);
    Intervals::of([
        Interval::point(Value::copy_of(first)),
        Interval::point(whole.clone()),
    ])
}

fn is_nan(value: &Value) -> bool {
    crate::value::Number::from_value(value.as_ref()).is_some_and(crate::value::Number::is_nan)
}

const ALL_TYPES: &[(BsonType, TypeOrder)] = &[
    (BsonType::MinKey, TypeOrder::MinKey),
    (BsonType::Undefined, TypeOrder::Undefined),
    (BsonType::Null, TypeOrder::Null),
    (BsonType::Double, TypeOrder::Number),
    (BsonType::Int32, TypeOrder::Number),
    (BsonType::Int64, TypeOrder::Number),
    (BsonType::Decimal128, TypeOrder::Number),
    (BsonType::Symbol, TypeOrder::String),
    (BsonType::String, TypeOrder::String),
    (BsonType::Document, TypeOrder::Document),
    (BsonType::Binary, TypeOrder::Binary),
    (BsonType::ObjectId, TypeOrder::ObjectId),
    (BsonType::Bool, TypeOrder::Bool),
    (BsonType::DateTime, TypeOrder::DateTime),
    (BsonType::Timestamp, TypeOrder::Timestamp),
    (BsonType::Regex, TypeOrder::Regex),
    (BsonType::DbPointer, TypeOrder::DbPointer),
    (BsonType::JavaScript, TypeOrder::JavaScript),
    (
        BsonType::JavaScriptWithScope,
        TypeOrder::JavaScriptWithScope,
    ),
    (BsonType::MaxKey, TypeOrder::MaxKey),
];

/// All values of one type's place in the order.
fn all_of(order: TypeOrder) -> Interval {
    let empty_doc = || Value::Document(Doc::EMPTY.as_bytes().into());
    let empty_array = || Value::Array(Doc::EMPTY.as_bytes().into());
    let no_bytes = bytes::Bytes::new;
    let binary = || Value::Binary {
        subtype: 0,
        bytes: no_bytes(),
    };
    let regex = || Value::Regex(Box::new((no_bytes(), no_bytes())));
    let pointer = || Value::DbPointer(Box::new((no_bytes(), [0; 12])));
    let scoped =
        || Value::JavaScriptWithScope(Box::new((no_bytes(), Doc::EMPTY.as_bytes().into())));
    let closed = |low, high| Interval::new(low, true, high, true);
    let below = |low, next| Interval::new(low, true, next, false);
    match order {
        TypeOrder::MinKey => Interval::point(Value::MinKey),
        TypeOrder::Undefined => Interval::point(Value::Undefined),
        TypeOrder::Null => Interval::point(Value::Null),
        TypeOrder::Number => closed(Value::Double(f64::NAN), Value::Double(f64::INFINITY)),
        TypeOrder::String => below(Value::String(no_bytes()), empty_doc()),
        TypeOrder::Document => below(empty_doc(), empty_array()),
        TypeOrder::Array => below(empty_array(), binary()),
        TypeOrder::Binary => below(binary(), Value::ObjectId([0; 12])),
        TypeOrder::ObjectId => closed(Value::ObjectId([0; 12]), Value::ObjectId([0xFF; 12])),
        TypeOrder::Bool => closed(Value::Bool(false), Value::Bool(true)),
        TypeOrder::DateTime => closed(Value::DateTime(i64::MIN), Value::DateTime(i64::MAX)),
        TypeOrder::Timestamp => closed(Value::Timestamp(0), Value::Timestamp(u64::MAX)),
        TypeOrder::Regex => below(regex(), pointer()),
        TypeOrder::DbPointer => below(pointer(), Value::JavaScript(no_bytes())),
        TypeOrder::JavaScript => below(Value::JavaScript(no_bytes()), scoped()),
        TypeOrder::JavaScriptWithScope => below(scoped(), Value::MaxKey),
        TypeOrder::MaxKey => Interval::point(Value::MaxKey),
    }
}
