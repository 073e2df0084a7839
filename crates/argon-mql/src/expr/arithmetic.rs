//! Arithmetic operators. What ends at a whole number and at a power of ten is in `round`.

mod power;
mod round;

use super::Operand;
use super::node::Call;
use super::ops::{ARGS_MAX, Fold, Op};
use crate::accumulator::Sum;
use crate::value::{Decimal, Number, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

pub(super) const OPS: &[Op] = &[
    Op::function("$abs", 1..=1, abs),
    Op::folding("$add", 0..=ARGS_MAX, add, Fold::All),
    Op::function("$ceil", 1..=1, round::ceil),
    Op::function("$divide", 2..=2, divide),
    Op::function("$exp", 1..=1, power::exp),
    Op::function("$floor", 1..=1, round::floor),
    Op::function("$ln", 1..=1, power::ln),
    Op::function("$log", 2..=2, power::log),
    Op::function("$log10", 1..=1, power::log10),
    Op::function("$mod", 2..=2, modulo),
    Op::folding("$multiply", 0..=ARGS_MAX, multiply, Fold::All),
    Op::function("$pow", 2..=2, power::pow),
    Op::function("$round", 1..=2, round::round),
    Op::function("$sqrt", 1..=1, power::sqrt),
    Op::function("$subtract", 2..=2, subtract),
    Op::function("$trunc", 1..=2, round::trunc),
];

/// The only argument as a number, or `None` if it is null.
pub(super) fn number_or_null(call: &Call<'_>, arg: &Operand<'_>) -> Result<Option<Number>> {
    let value = arg.as_ref();
    match Number::from_value(value) {
        Some(number) => Ok(Some(number)),
        None if value.is_nullish() => Ok(None),
        None => Err(Error::location(
            28765,
            format!(
                "{} only supports numeric types, not {}",
                call.name,
                value.type_name()
            ),
        )),
    }
}

fn abs(call: &Call<'_>) -> Result<Value> {
    let Some(number) = number_or_null(call, &call.arg(0)?)? else {
        return Ok(Value::Null);
    };
    Ok(match number {
        Number::Int64(i64::MIN) => {
            return Err(Error::location(28680, "can't take $abs of long long min"));
        }
        Number::Int64(value) => Value::Int64(value.abs()),
        Number::Int32(value) => Number::narrow(i64::from(value).abs()).to_value(),
        Number::Double(value) => Value::Double(value.abs()),
        Number::Decimal(value) => Value::Decimal128(value.abs().to_bytes()),
    })
}

fn add(call: &Call<'_>) -> Result<Value> {
    // Two plain numbers are by far the most frequent.
    if call.len() == 2 {
        let a = call.arg(0)?;
        let mut total = Total::default();
        if let Some(a) = plain(a.as_ref()) {
            let b = call.arg(1)?;
            if let Some(b) = plain(b.as_ref()) {
                return Ok(match a.add(b) {
                    // The sum begins with 0, and that is what two negative zeros add up to.
                    Number::Double(sum) => Value::Double(sum + 0.0),
                    sum => sum.to_value(),
                });
            }
            total.take(a.to_ref())?;
            return total.take_last(b.as_ref());
        }
        if !total.take(a.as_ref())? {
            return Ok(Value::Null);
        }
        return total.take_last(call.arg(1)?.as_ref());
    }
    let mut total = Total::default();
    for index in 0..call.len() {
        if !total.take(call.arg(index)?.as_ref())? {
            return Ok(Value::Null);
        }
    }
    total.value()
}

/// A number whose sum with another takes no more than one rounding.
fn plain(value: ValueRef<'_>) -> Option<Number> {
    match value {
        ValueRef::Int32(value) => Some(Number::Int32(value)),
        ValueRef::Double(value) => Some(Number::Double(value)),
        _ => None,
    }
}

/// The running total of `$add`.
#[derive(Default)]
struct Total {
    sum: Sum,
    date: Option<i64>,
}

impl Total {
    /// Adds `value`; false if it is null, which makes the whole sum null.
    fn take(&mut self, value: ValueRef<'_>) -> Result<bool> {
        match value {
            ValueRef::DateTime(millis) => {
                if self.date.is_some() {
                    return Err(Error::location(
                        16612,
                        "only one date allowed in an $add expression",
                    ));
                }
                self.date = Some(millis);
            }
            value if value.is_nullish() => return Ok(false),
            value => {
                if !self.sum.add_value(value) {
                    return Err(Error::location(
                        16554,
                        format!(
                            "$add only supports numeric or date types, not {}",
                            value.type_name()
                        ),
                    ));
                }
            }
        }
        Ok(true)
    }

    /// The total with a last value.
    fn take_last(&mut self, value: ValueRef<'_>) -> Result<Value> {
        if self.take(value)? {
            self.value()
        } else {
            Ok(Value::Null)
        }
    }

    fn value(&self) -> Result<Value> {
        let sum = self.sum.value();
        let Some(date) = self.date else {
            return Ok(sum);
        };
        let millis = match sum {
            Value::Decimal128(bytes) => {
                let sum = Decimal::from_bytes(bytes).add(Decimal::from_i64(date));
                Some(to_long_rounded(sum))
            }
            Value::Double(sum) => add_rounded(date, sum),
            Value::Int32(sum) => date.checked_add(sum.into()),
            Value::Int64(sum) => date.checked_add(sum),
            _ => None,
        };
        millis
            .map(Value::DateTime)
            .ok_or_else(|| Error::new(ErrorCode::Overflow, "date overflow in $add"))
    }
}

/// The long nearest to `whole + double`; halves go towards zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a whole double below 10^20"
)]
fn add_rounded(whole: i64, double: f64) -> Option<i64> {
    // What is beyond any date stays beyond it.
    if double.is_nan() || double.abs() > 1e20 {
        return None;
    }
    let fraction = double - double.floor();
    let base = i128::from(whole) + double.floor() as i128;
    let up = fraction > 0.5 || (fraction == 0.5 && base < 0);
    i64::try_from(base + i128::from(up)).ok()
}

/// A decimal rounded to a long; the smallest long stands for what is out of range.
fn to_long_rounded(value: Decimal) -> i64 {
    value
        .quantize(0, dec::Rounding::HalfEven)
        .to_i64()
        .unwrap_or(i64::MIN)
}

fn subtract(call: &Call<'_>) -> Result<Value> {
    // The right side first, as mongod does: it shows where both fail.
    let b = call.arg(1)?;
    let a = call.arg(0)?;
    let (a, b) = (a.as_ref(), b.as_ref());
    if let (Some(a), Some(b)) = (Number::from_value(a), Number::from_value(b)) {
        return Ok(a.subtract(b).to_value());
    }
    if a.is_nullish() || b.is_nullish() {
        return Ok(Value::Null);
    }
    match (a, b, Number::from_value(b)) {
        (ValueRef::DateTime(a), ValueRef::DateTime(b), _) => Ok(Value::Int64(a.wrapping_sub(b))),
        (ValueRef::DateTime(a), _, Some(b)) => {
            let millis = to_long(b)?;
            let negated = millis.checked_neg();
            let difference = negated.and_then(|millis| a.checked_add(millis));
            difference.map(Value::DateTime).ok_or_else(|| {
                Error::new(
                    ErrorCode::DurationOverflow,
                    format!("Overflow while subtracting {millis}ms from {a}ms"),
                )
            })
        }
        _ => Err(Error::type_mismatch(format!(
            "can't $subtract {} from {}",
            b.type_name(),
            a.type_name()
        ))),
    }
}

/// The number as a long: a double loses its fraction, a decimal is rounded, see [`to_long_rounded`].
///
/// # Errors
/// 31109 if a double is out of range.
pub(super) fn to_long(number: Number) -> Result<i64> {
    if let Number::Decimal(value) = number {
        return Ok(to_long_rounded(value));
    }
    number.to_i64_truncated().ok_or_else(|| {
        Error::location(
            31109,
            format!(
                "Can't coerce out of range value {} to long",
                super::text::format_number(number)
            ),
        )
    })
}

fn multiply(call: &Call<'_>) -> Result<Value> {
    let mut product = Number::Int32(1);
    for index in 0..call.len() {
        let arg = call.arg(index)?;
        let value = arg.as_ref();
        match Number::from_value(value) {
            Some(number) => product = product.multiply(number),
            None if value.is_nullish() => return Ok(Value::Null),
            None => {
                return Err(Error::type_mismatch(format!(
                    "$multiply only supports numeric types, not {}",
                    value.type_name()
                )));
            }
        }
    }
    Ok(product.to_value())
}

fn divide(call: &Call<'_>) -> Result<Value> {
    // The divisor first, as mongod does: it shows where both fail.
    let b = call.arg(1)?;
    let a = call.arg(0)?;
    let (a, b) = (a.as_ref(), b.as_ref());
    let (Some(dividend), Some(divisor)) = (Number::from_value(a), Number::from_value(b)) else {
        if a.is_nullish() || b.is_nullish() {
            return Ok(Value::Null);
        }
        return Err(Error::type_mismatch(format!(
            "$divide only supports numeric types, not {} and {}",
            a.type_name(),
            b.type_name()
        )));
    };
    if divisor.is_zero() {
        return Err(Error::bad_value("can't $divide by zero"));
    }
    Ok(match (dividend, divisor) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => {
            let quotient = dividend.to_decimal().divide(divisor.to_decimal());
            Value::Decimal128(quotient.to_bytes())
        }
        _ => Value::Double(dividend.to_f64() / divisor.to_f64()),
    })
}

fn modulo(call: &Call<'_>) -> Result<Value> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    let (a, b) = (a.as_ref(), b.as_ref());
    let (Some(dividend), Some(divisor)) = (Number::from_value(a), Number::from_value(b)) else {
        if a.is_nullish() || b.is_nullish() {
            return Ok(Value::Null);
        }
        return Err(Error::location(
            16611,
            format!(
                "$mod only supports numeric types, not {} and {}",
                a.type_name(),
                b.type_name()
            ),
        ));
    };
    let by_zero = |code| Error::location(code, "can't $mod by zero");
    if let (Number::Decimal(_), _) | (_, Number::Decimal(_)) = (dividend, divisor) {
        let divisor = divisor.to_decimal();
        if divisor.is_zero() {
            return Err(by_zero(5_733_415));
        }
        return Ok(decimal(dividend.to_decimal().remainder(divisor)));
    }
    if divisor.is_zero() {
        return Err(by_zero(16610));
    }
    // A double that is a whole int counts as one on the right, not on the left.
    let divisor = match divisor {
        Number::Double(_) => divisor
            .to_i64()
            .and_then(|whole| i32::try_from(whole).ok())
            .map_or(divisor, Number::Int32),
        other => other,
    };
    Ok(match (dividend, divisor) {
        (Number::Int32(a), Number::Int32(b)) => Value::Int32(a.wrapping_rem(b)),
        (Number::Int32(_) | Number::Int64(_), Number::Int32(_) | Number::Int64(_)) => {
            let (a, b) = (dividend.to_i64_saturated(), divisor.to_i64_saturated());
            Value::Int64(a.wrapping_rem(b))
        }
        _ => Value::Double(dividend.to_f64() % divisor.to_f64()),
    })
}

pub(super) fn decimal(value: Decimal) -> Value {
    Value::Decimal128(value.to_bytes())
}
