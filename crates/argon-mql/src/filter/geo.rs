//! Geospatial operators: known, and refused.

use crate::{Error, ErrorCode, Result};

use super::parse::{FieldOp, Operand};
use super::tree::Node;

pub(super) const OPS: &[FieldOp] = &[
    FieldOp::refused("$geoIntersects", ErrorCode::BadValue, unsupported),
    FieldOp::refused("$geoNear", ErrorCode::NoQueryExecutionPlans, near),
    FieldOp::refused("$geoWithin", ErrorCode::BadValue, unsupported),
    FieldOp::refused("$near", ErrorCode::NoQueryExecutionPlans, near),
    FieldOp::refused("$nearSphere", ErrorCode::NoQueryExecutionPlans, near),
    FieldOp::refused("$within", ErrorCode::BadValue, unsupported),
];

/// There are no geospatial indexes, so this is what mongod answers.
fn near(_: &Operand<'_>) -> Result<Node> {
    Err(Error::new(
        ErrorCode::NoQueryExecutionPlans,
        "error processing query: planner returned error :: caused by :: unable to find index for $geoNear query",
    ))
}

fn unsupported(operand: &Operand<'_>) -> Result<Node> {
    Err(Error::bad_value(format!(
        "unknown operator: {} (geospatial queries are not supported)",
        operand.name
    )))
}
