//! `$push` with `$each`, `$position`, `$slice` and `$sort`.
//!
//! Source: MongoDB manual, "$push".

use std::cmp::Ordering;
use std::sync::Arc;

use bstr::ByteSlice;

use super::modifier::{Modifier, Operand, Outcome, Parsed, Place, Trail};
use crate::catalogue::Entry;
use crate::collation::Collation;
use crate::value::{Doc, DocBuf, Number, ValueRef, compare_with};
use crate::{Error, Result, Value};

/// `$push`: what is added, and what is done to the whole array afterwards.
#[derive(Debug)]
struct Push {
    values: Vec<Value>,
    position: Option<i64>,
    sort: Option<PushSort>,
    slice: Option<i64>,
    collation: Option<Arc<Collation>>,
}

/// `$sort`.
#[derive(Debug)]
enum PushSort {
    /// Items as they are.
    Whole { descending: bool },
    /// Items by fields: path and direction.
    Fields(Vec<(Vec<Vec<u8>>, bool)>),
}

pub(super) fn push(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let mut push = Push {
        values: Vec::new(),
        position: None,
        sort: None,
        slice: None,
        collation: operand.cx.collation.clone(),
    };
    match operand.value {
        ValueRef::Document(clauses) if clauses.get("$each").is_some() => {
            for clause in clauses.iter() {
                push.clause(clause.key(), clause.value())?;
            }
        }
        value => push.values.push(Value::copy_of(value)),
    }
    operand.add(push, out);
    Ok(())
}

/// The clauses beside `$each`.
const CLAUSES: &[&str] = &["$each", "$position", "$slice", "$sort"];

/// The modifiers of `$push`.
pub fn entries() -> impl Iterator<Item = Entry> {
    CLAUSES.iter().copied().map(Entry::known)
}

impl Push {
    fn clause(&mut self, name: &[u8], value: ValueRef<'_>) -> Result<()> {
        match name {
            b"$each" => match value {
                ValueRef::Array(values) => {
                    self.values = values.values().map(Value::copy_of).collect();
                }
                other => {
                    return Err(Error::bad_value(format!(
                        "The argument to $each in $push must be an array but it was of type: {}",
                        other.type_name()
                    )));
                }
            },
            b"$position" => {
                self.position = Some(integer(value).ok_or_else(|| {
                    Error::bad_value(format!(
                        "The value for $position must be an integer value, not of type: {}",
                        value.type_name()
                    ))
                })?);
            }
            b"$slice" => {
                self.slice = Some(integer(value).ok_or_else(|| {
                    Error::bad_value(format!(
                        "The value for $slice must be an integer value but was given type: {}",
                        value.type_name()
                    ))
                })?);
            }
            b"$sort" => self.sort = Some(sort(value)?),
            other => {
                return Err(Error::bad_value(format!(
                    "Unrecognized clause in $push: {}",
                    other.as_bstr()
                )));
            }
        }
        Ok(())
    }
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    Number::from_value(value)?.to_i64()
}

/// 1 or -1, of any numeric type: whether it is -1.
fn direction(value: ValueRef<'_>) -> Option<bool> {
    match integer(value)? {
        1 => Some(false),
        -1 => Some(true),
        _ => None,
    }
}

fn sort(value: ValueRef<'_>) -> Result<PushSort> {
    let pattern = match value {
        ValueRef::Document(pattern) => pattern,
        value if value.is_number() => {
            return match direction(value) {
                Some(descending) => Ok(PushSort::Whole { descending }),
                None => Err(Error::bad_value(
                    "The $sort element value must be either 1 or -1",
                )),
            };
        }
        _ => {
            return Err(Error::bad_value(
                "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields",
            ));
        }
    };
    if pattern.is_empty() {
        return Err(Error::bad_value(
            "The sort pattern is empty when it should be a set of fields.",
        ));
    }
    let mut fields = Vec::new();
    for element in pattern.iter() {
        let descending = direction(element.value())
            .ok_or_else(|| Error::bad_value("The sort element value must be either 1 or -1"))?;
        let path = element.key();
        if path.is_empty() {
            return Err(Error::bad_value("The sort field cannot be empty"));
        }
        let parts: Vec<Vec<u8>> = path.split_str(".").map(<[u8]>::to_vec).collect();
        if parts.iter().any(Vec::is_empty) {
            return Err(Error::bad_value(format!(
                "The sort field is a dotted field but has an empty part: {path}"
            )));
        }
        fields.push((parts, descending));
    }
    Ok(PushSort::Fields(fields))
}

impl Modifier for Push {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        let present = match current {
            None => Doc::EMPTY,
            Some(ValueRef::Array(items)) => items,
            Some(other) => {
                return Err(Error::bad_value(format!(
                    "The field '{}' must be an array but is of type {} in document {{{}}}",
                    trail.text(),
                    other.type_name(),
                    place.id_text()
                )));
            }
        };
        if self.position.is_none() && self.sort.is_none() && self.slice.is_none() {
            if current.is_none() {
                let array = DocBuf::array(self.values.iter().map(Value::as_ref));
                return Ok(Outcome::Build(Value::Array(array)));
            }
            return Ok(Outcome::Extend(present, &self.values));
        }
        let mut items: Vec<ValueRef<'v>> = present.values().collect();
        let len = items.len();
        let at = insertion(self.position, len);
        items.splice(at..at, self.values.iter().map(Value::as_ref));
        let mut changed = current.is_none() || !self.values.is_empty();
        if let Some(sort) = &self.sort {
            changed |= !items.is_empty();
            self.sort(sort, &mut items);
        }
        if let Some(slice) = self.slice {
            let before = items.len();
            let keep = usize::try_from(slice.unsigned_abs()).unwrap_or(usize::MAX);
            if slice >= 0 {
                items.truncate(keep);
            } else {
                items.drain(..before.saturating_sub(keep));
            }
            changed |= items.len() < before;
        }
        Ok(if changed {
            Outcome::Force(Value::Array(DocBuf::array(items)))
        } else {
            Outcome::Keep
        })
    }
}

/// Where new items go in an array of `len`: a negative position counts from the end.
fn insertion(position: Option<i64>, len: usize) -> usize {
    let Some(position) = position else { return len };
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position >= 0 {
        distance.min(len)
    } else {
        len.saturating_sub(distance)
    }
}

impl Push {
    fn sort(&self, sort: &PushSort, items: &mut Vec<ValueRef<'_>>) {
        let collation = self.collation.as_deref();
        match sort {
            PushSort::Whole { descending } => items.sort_by(|a, b| {
                let order = compare_with(*a, *b, collation);
                if *descending { order.reverse() } else { order }
            }),
            PushSort::Fields(fields) => {
                let mut keyed: Vec<(Vec<ValueRef<'_>>, ValueRef<'_>)> = std::mem::take(items)
                    .into_iter()
                    .map(|item| {
                        let key = |(path, _): &(Vec<Vec<u8>>, bool)| sort_key(item, path);
                        (fields.iter().map(key).collect(), item)
                    })
                    .collect();
                keyed.sort_by(|(a, _), (b, _)| {
                    let pairs = a.iter().zip(b).zip(fields);
                    pairs.fold(Ordering::Equal, |order, ((a, b), (_, descending))| {
                        order.then_with(|| {
                            let order = compare_with(*a, *b, collation);
                            if *descending { order.reverse() } else { order }
                        })
                    })
                });
                items.extend(keyed.into_iter().map(|(_, item)| item));
            }
        }
    }
}

/// What `item` sorts by at `path`: an array counts as a whole, a missing value as null.
fn sort_key<'d>(item: ValueRef<'d>, path: &[Vec<u8>]) -> ValueRef<'d> {
    let step = |value: ValueRef<'d>, name: &Vec<u8>| match value {
        ValueRef::Document(doc) | ValueRef::Array(doc) => doc.get(name),
        _ => None,
    };
    let value = match item {
        ValueRef::Document(_) => path.iter().try_fold(item, step),
        _ => None,
    };
    value.unwrap_or(ValueRef::Null)
}
