//! A document's fields, found without reading their values: what routing a message needs, and no more.

use std::ops::Range;

/// A field: what it is called, its type, and where its value stands.
#[derive(Clone, Debug)]
pub(crate) struct Element<'a> {
    /// The field's name.
    pub(crate) key: &'a [u8],
    /// The type's number. Source: bsonspec.org.
    pub(crate) kind: u8,
    /// Where the whole field is, from the start of the document.
    pub(crate) whole: Range<usize>,
    /// The value's bytes.
    pub(crate) value: &'a [u8],
}

pub(crate) const DOUBLE: u8 = 0x01;
pub(crate) const STRING: u8 = 0x02;
pub(crate) const DOCUMENT: u8 = 0x03;
pub(crate) const ARRAY: u8 = 0x04;
pub(crate) const BOOL: u8 = 0x08;
pub(crate) const INT32: u8 = 0x10;
pub(crate) const TIMESTAMP: u8 = 0x11;
pub(crate) const INT64: u8 = 0x12;

/// The fields of `document`; ends early, with nothing said, where it is damaged.
pub(crate) fn elements(document: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let end = int32(document)
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0)
        .min(document.len());
    let mut at = 4;
    std::iter::from_fn(move || {
        let start = at;
        let kind = *document.get(at..end)?.first().filter(|kind| **kind != 0)?;
        at += 1;
        let key = cstring(document.get(at..end)?)?;
        at += key.len() + 1;
        let rest = document.get(at..end)?;
        let value = rest.get(..value_bytes(kind, rest)?)?;
        at += value.len();
        Some(Element {
            key,
            kind,
            whole: start..at,
            value,
        })
    })
}

/// How many bytes the value of type `kind` at the start of `bytes` has.
fn value_bytes(kind: u8, bytes: &[u8]) -> Option<usize> {
    let length = |more: usize| {
        let length = usize::try_from(int32(bytes)?).ok()?;
        length.checked_add(more)
    };
    match kind {
        DOUBLE | 0x09 | TIMESTAMP | INT64 => Some(8),
        STRING | 0x0d | 0x0e => length(4),
        DOCUMENT | ARRAY | 0x0f => length(0),
        0x05 => length(5),
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        0x07 => Some(12),
        BOOL => Some(1),
        0x0b => {
            let pattern = cstring(bytes)?.len() + 1;
            Some(pattern + cstring(bytes.get(pattern..)?)?.len() + 1)
        }
        0x0c => length(16),
        INT32 => Some(4),
        0x13 => Some(16),
        _ => None,
    }
}

impl<'a> Element<'a> {
    /// A string's text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        if self.kind != STRING {
            return None;
        }
        let text = self.value.get(4..self.value.len().checked_sub(1)?)?;
        std::str::from_utf8(text).ok()
    }

    /// A number or boolean as an integer.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    pub(crate) fn integer(&self) -> Option<i64> {
        match self.kind {
            DOUBLE => Some(f64::from_le_bytes(self.value.try_into().ok()?) as i64),
            BOOL => self.value.first().map(|value| i64::from(*value)),
            INT32 => int32(self.value).map(i64::from),
            INT64 | TIMESTAMP => Some(i64::from_le_bytes(self.value.try_into().ok()?)),
            _ => None,
        }
    }

    /// A document's or array's bytes.
    pub(crate) fn document(&self) -> Option<&'a [u8]> {
        matches!(self.kind, DOCUMENT | ARRAY).then_some(self.value)
    }
}

/// The field of `document` called `key`.
pub(crate) fn field<'a>(document: &'a [u8], key: &str) -> Option<Element<'a>> {
    elements(document).find(|element| element.key == key.as_bytes())
}

pub(crate) fn int32(bytes: &[u8]) -> Option<i32> {
    bytes
        .first_chunk::<4>()
        .map(|four| i32::from_le_bytes(*four))
}

/// Writes the length of `message`, a whole one, into its header.
pub(crate) fn patch_length(message: &mut [u8]) {
    let length = i32::try_from(message.len()).unwrap_or(i32::MAX);
    if let Some(place) = message.first_chunk_mut::<4>() {
        *place = length.to_le_bytes();
    }
}

fn cstring(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    bytes.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::rawdoc;

    #[test]
    fn fields_are_found_among_all_types() {
        let doc = rawdoc! {
            "double": 1.5, "string": "text", "doc": {"a": 1}, "array": [1, 2],
            "binary": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1, 2, 3] },
            "oid": bson::oid::ObjectId::new(), "bool": true, "date": bson::DateTime::now(), "null": bson::RawBson::Null,
            "regex": bson::Regex { pattern: bson::cstr!("a.*").into(), options: bson::cstr!("i").into() },
            "code": bson::RawBson::JavaScriptCode("f()".to_owned()), "int": 7, "long": 8_i64,
            "time": bson::Timestamp { time: 1, increment: 2 }, "min": bson::RawBson::MinKey,
            "decimal": "1.5".parse::<bson::Decimal128>().unwrap(), "last": "end",
        };
        let keys: Vec<_> = elements(doc.as_bytes()).collect();
        assert_eq!(keys.len(), doc.iter().count());
        assert_eq!(field(doc.as_bytes(), "last").unwrap().text(), Some("end"));
        assert_eq!(field(doc.as_bytes(), "double").unwrap().integer(), Some(1));
        assert_eq!(field(doc.as_bytes(), "long").unwrap().integer(), Some(8));
        assert_eq!(field(doc.as_bytes(), "bool").unwrap().integer(), Some(1));
    }

    #[test]
    fn damage_ends_the_fields() {
        let whole = rawdoc! {"a": "text", "b": {"c": 1}}.into_bytes();
        for end in 0..whole.len() {
            let _ = elements(&whole[..end]).count();
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = elements(&bytes).count();
            }
        }
    }
}
