//! `$sum` and `$avg`.

use super::State;
use crate::Result;
use crate::collation::Collation;
use crate::expr::Operand;
use crate::value::decimal::Decimal;
use crate::value::{Doc, DocBuf, Value, ValueRef};

/// A running sum of numbers of all types.
///
/// Integers are added exactly. From the first double on, the sum is a pair of doubles whose second carries the rounding
/// error of the first, so that ten times 0.1 is 1. Decimals are kept apart, and joined with the rest at the end.
///
/// Source: MongoDB manual, "$sum"; the order of rounding is the one that mongod 6.0.5 shows on mixed magnitudes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// The sum of the integers, as long as there was no double.
    integer: i128,
    /// The widest type seen.
    kind: Kind,
    has_double: bool,
    high: f64,
    low: f64,
    decimal: Option<Box<Decimal>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    #[default]
    Int32,
    Int64,
    Double,
    Decimal,
}

/// `a + b` rounded, and what the rounding lost (Knuth's two-sum, exact for all finite doubles).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// An integer as two doubles whose sum it is exactly, for integers below 2^106.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the second part is what the first loses"
)]
fn split(value: i128) -> (f64, f64) {
    let high = value as f64;
    (high, (value - high as i128) as f64)
}

impl Sum {
    /// A sum that is made of doubles from the beginning, which is what mongod divides for an average.
    pub(crate) fn of_doubles() -> Sum {
        Sum {
            has_double: true,
            ..Sum::default()
        }
    }

    /// Adds `value` if it is a number; answers whether it is one.
    #[inline]
    pub(crate) fn add_value(&mut self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Int32(v) => self.add_integer(i64::from(v), false),
            ValueRef::Int64(v) => {
                self.kind = self.kind.max(Kind::Int64);
                self.add_integer(v, true);
            }
            ValueRef::Double(v) => {
                self.kind = self.kind.max(Kind::Double);
                if !self.has_double {
                    self.has_double = true;
                    (self.high, self.low) = split(self.integer);
                }
                self.add_double(v);
            }
            ValueRef::Decimal128(bytes) => {
                self.kind = Kind::Decimal;
                let decimal = Decimal::from_bytes(bytes);
                match &mut self.decimal {
                    Some(sum) => **sum = sum.add(decimal),
                    None => self.decimal = Some(Box::new(Decimal::ZERO.add(decimal))),
                }
            }
            _ => return false,
        }
        true
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "there is none")]
    fn add_integer(&mut self, value: i64, long: bool) {
        if self.has_double {
            // In halves, which are doubles exactly. One that is zero counts, too: it evens the pair out.
            let low = value % (1 << 32);
            if long {
                self.add_double(low as f64);
                self.add_double((value - low) as f64);
            } else {
                self.add_double(value as f64);
            }
        } else {
            // 2^64 additions of 64-bit integers fit.
            self.integer += i128::from(value);
        }
    }

    #[inline]
    fn add_double(&mut self, value: f64) {
        let (value, lost) = two_sum(value, self.low);
        (self.high, self.low) = two_sum(self.high, value);
        self.low += lost;
        if self.low.is_nan() {
            // Infinities have no rounding error, and must not leave one behind.
            self.low = 0.0;
        }
    }

    /// Whether a decimal is part of it.
    pub(crate) fn is_decimal(&self) -> bool {
        self.kind == Kind::Decimal
    }

    /// The part that is no decimal, as a double.
    pub(crate) fn to_f64(&self) -> f64 {
        if self.has_double {
            self.high
        } else {
            split(self.integer).0
        }
    }

    /// The part that is no decimal as an integer, if it is one of 64 bits: exactly, as long as there was no double.
    #[expect(clippy::cast_possible_truncation, reason = "it is within 64 bits")]
    pub(crate) fn to_i64(&self) -> Option<i64> {
        if !self.has_double
            && let Ok(integer) = i64::try_from(self.integer)
        {
            return Some(integer);
        }
        let high = if self.has_double {
            self.high
        } else {
            split(self.integer).0
        };
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&high);
        fits.then_some(high as i64)
    }

    /// All of it, as a decimal.
    pub(crate) fn to_decimal(&self) -> Decimal {
        let (high, low) = if self.has_double {
            (self.high, self.low)
        } else {
            split(self.integer)
        };
        let mut sum = self.decimal.as_deref().copied().unwrap_or(Decimal::ZERO);
        match (self.has_double, i64::try_from(self.integer)) {
            (false, Ok(0)) => {}
            _ if self.kind == Kind::Decimal && high == 0.0 && low == 0.0 => {}
            (false, Ok(integer)) => sum = sum.add(Decimal::from_i64(integer)),
            _ => {
                sum = sum.add(Decimal::from_f64_exact(high));
                if low != 0.0 {
                    sum = sum.add(Decimal::from_f64_exact(low));
                }
            }
        }
        sum
    }

    /// The sum: of the widest type among its parts, or wider if that one overflows.
    pub(crate) fn value(&self) -> Value {
        match self.kind {
            Kind::Decimal => Value::Decimal128(self.to_decimal().to_bytes()),
            Kind::Double => Value::Double(self.to_f64()),
            kind => match (i32::try_from(self.integer), i64::try_from(self.integer)) {
                (Ok(sum), _) if kind == Kind::Int32 => Value::Int32(sum),
                (_, Ok(sum)) => Value::Int64(sum),
                _ => Value::Double(self.to_f64()),
            },
        }
    }

    /// The sum divided by `count`, null if that is 0.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(crate) fn average(&self, count: i64) -> Value {
        if count == 0 {
            return Value::Null;
        }
        if self.is_decimal() {
            let average = self.to_decimal().divide(Decimal::from_i64(count));
            return Value::Decimal128(average.to_bytes());
        }
        Value::Double(self.to_f64() / count as f64)
    }
}

impl Sum {
    /// Its parts, so that it can go on from them.
    fn append_to(&self, out: &mut DocBuf) {
        out.append("kind", ValueRef::Int32(self.kind as i32));
        if self.has_double {
            out.append("high", ValueRef::Double(self.high));
            out.append("low", ValueRef::Double(self.low));
        } else {
            let bytes = &self.integer.to_le_bytes();
            out.append("integer", ValueRef::Binary { subtype: 0, bytes });
        }
        if let Some(decimal) = &self.decimal {
            out.append("decimal", ValueRef::Decimal128(decimal.to_bytes()));
        }
    }

    /// Adds the parts of another sum.
    fn load(&mut self, saved: Doc<'_>) {
        let mut parts = None;
        for element in saved.iter() {
            match (&**element.key(), element.value()) {
                (b"kind", ValueRef::Int32(kind)) => {
                    let kinds = [Kind::Int32, Kind::Int64, Kind::Double, Kind::Decimal];
                    let kind = kinds.into_iter().find(|known| *known as i32 == kind);
                    self.kind = self.kind.max(kind.unwrap_or_default());
                }
                (b"high", ValueRef::Double(high)) => parts = Some((high, 0.0)),
                (b"low", ValueRef::Double(low)) => {
                    parts = parts.map(|(high, _)| (high, low));
                }
                (b"integer", ValueRef::Binary { bytes, .. }) => {
                    let integer = i128::from_le_bytes(bytes.try_into().unwrap_or_default());
                    if self.has_double {
                        parts = Some(split(integer));
                    } else {
                        self.integer += integer;
                    }
                }
                (b"decimal", ValueRef::Decimal128(bytes)) => {
                    let decimal = Decimal::from_bytes(bytes);
                    match &mut self.decimal {
                        Some(sum) => **sum = sum.add(decimal),
                        None => self.decimal = Some(Box::new(decimal)),
                    }
                }
                _ => {}
            }
        }
        if let Some((high, low)) = parts {
            if !self.has_double {
                self.has_double = true;
                (self.high, self.low) = split(self.integer);
            }
            if low != 0.0 {
                self.add_double(low);
            }
            self.add_double(high);
        }
    }
}

impl State for Sum {
    #[inline]
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        self.add_value(value.as_ref());
        Ok(0)
    }

    fn value(&self) -> Result<Value> {
        Ok(Sum::value(self))
    }

    fn save(&mut self) -> Value {
        let mut out = DocBuf::new();
        self.append_to(&mut out);
        Value::Document(out.finish())
    }

    fn load(&mut self, saved: ValueRef<'_>, _: Option<&Collation>) -> Result<()> {
        Sum::load(self, saved.as_document().unwrap_or(Doc::EMPTY));
        Ok(())
    }
}

/// `$avg`.
#[derive(Debug)]
pub(super) struct Average {
    sum: Sum,
    count: i64,
}

impl Default for Average {
    fn default() -> Average {
        Average {
            sum: Sum::of_doubles(),
            count: 0,
        }
    }
}

impl State for Average {
    #[inline]
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        self.count += i64::from(self.sum.add_value(value.as_ref()));
        Ok(0)
    }

    fn value(&self) -> Result<Value> {
        Ok(self.sum.average(self.count))
    }

    fn save(&mut self) -> Value {
        let mut out = DocBuf::new();
        self.sum.append_to(&mut out);
        out.append("count", ValueRef::Int64(self.count));
        Value::Document(out.finish())
    }

    fn load(&mut self, saved: ValueRef<'_>, _: Option<&Collation>) -> Result<()> {
        let saved = saved.as_document().unwrap_or(Doc::EMPTY);
        self.sum.load(saved);
        if let Some(ValueRef::Int64(count)) = saved.get("count") {
            self.count += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[ValueRef<'_>]) -> Value {
        let mut sum = Sum::default();
        for value in values {
            sum.add_value(*value);
        }
        sum.value()
    }

    #[test]
    fn rounds_as_mongod_does() {
        use ValueRef::{Double, Int32, Int64};
        let check = |values: &[ValueRef<'_>], expected: f64| match sum(values) {
            Value::Double(sum) => assert_eq!(sum, expected, "{values:?}"),
            other => panic!("{other:?}"),
        };
        check(&[Double(0.1); 10], 1.0);
        check(&[Double(1e16), Double(1.0), Double(-1e16)], 0.0);
        check(
            &[Double(1e16), Double(1.0), Double(1.0), Double(-1e16)],
            2.0,
        );
        check(&[Double(1e17), Int32(3), Double(-1e17)], 0.0);
        check(&[Int64(1 << 62), Int64(1 << 62)], 9.223372036854776e18);
        check(&[Double(f64::INFINITY), Double(1.0)], f64::INFINITY);
        assert!(
            matches!(sum(&[Double(f64::INFINITY), Double(f64::NEG_INFINITY)]), Value::Double(v) if v.is_nan())
        );
    }

    #[test]
    fn keeps_integers_exact() {
        use ValueRef::{Int32, Int64};
        assert!(matches!(
            sum(&[Int32(i32::MAX), Int32(1)]),
            Value::Int64(2_147_483_648)
        ));
        assert!(matches!(
            sum(&[Int64(i64::MAX), Int32(1), Int32(-1)]),
            Value::Int64(i64::MAX)
        ));
    }
}
