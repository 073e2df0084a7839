//! `$ceil`, `$floor`, `$round` and `$trunc`.

use dec::Rounding;

use super::super::node::Call;
use super::super::trigonometry::precise::pad;
use super::{decimal, number_or_null, to_long};
use crate::value::{Decimal, Number, Value};
use crate::{Error, Result};

/// The places that `$round` and `$trunc` accept.
const PLACES: std::ops::RangeInclusive<i64> = -20..=100;

pub(super) fn ceil(call: &Call<'_>) -> Result<Value> {
    to_whole(call, f64::ceil, Rounding::Ceiling)
}

pub(super) fn floor(call: &Call<'_>) -> Result<Value> {
    to_whole(call, f64::floor, Rounding::Floor)
}

fn to_whole(call: &Call<'_>, double: fn(f64) -> f64, rounding: Rounding) -> Result<Value> {
    let Some(number) = number_or_null(call, &call.arg(0)?)? else {
        return Ok(Value::Null);
    };
    Ok(match number {
        Number::Double(value) => Value::Double(double(value)),
        // An infinity is no whole number: NaN.
        Number::Decimal(value) => decimal(value.quantize(0, rounding)),
        whole => whole.to_value(),
    })
}

/// `value` rounded to a multiple of 10^`exponent`. What would need too many digits gets all that there are; what is not
/// finite stays as it is.
fn quantize(value: Decimal, exponent: i32, rounding: Rounding) -> Decimal {
    let rounded = value.quantize(exponent, rounding);
    if rounded.is_nan() {
        pad(value)
    } else {
        rounded
    }
}

pub(super) fn round(call: &Call<'_>) -> Result<Value> {
    to_place(call, f64::round_ties_even, Rounding::HalfEven)
}

pub(super) fn trunc(call: &Call<'_>) -> Result<Value> {
    to_place(call, f64::trunc, Rounding::Down)
}

fn to_place(call: &Call<'_>, double: fn(f64) -> f64, rounding: Rounding) -> Result<Value> {
    let arg = call.arg(0)?;
    if arg.is_nullish() {
        return Ok(Value::Null);
    }
    let number = Number::from_value(arg.as_ref()).ok_or_else(|| {
        Error::location(
            51081,
            format!(
                "{} only supports numeric types, not {}",
                call.name,
                arg.as_ref().type_name()
            ),
        )
    })?;
    let Some(place) = place(call)? else {
        return Ok(Value::Null);
    };
    let exponent = -place;
    Ok(match number {
        Number::Decimal(value) => decimal(quantize(value, exponent, rounding)),
        Number::Double(value) if place == 0 || !value.is_finite() => Value::Double(double(value)),
        Number::Double(value) => {
            let rounded = Decimal::from_f64_exact(value).quantize(exponent, rounding);
            if rounded.is_nan() {
                // More digits than a decimal has: nothing to round away.
                Value::Double(value)
            } else {
                Value::Double(rounded.to_f64())
            }
        }
        whole if place >= 0 => whole.to_value(),
        whole => {
            let rounded = quantize(whole.to_decimal(), exponent, rounding);
            let long = rounded.to_i64().ok_or_else(|| {
                Error::location(
                    51080,
                    format!("invalid conversion from Decimal128 result in {}", call.name),
                )
            })?;
            match whole {
                Number::Int32(_) if long > i32::MAX.into() => Value::Int64(long),
                // Below the ints, mongod 6.0.5 wraps around.
                Number::Int32(_) => Value::Int32(wrap(long)),
                _ => Value::Int64(long),
            }
        }
    })
}

/// The lower half of a long.
fn wrap(long: i64) -> i32 {
    let [a, b, c, d, ..] = long.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// The second argument: digits behind the point, or `None` if it is null.
fn place(call: &Call<'_>) -> Result<Option<i32>> {
    if call.len() < 2 {
        return Ok(Some(0));
    }
    let arg = call.arg(1)?;
    if arg.is_nullish() {
        return Ok(None);
    }
    let number = Number::from_value(arg.as_ref()).ok_or_else(|| {
        Error::location(
            16004,
            format!(
                "can't convert from BSON type {} to long",
                arg.as_ref().type_name()
            ),
        )
    })?;
    let long = to_long(number)?;
    if number.to_i64() != Some(long) || i32::try_from(long).is_err() {
        return Err(Error::location(
            51082,
            format!(
                "precision argument to {} must be a integral value",
                call.name
            ),
        ));
    }
    i32::try_from(long)
        .ok()
        .filter(|_| PLACES.contains(&long))
        .map(Some)
        .ok_or_else(|| {
            Error::location(
                51083,
                format!(
                    "cannot apply {} with precision value {long} value must be in [-20, 100]",
                    call.name
                ),
            )
        })
}
