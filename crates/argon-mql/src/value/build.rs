//! The builder of new documents and arrays.

use bytes::Bytes;

use super::doc::{Doc, Element};
use super::place::PLACE;
use super::reference::ValueRef;

/// A document under construction: elements are appended in order; nested ones are opened and closed in place.
#[derive(Clone, Debug)]
pub struct DocBuf {
    bytes: Vec<u8>,
}

/// Where a nested document or array began: given back to [`DocBuf::close`].
#[must_use = "a nested document has to be closed"]
#[derive(Debug)]
pub struct Open(usize);

impl Default for DocBuf {
    fn default() -> DocBuf {
        DocBuf::new()
    }
}

impl DocBuf {
    /// An empty document.
    pub fn new() -> DocBuf {
        DocBuf::with_capacity(64)
    }

    /// An empty document with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> DocBuf {
        let mut bytes = Vec::with_capacity(capacity.max(5));
        bytes.extend_from_slice(&[0; 4]);
        DocBuf { bytes }
    }

    /// Bytes so far, without the closing zero.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends `value` under `key`; a missing value appends nothing. A zero byte inside the key would end it early, so
    /// the key is cut there.
    pub fn append(&mut self, key: impl AsRef<[u8]>, value: ValueRef<'_>) {
        if matches!(value, ValueRef::Missing) {
            return;
        }
        self.key(value.kind(), key.as_ref());
        self.value(value);
    }

    /// Appends the place of the field `key`, which has no value: see [`place`](super::place).
    pub(crate) fn append_place(&mut self, key: impl AsRef<[u8]>) {
        self.key(PLACE, key.as_ref());
    }

    /// Appends an element of another document as it stands.
    pub fn append_element(&mut self, element: &Element<'_>) {
        self.bytes.extend_from_slice(element.raw());
    }

    /// Appends the value of `element` under another key.
    pub fn append_renamed(&mut self, key: impl AsRef<[u8]>, element: &Element<'_>) {
        self.key(element.kind(), key.as_ref());
        self.bytes.extend_from_slice(element.value_bytes());
    }

    /// Appends elements as they stand in other documents.
    pub(crate) fn append_raw(&mut self, elements: &[u8]) {
        self.bytes.extend_from_slice(elements);
    }

    /// Appends all elements of `doc`.
    pub fn append_all(&mut self, doc: Doc<'_>) {
        let bytes = doc.as_bytes();
        if let Some(elements) = bytes.get(4..bytes.len().saturating_sub(1)) {
            self.bytes.extend_from_slice(elements);
        }
    }

    /// Opens a nested document under `key`; append to it, then [`close`](DocBuf::close) it.
    pub fn open_document(&mut self, key: impl AsRef<[u8]>) -> Open {
        self.open(0x03, key.as_ref())
    }

    /// Opens a nested array under `key`; append its items with [`push`](DocBuf::push) or keys "0", "1", ….
    pub fn open_array(&mut self, key: impl AsRef<[u8]>) -> Open {
        self.open(0x04, key.as_ref())
    }

    /// Closes the nested document or array opened last.
    #[expect(clippy::needless_pass_by_value, reason = "an opening is closed once")]
    pub fn close(&mut self, open: Open) {
        self.bytes.push(0);
        self.patch_len(open.0);
    }

    /// Appends `value` to an array as item `index`; a missing value becomes null.
    pub fn push(&mut self, index: usize, value: ValueRef<'_>) {
        let value = if matches!(value, ValueRef::Missing) {
            ValueRef::Null
        } else {
            value
        };
        self.append(ArrayKey::new(index).as_bytes(), value);
    }

    /// Opens a nested document as item `index` of an array.
    pub fn push_document(&mut self, index: usize) -> Open {
        self.open(0x03, ArrayKey::new(index).as_bytes())
    }

    /// Opens a nested array as item `index` of an array.
    pub fn push_array(&mut self, index: usize) -> Open {
        self.open(0x04, ArrayKey::new(index).as_bytes())
    }

    /// The finished document.
    pub fn finish(mut self) -> Bytes {
        self.bytes.push(0);
        self.patch_len(0);
        Bytes::from(self.bytes)
    }

    /// An array of `values`, finished.
    pub fn array<'v>(values: impl IntoIterator<Item = ValueRef<'v>>) -> Bytes {
        let mut array = DocBuf::new();
        for (index, value) in values.into_iter().enumerate() {
            array.push(index, value);
        }
        array.finish()
    }

    fn open(&mut self, kind: u8, key: &[u8]) -> Open {
        self.key(kind, key);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        Open(at)
    }

    fn key(&mut self, kind: u8, key: &[u8]) {
        self.bytes.push(kind);
        let end = key.iter().position(|&byte| byte == 0).unwrap_or(key.len());
        self.bytes.extend_from_slice(&key[..end]);
        self.bytes.push(0);
    }

    fn patch_len(&mut self, at: usize) {
        // A document past 2 GiB cannot be built: every size check on the way is far below it.
        let len = i32::try_from(self.bytes.len() - at).unwrap_or(i32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        let len = i32::try_from(text.len() + 1).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
    }

    fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::MinKey
            | ValueRef::MaxKey
            | ValueRef::Missing
            | ValueRef::Undefined
            | ValueRef::Null => {}
            ValueRef::Double(v) => self.bytes.extend_from_slice(&v.to_le_bytes()),
            ValueRef::Int32(v) => self.bytes.extend_from_slice(&v.to_le_bytes()),
            ValueRef::Int64(v) | ValueRef::DateTime(v) => {
                self.bytes.extend_from_slice(&v.to_le_bytes());
            }
            ValueRef::Timestamp(v) => self.bytes.extend_from_slice(&v.to_le_bytes()),
            ValueRef::Decimal128(v) => self.bytes.extend_from_slice(&v),
            ValueRef::Symbol(v) | ValueRef::String(v) | ValueRef::JavaScript(v) => self.text(v),
            ValueRef::Document(v) | ValueRef::Array(v) => {
                self.bytes.extend_from_slice(v.as_bytes());
            }
            ValueRef::Binary { subtype, bytes } => {
                let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                self.bytes.extend_from_slice(&len.to_le_bytes());
                self.bytes.push(subtype);
                self.bytes.extend_from_slice(bytes);
            }
            ValueRef::ObjectId(v) => self.bytes.extend_from_slice(&v),
            ValueRef::Bool(v) => self.bytes.push(u8::from(v)),
            ValueRef::Regex { pattern, options } => {
                self.bytes.extend_from_slice(pattern);
                self.bytes.push(0);
                self.bytes.extend_from_slice(options);
                self.bytes.push(0);
            }
            ValueRef::DbPointer { namespace, id } => {
                self.text(namespace);
                self.bytes.extend_from_slice(&id);
            }
            ValueRef::JavaScriptWithScope { code, scope } => {
                let at = self.bytes.len();
                self.bytes.extend_from_slice(&[0; 4]);
                self.text(code);
                self.bytes.extend_from_slice(scope.as_bytes());
                self.patch_len(at);
            }
        }
    }
}

/// The key of an array item ("0", "1", …) without an allocation.
pub(crate) struct ArrayKey {
    digits: [u8; 20],
    from: usize,
}

impl ArrayKey {
    pub(crate) fn new(mut index: usize) -> ArrayKey {
        let mut digits = [b'0'; 20];
        let mut from = digits.len();
        loop {
            from -= 1;
            digits[from] = b"0123456789"[index % 10];
            index /= 10;
            if index == 0 {
                return ArrayKey { digits, from };
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::validate;

    #[test]
    fn nested_documents_validate() {
        let mut doc = DocBuf::new();
        doc.append("a", ValueRef::Int32(1));
        let inner = doc.open_document("b");
        doc.append("c", ValueRef::String("x".into()));
        let array = doc.open_array("d");
        for index in 0..12 {
            doc.push(index, ValueRef::Bool(true));
        }
        doc.close(array);
        doc.close(inner);
        let bytes = doc.finish();
        validate(&bytes).unwrap();
        let doc = Doc::new(&bytes);
        let inner = doc.get("b").unwrap().as_document().unwrap();
        assert_eq!(inner.get("c").unwrap().as_str(), Some("x"));
        let keys: Vec<_> = inner.get("d").unwrap().as_array().unwrap().iter().collect();
        assert_eq!(keys[11].key(), "11");
    }
}
