//! Arithmetic on decimals: exact results on the coefficients, everything that rounds through the `dec` crate.

use std::cmp::Ordering;

use dec::{Context, Decimal128};

use super::{COEFFICIENT_MAX, Class, Decimal};

/// Base 10^3 units of a `dec` number with 34 digits, and some to spare for intermediate results.
const UNITS: usize = 12;
type Wide = dec::Decimal<UNITS>;

impl Decimal {
    /// An integer, with exponent zero.
    pub fn from_i64(value: i64) -> Decimal {
        Decimal::finite(value < 0, value.unsigned_abs().into(), 0)
    }

    /// The integer nearest to zero in the number's direction (`$trunc` to an integer), if it is within `i64`.
    pub fn to_i64_truncated(self) -> Option<i64> {
        let (coefficient, exponent) = self.parts()?;
        let magnitude = if exponent >= 0 {
            if coefficient == 0 {
                0
            } else {
                10_u128
                    .checked_pow(exponent.unsigned_abs())?
                    .checked_mul(coefficient)?
            }
        } else {
            match 10_u128.checked_pow(exponent.unsigned_abs()) {
                Some(divisor) => coefficient / divisor,
                None => 0,
            }
        };
        let magnitude = i128::try_from(magnitude).ok()?;
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// The number as an `i64`, if it is exactly one.
    pub fn to_i64(self) -> Option<i64> {
        self.to_i64_truncated()
            .filter(|&value| Decimal::from_i64(value).compare(self) == Ordering::Equal)
    }

    /// The sum, rounded to 34 digits (ties to even).
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "rounds or promotes, and reads as its siblings do"
    )]
    pub fn add(self, other: Decimal) -> Decimal {
        if let (
            Class::Finite {
                coefficient: c1,
                exponent: e1,
            },
            Class::Finite {
                coefficient: c2,
                exponent: e2,
            },
        ) = (self.class, other.class)
            && e1 == e2
            && c1 != 0
            && c2 != 0
        {
            // Same exponent, no zero involved: the everyday case, on integers. Zeros have rules for their sign.
            let (negative, sum) = if self.negative == other.negative {
                (self.negative, c1 + c2)
            } else if c1 > c2 {
                (self.negative, c1 - c2)
            } else {
                (other.negative, c2 - c1)
            };
            if sum != 0 && sum <= COEFFICIENT_MAX {
                return Decimal::finite(negative, sum, e1);
            }
        }
        self.through(other, |cx, a, b| cx.add(a, b))
    }

    /// The difference, rounded to 34 digits (ties to even).
    #[must_use]
    pub fn subtract(self, other: Decimal) -> Decimal {
        if other.is_nan() {
            return other;
        }
        self.add(other.negate())
    }

    /// The product, rounded to 34 digits (ties to even).
    #[must_use]
    pub fn multiply(self, other: Decimal) -> Decimal {
        if let (
            Class::Finite {
                coefficient: c1,
                exponent: e1,
            },
            Class::Finite {
                coefficient: c2,
                exponent: e2,
            },
        ) = (self.class, other.class)
            && let Some(product) = c1.checked_mul(c2)
            && product <= COEFFICIENT_MAX
            && (super::EXPONENT_MIN..=super::EXPONENT_MAX).contains(&(e1 + e2))
        {
            return Decimal::finite(self.negative != other.negative, product, e1 + e2);
        }
        self.through(other, |cx, a, b| cx.mul(a, b))
    }

    /// The quotient, rounded to 34 digits (ties to even).
    #[must_use]
    pub fn divide(self, other: Decimal) -> Decimal {
        self.through(other, |cx, a, b| cx.div(a, b))
    }

    /// The remainder of the truncated division, with the sign of `self`.
    #[must_use]
    pub fn remainder(self, other: Decimal) -> Decimal {
        if let (
            Class::Finite {
                coefficient: c1,
                exponent: e1,
            },
            Class::Finite {
                coefficient: c2,
                exponent: e2,
            },
        ) = (self.class, other.class)
            && c2 != 0
        {
            // `dec` gives up when the quotient exceeds 34 digits; modular arithmetic does not need the quotient.
            let exponent = e1.min(e2);
            let modulus = 10_u128
                .checked_pow((e2 - exponent).unsigned_abs())
                .and_then(|scale| scale.checked_mul(c2));
            let rest = match modulus {
                // The divisor is far larger than the dividend, if it does not even fit.
                None => c1,
                Some(modulus) => modulo_scaled(c1, (e1 - exponent).unsigned_abs(), modulus),
            };
            return Decimal::fit(self.negative, rest, exponent.into()).unwrap_or(Decimal::NAN);
        }
        self.through(other, |cx, a, b| cx.rem(a, b))
    }

    /// e to the power of the number.
    #[must_use]
    pub fn exp(self) -> Decimal {
        self.wide(|cx, n| cx.exp(n))
    }

    /// The natural logarithm.
    #[must_use]
    pub fn ln(self) -> Decimal {
        self.wide(|cx, n| cx.ln(n))
    }

    /// The logarithm to base ten.
    #[must_use]
    pub fn log10(self) -> Decimal {
        self.wide(|cx, n| cx.log10(n))
    }

    /// The square root.
    #[must_use]
    pub fn sqrt(self) -> Decimal {
        self.wide(|cx, n| cx.sqrt(n))
    }

    /// The number to the power of `exponent`.
    #[must_use]
    pub fn pow(self, exponent: Decimal) -> Decimal {
        let exponent: Wide = to_dec(exponent).into();
        self.wide(|cx, n| cx.pow(n, &exponent))
    }

    /// The number with exactly the digits down to 10^`exponent`, rounded by `rounding`; NaN if that needs more than 34.
    #[must_use]
    pub fn quantize(self, exponent: i32, rounding: dec::Rounding) -> Decimal {
        let mut cx = Context::<Decimal128>::default();
        cx.set_rounding(rounding);
        let unit = to_dec(Decimal::finite(false, 1, exponent));
        from_dec(cx.quantize(to_dec(self), unit))
    }

    fn through(
        self,
        other: Decimal,
        op: impl FnOnce(&mut Context<Decimal128>, Decimal128, Decimal128) -> Decimal128,
    ) -> Decimal {
        let mut cx = Context::<Decimal128>::default();
        from_dec(op(&mut cx, to_dec(self), to_dec(other)))
    }

    fn wide(self, op: impl FnOnce(&mut Context<Wide>, &mut Wide)) -> Decimal {
        let mut cx = Context::<Wide>::default();
        // The constants are decimal128's own; the setters refuse only what is out of the crate's far wider range.
        let set = cx.set_precision(34).is_ok()
            & cx.set_max_exponent(6144).is_ok()
            & cx.set_min_exponent(-6143).is_ok();
        debug_assert!(set, "decimal128's limits are within the crate's");
        let mut number: Wide = to_dec(self).into();
        op(&mut cx, &mut number);
        from_dec(Context::<Decimal128>::default().from_decimal(&number))
    }
}

/// `coefficient` × 10^`power` modulo `modulus`.
fn modulo_scaled(coefficient: u128, power: u32, modulus: u128) -> u128 {
    let mut rest = coefficient % modulus;
    for _ in 0..power {
        if rest == 0 {
            break;
        }
        // Times ten by doubling, so that nothing exceeds twice the modulus (below 2^127 each).
        let double = add_modulo(rest, rest, modulus);
        let four = add_modulo(double, double, modulus);
        let eight = add_modulo(four, four, modulus);
        rest = add_modulo(eight, double, modulus);
    }
    rest
}

fn add_modulo(a: u128, b: u128, modulus: u128) -> u128 {
    match a.checked_add(b) {
        Some(sum) => sum % modulus,
        None => a - (modulus - b),
    }
}

fn to_dec(decimal: Decimal) -> Decimal128 {
    match decimal.class {
        Class::NaN => Decimal128::NAN,
        _ => Context::<Decimal128>::default()
            .parse(decimal.to_string())
            .unwrap_or(Decimal128::NAN),
    }
}

fn from_dec(decimal: Decimal128) -> Decimal {
    if decimal.is_nan() {
        return Decimal::NAN;
    }
    Decimal::parse(decimal.to_string().as_bytes()).unwrap_or(Decimal::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn arithmetic_as_mongod_answers() {
        for (a, b, expected) in [
            ("1", "2.5", "3.5"),
            ("1.10", "2.2", "3.30"),
            ("NaN", "1", "NaN"),
            ("Infinity", "-Infinity", "NaN"),
            ("-0", "0", "0"),
            ("1E+6144", "9E+6144", "Infinity"),
            ("10000000000000000000000", "1", "10000000000000000000001"),
        ] {
            assert_eq!(
                decimal(a).add(decimal(b)).to_string(),
                expected,
                "{a} + {b}"
            );
        }
        for (a, b, expected) in [
            ("1.10", "2.2", "2.420"),
            ("-0", "0", "-0"),
            ("Infinity", "-Infinity", "-Infinity"),
            ("1E+6144", "9E+6144", "Infinity"),
            ("0.333333333333333", "0", "0E-15"),
        ] {
            assert_eq!(
                decimal(a).multiply(decimal(b)).to_string(),
                expected,
                "{a} * {b}"
            );
        }
        assert_eq!(decimal("-0").subtract(decimal("0")).to_string(), "-0");
        assert_eq!(decimal("10").divide(decimal("4")).to_string(), "2.5");
        assert_eq!(decimal("-7.5").remainder(decimal("2")).to_string(), "-1.5");
        assert_eq!(decimal("1E+40").remainder(decimal("7")).to_string(), "4");
        assert_eq!(
            decimal("2").sqrt().to_string(),
            "1.414213562373095048801688724209698"
        );
        assert_eq!(decimal("2").pow(decimal("10")).to_string(), "1024");
        assert_eq!(
            decimal("2.5")
                .quantize(0, dec::Rounding::HalfEven)
                .to_string(),
            "2"
        );
    }

    #[test]
    fn integers() {
        assert_eq!(decimal("9223372036854775807").to_i64(), Some(i64::MAX));
        assert_eq!(decimal("-9223372036854775808").to_i64(), Some(i64::MIN));
        assert_eq!(decimal("9223372036854775808").to_i64(), None);
        assert_eq!(decimal("1.50").to_i64_truncated(), Some(1));
        assert_eq!(decimal("1.50").to_i64(), None);
        assert_eq!(decimal("1E+3").to_i64(), Some(1000));
        assert_eq!(decimal("1E-6176").to_i64_truncated(), Some(0));
        assert_eq!(decimal("1E+6144").to_i64_truncated(), None);
    }
}
