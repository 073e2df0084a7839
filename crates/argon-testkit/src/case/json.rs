//! Extended JSON for case files: every type survives, and people can still read it.
//!
//! Reading accepts MongoDB's canonical and relaxed forms. Writing keeps types apart with as little
//! noise as possible: `1` is a 32-bit integer, `1.0` a double, `{"$numberLong": "1"}` a 64-bit one;
//! the rest is written in the relaxed form. Field order and repeated fields are kept, which is why
//! documents do not pass through a map.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result, bail};
use bson::raw::{CString, RawArray, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Bson, DateTime};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Documents with one of these fields stand for a value of another type.
///
/// Source: MongoDB Extended JSON (v2), "BSON Data Types and Associated Representations".
const WRAPPERS: &[&str] = &[
    "$binary",
    "$code",
    "$date",
    "$dbPointer",
    "$maxKey",
    "$minKey",
    "$numberDecimal",
    "$numberDouble",
    "$numberInt",
    "$numberLong",
    "$oid",
    "$regularExpression",
    "$symbol",
    "$timestamp",
    "$undefined",
    "$uuid",
];

/// The first millisecond after the year 9999, from where on dates are written as numbers.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

/// A rule for writing some values differently; `None` writes the value as it is.
pub type Replace<'a> = &'a dyn Fn(&RawBsonRef<'_>) -> Option<String>;

/// Reads one document.
///
/// # Errors
/// If `text` is not extended JSON, or anything follows the document.
pub fn parse_document(text: &str) -> Result<RawDocumentBuf> {
    let (document, length) = parse_prefix(text)?;
    let rest = text[length..].trim();
    if !rest.is_empty() {
        bail!("{rest:?} follows the document");
    }
    Ok(document)
}

/// Reads the document at the start of `text` and returns it with the number of bytes it took.
///
/// # Errors
/// If `text` does not start with extended JSON.
pub fn parse_prefix(text: &str) -> Result<(RawDocumentBuf, usize)> {
    let mut nodes = serde_json::Deserializer::from_str(text).into_iter::<Node>();
    match nodes.next().context("no document")?? {
        Node::Object(fields) => Ok((to_document(fields)?, nodes.byte_offset())),
        _ => bail!("a document is expected"),
    }
}

/// Writes `document` on one line.
#[must_use]
pub fn render_document(document: &RawDocument) -> String {
    render_document_with(document, &|_| None)
}

/// Writes `document` on one line, some values as `replace` says.
#[must_use]
pub fn render_document_with(document: &RawDocument, replace: Replace<'_>) -> String {
    let mut out = String::new();
    write_document(&mut out, document, replace);
    out
}

fn write_document(out: &mut String, document: &RawDocument, replace: Replace<'_>) {
    out.push('{');
    for (index, element) in document.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        match element {
            Ok((key, value)) => {
                write_string(out, key.as_str());
                out.push_str(": ");
                write_value(out, &value, replace);
            }
            // Shown, not hidden: a server that sends broken BSON must fail its case.
            Err(error) => write_string(out, &format!("broken BSON: {error}")),
        }
    }
    out.push('}');
}

fn write_array(out: &mut String, array: &RawArray, replace: Replace<'_>) {
    out.push('[');
    for (index, value) in array.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        match value {
            Ok(value) => write_value(out, &value, replace),
            Err(error) => write_string(out, &format!("broken BSON: {error}")),
        }
    }
    out.push(']');
}

fn write_value(out: &mut String, value: &RawBsonRef<'_>, replace: Replace<'_>) {
    if let Some(text) = replace(value) {
        out.push_str(&text);
        return;
    }
    match value {
        RawBsonRef::Document(document) => write_document(out, document, replace),
        RawBsonRef::Array(array) => write_array(out, array, replace),
        RawBsonRef::Int32(number) => append(out, format_args!("{number}")),
        RawBsonRef::Int64(number) => {
            append(out, format_args!(r#"{{"$numberLong": "{number}"}}"#));
        }
        RawBsonRef::Double(number) if number.is_nan() => {
            out.push_str(r#"{"$numberDouble": "NaN"}"#);
        }
        RawBsonRef::Double(number) if number.is_infinite() => {
            let sign = if *number < 0.0 { "-" } else { "" };
            append(
                out,
                format_args!(r#"{{"$numberDouble": "{sign}Infinity"}}"#),
            );
        }
        RawBsonRef::Double(number) => append(out, format_args!("{number:?}")),
        RawBsonRef::String(text) => write_string(out, text),
        RawBsonRef::DateTime(date) if !is_printable(*date) => {
            let ms = date.timestamp_millis();
            append(
                out,
                format_args!(r#"{{"$date": {{"$numberLong": "{ms}"}}}}"#),
            );
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            out.push_str(r#"{"$code": "#);
            write_string(out, code.code);
            out.push_str(r#", "$scope": "#);
            write_document(out, code.scope, replace);
            out.push('}');
        }
        other => match Bson::try_from(*other) {
            Ok(value) => write_json(out, &value.into_relaxed_extjson()),
            Err(error) => write_string(out, &format!("broken BSON: {error}")),
        },
    }
}

fn is_printable(date: DateTime) -> bool {
    (0..YEAR_10000_MS).contains(&date.timestamp_millis())
}

/// Writes JSON with a space after `:` and `,`, as the rest of the file has.
fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_string(out, key);
                out.push_str(": ");
                write_json(out, value);
            }
            out.push('}');
        }
        other => append(out, format_args!("{other}")),
    }
}

fn write_string(out: &mut String, text: &str) {
    append(out, format_args!("{}", Value::from(text)));
}

fn append(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string cannot fail");
}

/// JSON as it was written: fields in order, repeated ones too.
enum Node {
    Scalar(Value),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        let value = i64::try_from(value).map_err(|_| E::custom("an integer beyond 64 bits"))?;
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("not finite"))?;
        Ok(Node::Scalar(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, value)) = entries.next_entry::<String, Node>()? {
            if key.contains('\0') {
                return Err(A::Error::custom("a field name with a NUL byte"));
            }
            fields.push((key, value));
        }
        Ok(Node::Object(fields))
    }
}

fn to_document(fields: Vec<(String, Node)>) -> Result<RawDocumentBuf> {
    let mut document = RawDocumentBuf::new();
    for (key, node) in fields {
        document.append(CString::try_from(key)?, to_value(node)?);
    }
    Ok(document)
}

fn to_value(node: Node) -> Result<RawBson> {
    Ok(match node {
        Node::Scalar(value) => RawBson::try_from(Bson::try_from(value)?)?,
        Node::Array(items) => {
            let mut array = RawArrayBuf::new();
            for item in items {
                array.push(to_value(item)?);
            }
            RawBson::Array(array)
        }
        Node::Object(fields) if is_wrapper(&fields) => {
            RawBson::try_from(Bson::try_from(to_json(Node::Object(fields)))?)?
        }
        Node::Object(fields) => RawBson::Document(to_document(fields)?),
    })
}

fn is_wrapper(fields: &[(String, Node)]) -> bool {
    fields
        .first()
        .is_some_and(|(key, _)| WRAPPERS.contains(&key.as_str()))
}

fn to_json(node: Node) -> Value {
    match node {
        Node::Scalar(value) => value,
        Node::Array(items) => Value::Array(items.into_iter().map(to_json).collect()),
        Node::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, node)| (key, to_json(node)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        let document = parse_document(input).unwrap();
        assert_eq!(render_document(&document), expected);
        assert_eq!(parse_document(expected).unwrap(), document);
    }

    #[test]
    fn numbers_keep_their_types() {
        check(r#"{"v": {"$numberInt": "1"}}"#, r#"{"v": 1}"#);
        check(r#"{"v": {"$numberDouble": "1.0"}}"#, r#"{"v": 1.0}"#);
        check(r#"{"v": {"$numberDouble": "-0.0"}}"#, r#"{"v": -0.0}"#);
        check(r#"{"v": 1e300}"#, r#"{"v": 1e300}"#);
        check(r#"{"v": 5e-324}"#, r#"{"v": 5e-324}"#);
        check(r#"{"v": 0.1}"#, r#"{"v": 0.1}"#);
        check(
            r#"{"v": 9007199254740993}"#,
            r#"{"v": {"$numberLong": "9007199254740993"}}"#,
        );
        check(
            r#"{"v": {"$numberLong": "1"}}"#,
            r#"{"v": {"$numberLong": "1"}}"#,
        );
        check(
            r#"{"v": {"$numberDecimal": "1.20E+3"}}"#,
            r#"{"v": {"$numberDecimal": "1.20E+3"}}"#,
        );
    }

    #[test]
    fn nan_is_not_a_number_and_not_lost() {
        let text = r#"{"v": {"$numberDouble": "NaN"}}"#;
        assert_eq!(render_document(&parse_document(text).unwrap()), text);
    }

    #[test]
    fn other_types() {
        for text in [
            r#"{"v": {"$oid": "0123456789abcdef01234567"}}"#,
            r#"{"v": {"$date": "2020-01-02T03:04:05.678Z"}}"#,
            r#"{"v": {"$date": {"$numberLong": "-1"}}}"#,
            r#"{"v": {"$date": {"$numberLong": "9223372036854775807"}}}"#,
            r#"{"v": {"$binary": {"base64": "AQI=", "subType": "80"}}}"#,
            r#"{"v": {"$regularExpression": {"pattern": "^a", "options": "i"}}}"#,
            r#"{"v": {"$code": "x", "$scope": {"a": {"$numberLong": "1"}}}}"#,
            r#"{"v": [{"$minKey": 1}, {"$maxKey": 1}, {"$undefined": true}, null, "\n", []]}"#,
            r#"{"v": {"$timestamp": {"t": 1, "i": 2}}, "w": {"$symbol": "s"}}"#,
        ] {
            check(text, text);
        }
    }

    #[test]
    fn order_and_repeated_fields_stay() {
        check(
            r#"{"b": 1, "a": {"x": 1, "x": 2}}"#,
            r#"{"b": 1, "a": {"x": 1, "x": 2}}"#,
        );
    }

    #[test]
    fn operators_are_documents() {
        check(
            r#"{"v": {"$regex": "a", "$options": "i"}}"#,
            r#"{"v": {"$regex": "a", "$options": "i"}}"#,
        );
    }

    #[test]
    fn wrappers_are_sorted() {
        assert!(WRAPPERS.is_sorted());
    }
}
