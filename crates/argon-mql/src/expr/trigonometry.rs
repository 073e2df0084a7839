//! Trigonometry operators.

use std::f64::consts::PI;

use super::arithmetic::{decimal, number_or_null};
use super::node::Call;
use super::ops::Op;
use super::text::format_number;
use crate::value::{Decimal, Number, Value};
use crate::{Error, Result};

pub(super) mod precise;

pub(super) const OPS: &[Op] = &[
    Op::function("$acos", 1..=1, |call| {
        bounded(call, UNIT, f64::acos, precise::acos)
    }),
    Op::function("$acosh", 1..=1, |call| {
        bounded(call, FROM_ONE, acosh, precise::acosh)
    }),
    Op::function("$asin", 1..=1, |call| {
        bounded(call, UNIT, f64::asin, precise::asin)
    }),
    Op::function("$asinh", 1..=1, |call| apply(call, asinh, precise::asinh)),
    Op::function("$atan", 1..=1, |call| apply(call, f64::atan, precise::atan)),
    Op::function("$atan2", 2..=2, atan2),
    Op::function("$atanh", 1..=1, |call| {
        bounded(call, UNIT, libm::atanh, precise::atanh)
    }),
    Op::function("$cos", 1..=1, |call| {
        bounded(call, FINITE, f64::cos, precise::cos)
    }),
    Op::function("$cosh", 1..=1, |call| apply(call, f64::cosh, precise::cosh)),
    Op::function("$degreesToRadians", 1..=1, |call| {
        apply(call, |value| value * (PI / 180.0), precise::to_radians)
    }),
    Op::function("$radiansToDegrees", 1..=1, |call| {
        apply(call, |value| value * (180.0 / PI), precise::to_degrees)
    }),
    Op::function("$sin", 1..=1, |call| {
        bounded(call, FINITE, f64::sin, precise::sin)
    }),
    Op::function("$sinh", 1..=1, |call| apply(call, f64::sinh, precise::sinh)),
    Op::function("$tan", 1..=1, |call| {
        bounded(call, FINITE, f64::tan, precise::tan)
    }),
    Op::function("$tanh", 1..=1, |call| apply(call, f64::tanh, precise::tanh)),
];

/// The numbers that a function is defined for.
struct Domain {
    text: &'static str,
    contains: fn(Number) -> bool,
}

const UNIT: Domain = Domain {
    text: "[-1,1]",
    contains: |number| {
        let order = |bound| number.compare(Number::Int32(bound));
        order(-1).is_ge() && order(1).is_le()
    },
};
const FROM_ONE: Domain = Domain {
    text: "[1,inf]",
    contains: |number| number.compare(Number::Int32(1)).is_ge(),
};
const FINITE: Domain = Domain {
    text: "(-inf,inf)",
    contains: Number::is_finite,
};

fn apply(
    call: &Call<'_>,
    double: fn(f64) -> f64,
    precise: fn(Decimal) -> Decimal,
) -> Result<Value> {
    Ok(match number_or_null(call, &call.arg(0)?)? {
        None => Value::Null,
        Some(Number::Decimal(value)) => decimal(precise(value)),
        Some(number) => Value::Double(double(number.to_f64())),
    })
}

fn bounded(
    call: &Call<'_>,
    domain: Domain,
    double: fn(f64) -> f64,
    precise: fn(Decimal) -> Decimal,
) -> Result<Value> {
    let Some(number) = number_or_null(call, &call.arg(0)?)? else {
        return Ok(Value::Null);
    };
    if number.is_nan() {
        return Ok(number.to_value());
    }
    if !(domain.contains)(number) {
        return Err(Error::location(
            50989,
            format!(
                "cannot apply {} to {}, value must be in {}",
                call.name,
                format_number(number),
                domain.text
            ),
        ));
    }
    Ok(match number {
        Number::Decimal(value) => decimal(precise(value)),
        number => Value::Double(double(number.to_f64())),
    })
}

/// Above this, `x * x + 1` is `x * x`.
const LARGE: f64 = 268_435_456.0;

/// The inverse hyperbolic cosine from 1 on, by the formulas of the C libraries on the system's logarithm: other
/// implementations are now and then off in the last bit from what mongod computes.
fn acosh(x: f64) -> f64 {
    if x >= LARGE {
        x.ln() + std::f64::consts::LN_2
    } else if x > 2.0 {
        let square = x * x;
        (2.0 * x - 1.0 / (x + (square - 1.0).sqrt())).ln()
    } else {
        let above = x - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    }
}

/// The inverse hyperbolic sine, as [`acosh`].
fn asinh(x: f64) -> f64 {
    let size = x.abs();
    let result = if size < 1.0 / LARGE {
        return x;
    } else if size > LARGE {
        size.ln() + std::f64::consts::LN_2
    } else if size > 2.0 {
        (2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size)).ln()
    } else {
        let square = size * size;
        (size + square / (1.0 + (1.0 + square).sqrt())).ln_1p()
    };
    result.copysign(x)
}

fn atan2(call: &Call<'_>) -> Result<Value> {
    let number = |index, code| {
        let arg = call.arg(index)?;
        let value = arg.as_ref();
        match Number::from_value(value) {
            Some(number) => Ok(Some(number)),
            None if value.is_nullish() => Ok(None),
            None => Err(Error::location(
                code,
                format!(
                    "$atan2 only supports numeric types, not {}",
                    value.type_name()
                ),
            )),
        }
    };
    let Some(y) = number(0, 51044)? else {
        return Ok(Value::Null);
    };
    let Some(x) = number(1, 51045)? else {
        return Ok(Value::Null);
    };
    Ok(match (y, x) {
        (Number::Decimal(_), _) | (_, Number::Decimal(_)) => {
            decimal(precise::atan2(y.to_decimal(), x.to_decimal()))
        }
        _ => Value::Double(y.to_f64().atan2(x.to_f64())),
    })
}
