//! Comparison: `$eq`, `$gt`, `$gte`, `$in`, `$lt`, `$lte`, `$ne`, `$nin`.
//!
//! Values of different types are incomparable here, unlike in a sort: `{$gt: 5}` finds numbers only. Numbers of all
//! types compare by what they are worth. Null stands for missing and undefined too; MinKey and MaxKey compare with
//! everything.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::collation::Collation;
use crate::regex::Regex;
use crate::value::{self, Number, Value, ValueRef};
use crate::{Error, Result};

use super::parse::{FieldOp, Operand, is_operator_document};
use super::tree::{Node, Predicate};

pub(super) const OPS: &[FieldOp] = &[
    FieldOp::new("$eq", |operand| compare(CompareOp::Eq, operand)),
    FieldOp::new("$gt", |operand| compare(CompareOp::Gt, operand)),
    FieldOp::new("$gte", |operand| compare(CompareOp::Gte, operand)),
    FieldOp::new("$in", in_),
    FieldOp::new("$lt", |operand| compare(CompareOp::Lt, operand)),
    FieldOp::new("$lte", |operand| compare(CompareOp::Lte, operand)),
    FieldOp::new("$ne", ne),
    FieldOp::new("$nin", |operand| Ok(Node::not(in_(operand)?))),
];

/// Which way to compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are the operators'")]
pub enum CompareOp {
    Eq,
    Gt,
    Gte,
    Lt,
    Lte,
}

impl CompareOp {
    /// Whether a value that compares as `ordering` with the operand passes.
    #[inline]
    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            CompareOp::Eq => ordering.is_eq(),
            CompareOp::Gt => ordering.is_gt(),
            CompareOp::Gte => ordering.is_ge(),
            CompareOp::Lt => ordering.is_lt(),
            CompareOp::Lte => ordering.is_le(),
        }
    }

    /// Whether equal values pass.
    fn accepts_equal(self) -> bool {
        self.accepts(Ordering::Equal)
    }
}

/// A comparison with one value.
#[derive(Clone, Debug)]
pub struct Compare {
    op: CompareOp,
    operand: Value,
    /// How strings in the operand compare; none if by bytes, or if there cannot be any.
    collation: Option<Arc<Collation>>,
}

impl Compare {
    /// Compares with `operand`, strings by bytes.
    pub fn new(op: CompareOp, operand: Value) -> Compare {
        Compare::with_collation(op, operand, None)
    }

    /// Compares with `operand`, strings by `collation`.
    pub fn with_collation(
        op: CompareOp,
        operand: Value,
        collation: Option<&Arc<Collation>>,
    ) -> Compare {
        Compare {
            op,
            collation: collation.filter(|_| may_hold_strings(&operand)).cloned(),
            operand,
        }
    }

    pub(super) fn shared_collation(&self) -> Option<&Arc<Collation>> {
        self.collation.as_ref()
    }

    /// How strings compare, if the operand can hold any and not by bytes.
    pub fn collation(&self) -> Option<&Collation> {
        self.collation.as_deref()
    }

    /// Which way.
    pub fn op(&self) -> CompareOp {
        self.op
    }

    /// With what.
    pub fn operand(&self) -> &Value {
        &self.operand
    }

    #[inline]
    pub(super) fn test(&self, value: ValueRef<'_>) -> bool {
        // The pairs that nearly all documents have; everything else goes the long way.
        let ordering = match (value, &self.operand) {
            (ValueRef::Int32(a), Value::Int32(b)) => a.cmp(b),
            (ValueRef::Int64(a), Value::Int64(b)) => a.cmp(b),
            (ValueRef::Int32(a), Value::Int64(b)) => i64::from(a).cmp(b),
            (ValueRef::Int64(a), Value::Int32(b)) => a.cmp(&i64::from(*b)),
            (ValueRef::DateTime(a), Value::DateTime(b)) => a.cmp(b),
            (ValueRef::ObjectId(a), Value::ObjectId(b)) => a.cmp(b),
            (ValueRef::String(a), Value::String(b)) if self.collation.is_none() => {
                if self.op == CompareOp::Eq {
                    return *a == **b;
                }
                (**a).cmp(&**b)
            }
            (ValueRef::Double(a), Value::Double(b)) => match a.partial_cmp(b) {
                Some(ordering) => ordering,
                None => return self.test_slowly(value),
            },
            (ValueRef::Double(a), Value::Int32(b)) => match a.partial_cmp(&f64::from(*b)) {
                Some(ordering) => ordering,
                None => return false,
            },
            (ValueRef::Int32(a), Value::Double(b)) => match f64::from(a).partial_cmp(b) {
                Some(ordering) => ordering,
                None => return false,
            },
            _ => return self.test_slowly(value),
        };
        self.op.accepts(ordering)
    }

    fn test_slowly(&self, value: ValueRef<'_>) -> bool {
        let operand = self.operand.as_ref();
        match operand {
            ValueRef::Null => return value.is_nullish() && self.op.accepts_equal(),
            ValueRef::MinKey | ValueRef::MaxKey => {}
            _ if !value::comparable(value, operand) => return false,
            _ if is_nan(value) || is_nan(operand) => {
                return self.op.accepts_equal() && is_nan(value) && is_nan(operand);
            }
            _ => {}
        }
        self.op
            .accepts(value::compare_with(value, operand, self.collation()))
    }
}

/// `$in`: equality with one of many values, or a match of one of some regular expressions.
#[derive(Clone, Debug)]
pub struct In {
    /// Sorted, without duplicates.
    values: Vec<Value>,
    regexes: Vec<Regex>,
    has_null: bool,
    collation: Option<Arc<Collation>>,
}

impl In {
    /// Tests for one of `values`, strings compared by bytes, or a match of `regexes`.
    pub fn new(values: Vec<Value>, regexes: Vec<Regex>) -> In {
        In::with_collation(values, regexes, None)
    }

    /// Tests for one of `values`, strings compared by `collation`, or a match of `regexes`.
    pub fn with_collation(
        mut values: Vec<Value>,
        regexes: Vec<Regex>,
        collation: Option<&Arc<Collation>>,
    ) -> In {
        let collation = collation.filter(|_| values.iter().any(may_hold_strings));
        let order = |a: &Value, b: &Value| {
            value::compare_with(a.as_ref(), b.as_ref(), collation.map(|arc| &**arc))
        };
        values.sort_by(order);
        values.dedup_by(|a, b| order(a, b).is_eq());
        In {
            has_null: values.iter().any(|v| matches!(v, Value::Null)),
            collation: collation.cloned(),
            values,
            regexes,
        }
    }

    /// How strings compare, if there can be any and not by bytes.
    pub fn collation(&self) -> Option<&Collation> {
        self.collation.as_deref()
    }

    /// The values, sorted, without duplicates.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The regular expressions.
    pub fn regexes(&self) -> &[Regex] {
        &self.regexes
    }

    pub(super) fn test(&self, value: ValueRef<'_>) -> bool {
        if self.has_null && value.is_nullish() {
            return true;
        }
        if !matches!(value, ValueRef::Missing | ValueRef::Undefined)
            && self
                .values
                .binary_search_by(|probe| {
                    value::compare_with(probe.as_ref(), value, self.collation())
                })
                .is_ok()
        {
            return true;
        }
        self.regexes.iter().any(|regex| regex_test(regex, value))
    }
}

/// Whether a comparison with `value` can come down to one of strings.
fn may_hold_strings(value: &Value) -> bool {
    matches!(
        value,
        Value::String(_) | Value::Symbol(_) | Value::Document(_) | Value::Array(_)
    )
}

/// Whether `value` is a string that `regex` matches, or the same regular expression.
#[inline]
pub(super) fn regex_test(regex: &Regex, value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::String(text) | ValueRef::Symbol(text) => regex.is_match(text),
        ValueRef::Regex { pattern, options } => {
            *pattern == regex.pattern() && *options == regex.options()
        }
        _ => false,
    }
}

fn is_nan(value: ValueRef<'_>) -> bool {
    Number::from_value(value).is_some_and(Number::is_nan)
}

pub(super) fn compare(op: CompareOp, operand: &Operand<'_>) -> Result<Node> {
    if matches!(operand.value, ValueRef::Undefined) {
        return Err(Error::bad_value("cannot compare to undefined"));
    }
    if op != CompareOp::Eq && matches!(operand.value, ValueRef::Regex { .. }) {
        return Err(Error::bad_value(format!(
            "Can't have RegEx as arg to predicate over field '{}'.",
            operand.path
        )));
    }
    let value = Value::copy_of(operand.value);
    let compare = Compare::with_collation(op, value, operand.parser.cx.collation.as_ref());
    Ok(operand.leaf(Predicate::Compare(compare)))
}

fn ne(operand: &Operand<'_>) -> Result<Node> {
    if matches!(operand.value, ValueRef::Regex { .. }) {
        return Err(Error::bad_value("Can't have regex as arg to $ne."));
    }
    Ok(Node::not(compare(CompareOp::Eq, operand)?))
}

fn in_(operand: &Operand<'_>) -> Result<Node> {
    let Some(array) = operand.value.as_array() else {
        return Err(Error::bad_value(format!("{} needs an array", operand.name)));
    };
    let mut values = Vec::new();
    let mut regexes = Vec::new();
    for item in array.values() {
        match item {
            ValueRef::Regex { pattern, options } => regexes.push(Regex::new(pattern, options)?),
            ValueRef::Undefined => {
                return Err(Error::bad_value(
                    "InMatchExpression equality cannot be undefined",
                ));
            }
            ValueRef::Document(doc) if is_operator_document(doc) => {
                return Err(Error::bad_value("cannot nest $ under $in"));
            }
            _ => values.push(Value::copy_of(item)),
        }
    }
    // One of one is equality.
    match (values.len(), regexes.len()) {
        (1, 0) => {
            let value = values.remove(0);
            let compare =
                Compare::with_collation(CompareOp::Eq, value, operand.parser.cx.collation.as_ref());
            return Ok(operand.leaf(Predicate::Compare(compare)));
        }
        (0, 1) => return Ok(operand.leaf(Predicate::Regex(Box::new(regexes.remove(0))))),
        _ => {}
    }
    let values = In::with_collation(values, regexes, operand.parser.cx.collation.as_ref());
    Ok(operand.leaf(Predicate::In(values)))
}
