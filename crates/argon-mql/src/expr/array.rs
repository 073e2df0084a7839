//! Array operators that evaluate all their arguments; [`iterate`](super::iterate) has those that evaluate per item.

use super::limit::check_bytes;
use super::node::Call;
use super::ops::{ARGS_MAX, Fold, Op};
use super::string::{index_range, int, wrong_type};
use super::{Expr, Operand};
use crate::value::{Doc, DocBuf, Number, Value, ValueRef, equal_with};
use crate::{Error, ErrorCode, Result};

pub(super) const OPS: &[Op] = &[
    Op::function("$arrayElemAt", 2..=2, array_elem_at),
    Op::folding(
        "$concatArrays",
        0..=ARGS_MAX,
        concat_arrays,
        Fold::Neighbours,
    ),
    Op::function("$first", 1..=1, first),
    Op::function("$in", 2..=2, in_),
    Op::function("$indexOfArray", 2..=4, index_of_array).checked(check_index_of_array),
    Op::function("$isArray", 1..=1, is_array),
    Op::function("$last", 1..=1, last),
    Op::function("$range", 2..=3, range),
    Op::function("$reverseArray", 1..=1, reverse_array),
    Op::function("$size", 1..=1, size),
    Op::function("$slice", 2..=3, slice),
];

/// The item at `index`, from the end if negative.
fn item_at<'a>(array: Doc<'a>, index: i64) -> Option<ValueRef<'a>> {
    match usize::try_from(index) {
        Ok(index) => array.values().nth(index),
        Err(_) => {
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            let count = array.iter().count();
            array.values().nth(count.checked_sub(from_end)?)
        }
    }
}

fn array_elem_at(call: &Call<'_>) -> Result<Value> {
    let (array, index) = (call.arg(0)?, call.arg(1)?);
    if array.is_nullish() || index.is_nullish() {
        return Ok(Value::Null);
    }
    let items = first_array(call, &array)?;
    let number = Number::from_value(index.as_ref()).ok_or_else(|| {
        Error::location(
            28690,
            format!(
                "{}'s second argument must be a numeric value, but is {}",
                call.name,
                index.as_ref().type_name()
            ),
        )
    })?;
    let index = to_i32(number).ok_or_else(|| {
        Error::location(
            28691,
            format!(
                "{}'s second argument must be representable as a 32-bit integer",
                call.name
            ),
        )
    })?;
    Ok(item_at(items, index.into()).map_or(Value::Missing, |item| array.part(item)))
}

/// The number as an int, if it is exactly one.
pub(super) fn to_i32(number: Number) -> Option<i32> {
    number.to_i64().and_then(|value| i32::try_from(value).ok())
}

fn first_array<'v>(call: &Call<'_>, array: &'v Operand<'_>) -> Result<Doc<'v>> {
    array.as_array().ok_or_else(|| {
        Error::location(
            28689,
            format!(
                "{}'s argument must be an array, but is {}",
                call.name,
                array.as_ref().type_name()
            ),
        )
    })
}

fn first(call: &Call<'_>) -> Result<Value> {
    end(call, 0)
}

fn last(call: &Call<'_>) -> Result<Value> {
    end(call, -1)
}

fn end(call: &Call<'_>, index: i64) -> Result<Value> {
    let array = call.arg(0)?;
    if array.is_nullish() {
        return Ok(Value::Null);
    }
    let items = first_array(call, &array)?;
    Ok(item_at(items, index).map_or(Value::Missing, |item| array.part(item)))
}

fn concat_arrays(call: &Call<'_>) -> Result<Value> {
    let mut out = DocBuf::new();
    let mut count = 0;
    for index in 0..call.len() {
        let arg = call.arg(index)?;
        match arg.as_ref() {
            ValueRef::Array(array) => {
                for item in array.values() {
                    out.push(count, item);
                    count += 1;
                }
            }
            value if value.is_nullish() => return Ok(Value::Null),
            other => return Err(wrong_type(call, 28664, "only supports arrays", other)),
        }
        check_bytes(out.byte_len())?;
    }
    Ok(Value::Array(out.finish()))
}

fn in_(call: &Call<'_>) -> Result<Value> {
    let (item, array) = (call.arg(0)?, call.arg(1)?);
    let Some(items) = array.as_array() else {
        return Err(Error::location(
            40081,
            format!(
                "$in requires an array as a second argument, found: {}",
                array.as_ref().type_name()
            ),
        ));
    };
    let item = item.as_ref();
    Ok(Value::Bool(items.values().any(|candidate| {
        equal_with(item, candidate, call.collation)
    })))
}

/// mongod has a code of its own for a search in a constant.
fn check_index_of_array(args: &[Expr]) -> Result<()> {
    match args.first().and_then(Expr::as_constant).map(Value::as_ref) {
        Some(value) if !value.is_nullish() && value.as_array().is_none() => Err(Error::location(
            50809,
            format!(
                "First operand of $indexOfArray must be an array. First argument is of type: {}",
                value.type_name()
            ),
        )),
        _ => Ok(()),
    }
}

fn index_of_array(call: &Call<'_>) -> Result<Value> {
    let array = call.arg(0)?;
    if array.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(items) = array.as_array() else {
        return Err(Error::location(
            40090,
            format!(
                "$indexOfArray requires an array as a first argument, found: {}",
                array.as_ref().type_name()
            ),
        ));
    };
    let (from, to) = index_range(call, 2)?;
    let item = call.arg(1)?;
    let found = items
        .values()
        .take(to.unwrap_or(usize::MAX))
        .enumerate()
        .skip(from)
        .find(|&(_, candidate)| equal_with(candidate, item.as_ref(), call.collation));
    Ok(found.map_or(Value::Int32(-1), |(at, _)| int(at)))
}

fn is_array(call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(call.arg(0)?.as_array().is_some()))
}

fn range(call: &Call<'_>) -> Result<Value> {
    let number = |arg: Operand<'_>, codes: (i32, i32), what: &str| -> Result<i64> {
        let number = Number::from_value(arg.as_ref()).ok_or_else(|| {
            Error::location(
                codes.0,
                format!(
                    "$range requires a numeric {what}, found value of type: {}",
                    arg.as_ref().type_name()
                ),
            )
        })?;
        to_i32(number).map(i64::from).ok_or_else(|| {
            Error::location(
                codes.1,
                format!("$range requires a {what} that can be represented as a 32-bit integer"),
            )
        })
    };
    let (start, end) = (call.arg(0)?, call.arg(1)?);
    let start = number(start, (34443, 34444), "starting value")?;
    let end = number(end, (34445, 34446), "ending value")?;
    let step = if call.len() > 2 {
        number(call.arg(2)?, (34447, 34448), "step value")?
    } else {
        1
    };
    if step == 0 {
        return Err(Error::location(
            34449,
            "$range requires a non-zero step value",
        ));
    }
    /// mongod 6.0.5, parameter `internalQueryMaxRangeBytes`.
    const RANGE_BYTES_MAX: usize = 100 * 1024 * 1024;
    /// What mongod counts for an item, and for the array itself.
    const ITEM_BYTES: usize = 16;
    const ARRAY_BYTES: usize = 40;
    let distance = if step > 0 { end - start } else { start - end };
    let steps = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
    let bytes = usize::try_from(steps)
        .unwrap_or(usize::MAX)
        .saturating_mul(ITEM_BYTES)
        .saturating_add(ARRAY_BYTES);
    if bytes > RANGE_BYTES_MAX {
        return Err(Error::new(
            ErrorCode::ExceededMemoryLimit,
            format!(
                "$range would use too much memory ({bytes} bytes) and cannot spill to disk. Memory limit: {RANGE_BYTES_MAX} bytes"
            ),
        ));
    }
    let mut out = DocBuf::new();
    let mut value = start;
    let mut index = 0;
    while if step > 0 { value < end } else { value > end } {
        out.push(index, Number::narrow(value).to_ref());
        value += step;
        index += 1;
    }
    Ok(Value::Array(out.finish()))
}

fn reverse_array(call: &Call<'_>) -> Result<Value> {
    let array = call.arg(0)?;
    if array.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(items) = array.as_array() else {
        return Err(Error::location(
            34435,
            format!(
                "The argument to $reverseArray must be an array, but was of type: {}",
                array.as_ref().type_name()
            ),
        ));
    };
    let items: Vec<_> = items.values().collect();
    Ok(Value::Array(DocBuf::array(items.into_iter().rev())))
}

fn size(call: &Call<'_>) -> Result<Value> {
    let array = call.arg(0)?;
    match array.as_array() {
        Some(items) => Ok(int(items.iter().count())),
        None => Err(Error::location(
            17124,
            format!(
                "The argument to $size must be an array, but was of type: {}",
                array.as_ref().type_name()
            ),
        )),
    }
}

fn slice(call: &Call<'_>) -> Result<Value> {
    let (array, second) = (call.arg(0)?, call.arg(1)?);
    if array.is_nullish() || second.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(items) = array.as_array() else {
        return Err(Error::location(
            28724,
            format!(
                "First argument to $slice must be an array, but is of type: {}",
                array.as_ref().type_name()
            ),
        ));
    };
    let number = |arg: &Operand<'_>, codes: (i32, i32), which: &str| -> Result<i32> {
        let number = Number::from_value(arg.as_ref()).ok_or_else(|| {
            Error::location(
                codes.0,
                format!(
                    "{which} argument to $slice must be numeric, but is of type: {}",
                    arg.as_ref().type_name()
                ),
            )
        })?;
        to_i32(number).ok_or_else(|| {
            Error::location(
                codes.1,
                format!("{which} argument to $slice can't be represented as a 32-bit integer"),
            )
        })
    };
    let position = number(&second, (28725, 28726), "Second")?;
    let count = items.iter().count();
    let from_end = |back: u32| count.saturating_sub(usize::try_from(back).unwrap_or(usize::MAX));
    let forward = usize::try_from(position);
    let (start, length) = if call.len() < 3 {
        match forward {
            Ok(length) => (0, length),
            Err(_) => (from_end(position.unsigned_abs()), count),
        }
    } else {
        let third = call.arg(2)?;
        if third.is_nullish() {
            return Ok(Value::Null);
        }
        let length = number(&third, (28727, 28728), "Third")?;
        let length = usize::try_from(length)
            .ok()
            .filter(|&length| length > 0)
            .ok_or_else(|| {
                Error::location(
                    28729,
                    format!("Third argument to $slice must be positive: {length}"),
                )
            })?;
        let start = forward.unwrap_or_else(|_| from_end(position.unsigned_abs()));
        (start, length)
    };
    if start == 0 && length >= count {
        return Ok(array.into_value());
    }
    let part = items.values().skip(start).take(length);
    Ok(Value::Array(DocBuf::array(part)))
}
