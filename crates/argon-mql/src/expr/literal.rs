//! Literal operator: a value that is not read as an expression.

use super::Expr;
use super::ops::Op;
use super::parse::Parser;
use crate::Result;
use crate::value::{Value, ValueRef};

pub(super) const OPS: &[Op] = &[
    // What mongod itself writes for a constant, in views and explain output.
    Op::parsed("$const", literal),
    Op::parsed("$literal", literal),
];

#[expect(
    clippy::unnecessary_wraps,
    reason = "the form of every operator's parse function"
)]
fn literal(operand: ValueRef<'_>, _: &Parser<'_>) -> Result<Expr> {
    Ok(Expr::constant(Value::copy_of(operand)))
}
