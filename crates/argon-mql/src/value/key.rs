//! Values as bytes whose order is MongoDB's: what indexes, sorts, groups and sets compare and hash.
//!
//! Comparing two keys byte by byte gives what [`compare`](super::compare()) gives for the values, and equal values have
//! equal keys (int 1, long 1, 1.0 and decimal 1.00 have one). No key is the beginning of another, so keys can be
//! concatenated to compound keys.
//!
//! ```text
//! key       = tag payload                                  tag: TypeOrder, numbers and booleans spread over several
//! number    = NaN | zero                                   nothing follows
//!           | ±huge      f64 (64 bits << 1) + T  [tail]    from 2^63 on
//!           | ±n bytes   (whole << 1) + F                  n = 1..8, part of the tag
//!                        [fraction: 52 bits << 4, + T, 7 bytes  [tail]]    if F
//!           | ±fraction  f64 (62 bits << 2) + T  [tail]    below 1
//! tail      = decimal exponent (2 bytes), 34 digits (15 bytes): only what no double is, if T
//! string    = text with 00 -> 01 01 and 01 -> 01 02, then 00
//! document  = { type of element, name as string, key of value } 00
//! array     = { key of item } 00
//! binary    = length (4 bytes), subtype, bytes
//! ```
//!
//! What follows the tag of a negative number is inverted, and so is the whole key of a descending field.

use super::compare::TypeOrder;
use super::decimal::{Decimal, truncate};
use super::doc::Doc;
use super::reference::ValueRef;
use crate::collation::Collation;

/// Tags of numbers, in order, within the room that [`TypeOrder::Number`] has.
mod tag {
    pub(super) const NAN: u8 = super::TypeOrder::Number as u8;
    pub(super) const NEGATIVE_HUGE: u8 = NAN + 1;
    /// Whole part of eight bytes; one less byte, one more.
    pub(super) const NEGATIVE_WHOLE_8: u8 = NAN + 2;
    pub(super) const NEGATIVE_FRACTION: u8 = NAN + 10;
    pub(super) const ZERO: u8 = NAN + 11;
    pub(super) const POSITIVE_FRACTION: u8 = NAN + 12;
    /// Whole part of one byte; one more byte, one more.
    pub(super) const POSITIVE_WHOLE_1: u8 = NAN + 13;
    pub(super) const POSITIVE_HUGE: u8 = NAN + 21;
    pub(super) const TRUE: u8 = super::TypeOrder::Bool as u8 + 1;
}

/// Ends a string, a document, an array.
const END: u8 = 0;
/// 2^63, the first magnitude that does not leave room for a bit beside it.
const HUGE: u64 = 1 << 63;
const HUGE_F64: f64 = 9_223_372_036_854_775_808.0;
/// 2^52: bits of a fraction beside a whole part that is not zero.
const FRACTION_SCALE: f64 = 4_503_599_627_370_496.0;

/// Appends the key of `value`; inverted if `descending`.
#[inline]
pub fn append(out: &mut Vec<u8>, value: ValueRef<'_>, descending: bool) {
    append_with(out, value, descending, None);
}

/// As [`append`], with strings ordered by `collation`.
#[inline]
pub fn append_with(
    out: &mut Vec<u8>,
    value: ValueRef<'_>,
    descending: bool,
    collation: Option<&Collation>,
) {
    let from = out.len();
    ascending(out, value, collation);
    if descending {
        invert(&mut out[from..]);
    }
}

/// The key of `value`, ascending.
pub fn of(value: ValueRef<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    append(&mut out, value, false);
    out
}

/// The first bytes that ascending keys of a type have: from the first to before the second.
pub fn type_range(order: TypeOrder) -> (u8, u8) {
    let first = order as u8;
    let next = match order {
        TypeOrder::Number => TypeOrder::String as u8,
        TypeOrder::Bool => tag::TRUE + 1,
        _ => first + 1,
    };
    (first, next)
}

/// Turns the order of the bytes around.
pub(crate) fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

fn ascending(out: &mut Vec<u8>, value: ValueRef<'_>, collation: Option<&Collation>) {
    match value {
        ValueRef::Int32(v) => integer(out, v.into()),
        ValueRef::Int64(v) => integer(out, v),
        ValueRef::Double(v) => double(out, v),
        ValueRef::Decimal128(v) => decimal(out, Decimal::from_bytes(v)),
        ValueRef::Bool(v) => out.push(if v { tag::TRUE } else { TypeOrder::Bool as u8 }),
        other => {
            out.push(TypeOrder::of(&other) as u8);
            payload(out, other, collation);
        }
    }
}

/// Appends what follows the tag.
fn payload(out: &mut Vec<u8>, value: ValueRef<'_>, collation: Option<&Collation>) {
    match value {
        ValueRef::String(v) | ValueRef::Symbol(v) => match collation {
            None => text(out, v),
            Some(collation) => {
                let from = out.len();
                collation.append_key(out, v);
                let key = out.split_off(from);
                text(out, &key);
            }
        },
        ValueRef::ObjectId(v) => out.extend_from_slice(&v),
        ValueRef::DateTime(v) => {
            // Flipping the sign bit orders negative before positive.
            out.extend_from_slice(&(v ^ i64::MIN).to_be_bytes());
        }
        ValueRef::Timestamp(v) => out.extend_from_slice(&v.to_be_bytes()),
        ValueRef::Document(v) => document(out, v, collation),
        ValueRef::Array(v) => {
            for item in v.values() {
                ascending(out, item, collation);
            }
            out.push(END);
        }
        ValueRef::Binary { subtype, bytes } => {
            length(out, bytes.len());
            out.push(subtype);
            out.extend_from_slice(bytes);
        }
        ValueRef::Regex { pattern, options } => {
            text(out, pattern);
            text(out, options);
        }
        ValueRef::DbPointer { namespace, id } => {
            length(out, namespace.len());
            out.extend_from_slice(namespace);
            out.extend_from_slice(&id);
        }
        ValueRef::JavaScript(v) => text(out, v),
        ValueRef::JavaScriptWithScope { code, scope } => {
            text(out, code);
            document(out, scope, collation);
        }
        // These are their tag, or are written by `ascending`.
        ValueRef::MinKey
        | ValueRef::Missing
        | ValueRef::Undefined
        | ValueRef::Null
        | ValueRef::MaxKey
        | ValueRef::Bool(_)
        | ValueRef::Int32(_)
        | ValueRef::Int64(_)
        | ValueRef::Double(_)
        | ValueRef::Decimal128(_) => {}
    }
}

fn document(out: &mut Vec<u8>, doc: Doc<'_>, collation: Option<&Collation>) {
    for element in doc.iter() {
        let value = element.value();
        out.push(TypeOrder::of(&value) as u8);
        text(out, element.key());
        ascending(out, value, collation);
    }
    out.push(END);
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().all(|&byte| byte > 1) {
        out.extend_from_slice(text);
    } else {
        for &byte in text {
            match byte {
                0 | 1 => out.extend_from_slice(&[1, byte + 1]),
                _ => out.push(byte),
            }
        }
    }
    out.push(END);
}

fn length(out: &mut Vec<u8>, len: usize) {
    // A value's length is below 2^31.
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

fn integer(out: &mut Vec<u8>, value: i64) {
    match value.unsigned_abs() {
        0 => out.push(tag::ZERO),
        HUGE => float(out, -HUGE_F64),
        whole => number(out, value < 0, |out| whole_part(out, whole, false)),
    }
}

fn double(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 {
        out.push(tag::ZERO);
    } else if value.is_nan() {
        out.push(tag::NAN);
    } else {
        float(out, value);
    }
}

/// A double that is neither zero nor NaN.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "each cast is exact: the whole part is below 2^63, the scaled fraction an integer below 2^52"
)]
fn float(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    number(out, value < 0.0, |out| {
        if magnitude >= HUGE_F64 {
            return huge(out, magnitude, false);
        }
        if magnitude < 1.0 {
            return below_one(out, magnitude, false);
        }
        let whole = magnitude as u64;
        let fraction = magnitude - whole as f64;
        let tag = whole_part(out, whole, fraction != 0.0);
        if fraction != 0.0 {
            fraction_part(out, (fraction * FRACTION_SCALE) as u64, false);
        }
        tag
    });
}

fn decimal(out: &mut Vec<u8>, value: Decimal) {
    let Some((coefficient, exponent)) = value.parts() else {
        return match (value.is_nan(), value.is_negative()) {
            (true, _) => out.push(tag::NAN),
            (false, true) => float(out, f64::NEG_INFINITY),
            (false, false) => float(out, f64::INFINITY),
        };
    };
    if coefficient == 0 {
        return out.push(tag::ZERO);
    }
    number(out, value.is_negative(), |out| {
        finite_decimal(out, coefficient, exponent)
    });
}

fn finite_decimal(out: &mut Vec<u8>, coefficient: u128, exponent: i32) -> Tag {
    let power = 10_u128.checked_pow(exponent.unsigned_abs());
    let (whole, rest, divisor) = match (exponent >= 0, power) {
        (true, Some(power)) => (coefficient.checked_mul(power), 0, 1),
        (true, None) => (None, 0, 1),
        (false, Some(power)) => (Some(coefficient / power), coefficient % power, power),
        (false, None) => (Some(0), coefficient, 1),
    };
    match whole.and_then(|whole| u64::try_from(whole).ok()) {
        Some(whole @ 1..HUGE) => {
            let tag = whole_part(out, whole, rest != 0);
            if rest != 0 {
                // `rest / divisor` is below one; its first 52 binary digits by long division.
                let (mut bits, mut rest) = (0, rest);
                for _ in 0..52 {
                    rest *= 2;
                    bits *= 2;
                    if rest >= divisor {
                        rest -= divisor;
                        bits += 1;
                    }
                }
                fraction_part(out, bits, rest != 0);
                if rest != 0 {
                    tail(out, coefficient, exponent);
                }
            }
            tag
        }
        whole => {
            let (near, exact) = truncate(coefficient, exponent);
            let tag = match whole {
                Some(0) => below_one(out, near, !exact),
                _ => huge(out, near, !exact),
            };
            if !exact {
                tail(out, coefficient, exponent);
            }
            tag
        }
    }
}

/// The tags of a magnitude's form with either sign.
struct Tag {
    positive: u8,
    negative: u8,
}

/// Appends a number whose magnitude `body` appends after room for the tag.
#[inline]
fn number(out: &mut Vec<u8>, negative: bool, body: impl FnOnce(&mut Vec<u8>) -> Tag) {
    let from = out.len();
    out.push(0);
    let tag = body(out);
    if negative {
        invert(&mut out[from..]);
        out[from] = tag.negative;
    } else {
        out[from] = tag.positive;
    }
}

fn whole_part(out: &mut Vec<u8>, whole: u64, has_fraction: bool) -> Tag {
    let bits = (whole << 1) | u64::from(has_fraction);
    // One to eight: the whole part is neither zero nor above 2^63.
    let spare = bits.leading_zeros() / 8;
    out.extend_from_slice(&bits.to_be_bytes()[spare as usize..]);
    let spare = u8::try_from(spare).unwrap_or(0);
    Tag {
        positive: tag::POSITIVE_WHOLE_1 + 7 - spare,
        negative: tag::NEGATIVE_WHOLE_8 + spare,
    }
}

fn fraction_part(out: &mut Vec<u8>, bits: u64, has_tail: bool) {
    let bits = (bits << 4) | u64::from(has_tail);
    out.extend_from_slice(&bits.to_be_bytes()[1..]);
}

fn below_one(out: &mut Vec<u8>, magnitude: f64, has_tail: bool) -> Tag {
    // The two highest bits of such a double are zero.
    let bits = (magnitude.to_bits() << 2) | u64::from(has_tail);
    out.extend_from_slice(&bits.to_be_bytes());
    Tag {
        positive: tag::POSITIVE_FRACTION,
        negative: tag::NEGATIVE_FRACTION,
    }
}

fn huge(out: &mut Vec<u8>, magnitude: f64, has_tail: bool) -> Tag {
    // The sign bit is zero.
    let bits = (magnitude.to_bits() << 1) | u64::from(has_tail);
    out.extend_from_slice(&bits.to_be_bytes());
    Tag {
        positive: tag::POSITIVE_HUGE,
        negative: tag::NEGATIVE_HUGE,
    }
}

/// A decimal in full, where the double before it is only its beginning.
fn tail(out: &mut Vec<u8>, coefficient: u128, exponent: i32) {
    let digits = coefficient.ilog10();
    let leading = exponent + i32::try_from(digits).unwrap_or(0);
    let biased = u16::try_from(leading + 10_000).unwrap_or(0);
    out.extend_from_slice(&biased.to_be_bytes());
    let scaled = coefficient * 10_u128.pow(33 - digits.min(33));
    // 34 digits are 113 bits.
    out.extend_from_slice(&scaled.to_be_bytes()[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(value: ValueRef<'_>) -> String {
        of(value).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn small_values_have_small_keys() {
        assert_eq!(hex(ValueRef::Int32(0)), "2b");
        assert_eq!(hex(ValueRef::Int32(1)), "2d02");
        assert_eq!(hex(ValueRef::Int32(-1)), "29fd");
        assert_eq!(hex(ValueRef::Int32(127)), "2dfe");
        assert_eq!(hex(ValueRef::Int64(128)), "2e0100");
        assert_eq!(hex(ValueRef::Double(1.5)), "2d0380000000000000");
        assert_eq!(
            hex(ValueRef::Int64(i64::MIN)),
            "2178".to_owned() + "3fffffffffffff"
        );
        assert_eq!(hex(ValueRef::String("a\0\u{1}".into())), "50610101010200");
        assert_eq!(hex(ValueRef::Bool(true)), "79");
    }

    #[test]
    fn equal_numbers_have_one_key() {
        for (text, double) in [
            ("1.00", 1.0),
            ("-1.5", -1.5),
            ("0.5", 0.5),
            ("-0", 0.0),
            ("1E+22", 1e22),
            ("NaN", f64::NAN),
            ("-Infinity", f64::NEG_INFINITY),
            ("9223372036854775808", HUGE_F64),
            ("4503599627370495.5", 4_503_599_627_370_495.5),
        ] {
            let decimal = Decimal::parse(text.as_bytes()).unwrap();
            assert_eq!(
                hex(ValueRef::Decimal128(decimal.to_bytes())),
                hex(ValueRef::Double(double)),
                "{text}"
            );
        }
    }
}
