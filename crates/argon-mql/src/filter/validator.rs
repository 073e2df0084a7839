//! Filters that validate the documents of a collection: some operators are refused there.
//!
//! Source: MongoDB manual, "Specify Validation With Query Operators".

use crate::value::{Doc, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

use super::Filter;
use super::tree::Node;

/// The code of "no globalScriptEngine", which a find of `$where` gets.
const NO_SCRIPTS: ErrorCode = ErrorCode::location(6_108_304);

impl Filter {
    /// Parses the `validator` of a collection.
    ///
    /// # Errors
    /// Those of [`parse`](Filter::parse), and for operators that cannot stand in a validator: `BadValue` for `$text` and
    /// `$where`, 5626500 for `$near` and its like, 3040500 for what draws random numbers.
    pub fn parse_validator(doc: Doc<'_>, cx: &ParseContext) -> Result<Filter> {
        let filter = Filter::parse(doc, cx).map_err(refusal)?;
        if draws(filter.root()) {
            return Err(Error::location(
                3_040_500,
                "$rand not allowed inside collection validators",
            ));
        }
        Ok(filter)
    }
}

/// What a find refuses with one code, a validator refuses with another.
fn refusal(error: Error) -> Error {
    match error.code() {
        NO_SCRIPTS => Error::bad_value("$where is not allowed in this context"),
        ErrorCode::IndexNotFound => Error::bad_value("$text is not allowed in this context"),
        ErrorCode::NoQueryExecutionPlans => Error::location(
            5_626_500,
            "$geoNear, $near, and $nearSphere are not allowed in this context",
        ),
        _ => error,
    }
}

/// Whether the answer may differ from one time to the next.
fn draws(node: &Node) -> bool {
    match node {
        Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => nodes.iter().any(draws),
        Node::Not(node) => draws(node),
        Node::SampleRate(_) => true,
        Node::Expr(expr) => calls_rand(expr.source.as_ref()),
        Node::Leaf(_) | Node::Schema(_) | Node::Always(_) => false,
    }
}

/// Whether an expression as written calls `$rand`.
fn calls_rand(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Document(doc) => doc.iter().any(|field| match &**field.key() {
            b"$rand" => true,
            b"$literal" | b"$const" => false,
            _ => calls_rand(field.value()),
        }),
        ValueRef::Array(array) => array.values().any(calls_rand),
        _ => false,
    }
}
