//! `$locf` and `$linearFill`: values for documents that have none, from those around them.

use std::sync::Arc;

use super::bounds::SortShape;
use super::functions::Arguments;
use super::{Function, Partition, Run};
use crate::expr::{Expr, Scope};
use crate::stage::Context;
use crate::value::{Decimal, Number, Value, ValueRef, compare};
use crate::{Error, Result};

fn no_window(arguments: &Arguments<'_>) -> Result<()> {
    if arguments.window.is_some() {
        return Err(Error::failed_to_parse(format!(
            "'window' field is not allowed in {}",
            arguments.name
        )));
    }
    Ok(())
}

/// `$locf`: the last value that was there.
#[derive(Debug)]
struct Locf(Expr);

pub(super) fn locf(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    no_window(arguments)?;
    Ok(Arc::new(Locf(Expr::parse(arguments.value, arguments.cx)?)))
}

impl Function for Locf {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(LocfRun {
            function: self,
            last: Value::Null,
        })
    }
}

struct LocfRun {
    function: Arc<Locf>,
    last: Value,
}

impl Run for LocfRun {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        if let Some(doc) = partition.docs.get(at) {
            let value = self.function.0.eval(&Scope::new(doc, cx.env))?;
            if !value.as_ref().is_nullish() {
                self.last = value;
            }
        }
        Ok(self.last.clone())
    }
}

/// `$linearFill`: values on the line between the neighbours that are there.
#[derive(Debug)]
struct LinearFill(Expr);

pub(super) fn linear_fill(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    if arguments.sort != SortShape::Single {
        return Err(Error::location(
            605_001,
            "$linearFill must be specified with a top level sortBy expression with exactly one element",
        ));
    }
    no_window(arguments)?;
    Ok(Arc::new(LinearFill(Expr::parse(
        arguments.value,
        arguments.cx,
    )?)))
}

impl Function for LinearFill {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(LinearRun {
            function: self,
            left: None,
            right: None,
        })
    }
}

/// A document that has a value: where, and the point it gives.
struct Point {
    at: usize,
    x: Number,
    y: Number,
}

struct LinearRun {
    function: Arc<LinearFill>,
    left: Option<Point>,
    /// The next point at or after the document asked for; looked for once per gap.
    right: Option<Point>,
}

impl LinearRun {
    fn y(&self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let Some(doc) = partition.docs.get(at) else {
            return Ok(Value::Missing);
        };
        let value = self.function.0.eval(&Scope::new(doc, cx.env))?;
        if !value.as_ref().is_nullish() && !value.as_ref().is_number() {
            return Err(Error::type_mismatch(format!(
                "Value to be filled must be numeric or nullish, but found {}",
                value.as_ref().type_name()
            )));
        }
        Ok(value)
    }

    /// The point of the document at `at`, if it has a value.
    fn point(&self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Option<Point>> {
        let Some(y) = Number::from_value(self.y(at, partition, cx)?.as_ref()) else {
            return Ok(None);
        };
        let x = x(partition.sort_value(at))?;
        Ok(Some(Point { at, x, y }))
    }
}

/// Where a document lies on the line.
fn x(value: ValueRef<'_>) -> Result<Number> {
    match value {
        ValueRef::DateTime(millis) => Ok(Number::Int64(millis)),
        value => Number::from_value(value).ok_or_else(|| {
            Error::type_mismatch(format!(
                "The sort field of $linearFill must be numeric or a date, but found {}",
                value.type_name()
            ))
        }),
    }
}

fn divide(a: Number, b: Number) -> Number {
    match (a, b) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => {
            let quotient: Decimal = a.to_decimal().divide(b.to_decimal());
            Number::Decimal(quotient)
        }
        _ => Number::Double(a.to_f64() / b.to_f64()),
    }
}

impl Run for LinearRun {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        if at > 0 && compare(partition.sort_value(at - 1), partition.sort_value(at)).is_eq() {
            return Err(Error::location(
                6_050_106,
                "There can be no repeated values in the sort field",
            ));
        }
        let own = self.y(at, partition, cx)?;
        if let Some(y) = Number::from_value(own.as_ref()) {
            self.left = Some(Point {
                at,
                x: x(partition.sort_value(at))?,
                y,
            });
            return Ok(own);
        }
        let Some(left) = &self.left else {
            return Ok(Value::Null);
        };
        if self.right.as_ref().is_none_or(|right| right.at < at) {
            let mut next = at + 1;
            let right = loop {
                if next >= partition.docs.len() {
                    break None;
                }
                if let Some(point) = self.point(next, partition, cx)? {
                    break Some(point);
                }
                next += 1;
            };
            // Nothing to the right: not to be looked for again.
            self.right = Some(right.unwrap_or(Point {
                at: usize::MAX,
                x: Number::Int32(0),
                y: Number::Int32(0),
            }));
        }
        let Some(right) = self.right.as_ref().filter(|right| right.at != usize::MAX) else {
            return Ok(Value::Null);
        };
        let x = x(partition.sort_value(at))?;
        let slope = divide(right.y.subtract(left.y), right.x.subtract(left.x));
        Ok(left.y.add(x.subtract(left.x).multiply(slope)).to_value())
    }
}
