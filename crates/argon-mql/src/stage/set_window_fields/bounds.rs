//! The bounds of a window, and the frame of documents that they give for each document.

use std::ops::Range;

use super::Partition;
use crate::stage::time_unit::TimeUnit;
use crate::value::{Doc, Number, Value, ValueRef, compare};
use crate::{Error, ErrorCode, Result};

/// The bounds of a window.
#[derive(Clone, Debug)]
pub(super) enum Bounds {
    /// By position.
    Documents(Bound<i64>, Bound<i64>),
    /// By the distance of the sorted values.
    Range(Bound<Number>, Bound<Number>, Option<TimeUnit>),
}

/// One bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound<T> {
    Unbounded,
    Current,
    At(T),
}

/// What the stage's `sortBy` offers for bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortShape {
    None,
    Single,
    Compound,
}

impl Bounds {
    /// The whole partition.
    pub(super) const WHOLE: Bounds = Bounds::Documents(Bound::Unbounded, Bound::Unbounded);

    /// Parses the `window` of a function.
    ///
    /// # Errors
    /// `FailedToParse`, 5339900 for bounds in the wrong order, 5339901 and 5339902 for a `sortBy` that does not do.
    pub(super) fn parse(value: ValueRef<'_>, sort: SortShape) -> Result<Bounds> {
        let Some(spec) = value.as_document() else {
            return Err(Error::failed_to_parse("'window' field must be an object"));
        };
        let (documents, range, unit) = (spec.get("documents"), spec.get("range"), spec.get("unit"));
        let known = [documents, range, unit].iter().flatten().count();
        if spec.iter().count() != known {
            return Err(Error::failed_to_parse(
                "'window' field can only contain 'documents' as the only argument or 'range' with an optional 'unit' field",
            ));
        }
        if documents.is_some() && range.is_some() {
            return Err(Error::failed_to_parse(
                "Window bounds can specify either 'documents' or 'unit', not both.",
            ));
        }
        if range.is_none() && unit.is_some() {
            return Err(Error::failed_to_parse(
                "Window bounds can only specify 'unit' with range-based bounds.",
            ));
        }
        if let Some(value) = documents {
            return parse_documents(value, sort);
        }
        let Some(value) = range else {
            return Ok(Bounds::WHOLE);
        };
        parse_range(value, unit, sort)
    }

    /// Whether the frame starts at the partition's beginning for every document.
    pub(super) fn starts_unbounded(&self) -> bool {
        matches!(
            self,
            Bounds::Documents(Bound::Unbounded, _) | Bounds::Range(Bound::Unbounded, ..)
        )
    }
}

fn pair(name: &str, value: ValueRef<'_>) -> Result<[Value; 2]> {
    let items: Vec<_> = match value.as_array() {
        Some(array) => array.values().map(Value::copy_of).collect(),
        None => Vec::new(),
    };
    items.try_into().map_err(|_| {
        Error::failed_to_parse(format!("Window bounds must be a 2-element array: {name}"))
    })
}

fn parse_bound<T>(value: &Value, number: impl Fn(Number) -> Result<T>) -> Result<Bound<T>> {
    match value.as_ref() {
        ValueRef::String(text) if text == "unbounded" => Ok(Bound::Unbounded),
        ValueRef::String(text) if text == "current" => Ok(Bound::Current),
        value => match Number::from_value(value) {
            Some(value) => number(value).map(Bound::At),
            None => Err(Error::failed_to_parse(
                "Window bounds must be 'unbounded', 'current', or a number.",
            )),
        },
    }
}

#[cold]
fn wrong_order() -> Error {
    Error::location(5_339_900, "Lower bound must not exceed upper bound")
}

fn parse_documents(value: ValueRef<'_>, sort: SortShape) -> Result<Bounds> {
    let integer = |number: Number| {
        number.to_i64().ok_or_else(|| {
            Error::failed_to_parse("Numeric document-based bounds must be an integer")
        })
    };
    let [low, high] = pair("documents", value)?;
    let (low, high) = (parse_bound(&low, integer)?, parse_bound(&high, integer)?);
    let place = |bound| match bound {
        Bound::Unbounded => None,
        Bound::Current => Some(0),
        Bound::At(offset) => Some(offset),
    };
    if let (Some(low), Some(high)) = (place(low), place(high))
        && low > high
    {
        return Err(wrong_order());
    }
    if sort == SortShape::None && (low, high) != (Bound::Unbounded, Bound::Unbounded) {
        return Err(Error::location(
            5_339_901,
            "Document-based bounds require a sortBy",
        ));
    }
    Ok(Bounds::Documents(low, high))
}

fn parse_range(value: ValueRef<'_>, unit: Option<ValueRef<'_>>, sort: SortShape) -> Result<Bounds> {
    let unit = unit.map(TimeUnit::parse).transpose()?;
    let distance = |number: Number| {
        if unit.is_some() && number.to_i64().is_none() {
            return Err(Error::failed_to_parse(
                "With 'unit', range-based bounds must be an integer",
            ));
        }
        Ok(number)
    };
    let [low, high] = pair("range", value)?;
    let (low, high) = (parse_bound(&low, distance)?, parse_bound(&high, distance)?);
    let place = |bound| match bound {
        Bound::Unbounded => None,
        Bound::Current => Some(Number::Int32(0)),
        Bound::At(offset) => Some(offset),
    };
    if let (Some(low), Some(high)) = (place(low), place(high))
        && low.compare(high).is_gt()
    {
        return Err(wrong_order());
    }
    if sort != SortShape::Single {
        return Err(Error::location(
            5_339_902,
            "Range-based bounds require sortBy a single field",
        ));
    }
    Ok(Bounds::Range(low, high, unit))
}

/// Moves along a partition, one document at a time, and knows the frame of each.
#[derive(Debug)]
pub(super) struct Frames {
    bounds: Bounds,
    frame: Range<usize>,
}

impl Frames {
    pub(super) fn new(bounds: Bounds) -> Frames {
        Frames {
            bounds,
            frame: 0..0,
        }
    }

    /// The frame of the document at `at`, which only grows from call to call.
    ///
    /// # Errors
    /// 5429404, 5429413, 5429414 and 5429513 for sorted values between which there is no distance.
    pub(super) fn of(&mut self, at: usize, partition: &Partition) -> Result<Range<usize>> {
        let len = partition.docs.len();
        match &self.bounds {
            Bounds::Documents(low, high) => {
                let start = match *low {
                    Bound::Unbounded => 0,
                    Bound::Current => at,
                    Bound::At(offset) => shift(at, offset),
                };
                let end = match *high {
                    Bound::Unbounded => len,
                    Bound::Current => at + 1,
                    Bound::At(offset) if offset < 0 => {
                        let back = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
                        (at + 1).saturating_sub(back)
                    }
                    Bound::At(offset) => shift(at, offset).saturating_add(1),
                };
                let end = end.min(len);
                self.frame = start.min(end)..end;
            }
            Bounds::Range(Bound::Unbounded, Bound::Unbounded, _) => self.frame = 0..len,
            Bounds::Range(low, high, unit) => {
                let value = partition.sort_value(at);
                check_range(value, *unit, partition)?;
                let (mut start, mut end) = (self.frame.start, self.frame.end);
                match low {
                    Bound::Unbounded => start = 0,
                    // The document itself, not all that are equal to it.
                    Bound::Current => start = at,
                    Bound::At(distance) => {
                        let limit = offset(value, *distance, *unit);
                        while start < len
                            && compare(partition.sort_value(start), limit.as_ref()).is_lt()
                        {
                            start += 1;
                        }
                    }
                }
                match high {
                    Bound::Unbounded => end = len,
                    Bound::Current => end = at + 1,
                    Bound::At(distance) => {
                        let limit = offset(value, *distance, *unit);
                        while end < len
                            && compare(partition.sort_value(end), limit.as_ref()).is_le()
                        {
                            end += 1;
                        }
                    }
                }
                self.frame = start..end.max(start);
            }
        }
        Ok(self.frame.clone())
    }
}

fn shift(at: usize, offset: i64) -> usize {
    let distance = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    if offset < 0 {
        at.saturating_sub(distance)
    } else {
        at.saturating_add(distance)
    }
}

/// Whether a range around `value` makes sense.
fn check_range(value: ValueRef<'_>, unit: Option<TimeUnit>, partition: &Partition) -> Result<()> {
    if partition.is_descending() {
        return Err(Error::location(
            5_429_404,
            "Range-based bounds require an ascending sortBy",
        ));
    }
    let found = value.type_name();
    let is_date = matches!(value, ValueRef::DateTime(_));
    let (code, why) = match unit {
        Some(_) if is_date => return Ok(()),
        Some(_) => (5_429_513, "Expected the sortBy field to be a Date"),
        None if value.is_number() => return Ok(()),
        None if is_date => (
            5_429_413,
            "For windows that involve date or time ranges, a unit must be provided.",
        ),
        None => (5_429_414, "Expected the sortBy field to be a number"),
    };
    Err(Error::new(
        ErrorCode::location(code),
        format!("Invalid range: {why}, but it was {found}"),
    ))
}

fn offset(value: ValueRef<'_>, distance: Number, unit: Option<TimeUnit>) -> Value {
    match (value, unit) {
        (ValueRef::DateTime(millis), Some(unit)) => {
            Value::DateTime(unit.add(millis, distance.to_i64().unwrap_or(0)))
        }
        _ => match Number::from_value(value) {
            Some(number) => number.add(distance).to_value(),
            None => Value::copy_of(value),
        },
    }
}

/// The argument of a function that takes `{}`.
pub(super) fn is_empty_object(value: ValueRef<'_>) -> bool {
    value.as_document().is_some_and(Doc::is_empty)
}
