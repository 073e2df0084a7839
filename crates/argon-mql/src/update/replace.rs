//! Replacements: a whole new document under the old `_id`.
//!
//! Source: MongoDB manual, "Replace a Document".

use bytes::Bytes;

use super::{dollar, show};
use crate::value::{Doc, DocBuf, Element, ValueRef, equal};
use crate::{Env, Error, ErrorCode, Result};

/// The new document in place of `old`; `None` if it is the same to the last bit.
pub(super) fn apply(spec: &Bytes, old: Doc<'_>, env: &Env<'_>) -> Result<Option<Bytes>> {
    if &spec[..] == old.as_bytes() {
        return Ok(None);
    }
    let new = Doc::new(spec);
    dollar::check(new)?;
    with_id(new, old.element(b"_id"), Some(env)).map(Some)
}

/// `new` with its `_id` first, which is that of `old` unless it has an equal one of its own. Given the surroundings,
/// empty timestamps at the top level become the present one.
///
/// # Errors
/// `ImmutableField` for another `_id`, and those of [`check_id`].
pub(super) fn with_id(
    new: Doc<'_>,
    old_id: Option<Element<'_>>,
    stamp: Option<&Env<'_>>,
) -> Result<Bytes> {
    let new_id = new.element(b"_id");
    if let Some(id) = &new_id {
        check_id(id.value())?;
    }
    let id = match (old_id, new_id) {
        (Some(old), Some(new)) if !equal(old.value(), new.value()) => {
            return Err(id_altered(new.value()));
        }
        (_, Some(new)) => Some(new),
        (old, None) => old,
    };
    let mut out = DocBuf::with_capacity(new.byte_len() + 32);
    if let Some(id) = &id {
        check_id(id.value())?;
        out.append_element(id);
    }
    let mut stamps = 0;
    for element in new.iter().filter(|element| element.key() != "_id") {
        match (element.value(), stamp) {
            // MongoDB manual, "Timestamps": an empty one at the top level is replaced by the present one.
            (ValueRef::Timestamp(0), Some(env)) => {
                let now = super::timestamp(env, stamps);
                out.append(element.key(), ValueRef::Timestamp(now));
                stamps += 1;
            }
            _ => out.append_element(&element),
        }
    }
    Ok(out.finish())
}

/// Refuses what no `_id` may be.
///
/// # Errors
/// `InvalidIdField` for arrays, regular expressions and undefined; `DollarPrefixedFieldName` for `$` inside.
pub(super) fn check_id(id: ValueRef<'_>) -> Result<()> {
    match id {
        ValueRef::Array(_) | ValueRef::Regex { .. } | ValueRef::Undefined => Err(Error::new(
            ErrorCode::InvalidIdField,
            format!("The '_id' value cannot be of type {}", id.type_name()),
        )),
        ValueRef::Document(doc) => match doc.iter().find(|field| field.key().starts_with(b"$")) {
            Some(field) => Err(Error::new(
                ErrorCode::DollarPrefixedFieldName,
                format!(
                    "_id fields may not contain '$'-prefixed fields: {} is not valid for storage.",
                    field.key()
                ),
            )),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// An update gave the document another `_id`.
#[cold]
pub(super) fn id_altered(id: ValueRef<'_>) -> Error {
    Error::new(
        ErrorCode::ImmutableField,
        format!(
            "After applying the update, the (immutable) field '_id' was found to have been altered to _id: {}",
            show::value(id)
        ),
    )
}
