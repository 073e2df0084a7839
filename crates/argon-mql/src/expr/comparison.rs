//! Comparison operators: MongoDB's total order over all types.

use std::cmp::Ordering;

use super::node::Call;
use super::ops::Op;
use crate::Result;
use crate::value::{Value, compare_with, equal_with};

pub(super) const OPS: &[Op] = &[
    Op::function("$cmp", 2..=2, cmp),
    Op::function("$eq", 2..=2, |call| Ok(Value::Bool(equal(call)?))),
    Op::function("$gt", 2..=2, |call| Ok(Value::Bool(order(call)?.is_gt()))),
    Op::function("$gte", 2..=2, |call| Ok(Value::Bool(order(call)?.is_ge()))),
    Op::function("$lt", 2..=2, |call| Ok(Value::Bool(order(call)?.is_lt()))),
    Op::function("$lte", 2..=2, |call| Ok(Value::Bool(order(call)?.is_le()))),
    Op::function("$ne", 2..=2, |call| Ok(Value::Bool(!equal(call)?))),
];

fn order(call: &Call<'_>) -> Result<Ordering> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    Ok(compare_with(a.as_ref(), b.as_ref(), call.collation))
}

fn equal(call: &Call<'_>) -> Result<bool> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    Ok(equal_with(a.as_ref(), b.as_ref(), call.collation))
}

fn cmp(call: &Call<'_>) -> Result<Value> {
    Ok(Value::Int32(match order(call)? {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}
