//! Finding known fields in a document, as fast as the bytes allow.
//!
//! A filter looks for the same few names in millions of documents. A [`FieldName`] keeps the first eight bytes of its
//! name as one number; a scan reads the next eight bytes of the document as one number too, finds the end of the key in
//! it, and so compares most keys, and passes over them, without touching a byte by itself.

use bytes::Bytes;

use super::doc::{Doc, value_len, zero_position};
use super::place::PLACE;
use super::reference::ValueRef;

/// A field name to look for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FieldName {
    bytes: Bytes,
    head: u64,
}

impl FieldName {
    pub(crate) fn new(bytes: Bytes) -> FieldName {
        FieldName {
            head: head_of(&bytes),
            bytes,
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its first eight bytes as a number: names with different heads are different.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Its value in `doc`, or [`ValueRef::Missing`].
    #[inline]
    pub(crate) fn find<'a>(&self, doc: Doc<'a>) -> ValueRef<'a> {
        match Fields::of(doc).find(|field| field.is(self)) {
            Some(field) => field.value(),
            None => ValueRef::Missing,
        }
    }
}

/// One field of a document during a scan.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    kind: u8,
    head: u64,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Whether this is the field called `name`.
    #[inline]
    pub(crate) fn is(&self, name: &FieldName) -> bool {
        // Keys of at most eight bytes are equal if their heads are: a key holds no zero, and a head is padded with them.
        self.head == name.head
            && self.key.len() == name.bytes.len()
            && (self.key.len() <= HEAD_LEN || *self.key == *name.bytes)
    }

    /// The head of its name.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    #[inline]
    pub(crate) fn value(&self) -> ValueRef<'a> {
        ValueRef::decode(self.kind, self.value)
    }
}

/// The fields of a document in order, with the heads of their names.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// Whether places of fields that were taken away are shown, as fields without a value.
    places: bool,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn of(doc: Doc<'a>) -> Fields<'a> {
        Fields {
            rest: doc.as_bytes().get(4..).unwrap_or_default(),
            places: false,
        }
    }

    /// The fields in order, and the places of fields that were taken away.
    pub(crate) fn with_places(doc: Doc<'a>) -> Fields<'a> {
        Fields {
            places: true,
            ..Fields::of(doc)
        }
    }
}

const HEAD_LEN: usize = 8;

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let (&kind, after) = self.rest.split_first()?;
            if kind == 0 {
                return None;
            }
            let (head, key_len) = key_at(after)?;
            let (key, rest) = after.split_at_checked(key_len)?;
            let (_, rest) = rest.split_first()?;
            let value_len = match value_len(kind, rest) {
                Some(len) => len,
                None if kind != PLACE => return None,
                None if self.places => 0,
                None => {
                    self.rest = rest;
                    continue;
                }
            };
            let (value, rest) = rest.split_at_checked(value_len)?;
            self.rest = rest;
            return Some(Field {
                kind,
                head,
                key,
                value,
            });
        }
    }
}

/// The head and the length of the zero-terminated key at the start of `bytes`.
#[inline]
fn key_at(bytes: &[u8]) -> Option<(u64, usize)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let Some(chunk) = bytes.first_chunk::<HEAD_LEN>() else {
        // Near the end of a document.
        let len = bytes.iter().position(|&byte| byte == 0)?;
        return Some((head_of(&bytes[..len]), len));
    };
    let word = u64::from_le_bytes(*chunk);
    // The lowest byte whose top bit is set here is the first zero; higher ones may be set by a borrow.
    let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
    if zeros == 0 {
        let more = zero_position(&bytes[HEAD_LEN..])?;
        return Some((word, HEAD_LEN + more));
    }
    let bits = zeros.trailing_zeros() & !7;
    Some((word & !(u64::MAX << bits), (bits / 8) as usize))
}

/// The first eight bytes of a name, padded with zeros.
fn head_of(name: &[u8]) -> u64 {
    let mut head = [0; HEAD_LEN];
    for (to, from) in head.iter_mut().zip(name) {
        *to = *from;
    }
    u64::from_le_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::DocBuf;

    #[test]
    fn finds_names_of_every_length() {
        let names: Vec<String> = (0..40)
            .map(|len| "abcdefg".repeat(6)[..len].to_owned())
            .collect();
        let mut doc = DocBuf::new();
        for (at, name) in (0..).zip(&names) {
            doc.append(name, ValueRef::Int32(at));
        }
        let bytes = doc.finish();
        for (at, name) in (0..).zip(&names) {
            let found = FieldName::new(Bytes::from(name.clone())).find(Doc::new(&bytes));
            assert!(
                matches!(found, ValueRef::Int32(value) if value == at),
                "{name}"
            );
        }
        let absent = FieldName::new(Bytes::from("abcdefgX"));
        assert!(matches!(absent.find(Doc::new(&bytes)), ValueRef::Missing));
    }
}
