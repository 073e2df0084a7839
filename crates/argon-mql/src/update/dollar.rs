//! Top-level fields that begin with `$`: only the three of a DBRef may be set, and in their order.
//!
//! Source: MongoDB manual, "Database References"; mongod 6.0.5.

use bstr::{BStr, ByteSlice};

use crate::value::{Doc, Element, ValueRef};
use crate::{Error, ErrorCode, Result};

/// Whether `name` is a field of a DBRef.
pub(super) fn is_of_reference(name: &[u8]) -> bool {
    matches!(name, b"$ref" | b"$id" | b"$db")
}

/// Refuses a new document with top-level fields that begin with `$`, but for a DBRef.
///
/// # Errors
/// `DollarPrefixedFieldName`, `InvalidDBRef`.
pub(super) fn check(doc: Doc<'_>) -> Result<()> {
    let mut dollars = doc.iter().filter(|field| field.key().starts_with(b"$"));
    if let Some(refused) = dollars.find(|field| !is_of_reference(field.key())) {
        return Err(self::refused(refused.key()));
    }
    check_references(doc)
}

/// Refuses the fields of a DBRef at the top level if they do not follow each other, or are no strings.
///
/// # Errors
/// `InvalidDBRef`.
pub(super) fn check_references(doc: Doc<'_>) -> Result<()> {
    let mut before: Option<Element<'_>> = None;
    let mut fields = doc.iter().peekable();
    while let Some(field) = fields.next() {
        let follows = |name: &str| before.is_some_and(|before| before.key() == name);
        match &**field.key() {
            b"$ref" => {
                check_text(field)?;
                if fields.peek().is_none_or(|next| next.key() != "$id") {
                    return Err(invalid(
                        "The DBRef $ref field must be followed by a $id field",
                    ));
                }
            }
            b"$id" if !follows("$ref") => {
                return Err(invalid(
                    "Found $id field without a $ref before it, which is invalid.",
                ));
            }
            b"$db" => {
                check_text(field)?;
                if !follows("$id") {
                    return Err(invalid(
                        "Found $db field without a $id before it, which is invalid.",
                    ));
                }
            }
            _ => {}
        }
        before = Some(field);
    }
    Ok(())
}

fn check_text(field: Element<'_>) -> Result<()> {
    match field.value() {
        ValueRef::String(_) => Ok(()),
        other => Err(invalid(&format!(
            "The DBRef {} field must be a String, not a {}",
            field.key(),
            other.type_name()
        ))),
    }
}

#[cold]
fn invalid(message: &str) -> Error {
    Error::new(ErrorCode::InvalidDBRef, message)
}

/// A top-level field that begins with `$`.
#[cold]
pub(super) fn refused(name: &[u8]) -> Error {
    let name: &BStr = name.as_bstr();
    Error::new(
        ErrorCode::DollarPrefixedFieldName,
        format!(
            "The dollar ($) prefixed field '{name}' in '{name}' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith."
        ),
    )
}
