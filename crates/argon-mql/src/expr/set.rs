//! Set operators: arrays whose order and repetitions do not count.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::node::Call;
use super::ops::{ARGS_MAX, Fold, Op};
use super::scope::truthy;
use super::{Expr, Operand};
use crate::collation::Collation;
use crate::value::{Doc, DocBuf, Value, ValueRef, compare_with};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::function("$allElementsTrue", 1..=1, all_elements_true),
    Op::function("$anyElementTrue", 1..=1, any_element_true),
    Op::function("$setDifference", 2..=2, set_difference),
    Op::at_least_two("$setEquals", 17045, set_equals).checked_each(check_set_equals),
    Op::folding(
        "$setIntersection",
        0..=ARGS_MAX,
        set_intersection,
        Fold::All,
    ),
    Op::function("$setIsSubset", 2..=2, set_is_subset).checked(check_set_is_subset),
    Op::folding("$setUnion", 0..=ARGS_MAX, set_union, Fold::All),
];

/// A value in MongoDB's order.
struct Item<'a> {
    value: ValueRef<'a>,
    collation: Option<&'a Collation>,
}

impl Ord for Item<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_with(self.value, other.value, self.collation)
    }
}

impl PartialOrd for Item<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Item<'_> {}

/// The items of `array` without repetitions; of equal ones the first.
fn set_of<'a>(array: Doc<'a>, collation: Option<&'a Collation>) -> BTreeSet<Item<'a>> {
    // Collecting would keep the last.
    let mut set = BTreeSet::new();
    set.extend(items(array, collation));
    set
}

fn items<'a>(array: Doc<'a>, collation: Option<&'a Collation>) -> impl Iterator<Item = Item<'a>> {
    array.values().map(move |value| Item { value, collation })
}

fn array_of<'v>(
    arg: &'v Operand<'_>,
    code: i32,
    text: impl FnOnce(&str) -> String,
) -> Result<Doc<'v>> {
    arg.as_array()
        .ok_or_else(|| Error::location(code, text(arg.as_ref().type_name())))
}

fn all_elements_true(call: &Call<'_>) -> Result<Value> {
    let arg = call.arg(0)?;
    let array = truth_of(call, &arg, 17040)?;
    Ok(Value::Bool(array.values().all(truthy)))
}

fn any_element_true(call: &Call<'_>) -> Result<Value> {
    let arg = call.arg(0)?;
    let array = truth_of(call, &arg, 17041)?;
    Ok(Value::Bool(array.values().any(truthy)))
}

fn truth_of<'v>(call: &Call<'_>, arg: &'v Operand<'_>, code: i32) -> Result<Doc<'v>> {
    array_of(arg, code, |found| {
        format!("{}'s argument must be an array, but is {found}", call.name)
    })
}

fn both<'v>(name: &str, arg: &'v Operand<'_>, code: i32, which: &str) -> Result<Doc<'v>> {
    array_of(arg, code, |found| {
        format!("both operands of {name} must be arrays. {which} argument is of type: {found}")
    })
}

fn all_of<'v>(call: &Call<'_>, arg: &'v Operand<'_>, code: i32) -> Result<Doc<'v>> {
    array_of(arg, code, |found| {
        format!(
            "All operands of {} must be arrays. One argument is of type: {found}",
            call.name
        )
    })
}

fn set_difference(call: &Call<'_>) -> Result<Value> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    if a.is_nullish() || b.is_nullish() {
        return Ok(Value::Null);
    }
    let left = both(call.name, &a, 17048, "First")?;
    let right = both(call.name, &b, 17049, "Second")?;
    // What was seen, or is not wanted.
    let mut seen = set_of(right, call.collation);
    let mut out = DocBuf::new();
    let mut count = 0;
    for item in items(left, call.collation) {
        let value = item.value;
        if seen.insert(item) {
            out.push(count, value);
            count += 1;
        }
    }
    Ok(Value::Array(out.finish()))
}

/// Constants are checked ahead of the documents, with a code of their own.
fn check_set_equals(args: &[Expr]) -> Result<()> {
    for (index, arg) in args.iter().enumerate() {
        if let Some(value) = arg.as_constant() {
            set_operand(&Operand::Known(value), index, 5_887_502)?;
        }
    }
    Ok(())
}

fn set_equals(call: &Call<'_>) -> Result<Value> {
    let constant = call.args.iter().all(Expr::is_constant);
    let code = if constant { 5_887_502 } else { 17044 };
    let first = call.arg(0)?;
    let first = set_of(set_operand(&first, 0, code)?, call.collation);
    for index in 1..call.len() {
        let arg = call.arg(index)?;
        if set_of(set_operand(&arg, index, code)?, call.collation) != first {
            // What follows is not even evaluated.
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn set_operand<'v>(arg: &'v Operand<'_>, index: usize, code: i32) -> Result<Doc<'v>> {
    array_of(arg, code, |found| {
        format!(
            "All operands of $setEquals must be arrays. {}-th argument is of type: {found}",
            index + 1
        )
    })
}

fn set_intersection(call: &Call<'_>) -> Result<Value> {
    let mut result: Option<Vec<Value>> = None;
    for index in 0..call.len() {
        let arg = call.arg(index)?;
        if arg.is_nullish() {
            return Ok(Value::Null);
        }
        let array = all_of(call, &arg, 17047)?;
        let set = set_of(array, call.collation);
        let collation = call.collation;
        result = Some(match result {
            None => set.iter().map(|item| arg.part(item.value)).collect(),
            // Of equal values, that of the smaller set stays.
            Some(result) if set.len() < result.len() => {
                let kept = result.iter().map(|value| Item {
                    value: value.as_ref(),
                    collation,
                });
                let kept: BTreeSet<_> = kept.collect();
                let common = set.iter().filter(|item| kept.contains(item));
                common.map(|item| arg.part(item.value)).collect()
            }
            Some(mut result) => {
                result.retain(|value| {
                    set.contains(&Item {
                        value: value.as_ref(),
                        collation,
                    })
                });
                result
            }
        });
    }
    let values = result.unwrap_or_default();
    Ok(Value::Array(DocBuf::array(
        values.iter().map(Value::as_ref),
    )))
}

/// mongod has codes of its own for a subset of a constant.
fn check_set_is_subset(args: &[Expr]) -> Result<()> {
    if let Some(value) = args.get(1).and_then(Expr::as_constant) {
        both("$setIsSubset", &Operand::Known(value), 17311, "Second")?;
    }
    Ok(())
}

fn set_is_subset(call: &Call<'_>) -> Result<Value> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    let codes = if call.args[1].is_constant() && !call.args[0].is_constant() {
        (17310, 17311)
    } else {
        (17046, 17042)
    };
    let left = both(call.name, &a, codes.0, "First")?;
    let right = both(call.name, &b, codes.1, "Second")?;
    let right = set_of(right, call.collation);
    Ok(Value::Bool(
        items(left, call.collation).all(|item| right.contains(&item)),
    ))
}

fn set_union(call: &Call<'_>) -> Result<Value> {
    let mut all = Vec::with_capacity(call.len());
    for index in 0..call.len() {
        let arg = call.arg(index)?;
        if arg.is_nullish() {
            return Ok(Value::Null);
        }
        all_of(call, &arg, 17043)?;
        all.push(arg);
    }
    let mut union = BTreeSet::new();
    for array in all.iter().filter_map(Operand::as_array) {
        union.extend(items(array, call.collation));
    }
    Ok(Value::Array(DocBuf::array(
        union.iter().map(|item| item.value),
    )))
}
