//! Date operators.

mod add;
mod civil;
mod diff;
mod format;
mod from_string;
mod parts;
mod trunc;
mod zone;

use super::node::Call;
use super::ops::Op;
use crate::value::ValueRef;
use crate::{Error, Result};

pub(super) use civil::{Civil, MONTHS, format_iso};
pub(super) use from_string::parse_text;
use zone::Zone;

pub(super) const OPS: &[Op] = &[
    add::DATE_ADD,
    diff::DATE_DIFF,
    parts::DATE_FROM_PARTS,
    from_string::DATE_FROM_STRING,
    add::DATE_SUBTRACT,
    parts::DATE_TO_PARTS,
    format::DATE_TO_STRING,
    trunc::DATE_TRUNC,
    parts::DAY_OF_MONTH,
    parts::DAY_OF_WEEK,
    parts::DAY_OF_YEAR,
    parts::HOUR,
    parts::ISO_DAY_OF_WEEK,
    parts::ISO_WEEK,
    parts::ISO_WEEK_YEAR,
    parts::MILLISECOND,
    parts::MINUTE,
    parts::MONTH,
    parts::SECOND,
    parts::WEEK,
    parts::YEAR,
];

/// The instant that a value stands for: a date, a timestamp's seconds, the time in an object id.
fn instant_of(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::DateTime(millis) => Some(millis),
        ValueRef::Timestamp(stamp) => i64::try_from(stamp >> 32)
            .ok()
            .map(|seconds| seconds * 1000),
        ValueRef::ObjectId([a, b, c, d, ..]) => {
            Some(i64::from(i32::from_be_bytes([a, b, c, d])) * 1000)
        }
        _ => None,
    }
}

fn to_instant(value: ValueRef<'_>) -> Result<i64> {
    instant_of(value).ok_or_else(|| {
        Error::location(
            16006,
            format!("can't convert from BSON type {} to Date", value.type_name()),
        )
    })
}

/// The optional argument `index` as a time zone: UTC if it was not given, `None` if it is null.
fn zone_arg(call: &Call<'_>, index: usize, code: i32) -> Result<Option<Zone>> {
    if call.is_given(index) {
        Zone::of_value(call.arg(index)?.as_ref(), code)
    } else {
        Ok(Some(Zone::UTC))
    }
}

/// A unit of time, from the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl Unit {
    const NAMES: [(&'static str, Unit); 9] = [
        ("year", Unit::Year),
        ("quarter", Unit::Quarter),
        ("month", Unit::Month),
        ("week", Unit::Week),
        ("day", Unit::Day),
        ("hour", Unit::Hour),
        ("minute", Unit::Minute),
        ("second", Unit::Second),
        ("millisecond", Unit::Millisecond),
    ];

    fn parse(name: &[u8]) -> Option<Unit> {
        Unit::NAMES
            .iter()
            .find_map(|(known, unit)| (known.as_bytes() == name).then_some(*unit))
    }

    /// The unit that `$dateDiff` and `$dateTrunc` were given.
    fn of_value(operator: &str, value: ValueRef<'_>) -> Result<Unit> {
        let ValueRef::String(name) = value else {
            return Err(Error::location(
                5_439_013,
                format!(
                    "{operator} requires 'unit' to be a string, but got {}",
                    value.type_name()
                ),
            ));
        };
        Unit::parse(name).ok_or_else(|| {
            Error::location(
                5_439_014,
                format!(
                    "{operator} parameter 'unit' value cannot be recognized as a time unit: {name}"
                ),
            )
        })
    }

    /// Months in it, if it is made of months.
    fn months(self) -> Option<i64> {
        match self {
            Unit::Year => Some(12),
            Unit::Quarter => Some(3),
            Unit::Month => Some(1),
            _ => None,
        }
    }

    /// Milliseconds in it, if it is not made of months.
    fn millis(self) -> i64 {
        match self {
            Unit::Week => 7 * civil::DAY,
            Unit::Day => civil::DAY,
            Unit::Hour => civil::HOUR,
            Unit::Minute => civil::MINUTE,
            Unit::Second => civil::SECOND,
            _ => 1,
        }
    }
}

/// The day of the week (0 is Sunday) that `$dateDiff` and `$dateTrunc` were given.
fn weekday_arg(operator: &str, value: ValueRef<'_>) -> Result<i64> {
    const NAMES: [&str; 7] = [
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
    ];
    let ValueRef::String(name) = value else {
        return Err(Error::location(
            5_439_015,
            format!(
                "{operator} requires 'startOfWeek' to be a string, but got {}",
                value.type_name()
            ),
        ));
    };
    let lower = name.to_ascii_lowercase();
    (0..)
        .zip(NAMES)
        .find_map(|(day, known)| {
            let matches = lower == known.as_bytes() || lower == known.as_bytes()[..3];
            matches.then_some(day)
        })
        .ok_or_else(|| {
            Error::location(
                5_439_016,
                format!("{operator} parameter 'startOfWeek' value cannot be recognized as a day of a week: {name}"),
            )
        })
}

/// Months since the year 0, counted from 0.
fn months_of(time: Civil) -> i64 {
    time.year * 12 + i64::from(time.month) - 1
}

/// The first day of a month counted as by [`months_of`], in days since the epoch.
fn month_start(months: i64) -> i64 {
    let month = u8::try_from(months.rem_euclid(12) + 1).unwrap_or(1);
    civil::days_to(months.div_euclid(12), month, 1)
}
