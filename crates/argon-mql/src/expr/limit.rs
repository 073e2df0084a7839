//! What an expression may build on the way to its result.

use crate::value::{DEPTH_MAX, Doc, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

/// Most bytes of a document or array. A result that is stored or returned has at most 16 MiB, but what leads to it may be
/// larger: mongod 6.0.5 gives up here.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// First length that a string may not have.
const STRING_BYTES_LIMIT: usize = 16 * 1024 * 1024;

/// Refuses to build a document or array of more than [`BYTES_MAX`].
#[inline]
pub(super) fn check_bytes(bytes: usize) -> Result<()> {
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    Err(Error::location(
        13548,
        format!("BufBuilder attempted to grow() to {bytes} bytes, past the 64MB limit."),
    ))
}

/// Refuses to build a string of [`STRING_BYTES_LIMIT`] or more.
#[inline]
pub(super) fn check_string(bytes: usize) -> Result<()> {
    if bytes < STRING_BYTES_LIMIT {
        return Ok(());
    }
    Err(Error::location(
        16493,
        "Tried to create string longer than 16MB",
    ))
}

/// Refuses a value that is nested more deeply than a document may be: only an operator that builds upon its own last
/// result gets there.
pub(super) fn check_depth(value: &Value) -> Result<()> {
    let deep = match value {
        Value::Document(bytes) | Value::Array(bytes) => is_deeper(Doc::new(bytes), DEPTH_MAX - 1),
        _ => false,
    };
    if !deep {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Overflow,
        format!(
            "cannot convert document to BSON because it exceeds the limit of {DEPTH_MAX} levels of nesting"
        ),
    ))
}

/// Whether there are more than `levels` below `doc`.
fn is_deeper(doc: Doc<'_>, levels: usize) -> bool {
    let containers = doc
        .iter()
        .filter(|element| matches!(element.kind(), 0x03 | 0x04));
    containers
        .map(|element| element.value())
        .any(|value| match value {
            ValueRef::Document(inner) | ValueRef::Array(inner) => {
                levels == 0 || is_deeper(inner, levels - 1)
            }
            _ => false,
        })
}
