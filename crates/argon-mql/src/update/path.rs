//! The paths of an update: dotted field names with positional parts.

use bstr::ByteSlice;

use crate::{Error, ErrorCode, Result};

/// Most parts in an update path. A longer one nests deeper than a document may.
///
/// Source: mongod 6.0.5 refuses the result of a path of 181 parts ("maximum nesting depth of 180").
pub(super) const PARTS_MAX: usize = 255;

/// One part of an update path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// A field name, or an array index in digits.
    Name(Name),
    /// `$`: the array element that the filter matched.
    Matched,
    /// `$[]` (empty identifier) or `$[identifier]`.
    Elements(Vec<u8>),
}

/// A field name, with the array index it can also be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) text: Vec<u8>,
    pub(super) index: Option<usize>,
}

impl Name {
    pub(super) fn new(text: &[u8]) -> Name {
        Name {
            text: text.to_vec(),
            index: index(text),
        }
    }

    /// The order in which new fields are created.
    pub(super) fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        order(&self.text, &other.text)
    }
}

/// The order in which new fields are created: digits by value, the others by bytes.
pub(super) fn order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    match (digits(a), digits(b)) {
        (Some(x), Some(y)) => (x.len().cmp(&y.len()).then_with(|| x.cmp(y)))
            // "01" and "1" are two fields of a document.
            .then_with(|| a.cmp(b)),
        _ => a.cmp(b),
    }
}

/// The digits of `text` without leading zeros, if it is all digits.
fn digits(text: &[u8]) -> Option<&[u8]> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = text.iter().take_while(|&&digit| digit == b'0').count();
    Some(&text[zeros..])
}

/// The array index that `text` spells. Leading zeros do not matter; what exceeds 32 bits is a mere name, as in mongod.
fn index(text: &[u8]) -> Option<usize> {
    digits(text)?;
    let number: u32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    usize::try_from(number).ok()
}

/// A parsed update path and its text.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) text: Vec<u8>,
    pub(super) parts: Vec<Part>,
}

impl Path {
    /// Parses the path of a modifier.
    ///
    /// # Errors
    /// `EmptyFieldName` for an empty path or part, `BadValue` for misplaced positional parts.
    pub(super) fn parse(text: &[u8]) -> Result<Path> {
        if text.is_empty() {
            return Err(Error::new(
                ErrorCode::EmptyFieldName,
                "An empty update path is not valid.",
            ));
        }
        let mut parts = Vec::with_capacity(2);
        let mut matched = 0;
        for part in text.split_str(".") {
            if part.is_empty() {
                return Err(Error::new(
                    ErrorCode::EmptyFieldName,
                    format!(
                        "The update path '{}' contains an empty field name, which is not allowed.",
                        text.as_bstr()
                    ),
                ));
            }
            let part = match part {
                b"$" => {
                    matched += 1;
                    Part::Matched
                }
                [b'$', b'[', id @ .., b']'] => Part::Elements(id.to_vec()),
                name => Part::Name(Name::new(name)),
            };
            parts.push(part);
        }
        match parts.first() {
            Some(Part::Matched) => {
                return Err(Error::bad_value(format!(
                    "Cannot have positional (i.e. '$') element in the first position in path '{}'",
                    text.as_bstr()
                )));
            }
            Some(Part::Elements(_)) => {
                return Err(Error::bad_value(format!(
                    "Cannot have array filter identifier (i.e. '$[<id>]') element in the first position in path '{}'",
                    text.as_bstr()
                )));
            }
            _ => {}
        }
        if matched > 1 {
            return Err(Error::bad_value(format!(
                "Too many positional (i.e. '$') elements found in path '{}'",
                text.as_bstr()
            )));
        }
        if parts.len() > PARTS_MAX {
            return Err(Error::new(
                ErrorCode::Overflow,
                format!("FieldPath is too long: at most {PARTS_MAX} parts are allowed"),
            ));
        }
        Ok(Path {
            text: text.to_vec(),
            parts,
        })
    }

    /// Whether a part depends on the document.
    pub(super) fn is_dynamic(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Name(_)))
    }

    /// The names, for a path without positional parts.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_digits_by_value() {
        let mut names: Vec<Name> = ["b", "10", "9", "2", "-1", "1a", "a"]
            .iter()
            .map(|name| Name::new(name.as_bytes()))
            .collect();
        names.sort_by(Name::cmp);
        let sorted: Vec<_> = names.iter().map(|name| name.text.as_bstr()).collect();
        assert_eq!(sorted, ["-1", "2", "9", "10", "1a", "a", "b"]);
    }

    #[test]
    fn positional_parts() {
        let path = Path::parse(b"a.$.b.$[].c.$[x]").unwrap();
        assert_eq!(path.parts[1], Part::Matched);
        assert_eq!(path.parts[3], Part::Elements(Vec::new()));
        assert_eq!(path.parts[5], Part::Elements(b"x".to_vec()));
        for (text, code) in [
            ("", 56),
            ("a..b", 56),
            ("a.", 56),
            ("$", 2),
            ("$[]", 2),
            ("a.$.$", 2),
        ] {
            let error = Path::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.code().number(), code, "{text}");
        }
    }
}
