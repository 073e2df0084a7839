//! Evaluation: `$comment`, `$expr`, `$mod`, `$regex` with `$options`, `$sampleRate`, and the constants `$alwaysTrue`
//! and `$alwaysFalse`. `$text` and `$where` are known and refused.

use bstr::BStr;

use crate::expr::Expr;
use crate::regex::Regex;
use crate::value::{Doc, Number, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

use super::number::{NotInteger, exact_integer, truncated};
use super::parse::{FieldOp, Operand, TopOp, TopOperand};
use super::tree::{ExprNode, Node, Predicate};

pub(super) const OPS: &[FieldOp] = &[
    FieldOp::new("$mod", mod_),
    FieldOp::new("$options", options),
    FieldOp::new("$regex", regex),
];

pub(super) const TOP: &[TopOp] = &[
    TopOp::new("$alwaysFalse", |operand| always(operand, false)),
    TopOp::new("$alwaysTrue", |operand| always(operand, true)),
    TopOp::new("$comment", |_| Ok(None)),
    TopOp::new("$expr", expr),
    TopOp::new("$sampleRate", sample_rate),
    TopOp::refused("$text", ErrorCode::IndexNotFound, text),
    TopOp::refused("$where", NO_SCRIPTING, where_),
];

/// What a mongod without server-side scripting answers to `$where`.
const NO_SCRIPTING: ErrorCode = ErrorCode::location(6_108_304);

fn always(operand: &TopOperand<'_>, value: bool) -> Result<Option<Node>> {
    let name = operand.name;
    let shown = operand.value;
    let complain = |text: String| Err(Error::failed_to_parse(text));
    match exact_integer(operand.value) {
        Ok(1) => Ok(Some(Node::Always(value))),
        Ok(_) => complain(format!("{name} must be an integer value of 1")),
        Err(NotInteger::Type) => complain(format!("Expected a number in: {name}: {shown:?}")),
        Err(_) => complain(format!("Expected an integer: {name}: {shown:?}")),
    }
}

fn expr(operand: &TopOperand<'_>) -> Result<Option<Node>> {
    operand.only_at_top()?;
    let expr = Expr::parse(operand.value, operand.parser.cx)?;
    let source = Value::copy_of(operand.value);
    let collation = operand.parser.cx.collation.clone();
    Ok(Some(Node::Expr(Box::new(ExprNode {
        expr,
        source,
        collation,
    }))))
}

fn sample_rate(operand: &TopOperand<'_>) -> Result<Option<Node>> {
    operand.only_at_top()?;
    let Some(rate) = Number::from_value(operand.value).map(Number::to_f64) else {
        return Err(Error::bad_value(
            "argument to $sampleRate must be a numeric type",
        ));
    };
    if !(0.0..=1.0).contains(&rate) {
        return Err(Error::bad_value(
            "numeric argument to $sampleRate must be in [0, 1]",
        ));
    }
    Ok(Some(Node::SampleRate(rate)))
}

/// There are no text indexes, so this is what mongod answers.
fn text(operand: &TopOperand<'_>) -> Result<Option<Node>> {
    operand.only_at_top()?;
    if operand.value.as_document().is_none() {
        return Err(Error::bad_value("$text expects an object"));
    }
    Err(Error::new(
        ErrorCode::IndexNotFound,
        "text index required for $text query",
    ))
}

/// What a mongod without server-side scripting answers.
fn where_(operand: &TopOperand<'_>) -> Result<Option<Node>> {
    operand.only_at_top()?;
    match operand.value {
        ValueRef::String(code) | ValueRef::JavaScript(code) if code.is_empty() => {
            Err(Error::bad_value("code for $where cannot be empty"))
        }
        ValueRef::String(_) | ValueRef::JavaScript(_) => Err(Error::new(
            NO_SCRIPTING,
            "no globalScriptEngine in $where parsing",
        )),
        ValueRef::JavaScriptWithScope { .. } => Err(Error::location(
            4649201,
            "$where no longer supports deprecated BSON type CodeWScope",
        )),
        _ => Err(Error::bad_value("$where got bad type")),
    }
}

fn mod_(operand: &Operand<'_>) -> Result<Node> {
    let complain = |what: &str| Err(Error::bad_value(format!("malformed mod, {what}")));
    let Some(array) = operand.value.as_array() else {
        return complain("needs to be an array");
    };
    let mut items = array.values();
    let (Some(divisor), Some(remainder)) = (items.next(), items.next()) else {
        return complain("not enough elements");
    };
    if items.next().is_some() {
        return complain("too many elements");
    }
    let part = |name: &str, value: ValueRef<'_>| {
        truncated(value).map_err(|reason| {
            let reason = match reason {
                NotInteger::Type => {
                    return Error::bad_value(format!("malformed mod, {name} not a number"));
                }
                NotInteger::Nan => "Unable to coerce NaN/Inf to integral type",
                NotInteger::Fraction | NotInteger::Range => {
                    "Out of bounds coercing to integral value"
                }
            };
            Error::bad_value(format!(
                "malformed mod, {name} value is invalid :: caused by :: {reason}"
            ))
        })
    };
    if !divisor.is_number() {
        return complain("divisor not a number");
    }
    if !remainder.is_number() {
        return complain("remainder not a number");
    }
    let divisor = part("divisor", divisor)?;
    let remainder = part("remainder", remainder)?;
    if divisor == 0 {
        return Err(Error::bad_value("divisor cannot be 0"));
    }
    Ok(operand.leaf(Predicate::Mod { divisor, remainder }))
}

/// `$options` is read together with its `$regex`.
fn options(operand: &Operand<'_>) -> Result<Node> {
    if operand.siblings.get("$regex").is_none() {
        return Err(Error::bad_value("$options needs a $regex"));
    }
    Ok(Node::And(Vec::new()))
}

fn regex(operand: &Operand<'_>) -> Result<Node> {
    let regex = regex_of(operand.value, operand.siblings)?;
    Ok(operand.leaf(Predicate::Regex(Box::new(regex))))
}

fn regex_of(value: ValueRef<'_>, siblings: Doc<'_>) -> Result<Regex> {
    let given = match siblings.get("$options") {
        None => None,
        Some(ValueRef::String(options)) => Some(options),
        Some(_) => return Err(Error::bad_value("$options has to be a string")),
    };
    let (pattern, own) = match value {
        ValueRef::String(pattern) => (pattern, BStr::new("")),
        ValueRef::Regex { pattern, options } => (pattern, options),
        _ => return Err(Error::bad_value("$regex has to be a string")),
    };
    match given {
        Some(_) if !own.is_empty() => Err(Error::location(
            51075,
            "options set in both $regex and $options",
        )),
        Some(options) => Regex::new(pattern, options),
        None => Regex::new(pattern, own),
    }
}
