//! Key patterns: the fields of an index, and what a pattern may say.

use super::{FIELDS_MAX, Field, Kind};
use crate::catalogue::Entry;
use crate::path::Path;
use crate::value::{Doc, Number, ValueRef};
use crate::{Error, ErrorCode, Result};

/// The kinds of keys; [`parse_pattern`] refuses the text and geospatial ones as a server does that lacks them.
pub fn kinds() -> impl Iterator<Item = Entry> {
    let refused = |name| Entry {
        name,
        refused: Some(ErrorCode::CannotCreateIndex),
    };
    ["1", "-1", "$**", "hashed"]
        .map(Entry::known)
        .into_iter()
        .chain(
            [
                "2d",
                "2dsphere",
                "2dsphere_bucket",
                "geoHaystack",
                "text",
                "wildcard",
            ]
            .map(refused),
        )
}

/// Why a key pattern is wrong.
pub(super) enum Bad {
    /// A reason to be told with the specification.
    Here(String),
    /// A complete error.
    Whole(Error),
}

pub(super) fn parse_pattern(pattern: Doc<'_>) -> Result<(Kind, Vec<Field>), Bad> {
    let here = |reason: &str| Err(Bad::Here(reason.to_owned()));
    if pattern.is_empty() {
        return here("Index keys cannot be empty.");
    }
    let count = pattern.iter().count();
    let mut kind = Kind::Ordered;
    let mut fields = Vec::with_capacity(count);
    let mut hashed = 0;
    for element in pattern.iter() {
        let (path, value) = (element.key(), element.value());
        let wildcard = path == "$**" || path.ends_with(b".$**");
        let descending = match value {
            ValueRef::String(plugin) => match plugin.as_ref() as &[u8] {
                b"" => return here("Values in the index key pattern cannot be empty strings"),
                b"hashed" => {
                    hashed += 1;
                    false
                }
                _ => return Err(Bad::Here(format!("Unknown index plugin '{plugin}'"))),
            },
            _ => match Number::from_value(value) {
                None => {
                    return Err(Bad::Here(format!(
                        "Values in v:2 index key pattern cannot be of type {}. Only numbers > 0, numbers < 0, and strings are allowed.",
                        value.type_name()
                    )));
                }
                Some(number) if number.is_nan() => {
                    return here("Values in the index key pattern cannot be NaN.");
                }
                Some(number) if number.is_zero() => {
                    return here("Values in the index key pattern cannot be 0.");
                }
                Some(number) => number.is_negative(),
            },
        };
        let is_hashed = matches!(value, ValueRef::String(_));
        if wildcard && !is_hashed {
            if count > 1 {
                return here("wildcard indexes do not allow compounding");
            }
            if descending {
                return here("A numeric value in a $** index key pattern must be positive.");
            }
            kind = Kind::Wildcard;
            let prefix = path.strip_suffix(b"$**").unwrap_or(path);
            let prefix = prefix.strip_suffix(b".").unwrap_or(prefix);
            if !prefix.is_empty() {
                check_path(prefix)?;
            }
            fields.push(Field {
                path: Path::new(prefix),
                descending: false,
                hashed: false,
            });
            continue;
        }
        if path.is_empty() {
            return here("Index keys cannot be an empty field.");
        }
        check_path(path)?;
        fields.push(Field {
            path: Path::new(path),
            descending,
            hashed: is_hashed,
        });
    }
    if hashed > 1 {
        return Err(Bad::Whole(Error::location(
            31303,
            format!(
                "A maximum of one index field is allowed to be hashed but found {hashed} for 'key' {pattern}"
            ),
        )));
    }
    if hashed == 1 {
        kind = Kind::Hashed;
    }
    if count > FIELDS_MAX {
        return Err(Bad::Whole(Error::location(13103, "too many compound keys")));
    }
    Ok((kind, fields))
}

fn check_path(path: &[u8]) -> Result<(), Bad> {
    for part in Path::new(path).parts() {
        let name = part.name();
        if name.is_empty() {
            return Err(Bad::Here(
                "Index keys cannot contain an empty field.".to_owned(),
            ));
        }
        // The fields of a DBRef are legal.
        if name.starts_with(b"$") && !matches!(name, b"$ref" | b"$id" | b"$db") {
            return Err(Bad::Here(
                "Index key contains an illegal field name: field name starts with '$'.".to_owned(),
            ));
        }
    }
    Ok(())
}
