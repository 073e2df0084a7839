//! Values as text: what string operators make of numbers and dates, and what `$toString` prints.

use std::borrow::Cow;
use std::fmt::Write;

use crate::value::{Decimal, Number, ValueRef};
use crate::{Error, Result};

/// The text that string operators read where they are given another type: `$toUpper`, `$substrBytes`, ….
///
/// # Errors
/// 16007 for a type that has no such text.
pub(super) fn coerce_to_string(value: ValueRef<'_>) -> Result<Cow<'_, [u8]>> {
    Ok(match value {
        ValueRef::String(text) | ValueRef::Symbol(text) | ValueRef::JavaScript(text) => {
            Cow::Borrowed(&**text)
        }
        ValueRef::Null | ValueRef::Undefined | ValueRef::Missing => Cow::Borrowed(b""),
        ValueRef::Int32(number) => owned(number.to_string()),
        ValueRef::Int64(number) => owned(number.to_string()),
        ValueRef::Double(number) => owned(format_general(number, 6)),
        ValueRef::Decimal128(bytes) => owned(Decimal::from_bytes(bytes).to_string()),
        ValueRef::DateTime(millis) => owned(super::date::format_iso(millis)?),
        ValueRef::Timestamp(stamp) => owned(format_timestamp(stamp)),
        other => {
            return Err(Error::location(
                16007,
                format!(
                    "can't convert from BSON type {} to String",
                    other.type_name()
                ),
            ));
        }
    })
}

/// What `$toString` prints, or `None` for a type that it cannot convert. `value` is no string.
///
/// # Errors
/// 18537 for a date beyond the year 9999.
pub(super) fn to_text(value: ValueRef<'_>) -> Result<Option<String>> {
    Ok(Some(match value {
        ValueRef::Double(number) if number.is_nan() => "NaN".to_owned(),
        ValueRef::Double(number) if number.is_infinite() => {
            let sign = if number > 0.0 { "" } else { "-" };
            format!("{sign}Infinity")
        }
        ValueRef::Double(number) => format_general(number, 6),
        ValueRef::Int32(_) | ValueRef::Int64(_) | ValueRef::Decimal128(_) => {
            Number::from_value(value)
                .map(format_number)
                .unwrap_or_default()
        }
        ValueRef::Bool(value) => value.to_string(),
        ValueRef::ObjectId(id) => id.iter().map(|byte| format!("{byte:02x}")).collect(),
        ValueRef::DateTime(millis) => super::date::format_iso(millis)?,
        _ => return Ok(None),
    }))
}

/// A number as error texts print it.
pub(super) fn format_number(number: Number) -> String {
    match number {
        Number::Int32(number) => number.to_string(),
        Number::Int64(number) => number.to_string(),
        Number::Double(number) => format_general(number, 6),
        Number::Decimal(number) => number.to_string(),
    }
}

fn owned(text: String) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_bytes())
}

/// A double as C's `%.<digits>g` prints it.
pub(super) fn format_general(number: f64, digits: usize) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{number:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("Rust's scientific notation has an exponent");
    let exponent: i32 = exponent
        .parse()
        .expect("Rust's scientific notation ends in a number");
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        let mantissa = trim_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    } else {
        let decimals = usize::try_from(limit - 1 - exponent).unwrap_or(0);
        trim_zeros(&format!("{number:.decimals$}")).to_owned()
    }
}

/// Without trailing zeros after a point, and without the point if nothing is left behind it.
fn trim_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// `Jan  1 00:16:40:2`: month, day, time and increment, as C's `ctime` has them.
fn format_timestamp(stamp: u64) -> String {
    let mut text = String::new();
    let seconds = i64::try_from(stamp >> 32).unwrap_or(0);
    let increment = stamp & 0xFFFF_FFFF;
    let time = super::date::Civil::from_millis(seconds * 1000);
    let _ = write!(
        text,
        "{} {:2} {:02}:{:02}:{:02}:{increment}",
        super::date::MONTHS[usize::from(time.month.clamp(1, 12)) - 1],
        time.day,
        time.hour,
        time.minute,
        time.second,
    );
    text
}
