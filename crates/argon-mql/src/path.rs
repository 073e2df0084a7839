//! Dotted field paths, and how a filter walks one through documents and arrays.
//!
//! A path meets an array in two ways. On the way, every document in the array is entered, and a numeric component also
//! picks the item at that position. At its end, a condition holds for the array if it holds for one of its items or for
//! the array as a whole. Arrays directly inside arrays are entered only by position.

use bstr::BStr;
use bytes::Bytes;
use smallvec::SmallVec;

use crate::value::{Doc, FieldName, ValueRef};

/// Most components of a path, as MongoDB limits the nesting of a document.
pub(crate) const COMPONENTS_MAX: usize = 200;

/// A dotted field path, split into its components once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    text: Bytes,
    parts: SmallVec<[Part; 2]>,
}

/// One component of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    name: FieldName,
    /// The array position that the component names, if it is a number written without leading zeros.
    index: Option<usize>,
}

impl Part {
    /// The field name.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// The array position that the component may stand for.
    pub fn index(&self) -> Option<usize> {
        self.index
    }
}

/// Whether a field in a path may be called `name`: `$` begins operators, except in the names of a DBRef's fields and of
/// two that mongod uses itself.
pub(crate) fn may_name_field(name: &[u8]) -> bool {
    !name.starts_with(b"$")
        || matches!(name, b"$db" | b"$id" | b"$recordId" | b"$ref" | b"$sortKey")
}

/// What happens when a path ends at an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafArray {
    /// Its items are visited one by one, then the array itself.
    Items,
    /// Its items are visited one by one.
    ItemsOnly,
    /// Only the array itself is visited.
    Whole,
}

impl Path {
    /// Splits `text` at its dots. Every text is a path: empty components are components.
    pub fn new(text: impl AsRef<[u8]>) -> Path {
        let text = Bytes::copy_from_slice(text.as_ref());
        let mut parts = SmallVec::new();
        let mut from = 0;
        loop {
            let len = text[from..].iter().position(|&byte| byte == b'.');
            let name = text.slice(from..from + len.unwrap_or(text.len() - from));
            parts.push(Part {
                index: array_index(&name),
                name: FieldName::new(name),
            });
            match len {
                Some(len) => from += len + 1,
                None => return Path { text, parts },
            }
        }
    }

    /// The path as written.
    pub fn text(&self) -> &BStr {
        BStr::new(&self.text)
    }

    /// Its components; at least one.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The field name, if the path is no more than that.
    #[inline]
    pub(crate) fn single(&self) -> Option<&FieldName> {
        match self.parts.as_slice() {
            [part] => Some(&part.name),
            _ => None,
        }
    }

    /// Whether `self` is `other` or leads to something inside it.
    pub fn is_within(&self, other: &Path) -> bool {
        self.parts.len() >= other.parts.len()
            && self
                .parts
                .iter()
                .zip(&other.parts)
                .all(|(mine, its)| mine.name == its.name)
    }

    /// Visits the values to which the path leads in `doc` until `visit` answers true; answers whether it did.
    ///
    /// `visit` gets the value, [`ValueRef::Missing`] where a document lacks the field, and the position in the outermost
    /// array of which the items were gone through, not picked by position.
    #[inline]
    pub fn any<'d>(
        &self,
        doc: Doc<'d>,
        leaf: LeafArray,
        visit: &mut impl FnMut(ValueRef<'d>, Option<usize>) -> bool,
    ) -> bool {
        in_document(&self.parts, doc, None, leaf, visit)
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text().fmt(f)
    }
}

/// The array position that a path component spells, if any.
pub fn array_index(name: &[u8]) -> Option<usize> {
    let canonical = name == b"0" || !name.starts_with(b"0");
    // `parse` alone would take a plus sign.
    if !canonical || name.is_empty() || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

fn in_document<'d>(
    parts: &[Part],
    doc: Doc<'d>,
    outer: Option<usize>,
    leaf: LeafArray,
    visit: &mut impl FnMut(ValueRef<'d>, Option<usize>) -> bool,
) -> bool {
    let Some((first, rest)) = parts.split_first() else {
        return false;
    };
    let value = first.name.find(doc);
    if rest.is_empty() {
        return at_leaf(value, outer, leaf, visit);
    }
    match value {
        ValueRef::Document(inner) => in_document(rest, inner, outer, leaf, visit),
        ValueRef::Array(array) => in_array(rest, array, outer, leaf, visit),
        _ => visit(ValueRef::Missing, outer),
    }
}

/// Visits the end of a path.
#[inline]
pub(crate) fn at_leaf<'d>(
    value: ValueRef<'d>,
    outer: Option<usize>,
    leaf: LeafArray,
    visit: &mut impl FnMut(ValueRef<'d>, Option<usize>) -> bool,
) -> bool {
    if let ValueRef::Array(array) = value
        && leaf != LeafArray::Whole
    {
        for (position, item) in array.values().enumerate() {
            if visit(item, outer.or(Some(position))) {
                return true;
            }
        }
        if leaf == LeafArray::ItemsOnly {
            return false;
        }
    }
    visit(value, outer)
}

fn in_array<'d>(
    parts: &[Part],
    array: Doc<'d>,
    outer: Option<usize>,
    leaf: LeafArray,
    visit: &mut impl FnMut(ValueRef<'d>, Option<usize>) -> bool,
) -> bool {
    let Some((first, rest)) = parts.split_first() else {
        return false;
    };
    if first.name.as_bytes().is_empty() && rest.is_empty() {
        // mongod takes a dot at the end of a path, where it meets an array, for none.
        return at_leaf(ValueRef::Array(array), outer, leaf, visit);
    }
    for (position, item) in array.values().enumerate() {
        if let ValueRef::Document(inner) = item
            && in_document(parts, inner, outer.or(Some(position)), leaf, visit)
        {
            return true;
        }
        if first.index != Some(position) {
            continue;
        }
        let found = match item {
            // An item picked by position is not taken apart again, even if it is an array.
            _ if rest.is_empty() => visit(item, outer),
            ValueRef::Document(inner) => in_document(rest, inner, outer, leaf, visit),
            ValueRef::Array(inner) => in_array(rest, inner, outer, leaf, visit),
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_dots() {
        let names = |text: &str| -> Vec<String> {
            let path = Path::new(text);
            path.parts()
                .iter()
                .map(|part| BStr::new(part.name()).to_string())
                .collect()
        };
        assert_eq!(names("a.b.0"), ["a", "b", "0"]);
        assert_eq!(names(""), [""]);
        assert_eq!(names("."), ["", ""]);
        assert_eq!(names("a..b"), ["a", "", "b"]);
    }

    #[test]
    fn positions_are_canonical_numbers() {
        assert_eq!(array_index(b"0"), Some(0));
        assert_eq!(array_index(b"12"), Some(12));
        for text in ["", "00", "01", "+1", "-1", "1a", "99999999999999999999999"] {
            assert_eq!(array_index(text.as_bytes()), None, "{text}");
        }
    }
}
