//! The `_id` of a group: what it is, and the bytes by which groups are told apart.

use std::sync::Arc;

use bytes::Bytes;

use super::read_fields::{FieldSet, add_fields_of};
use super::{Changes, Paths};
use crate::accumulator::top_level_field;
use crate::collation::Collation;
use crate::expr::{Expr, Operand, Scope};
use crate::value::{DocBuf, Value, ValueRef, compare_with, key};
use crate::{Error, ParseContext, Result};

/// What a `$group` groups by.
#[derive(Debug)]
pub(super) struct GroupId {
    shape: Shape,
    collation: Option<Arc<Collation>>,
    has_array: bool,
}

#[derive(Debug)]
enum Shape {
    /// Any expression; a missing value counts as null.
    Expr(Expr),
    /// A document of expressions, `{year: "$y", month: "$m"}`.
    Fields(Vec<IdField>),
    /// Ranges of a value.
    Buckets(Buckets),
}

/// A field of an identity that is a document.
#[derive(Debug)]
pub(super) struct IdField {
    name: Bytes,
    expr: Expr,
    /// Whether a missing value leaves a place.
    keeps_place: bool,
}

/// The ranges of a `$bucket`.
#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) by: Expr,
    /// Ascending; at least two.
    pub(super) boundaries: Vec<Value>,
    /// For values outside.
    pub(super) default: Option<Value>,
}

impl Buckets {
    /// The lower boundary of the range that `value` is in, or the default.
    fn find(&self, value: ValueRef<'_>, collation: Option<&Collation>) -> Option<&Value> {
        let after = self
            .boundaries
            .partition_point(|boundary| compare_with(boundary.as_ref(), value, collation).is_le());
        if after == 0 || after == self.boundaries.len() {
            return self.default.as_ref();
        }
        self.boundaries.get(after - 1)
    }
}

impl GroupId {
    /// Parses the `_id` of a `$group`.
    ///
    /// # Errors
    /// 17390 for a dotted field name, 16410 for an operator beside others, and what expressions are refused with.
    pub(super) fn parse(value: ValueRef<'_>, cx: &ParseContext) -> Result<GroupId> {
        let fields = match value {
            ValueRef::Document(doc)
                if doc
                    .iter()
                    .next()
                    .is_some_and(|first| !first.key().starts_with(b"$")) =>
            {
                doc
            }
            _ => {
                return Ok(GroupId {
                    shape: Shape::Expr(Expr::parse(value, cx)?),
                    collation: cx.collation.clone(),
                    has_array: is_array(value),
                });
            }
        };
        let mut parsed = Vec::new();
        for element in fields.iter() {
            let value = element.value();
            let includes = value.is_number() || matches!(value, ValueRef::Bool(_));
            if includes || element.key().contains(&b'.') {
                return Err(Error::location(
                    17390,
                    "$group does not support inclusion-style expressions",
                ));
            }
            if element.key().is_empty() {
                return Err(Error::location(
                    15998,
                    "FieldPath field names may not be empty strings.",
                ));
            }
            super::FieldPath::parse(element.key())?;
            let name = Bytes::copy_from_slice(element.key());
            parsed.push(IdField {
                expr: Expr::parse(element.value(), cx)?,
                keeps_place: cx.keeps_place(&name),
                name,
            });
        }
        Ok(GroupId {
            shape: Shape::Fields(parsed),
            collation: cx.collation.clone(),
            has_array: fields.values().any(is_array),
        })
    }

    /// Groups by ranges of a value.
    pub(super) fn buckets(buckets: Buckets, cx: &ParseContext) -> GroupId {
        GroupId {
            shape: Shape::Buckets(buckets),
            collation: cx.collation.clone(),
            has_array: false,
        }
    }

    /// The top-level field that it is, if it is one: then [`with_value`](GroupId::with_value) may be called instead of
    /// [`with`](GroupId::with), with the field's value.
    pub(super) fn field(&self) -> Option<String> {
        match &self.shape {
            Shape::Expr(expr) => top_level_field(expr),
            _ => None,
        }
    }

    /// As [`with`](GroupId::with), for a value that is known already.
    #[inline]
    pub(super) fn with_value<R>(
        &self,
        value: Operand<'_>,
        keys: &mut Vec<u8>,
        take: impl FnOnce(&[u8], Evaluated<'_>) -> R,
    ) -> R {
        let value = match value.as_ref() {
            ValueRef::Missing => Operand::NULL,
            _ => value,
        };
        keys.clear();
        key::append_with(keys, value.as_ref(), false, self.collation.as_deref());
        take(keys, Evaluated::Value(&value))
    }

    /// Adds the top-level fields that it reads to `fields`; false if it reads the whole document.
    pub(super) fn add_fields(&self, fields: &mut FieldSet) -> bool {
        match &self.shape {
            Shape::Expr(expr) => add_fields_of(expr, fields),
            Shape::Fields(exprs) => exprs.iter().all(|field| add_fields_of(&field.expr, fields)),
            Shape::Buckets(buckets) => add_fields_of(&buckets.by, fields),
        }
    }

    /// What is known of a group's documents by those it is made of.
    pub(super) fn changes(&self) -> Changes {
        let mut paths = Paths::default();
        match &self.shape {
            Shape::Expr(expr) => paths.add_renamed(b"_id", expr),
            Shape::Fields(fields) => {
                for field in fields {
                    paths.add_renamed(&[b"_id.", &field.name[..]].concat(), &field.expr);
                }
            }
            Shape::Buckets(_) => return Changes::All,
        }
        Changes::AllBut(paths.make_null())
    }

    /// Whether it builds an array, which mongod 6.0.5 does not push down.
    pub(super) fn has_array(&self) -> bool {
        self.has_array
    }

    /// Evaluates it and calls `take` with the value's sortable key and the value. `pushed_down`: see
    /// [`Stage::is_pushed_down`](super::Stage::is_pushed_down).
    #[inline]
    pub(super) fn with<R>(
        &self,
        scope: &Scope<'_>,
        pushed_down: bool,
        keys: &mut Vec<u8>,
        take: impl FnOnce(&[u8], Evaluated<'_>) -> R,
    ) -> Result<R> {
        keys.clear();
        let collation = self.collation.as_deref();
        match &self.shape {
            Shape::Expr(expr) => Ok(self.with_value(expr.operand(scope)?, keys, take)),
            Shape::Buckets(buckets) => {
                let value = buckets.by.operand(scope)?;
                let bucket = buckets.find(value.as_ref(), collation).ok_or_else(|| {
                    Error::location(
                        if pushed_down { 4_934_200 } else { 40066 },
                        "$switch could not find a matching branch for an input, and no default was specified.",
                    )
                })?;
                key::append_with(keys, bucket.as_ref(), false, collation);
                Ok(take(keys, Evaluated::Value(&Operand::Known(bucket))))
            }
            Shape::Fields(fields) => {
                let mut values = smallvec::SmallVec::<[Operand<'_>; 4]>::new();
                for field in fields {
                    let mut value = field.expr.operand(scope)?;
                    // As mongod 6.0.5 has it: of one field, missing is null; of several, it is left out.
                    if fields.len() == 1 && matches!(value.as_ref(), ValueRef::Missing) {
                        value = Operand::NULL;
                    }
                    key::append_with(keys, value.as_ref(), false, collation);
                    values.push(value);
                }
                Ok(take(
                    keys,
                    Evaluated::Fields {
                        fields,
                        values: &values,
                        keep_places: !pushed_down,
                    },
                ))
            }
        }
    }
}

fn is_array(value: ValueRef<'_>) -> bool {
    value.as_array().is_some()
}

/// The value of a group's `_id`, not yet copied out of the document.
pub(super) enum Evaluated<'a> {
    Value(&'a Operand<'a>),
    Fields {
        fields: &'a [IdField],
        values: &'a [Operand<'a>],
        /// Whether missing values may leave places.
        keep_places: bool,
    },
}

impl Evaluated<'_> {
    pub(super) fn to_value(&self) -> Value {
        match self {
            Evaluated::Value(value) => Value::copy_of(value.as_ref()),
            Evaluated::Fields {
                fields,
                values,
                keep_places,
            } => {
                let mut out = DocBuf::new();
                for (field, value) in fields.iter().zip(*values) {
                    match value.as_ref() {
                        ValueRef::Missing if *keep_places && field.keeps_place => {
                            out.append_place(&field.name);
                        }
                        value => out.append(&field.name, value),
                    }
                }
                Value::Document(out.finish())
            }
        }
    }
}
