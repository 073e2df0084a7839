//! What several stages' arguments have in common, and a stage that does nothing.

use std::sync::Arc;

use super::{Source, Stage, StageContext};
use crate::value::ValueRef;
use crate::value::decimal::Decimal;
use crate::{Error, Result};

/// Why a value is no count.
pub(super) enum NotACount {
    NotANumber,
    Negative,
    NotIntegral,
}

/// Reads a non-negative integer of any numeric type.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only integral doubles below 2^63 are converted"
)]
pub(super) fn count_of(value: ValueRef<'_>) -> Result<u64, NotACount> {
    let integer = match value {
        ValueRef::Int32(v) => Some(i64::from(v)),
        ValueRef::Int64(v) => Some(v),
        ValueRef::Double(v) if v.fract() == 0.0 && v.abs() < 9_223_372_036_854_775_808.0 => {
            Some(v as i64)
        }
        ValueRef::Double(_) => None,
        ValueRef::Decimal128(bytes) => Decimal::from_bytes(bytes).to_i64(),
        _ => return Err(NotACount::NotANumber),
    };
    let integer = integer.ok_or(NotACount::NotIntegral)?;
    u64::try_from(integer).map_err(|_| NotACount::Negative)
}

/// The error of `$limit` and `$skip` for an argument that is no count.
pub(super) fn count_error(code: i32, stage: &str, why: &NotACount) -> Error {
    let why = match why {
        NotACount::NotANumber => "Expected a number",
        NotACount::Negative => "Expected a non-negative number",
        NotACount::NotIntegral => "Expected an integer",
    };
    Error::location(code, format!("invalid argument to {stage} stage: {why}"))
}

/// A stage that lets everything through.
#[derive(Debug)]
struct Through;

impl Stage for Through {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        input
    }
}

/// `$_internalInhibitOptimization`: nothing but a mark that mongod does not optimize across.
pub(super) fn inhibit(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    if !value.as_document().is_some_and(|doc| doc.is_empty()) {
        return Err(Error::failed_to_parse(
            "$_internalInhibitOptimization takes no options",
        ));
    }
    out.push(Box::new(Through));
    Ok(())
}
