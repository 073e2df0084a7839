//! Powers, roots and logarithms.

use super::super::node::Call;
use super::super::trigonometry::precise;
use super::{decimal, number_or_null};
use crate::value::{Decimal, Number, Value, ValueRef};
use crate::{Error, Result};

pub(super) fn exp(call: &Call<'_>) -> Result<Value> {
    Ok(match number_or_null(call, &call.arg(0)?)? {
        None => Value::Null,
        Some(Number::Decimal(value)) if value.is_infinite() => {
            let zero = value.is_negative();
            decimal(if zero { Decimal::ZERO } else { value })
        }
        Some(Number::Decimal(value)) if precise::is_tiny(value) => decimal(Decimal::from_i64(1)),
        Some(Number::Decimal(value)) => decimal(precise::pad(value.exp())),
        Some(number) => Value::Double(number.to_f64().exp()),
    })
}

/// An argument that has to be above zero, or `None` if it is null.
fn positive(call: &Call<'_>, code: i32) -> Result<Option<Number>> {
    let number = number_or_null(call, &call.arg(0)?)?;
    match number {
        Some(number) if number.is_zero() || number.is_negative() => Err(Error::location(
            code,
            format!("{}'s argument must be a positive number", call.name),
        )),
        number => Ok(number),
    }
}

pub(super) fn ln(call: &Call<'_>) -> Result<Value> {
    Ok(match positive(call, 28766)? {
        None => Value::Null,
        Some(number) if number.is_nan() => Value::Double(f64::NAN),
        Some(Number::Decimal(value)) => decimal(precise::ln(value)),
        Some(number) => Value::Double(number.to_f64().ln()),
    })
}

pub(super) fn log10(call: &Call<'_>) -> Result<Value> {
    Ok(match positive(call, 28761)? {
        None => Value::Null,
        Some(number) if number.is_nan() => Value::Double(f64::NAN),
        Some(Number::Decimal(value)) => decimal(precise::log10(value)),
        Some(number) => Value::Double(number.to_f64().log10()),
    })
}

pub(super) fn sqrt(call: &Call<'_>) -> Result<Value> {
    let Some(number) = number_or_null(call, &call.arg(0)?)? else {
        return Ok(Value::Null);
    };
    if number.is_negative() {
        return Err(Error::location(
            28714,
            "$sqrt's argument must be greater than or equal to 0",
        ));
    }
    Ok(match number {
        Number::Decimal(value) => decimal(value.sqrt()),
        number => Value::Double(number.to_f64().sqrt()),
    })
}

/// Two numeric arguments, or `None` if one is null; `codes` and `names` are for what is no number.
fn pair(
    call: &Call<'_>,
    codes: (i32, i32),
    names: (&str, &str),
) -> Result<Option<(Number, Number)>> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    if a.is_nullish() || b.is_nullish() {
        return Ok(None);
    }
    let number = |value: ValueRef<'_>, code, name| {
        Number::from_value(value).ok_or_else(|| {
            Error::location(
                code,
                format!(
                    "{}'s {name} must be numeric, not {}",
                    call.name,
                    value.type_name()
                ),
            )
        })
    };
    Ok(Some((
        number(a.as_ref(), codes.0, names.0)?,
        number(b.as_ref(), codes.1, names.1)?,
    )))
}

pub(super) fn log(call: &Call<'_>) -> Result<Value> {
    let Some((argument, base)) = pair(call, (28756, 28757), ("argument", "base"))? else {
        return Ok(Value::Null);
    };
    let one = Number::Int32(1);
    let is_positive = |number: Number| !number.is_zero() && !number.is_negative();
    let is_nan = argument.is_nan() || base.is_nan();
    // As doubles, in which the smallest decimals are nothing.
    let is_nothing = argument.to_f64() <= 0.0 || base.to_f64() <= 0.0;
    let is_good = is_positive(argument) && is_positive(base) && base.compare(one).is_ne();
    if !is_good || is_nan && is_nothing {
        if argument.to_f64() <= 0.0 {
            return Err(Error::location(
                28758,
                "$log's argument must be a positive number",
            ));
        }
        return Err(Error::location(
            28759,
            "$log's base must be a positive number not equal to 1",
        ));
    }
    // mongod 6.0.5 loses the type of a NaN.
    if is_nan {
        return Ok(Value::Double(f64::NAN));
    }
    Ok(match (argument, base) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => {
            let argument = argument.to_decimal();
            let is = |number| base.compare(Number::Int32(number)).is_eq();
            // mongod 6.0.5 divides by the base itself instead of by its logarithm, unless that is 2 or 10.
            decimal(if is(10) {
                precise::log10(argument)
            } else if is(2) {
                precise::log2(argument)
            } else {
                precise::ln(argument).divide(base.to_decimal())
            })
        }
        _ => Value::Double(argument.to_f64().ln() / base.to_f64().ln()),
    })
}

pub(super) fn pow(call: &Call<'_>) -> Result<Value> {
    let Some((base, exponent)) = pair(call, (28762, 28763), ("base", "exponent"))? else {
        return Ok(Value::Null);
    };
    let is_decimal = matches!(base, Number::Decimal(_)) || matches!(exponent, Number::Decimal(_));
    // As a decimal, -0 is negative.
    let is_negative = if is_decimal {
        exponent.to_decimal().is_negative() && !exponent.is_nan()
    } else {
        exponent.is_negative()
    };
    if base.is_zero() && is_negative {
        return Err(Error::location(
            28764,
            "$pow cannot take a base of 0 and a negative exponent",
        ));
    }
    let doubles = || Value::Double(base.to_f64().powf(exponent.to_f64()));
    let narrow = matches!((base, exponent), (Number::Int32(_), Number::Int32(_)));
    Ok(match (base, exponent) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => decimal(precise::pad(decimal_power(
            base.to_decimal(),
            exponent.to_decimal(),
        ))),
        (Number::Double(_), _) | (_, Number::Double(_)) => doubles(),
        _ => match integer_power(base.to_i64_saturated(), exponent.to_i64_saturated()) {
            Some(power) if narrow => Number::narrow(power).to_value(),
            Some(power) => Value::Int64(power),
            None => doubles(),
        },
    })
}

/// The power, if it is a long.
fn integer_power(base: i64, exponent: i64) -> Option<i64> {
    let odd = exponent % 2 != 0;
    match base {
        1 => Some(1),
        -1 => Some(if odd { -1 } else { 1 }),
        0 => Some(i64::from(exponent == 0)),
        _ => base.checked_pow(u32::try_from(exponent).ok()?),
    }
}

/// Above this a decimal is a multiple of ten.
const HUGE: Decimal = Decimal::finite(false, 1, 34);

/// The power of a decimal, by C's rules for what is not finite or zero.
fn decimal_power(base: Decimal, exponent: Decimal) -> Decimal {
    let one = Decimal::from_i64(1);
    if exponent.is_zero() || base.compare(one).is_eq() {
        return one;
    }
    // An exponent that large is whole and even.
    let is_huge = exponent.is_infinite() || exponent.abs().compare(HUGE).is_gt();
    let base = if is_huge { base.abs() } else { base };
    if base.compare(one).is_eq() {
        return one;
    }
    let power = base.pow(exponent);
    let whole = exponent.quantize(0, dec::Rounding::Down).compare(exponent);
    if power.is_zero() {
        return power.abs();
    }
    if !power.is_nan() || base.is_nan() || exponent.is_nan() || whole.is_ne() {
        return power;
    }
    // Too large for the library: out of range one way or the other.
    if base.abs().compare(one).is_gt() == exponent.is_negative() {
        Decimal::ZERO
    } else {
        Decimal::infinity(false)
    }
}
