//! Logical: `$and`, `$nor`, `$or` over whole filters, `$not` over the operators of one field.

use crate::regex::Regex;
use crate::value::ValueRef;
use crate::{Error, Result};

use super::parse::{FieldOp, Operand, Parser, TopOp, TopOperand, operators};
use super::tree::{Node, Predicate};

pub(super) const OPS: &[FieldOp] = &[FieldOp::new("$not", not)];

pub(super) const TOP: &[TopOp] = &[
    TopOp::new("$and", |operand| Ok(Some(Node::and(list(operand)?)))),
    TopOp::new("$nor", |operand| Ok(Some(Node::nor(list(operand)?)))),
    TopOp::new("$or", |operand| Ok(Some(Node::or(list(operand)?)))),
];

fn list(operand: &TopOperand<'_>) -> Result<Vec<Node>> {
    let Some(array) = operand.value.as_array() else {
        return Err(Error::bad_value(format!(
            "{} must be an array",
            operand.name
        )));
    };
    if array.is_empty() {
        return Err(Error::bad_value("$and/$or/$nor must be a nonempty array"));
    }
    array
        .values()
        .map(|item| match item.as_document() {
            Some(doc) => Parser::document(operand.parser, doc),
            None => Err(Error::bad_value(
                "$or/$and/$nor entries need to be full objects",
            )),
        })
        .collect()
}

fn not(operand: &Operand<'_>) -> Result<Node> {
    let inner = match operand.value {
        ValueRef::Regex { pattern, options } => {
            operand.leaf(Predicate::Regex(Box::new(Regex::new(pattern, options)?)))
        }
        ValueRef::Document(doc) if doc.is_empty() => {
            return Err(Error::bad_value("$not cannot be empty"));
        }
        ValueRef::Document(doc) => operators(operand.parser, operand.path, doc)?,
        _ => return Err(Error::bad_value("$not needs a regex or a document")),
    };
    Ok(Node::not(inner))
}
