//! The check that a client's bytes are a BSON document, made once where they come in.

use super::doc::value_len;
use crate::{Error, ErrorCode, Result};

/// Deepest nesting of documents and arrays in a document.
///
/// Source: MongoDB manual, "MongoDB Limits and Thresholds", "Nested Depth for BSON Documents" (100), which the server
/// enforces at 200 internally; mongod 6.0.5 refuses the 201st level.
pub const DEPTH_MAX: usize = 200;

/// Checks that `bytes` are exactly one well-formed BSON document: lengths, types, terminators and depth.
///
/// Strings may be invalid UTF-8, as in mongod.
///
/// # Errors
/// [`ErrorCode::InvalidBSON`] with the place; [`ErrorCode::Overflow`] for too deep a nesting.
pub fn validate(bytes: &[u8]) -> Result<()> {
    validate_below(bytes, 0)
}

/// Checks a document that stands `depth` levels deep in another: the scope of a piece of code, which recurses here.
fn validate_below(bytes: &[u8], depth: usize) -> Result<()> {
    let mut ends: Vec<usize> = Vec::with_capacity(8);
    let mut at = 0;
    open(bytes, &mut at, bytes.len(), &mut ends, depth)?;
    if ends[0] != bytes.len() {
        return Err(invalid("length does not match the document", 0));
    }
    while let Some(&end) = ends.last() {
        let kind = *bytes
            .get(at)
            .filter(|_| at < end)
            .ok_or_else(|| invalid("unterminated", at))?;
        at += 1;
        if kind == 0 {
            if at != end {
                return Err(invalid("terminator before the end of a document", at));
            }
            ends.pop();
            continue;
        }
        let rest = &bytes[at..end];
        let key = rest
            .iter()
            .position(|&b| b == 0)
            .ok_or_else(|| invalid("unterminated field name", at))?;
        at += key + 1;
        let rest = &bytes[at..end];
        match kind {
            0x03 | 0x04 => open(bytes, &mut at, end, &mut ends, depth)?,
            _ => {
                let len = value_len(kind, rest)
                    .filter(|&len| len < rest.len())
                    .ok_or_else(|| invalid("value of unknown type or beyond the document", at))?;
                check(kind, &rest[..len], at, depth + ends.len())?;
                at += len;
            }
        }
    }
    Ok(())
}

fn open(
    bytes: &[u8],
    at: &mut usize,
    end: usize,
    ends: &mut Vec<usize>,
    depth: usize,
) -> Result<()> {
    let len = bytes[*at..end]
        .first_chunk::<4>()
        .and_then(|prefix| usize::try_from(i32::from_le_bytes(*prefix)).ok())
        .filter(|&len| len >= 5 && len <= end - *at)
        .ok_or_else(|| invalid("document length", *at))?;
    if depth + ends.len() >= DEPTH_MAX {
        return Err(too_deep());
    }
    ends.push(*at + len);
    *at += 4;
    Ok(())
}

/// Checks the inside of a scalar value whose length is known.
fn check(kind: u8, value: &[u8], at: usize, depth: usize) -> Result<()> {
    let fine = match kind {
        0x02 | 0x0D | 0x0E => value.len() >= 5 && value.last() == Some(&0),
        0x08 => matches!(value[0], 0 | 1),
        0x0C => value.len() >= 17 && value[value.len() - 13] == 0,
        0x0F => return check_code_with_scope(value, at, depth),
        _ => true,
    };
    if fine {
        Ok(())
    } else {
        Err(invalid("malformed value", at))
    }
}

fn check_code_with_scope(value: &[u8], at: usize, depth: usize) -> Result<()> {
    let code_len = value
        .get(4..8)
        .and_then(|prefix| prefix.first_chunk::<4>())
        .and_then(|prefix| usize::try_from(i32::from_le_bytes(*prefix)).ok())
        .filter(|&len| len >= 1 && len <= value.len().saturating_sub(8));
    match code_len {
        Some(len) if value[8 + len - 1] == 0 => validate_below(&value[8 + len..], depth),
        _ => Err(invalid("malformed code with scope", at)),
    }
}

#[cold]
fn too_deep() -> Error {
    Error::new(
        ErrorCode::Overflow,
        "BSONObj exceeded maximum nested object depth",
    )
}

#[cold]
fn invalid(what: &str, at: usize) -> Error {
    Error::new(
        ErrorCode::InvalidBSON,
        format!("Invalid BSON: {what} at offset {at}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_deep_nesting_of_documents_and_scopes() {
        let mut doc = b"\x05\0\0\0\0".to_vec();
        let mut scope = doc.clone();
        for level in 1..=10_000 {
            let grown = i32::try_from(doc.len() + 8).unwrap();
            doc = [&grown.to_le_bytes()[..], b"\x03a\0", &doc, b"\0"].concat();
            if level == DEPTH_MAX - 1 {
                validate(&doc).unwrap();
            }
            let value = i32::try_from(scope.len() + 9).unwrap();
            let whole = value + 8;
            scope = [
                &whole.to_le_bytes()[..],
                b"\x0Fa\0",
                &value.to_le_bytes(),
                b"\x01\0\0\0\0",
                &scope,
                b"\0",
            ]
            .concat();
        }
        assert_eq!(validate(&doc).unwrap_err().code(), ErrorCode::Overflow);
        assert_eq!(validate(&scope).unwrap_err().code(), ErrorCode::Overflow);
    }

    #[test]
    fn refuses_wrong_lengths() {
        for bytes in [
            &b""[..],
            b"\x05\0\0",
            b"\x06\0\0\0\0",
            b"\x05\0\0\0\x01",
            b"\x04\0\0\0\0",
        ] {
            assert!(validate(bytes).is_err(), "{bytes:?}");
        }
        validate(b"\x05\0\0\0\0").unwrap();
    }
}
