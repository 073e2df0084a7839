//! Array: `$all`, `$elemMatch`, `$size`.

use crate::regex::Regex;
use crate::value::{Doc, ValueRef};
use crate::{Error, Result};

use super::comparison::{CompareOp, compare};
use super::number::{NotInteger, exact_integer};
use super::parse::{FieldOp, Operand, Parser, field_op, is_incomplete_db_ref, operators, top_op};
use super::tree::{Node, Predicate};

pub(super) const OPS: &[FieldOp] = &[
    FieldOp::new("$all", all),
    FieldOp::new("$elemMatch", elem_match),
    FieldOp::new("$size", size),
];

fn all(operand: &Operand<'_>) -> Result<Node> {
    let Some(array) = operand.value.as_array() else {
        return Err(Error::bad_value("$all needs an array"));
    };
    let first = array.values().next();
    let Some(first) = first else {
        return Ok(Node::Always(false));
    };
    let of_elem_match = elem_match_of(first).is_some();
    let mut nodes = Vec::new();
    for item in array.values() {
        if of_elem_match {
            let Some(value) = elem_match_of(item) else {
                return Err(Error::bad_value("$all/$elemMatch has to be consistent"));
            };
            nodes.push(elem_match(&Operand { value, ..*operand })?);
            continue;
        }
        match item {
            ValueRef::Regex { pattern, options } => {
                let regex = Regex::new(pattern, options)?;
                nodes.push(operand.leaf(Predicate::Regex(Box::new(regex))));
            }
            ValueRef::Document(doc) if starts_with_operator(doc) => {
                return Err(Error::bad_value("no $ expressions in $all"));
            }
            value => nodes.push(compare(CompareOp::Eq, &Operand { value, ..*operand })?),
        }
    }
    Ok(Node::and(nodes))
}

/// The operand of `$elemMatch`, if `item` is a document that begins with it.
fn elem_match_of(item: ValueRef<'_>) -> Option<ValueRef<'_>> {
    let first = item.as_document()?.iter().next()?;
    (first.key() == "$elemMatch").then(|| first.value())
}

fn starts_with_operator(doc: Doc<'_>) -> bool {
    doc.iter()
        .next()
        .is_some_and(|first| field_op(first.key()).is_some())
}

fn elem_match(operand: &Operand<'_>) -> Result<Node> {
    let Some(doc) = operand.value.as_document() else {
        return Err(Error::bad_value("$elemMatch needs an Object"));
    };
    let inner = Parser {
        top: false,
        ..*operand.parser
    };
    let of_value = doc.iter().next().is_some_and(|first| {
        first.key().starts_with(b"$") && top_op(first.key()).is_none() && !is_incomplete_db_ref(doc)
    });
    let predicate = if of_value {
        Predicate::ElemMatchValue(Box::new(operators(&inner, operand.path, doc)?))
    } else {
        Predicate::ElemMatchObject(Box::new(Parser::document(&inner, doc)?))
    };
    Ok(operand.leaf(predicate))
}

fn size(operand: &Operand<'_>) -> Result<Node> {
    let complain = |what: &str| {
        Err(Error::bad_value(format!(
            "Failed to parse $size. {what} in: $size: {:?}",
            operand.value
        )))
    };
    match exact_integer(operand.value) {
        Ok(value) if value < 0 => complain("Expected a non-negative number"),
        Ok(value) => match u32::try_from(value) {
            Ok(size) if i32::try_from(value).is_ok() => Ok(operand.leaf(Predicate::Size(size))),
            _ => complain("Cannot represent as an int"),
        },
        Err(NotInteger::Type) => complain("Expected a number"),
        Err(NotInteger::Nan) => complain("Expected an integer, but found NaN"),
        Err(NotInteger::Fraction) => complain("Expected an integer"),
        Err(NotInteger::Range) => complain("Cannot represent as a 64-bit integer"),
    }
}
