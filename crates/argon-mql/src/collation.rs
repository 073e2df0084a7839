//! Collation: strings compared by the rules of a language.

use std::cmp::Ordering;

use bstr::BStr;

/// A collation other than the simple one, which compares bytes and is written as no collation at all.
#[derive(Debug)]
pub struct Collation(std::convert::Infallible);

impl Collation {
    /// The order of two strings.
    pub fn compare(&self, _a: &BStr, _b: &BStr) -> Ordering {
        match self.0 {}
    }

    /// Appends bytes whose order is that of the strings.
    pub fn append_key(&self, _out: &mut Vec<u8>, _text: &BStr) {
        match self.0 {}
    }
}
