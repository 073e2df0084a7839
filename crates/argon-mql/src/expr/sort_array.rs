//! `$sortArray`, and the first, last, largest and smallest items of an array.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Expr;
use super::node::{Call, Operator};
use super::ops::{Named, Op, required};
use super::parse::Parser;
use super::scope::{Operand, Scope};
use crate::collation::Collation;
use crate::value::{Doc, DocBuf, Element, Number, Value, ValueRef, compare_with, key};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::named("$firstN", N_OF, first_n).opaque(),
    Op::named("$lastN", N_OF, last_n).opaque(),
    Op::named("$maxN", EXTREME_N_OF, |call| extreme_n(call, true)).opaque(),
    Op::named("$minN", EXTREME_N_OF, |call| extreme_n(call, false)).opaque(),
    Op::parsed("$sortArray", SortArray::parse),
];

const N_OF: Named = Named {
    not_an_object: 5_787_801,
    unknown: 5_787_901,
    fields: &[required("n", 5_787_906), required("input", 5_787_907)],
};

const EXTREME_N_OF: Named = Named {
    not_an_object: 5_787_900,
    ..N_OF
};

/// The arguments `n` and `input`.
fn n_and_input<'s>(call: &Call<'s>) -> Result<(usize, Operand<'s>)> {
    let n = call.arg(0)?;
    let number = Number::from_value(n.as_ref()).ok_or_else(|| {
        Error::location(
            5_787_902,
            format!(
                "Value for 'n' must be of integral type, but found {}",
                n.as_ref().type_name()
            ),
        )
    })?;
    let long = super::arithmetic::to_long(number)?;
    // What is no integer may be too close to one to be told apart as a double.
    let is_integral = number.to_i64() == Some(long)
        || matches!(number, Number::Decimal(decimal) if decimal.to_f64().fract() == 0.0);
    if !is_integral {
        return Err(Error::location(
            5_787_903,
            "Value for 'n' must be of integral type",
        ));
    }
    let n = usize::try_from(long)
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| {
            Error::location(
                5_787_908,
                format!("'n' must be greater than 0, found {long}"),
            )
        })?;
    let input = call.arg(1)?;
    if input.as_array().is_none() {
        return Err(Error::location(5_788_200, "Input must be an array"));
    }
    Ok((n, input))
}

fn first_n(call: &Call<'_>) -> Result<Value> {
    let (n, input) = n_and_input(call)?;
    let items = input.as_array().unwrap_or(Doc::EMPTY);
    Ok(Value::Array(DocBuf::array(items.values().take(n))))
}

fn last_n(call: &Call<'_>) -> Result<Value> {
    let (n, input) = n_and_input(call)?;
    let items = input.as_array().unwrap_or(Doc::EMPTY);
    let skipped = items.iter().count().saturating_sub(n);
    Ok(Value::Array(DocBuf::array(items.values().skip(skipped))))
}

fn extreme_n(call: &Call<'_>, largest: bool) -> Result<Value> {
    let (n, input) = n_and_input(call)?;
    let items = input.as_array().unwrap_or(Doc::EMPTY);
    let items = items.values().filter(|item| !item.is_nullish());
    // By sortable key, then place.
    let mut kept: BTreeMap<(Vec<u8>, usize), ValueRef<'_>> = BTreeMap::new();
    for (place, item) in items.enumerate() {
        let mut sortable = Vec::new();
        key::append_with(&mut sortable, item, false, call.collation);
        if kept.len() < n {
            kept.insert((sortable, place), item);
            continue;
        }
        // Of equal items the first stay, but for those that greater ones have driven out.
        let bound = if largest {
            kept.first_entry()
        } else {
            kept.last_entry()
        };
        if let Some(bound) = bound {
            let order = sortable.cmp(&bound.key().0);
            let wins = if largest {
                order.is_gt()
            } else {
                order.is_lt()
            };
            if wins {
                bound.remove();
                kept.insert((sortable, place), item);
            }
        }
    }
    Ok(Value::Array(if largest {
        DocBuf::array(kept.values().rev().copied())
    } else {
        DocBuf::array(kept.values().copied())
    }))
}

#[derive(Debug)]
struct SortArray {
    input: Expr,
    by: By,
}

/// What items are sorted by.
#[derive(Debug)]
enum By {
    /// Their whole value.
    Whole {
        descending: bool,
        collation: Option<Arc<Collation>>,
    },
    /// Fields of theirs, each with whether it descends.
    Fields {
        fields: Vec<(Path, bool)>,
        collation: Option<Arc<Collation>>,
    },
}

impl SortArray {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let Some(doc) = operand.as_document() else {
            return Err(Error::location(
                2_942_500,
                format!(
                    "$sortArray requires an object as an argument, found: {}",
                    operand.type_name()
                ),
            ));
        };
        let (mut input, mut by) = (None, None);
        for element in doc.iter() {
            match &**element.key() {
                b"input" => input = Some(parser.parse(element.value())?),
                b"sortBy" => by = Some(By::parse(element.value(), parser)?),
                _ => {
                    return Err(Error::location(
                        2_942_501,
                        format!("$sortArray found an unknown argument: {}", element.key()),
                    ));
                }
            }
        }
        let input = input.ok_or_else(|| {
            Error::location(2_942_502, "$sortArray requires 'input' to be specified")
        })?;
        let by = by.ok_or_else(|| {
            Error::location(2_942_503, "$sortArray requires 'sortBy' to be specified")
        })?;
        Ok(Expr::operator(SortArray { input, by }))
    }
}

impl By {
    fn parse(by: ValueRef<'_>, parser: &Parser<'_>) -> Result<By> {
        if let ValueRef::Document(fields) = by {
            let invalid = || {
                Error::location(
                    2_942_505,
                    "The sort pattern must be a set of fields with 1 or -1",
                )
            };
            let field = |element: Element<'_>| {
                let path = path_of(element.key()).ok_or_else(invalid)?;
                Ok((path, direction(element.value()).ok_or_else(invalid)?))
            };
            let fields: Vec<_> = fields.iter().map(field).collect::<Result<_>>()?;
            if fields.is_empty() {
                return Err(invalid());
            }
            return Ok(By::Fields {
                fields,
                collation: parser.cx.collation.clone(),
            });
        }
        if !by.is_number() {
            return Err(Error::location(
                2_942_507,
                "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields",
            ));
        }
        match direction(by) {
            Some(descending) => Ok(By::Whole {
                descending,
                collation: parser.cx.collation.clone(),
            }),
            None => Err(Error::location(
                2_942_506,
                "The $sort element value must be either 1 or -1",
            )),
        }
    }

    fn sort(&self, items: &mut [ValueRef<'_>]) {
        match self {
            By::Whole {
                descending,
                collation,
            } => items.sort_by(|&a, &b| {
                let order = compare_with(a, b, collation.as_deref());
                if *descending { order.reverse() } else { order }
            }),
            By::Fields { fields, collation } => items.sort_by(|&a, &b| {
                let orders = fields.iter().map(|(path, descending)| {
                    let (a, b) = (field_of(a, path), field_of(b, path));
                    let order = compare_with(a, b, collation.as_deref());
                    if *descending { order.reverse() } else { order }
                });
                orders.fold(Ordering::Equal, Ordering::then)
            }),
        }
    }
}

/// A dotted path's names.
type Path = Vec<Box<[u8]>>;

/// The names in `path`, unless one is empty.
fn path_of(path: &[u8]) -> Option<Path> {
    path.split(|&byte| byte == b'.')
        .map(|name| (!name.is_empty()).then(|| name.into()))
        .collect()
}

/// The value at `path`, null if there is none. Unlike elsewhere, arrays on the way are not looked into.
fn field_of<'a>(item: ValueRef<'a>, path: &[Box<[u8]>]) -> ValueRef<'a> {
    path.iter().fold(item, |value, name| {
        let field = value.as_document().and_then(|doc| doc.get(name));
        field.unwrap_or(ValueRef::Null)
    })
}

/// Whether 1 (false) or -1 (true), of any numeric type.
fn direction(value: ValueRef<'_>) -> Option<bool> {
    match Number::from_value(value)?.to_i64()? {
        1 => Some(false),
        -1 => Some(true),
        _ => None,
    }
}

impl Operator for SortArray {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let input = self.input.operand(scope)?;
        if input.is_nullish() {
            return Ok(Operand::NULL);
        }
        let Some(items) = input.as_array() else {
            return Err(Error::location(
                2_942_504,
                format!(
                    "The input argument to $sortArray must be an array, but was of type: {}",
                    input.as_ref().type_name()
                ),
            ));
        };
        let mut items: Vec<_> = items.values().collect();
        self.by.sort(&mut items);
        Ok(Value::Array(DocBuf::array(items)).into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(&self.input);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        visit(&mut self.input)
    }
}
