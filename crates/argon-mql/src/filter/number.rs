//! Numbers as operands: integers out of any numeric type, or why there is none.

use crate::value::{Number, ValueRef};

/// Why a value is no integer of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotInteger {
    /// Not a number.
    Type,
    /// NaN.
    Nan,
    /// Has a fraction.
    Fraction,
    /// Beyond 64 bits, or a decimal that is no such integer for whatever reason.
    Range,
}

/// The integer that `value` is exactly, or why it is none.
pub(super) fn exact_integer(value: ValueRef<'_>) -> Result<i64, NotInteger> {
    let number = Number::from_value(value).ok_or(NotInteger::Type)?;
    number.to_i64().ok_or(match number {
        Number::Double(v) if v.is_nan() => NotInteger::Nan,
        Number::Double(v) if v.fract() != 0.0 => NotInteger::Fraction,
        _ => NotInteger::Range,
    })
}

/// `value` without its fraction, if that fits 64 bits.
pub(super) fn truncated(value: ValueRef<'_>) -> Result<i64, NotInteger> {
    let number = Number::from_value(value).ok_or(NotInteger::Type)?;
    number.to_i64_truncated().ok_or(if number.is_finite() {
        NotInteger::Range
    } else {
        NotInteger::Nan
    })
}
