//! Collation: strings compared by the rules of a language.

use std::cmp::Ordering;

use bstr::BStr;
use bytes::Bytes;

use crate::value::{Doc, ValueRef};
use crate::{Error, Result};

/// A collation other than the simple one, which compares bytes and is written as no collation at all.
#[derive(Clone, Debug)]
pub struct Collation(std::convert::Infallible);

impl Collation {
    /// Parses a collation document; the simple collation gives `None`.
    ///
    /// # Errors
    /// `BadValue` for any other, until languages are supported.
    pub fn parse(document: Doc<'_>) -> Result<Option<Collation>> {
        match document.get("locale") {
            Some(ValueRef::String(locale)) if locale == "simple" => Ok(None),
            _ => Err(Error::bad_value(format!(
                "Field 'locale' is invalid in: {document}"
            ))),
        }
    }

    /// The whole specification, defaults included, as `listIndexes` shows it.
    pub fn document(&self) -> &Bytes {
        match self.0 {}
    }

    /// The order of two strings.
    pub fn compare(&self, _a: &BStr, _b: &BStr) -> Ordering {
        match self.0 {}
    }

    /// Appends bytes whose order is that of the strings.
    pub fn append_key(&self, _out: &mut Vec<u8>, _text: &BStr) {
        match self.0 {}
    }
}
