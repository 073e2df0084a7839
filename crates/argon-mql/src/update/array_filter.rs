//! `arrayFilters`: which elements `$[identifier]` means.
//!
//! Source: MongoDB manual, `$[<identifier>]`.

use bstr::ByteSlice;

use super::path::{Part, Path};
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Env, Error, ErrorCode, Filter, ParseContext, Result};

/// The array filters of an update, by identifier.
#[derive(Debug, Default)]
pub(super) struct ArrayFilters(Vec<ArrayFilter>);

#[derive(Debug)]
struct ArrayFilter {
    id: Vec<u8>,
    /// About a document with the element under the identifier.
    filter: Filter,
}

impl ArrayFilters {
    /// Compiles `filters`, the array of an update's option.
    ///
    /// # Errors
    /// `FailedToParse` for a filter that is not about exactly one identifier, or a second one about it; `BadValue` for
    /// a malformed identifier; what the filters themselves are refused with.
    pub(super) fn parse(filters: Doc<'_>, cx: &ParseContext) -> Result<ArrayFilters> {
        let mut parsed: Vec<ArrayFilter> = Vec::new();
        for filter in filters.values() {
            let doc = document(filter)?;
            let wrap = |error: Error| error.context("Error parsing array filter :: caused by :: ");
            refuse_outside_queries(doc).map_err(wrap)?;
            let filter = Filter::parse(doc, cx).map_err(wrap)?;
            let mut id = None;
            identifier(doc, &mut id).map_err(wrap)?;
            let id = id.ok_or_else(|| {
                Error::failed_to_parse(
                    "Cannot use an expression without a top-level field name in arrayFilters",
                )
            })?;
            let well_formed = id.first().is_some_and(u8::is_ascii_lowercase)
                && id.iter().all(u8::is_ascii_alphanumeric);
            if !well_formed {
                return Err(wrap(Error::bad_value(format!(
                    "The top-level field name must be an alphanumeric string beginning with a lowercase letter, found '{}'",
                    id.as_bstr()
                ))));
            }
            if parsed.iter().any(|known| known.id == id) {
                return Err(Error::failed_to_parse(format!(
                    "Found multiple array filters with the same top-level field name {}",
                    id.as_bstr()
                )));
            }
            parsed.push(ArrayFilter {
                id: id.to_vec(),
                filter,
            });
        }
        Ok(ArrayFilters(parsed))
    }

    /// Checks that `path` names only filters that there are, and notes in `used` which.
    ///
    /// # Errors
    /// `BadValue`.
    pub(super) fn check(&self, path: &Path, used: &mut Vec<usize>) -> Result<()> {
        for part in &path.parts {
            let Part::Elements(id) = part else { continue };
            if id.is_empty() {
                continue;
            }
            match self.0.iter().position(|filter| filter.id == *id) {
                Some(at) => used.push(at),
                None => {
                    return Err(Error::bad_value(format!(
                        "No array filter found for identifier '{}' in path '{}'",
                        id.as_bstr(),
                        path.text.as_bstr()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Checks that every filter is among `used`.
    ///
    /// # Errors
    /// `FailedToParse`.
    pub(super) fn check_all_used(&self, used: &[usize], spec: Doc<'_>) -> Result<()> {
        match self.0.iter().enumerate().find(|(at, _)| !used.contains(at)) {
            None => Ok(()),
            Some((_, unused)) => Err(Error::failed_to_parse(format!(
                "The array filter for identifier '{}' was not used in the update {}",
                unused.id.as_bstr(),
                super::show::value(ValueRef::Document(spec))
            ))),
        }
    }

    /// Whether the filter `id` takes `element`.
    pub(super) fn matches(&self, id: &[u8], element: ValueRef<'_>, env: &Env<'_>) -> Result<bool> {
        let Some(filter) = self.0.iter().find(|filter| filter.id == id) else {
            return Ok(false);
        };
        let mut doc = DocBuf::with_capacity(64);
        doc.append(id, element);
        filter.filter.matches(&doc.finish(), env)
    }
}

/// An array filter has to be a document.
pub(super) fn document(filter: ValueRef<'_>) -> Result<Doc<'_>> {
    match filter {
        ValueRef::Document(doc) => Ok(doc),
        other => Err(Error::type_mismatch(format!(
            "BSON field 'update.updates.arrayFilters' is the wrong type '{}', expected type 'object'",
            other.type_name()
        ))),
    }
}

/// Finds the one identifier that all conditions of `filter` are about.
fn identifier<'d>(filter: Doc<'d>, found: &mut Option<&'d [u8]>) -> Result<()> {
    for element in filter.iter() {
        match (element.key().as_bytes(), element.value()) {
            (b"$and" | b"$or" | b"$nor", ValueRef::Array(branches)) => {
                for branch in branches.values().filter_map(|branch| branch.as_document()) {
                    // The filter has been parsed, which bounds its depth.
                    identifier(branch, found)?;
                }
            }
            ([b'$', ..], _) => {}
            (_, ValueRef::Document(conditions)) if matches_nothing(conditions) => {}
            (name, _) => {
                let top = name.split_str(".").next().unwrap_or(name);
                match found {
                    None => *found = Some(top),
                    Some(known) if *known == top => {}
                    Some(known) => {
                        return Err(Error::failed_to_parse(format!(
                            "Expected a single top-level field name, found '{}' and '{}'",
                            known.as_bstr(),
                            top.as_bstr()
                        )));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whether `conditions` are `{$all: []}` and nothing else, which mongod 6.0.5 makes a condition about no field.
fn matches_nothing(conditions: Doc<'_>) -> bool {
    !conditions.is_empty()
        && conditions.iter().all(|condition| {
            match (condition.key().as_bytes(), condition.value()) {
                (b"$all", ValueRef::Array(values)) => values.is_empty(),
                // The filter has been parsed, which bounds its depth.
                (b"$not", ValueRef::Document(inner)) => matches_nothing(inner),
                _ => false,
            }
        })
}

/// Refuses conditions on whole documents, which an array element need not be.
///
/// # Errors
/// `QueryFeatureNotAllowed`.
pub(crate) fn refuse_outside_queries(filter: Doc<'_>) -> Result<()> {
    for element in filter.iter() {
        match (element.key().as_bytes(), element.value()) {
            (b"$expr" | b"$jsonSchema" | b"$text", _) => {
                return Err(Error::new(
                    ErrorCode::QueryFeatureNotAllowed,
                    format!("{} is not allowed in this context", element.key()),
                ));
            }
            (b"$where", _) => {
                return Err(Error::bad_value("$where is not allowed in this context"));
            }
            (b"$and" | b"$or" | b"$nor", ValueRef::Array(branches)) => {
                for branch in branches.values().filter_map(|branch| branch.as_document()) {
                    // Documents are at most `DEPTH_MAX` deep, which bounds this recursion.
                    refuse_outside_queries(branch)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
