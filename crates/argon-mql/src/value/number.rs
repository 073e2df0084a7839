//! The four numeric types as one: exact comparison, and arithmetic with MongoDB's promotions.

use std::cmp::Ordering;

use super::decimal::Decimal;
use super::owned::Value;
use super::reference::ValueRef;

/// A number of any BSON type.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are the BSON specification's")]
pub enum Number {
    Int32(i32),
    Int64(i64),
    Double(f64),
    Decimal(Decimal),
}

/// 2^63 as a double: the first that no `i64` reaches.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

impl Number {
    /// The number, if `value` is one.
    #[inline]
    pub fn from_value(value: ValueRef<'_>) -> Option<Number> {
        Some(match value {
            ValueRef::Int32(v) => Number::Int32(v),
            ValueRef::Int64(v) => Number::Int64(v),
            ValueRef::Double(v) => Number::Double(v),
            ValueRef::Decimal128(v) => Number::Decimal(Decimal::from_bytes(v)),
            _ => return None,
        })
    }

    /// A borrowed-value view of it, ready to be appended to a document.
    #[inline]
    pub fn to_ref(self) -> ValueRef<'static> {
        match self {
            Number::Int32(v) => ValueRef::Int32(v),
            Number::Int64(v) => ValueRef::Int64(v),
            Number::Double(v) => ValueRef::Double(v),
            Number::Decimal(v) => ValueRef::Decimal128(v.to_bytes()),
        }
    }

    /// The number as an owned value.
    #[inline]
    pub fn to_value(self) -> Value {
        match self {
            Number::Int32(v) => Value::Int32(v),
            Number::Int64(v) => Value::Int64(v),
            Number::Double(v) => Value::Double(v),
            Number::Decimal(v) => Value::Decimal128(v.to_bytes()),
        }
    }

    /// An int if `value` fits one, else a long.
    #[inline]
    pub fn narrow(value: i64) -> Number {
        i32::try_from(value).map_or(Number::Int64(value), Number::Int32)
    }

    /// Whether it is a NaN.
    pub fn is_nan(self) -> bool {
        match self {
            Number::Double(v) => v.is_nan(),
            Number::Decimal(v) => v.is_nan(),
            _ => false,
        }
    }

    /// Whether it is neither NaN nor infinite.
    pub fn is_finite(self) -> bool {
        match self {
            Number::Double(v) => v.is_finite(),
            Number::Decimal(v) => v.is_finite(),
            _ => true,
        }
    }

    /// Whether it is zero, of either sign.
    pub fn is_zero(self) -> bool {
        match self {
            Number::Int32(v) => v == 0,
            Number::Int64(v) => v == 0,
            Number::Double(v) => v == 0.0,
            Number::Decimal(v) => v.is_zero(),
        }
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        match self {
            Number::Int32(v) => v < 0,
            Number::Int64(v) => v < 0,
            Number::Double(v) => v < 0.0,
            Number::Decimal(v) => v.is_negative() && !v.is_zero() && !v.is_nan(),
        }
    }

    /// The nearest double.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the nearest double is what is asked for"
    )]
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int32(v) => v.into(),
            Number::Int64(v) => v as f64,
            Number::Double(v) => v,
            Number::Decimal(v) => v.to_f64(),
        }
    }

    /// The number as a decimal; a double keeps fifteen digits, see [`Decimal::from_f64`].
    pub fn to_decimal(self) -> Decimal {
        match self {
            Number::Int32(v) => Decimal::from_i64(v.into()),
            Number::Int64(v) => Decimal::from_i64(v),
            Number::Double(v) => Decimal::from_f64(v),
            Number::Decimal(v) => v,
        }
    }

    /// The number as an `i64`, if it is exactly one: 3.0 is, 3.5 and 1e300 are not.
    pub fn to_i64(self) -> Option<i64> {
        match self {
            Number::Int32(v) => Some(v.into()),
            Number::Int64(v) => Some(v),
            Number::Double(v) => truncate_f64(v).filter(|_| v.trunc() == v),
            Number::Decimal(v) => v.to_i64(),
        }
    }

    /// The number without its fraction as an `i64`, if within range.
    pub fn to_i64_truncated(self) -> Option<i64> {
        match self {
            Number::Int32(v) => Some(v.into()),
            Number::Int64(v) => Some(v),
            Number::Double(v) => truncate_f64(v),
            Number::Decimal(v) => v.to_i64_truncated(),
        }
    }

    /// The number without its fraction as an `i64`; beyond the range the nearest bound, NaN gives 0. Options of
    /// commands are read so (`batchSize: 2.7`).
    #[expect(
        clippy::cast_possible_truncation,
        reason = "casts from double saturate"
    )]
    pub fn to_i64_saturated(self) -> i64 {
        match self {
            Number::Int32(v) => v.into(),
            Number::Int64(v) => v,
            Number::Double(v) => v as i64,
            Number::Decimal(v) => v.to_i64_truncated().unwrap_or_else(|| v.to_f64() as i64),
        }
    }

    /// MongoDB's order: by exact value across types; NaN is lowest and equals NaN, -0 = 0.
    #[inline]
    pub fn compare(self, other: Number) -> Ordering {
        use Number::{Decimal as Dec, Double, Int32, Int64};
        match (self, other) {
            (Int32(a), Int32(b)) => a.cmp(&b),
            (Int32(a), Int64(b)) => i64::from(a).cmp(&b),
            (Int64(a), Int32(b)) => a.cmp(&i64::from(b)),
            (Int64(a), Int64(b)) => a.cmp(&b),
            (Double(a), Double(b)) => compare_f64(a, b),
            (Int32(a), Double(b)) => compare_f64(a.into(), b),
            (Double(a), Int32(b)) => compare_f64(a, b.into()),
            (Int64(a), Double(b)) => compare_i64_f64(a, b),
            (Double(a), Int64(b)) => compare_i64_f64(b, a).reverse(),
            (Dec(a), Double(b)) => a.compare_f64(b),
            (Double(a), Dec(b)) => b.compare_f64(a).reverse(),
            (Dec(a), b) => a.compare(b.to_decimal()),
            (a, Dec(b)) => a.to_decimal().compare(b),
        }
    }

    /// The sum; an int becomes a long where it overflows, a long a double; with a decimal it is a decimal.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "rounds or promotes, and reads as its siblings do"
    )]
    pub fn add(self, other: Number) -> Number {
        self.checked_add(other)
            .unwrap_or_else(|| Number::Double(self.to_f64() + other.to_f64()))
    }

    /// As [`add`](Number::add), but `None` where longs overflow: `$inc` refuses that.
    pub fn checked_add(self, other: Number) -> Option<Number> {
        self.combine(other, i64::checked_add, |a, b| a + b, Decimal::add)
    }

    /// The difference, promoted as [`add`](Number::add).
    #[must_use]
    pub fn subtract(self, other: Number) -> Number {
        self.combine(other, i64::checked_sub, |a, b| a - b, Decimal::subtract)
            .unwrap_or_else(|| Number::Double(self.to_f64() - other.to_f64()))
    }

    /// The product, promoted as [`add`](Number::add).
    #[must_use]
    pub fn multiply(self, other: Number) -> Number {
        self.checked_multiply(other)
            .unwrap_or_else(|| Number::Double(self.to_f64() * other.to_f64()))
    }

    /// As [`multiply`](Number::multiply), but `None` where longs overflow: `$mul` refuses that.
    pub fn checked_multiply(self, other: Number) -> Option<Number> {
        self.combine(other, i64::checked_mul, |a, b| a * b, Decimal::multiply)
    }

    /// The number with the other sign; the smallest int becomes a long, the smallest long a double.
    #[must_use]
    pub fn negate(self) -> Number {
        match self {
            Number::Int32(v) => Number::narrow(-i64::from(v)),
            Number::Int64(v) => v
                .checked_neg()
                .map_or(Number::Double(TWO_63), Number::Int64),
            Number::Double(v) => Number::Double(-v),
            Number::Decimal(v) => Number::Decimal(v.negate()),
        }
    }

    #[inline]
    fn combine(
        self,
        other: Number,
        integers: impl Fn(i64, i64) -> Option<i64>,
        doubles: impl Fn(f64, f64) -> f64,
        decimals: impl Fn(Decimal, Decimal) -> Decimal,
    ) -> Option<Number> {
        use Number::{Decimal as Dec, Double, Int32, Int64};
        Some(match (self, other) {
            (Dec(_), _) | (_, Dec(_)) => Dec(decimals(self.to_decimal(), other.to_decimal())),
            (Double(_), _) | (_, Double(_)) => Double(doubles(self.to_f64(), other.to_f64())),
            (Int32(a), Int32(b)) => Number::narrow(integers(a.into(), b.into())?),
            (Int32(a), Int64(b)) => Int64(integers(a.into(), b)?),
            (Int64(a), Int32(b)) => Int64(integers(a, b.into())?),
            (Int64(a), Int64(b)) => Int64(integers(a, b)?),
        })
    }
}

/// MongoDB's order of doubles: NaN is lowest and equals NaN, -0 = 0.
#[inline]
pub(super) fn compare_f64(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Order of the exact values of an integer and a double.
pub(super) fn compare_i64_f64(a: i64, b: f64) -> Ordering {
    if b >= TWO_63 {
        return Ordering::Less;
    }
    let Some(whole) = truncate_f64(b) else {
        // NaN or below every long.
        return Ordering::Greater;
    };
    // The fraction decides only where the whole parts agree; it has the sign of the double.
    a.cmp(&whole).then_with(|| compare_f64(0.0, b - b.trunc()))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
fn truncate_f64(value: f64) -> Option<i64> {
    (-TWO_63..TWO_63).contains(&value).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_exactly_across_types() {
        let two_53 = 9_007_199_254_740_992;
        for (a, b, expected) in [
            (
                Number::Int64(two_53 + 1),
                Number::Double(9_007_199_254_740_992.0),
                Ordering::Greater,
            ),
            (
                Number::Int64(two_53),
                Number::Double(9_007_199_254_740_992.0),
                Ordering::Equal,
            ),
            (
                Number::Int64(i64::MAX),
                Number::Double(TWO_63),
                Ordering::Less,
            ),
            (
                Number::Int64(i64::MIN),
                Number::Double(-TWO_63),
                Ordering::Equal,
            ),
            (
                Number::Int64(i64::MIN),
                Number::Double(f64::NAN),
                Ordering::Greater,
            ),
            (
                Number::Int64(i64::MIN),
                Number::Double(-1e300),
                Ordering::Greater,
            ),
            (Number::Int32(1), Number::Double(1.5), Ordering::Less),
            (Number::Int64(-1), Number::Double(-1.5), Ordering::Greater),
            (Number::Int32(0), Number::Double(-0.0), Ordering::Equal),
            (
                Number::Double(f64::NAN),
                Number::Double(-f64::NAN),
                Ordering::Equal,
            ),
            (
                Number::Decimal(Decimal::NAN),
                Number::Double(f64::NAN),
                Ordering::Equal,
            ),
            (
                Number::Decimal(Decimal::NAN),
                Number::Double(f64::NEG_INFINITY),
                Ordering::Less,
            ),
            (
                Number::Decimal(Decimal::from_i64(two_53 + 1)),
                Number::Int64(two_53 + 1),
                Ordering::Equal,
            ),
        ] {
            assert_eq!(a.compare(b), expected, "{a:?} {b:?}");
            assert_eq!(b.compare(a), expected.reverse(), "{b:?} {a:?}");
        }
    }

    #[test]
    fn promotes_as_mongod_answers() {
        let text = |number: Number| format!("{:?}", number.to_value());
        assert_eq!(
            text(Number::Int32(i32::MAX).add(Number::Int32(2))),
            "Int64(2147483649)"
        );
        assert_eq!(text(Number::Int64(1).add(Number::Int32(2))), "Int64(3)");
        assert_eq!(
            text(Number::Int64(i64::MAX).add(Number::Int32(2))),
            "Double(9.223372036854776e18)"
        );
        assert_eq!(text(Number::Int32(i32::MIN).negate()), "Int64(2147483648)");
        assert_eq!(
            text(Number::Int32(i32::MIN).multiply(Number::Int32(-1))),
            "Int64(2147483648)"
        );
        assert!(
            Number::Int64(i64::MAX)
                .checked_add(Number::Int32(1))
                .is_none()
        );
        let sum = Number::Double(0.1).add(Number::Decimal(Decimal::from_i64(1)));
        assert!(matches!(sum, Number::Decimal(v) if v.to_string() == "1.100000000000000"));
    }

    #[test]
    fn integers() {
        assert_eq!(Number::Double(3.0).to_i64(), Some(3));
        assert_eq!(Number::Double(3.5).to_i64(), None);
        assert_eq!(Number::Double(3.5).to_i64_truncated(), Some(3));
        assert_eq!(Number::Double(1e300).to_i64_truncated(), None);
        assert_eq!(Number::Double(1e300).to_i64_saturated(), i64::MAX);
        assert_eq!(Number::Double(f64::NAN).to_i64_saturated(), 0);
    }
}
