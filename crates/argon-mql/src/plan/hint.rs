//! Hints: the client's choice of an index.

use bytes::Bytes;

use super::{Direction, PlanIndex};
use crate::value::{Doc, Number, ValueRef};
use crate::{Error, ErrorCode, Result};

/// Which index a command shall use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The index of this name.
    Name(String),
    /// The index with this key pattern.
    Pattern(Bytes),
    /// None: `$natural`.
    Natural(Direction),
}

impl Hint {
    /// Parses `hint`; an empty document is no hint.
    ///
    /// # Errors
    /// `FailedToParse` unless it is a string or a document.
    pub fn parse(value: ValueRef<'_>) -> Result<Option<Hint>> {
        match value {
            ValueRef::String(name) => Ok(Some(Hint::Name(name.to_string()))),
            ValueRef::Document(pattern) if pattern.is_empty() => Ok(None),
            ValueRef::Document(pattern) => Ok(Some(match pattern.get("$natural") {
                Some(natural) => {
                    let backward = Number::from_value(natural).is_some_and(Number::is_negative);
                    Hint::Natural(if backward {
                        Direction::Backward
                    } else {
                        Direction::Forward
                    })
                }
                None => Hint::Pattern(Bytes::copy_from_slice(pattern.as_bytes())),
            })),
            _ => Err(Error::failed_to_parse("Hint must be a string or an object")),
        }
    }

    /// The position of the index meant.
    pub(super) fn find(&self, indexes: &[PlanIndex<'_>]) -> Result<usize> {
        let mut named = indexes.iter().enumerate().filter(|(_, index)| {
            !index.spec.hidden()
                && match self {
                    Hint::Name(name) => index.spec.name() == name,
                    Hint::Pattern(pattern) => index.spec.has_pattern(Doc::new(pattern)),
                    Hint::Natural(_) => false,
                }
        });
        match (named.next(), named.next()) {
            (Some((at, _)), None) => Ok(at),
            (None, _) => Err(Error::bad_value(
                "planner returned error :: caused by :: hint provided does not correspond to an existing index",
            )),
            (Some(_), Some(_)) => Err(Error::new(
                ErrorCode::IndexNotFound,
                "planner returned error :: caused by :: Hint matched multiple indexes, must hint by index name.",
            )),
        }
    }
}
