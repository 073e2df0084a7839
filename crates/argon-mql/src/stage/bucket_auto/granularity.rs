//! The series of preferred numbers to which `$bucketAuto` rounds its boundaries.
//!
//! Source: MongoDB manual, "$bucketAuto", "granularity"; the numbers are those that mongod 6.0.5 rounds to.

use crate::value::{Decimal, Number, Value, ValueRef};
use crate::{Error, Result};

/// One decade of a series, or the powers of two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Granularity {
    Series(&'static [u16]),
    PowersOfTwo,
}

const ONE_TWO_FIVE: &[u16] = &[10, 20, 50];
const E6: &[u16] = &[10, 15, 22, 33, 47, 68];
const E12: &[u16] = &[10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82];
const E24: &[u16] = &[
    10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91,
];
const E48: &[u16] = &[
    100, 105, 110, 115, 121, 127, 133, 140, 147, 154, 162, 169, 178, 187, 196, 205, 215, 226, 237,
    249, 261, 274, 287, 301, 316, 332, 348, 365, 383, 402, 422, 442, 464, 487, 511, 536, 562, 590,
    619, 649, 681, 715, 750, 787, 825, 866, 909, 953,
];
const E96: &[u16] = &[
    100, 102, 105, 107, 110, 113, 115, 118, 121, 124, 127, 130, 133, 137, 140, 143, 147, 150, 154,
    158, 162, 165, 169, 174, 178, 182, 187, 191, 196, 200, 205, 210, 215, 221, 226, 232, 237, 243,
    249, 255, 261, 267, 274, 280, 287, 294, 301, 309, 316, 324, 332, 340, 348, 357, 365, 374, 383,
    392, 402, 412, 422, 432, 442, 453, 464, 475, 487, 499, 511, 523, 536, 549, 562, 576, 590, 604,
    619, 634, 649, 665, 681, 698, 715, 732, 750, 768, 787, 806, 825, 845, 866, 887, 909, 931, 953,
    976,
];
const E192: &[u16] = &[
    100, 101, 102, 104, 105, 106, 107, 109, 110, 111, 113, 114, 115, 117, 118, 120, 121, 123, 124,
    126, 127, 129, 130, 132, 133, 135, 137, 138, 140, 142, 143, 145, 147, 149, 150, 152, 154, 156,
    158, 160, 162, 164, 165, 167, 169, 172, 174, 176, 178, 180, 182, 184, 187, 189, 191, 193, 196,
    198, 200, 203, 205, 208, 210, 213, 215, 218, 221, 223, 226, 229, 232, 234, 237, 240, 243, 246,
    249, 252, 255, 258, 261, 264, 267, 271, 274, 277, 280, 284, 287, 291, 294, 298, 301, 305, 309,
    312, 316, 320, 324, 328, 332, 336, 340, 344, 348, 352, 357, 361, 365, 370, 374, 379, 383, 388,
    392, 397, 402, 407, 412, 417, 422, 427, 432, 437, 442, 448, 453, 459, 464, 470, 475, 481, 487,
    493, 499, 505, 511, 517, 523, 530, 536, 542, 549, 556, 562, 569, 576, 583, 590, 597, 604, 612,
    619, 626, 634, 642, 649, 657, 665, 673, 681, 690, 698, 706, 715, 723, 732, 741, 750, 759, 768,
    777, 787, 796, 806, 816, 825, 835, 845, 856, 866, 876, 887, 898, 909, 920, 931, 942, 953, 965,
    976, 988,
];
const R5: &[u16] = &[10, 16, 25, 40, 63];
const R10: &[u16] = &[100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
const R20: &[u16] = &[
    100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800,
    900,
];
const R40: &[u16] = &[
    100, 106, 112, 118, 125, 132, 140, 150, 160, 170, 180, 190, 200, 212, 224, 236, 250, 265, 280,
    300, 315, 355, 375, 400, 425, 450, 475, 500, 530, 560, 600, 630, 670, 710, 750, 800, 850, 900,
    950,
];
const R80: &[u16] = &[
    103, 109, 115, 122, 128, 136, 145, 155, 165, 175, 185, 195, 206, 218, 230, 243, 258, 272, 290,
    307, 325, 345, 365, 387, 412, 437, 462, 487, 515, 545, 575, 615, 650, 690, 730, 775, 825, 875,
    925, 975,
];

/// The series by name, sorted.
const SERIES: &[(&str, Granularity)] = &[
    ("1-2-5", Granularity::Series(ONE_TWO_FIVE)),
    ("E12", Granularity::Series(E12)),
    ("E192", Granularity::Series(E192)),
    ("E24", Granularity::Series(E24)),
    ("E48", Granularity::Series(E48)),
    ("E6", Granularity::Series(E6)),
    ("E96", Granularity::Series(E96)),
    ("POWERSOF2", Granularity::PowersOfTwo),
    ("R10", Granularity::Series(R10)),
    ("R20", Granularity::Series(R20)),
    ("R40", Granularity::Series(R40)),
    ("R5", Granularity::Series(R5)),
    ("R80", Granularity::Series(R80)),
];

/// Which way to round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Granularity {
    /// The series called `name`.
    ///
    /// # Errors
    /// 40257 if there is none.
    pub(super) fn parse(name: &[u8]) -> Result<Granularity> {
        match SERIES.binary_search_by(|(other, _)| other.as_bytes().cmp(name)) {
            Ok(at) => Ok(SERIES[at].1),
            Err(_) => Err(Error::location(
                40257,
                format!(
                    "Unknown rounding granularity '{}'",
                    String::from_utf8_lossy(name)
                ),
            )),
        }
    }

    /// Checks that a value can be rounded.
    ///
    /// # Errors
    /// 40258 no number, 40259 NaN, 40260 negative.
    pub(super) fn check(&self, value: ValueRef<'_>) -> Result<()> {
        let Some(number) = Number::from_value(value) else {
            return Err(Error::location(
                40258,
                format!(
                    "$bucketAuto can specify a 'granularity' with numeric boundaries only, but found a value with type: {}",
                    value.type_name()
                ),
            ));
        };
        if number.is_nan() {
            return Err(Error::location(
                40259,
                "$bucketAuto can specify a 'granularity' with numeric boundaries only, but found a NaN",
            ));
        }
        if number.is_negative() && !number.is_zero() {
            return Err(Error::location(
                40260,
                "$bucketAuto can specify a 'granularity' with non-negative numbers only, but found a negative number",
            ));
        }
        Ok(())
    }

    /// The boundary above a bucket whose greatest value is `last`; zero cannot be rounded up, so there the next value
    /// decides.
    pub(super) fn boundary(&self, last: &Value, next: Option<&Value>) -> Value {
        match next {
            Some(next) if is_zero(last.as_ref()) => self.round_down(next.as_ref()),
            _ => self.round_up(last.as_ref()),
        }
    }

    /// The next number of the series above `value`.
    pub(super) fn round_up(&self, value: ValueRef<'_>) -> Value {
        self.round(value, Way::Up)
    }

    /// The next number of the series below `value`.
    pub(super) fn round_down(&self, value: ValueRef<'_>) -> Value {
        self.round(value, Way::Down)
    }

    fn round(&self, value: ValueRef<'_>, way: Way) -> Value {
        let Some(number) = Number::from_value(value) else {
            return Value::copy_of(value);
        };
        if number.is_zero() || !number.is_finite() {
            return Value::copy_of(value);
        }
        match (self, value) {
            (Granularity::Series(series), ValueRef::Decimal128(_)) => {
                Value::Decimal128(round_decimal(series, number.to_decimal(), way).to_bytes())
            }
            (Granularity::Series(series), _) => {
                Value::Double(round_double(series, number.to_f64(), way))
            }
            (Granularity::PowersOfTwo, _) => round_power(value, number, way),
        }
    }
}

fn is_zero(value: ValueRef<'_>) -> bool {
    Number::from_value(value).is_some_and(Number::is_zero)
}

/// Rounds within the decade that `number` lies in. The factor is found by repeated steps, as mongod finds it: the last
/// digit of the result depends on that.
fn round_double(series: &[u16], number: f64, way: Way) -> f64 {
    let (Some(&first), Some(&last)) = (series.first(), series.last()) else {
        return number;
    };
    let mut factor = 1.0;
    match way {
        Way::Up => {
            while number >= f64::from(last) * factor {
                factor *= 10.0;
            }
            let mut previous = f64::from(first) * factor;
            loop {
                // Down to the decade whose first number is not above.
                if number >= f64::from(first) * factor {
                    break;
                }
                previous = f64::from(first) * factor;
                factor /= 10.0;
                if factor == 0.0 {
                    return previous;
                }
            }
            series
                .iter()
                .map(|&step| f64::from(step) * factor)
                .find(|&step| step > number)
                .unwrap_or(previous)
        }
        Way::Down => {
            while number <= f64::from(first) * factor {
                factor /= 10.0;
            }
            let mut previous = f64::from(last) * factor;
            loop {
                if number <= f64::from(last) * factor {
                    break;
                }
                previous = f64::from(last) * factor;
                factor *= 10.0;
                // A factor that became zero on the way down stays it.
                if factor == 0.0 || !factor.is_finite() {
                    return previous;
                }
            }
            series
                .iter()
                .rev()
                .map(|&step| f64::from(step) * factor)
                .find(|&step| step < number)
                .unwrap_or(previous)
        }
    }
}

fn round_decimal(series: &[u16], number: Decimal, way: Way) -> Decimal {
    let (Some(&first), Some(&last)) = (series.first(), series.last()) else {
        return number;
    };
    let ten = Decimal::from_i64(10);
    let tenth = Decimal::from_i64(1).divide(ten);
    let step = |step: u16, factor: Decimal| Decimal::from_f64(f64::from(step)).multiply(factor);
    let mut factor = Decimal::from_i64(1);
    match way {
        Way::Up => {
            while number.compare(step(last, factor)).is_ge() {
                factor = factor.multiply(ten);
            }
            let mut previous = step(first, factor);
            while number.compare(step(first, factor)).is_lt() {
                previous = step(first, factor);
                factor = factor.multiply(tenth);
                if factor.is_zero() {
                    return previous;
                }
            }
            series
                .iter()
                .map(|&number| step(number, factor))
                .find(|step| step.compare(number).is_gt())
                .unwrap_or(previous)
        }
        Way::Down => {
            while number.compare(step(first, factor)).is_le() && !factor.is_zero() {
                factor = factor.multiply(tenth);
            }
            let mut previous = step(last, factor);
            while number.compare(step(last, factor)).is_gt() {
                previous = step(last, factor);
                factor = factor.multiply(ten);
                if factor.is_zero() {
                    return previous;
                }
            }
            series
                .iter()
                .rev()
                .map(|&number| step(number, factor))
                .find(|step| step.compare(number).is_lt())
                .unwrap_or(previous)
        }
    }
}

/// The next power of two: an integer of the value's own kind from 1 on, a double below.
#[expect(
    clippy::cast_possible_truncation,
    reason = "logarithms of decimals are below 21000, of doubles below 1100"
)]
fn round_power(value: ValueRef<'_>, number: Number, way: Way) -> Value {
    let step = if way == Way::Up { 1 } else { -1 };
    // From a guess that may be off by one or two to the nearest power that is strictly on the right side.
    let search = |guess: f64, wanted: &dyn Fn(i32) -> bool| {
        let mut exponent = guess as i32;
        while wanted(exponent) {
            exponent -= step;
        }
        while !wanted(exponent) {
            exponent += step;
        }
        exponent
    };
    let is_beyond = |order: std::cmp::Ordering| match way {
        Way::Up => order.is_gt(),
        Way::Down => order.is_lt(),
    };
    if let Number::Decimal(decimal) = number {
        let two = Decimal::from_i64(2);
        let power = |exponent: i32| two.pow(Decimal::from_i64(i64::from(exponent)));
        let Some((coefficient, exponent)) = decimal.parts() else {
            return Value::copy_of(value);
        };
        let digits = f64::from(coefficient.max(1).ilog10()) + f64::from(exponent);
        let exponent = search(digits * std::f64::consts::LOG2_10, &|exponent| {
            is_beyond(power(exponent).compare(decimal))
        });
        return Value::Decimal128(fill_digits(power(exponent)).to_bytes());
    }
    let exponent = search(number.to_f64().log2().floor(), &|exponent| {
        is_beyond(Number::Double(2f64.powi(exponent)).compare(number))
    });
    match exponent {
        0..=30 => Value::Int32(1 << exponent),
        31..=62 => Value::Int64(1 << exponent),
        _ => Value::Double(2f64.powi(exponent)),
    }
}

/// The same number with as many digits as fit, as mongod's power has them.
fn fill_digits(number: Decimal) -> Decimal {
    let Some((coefficient, exponent)) = number.parts() else {
        return number;
    };
    let digits = i32::try_from(coefficient.checked_ilog10().unwrap_or(0)).unwrap_or(0) + 1;
    number.quantize(exponent - (34 - digits), dec::Rounding::HalfEven)
}
