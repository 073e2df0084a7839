//! `$bucket`: a `$group` by ranges of a value, and a `$sort` by the range.

use super::group::GroupStage;
use super::group_id::{Buckets, GroupId};
use super::sort::SortStage;
use super::{Stage, StageContext};
use crate::accumulator::Accumulator;
use crate::expr::Expr;
use crate::sort::Sort;
use crate::value::{BsonType, Doc, DocBuf, Value, ValueRef, compare_with};
use crate::{Error, Result};

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            40201,
            format!(
                "Argument to $bucket stage must be an object, but found type: {}.",
                value.type_name()
            ),
        ));
    };
    let (mut by, mut boundaries, mut default) = (None, None, None);
    let mut output = vec![("count".into(), Accumulator::count())];
    for element in spec.iter() {
        let value = element.value();
        match &**element.key() {
            b"groupBy" => {
                if !is_expression(value) {
                    return Err(Error::location(
                        40202,
                        format!(
                            "The $bucket 'groupBy' field must be defined as a $-prefixed path or an expression, but found: {value}."
                        ),
                    ));
                }
                by = Some(Expr::parse(value, context.cx)?);
            }
            b"boundaries" => boundaries = Some(parse_boundaries(value, context)?),
            b"default" => {
                default = Some(constant(value, context)?.ok_or_else(|| {
                    Error::location(
                        40195,
                        format!("The $bucket 'default' field must be a constant expression, but found: {value}."),
                    )
                })?);
            }
            b"output" => {
                let Some(fields) = value.as_document() else {
                    return Err(Error::location(
                        40196,
                        format!(
                            "The $bucket 'output' field must be an object, but found type: {}.",
                            value.type_name()
                        ),
                    ));
                };
                output = GroupStage::parse_fields(fields, context)?;
            }
            _ => {
                return Err(Error::location(
                    40197,
                    format!("Unrecognized option to $bucket: {}.", element.key()),
                ));
            }
        }
    }
    let (Some(by), Some(boundaries)) = (by, boundaries) else {
        return Err(Error::location(
            40198,
            "$bucket requires 'groupBy' and 'boundaries' to be specified.",
        ));
    };
    if let Some(default) = &default {
        check_default(default, &boundaries, context)?;
    }
    let id = GroupId::buckets(
        Buckets {
            by,
            boundaries,
            default,
        },
        context.cx,
    );
    out.push(Box::new(GroupStage::with_id(id, output)));
    let mut order = DocBuf::new();
    order.append("_id", ValueRef::Int32(1));
    let sort = Sort::parse(Doc::new(&order.finish()))?;
    let sort = sort.with_collation(context.cx.collation.as_deref().cloned());
    out.push(Box::new(SortStage::new(sort)));
    Ok(())
}

/// Whether `value` is a field path or an operator, and not a plain constant.
pub(super) fn is_expression(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::String(text) => text.starts_with(b"$"),
        ValueRef::Document(doc) => doc
            .iter()
            .next()
            .is_some_and(|first| first.key().starts_with(b"$")),
        _ => false,
    }
}

/// The value of a constant expression; `None` for any other.
fn constant(value: ValueRef<'_>, context: &StageContext<'_>) -> Result<Option<Value>> {
    Ok(Expr::parse(value, context.cx)?.as_constant().cloned())
}

/// What MongoDB calls the same type here: all numbers are.
fn canonical(value: &Value) -> BsonType {
    let value = value.as_ref();
    if value.is_number() {
        BsonType::Double
    } else {
        value.bson_type()
    }
}

fn parse_boundaries(value: ValueRef<'_>, context: &StageContext<'_>) -> Result<Vec<Value>> {
    let Some(array) = value.as_array() else {
        return Err(Error::location(
            40200,
            format!(
                "The $bucket 'boundaries' field must be an array, but found type: {}.",
                value.type_name()
            ),
        ));
    };
    let mut boundaries: Vec<Value> = Vec::new();
    for value in array.values() {
        let boundary = constant(value, context)?.ok_or_else(|| {
            Error::location(
                40191,
                format!("The $bucket 'boundaries' field must be an array of constant values, but found value: {value}."),
            )
        })?;
        boundaries.push(boundary);
    }
    if boundaries.len() < 2 {
        return Err(Error::location(
            40192,
            format!(
                "The $bucket 'boundaries' field must have at least 2 values, but found {} value(s).",
                boundaries.len()
            ),
        ));
    }
    for (index, pair) in boundaries.windows(2).enumerate() {
        let (a, b) = (&pair[0], &pair[1]);
        if canonical(a) != canonical(b) {
            return Err(Error::location(
                40193,
                "All values in the the 'boundaries' option to $bucket must have the same type.",
            ));
        }
        if compare_with(a.as_ref(), b.as_ref(), context.cx.collation.as_deref()).is_ge() {
            return Err(Error::location(
                40194,
                format!(
                    "The 'boundaries' option to $bucket must be sorted, but elements {index} and {} are not in ascending order.",
                    index + 1
                ),
            ));
        }
    }
    Ok(boundaries)
}

fn check_default(default: &Value, boundaries: &[Value], context: &StageContext<'_>) -> Result<()> {
    let collation = context.cx.collation.as_deref();
    let compare =
        |to: Option<&Value>| to.map(|to| compare_with(default.as_ref(), to.as_ref(), collation));
    let (first, last) = (boundaries.first(), boundaries.last());
    let is_of_their_type = first.is_some_and(|first| canonical(first) == canonical(default));
    let below = compare(first).is_some_and(std::cmp::Ordering::is_lt);
    let above = compare(last).is_some_and(std::cmp::Ordering::is_ge);
    if is_of_their_type && !below && !above {
        return Err(Error::location(
            40199,
            "The $bucket 'default' field must be less than the lowest boundary or greater than or equal to the highest boundary.",
        ));
    }
    Ok(())
}
