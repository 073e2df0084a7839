//! The `range` of `$densify`: step, unit and bounds.

use crate::stage::time_unit::TimeUnit;
use crate::value::{Doc, Number, Value, ValueRef, compare};
use crate::{Error, Result};

/// How far apart the values are.
#[derive(Clone, Debug)]
pub(super) struct Step {
    step: Number,
    unit: Option<TimeUnit>,
}

/// Where the sequence begins and ends.
#[derive(Clone, Debug)]
pub(super) enum Bounds {
    /// At the least and the greatest value of all.
    Full,
    /// At the least and the greatest value of each partition.
    Partition,
    /// At the first value, up to but without the second.
    Explicit(Value, Value),
}

impl Step {
    /// Checks that `value` can be part of the sequence.
    ///
    /// # Errors
    /// 5733201 no number or date, 6053600 one instead of the other.
    pub(super) fn check(&self, value: ValueRef<'_>) -> Result<()> {
        let is_date = matches!(value, ValueRef::DateTime(_));
        if !is_date && !value.is_number() {
            return Err(Error::location(
                5_733_201,
                "Densify field type must be numeric or a date",
            ));
        }
        match (&self.unit, is_date) {
            (None, true) => Err(Error::location(
                6_053_600,
                "Encountered date densify value in collection when step does not have a date unit.",
            )),
            (Some(_), false) => Err(Error::location(
                6_053_600,
                "Encountered numeric densify value in collection when step has a date unit.",
            )),
            _ => Ok(()),
        }
    }

    /// The value after `value`.
    pub(super) fn after(&self, value: &Value) -> Value {
        match (value, self.unit) {
            (Value::DateTime(millis), Some(unit)) => {
                Value::DateTime(unit.add(*millis, self.step.to_i64().unwrap_or(1)))
            }
            _ => match Number::from_value(value.as_ref()) {
                Some(number) => number.add(self.step).to_value(),
                None => value.clone(),
            },
        }
    }

    /// The first value that is made at the bound `low`: mongod takes a step back and one forward, so it is of the step's
    /// type, and on the day on which the month before that may end.
    pub(super) fn first(&self, low: &Value) -> Value {
        let before = match (low, self.unit) {
            (Value::DateTime(millis), Some(unit)) => {
                Value::DateTime(unit.add(*millis, -self.step.to_i64().unwrap_or(1)))
            }
            _ => match Number::from_value(low.as_ref()) {
                Some(number) => number.subtract(self.step).to_value(),
                None => return low.clone(),
            },
        };
        self.after(&before)
    }
}

impl Bounds {
    /// Whether `value`, which is not below, is not above either.
    pub(super) fn contain(&self, value: ValueRef<'_>) -> bool {
        match self {
            Bounds::Explicit(low, high) => {
                compare(value, high.as_ref()).is_lt() || compare(value, low.as_ref()).is_eq()
            }
            _ => true,
        }
    }
}

pub(super) fn wrong_type(place: &str, value: ValueRef<'_>, expected: &str) -> Error {
    Error::type_mismatch(format!(
        "BSON field '$densify.{place}' is the wrong type '{}', expected type '{expected}'",
        value.type_name()
    ))
}

pub(super) fn missing(place: &str) -> Error {
    Error::location(
        40414,
        format!("BSON field '$densify.{place}' is missing but a required field"),
    )
}

/// Reads `range`. `alone`: whether there are no partitions.
///
/// # Errors
/// MongoDB's own for each way in which it can be wrong.
pub(super) fn parse(spec: Doc<'_>, alone: bool) -> Result<(Step, Bounds)> {
    let (mut step, mut unit, mut bounds) = (None, None, None);
    for element in spec.iter() {
        match (&**element.key(), element.value()) {
            (b"step", value) => {
                step = Some(Number::from_value(value).ok_or_else(|| {
                    wrong_type("range.step", value, "[int, decimal, double, long]")
                })?);
            }
            (b"unit", value @ ValueRef::String(_)) => unit = Some(TimeUnit::parse(value)?),
            (b"unit", value) => return Err(wrong_type("range.unit", value, "string")),
            (b"bounds", value) => bounds = Some(value),
            _ => {
                return Err(Error::location(
                    40415,
                    format!(
                        "BSON field '$densify.range.{}' is an unknown field.",
                        element.key()
                    ),
                ));
            }
        }
    }
    let step = step.ok_or_else(|| missing("range.step"))?;
    let bounds = bounds.ok_or_else(|| missing("range.bounds"))?;
    if step.is_nan() || step.is_zero() || step.is_negative() {
        return Err(Error::location(
            5_733_401,
            "The step parameter in a range statement must be a strictly positive numeric value",
        ));
    }
    if unit.is_some() && step.to_i64().is_none() {
        return Err(Error::location(
            6_586_400,
            "The step parameter in a range statement must be a whole number when densifying a date range",
        ));
    }
    let bounds = match bounds {
        ValueRef::String(name) if name == "full" => Bounds::Full,
        ValueRef::String(name) if name == "partition" => {
            if alone {
                return Err(Error::location(
                    5_733_408,
                    "One cannot specify the bounds as 'partition' without specifying a non-empty array of partitionByFields. You may have meant to specify 'full' bounds.",
                ));
            }
            Bounds::Partition
        }
        ValueRef::String(_) => {
            return Err(Error::location(
                5_946_802,
                "Bounds string must either be 'full' or 'partition'",
            ));
        }
        ValueRef::Array(array) => explicit(array, step, unit.is_some())?,
        _ => {
            return Err(Error::location(
                5_733_404,
                "The bounds in a range statement must be the string 'full', 'partition', or an ascending array of two numbers or two dates",
            ));
        }
    };
    Ok((Step { step, unit }, bounds))
}

fn explicit(array: Doc<'_>, step: Number, has_unit: bool) -> Result<Bounds> {
    let mut items = array.values();
    let (Some(low), Some(high), None) = (items.next(), items.next(), items.next()) else {
        return Err(Error::location(
            5_733_403,
            "A bounding array in a range statement must have exactly two elements",
        ));
    };
    if compare(low, high).is_gt() {
        return Err(Error::location(
            5_733_402,
            "A bounding array must be an ascending array of either two dates or two numbers",
        ));
    }
    let both = |code| {
        Error::location(
            code,
            "A bounding array must contain either both dates or both numeric types",
        )
    };
    if low.is_number() {
        if !high.is_number() {
            return Err(both(5_733_406));
        }
        if has_unit {
            return Err(Error::location(
                5_733_409,
                "Numeric bounds may not have unit parameter",
            ));
        }
        if low.kind() != high.kind() || low.kind() != step.to_ref().kind() {
            return Err(Error::location(
                5_876_900,
                "Upper bound, lower bound, and step must all have the same type",
            ));
        }
    } else if let ValueRef::DateTime(_) = low {
        if !matches!(high, ValueRef::DateTime(_)) {
            return Err(both(5_733_405));
        }
        if !has_unit {
            return Err(Error::location(
                5_733_410,
                "A bounding array of dates must specify a unit",
            ));
        }
    } else {
        return Err(Error::location(
            5_946_800,
            "Explicit bounds must be numeric or dates",
        ));
    }
    Ok(Bounds::Explicit(Value::copy_of(low), Value::copy_of(high)))
}
