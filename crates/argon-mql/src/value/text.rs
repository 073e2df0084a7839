//! Values and documents as MongoDB writes them in its error texts: `{ a: 1.0, b: [ "x" ] }`.

use std::fmt::{self, Display as _};

use bstr::BStr;

use super::decimal::Decimal;
use super::doc::Doc;
use super::reference::ValueRef;

impl fmt::Display for Doc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("{}");
        }
        f.write_str("{ ")?;
        for (index, element) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}: {}", element.key(), element.value())?;
        }
        f.write_str(" }")
    }
}

impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ValueRef::MinKey => f.write_str("MinKey"),
            ValueRef::MaxKey => f.write_str("MaxKey"),
            ValueRef::Missing => f.write_str("EOO"),
            ValueRef::Undefined => f.write_str("undefined"),
            ValueRef::Null => f.write_str("null"),
            ValueRef::Double(v) => double(f, v),
            ValueRef::Int32(v) => v.fmt(f),
            ValueRef::Int64(v) => v.fmt(f),
            ValueRef::Decimal128(v) => Decimal::from_bytes(v).fmt(f),
            ValueRef::String(v) | ValueRef::Symbol(v) => write!(f, "\"{v}\""),
            ValueRef::JavaScript(v) => v.fmt(f),
            ValueRef::Document(v) => v.fmt(f),
            ValueRef::Array(v) => array(f, v),
            ValueRef::Binary { subtype: 4, bytes } if bytes.len() == 16 => {
                f.write_str("UUID(\"")?;
                for (index, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(index, 4 | 6 | 8 | 10) {
                        "-"
                    } else {
                        ""
                    };
                    write!(f, "{dash}{byte:02x}")?;
                }
                f.write_str("\")")
            }
            ValueRef::Binary { subtype, bytes } => {
                write!(f, "BinData({subtype}, ")?;
                for byte in bytes {
                    write!(f, "{byte:02X}")?;
                }
                f.write_str(")")
            }
            ValueRef::ObjectId(v) => {
                f.write_str("ObjectId('")?;
                hex(f, &v)?;
                f.write_str("')")
            }
            ValueRef::Bool(v) => v.fmt(f),
            ValueRef::DateTime(v) => write!(f, "new Date({v})"),
            ValueRef::Timestamp(v) => write!(f, "Timestamp({}, {})", v >> 32, v & 0xFFFF_FFFF),
            ValueRef::Regex { pattern, options } => write!(f, "/{pattern}/{options}"),
            ValueRef::DbPointer { namespace, id } => db_pointer(f, namespace, &id),
            ValueRef::JavaScriptWithScope { code, scope } => {
                write!(f, "CodeWScope( {code}, {scope})")
            }
        }
    }
}

fn array(f: &mut fmt::Formatter<'_>, array: Doc<'_>) -> fmt::Result {
    if array.is_empty() {
        return f.write_str("[]");
    }
    f.write_str("[ ")?;
    for (index, item) in array.values().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    f.write_str(" ]")
}

fn db_pointer(f: &mut fmt::Formatter<'_>, namespace: &BStr, id: &[u8]) -> fmt::Result {
    write!(f, "DBRef('{namespace}',")?;
    hex(f, id)?;
    f.write_str(")")
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Sixteen significant digits, and ".0" unless there is a point: also after an exponent, as mongod has it.
fn double(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    if value.is_nan() {
        return f.write_str("nan.0");
    }
    if value.is_infinite() {
        return f.write_str(if value < 0.0 { "-inf.0" } else { "inf.0" });
    }
    let scientific = format!("{value:.15e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let text = if (-4..16).contains(&exponent) {
        let decimals = usize::try_from(15 - exponent).unwrap_or(0);
        trim(&format!("{value:.decimals$}")).to_owned()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.unsigned_abs())
    };
    f.write_str(&text)?;
    if text.contains('.') {
        Ok(())
    } else {
        f.write_str(".0")
    }
}

/// Without zeros at the end of a fraction.
fn trim(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DocBuf;

    #[test]
    fn writes_as_mongod_answers() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e22, "1e+22.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16.0"),
            (123_456_789.123_456_79, "123456789.1234568"),
            (1e-5, "1e-05.0"),
            (5e-324, "4.940656458412465e-324"),
            (-0.0, "-0.0"),
            (1.0 / 3.0, "0.3333333333333333"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
        ] {
            assert_eq!(ValueRef::Double(value).to_string(), expected);
        }
        let mut doc = DocBuf::new();
        doc.append("a", ValueRef::String("é\"\\".into()));
        let array = doc.open_array("b");
        doc.push(0, ValueRef::Int32(1));
        doc.push(1, ValueRef::Document(Doc::EMPTY));
        doc.close(array);
        doc.append("c", ValueRef::ObjectId([b'a'; 12]));
        doc.append("d", ValueRef::Timestamp((5 << 32) | 6));
        doc.append(
            "e",
            ValueRef::Binary {
                subtype: 0,
                bytes: &[1, 0x62],
            },
        );
        assert_eq!(
            Doc::new(&doc.finish()).to_string(),
            "{ a: \"é\"\\\", b: [ 1, {} ], c: ObjectId('616161616161616161616161'), \
             d: Timestamp(5, 6), e: BinData(0, 0162) }"
        );
    }
}
