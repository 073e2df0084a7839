//! Dates to parts and back.

use super::super::Expr;
use super::super::node::{Call, Node};
use super::super::ops::{Args, Fold, Function, Named, Op, optional, required};
use super::super::parse::Parser;
use super::civil::{self, Civil};
use super::{Zone, to_instant, zone_arg};
use crate::value::{DocBuf, Number, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

const ARGS: Named = Named {
    // Anything but an object with these names is the date.
    not_an_object: 40535,
    unknown: 40535,
    fields: &[required("date", 40539), optional("timezone")],
};

/// An operator that gives one part of a date.
macro_rules! part {
    ($constant:ident, $name:literal, $part:expr) => {
        pub(super) const $constant: Op = Op::parsed($name, |operand, parser| {
            static FUNCTION: Function = Function {
                name: $name,
                args: Args::Named(ARGS),
                eval: |call| part(call, $part),
                fold: Fold::None,
                check: None,
                check_each_argument: false,
            };
            parse_part(&FUNCTION, operand, parser)
        });
    };
}

part!(DAY_OF_MONTH, "$dayOfMonth", |time| int(time.day.into()));
part!(DAY_OF_WEEK, "$dayOfWeek", |time| int(time.weekday() + 1));
part!(DAY_OF_YEAR, "$dayOfYear", |time| int(time.day_of_year()));
part!(HOUR, "$hour", |time| int(time.hour.into()));
part!(ISO_DAY_OF_WEEK, "$isoDayOfWeek", |time| int(
    time.iso_weekday()
));
part!(ISO_WEEK, "$isoWeek", |time| int(time.iso_week().1));
part!(ISO_WEEK_YEAR, "$isoWeekYear", |time| Value::Int64(
    time.iso_week().0
));
part!(MILLISECOND, "$millisecond", |time| int(time
    .millisecond
    .into()));
part!(MINUTE, "$minute", |time| int(time.minute.into()));
part!(MONTH, "$month", |time| int(time.month.into()));
part!(SECOND, "$second", |time| int(time.second.into()));
part!(WEEK, "$week", |time| int(time.week()));
part!(YEAR, "$year", |time| int(time.year));

fn int(value: i64) -> Value {
    Number::narrow(value).to_value()
}

/// `{$year: <date>}`, `{$year: [<date>]}` or `{$year: {date: <date>, timezone: <zone>}}`.
fn parse_part(
    function: &'static Function,
    operand: ValueRef<'_>,
    parser: &Parser<'_>,
) -> Result<Expr> {
    let date = match operand {
        ValueRef::Document(doc) => {
            let first = doc.iter().next();
            if first.is_some_and(|element| element.key().starts_with(b"$")) {
                parser.parse(operand)?
            } else {
                let args = ARGS.parse(function.name, operand, parser)?;
                return Ok(parser.call_of(function, args));
            }
        }
        ValueRef::Array(array) => {
            let count = array.iter().count();
            match array.values().next() {
                Some(only) if count == 1 => parser.parse(only)?,
                _ => {
                    return Err(Error::location(
                        40536,
                        format!(
                            "{} accepts exactly one argument if given an array, but was given {count}",
                            function.name
                        ),
                    ));
                }
            }
        }
        other => parser.parse(other)?,
    };
    let absent = Expr { node: Node::Absent };
    Ok(parser.call_of(function, [date, absent].into()))
}

fn part(call: &Call<'_>, part: fn(Civil) -> Value) -> Result<Value> {
    let date = call.arg(0)?;
    if date.is_nullish() {
        return Ok(Value::Null);
    }
    let millis = to_instant(date.as_ref())?;
    Ok(match zone_arg(call, 1, 40533)? {
        Some(zone) => part(zone.civil(millis)),
        None => Value::Null,
    })
}

pub(super) const DATE_TO_PARTS: Op = Op::named(
    "$dateToParts",
    Named {
        not_an_object: 40524,
        unknown: 40520,
        fields: &[
            required("date", 40522),
            optional("timezone"),
            optional("iso8601"),
        ],
    },
    date_to_parts,
);

fn date_to_parts(call: &Call<'_>) -> Result<Value> {
    let date = call.arg(0)?;
    let Some(zone) = zone_arg(call, 1, 40517)? else {
        return Ok(Value::Null);
    };
    let iso = match call.arg(2)?.as_ref() {
        _ if !call.is_given(2) => false,
        ValueRef::Bool(iso) => iso,
        value if value.is_nullish() => return Ok(Value::Null),
        other => {
            return Err(Error::location(
                40521,
                format!(
                    "iso8601 must evaluate to a bool, found {}",
                    other.type_name()
                ),
            ));
        }
    };
    if date.is_nullish() {
        return Ok(Value::Null);
    }
    let time = zone.civil(to_instant(date.as_ref())?);
    let mut out = DocBuf::new();
    let mut append = |name: &str, value: i64| out.append(name, Number::narrow(value).to_ref());
    if iso {
        let (year, week) = time.iso_week();
        append("isoWeekYear", year);
        append("isoWeek", week);
        append("isoDayOfWeek", time.iso_weekday());
    } else {
        append("year", time.year);
        append("month", time.month.into());
        append("day", time.day.into());
    }
    append("hour", time.hour.into());
    append("minute", time.minute.into());
    append("second", time.second.into());
    append("millisecond", time.millisecond.into());
    Ok(Value::Document(out.finish()))
}

const FROM_PARTS: Named = Named {
    not_an_object: 40519,
    unknown: 40518,
    fields: &[
        optional("year"),
        optional("month"),
        optional("day"),
        optional("hour"),
        optional("minute"),
        optional("second"),
        optional("millisecond"),
        optional("isoWeekYear"),
        optional("isoWeek"),
        optional("isoDayOfWeek"),
        optional("timezone"),
    ],
};

pub(super) const DATE_FROM_PARTS: Op = Op::parsed("$dateFromParts", |operand, parser| {
    static FUNCTION: Function = Function {
        name: "$dateFromParts",
        args: Args::Named(FROM_PARTS),
        eval: date_from_parts,
        fold: Fold::None,
        check: None,
        check_each_argument: false,
    };
    let args = FROM_PARTS.parse(FUNCTION.name, operand, parser)?;
    let given = |index: usize| args.get(index).is_some_and(|arg| !arg.is_absent());
    if !given(0) && !given(7) {
        return Err(Error::location(
            40516,
            "$dateFromParts requires either 'year' or 'isoWeekYear' to be present",
        ));
    }
    if given(0) && (given(7) || given(8) || given(9)) {
        return Err(Error::location(
            40489,
            "$dateFromParts does not allow mixing natural dates with ISO dates",
        ));
    }
    if given(7) && (given(1) || given(2)) {
        return Err(Error::location(
            40525,
            "$dateFromParts does not allow mixing ISO dates with natural dates",
        ));
    }
    Ok(parser.call_of(&FUNCTION, args))
});

/// Argument `index` as an integer, or `default` if it was not given; `None` if it is null.
fn integer(call: &Call<'_>, index: usize, name: &str, default: i64) -> Result<Option<i64>> {
    if !call.is_given(index) {
        return Ok(Some(default));
    }
    let value = call.arg(index)?;
    if value.is_nullish() {
        return Ok(None);
    }
    Number::from_value(value.as_ref())
        .and_then(Number::to_i64)
        .map(Some)
        .ok_or_else(|| {
            Error::location(
                40515,
                format!(
                    "'{name}' must evaluate to an integer, found {}",
                    value.as_ref().type_name()
                ),
            )
        })
}

/// The same within ±2^15.
fn small(call: &Call<'_>, index: usize, name: &str, default: i64) -> Result<Option<i64>> {
    let value = integer(call, index, name, default)?;
    match value {
        Some(value) if i16::try_from(value).is_err() => Err(Error::location(
            31034,
            format!(
                "'{name}' must evaluate to a value in the range [-32768, 32767]; value {value} is not in range"
            ),
        )),
        value => Ok(value),
    }
}

fn check_year(year: i64, name: &str, code: i32) -> Result<()> {
    if (1..=9999).contains(&year) {
        return Ok(());
    }
    Err(Error::location(
        code,
        format!("'{name}' must evaluate to an integer in the range 1 to 9999, found {year}"),
    ))
}

fn date_from_parts(call: &Call<'_>) -> Result<Value> {
    let hour = small(call, 3, "hour", 0)?;
    let minute = small(call, 4, "minute", 0)?;
    let second = integer(call, 5, "second", 0)?;
    let millisecond = integer(call, 6, "millisecond", 0)?;
    let (Some(hour), Some(minute), Some(second), Some(millisecond)) =
        (hour, minute, second, millisecond)
    else {
        return Ok(Value::Null);
    };
    let Some(zone) = zone_arg(call, 10, 40517)? else {
        return Ok(Value::Null);
    };
    let days = if call.is_given(0) {
        let Some(year) = integer(call, 0, "year", 1970)? else {
            return Ok(Value::Null);
        };
        let Some(month) = small(call, 1, "month", 1)? else {
            return Ok(Value::Null);
        };
        let Some(day) = small(call, 2, "day", 1)? else {
            return Ok(Value::Null);
        };
        check_year(year, "year", 40523)?;
        super::month_start(year * 12 + month - 1) + day - 1
    } else {
        let Some(year) = integer(call, 7, "isoWeekYear", 1970)? else {
            return Ok(Value::Null);
        };
        let Some(week) = small(call, 8, "isoWeek", 1)? else {
            return Ok(Value::Null);
        };
        let Some(day) = small(call, 9, "isoDayOfWeek", 1)? else {
            return Ok(Value::Null);
        };
        check_year(year, "isoWeekYear", 31095)?;
        first_monday(year) + (week - 1) * 7 + day - 1
    };
    millis_of(&zone, days, hour * 60 + minute, second, millisecond)
        .map(Value::DateTime)
        .ok_or_else(|| {
            Error::new(
                ErrorCode::DurationOverflow,
                "Overflow casting from a lower-precision duration to a higher-precision duration",
            )
        })
}

/// Monday of week 1 of an ISO 8601 year, in days since the epoch.
pub(super) fn first_monday(year: i64) -> i64 {
    // The first week has 4 January in it.
    let fourth = civil::days_to(year, 1, 4);
    fourth - (civil::weekday_of(fourth) + 6) % 7
}

/// The instant of a local day, minutes, seconds and milliseconds, any of which may be out of its range.
fn millis_of(zone: &Zone, days: i64, minutes: i64, seconds: i64, milliseconds: i64) -> Option<i64> {
    // mongod adds them up in microseconds.
    milliseconds.checked_mul(1000)?;
    // Seconds and milliseconds are added as durations, after the zone has been applied.
    let local = days
        .checked_mul(civil::DAY)?
        .checked_add(minutes.checked_mul(civil::MINUTE)?)?;
    let extra = seconds
        .checked_mul(civil::SECOND)?
        .checked_add(milliseconds)?;
    let within = extra.rem_euclid(civil::MINUTE);
    zone.instant(local.checked_add(within)?)
        .checked_add(extra.checked_sub(within)?)
}
