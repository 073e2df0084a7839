//! Numbers and ids out of text.

use super::{failure, overflow};
use crate::Result;
use crate::value::{BsonType, Decimal, Value, ValueRef};

#[cold]
fn unreadable(text: &[u8], what: &str) -> crate::Error {
    failure(format!(
        "Failed to parse {what} '{}' in $convert with no onError value",
        String::from_utf8_lossy(text)
    ))
}

/// An integer: an optional sign and decimal digits, nothing else.
pub(super) fn integer(text: &[u8], kind: BsonType) -> Result<i64> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+"));
    let digits = digits.unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(unreadable(text, "number"));
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| overflow(ValueRef::String(text.into()), kind))
}

/// A double, as C's `strtod` reads it, but without leading space or hexadecimal digits.
pub(super) fn double(text: &[u8]) -> Result<f64> {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .ok_or_else(|| unreadable(text, "number"))?;
    let named = text.iter().any(|byte| matches!(byte, b'n' | b'N'));
    let digits = text.split(|byte| matches!(byte, b'e' | b'E')).next();
    let mut digits = digits.unwrap_or_default().iter();
    let lost = number == 0.0 && digits.any(|byte| matches!(byte, b'1'..=b'9'));
    if lost || (number.is_infinite() && !named) {
        return Err(unreadable(text, "number"));
    }
    Ok(number)
}

pub(super) fn decimal(text: &[u8]) -> Result<Decimal> {
    Decimal::parse(text).map_err(|_| unreadable(text, "number"))
}

/// An object id: 24 hexadecimal digits.
pub(super) fn object_id(text: &[u8]) -> Result<Value> {
    let mut id = [0; 12];
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    if text.len() != id.len() * 2 {
        return Err(unreadable(text, "objectId"));
    }
    for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return Err(unreadable(text, "objectId")),
        }
    }
    Ok(Value::ObjectId(id))
}
