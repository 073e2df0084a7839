//! `$dateToString`.

use std::fmt::Write;

use super::super::node::Call;
use super::super::ops::{Named, Op, optional, required};
use super::civil::MINUTE;
use super::{Zone, to_instant, zone_arg};
use crate::value::{Value, ValueRef};
use crate::{Error, Result};

pub(super) const DATE_TO_STRING: Op = Op::named(
    "$dateToString",
    Named {
        not_an_object: 18629,
        unknown: 18534,
        fields: &[
            required("date", 18628),
            optional("format"),
            optional("timezone"),
            optional("onNull"),
        ],
    },
    date_to_string,
);

const DEFAULT_FORMAT: &[u8] = b"%Y-%m-%dT%H:%M:%S.%LZ";

fn date_to_string(call: &Call<'_>) -> Result<Value> {
    let date = call.arg(0)?;
    let given = call.arg(1)?;
    let format = match given.as_ref() {
        _ if !call.is_given(1) => Some(DEFAULT_FORMAT),
        ValueRef::String(format) => {
            check(format)?;
            Some(&**format)
        }
        value if value.is_nullish() => None,
        other => {
            return Err(Error::location(
                18533,
                format!(
                    "$dateToString requires that 'format' be a string, found: {}",
                    other.type_name()
                ),
            ));
        }
    };
    let zone = zone_arg(call, 2, 40517)?;
    if date.is_nullish() {
        return if call.is_given(3) {
            Ok(call.arg(3)?.into_value())
        } else {
            Ok(Value::Null)
        };
    }
    let (Some(format), Some(zone)) = (format, zone) else {
        return Ok(Value::Null);
    };
    let text = write(format, to_instant(date.as_ref())?, &zone)?;
    Ok(Value::String(text.into()))
}

/// Checks that every `%` in `format` is followed by a character that means something.
fn check(format: &[u8]) -> Result<()> {
    let mut rest = format.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            continue;
        }
        match rest.next() {
            None => {
                return Err(Error::location(
                    18535,
                    "Unmatched '%' at end of format string",
                ));
            }
            Some(b'%' | b'd' | b'G' | b'H' | b'j' | b'L' | b'm' | b'M' | b'S') => {}
            Some(b'u' | b'U' | b'V' | b'w' | b'Y' | b'z' | b'Z') => {}
            Some(&other) => {
                return Err(Error::location(
                    18536,
                    format!(
                        "Invalid format character '%{}' in format string",
                        char::from(other)
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// A year with four digits.
fn year(out: &mut String, year: i64) -> Result<()> {
    if !(0..=9999).contains(&year) {
        return Err(Error::location(
            18537,
            format!(
                "Could not convert date to string: date component was outside the supported range of 0-9999: {year}"
            ),
        ));
    }
    let _ = write!(out, "{year:04}");
    Ok(())
}

/// Writes an instant as `format`, which was checked, says.
fn write(format: &[u8], millis: i64, zone: &Zone) -> Result<Vec<u8>> {
    let time = zone.civil(millis);
    let mut out = Vec::with_capacity(format.len() * 2);
    let mut text = String::new();
    let mut rest = format.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        text.clear();
        // Writing to a string cannot fail.
        let _ = match rest.next() {
            Some(b'd') => write!(text, "{:02}", time.day),
            Some(b'G') => {
                year(&mut text, time.iso_week().0)?;
                Ok(())
            }
            Some(b'H') => write!(text, "{:02}", time.hour),
            Some(b'j') => write!(text, "{:03}", time.day_of_year()),
            Some(b'L') => write!(text, "{:03}", time.millisecond),
            Some(b'm') => write!(text, "{:02}", time.month),
            Some(b'M') => write!(text, "{:02}", time.minute),
            Some(b'S') => write!(text, "{:02}", time.second),
            Some(b'u') => write!(text, "{}", time.iso_weekday()),
            Some(b'U') => write!(text, "{:02}", time.week()),
            Some(b'V') => write!(text, "{:02}", time.iso_week().1),
            Some(b'w') => write!(text, "{}", time.weekday() + 1),
            Some(b'Y') => {
                year(&mut text, time.year)?;
                Ok(())
            }
            Some(b'z') => {
                let minutes = zone.offset(millis) / MINUTE;
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.abs();
                write!(text, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
            }
            Some(b'Z') => write!(text, "{}", zone.offset(millis) / MINUTE),
            _ => write!(text, "%"),
        };
        out.extend_from_slice(text.as_bytes());
    }
    Ok(out)
}
