//! Decimals as text.
//!
//! Source: General Decimal Arithmetic Specification, "to-scientific-string" and "to-number", with MongoDB's spellings.

use std::fmt;

use super::{COEFFICIENT_MAX, Class, DIGITS_MAX, Decimal, EXPONENT_MAX, EXPONENT_MIN};

/// Why a text is no decimal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseFailure {
    /// Not a number's spelling.
    Malformed,
    /// Too large.
    Overflow,
    /// Not zero, yet too small.
    Underflow,
}

impl Decimal {
    /// Reads a number, `Infinity`, `inf` or `NaN` (any case); digits beyond 34 are rounded (ties to even).
    ///
    /// # Errors
    /// The reason why it cannot be represented.
    pub fn parse(text: &[u8]) -> Result<Decimal, ParseFailure> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Ok(Decimal::infinity(negative));
        }
        if text.eq_ignore_ascii_case(b"nan") {
            return Ok(Decimal::NAN);
        }
        let (digits, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let mut number = Rounding::default();
        let mut seen = false;
        let mut point = false;
        for &byte in digits {
            match byte {
                b'0'..=b'9' => {
                    seen = true;
                    number.push(byte - b'0', point);
                }
                b'.' if !point => point = true,
                _ => return Err(ParseFailure::Malformed),
            }
        }
        if !seen {
            return Err(ParseFailure::Malformed);
        }
        number.finish(negative, exponent)
    }

    /// `coefficient` × 10^`exponent`, its exponent brought into range by padding zeros or rounding.
    pub(super) fn fit(
        negative: bool,
        coefficient: u128,
        exponent: i64,
    ) -> Result<Decimal, ParseFailure> {
        let number = Rounding {
            coefficient,
            ..Rounding::default()
        };
        number.finish(negative, exponent)
    }
}

/// A coefficient that is read digit by digit and keeps what rounding needs of the digits beyond the 34th.
#[derive(Default)]
struct Rounding {
    coefficient: u128,
    /// Added to the exponent: dropped digits less digits after the point.
    shift: i64,
    /// First dropped digit.
    guard: Option<u8>,
    /// Whether a digit after it was not zero.
    sticky: bool,
}

impl Rounding {
    fn push(&mut self, digit: u8, after_point: bool) {
        if self.guard.is_none() && self.coefficient <= (COEFFICIENT_MAX - 9) / 10 {
            self.coefficient = self.coefficient * 10 + u128::from(digit);
            self.shift -= i64::from(after_point);
            return;
        }
        match self.guard {
            None => self.guard = Some(digit),
            Some(_) => self.sticky |= digit != 0,
        }
        self.shift += i64::from(!after_point);
    }

    fn drop_digit(&mut self) {
        self.sticky |= self.guard.is_some_and(|digit| digit != 0);
        self.guard = u8::try_from(self.coefficient % 10).ok();
        self.coefficient /= 10;
        self.shift += 1;
    }

    fn finish(mut self, negative: bool, exponent: i64) -> Result<Decimal, ParseFailure> {
        let zero =
            self.coefficient == 0 && self.guard.is_none_or(|digit| digit == 0) && !self.sticky;
        if zero {
            let exponent = exponent
                .saturating_add(self.shift)
                .clamp(EXPONENT_MIN.into(), EXPONENT_MAX.into());
            return Ok(Decimal::finite(
                negative,
                0,
                i32::try_from(exponent).unwrap_or(0),
            ));
        }
        let mut below = exponent.saturating_add(self.shift) < EXPONENT_MIN.into();
        let subnormal = below;
        let mut dropped = 0;
        while below && dropped <= DIGITS_MAX {
            self.drop_digit();
            dropped += 1;
            below = exponent.saturating_add(self.shift) < EXPONENT_MIN.into();
        }
        let up = match self.guard {
            Some(6..) => true,
            Some(5) => self.sticky || self.coefficient % 2 == 1,
            _ => false,
        };
        self.coefficient += u128::from(up);
        if self.coefficient > COEFFICIENT_MAX {
            self.coefficient /= 10;
            self.shift += 1;
        }
        if subnormal && (self.coefficient == 0 || below) {
            return Err(ParseFailure::Underflow);
        }
        let mut exponent = exponent.saturating_add(self.shift);
        let room = i64::from(DIGITS_MAX - 1 - self.coefficient.ilog10());
        let excess = exponent - i64::from(EXPONENT_MAX);
        if excess > room {
            return Err(ParseFailure::Overflow);
        }
        if let Ok(pad @ 1..) = u32::try_from(excess) {
            self.coefficient *= 10_u128.pow(pad);
            exponent -= i64::from(pad);
        }
        let exponent = i32::try_from(exponent).map_err(|_| ParseFailure::Overflow)?;
        Ok(Decimal::finite(negative, self.coefficient, exponent))
    }
}

fn parse_exponent(text: &[u8]) -> Result<i64, ParseFailure> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ParseFailure::Malformed);
    }
    let value = digits.iter().fold(0_i64, |value, digit| {
        (value * 10 + i64::from(digit - b'0')).min(1 << 40)
    });
    Ok(if negative { -value } else { value })
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (coefficient, exponent) = match self.class {
            Class::NaN => return f.write_str("NaN"),
            Class::Infinite => {
                return f.write_str(if self.negative {
                    "-Infinity"
                } else {
                    "Infinity"
                });
            }
            Class::Finite {
                coefficient,
                exponent,
            } => (coefficient, exponent),
        };
        if self.negative {
            f.write_str("-")?;
        }
        let digits = coefficient.to_string();
        let count = i32::try_from(digits.len()).unwrap_or(0);
        let leading = exponent + count - 1;
        if exponent > 0 || leading < -6 {
            let (first, rest) = digits.split_at(1);
            f.write_str(first)?;
            if !rest.is_empty() {
                write!(f, ".{rest}")?;
            }
            return write!(f, "E{leading:+}");
        }
        if exponent == 0 {
            return f.write_str(&digits);
        }
        match usize::try_from(count + exponent) {
            Ok(whole @ 1..) => {
                let (whole, fraction) = digits.split_at(whole);
                write!(f, "{whole}.{fraction}")
            }
            _ => {
                let zeros = usize::try_from(-(count + exponent)).unwrap_or(0);
                write!(f, "0.{:0<zeros$}{digits}", "")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_as_mongod_answers() {
        for (text, expected) in [
            ("1", "1"),
            ("1.", "1"),
            (".5", "0.5"),
            ("1e5", "1E+5"),
            (
                "12345678901234567890123456789012345",
                "1.234567890123456789012345678901234E+34",
            ),
            (
                "1111111111111111111111111111111111111111",
                "1.111111111111111111111111111111111E+39",
            ),
            ("-NaN", "NaN"),
            ("inf", "Infinity"),
            ("00001", "1"),
            ("1e6144", "1.000000000000000000000000000000000E+6144"),
            ("1e6111", "1E+6111"),
            ("123e6111", "1.23E+6113"),
            ("0e9999", "0E+6111"),
            ("0E-6176", "0E-6176"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1E-7"),
            ("1.000", "1.000"),
            ("123456E-3", "123.456"),
            ("0E+3", "0E+3"),
            ("-0", "-0"),
        ] {
            let decimal = Decimal::parse(text.as_bytes()).unwrap();
            assert_eq!(decimal.to_string(), expected, "{text}");
        }
        for (text, expected) in [
            ("", ParseFailure::Malformed),
            (".", ParseFailure::Malformed),
            (" 1", ParseFailure::Malformed),
            ("1e", ParseFailure::Malformed),
            ("0x1", ParseFailure::Malformed),
            ("1E+6145", ParseFailure::Overflow),
            ("10E+6144", ParseFailure::Overflow),
            ("1e-7000", ParseFailure::Underflow),
        ] {
            assert_eq!(
                Decimal::parse(text.as_bytes()).unwrap_err(),
                expected,
                "{text}"
            );
        }
    }
}
