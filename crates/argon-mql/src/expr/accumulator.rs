//! Operators that are accumulators elsewhere, over their arguments or over the items of the only one.

use super::Operand;
use super::node::Call;
use super::ops::{ARGS_MAX, Fold, Op};
use crate::Result;
use crate::accumulator::{StdDev, Sum};
use crate::value::{Number, Value, ValueRef, compare_with};

pub(super) const OPS: &[Op] = &[
    Op::function("$avg", 0..=ARGS_MAX, avg),
    Op::folding("$max", 0..=ARGS_MAX, |call| extreme(call, true), Fold::All),
    Op::folding("$min", 0..=ARGS_MAX, |call| extreme(call, false), Fold::All),
    Op::function("$stdDevPop", 0..=ARGS_MAX, |call| std_dev(call, false)),
    Op::function("$stdDevSamp", 0..=ARGS_MAX, |call| std_dev(call, true)),
    Op::folding("$sum", 0..=ARGS_MAX, sum, Fold::All),
];

/// Calls `take` with each value: argument by argument, or item by item of the only argument if it is an array.
fn each(call: &Call<'_>, mut take: impl FnMut(ValueRef<'_>)) -> Result<()> {
    if call.len() == 1 {
        let arg = call.arg(0)?;
        match arg.as_array() {
            Some(items) => items.values().for_each(take),
            None => take(arg.as_ref()),
        }
        return Ok(());
    }
    for index in 0..call.len() {
        take(call.arg(index)?.as_ref());
    }
    Ok(())
}

fn sum(call: &Call<'_>) -> Result<Value> {
    let mut sum = Sum::default();
    each(call, |value| {
        sum.add_value(value);
    })?;
    Ok(sum.value())
}

fn avg(call: &Call<'_>) -> Result<Value> {
    let mut sum = Sum::of_doubles();
    let mut count = 0;
    each(call, |value| count += i64::from(sum.add_value(value)))?;
    Ok(sum.average(count))
}

fn std_dev(call: &Call<'_>, sample: bool) -> Result<Value> {
    let mut deviation = StdDev::default();
    each(call, |value| {
        if let Some(number) = Number::from_value(value) {
            deviation.add(number.to_f64());
        }
    })?;
    Ok(deviation.value(sample))
}

/// The largest or smallest value that is not null; of equal ones the first.
fn extreme(call: &Call<'_>, largest: bool) -> Result<Value> {
    let better = |candidate: ValueRef<'_>, best: ValueRef<'_>| {
        let order = compare_with(candidate, best, call.collation);
        if largest {
            order.is_gt()
        } else {
            order.is_lt()
        }
    };
    if call.len() == 1 {
        let arg = call.arg(0)?;
        if let Some(items) = arg.as_array() {
            let best = items
                .values()
                .filter(|item| !item.is_nullish())
                .reduce(|best, item| if better(item, best) { item } else { best });
            return Ok(best.map_or(Value::Null, |item| arg.part(item)));
        }
    }
    let mut best: Option<Operand<'_>> = None;
    for index in 0..call.len() {
        let arg = call.arg(index)?;
        let wins = match &best {
            _ if arg.is_nullish() => false,
            None => true,
            Some(best) => better(arg.as_ref(), best.as_ref()),
        };
        if wins {
            best = Some(arg);
        }
    }
    Ok(best.map_or(Value::Null, Operand::into_value))
}
