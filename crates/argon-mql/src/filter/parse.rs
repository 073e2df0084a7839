//! From a filter document to its tree: which keys are operators, and the tables of them.

use bstr::BStr;

use crate::catalogue::Entry;
use crate::path::Path;
use crate::regex::Regex;
use crate::value::{Doc, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

use super::comparison::{CompareOp, compare};
use super::tree::{Leaf, Node, Predicate};
use super::{array, bitwise, comparison, element, evaluation, geo, logical, schema};

/// An operator on the values of a field: `{field: {$name: operand}}`.
pub(super) struct FieldOp {
    pub(super) name: &'static str,
    parse: fn(&Operand<'_>) -> Result<Node>,
    /// The error it is refused with, if it is only known by name.
    refused: Option<ErrorCode>,
}

impl FieldOp {
    pub(super) const fn new(
        name: &'static str,
        parse: fn(&Operand<'_>) -> Result<Node>,
    ) -> FieldOp {
        FieldOp {
            name,
            parse,
            refused: None,
        }
    }

    /// An operator that is known and refused: `parse` finds what else is wrong, and fails with `code` in the end.
    pub(super) const fn refused(
        name: &'static str,
        code: ErrorCode,
        parse: fn(&Operand<'_>) -> Result<Node>,
    ) -> FieldOp {
        FieldOp {
            name,
            parse,
            refused: Some(code),
        }
    }
}

/// An operator on the whole document: `{$name: operand}`.
pub(super) struct TopOp {
    pub(super) name: &'static str,
    /// Gives nothing if the operator is no condition (`$comment`).
    parse: fn(&TopOperand<'_>) -> Result<Option<Node>>,
    /// The error it is refused with, if it is only known by name.
    refused: Option<ErrorCode>,
}

impl TopOp {
    pub(super) const fn new(
        name: &'static str,
        parse: fn(&TopOperand<'_>) -> Result<Option<Node>>,
    ) -> TopOp {
        TopOp {
            name,
            parse,
            refused: None,
        }
    }

    /// As [`FieldOp::refused`].
    pub(super) const fn refused(
        name: &'static str,
        code: ErrorCode,
        parse: fn(&TopOperand<'_>) -> Result<Option<Node>>,
    ) -> TopOp {
        TopOp {
            name,
            parse,
            refused: Some(code),
        }
    }
}

/// All operators on fields, category by category.
const FIELD_OPS: &[&[FieldOp]] = &[
    array::OPS,
    bitwise::OPS,
    comparison::OPS,
    element::OPS,
    evaluation::OPS,
    geo::OPS,
    logical::OPS,
];

/// All operators on documents, category by category.
const TOP_OPS: &[&[TopOp]] = &[evaluation::TOP, logical::TOP, schema::TOP];

/// All operators, those on fields first.
pub fn entries() -> impl Iterator<Item = Entry> {
    let on_fields = FIELD_OPS.iter().flat_map(|ops| ops.iter());
    let on_documents = TOP_OPS.iter().flat_map(|ops| ops.iter());
    let on_fields = on_fields.map(|op| (op.name, op.refused));
    on_fields
        .chain(on_documents.map(|op| (op.name, op.refused)))
        .map(|(name, refused)| Entry { name, refused })
}

/// The operator on fields called `name`.
pub(super) fn field_op(name: &BStr) -> Option<&'static FieldOp> {
    FIELD_OPS.iter().find_map(|ops| {
        let at = ops
            .binary_search_by(|op| op.name.as_bytes().cmp(name))
            .ok()?;
        Some(&ops[at])
    })
}

/// The operator on documents called `name`.
pub(super) fn top_op(name: &BStr) -> Option<&'static TopOp> {
    TOP_OPS.iter().find_map(|ops| {
        let at = ops
            .binary_search_by(|op| op.name.as_bytes().cmp(name))
            .ok()?;
        Some(&ops[at])
    })
}

/// Where in a filter the parse is.
#[derive(Clone, Copy)]
pub(super) struct Parser<'a> {
    pub(super) cx: &'a ParseContext,
    /// Whether the conditions are on the whole document, not on an item of an array in it.
    pub(super) top: bool,
}

/// What an operator on a field gets to parse.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) parser: &'a Parser<'a>,
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) value: ValueRef<'a>,
    /// The document in which the operator stands.
    pub(super) siblings: Doc<'a>,
}

impl Operand<'_> {
    /// A condition on the field.
    pub(super) fn leaf(&self, predicate: Predicate) -> Node {
        Node::Leaf(Leaf {
            path: self.path.clone(),
            predicate,
        })
    }
}

/// What an operator on documents gets to parse.
pub(super) struct TopOperand<'a> {
    pub(super) parser: &'a Parser<'a>,
    pub(super) name: &'a str,
    pub(super) value: ValueRef<'a>,
}

impl TopOperand<'_> {
    /// Refuses the operator inside `$elemMatch`.
    pub(super) fn only_at_top(&self) -> Result<()> {
        if self.parser.top {
            return Ok(());
        }
        Err(Error::bad_value(format!(
            "{} can only be applied to the top-level document",
            self.name
        )))
    }
}

impl Parser<'_> {
    /// Parses a filter: conditions on fields and operators on the document.
    pub(super) fn document(&self, doc: Doc<'_>) -> Result<Node> {
        let mut nodes = Vec::new();
        for element in doc.iter() {
            let key = element.key();
            let value = element.value();
            if !key.starts_with(b"$") {
                nodes.push(self.field(&Path::new(key), value)?);
                continue;
            }
            if matches!(&**key, b"$ref" | b"$id" | b"$db") {
                // Part of a database reference, which is compared with as it stands.
                nodes.push(self.equality(&Path::new(key), value)?);
                continue;
            }
            let Some(op) = top_op(key) else {
                return Err(unknown_top(key));
            };
            let operand = TopOperand {
                parser: self,
                name: op.name,
                value,
            };
            nodes.extend((op.parse)(&operand)?);
        }
        Ok(Node::and(nodes))
    }

    /// Parses the condition on one field: a value, a regular expression, or operators.
    fn field(&self, path: &Path, value: ValueRef<'_>) -> Result<Node> {
        match value {
            ValueRef::Document(doc) if is_operator_document(doc) => operators(self, path, doc),
            ValueRef::Regex { pattern, options } => Ok(Node::Leaf(Leaf {
                path: path.clone(),
                predicate: Predicate::Regex(Box::new(Regex::new(pattern, options)?)),
            })),
            _ => self.equality(path, value),
        }
    }

    fn equality(&self, path: &Path, value: ValueRef<'_>) -> Result<Node> {
        compare(
            CompareOp::Eq,
            &Operand {
                parser: self,
                path,
                name: "$eq",
                value,
                siblings: Doc::EMPTY,
            },
        )
    }
}

/// Parses the operators of one field, all of which must hold.
pub(super) fn operators(parser: &Parser<'_>, path: &Path, doc: Doc<'_>) -> Result<Node> {
    let mut nodes = Vec::new();
    for element in doc.iter() {
        let key = element.key();
        let Some(op) = field_op(key) else {
            if key == "$where" {
                return Err(Error::bad_value("$where cannot be applied to a field"));
            }
            return Err(Error::bad_value(format!("unknown operator: {key}")));
        };
        nodes.push((op.parse)(&Operand {
            parser,
            path,
            name: op.name,
            value: element.value(),
            siblings: doc,
        })?);
    }
    Ok(Node::and(nodes))
}

/// Whether `doc`, as the value of a field, is a set of operators and not a value to compare with: its first key starts
/// with `$`, and it is no database reference.
pub(super) fn is_operator_document(doc: Doc<'_>) -> bool {
    let Some(first) = doc.iter().next() else {
        return false;
    };
    let is_reference = || doc.get("$ref").is_some() && doc.get("$id").is_some();
    first.key().starts_with(b"$") && !is_reference()
}

/// Whether `doc` has any of the keys of a database reference.
pub(super) fn is_incomplete_db_ref(doc: Doc<'_>) -> bool {
    ["$ref", "$id", "$db"]
        .iter()
        .any(|key| doc.get(key).is_some())
}

#[cold]
fn unknown_top(key: &BStr) -> Error {
    let advice = if key == "$not" {
        "If you are trying to negate an entire expression, use $nor."
    } else {
        "If you have a field name that starts with a '$' symbol, consider using $getField or $setField."
    };
    Error::bad_value(format!("unknown top level operator: {key}. {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_names_unique() {
        for ops in FIELD_OPS {
            assert!(ops.is_sorted_by(|a, b| a.name < b.name));
        }
        for ops in TOP_OPS {
            assert!(ops.is_sorted_by(|a, b| a.name < b.name));
        }
        let mut names: Vec<_> = FIELD_OPS
            .iter()
            .flat_map(|ops| ops.iter())
            .map(|op| op.name)
            .collect();
        names.extend(TOP_OPS.iter().flat_map(|ops| ops.iter()).map(|op| op.name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
