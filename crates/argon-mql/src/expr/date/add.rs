//! `$dateAdd` and `$dateSubtract`.

use super::super::node::Call;
use super::super::ops::{Named, Op, optional, required};
use super::civil::{self, Civil};
use super::{Unit, Zone, instant_of, month_start, months_of, zone_arg};
use crate::value::{Number, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

pub(super) const DATE_ADD: Op = Op::named("$dateAdd", ARGS, |call| date_add(call, false));
pub(super) const DATE_SUBTRACT: Op = Op::named("$dateSubtract", ARGS, |call| date_add(call, true));

const ARGS: Named = Named {
    not_an_object: 5_166_400,
    unknown: 5_166_401,
    fields: &[
        required("startDate", 5_166_402),
        required("unit", 5_166_402),
        required("amount", 5_166_402),
        optional("timezone"),
    ],
};

fn date_add(call: &Call<'_>, negate: bool) -> Result<Value> {
    // A null ends it before the next argument is evaluated.
    let start = call.arg(0)?;
    if start.is_nullish() {
        return Ok(Value::Null);
    }
    let unit = call.arg(1)?;
    if unit.is_nullish() {
        return Ok(Value::Null);
    }
    let amount = call.arg(2)?;
    if amount.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(zone) = zone_arg(call, 3, 40517)? else {
        return Ok(Value::Null);
    };
    let start = instant_of(start.as_ref()).ok_or_else(|| {
        Error::location(
            5_166_403,
            format!(
                "{} requires startDate to be convertible to a date",
                call.name
            ),
        )
    })?;
    let ValueRef::String(name) = unit.as_ref() else {
        return Err(Error::location(
            5_166_404,
            format!("{} requires string time unit", call.name),
        ));
    };
    let unit = Unit::parse(name)
        .ok_or_else(|| Error::failed_to_parse(format!("unknown time unit value: {name}")))?;
    let mut amount = Number::from_value(amount.as_ref())
        .and_then(Number::to_i64)
        .ok_or_else(|| {
            Error::location(
                5_166_405,
                format!("{} requires integer time amount", call.name),
            )
        })?;
    if negate {
        amount = amount.checked_neg().ok_or_else(|| {
            Error::location(
                6_045_000,
                format!("invalid $dateSubtract 'amount' parameter value: {amount}"),
            )
        })?;
    }
    add(start, unit, amount, &zone).map(Value::DateTime)
}

#[cold]
fn overflow() -> Error {
    Error::location(5_166_406, "dateAdd overflowed")
}

/// The instant `amount` units after `start`; months, weeks and days are those of `zone`.
///
/// # Errors
/// 5976500 for an amount that no date could be off by, 5166406 for a result out of range.
pub(super) fn add(start: i64, unit: Unit, amount: i64, zone: &Zone) -> Result<i64> {
    check_amount(unit, amount)?;
    let result = add_unchecked(start, unit, amount, zone)?;
    // mongod 6.0.5 is a second short for an instant before 1970 with a fraction of a second.
    if start < 0 && start % civil::SECOND != 0 && unit != Unit::Millisecond {
        return result.checked_sub(civil::SECOND).ok_or_else(overflow);
    }
    Ok(result)
}

fn add_unchecked(start: i64, unit: Unit, amount: i64, zone: &Zone) -> Result<i64> {
    if let Some(months) = unit.months() {
        let local = start.checked_add(zone.offset(start)).ok_or_else(overflow)?;
        let time = Civil::from_millis(local);
        let month = amount
            .checked_mul(months)
            .and_then(|months| months_of(time).checked_add(months))
            .ok_or_else(overflow)?;
        let length = month_start(month + 1) - month_start(month);
        // A day that the month does not have becomes its last.
        let days = month_start(month) + i64::from(time.day).min(length) - 1;
        return days
            .checked_mul(civil::DAY)
            .and_then(|day| day.checked_add(local.rem_euclid(civil::DAY)))
            .map(|local| zone.instant(local))
            .ok_or_else(overflow);
    }
    if unit == Unit::Millisecond {
        return start.checked_add(amount).ok_or_else(|| {
            Error::new(
                ErrorCode::DurationOverflow,
                format!("Overflow while adding {amount}ms to {start}ms"),
            )
        });
    }
    let distance = amount.checked_mul(unit.millis()).ok_or_else(overflow)?;
    if matches!(unit, Unit::Week | Unit::Day) {
        let before = zone.offset(start);
        let local = start.checked_add(before).ok_or_else(overflow)?;
        let local = local.checked_add(distance).ok_or_else(overflow)?;
        let plain = local.checked_sub(before).ok_or_else(overflow)?;
        // Where the offset is still the same, so is the time of day, even at an hour that comes twice.
        return Ok(if zone.offset(plain) == before {
            plain
        } else {
            zone.instant(local)
        });
    }
    start.checked_add(distance).ok_or_else(overflow)
}

/// Refuses what exceeds the distance between the first and the last date.
fn check_amount(unit: Unit, amount: i64) -> Result<()> {
    /// Days in all of time: 2^64 milliseconds.
    const DAYS: i64 = 213_503_982_334;
    const YEARS: i64 = DAYS / 365;
    let most = match unit {
        Unit::Year => YEARS,
        Unit::Quarter => YEARS * 4,
        Unit::Month => YEARS * 12,
        Unit::Week => DAYS / 7,
        Unit::Day => DAYS,
        Unit::Hour => (DAYS + 1) * 24 - 1,
        Unit::Minute => (DAYS + 1) * 24 * 60 - 1,
        Unit::Second => (DAYS + 1) * 24 * 60 * 60 - 1,
        Unit::Millisecond => return Ok(()),
    };
    if amount.unsigned_abs() <= most.unsigned_abs() {
        return Ok(());
    }
    Err(Error::location(
        5_976_500,
        format!("invalid dateAdd 'amount' parameter value: {amount} {unit:?}"),
    ))
}
