//! `$dateDiff`.

use super::super::node::Call;
use super::super::ops::{Named, Op, optional, required};
use super::{Unit, Zone, instant_of, months_of, weekday_arg, zone_arg};
use crate::value::{Value, ValueRef};
use crate::{Error, Result};

pub(super) const DATE_DIFF: Op = Op::named(
    "$dateDiff",
    Named {
        not_an_object: 5_166_301,
        unknown: 5_166_302,
        fields: &[
            required("startDate", 5_166_303),
            required("endDate", 5_166_304),
            required("unit", 5_166_305),
            optional("timezone"),
            optional("startOfWeek"),
        ],
    },
    date_diff,
);

fn date_diff(call: &Call<'_>) -> Result<Value> {
    // A null ends it before the next argument is evaluated.
    let start = call.arg(0)?;
    if start.is_nullish() {
        return Ok(Value::Null);
    }
    let end = call.arg(1)?;
    if end.is_nullish() {
        return Ok(Value::Null);
    }
    let unit = call.arg(2)?;
    if unit.is_nullish() {
        return Ok(Value::Null);
    }
    let is_week = matches!(unit.as_ref(), ValueRef::String(name) if *name == "week");
    if is_week && call.is_given(4) && call.arg(4)?.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(zone) = zone_arg(call, 3, 40517)? else {
        return Ok(Value::Null);
    };
    let instant = |value: ValueRef<'_>, name| {
        instant_of(value).ok_or_else(|| {
            Error::location(
                5_166_307,
                format!(
                    "$dateDiff requires '{name}' to be a date, but got {}",
                    value.type_name()
                ),
            )
        })
    };
    let start = instant(start.as_ref(), "startDate")?;
    let end = instant(end.as_ref(), "endDate")?;
    let unit = Unit::of_value(call.name, unit.as_ref())?;
    let first_weekday = if unit == Unit::Week && call.is_given(4) {
        weekday_arg(call.name, call.arg(4)?.as_ref())?
    } else {
        0
    };
    difference(start, end, unit, &zone, first_weekday)
        .map(Value::Int64)
        .ok_or_else(|| Error::location(5_166_308, "dateDiff overflowed"))
}

/// How many boundaries between units lie between two instants.
fn difference(start: i64, end: i64, unit: Unit, zone: &Zone, first_weekday: i64) -> Option<i64> {
    let (from, to) = (zone.civil(start), zone.civil(end));
    Some(match unit {
        Unit::Millisecond => end.checked_sub(start)?,
        Unit::Second => end.div_euclid(unit.millis()) - start.div_euclid(unit.millis()),
        Unit::Hour | Unit::Minute => {
            // Counted on the zone's clocks, less what those were put forward or back between.
            let (before, after) = (zone.offset(start), zone.offset(end));
            let local =
                |millis: i64, offset| millis.saturating_add(offset).div_euclid(unit.millis());
            local(end, after) - local(start, before) + (before - after) / unit.millis()
        }
        Unit::Day => to.days() - from.days(),
        Unit::Week => {
            // Days since a first day of a week.
            let week = |days: i64| (days + 4 - first_weekday).div_euclid(7);
            week(to.days()) - week(from.days())
        }
        Unit::Month => months_of(to) - months_of(from),
        Unit::Quarter => months_of(to).div_euclid(3) - months_of(from).div_euclid(3),
        Unit::Year => to.year - from.year,
    })
}
