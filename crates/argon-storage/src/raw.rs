//! BSON as bytes, written and read directly: bulk loads encode and replay decodes a hundred
//! thousand documents a second, and neither needs a tree of values.
//!
//! Source: BSON specification, version 1.1.

use std::str;

use bytes::Bytes;

/// Why bytes are not what they should be.
pub(crate) type Reason = String;

/// The type byte of an element. Source: BSON specification, "element".
pub(crate) mod tag {
    pub(crate) const STRING: u8 = 0x02;
    pub(crate) const DOCUMENT: u8 = 0x03;
    pub(crate) const ARRAY: u8 = 0x04;
    pub(crate) const BINARY: u8 = 0x05;
    pub(crate) const BOOLEAN: u8 = 0x08;
    pub(crate) const DATE_TIME: u8 = 0x09;
    pub(crate) const INT32: u8 = 0x10;
    pub(crate) const TIMESTAMP: u8 = 0x11;
    pub(crate) const INT64: u8 = 0x12;
}

/// The name of the last element of every stored document.
pub(crate) const CHECKSUM: &str = "checksum";

/// Binary subtypes. Source: BSON specification, "subtype".
pub(crate) const GENERIC: u8 = 0x00;
pub(crate) const UUID: u8 = 0x04;

/// The bytes of the smallest document: its length and its terminator.
const EMPTY_DOCUMENT_BYTES: usize = 5;

/// Appends elements to a buffer. Lengths are filled in when a document ends.
///
/// The caller bounds what it writes ([`crate::record::RECORD_BYTES_MAX`]), so lengths fit BSON's signed 32 bits.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

/// Where a document began, for [`Writer::end`].
#[must_use]
pub(crate) struct Open(usize);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Writer {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub(crate) fn begin(&mut self) -> Open {
        let open = Open(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
        open
    }

    pub(crate) fn end(&mut self, open: Open) {
        self.bytes.push(0);
        let length = length(self.bytes.len() - open.0);
        self.bytes[open.0..open.0 + 4].copy_from_slice(&length);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Ends a stored document: its last element is the checksum of every byte before that
    /// element's value, the document's length included. Returns the checksum.
    pub(crate) fn seal(&mut self, open: Open) -> u32 {
        debug_assert!(open.0 == 0, "only whole documents are sealed");
        self.name(tag::INT32, CHECKSUM);
        let total = self.bytes.len() + 5;
        self.bytes[..4].copy_from_slice(&length(total));
        let checksum = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.bytes.push(0);
        checksum
    }

    pub(crate) fn name(&mut self, tag: u8, name: &str) {
        debug_assert!(!name.as_bytes().contains(&0), "element names are ours");
        self.bytes.push(tag);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }

    /// An array's element: its name is the decimal index.
    pub(crate) fn index(&mut self, tag: u8, index: usize) {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        let mut rest = index;
        loop {
            start -= 1;
            digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&digits[start..]);
        self.bytes.push(0);
    }

    pub(crate) fn string_value(&mut self, value: &str) {
        self.bytes.extend_from_slice(&length(value.len() + 1));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        self.name(tag::STRING, name);
        self.string_value(value);
    }

    pub(crate) fn binary(&mut self, name: &str, subtype: u8, value: &[u8]) {
        self.name(tag::BINARY, name);
        self.bytes.extend_from_slice(&length(value.len()));
        self.bytes.push(subtype);
        self.bytes.extend_from_slice(value);
    }

    /// A whole document, checked before by [`is_framed`].
    pub(crate) fn document(&mut self, name: &str, value: &[u8]) {
        self.name(tag::DOCUMENT, name);
        self.bytes.extend_from_slice(value);
    }

    /// A document's bytes after [`Self::index`].
    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.name(tag::BOOLEAN, name);
        self.bytes.push(u8::from(value));
    }

    pub(crate) fn int32(&mut self, name: &str, value: i32) {
        self.name(tag::INT32, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn int64(&mut self, tag: u8, name: &str, value: i64) {
        self.name(tag, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }
}

fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes)
        .expect("the record's size is bounded before it is written")
        .to_le_bytes()
}

/// Whether `bytes` are framed as one BSON document: the length says so and the terminator is there.
pub(crate) fn is_framed(bytes: &[u8]) -> bool {
    bytes.len() >= EMPTY_DOCUMENT_BYTES
        && read_length(bytes, 0) == Some(bytes.len())
        && bytes.last() == Some(&0)
}

/// Checks frame and checksum of a document that [`Writer::seal`] ended.
pub(crate) fn verify(bytes: &[u8]) -> Result<(), &'static str> {
    let Some(split) = bytes.len().checked_sub(5) else {
        return Err("the stored bytes are cut short");
    };
    let (summed, tail) = bytes.split_at(split);
    let stored = tail
        .first_chunk::<4>()
        .map_or(0, |raw| u32::from_le_bytes(*raw));
    if crc32c::crc32c(summed) != stored {
        return Err("the checksum does not match");
    }
    if !is_framed(bytes) {
        return Err("the stored bytes are no document");
    }
    Ok(())
}

fn read_length(bytes: &[u8], at: usize) -> Option<usize> {
    let raw = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(i32::from_le_bytes(raw.try_into().ok()?)).ok()
}

/// One element's value, borrowed from the buffer that [`Reader`] walks.
#[derive(Clone)]
pub(crate) enum Value {
    String(Bytes),
    Document(Bytes),
    Array(Bytes),
    Binary(Bytes),
    Boolean(bool),
    Int32(i32),
    Int64(i64),
}

/// Walks the elements of one document; values are slices of it.
///
/// Only the types the store writes are known; everything else is `None`, "not ours".
struct Reader {
    bytes: Bytes,
    at: usize,
    end: usize,
}

impl Reader {
    /// A reader of `bytes`, which must be framed as one document.
    fn new(bytes: Bytes) -> Option<Self> {
        let end = is_framed(&bytes).then(|| bytes.len() - 1)?;
        Some(Reader { bytes, at: 4, end })
    }

    fn is_done(&self) -> bool {
        self.at == self.end
    }

    /// The next element: its name and value. `None` if it is cut short, malformed or of a foreign type.
    fn next(&mut self) -> Option<(&[u8], Value)> {
        let tag = *self.take(1)?.first()?;
        let name_at = self.at;
        let name_bytes = self
            .bytes
            .get(self.at..self.end)?
            .iter()
            .position(|byte| *byte == 0)?;
        self.at += name_bytes + 1;
        let value = self.value(tag)?;
        Some((self.bytes.get(name_at..name_at + name_bytes)?, value))
    }

    fn value(&mut self, tag: u8) -> Option<Value> {
        Some(match tag {
            tag::STRING => {
                let length = self.length()?;
                let value = self.slice(length)?;
                if value.last() != Some(&0) {
                    return None;
                }
                Value::String(value.slice(..value.len() - 1))
            }
            tag::DOCUMENT | tag::ARRAY => {
                let length = read_length(self.bytes.get(..self.end)?, self.at)?;
                let value = self.slice(length)?;
                if !is_framed(&value) {
                    return None;
                }
                if tag == tag::DOCUMENT {
                    Value::Document(value)
                } else {
                    Value::Array(value)
                }
            }
            tag::BINARY => {
                let length = self.length()?;
                self.take(1)?;
                Value::Binary(self.slice(length)?)
            }
            tag::BOOLEAN => Value::Boolean(match self.take(1)? {
                [0] => false,
                [1] => true,
                _ => return None,
            }),
            tag::INT32 => Value::Int32(i32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            tag::DATE_TIME | tag::TIMESTAMP | tag::INT64 => {
                Value::Int64(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
            }
            _ => return None,
        })
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(i32::from_le_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    fn take(&mut self, bytes: usize) -> Option<&[u8]> {
        let start = self.at;
        self.at = self.within(bytes)?;
        self.bytes.get(start..self.at)
    }

    fn slice(&mut self, bytes: usize) -> Option<Bytes> {
        let start = self.at;
        self.at = self.within(bytes)?;
        Some(self.bytes.slice(start..self.at))
    }

    fn within(&self, bytes: usize) -> Option<usize> {
        self.at.checked_add(bytes).filter(|end| *end <= self.end)
    }
}

/// [`Reader`] with reasons.
pub(crate) struct Fields {
    reader: Reader,
    what: &'static str,
}

impl Fields {
    pub(crate) fn of(bytes: Bytes, what: &'static str) -> Result<Self, Reason> {
        let reader = Reader::new(bytes).ok_or_else(|| format!("{what}: no document"))?;
        Ok(Fields { reader, what })
    }

    pub(crate) fn next(&mut self) -> Result<Option<(&str, Value)>, Reason> {
        if self.reader.is_done() {
            return Ok(None);
        }
        let what = self.what;
        let malformed = || format!("{what}: malformed element");
        let (name, value) = self.reader.next().ok_or_else(malformed)?;
        Ok(Some((
            str::from_utf8(name).map_err(|_| malformed())?,
            value,
        )))
    }
}

pub(crate) fn int64(value: &Value) -> Result<i64, Reason> {
    match value {
        Value::Int64(value) => Ok(*value),
        _ => Err("a number has another type".into()),
    }
}

pub(crate) fn text(value: &Value) -> Result<&str, Reason> {
    match value {
        Value::String(bytes) => {
            str::from_utf8(bytes).map_err(|_| "a string is not UTF-8".to_owned())
        }
        _ => Err("a string has another type".into()),
    }
}

pub(crate) fn binary(value: Value) -> Result<Bytes, Reason> {
    match value {
        Value::Binary(bytes) => Ok(bytes),
        _ => Err("a binary has another type".into()),
    }
}

pub(crate) fn document(value: Value) -> Result<Bytes, Reason> {
    match value {
        Value::Document(bytes) => Ok(bytes),
        _ => Err("a document has another type".into()),
    }
}

pub(crate) fn array(value: Value) -> Result<Bytes, Reason> {
    match value {
        Value::Array(bytes) => Ok(bytes),
        _ => Err("an array has another type".into()),
    }
}
