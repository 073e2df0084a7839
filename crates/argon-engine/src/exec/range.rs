//! `min` and `max` of `find`: bounds at keys of the hinted index.

use std::ops::Bound;

use argon_mql::collation::Collation;
use argon_mql::index::{IndexSpec, Kind};
use argon_mql::plan::Hint;
use argon_mql::sort::Order;
use argon_mql::value::key;
use argon_mql::{Doc, Error, ErrorCode, Result, ValueRef};
use bytes::Bytes;

use crate::state::{Collection, Key};

/// Keys from `min` up to before `max`; empty documents are no bounds.
#[derive(Clone, Debug)]
pub struct Range {
    min: Bytes,
    max: Bytes,
}

/// An index (`None` is the `_id` index) and the keys to walk.
type Resolved = (Option<String>, Bound<Key>, Bound<Key>);

impl Range {
    /// The range between two documents; `None` if both are empty.
    ///
    /// # Errors
    /// Location51176 if both are given and have different fields.
    pub fn new(min: Doc<'_>, max: Doc<'_>) -> Result<Option<Range>> {
        if min.is_empty() && max.is_empty() {
            return Ok(None);
        }
        if !min.is_empty() && !max.is_empty() {
            let same = min.iter().count() == max.iter().count()
                && min.iter().zip(max.iter()).all(|(a, b)| a.key() == b.key());
            if !same {
                return Err(Error::location(
                    51176,
                    "min and max must have the same field names",
                ));
            }
        }
        Ok(Some(Range {
            min: Bytes::copy_from_slice(min.as_bytes()),
            max: Bytes::copy_from_slice(max.as_bytes()),
        }))
    }

    /// The keys in the index that `hint` names.
    ///
    /// # Errors
    /// Location51173 without a hint, Location51174 for an index that has other fields, Location51175 for an empty range,
    /// and MongoDB's own for a hint that names no index or goes with no index.
    pub(super) fn resolve(
        &self,
        collection: &Collection,
        order: &Order,
        hint: Option<&Hint>,
        collation: Option<&Collation>,
    ) -> Result<Resolved> {
        let refuse = |code, why: &str| {
            Err(Error::location(
                code,
                format!("planner returned error :: caused by :: {why}"),
            ))
        };
        if matches!(order, Order::Natural { .. }) && hint.is_some() {
            return Err(Error::bad_value(
                "index hint not allowed with $natural sort order",
            ));
        }
        let by_id = IndexSpec::id();
        let specs = std::iter::once(&by_id)
            .chain(collection.indexes().iter().map(|index| &*index.spec))
            .filter(|spec| !spec.hidden());
        let mut named = match hint {
            None => {
                return refuse(
                    51173,
                    "When using min()/max() a hint of which index to use must be provided",
                );
            }
            Some(Hint::Natural(_)) => {
                return Err(Error::new(
                    ErrorCode::NoQueryExecutionPlans,
                    "planner returned error :: caused by :: min and max are incompatible with $natural",
                ));
            }
            Some(Hint::Name(name)) => specs.filter(|spec| spec.name() == name).collect::<Vec<_>>(),
            Some(Hint::Pattern(pattern)) => specs
                .filter(|spec| spec.has_pattern(Doc::new(pattern)))
                .collect(),
        };
        let Some(spec) = named.pop() else {
            return Err(Error::bad_value(
                "planner returned error :: caused by :: hint provided does not correspond to an existing index",
            ));
        };
        if !named.is_empty() {
            return Err(Error::new(
                ErrorCode::IndexNotFound,
                "planner returned error :: caused by :: Hint matched multiple indexes, must hint by index name.",
            ));
        }
        let own = if spec.is_id() {
            collection.options.collation.as_deref()
        } else {
            spec.collation()
        };
        let (min, max) = (Doc::new(&self.min), Doc::new(&self.max));
        if !fits(spec, own, collation, min) || !fits(spec, own, collation, max) {
            return refuse(51174, "The index chosen is not compatible with min/max");
        }
        let key = |doc: Doc<'_>| {
            let mut out = Vec::with_capacity(32);
            for (element, field) in doc.iter().zip(spec.fields()) {
                key::append_with(&mut out, element.value(), field.descending, own);
            }
            Key::from_slice(&out)
        };
        let (low, high) = (
            (!min.is_empty()).then(|| key(min)),
            (!max.is_empty()).then(|| key(max)),
        );
        // A bound that is not given is that of all keys.
        let edge = |least: bool| {
            let mut out = Vec::with_capacity(8);
            for field in spec.fields() {
                let value = if least == field.descending {
                    ValueRef::MaxKey
                } else {
                    ValueRef::MinKey
                };
                key::append_with(&mut out, value, field.descending, own);
            }
            Key::from_slice(&out)
        };
        let empty = match (&low, &high) {
            (Some(low), Some(high)) => low >= high,
            (Some(low), None) => *low >= edge(false),
            (None, Some(high)) => edge(true) >= *high,
            (None, None) => false,
        };
        if empty {
            return refuse(
                51175,
                "The value provided for min() does not come before the value provided for max() in the hinted index",
            );
        }
        Ok((
            (!spec.is_id()).then(|| spec.name().to_owned()),
            low.map_or(Bound::Unbounded, Bound::Included),
            high.map_or(Bound::Unbounded, Bound::Excluded),
        ))
    }
}

/// Whether `bound` names the fields of the index in their order, and compares strings as it does if it has any.
fn fits(
    spec: &IndexSpec,
    own: Option<&Collation>,
    collation: Option<&Collation>,
    bound: Doc<'_>,
) -> bool {
    if bound.is_empty() {
        return true;
    }
    let fields = spec.fields();
    let compares_text = bound.values().any(|value| {
        matches!(
            value,
            ValueRef::String(_) | ValueRef::Document(_) | ValueRef::Array(_)
        )
    });
    matches!(spec.kind(), Kind::Ordered | Kind::Hashed)
        && bound.iter().count() == fields.len()
        && bound
            .iter()
            .zip(fields)
            .all(|(element, field)| *element.key() == *field.path.text())
        && (!compares_text || own.map(Collation::document) == collation.map(Collation::document))
}
