//! Trigonometry and logarithms of decimals: computed with twice the digits, then rounded to decimal128's 34.
//!
//! `docs/adr/2026-11-20-decimal-functions.md` says which digits are mongod's and which are right.

use dec::{Context, Decimal as Wide};

use crate::value::Decimal;
use crate::value::decimal::{DIGITS_MAX, EXPONENT_MIN};

/// Units of three digits.
const UNITS: usize = 30;
/// Digits of intermediate results.
const PRECISION: usize = 80;
/// Exponents of intermediate results: those of decimal128, and room for squares.
const EXPONENT_LIMIT: isize = 99_999;
/// Terms after which a series has converged to [`PRECISION`] digits for arguments up to one.
const TERMS_MAX: i32 = 200;
const PI: &str = "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534";
/// Arguments from 10^this on have lost the angle in the digits of [`PI`]; doubles have to do.
const ANGLE_EXPONENT_MAX: i32 = 40;

type Number = Wide<UNITS>;

/// Arithmetic with [`PRECISION`] digits.
struct Calculator(Context<Number>);

impl Calculator {
    fn new() -> Calculator {
        let mut context = Context::<Number>::default();
        let fits = context.set_precision(PRECISION).is_ok()
            & context.set_max_exponent(EXPONENT_LIMIT).is_ok()
            & context.set_min_exponent(-EXPONENT_LIMIT).is_ok();
        debug_assert!(fits, "the limits are within the crate's");
        Calculator(context)
    }

    fn parse(&mut self, text: &str) -> Number {
        self.0.parse(text).unwrap_or_else(|_| Number::nan())
    }

    fn int(&mut self, value: i32) -> Number {
        Number::from(value)
    }

    fn add(&mut self, a: &Number, b: &Number) -> Number {
        let mut sum = *a;
        self.0.add(&mut sum, b);
        sum
    }

    fn sub(&mut self, a: &Number, b: &Number) -> Number {
        let mut difference = *a;
        self.0.sub(&mut difference, b);
        difference
    }

    fn mul(&mut self, a: &Number, b: &Number) -> Number {
        let mut product = *a;
        self.0.mul(&mut product, b);
        product
    }

    fn div(&mut self, a: &Number, b: &Number) -> Number {
        let mut quotient = *a;
        self.0.div(&mut quotient, b);
        quotient
    }

    fn sqrt(&mut self, a: &Number) -> Number {
        let mut root = *a;
        self.0.sqrt(&mut root);
        root
    }

    fn exp(&mut self, a: &Number) -> Number {
        let mut power = *a;
        self.0.exp(&mut power);
        power
    }

    fn ln(&mut self, a: &Number) -> Number {
        let mut logarithm = *a;
        self.0.ln(&mut logarithm);
        logarithm
    }

    /// `number` rounded to 113 binary digits, unless it is far from one.
    fn binary(&mut self, number: &Number) -> Number {
        const DIGITS: i32 = 113;
        const NEAR: f64 = 1e60;
        let double = number.to_string().parse::<f64>().unwrap_or(0.0).abs();
        if !(1.0 / NEAR..NEAR).contains(&double) {
            return *number;
        }
        // Scaled so that the digits wanted stand before the point.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the logarithm is below 200"
        )]
        let shift = DIGITS - 1 - double.log2().floor() as i32;
        let two = self.int(2);
        let scale = (0..shift.unsigned_abs()).fold(self.int(1), |scale, _| self.mul(&scale, &two));
        let mut scaled = if shift >= 0 {
            self.mul(number, &scale)
        } else {
            self.div(number, &scale)
        };
        self.0.round(&mut scaled);
        if shift >= 0 {
            self.div(&scaled, &scale)
        } else {
            self.mul(&scaled, &scale)
        }
    }

    fn pi(&mut self) -> Number {
        self.parse(PI)
    }

    /// The sum of a series from `first` on, where `ratio(n)` is term n + 1 over term n.
    fn series(
        &mut self,
        first: Number,
        mut ratio: impl FnMut(&mut Calculator, i32) -> Number,
    ) -> Number {
        let mut sum = first;
        let mut term = first;
        for n in 0..TERMS_MAX {
            let ratio = ratio(self, n);
            term = self.mul(&term, &ratio);
            let next = self.add(&sum, &term);
            if next == sum {
                break;
            }
            sum = next;
        }
        sum
    }

    /// `angle` within ±π.
    fn reduce(&mut self, angle: &Number) -> Number {
        let pi = self.pi();
        let two = self.int(2);
        let turn = self.mul(&pi, &two);
        let mut rest = *angle;
        self.0.rem_near(&mut rest, &turn);
        rest
    }

    fn sin(&mut self, angle: &Number) -> Number {
        let x = self.reduce(angle);
        let square = self.mul(&x, &x);
        self.series(x, |c, n| {
            let divisor = c.int(-(2 * n + 2) * (2 * n + 3));
            c.div(&square, &divisor)
        })
    }

    fn cos(&mut self, angle: &Number) -> Number {
        let x = self.reduce(angle);
        let square = self.mul(&x, &x);
        let one = self.int(1);
        self.series(one, |c, n| {
            let divisor = c.int(-(2 * n + 1) * (2 * n + 2));
            c.div(&square, &divisor)
        })
    }

    fn sinh(&mut self, x: &Number) -> Number {
        let one = self.int(1);
        let mut magnitude = *x;
        self.0.abs(&mut magnitude);
        if magnitude < one {
            // Where the exponentials nearly cancel.
            let square = self.mul(x, x);
            return self.series(*x, |c, n| {
                let divisor = c.int((2 * n + 2) * (2 * n + 3));
                c.div(&square, &divisor)
            });
        }
        let (up, down) = self.exponentials(x);
        let two = self.int(2);
        let difference = self.sub(&up, &down);
        self.div(&difference, &two)
    }

    fn cosh(&mut self, x: &Number) -> Number {
        let (up, down) = self.exponentials(x);
        let two = self.int(2);
        let sum = self.add(&up, &down);
        self.div(&sum, &two)
    }

    fn exponentials(&mut self, x: &Number) -> (Number, Number) {
        let zero = self.int(0);
        let negated = self.sub(&zero, x);
        (self.exp(x), self.exp(&negated))
    }

    fn atan(&mut self, x: &Number) -> Number {
        // atan(x) = 2 atan(x / (1 + sqrt(1 + x²))): three times brings any argument below 0.2.
        let one = self.int(1);
        let mut x = *x;
        for _ in 0..3 {
            let square = self.mul(&x, &x);
            let hypotenuse = self.add(&one, &square);
            let root = self.sqrt(&hypotenuse);
            let divisor = self.add(&one, &root);
            x = self.div(&x, &divisor);
        }
        let square = self.mul(&x, &x);
        let sum = self.series(x, |c, n| {
            let (above, below) = (c.int(-(2 * n + 1)), c.int(2 * n + 3));
            let factor = c.div(&above, &below);
            c.mul(&factor, &square)
        });
        let eight = self.int(8);
        self.mul(&sum, &eight)
    }

    fn asin(&mut self, x: &Number) -> Number {
        let one = self.int(1);
        let square = self.mul(x, x);
        let rest = self.sub(&one, &square);
        let root = self.sqrt(&rest);
        if root.is_zero() {
            let pi = self.pi();
            let half = self.parse(if x.is_negative() { "-0.5" } else { "0.5" });
            return self.mul(&pi, &half);
        }
        let tangent = self.div(x, &root);
        self.atan(&tangent)
    }
}

/// Applies `function` to a finite `value` as mongod does where it goes through binary128 plainly: argument and result
/// are rounded to 113 binary digits.
fn through_binary(
    value: Decimal,
    function: impl FnOnce(&mut Calculator, &Number) -> Number,
) -> Decimal {
    finite(value, |c, x| {
        let x = c.binary(x);
        let result = function(c, &x);
        c.binary(&result)
    })
}

/// Applies `function` to a finite `value`.
fn finite(value: Decimal, function: impl FnOnce(&mut Calculator, &Number) -> Number) -> Decimal {
    let mut calculator = Calculator::new();
    let number = calculator.parse(&value.to_string());
    round(&function(&mut calculator, &number))
}

/// Rounded to 34 digits.
fn round(number: &Number) -> Decimal {
    let rounded = Context::<dec::Decimal128>::default().from_decimal(number);
    pad(Decimal::parse(rounded.to_string().as_bytes()).unwrap_or(Decimal::NAN))
}

/// The same number with all 34 digits, trailing zeros among them: mongod computes these functions in binary, and what
/// comes back from there never has fewer.
pub(in crate::expr) fn pad(number: Decimal) -> Decimal {
    let Some((coefficient, exponent)) = number.parts() else {
        return number;
    };
    let sign = if number.is_negative() { "-" } else { "" };
    let text = if coefficient == 0 {
        format!("{sign}0E{EXPONENT_MIN}")
    } else {
        let room = u32::try_from(exponent - EXPONENT_MIN).unwrap_or(0);
        let zeros = (DIGITS_MAX - 1 - coefficient.ilog10()).min(room);
        let exponent = i64::from(exponent) - i64::from(zeros);
        format!("{sign}{}E{exponent}", coefficient * 10_u128.pow(zeros))
    };
    Decimal::parse(text.as_bytes()).unwrap_or(number)
}

/// Whether the exact function would give the argument back in 34 digits: zero, and what is tiny.
fn is_own_value(value: Decimal) -> bool {
    !value.is_nan() && (value.is_zero() || below(value, "1E-20"))
}

/// Whether e to the power of the number is one in 34 digits.
pub(in crate::expr) fn is_tiny(value: Decimal) -> bool {
    !value.is_nan() && (value.is_zero() || below(value, "1E-34"))
}

fn below(value: Decimal, bound: &str) -> bool {
    value.abs().compare(constant(bound)).is_lt()
}

fn own_value(value: Decimal) -> Decimal {
    if value.is_zero() { value } else { pad(value) }
}

/// The same for functions that give a zero this exponent.
fn own_value_or_zero(value: Decimal, exponent: &str) -> Decimal {
    if value.is_zero() {
        value.multiply(constant(exponent))
    } else {
        own_value(value)
    }
}

/// Whether the angle is within reach of our digits of π.
fn is_angle(value: Decimal) -> bool {
    value
        .parts()
        .is_some_and(|(_, exponent)| exponent < ANGLE_EXPONENT_MAX)
}

pub(super) fn sin(value: Decimal) -> Decimal {
    match value {
        _ if is_own_value(value) => own_value(value),
        _ if is_angle(value) => finite(value, Calculator::sin),
        _ => Decimal::from_f64(value.to_f64().sin()),
    }
}

pub(super) fn cos(value: Decimal) -> Decimal {
    match value {
        _ if is_angle(value) => finite(value, Calculator::cos),
        _ => Decimal::from_f64(value.to_f64().cos()),
    }
}

pub(super) fn tan(value: Decimal) -> Decimal {
    match value {
        _ if is_own_value(value) => own_value_or_zero(value, "1E-40"),
        _ if is_angle(value) => finite(value, |c, x| {
            let (sin, cos) = (c.sin(x), c.cos(x));
            c.div(&sin, &cos)
        }),
        _ => Decimal::from_f64(value.to_f64().tan()),
    }
}

pub(super) fn asin(value: Decimal) -> Decimal {
    if is_own_value(value) {
        return own_value_or_zero(value, "1E-40");
    }
    through_binary(value, Calculator::asin)
}

pub(super) fn acos(value: Decimal) -> Decimal {
    through_binary(value, |c, x| {
        let (pi, two) = (c.pi(), c.int(2));
        let right_angle = c.div(&pi, &two);
        let asin = c.asin(x);
        c.sub(&right_angle, &asin)
    })
}

pub(super) fn atan(value: Decimal) -> Decimal {
    if value.is_nan() || is_own_value(value) {
        return own_value(value);
    }
    if value.is_infinite() {
        return right_angle(value.is_negative());
    }
    through_binary(value, Calculator::atan)
}

fn right_angle(negative: bool) -> Decimal {
    let one = Decimal::from_i64(if negative { -1 } else { 1 });
    finite(one, Calculator::asin)
}

pub(super) fn atan2(y: Decimal, x: Decimal) -> Decimal {
    if y.is_nan() || x.is_nan() {
        return Decimal::NAN;
    }
    if !y.is_finite() || !x.is_finite() {
        // The same angle with ones for infinities, and zeros for what is nothing beside them.
        let collapse = |value: Decimal| {
            let one = Decimal::from_i64(if value.is_negative() { -1 } else { 1 });
            if value.is_infinite() {
                one
            } else {
                one.multiply(Decimal::ZERO)
            }
        };
        return atan2(collapse(y), collapse(x));
    }
    if x.is_zero() && !y.is_zero() {
        return right_angle(y.is_negative());
    }
    let mut calculator = Calculator::new();
    let c = &mut calculator;
    let pi = c.pi();
    if y.is_zero() {
        return match (x.is_negative(), y.is_negative()) {
            (false, _) => pad(y),
            (true, false) => round(&pi),
            (true, true) => round(&pi).negate(),
        };
    }
    let (opposite, adjacent) = (c.parse(&y.to_string()), c.parse(&x.to_string()));
    let tangent = c.div(&opposite, &adjacent);
    let angle = c.atan(&tangent);
    round(&match (x.is_negative(), y.is_negative()) {
        (false, _) => angle,
        (true, false) => c.add(&angle, &pi),
        (true, true) => c.sub(&angle, &pi),
    })
}

pub(super) fn sinh(value: Decimal) -> Decimal {
    if !value.is_finite() || is_own_value(value) {
        return own_value_or_zero(value, "1E-40");
    }
    finite(value, Calculator::sinh)
}

pub(super) fn cosh(value: Decimal) -> Decimal {
    if !value.is_finite() {
        return if value.is_nan() { value } else { value.abs() };
    }
    finite(value, Calculator::cosh)
}

pub(super) fn tanh(value: Decimal) -> Decimal {
    if value.is_nan() || is_own_value(value) {
        return own_value(value);
    }
    // Beyond this, the difference from one is below the last digit.
    const ONE_FROM: i64 = 40;
    if value.abs().compare(Decimal::from_i64(ONE_FROM)).is_ge() {
        return Decimal::from_i64(if value.is_negative() { -1 } else { 1 });
    }
    finite(value, |c, x| {
        let (sinh, cosh) = (c.sinh(x), c.cosh(x));
        c.div(&sinh, &cosh)
    })
}

pub(super) fn asinh(value: Decimal) -> Decimal {
    if !value.is_finite() || is_own_value(value) {
        return own_value_or_zero(value, "1E-6176");
    }
    let positive = through_binary(value.abs(), |c, x| {
        let (one, square) = (c.int(1), c.mul(x, x));
        let hypotenuse = c.add(&square, &one);
        let root = c.sqrt(&hypotenuse);
        let sum = c.add(x, &root);
        c.ln(&sum)
    });
    if value.is_negative() {
        positive.negate()
    } else {
        positive
    }
}

pub(super) fn acosh(value: Decimal) -> Decimal {
    if !value.is_finite() {
        return value;
    }
    if value.compare(Decimal::from_i64(1)).is_eq() {
        return Decimal::ZERO;
    }
    through_binary(value, |c, x| {
        let (one, square) = (c.int(1), c.mul(x, x));
        let rest = c.sub(&square, &one);
        let root = c.sqrt(&rest);
        let sum = c.add(x, &root);
        c.ln(&sum)
    })
}

pub(super) fn atanh(value: Decimal) -> Decimal {
    if is_own_value(value) {
        return own_value_or_zero(value, "1E-6176");
    }
    if value.abs().compare(Decimal::from_i64(1)).is_eq() {
        return Decimal::infinity(value.is_negative());
    }
    through_binary(value, |c, x| {
        let (one, two) = (c.int(1), c.int(2));
        let (above, below) = (c.add(&one, x), c.sub(&one, x));
        let ratio = c.div(&above, &below);
        let logarithm = c.ln(&ratio);
        c.div(&logarithm, &two)
    })
}

/// The natural logarithm of a number above zero.
pub(in crate::expr) fn ln(value: Decimal) -> Decimal {
    if value.is_infinite() {
        return value;
    }
    if value.compare(Decimal::from_i64(1)).is_eq() {
        return Decimal::ZERO;
    }
    through_binary(value, Calculator::ln)
}

/// The logarithm to base two of a number above zero; a whole one has no fraction.
pub(in crate::expr) fn log2(value: Decimal) -> Decimal {
    if value.is_infinite() {
        return value;
    }
    whole_if_whole(through_binary(value, |c, x| {
        let two = c.int(2);
        let (logarithm, unit) = (c.ln(x), c.ln(&two));
        c.div(&logarithm, &unit)
    }))
}

/// The logarithm to base ten of a number above zero; a whole one has no fraction.
pub(in crate::expr) fn log10(value: Decimal) -> Decimal {
    if value.is_infinite() {
        return value;
    }
    whole_if_whole(through_binary(value, |c, x| {
        let mut logarithm = *x;
        c.0.log10(&mut logarithm);
        logarithm
    }))
}

fn whole_if_whole(number: Decimal) -> Decimal {
    let whole = number.quantize(0, dec::Rounding::HalfEven);
    if whole.compare(number).is_eq() {
        whole
    } else {
        number
    }
}

pub(super) fn to_radians(value: Decimal) -> Decimal {
    value.multiply(constant("0.01745329251994329576923690768488613"))
}

pub(super) fn to_degrees(value: Decimal) -> Decimal {
    value.multiply(constant("57.29577951308232087679815481410517"))
}

fn constant(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).unwrap_or(Decimal::NAN)
}
