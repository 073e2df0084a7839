//! Between decimals and doubles, exactly.

use std::cmp::Ordering;
use std::io::Write as _;

use super::big::Big;
use super::{Class, DIGITS_MAX, Decimal};

/// Bits of a double's fraction field.
const FRACTION_BITS: u32 = 52;

impl Decimal {
    /// The nearest double (ties to even); infinity beyond its range.
    pub fn to_f64(self) -> f64 {
        let magnitude = match self.class {
            Class::NaN => return f64::NAN,
            Class::Infinite => f64::INFINITY,
            Class::Finite {
                coefficient,
                exponent,
            } => nearest(coefficient, exponent),
        };
        if self.negative { -magnitude } else { magnitude }
    }

    /// The decimal with the fifteen significant digits that a double surely has, as `$toDecimal` converts:
    /// 0.1 gives 0.100000000000000.
    pub fn from_f64(value: f64) -> Decimal {
        from_scientific(value, 14)
    }

    /// The double's exact value rounded to 34 digits, without trailing zeros if exact; `$add` and `$sum` convert so.
    pub fn from_f64_exact(value: f64) -> Decimal {
        let decimal = from_scientific(value, 33);
        let Class::Finite {
            mut coefficient,
            mut exponent,
        } = decimal.class
        else {
            return decimal;
        };
        if compare_with_double(coefficient, exponent, value.abs()) == Ordering::Equal {
            while exponent < 0 && coefficient % 10 == 0 && coefficient != 0 {
                coefficient /= 10;
                exponent += 1;
            }
            if coefficient == 0 {
                exponent = 0;
            }
        }
        Decimal::finite(decimal.negative, coefficient, exponent)
    }

    /// Order of the exact values; NaN is lowest and equals NaN, -0 = 0.
    pub fn compare_f64(self, double: f64) -> Ordering {
        let rank = match double {
            v if v.is_nan() => -3,
            0.0 => 0,
            v if v.is_infinite() => 2,
            _ => 1,
        };
        let rank = if double < 0.0 { -rank } else { rank };
        let own = self.rank();
        if own != rank {
            return own.cmp(&rank);
        }
        match self.class {
            Class::Finite {
                coefficient,
                exponent,
            } if coefficient != 0 => {
                let order = compare_with_double(coefficient, exponent, double.abs());
                if own < 0 { order.reverse() } else { order }
            }
            _ => Ordering::Equal,
        }
    }
}

/// The largest double not above `coefficient` × 10^`exponent`, and whether it is equal to it.
pub(in crate::value) fn truncate(coefficient: u128, exponent: i32) -> (f64, bool) {
    if coefficient == 0 {
        return (0.0, true);
    }
    let near = nearest(coefficient, exponent).min(f64::MAX);
    match compare_with_double(coefficient, exponent, near) {
        Ordering::Equal => (near, true),
        Ordering::Greater => (near, false),
        Ordering::Less => (near.next_down(), false),
    }
}

/// Order of `coefficient` × 10^`exponent` and a finite double that is not negative.
fn compare_with_double(coefficient: u128, exponent: i32, double: f64) -> Ordering {
    if coefficient == 0 || double == 0.0 {
        return (coefficient != 0).cmp(&(double != 0.0));
    }
    let (mantissa, power) = decompose(double);
    // Beyond a double's range the wide integers would not suffice, nor are they needed.
    let leading = exponent + i32::try_from(coefficient.ilog10()).unwrap_or(0);
    if leading > 309 {
        return Ordering::Greater;
    }
    if leading < -325 {
        return Ordering::Less;
    }
    let decimal = Big::new(coefficient)
        .times_ten_to(exponent.max(0).unsigned_abs())
        .times_two_to(power.min(0).unsigned_abs());
    let double = Big::new(mantissa.into())
        .times_two_to(power.max(0).unsigned_abs())
        .times_ten_to(exponent.min(0).unsigned_abs());
    decimal.compare(&double)
}

/// A finite positive double as mantissa × 2^power.
fn decompose(double: f64) -> (u64, i32) {
    let bits = double.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let biased = i32::try_from((bits >> FRACTION_BITS) & 0x7FF).unwrap_or(0);
    if biased == 0 {
        (fraction, -1074)
    } else {
        (fraction | (1 << FRACTION_BITS), biased - 1075)
    }
}

fn nearest(coefficient: u128, exponent: i32) -> f64 {
    // The standard library parses with correct rounding; 39 digits and an exponent fit.
    let mut text = [0; 64];
    let mut rest = &mut text[..];
    if write!(rest, "{coefficient}e{exponent}").is_err() {
        return f64::NAN;
    }
    let left = rest.len();
    std::str::from_utf8(&text[..64 - left])
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(f64::NAN)
}

/// A double's `decimals` + 1 leading digits, correctly rounded.
fn from_scientific(value: f64, decimals: usize) -> Decimal {
    debug_assert!(decimals < DIGITS_MAX as usize);
    if value.is_nan() {
        return Decimal::NAN;
    }
    if value.is_infinite() {
        return Decimal::infinity(value < 0.0);
    }
    if value == 0.0 {
        return Decimal::finite(value.is_sign_negative(), 0, 0);
    }
    let text = format!("{:.decimals$e}", value);
    Decimal::parse(text.as_bytes()).unwrap_or(Decimal::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_convert_as_mongod_answers() {
        for (double, expected) in [
            (0.1, "0.100000000000000"),
            (1.0, "1.00000000000000"),
            (1e22, "1.00000000000000E+22"),
            (5e-324, "4.94065645841247E-324"),
            (123_456_789.123_456_79, "123456789.123457"),
            (-0.0, "-0"),
            (9_007_199_254_740_992.0, "9.00719925474099E+15"),
        ] {
            assert_eq!(Decimal::from_f64(double).to_string(), expected);
        }
        for (double, expected) in [
            (0.1, "0.1000000000000000055511151231257827"),
            (1.0, "1"),
            (1e22, "10000000000000000000000"),
            (1.0 / 3.0, "0.3333333333333333148296162562473910"),
        ] {
            assert_eq!(Decimal::from_f64_exact(double).to_string(), expected);
        }
    }

    #[test]
    fn compares_exactly_with_doubles() {
        for (decimal, double, expected) in [
            ("0.1", 0.1, Ordering::Less),
            ("0.1000000000000000055511151231257827", 0.1, Ordering::Less),
            (
                "0.1000000000000000055511151231257828",
                0.1,
                Ordering::Greater,
            ),
            ("1E-6176", 5e-324, Ordering::Less),
            ("5E-324", 5e-324, Ordering::Greater),
            ("-1E-6176", 0.0, Ordering::Less),
            (
                "9007199254740993",
                9_007_199_254_740_992.0,
                Ordering::Greater,
            ),
            ("1E+308", 1e308, Ordering::Less),
            ("2E+308", f64::MAX, Ordering::Greater),
            ("1E+22", 1e22, Ordering::Equal),
            ("NaN", f64::NAN, Ordering::Equal),
            ("Infinity", f64::INFINITY, Ordering::Equal),
            ("-1.5", -1.5, Ordering::Equal),
        ] {
            let order = Decimal::parse(decimal.as_bytes())
                .unwrap()
                .compare_f64(double);
            assert_eq!(order, expected, "{decimal} and {double}");
        }
    }
}
