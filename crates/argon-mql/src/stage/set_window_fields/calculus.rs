//! `$derivative` and `$integral`: of a value over the sorted field.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::bounds::{Bounds, Frames, SortShape};
use super::functions::Arguments;
use super::removable::RemovableSum;
use super::{Function, Partition, Run};
use crate::expr::{Expr, Scope};
use crate::stage::Context;
use crate::stage::time_unit::TimeUnit;
use crate::value::{Number, Value, ValueRef};
use crate::{Error, Result};

/// The arguments of both.
#[derive(Debug)]
struct Calculus {
    input: Expr,
    /// Milliseconds of the unit of time.
    unit: Option<i64>,
    bounds: Bounds,
}

impl Calculus {
    fn parse(arguments: &Arguments<'_>) -> Result<Calculus> {
        let name = arguments.name;
        match arguments.sort {
            SortShape::Single => {}
            SortShape::None => {
                return Err(Error::failed_to_parse(format!("{name} requires a sortBy")));
            }
            SortShape::Compound => {
                return Err(Error::failed_to_parse(format!(
                    "{name} requires a non-compound sortBy"
                )));
            }
        }
        let Some(spec) = arguments.value.as_document() else {
            return Err(Error::failed_to_parse(format!(
                "{name} expects an object, but got a {}: {name}: {}",
                arguments.value.type_name(),
                arguments.value
            )));
        };
        let (mut input, mut unit) = (None, None);
        for element in spec.iter() {
            match &**element.key() {
                b"input" => input = Some(Expr::parse(element.value(), arguments.cx)?),
                b"unit" => {
                    let parsed = TimeUnit::parse(element.value())?;
                    unit = Some(parsed.fixed_ms().ok_or_else(|| {
                        Error::location(5_490_710, "unit must be 'week' or smaller")
                    })?);
                }
                _ => {
                    return Err(Error::failed_to_parse(format!(
                        "{name} got unexpected argument: {}",
                        element.key()
                    )));
                }
            }
        }
        let input = input.ok_or_else(|| {
            Error::failed_to_parse(format!("{name} requires an 'input' expression"))
        })?;
        let bounds = match arguments.window {
            Some(window) => Bounds::parse(window, arguments.sort)?,
            None => Bounds::WHOLE,
        };
        Ok(Calculus {
            input,
            unit,
            bounds,
        })
    }

    fn input(&self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        match partition.docs.get(at) {
            Some(doc) => self.input.eval(&Scope::new(doc, cx.env)),
            None => Ok(Value::Missing),
        }
    }
}

fn divide(a: Number, b: Number) -> Number {
    match (a, b) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => {
            Number::Decimal(a.to_decimal().divide(b.to_decimal()))
        }
        _ => Number::Double(a.to_f64() / b.to_f64()),
    }
}

/// A number, or the milliseconds of a date.
fn number_or_date(value: ValueRef<'_>) -> Option<Number> {
    match value {
        ValueRef::DateTime(millis) => Some(Number::Int64(millis)),
        value => Number::from_value(value),
    }
}

#[derive(Debug)]
struct Derivative(Calculus);

pub(super) fn derivative(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    let parsed = Calculus::parse(arguments)?;
    if arguments.window.is_none() {
        return Err(Error::failed_to_parse(
            "$derivative requires explicit window bounds",
        ));
    }
    Ok(Arc::new(Derivative(parsed)))
}

impl Function for Derivative {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(DerivativeRun {
            frames: Frames::new(self.0.bounds.clone()),
            function: self,
        })
    }
}

struct DerivativeRun {
    function: Arc<Derivative>,
    frames: Frames,
}

impl DerivativeRun {
    fn x(&self, value: ValueRef<'_>) -> Result<Number> {
        let is_date = matches!(value, ValueRef::DateTime(_));
        if self.function.0.unit.is_some() && !is_date {
            return Err(Error::location(
                5_624_900,
                "$derivative with 'unit' expects the sortBy field to be a Date",
            ));
        }
        if self.function.0.unit.is_none() && is_date {
            return Err(Error::location(
                5_624_901,
                "$derivative where the sortBy is a Date requires an 'unit'",
            ));
        }
        number_or_date(value).ok_or_else(|| {
            Error::location(
                5_624_902,
                "$derivative (with no 'unit') expects the sortBy field to be numeric",
            )
        })
    }
}

impl Run for DerivativeRun {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let frame = self.frames.of(at, partition)?;
        if frame.is_empty() {
            return Ok(Value::Null);
        }
        let (first, last) = (frame.start, frame.end - 1);
        let left = self.x(partition.sort_value(first))?;
        let right = self.x(partition.sort_value(last))?;
        let function = &self.function.0;
        let low = function.input(first, partition, cx)?;
        let high = function.input(last, partition, cx)?;
        if low.as_ref().is_nullish() || high.as_ref().is_nullish() {
            return Err(Error::location(
                5_624_903,
                "$derivative input must not be null or missing",
            ));
        }
        let (Some(low), Some(high)) = (number_or_date(low.as_ref()), number_or_date(high.as_ref()))
        else {
            return Err(Error::type_mismatch(format!(
                "can't $subtract {} from {}",
                low.as_ref().type_name(),
                high.as_ref().type_name()
            )));
        };
        let distance = right.subtract(left);
        if distance.is_zero() {
            return Ok(Value::Null);
        }
        let rate = divide(high.subtract(low), distance);
        Ok(match function.unit {
            Some(unit) => rate.multiply(Number::Int64(unit)).to_value(),
            None => rate.to_value(),
        })
    }
}

#[derive(Debug)]
struct Integral(Calculus);

pub(super) fn integral(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    Ok(Arc::new(Integral(Calculus::parse(arguments)?)))
}

impl Function for Integral {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(IntegralRun {
            frames: Frames::new(self.0.bounds.clone()),
            function: self,
            inside: 0..0,
            points: VecDeque::new(),
            sum: RemovableSum::default(),
        })
    }
}

/// The area below the line through the points of a frame, kept up while the frame moves.
struct IntegralRun {
    function: Arc<Integral>,
    frames: Frames,
    inside: Range<usize>,
    points: VecDeque<(Number, Number)>,
    sum: RemovableSum,
}

/// The area between two points.
fn area(a: (Number, Number), b: (Number, Number)) -> Value {
    let height = a.1.add(b.1);
    divide(b.0.subtract(a.0).multiply(height), Number::Int32(2)).to_value()
}

impl IntegralRun {
    fn point(
        &self,
        at: usize,
        partition: &Partition,
        cx: &Context<'_>,
    ) -> Result<(Number, Number)> {
        let x = partition.sort_value(at);
        let is_date = matches!(x, ValueRef::DateTime(_));
        let y = self.function.0.input(at, partition, cx)?;
        let (Some(number), Some(y)) = (number_or_date(x), Number::from_value(y.as_ref())) else {
            return Err(Error::location(
                5_423_900,
                "The input value of $integral window function must be a vector of 2 value, the first value must be numeric or date type and the second must be numeric.",
            ));
        };
        if self.function.0.unit.is_some() && !is_date {
            return Err(Error::location(
                5_423_901,
                "$integral with 'unit' expects the sortBy field to be a Date",
            ));
        }
        if self.function.0.unit.is_none() && is_date {
            return Err(Error::location(
                5_423_902,
                "$integral (with no 'unit') expects the sortBy field to be numeric",
            ));
        }
        Ok((number, y))
    }

    fn drop_first(&mut self) {
        if let (Some(first), Some(second)) = (self.points.pop_front(), self.points.front()) {
            self.sum.remove(area(first, *second).as_ref());
        }
        self.inside.start += 1;
    }
}

impl Run for IntegralRun {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let frame = self.frames.of(at, partition)?;
        // As in other windows: first in, then out.
        if self.inside.end < frame.start {
            while !self.inside.is_empty() {
                self.drop_first();
            }
            self.inside = frame.start..frame.start;
        }
        while self.inside.end < frame.end {
            let point = self.point(self.inside.end, partition, cx)?;
            if let Some(last) = self.points.back() {
                self.sum.add(area(*last, point).as_ref());
            }
            self.points.push_back(point);
            self.inside.end += 1;
        }
        while self.inside.start < frame.start && !self.inside.is_empty() {
            self.drop_first();
        }
        if frame.is_empty() {
            return Ok(Value::Null);
        }
        let sum = self.sum.value();
        match (self.function.0.unit, Number::from_value(sum.as_ref())) {
            (Some(unit), Some(sum)) => Ok(divide(sum, Number::Int64(unit)).to_value()),
            _ => Ok(sum),
        }
    }
}
