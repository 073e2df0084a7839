//! Values as mongod prints them in error texts.

use std::fmt::Write;

use bstr::ByteSlice;

use crate::value::{Doc, Element, ValueRef};

/// Longest text made of one value: texts are for people, and a document may have 16 MiB.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// `key: value`.
pub(crate) fn element(element: &Element<'_>) -> String {
    format!("{}: {}", element.key(), value(element.value()))
}

/// A value.
pub(crate) fn value(value: ValueRef<'_>) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(out: &mut String, value: ValueRef<'_>) {
    if out.len() > TEXT_BYTES_MAX {
        if !out.ends_with("...") {
            out.push_str("...");
        }
        return;
    }
    // Writing to a string cannot fail.
    let _ = match value {
        ValueRef::Missing => write!(out, "missing"),
        ValueRef::MinKey => write!(out, "MinKey"),
        ValueRef::MaxKey => write!(out, "MaxKey"),
        ValueRef::Undefined => write!(out, "undefined"),
        ValueRef::Null => write!(out, "null"),
        ValueRef::Bool(v) => write!(out, "{v}"),
        ValueRef::Int32(v) => write!(out, "{v}"),
        ValueRef::Int64(v) => write!(out, "{v}"),
        ValueRef::Double(v) => {
            out.push_str(&double(v));
            Ok(())
        }
        ValueRef::Decimal128(v) => write!(out, "{}", bson::Decimal128::from_bytes(v)),
        ValueRef::String(v) | ValueRef::Symbol(v) => write!(out, "\"{v}\""),
        ValueRef::JavaScript(v) => write!(out, "{v}"),
        ValueRef::JavaScriptWithScope { code, scope } => {
            let _ = write!(out, "CodeWScope( {code}, ");
            write_document(out, scope);
            write!(out, ")")
        }
        ValueRef::ObjectId(v) => write!(out, "ObjectId('{}')", hex(&v)),
        ValueRef::DateTime(v) => write!(out, "new Date({v})"),
        ValueRef::Timestamp(v) => write!(out, "Timestamp({}, {})", v >> 32, v & 0xFFFF_FFFF),
        ValueRef::Regex { pattern, options } => write!(out, "/{pattern}/{options}"),
        ValueRef::DbPointer { namespace, id } => write!(out, "DBRef('{namespace}', {})", hex(&id)),
        ValueRef::Binary { subtype: 4, bytes } if bytes.len() == 16 => {
            let text = hex(bytes);
            write!(
                out,
                "UUID(\"{}-{}-{}-{}-{}\")",
                &text[..8],
                &text[8..12],
                &text[12..16],
                &text[16..20],
                &text[20..]
            )
        }
        ValueRef::Binary { subtype, bytes } => write!(
            out,
            "BinData({subtype}, {})",
            hex(bytes).to_ascii_uppercase()
        ),
        ValueRef::Document(doc) => {
            write_document(out, doc);
            Ok(())
        }
        ValueRef::Array(items) => {
            write_array(out, items);
            Ok(())
        }
    };
}

fn write_document(out: &mut String, doc: Doc<'_>) {
    if doc.is_empty() {
        out.push_str("{}");
        return;
    }
    for (at, element) in doc.iter().enumerate() {
        out.push_str(if at == 0 { "{ " } else { ", " });
        out.push_str(&element.key().to_str_lossy());
        out.push_str(": ");
        write_value(out, element.value());
        if out.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    out.push_str(" }");
}

fn write_array(out: &mut String, items: Doc<'_>) {
    if items.is_empty() {
        out.push_str("[]");
        return;
    }
    for (at, item) in items.values().enumerate() {
        out.push_str(if at == 0 { "[ " } else { ", " });
        write_value(out, item);
        if out.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    out.push_str(" ]");
}

fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    let mut text = String::with_capacity(shown.len() * 2);
    for byte in shown {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A double with sixteen significant digits, and always with a point.
fn double(number: f64) -> String {
    let mut text = if number.is_nan() {
        "nan".to_owned()
    } else if number.is_infinite() {
        (if number > 0.0 { "inf" } else { "-inf" }).to_owned()
    } else {
        significant_16(number)
    };
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// As C's `%.16g`.
fn significant_16(number: f64) -> String {
    if number == 0.0 {
        return (if number.is_sign_negative() { "-0" } else { "0" }).to_owned();
    }
    let scientific = format!("{number:.15e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let decimals = usize::try_from(15 - exponent).unwrap_or(0);
        let fixed = format!("{number:.decimals$}");
        if fixed.contains('.') {
            return fixed.trim_end_matches('0').trim_end_matches('.').to_owned();
        }
        return fixed;
    }
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_mongod_prints_them() {
        for (number, text) in [
            (1.5, "1.5"),
            (1.0, "1.0"),
            (1e20, "1e+20.0"),
            (1e300, "1e+300.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (123_456_789.123_456_78, "123456789.1234568"),
            (f64::NAN, "nan.0"),
            (f64::INFINITY, "inf.0"),
        ] {
            assert_eq!(double(number), text);
        }
    }
}
