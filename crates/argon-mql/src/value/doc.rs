//! A borrowed document (or array): finds fields without decoding what it passes over.

use bstr::BStr;

use super::place::PLACE;
use super::reference::ValueRef;

/// A borrowed BSON document or array: the bytes from its length prefix to its closing zero.
///
/// The bytes are expected to have passed [`validate`](super::validate()); on bytes that have not, iteration ends early,
/// it never panics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Doc<'a>(&'a [u8]);

/// The bytes of an empty document.
const EMPTY: &[u8] = &[5, 0, 0, 0, 0];

impl<'a> Doc<'a> {
    /// The empty document.
    pub const EMPTY: Doc<'static> = Doc(EMPTY);

    /// Views `bytes`, a whole BSON document, as one.
    pub fn new(bytes: &'a [u8]) -> Doc<'a> {
        Doc(bytes)
    }

    /// The whole document's bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Its length in bytes.
    pub fn byte_len(self) -> usize {
        self.0.len()
    }

    /// Whether it has no element.
    pub fn is_empty(self) -> bool {
        self.0.len() <= EMPTY.len() || (self.0[4] == PLACE && self.iter().next().is_none())
    }

    /// The elements in order.
    pub fn iter(self) -> Elements<'a> {
        self.iter_from(4)
    }

    /// The elements in order, and the places of fields that were taken away: see [`place`](super::place).
    pub(crate) fn iter_with_places(self) -> Elements<'a> {
        Elements {
            places: true,
            ..self.iter()
        }
    }

    /// The elements from `offset` on, where one begins, or the closing zero is: see [`Elements::offset`].
    pub fn iter_from(self, offset: usize) -> Elements<'a> {
        Elements {
            bytes: self.0,
            at: offset,
            places: false,
        }
    }

    /// The values in order: an array's items.
    pub fn values(self) -> impl Iterator<Item = ValueRef<'a>> + Clone {
        self.iter().map(|element| element.value())
    }

    /// The first element named `key`.
    pub fn element(self, key: &[u8]) -> Option<Element<'a>> {
        self.iter().find(|element| &**element.key() == key)
    }

    /// The first element named `key`, or its place.
    pub(crate) fn element_or_place(self, key: &[u8]) -> Option<Element<'a>> {
        self.iter_with_places()
            .find(|element| &**element.key() == key)
    }

    /// The value of the first element named `key`.
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<ValueRef<'a>> {
        self.element(key.as_ref()).map(|element| element.value())
    }
}

impl std::fmt::Debug for Doc<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|element| (element.key(), element.value())))
            .finish()
    }
}

/// One element of a document: key, type and the bytes of its value, decoded on demand.
#[derive(Clone, Copy)]
pub struct Element<'a> {
    kind: u8,
    key: &'a [u8],
    /// From the type byte to the end of the value, as it stands in the document.
    raw: &'a [u8],
}

impl<'a> Element<'a> {
    /// The field name.
    pub fn key(&self) -> &'a BStr {
        BStr::new(self.key)
    }

    /// The BSON type byte.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The value's bytes.
    pub fn value_bytes(&self) -> &'a [u8] {
        // Type byte, key and its zero stand before the value.
        &self.raw[self.key.len() + 2..]
    }

    /// The whole element as it stands in the document: type, key, value.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The value.
    pub fn value(&self) -> ValueRef<'a> {
        ValueRef::decode(self.kind, self.value_bytes())
    }
}

/// Iterator over a document's elements.
#[derive(Clone)]
pub struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether places of fields that were taken away are shown, as elements without a value.
    places: bool,
}

impl<'a> Elements<'a> {
    /// Offset in the document of the next element (or of the closing zero).
    pub fn offset(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let (&kind, after) = rest.split_first()?;
            if kind == 0 {
                return None;
            }
            let key_len = zero_position(after)?;
            let value_at = key_len + 2;
            let value_len = match value_len(kind, rest.get(value_at..)?) {
                Some(len) => len,
                None if kind != PLACE => return None,
                None if self.places => 0,
                None => {
                    self.at += value_at;
                    continue;
                }
            };
            let raw = rest.get(..value_at + value_len)?;
            self.at += raw.len();
            return Some(Element {
                kind,
                key: &after[..key_len],
                raw,
            });
        }
    }
}

/// Where the first zero byte is. Eight bytes at a time: looking for the ends of keys is most of what a scan over a
/// document does.
#[inline]
pub(crate) fn zero_position(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // The lowest byte whose top bit is set here is the first zero; higher ones may be set by a borrow.
        let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|&byte| byte == 0).map(|len| at + len)
}

/// Length of the value of type `kind` at the start of `bytes`; `None` if the type is unknown or the bytes too few to tell.
#[inline]
pub(crate) fn value_len(kind: u8, bytes: &[u8]) -> Option<usize> {
    match FIXED_LEN[usize::from(kind)] {
        VARIABLE => variable_len(kind, bytes),
        len => Some(usize::from(len)),
    }
}

/// Stands in [`FIXED_LEN`] for types whose values say themselves how long they are.
const VARIABLE: u8 = u8::MAX;

/// Lengths of the values of all types. A table, because a scan over a document does little else than ask for them.
static FIXED_LEN: [u8; 256] = {
    let mut table = [VARIABLE; 256];
    let mut fixed: &[(usize, u8)] = &[
        (0x01, 8),
        (0x06, 0),
        (0x07, 12),
        (0x08, 1),
        (0x09, 8),
        (0x0A, 0),
        (0x10, 4),
        (0x11, 8),
        (0x12, 8),
        (0x13, 16),
        (0x7F, 0),
        (0xFF, 0),
    ];
    while let Some((&(kind, len), rest)) = fixed.split_first() {
        table[kind] = len;
        fixed = rest;
    }
    table
};

#[inline]
fn variable_len(kind: u8, bytes: &[u8]) -> Option<usize> {
    Some(match kind {
        0x02 | 0x0D | 0x0E => 4 + prefix(bytes)?,
        0x03 | 0x04 | 0x0F => prefix(bytes)?.max(4),
        0x05 => 5 + prefix(bytes)?,
        0x0B => {
            let pattern = zero_position(bytes)?;
            let options = zero_position(bytes.get(pattern + 1..)?)?;
            pattern + options + 2
        }
        0x0C => 4 + prefix(bytes)? + 12,
        _ => return None,
    })
}

/// A value's leading length; `None` if negative or cut off.
#[inline]
fn prefix(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.first_chunk::<4>()?;
    usize::try_from(i32::from_le_bytes(*bytes)).ok()
}
