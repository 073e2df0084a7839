//! Decimal128: IEEE 754-2008 decimal floating point with 34 digits, in the binary integer encoding that BSON uses.
//!
//! A [`Decimal`] is unpacked (sign, coefficient, exponent); its bytes are read and written at the edges. Comparison
//! and the everyday arithmetic are integer arithmetic on the coefficient; rounding arithmetic goes through the `dec` crate.
//!
//! Source: BSON specification, "Decimal128"; IEEE 754-2008.

mod arith;
mod big;
mod float;
mod text;

use std::cmp::Ordering;

pub(super) use float::truncate;
pub use text::ParseFailure;

/// Most digits of a coefficient.
pub const DIGITS_MAX: u32 = 34;
/// Largest coefficient: 34 nines.
pub(super) const COEFFICIENT_MAX: u128 = 10_u128.pow(DIGITS_MAX) - 1;
/// Largest exponent of a coefficient taken as an integer.
pub const EXPONENT_MAX: i32 = 6111;
/// Smallest exponent of a coefficient taken as an integer.
pub const EXPONENT_MIN: i32 = -6176;
const BIAS: u32 = 6176;

/// A decimal128 number, unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    negative: bool,
    class: Class,
}

/// What kind of number it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// `coefficient` × 10^`exponent`; at most 34 digits.
    Finite {
        coefficient: u128,
        exponent: i32,
    },
    Infinite,
    NaN,
}

impl Decimal {
    /// Zero with exponent zero.
    pub const ZERO: Decimal = Decimal::finite(false, 0, 0);
    /// Not a number.
    pub const NAN: Decimal = Decimal {
        negative: false,
        class: Class::NaN,
    };

    pub(crate) const fn finite(negative: bool, coefficient: u128, exponent: i32) -> Decimal {
        Decimal {
            negative,
            class: Class::Finite {
                coefficient,
                exponent,
            },
        }
    }

    /// Positive or negative infinity.
    pub const fn infinity(negative: bool) -> Decimal {
        Decimal {
            negative,
            class: Class::Infinite,
        }
    }

    /// Reads BSON's sixteen bytes. A coefficient beyond 34 digits counts as zero, as IEEE 754 says.
    pub fn from_bytes(bytes: [u8; 16]) -> Decimal {
        let bits = u128::from_le_bytes(bytes);
        let high = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        let negative = high >> 31 == 1;
        let class = match (high >> 26) & 0x1F {
            0x1F => Class::NaN,
            0x1E => Class::Infinite,
            // The form with the implied leading "100" always exceeds 34 digits.
            0x18.. => Class::Finite {
                coefficient: 0,
                exponent: exponent((high >> 15) & 0x3FFF),
            },
            _ => {
                let coefficient = bits & ((1 << 113) - 1);
                Class::Finite {
                    coefficient: if coefficient > COEFFICIENT_MAX {
                        0
                    } else {
                        coefficient
                    },
                    exponent: exponent((high >> 17) & 0x3FFF),
                }
            }
        };
        Decimal { negative, class }
    }

    /// BSON's sixteen bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let sign = u128::from(self.negative) << 127;
        let bits = match self.class {
            Class::NaN => 0x1F << 122,
            Class::Infinite => 0x1E << 122,
            Class::Finite {
                coefficient,
                exponent,
            } => {
                let biased = exponent.saturating_add_unsigned(BIAS).max(0).unsigned_abs();
                (u128::from(biased) << 113) | coefficient
            }
        };
        (sign | bits).to_le_bytes()
    }

    /// Whether it is not a number.
    pub fn is_nan(self) -> bool {
        self.class == Class::NaN
    }

    /// Whether it is an infinity.
    pub fn is_infinite(self) -> bool {
        self.class == Class::Infinite
    }

    /// Whether it is a number and no infinity.
    pub fn is_finite(self) -> bool {
        matches!(self.class, Class::Finite { .. })
    }

    /// Whether its sign is minus; true of -0.
    pub fn is_negative(self) -> bool {
        self.negative
    }

    /// Whether it is 0 or -0, with any exponent.
    pub fn is_zero(self) -> bool {
        matches!(self.class, Class::Finite { coefficient: 0, .. })
    }

    /// Coefficient and exponent, if finite: the number is ±coefficient × 10^exponent.
    pub fn parts(self) -> Option<(u128, i32)> {
        match self.class {
            Class::Finite {
                coefficient,
                exponent,
            } => Some((coefficient, exponent)),
            _ => None,
        }
    }

    /// The same number with the other sign.
    #[must_use]
    pub fn negate(self) -> Decimal {
        Decimal {
            negative: !self.negative,
            ..self
        }
    }

    /// The same number without its sign.
    #[must_use]
    pub fn abs(self) -> Decimal {
        Decimal {
            negative: false,
            ..self
        }
    }

    /// MongoDB's order of decimals: NaN (equal to itself) lowest, -0 = 0, by value whatever the exponent.
    pub fn compare(self, other: Decimal) -> Ordering {
        let (a, b) = (self.rank(), other.rank());
        if a != b {
            return a.cmp(&b);
        }
        match (self.class, other.class) {
            (
                Class::Finite {
                    coefficient: c1,
                    exponent: e1,
                },
                Class::Finite {
                    coefficient: c2,
                    exponent: e2,
                },
            ) => {
                let order = compare_magnitudes(c1, e1, c2, e2);
                if a < 0 { order.reverse() } else { order }
            }
            _ => Ordering::Equal,
        }
    }

    /// Coarse order: NaN, -infinity, negative, zero, positive, infinity.
    pub(super) fn rank(self) -> i8 {
        let magnitude = match self.class {
            Class::NaN => return -3,
            Class::Infinite => 2,
            Class::Finite { coefficient: 0, .. } => 0,
            Class::Finite { .. } => 1,
        };
        if self.negative { -magnitude } else { magnitude }
    }
}

/// Order of c1 × 10^e1 and c2 × 10^e2; each coefficient is below 10^38.
pub(super) fn compare_magnitudes(c1: u128, e1: i32, c2: u128, e2: i32) -> Ordering {
    if c1 == 0 || c2 == 0 {
        return c1.cmp(&c2);
    }
    let (d1, d2) = (c1.ilog10(), c2.ilog10());
    let leading = (i64::from(e1) + i64::from(d1)).cmp(&(i64::from(e2) + i64::from(d2)));
    leading.then_with(|| {
        // Same leading position, so the digits decide once both are written with as many of them.
        let digits = d1.max(d2);
        (c1 * 10_u128.pow(digits - d1)).cmp(&(c2 * 10_u128.pow(digits - d2)))
    })
}

fn exponent(biased: u32) -> i32 {
    // Fourteen bits: always in range.
    i32::try_from(biased).unwrap_or(0) - i32::try_from(BIAS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        for text in [
            "0",
            "-0",
            "1",
            "-1.5",
            "1E+6111",
            "1E-6176",
            "Infinity",
            "-Infinity",
            "NaN",
            "9.999999999999999999999999999999999E+6144",
        ] {
            let expected: bson::Decimal128 = text.parse().unwrap();
            let decimal = Decimal::parse(text.as_bytes()).unwrap();
            assert_eq!(decimal.to_bytes(), expected.bytes(), "{text}");
            assert_eq!(
                Decimal::from_bytes(expected.bytes()).to_bytes(),
                expected.bytes()
            );
            assert_eq!(decimal.to_string(), text);
        }
    }

    #[test]
    fn compares_by_value() {
        let order = [
            "NaN",
            "-Infinity",
            "-10",
            "-1.5",
            "0",
            "1E-6176",
            "1",
            "1.0000000001",
            "9E6144",
            "Infinity",
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                let (a, b) = (Decimal::parse(a.as_bytes()), Decimal::parse(b.as_bytes()));
                assert_eq!(a.unwrap().compare(b.unwrap()), i.cmp(&j));
            }
        }
        for (a, b) in [("1", "1.000"), ("1E+1", "10"), ("-0", "0E+10")] {
            let (a, b) = (Decimal::parse(a.as_bytes()), Decimal::parse(b.as_bytes()));
            assert_eq!(a.unwrap().compare(b.unwrap()), Ordering::Equal);
        }
    }
}
