//! Array operators: `$addToSet`, `$pop`, `$pull`, `$pullAll`.
//!
//! Source: MongoDB manual, "Array Update Operators".

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::array_filter::refuse_outside_queries;
use super::modifier::{Blocked, Modifier, Operand, Outcome, Parsed, Place, Trail};
use super::walk::{check_interrupt, copy_range};
use crate::collation::Collation;
use crate::value::{Doc, DocBuf, Number, ValueRef, equal_with, key};
use crate::{Env, Error, Filter, Result, Value};

/// Values of which it is asked whether others are among them. Few are compared one by one, many by their keys.
#[derive(Debug)]
struct Values {
    values: Vec<Value>,
    collation: Option<Arc<Collation>>,
    /// Where the values stand, by key, if they are many.
    by_key: HashMap<Vec<u8>, usize>,
}

/// Most values that are compared one by one.
const FEW_MAX: usize = 8;

impl Values {
    /// The `values`, of equal ones the first.
    fn new<'v>(
        values: impl Iterator<Item = ValueRef<'v>>,
        collation: Option<Arc<Collation>>,
    ) -> Values {
        let mut set = Values {
            values: Vec::new(),
            collation,
            by_key: HashMap::new(),
        };
        for value in values {
            if set.find(value).is_some() {
                continue;
            }
            set.values.push(Value::copy_of(value));
            if set.values.len() == FEW_MAX + 1 {
                let keys = set.values.iter().map(|value| set.key(value.as_ref()));
                set.by_key = keys.enumerate().map(|(at, key)| (key, at)).collect();
            } else if set.values.len() > FEW_MAX {
                let key = set.key(value);
                set.by_key.insert(key, set.values.len() - 1);
            }
        }
        set
    }

    /// The position of the value that equals `value`.
    fn find(&self, value: ValueRef<'_>) -> Option<usize> {
        if self.values.len() > FEW_MAX {
            return self.by_key.get(&self.key(value)).copied();
        }
        let collation = self.collation.as_deref();
        let equals = |known: &Value| equal_with(known.as_ref(), value, collation);
        self.values.iter().position(equals)
    }

    fn key(&self, value: ValueRef<'_>) -> Vec<u8> {
        let mut key = Vec::with_capacity(16);
        key::append_with(&mut key, value, false, self.collation.as_deref());
        key
    }
}

/// `$addToSet`.
#[derive(Debug)]
struct AddToSet(Values);

pub(super) fn add_to_set(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let collation = operand.cx.collation.clone();
    let each = match operand.value {
        ValueRef::Document(spec) => spec.iter().next().filter(|first| first.key() == "$each"),
        _ => None,
    };
    let values = match each.map(|each| each.value()) {
        None => Values::new(std::iter::once(operand.value), collation),
        Some(ValueRef::Array(each)) => {
            let spec = operand.value.as_document().unwrap_or(Doc::EMPTY);
            if spec.iter().nth(1).is_some() {
                return Err(Error::bad_value(format!(
                    "Found unexpected fields after $each in $addToSet: {}",
                    super::show::value(operand.value)
                )));
            }
            Values::new(each.values(), collation)
        }
        Some(other) => {
            return Err(Error::type_mismatch(format!(
                "The argument to $each in $addToSet must be an array but it was of type {}",
                other.type_name()
            )));
        }
    };
    operand.add(AddToSet(values), out);
    Ok(())
}

impl Modifier for AddToSet {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        _place: &Place<'v>,
        trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        let values = &self.0.values;
        let items = match current {
            None => {
                let array = DocBuf::array(values.iter().map(Value::as_ref));
                return Ok(Outcome::Build(Value::Array(array)));
            }
            Some(ValueRef::Array(items)) => items,
            Some(other) => {
                return Err(Error::bad_value(format!(
                    "Cannot apply $addToSet to non-array field. Field named '{}' has non-array type {}",
                    trail.field(),
                    other.type_name()
                )));
            }
        };
        let mut absent: SmallVec<[bool; 16]> = SmallVec::from_elem(true, values.len());
        let mut left = values.len();
        for item in items.values() {
            if let Some(at) = self.0.find(item)
                && std::mem::replace(&mut absent[at], false)
            {
                left -= 1;
                if left == 0 {
                    return Ok(Outcome::Keep);
                }
            }
        }
        if left == values.len() {
            return Ok(Outcome::Extend(items, values));
        }
        let added = values.iter().zip(absent).filter(|(_, absent)| *absent);
        let added = added.map(|(value, _)| value.as_ref());
        let array = DocBuf::array(items.values().chain(added));
        Ok(Outcome::Build(Value::Array(array)))
    }
}

/// `$pop`.
#[derive(Debug)]
enum Pop {
    First,
    Last,
}

pub(super) fn pop(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let Some(number) = Number::from_value(operand.value) else {
        return Err(Error::failed_to_parse(format!(
            "Expected a number in: {}",
            operand.text()
        )));
    };
    let end = match number.to_i64() {
        Some(1) => Pop::Last,
        Some(-1) => Pop::First,
        Some(other) => {
            return Err(Error::failed_to_parse(format!(
                "$pop expects 1 or -1, found: {other}"
            )));
        }
        None => {
            let problem = if number.is_nan() {
                "Expected an integer, but found NaN in"
            } else if number.to_f64().fract() == 0.0 || !number.is_finite() {
                "Cannot represent as a 64-bit integer"
            } else {
                "Expected an integer"
            };
            return Err(Error::failed_to_parse(format!(
                "{problem}: {}",
                operand.text()
            )));
        }
    };
    operand.add(end, out);
    Ok(())
}

impl Modifier for Pop {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        _place: &Place<'v>,
        trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        let items = match current {
            None => return Ok(Outcome::Keep),
            Some(ValueRef::Array(items)) => items,
            Some(other) => {
                return Err(Error::type_mismatch(format!(
                    "Path '{}' contains an element of non-array type '{}'",
                    trail.text(),
                    other.type_name()
                )));
            }
        };
        let len = items.iter().count();
        if len == 0 {
            return Ok(Outcome::Keep);
        }
        let skip = usize::from(matches!(self, Pop::First));
        let array = DocBuf::array(items.values().skip(skip).take(len - 1));
        Ok(Outcome::Build(Value::Array(array)))
    }

    fn creates(&self, _place: &Place<'_>) -> bool {
        false
    }

    fn blocked(&self, _place: &Place<'_>) -> Result<Blocked> {
        Ok(Blocked::CannotTraverse)
    }
}

/// `$pull`: which items go.
#[derive(Debug)]
enum Pull {
    /// Documents that a filter takes.
    Documents(Filter),
    /// Items that a filter takes as the field [`ITEM`] of a document.
    Items(Filter),
    /// Items that equal a value.
    Equal(Value, Option<Arc<Collation>>),
}

/// The field under which an item stands that a filter on items is about.
const ITEM: &str = "item";

pub(super) fn pull(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let pull = match operand.value {
        ValueRef::Document(condition) if !is_about_items(condition) => {
            refuse_outside_queries(condition)?;
            Pull::Documents(Filter::parse(condition, operand.cx)?)
        }
        ValueRef::Document(_) | ValueRef::Regex { .. } => {
            let mut filter = DocBuf::new();
            filter.append(ITEM, operand.value);
            Pull::Items(Filter::parse(Doc::new(&filter.finish()), operand.cx)?)
        }
        value => Pull::Equal(Value::copy_of(value), operand.cx.collation.clone()),
    };
    operand.add(pull, out);
    Ok(())
}

/// Whether a condition is operators on the items themselves (`{$gt: 1}`), not on their fields.
fn is_about_items(condition: Doc<'_>) -> bool {
    const OF_ITEMS: &[&[u8]] = &[
        b"$all",
        b"$bitsAllClear",
        b"$bitsAllSet",
        b"$bitsAnyClear",
        b"$bitsAnySet",
        b"$elemMatch",
        b"$eq",
        b"$exists",
        b"$geoIntersects",
        b"$geoWithin",
        b"$gt",
        b"$gte",
        b"$in",
        b"$lt",
        b"$lte",
        b"$mod",
        b"$ne",
        b"$near",
        b"$nearSphere",
        b"$nin",
        b"$options",
        b"$regex",
        b"$size",
        b"$type",
        b"$within",
    ];
    let first = condition.iter().next();
    first.is_some_and(|first| OF_ITEMS.contains(&&**first.key()))
}

impl Modifier for Pull {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        without(current, place.env, |item| match self {
            Pull::Documents(filter) => match item {
                ValueRef::Document(doc) => {
                    filter.matches(&Bytes::copy_from_slice(doc.as_bytes()), place.env)
                }
                _ => Ok(false),
            },
            Pull::Items(filter) => {
                let mut doc = DocBuf::new();
                doc.append(ITEM, item);
                filter.matches(&doc.finish(), place.env)
            }
            Pull::Equal(value, collation) => {
                Ok(equal_with(item, value.as_ref(), collation.as_deref()))
            }
        })
    }

    fn creates(&self, _place: &Place<'_>) -> bool {
        false
    }

    fn blocked(&self, _place: &Place<'_>) -> Result<Blocked> {
        Ok(Blocked::CannotTraverse)
    }
}

/// `$pullAll`.
#[derive(Debug)]
struct PullAll(Values);

pub(super) fn pull_all(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let ValueRef::Array(values) = operand.value else {
        return Err(Error::bad_value(format!(
            "$pullAll requires an array argument but was given a {}",
            operand.value.type_name()
        )));
    };
    let values = Values::new(values.values(), operand.cx.collation.clone());
    operand.add(PullAll(values), out);
    Ok(())
}

impl Modifier for PullAll {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        without(current, place.env, |item| Ok(self.0.find(item).is_some()))
    }

    fn creates(&self, _place: &Place<'_>) -> bool {
        false
    }

    fn blocked(&self, _place: &Place<'_>) -> Result<Blocked> {
        Ok(Blocked::CannotTraverse)
    }
}

/// The array `current` without the items that `pulled` takes.
fn without<'v>(
    current: Option<ValueRef<'v>>,
    env: &Env<'_>,
    mut pulled: impl FnMut(ValueRef<'v>) -> Result<bool>,
) -> Result<Outcome<'v>> {
    let items = match current {
        None => return Ok(Outcome::Keep),
        Some(ValueRef::Array(items)) => items,
        Some(_) => return Err(Error::bad_value("Cannot apply $pull to a non-array value")),
    };
    let mut rest = items.iter();
    let mut kept = 0;
    let mut end = 4;
    // What stands before the first item that goes is copied as it is: the keys stay the same.
    for item in rest.by_ref() {
        if pulled(item.value())? {
            let mut out = DocBuf::with_capacity(items.byte_len());
            copy_range(items, 4, end, &mut out);
            for (at, item) in rest.enumerate() {
                check_interrupt(at, env)?;
                if !pulled(item.value())? {
                    out.push(kept, item.value());
                    kept += 1;
                }
            }
            return Ok(Outcome::Build(Value::Array(out.finish())));
        }
        check_interrupt(kept, env)?;
        kept += 1;
        end += item.raw().len();
    }
    Ok(Outcome::Keep)
}
