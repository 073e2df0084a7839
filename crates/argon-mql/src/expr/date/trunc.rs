//! `$dateTrunc`.

use super::super::node::Call;
use super::super::ops::{Named, Op, optional, required};
use super::civil::{self, Civil};
use super::{Unit, Zone, instant_of, month_start, months_of, weekday_arg, zone_arg};
use crate::value::{Number, Value, ValueRef};
use crate::{Error, Result};

pub(super) const DATE_TRUNC: Op = Op::named(
    "$dateTrunc",
    Named {
        not_an_object: 5_439_007,
        unknown: 5_439_008,
        fields: &[
            required("date", 5_439_009),
            required("unit", 5_439_010),
            optional("binSize"),
            optional("timezone"),
            optional("startOfWeek"),
        ],
    },
    date_trunc,
);

/// Bins are counted from here: 1 January 2000, in days since the epoch.
const REFERENCE_DAY: i64 = 10_957;

fn date_trunc(call: &Call<'_>) -> Result<Value> {
    // A null ends it before the next argument is evaluated.
    let date = call.arg(0)?;
    if date.is_nullish() {
        return Ok(Value::Null);
    }
    let unit = call.arg(1)?;
    if unit.is_nullish() {
        return Ok(Value::Null);
    }
    let size = call.arg(2)?;
    if call.is_given(2) && size.is_nullish() {
        return Ok(Value::Null);
    }
    let is_week = matches!(unit.as_ref(), ValueRef::String(name) if *name == "week");
    if is_week && call.is_given(4) && call.arg(4)?.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(zone) = zone_arg(call, 3, 40517)? else {
        return Ok(Value::Null);
    };
    let millis = instant_of(date.as_ref()).ok_or_else(|| {
        Error::location(
            5_439_012,
            format!(
                "$dateTrunc requires 'date' to be a date, but got {}",
                date.as_ref().type_name()
            ),
        )
    })?;
    let unit = Unit::of_value(call.name, unit.as_ref())?;
    let size = if call.is_given(2) {
        let number = Number::from_value(size.as_ref()).and_then(Number::to_i64);
        number.ok_or_else(|| {
            Error::location(
                5_439_017,
                format!(
                    "$dateTrunc requires 'binSize' to be a 64-bit integer, but got {}",
                    size.as_ref().type_name()
                ),
            )
        })?
    } else {
        1
    };
    if size <= 0 {
        return Err(Error::location(
            5_439_018,
            format!("$dateTrunc requires 'binSize' to be greater than 0, but got value {size}"),
        ));
    }
    let first_weekday = if unit == Unit::Week && call.is_given(4) {
        weekday_arg(call.name, call.arg(4)?.as_ref())?
    } else {
        0
    };
    truncate(millis, unit, size, &zone, first_weekday).map(Value::DateTime)
}

#[cold]
fn overflow() -> Error {
    Error::location(5_166_406, "dateAdd overflowed")
}

/// The beginning of the bin of `size` units that `millis` is in.
fn truncate(millis: i64, unit: Unit, size: i64, zone: &Zone, first_weekday: i64) -> Result<i64> {
    /// The largest bin that mongod 6.0.5 accepts for units of days and more.
    const SIZE_MAX: i64 = 100_000_000_000;
    if matches!(
        unit,
        Unit::Hour | Unit::Minute | Unit::Second | Unit::Millisecond
    ) {
        let bin = size
            .checked_mul(unit.millis())
            .ok_or_else(|| Error::location(5_439_002, "dateTrunc overflowed"))?;
        let reference = zone.instant(REFERENCE_DAY * civil::DAY);
        let distance = i128::from(millis) - i128::from(reference);
        let start = i128::from(millis) - distance.rem_euclid(i128::from(bin));
        return i64::try_from(start).map_err(|_| overflow());
    }
    if size > SIZE_MAX {
        return Err(Error::location(
            5_439_006,
            "dateTrunc unsupported binSize value",
        ));
    }
    let local = millis
        .checked_add(zone.offset(millis))
        .ok_or_else(overflow)?;
    let days = if let Some(months) = unit.months() {
        let bin = size.checked_mul(months).ok_or_else(overflow)?;
        let reference = months_of(Civil::from_millis(REFERENCE_DAY * civil::DAY));
        let month = months_of(Civil::from_millis(local));
        month_start(month - (month - reference).rem_euclid(bin))
    } else {
        let day = local.div_euclid(civil::DAY);
        let (bin, reference) = if unit == Unit::Week {
            let ahead = first_weekday - civil::weekday_of(REFERENCE_DAY);
            (size.checked_mul(7), REFERENCE_DAY + ahead.rem_euclid(7))
        } else {
            (Some(size), REFERENCE_DAY)
        };
        day - (day - reference).rem_euclid(bin.ok_or_else(overflow)?)
    };
    let start = days.checked_mul(civil::DAY).ok_or_else(overflow)?;
    Ok(zone.instant(start))
}
