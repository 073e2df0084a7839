//! Element: `$exists`, `$type`.

use crate::catalogue::Entry;
use crate::expr;
use crate::value::{BsonType, Number, ValueRef};
use crate::{Error, Result};

use super::number::exact_integer;
use super::parse::{FieldOp, Operand};
use super::tree::{Node, Predicate, TypeSet};

pub(super) const OPS: &[FieldOp] = &[
    FieldOp::new("$exists", exists),
    FieldOp::new("$type", type_),
];

/// Type names and numbers by which a filter may call a type, sorted by name.
///
/// Source: MongoDB manual, "BSON Types".
pub(super) const TYPES: &[(&str, i32, BsonType)] = &[
    ("array", 4, BsonType::Array),
    ("binData", 5, BsonType::Binary),
    ("bool", 8, BsonType::Bool),
    ("date", 9, BsonType::DateTime),
    ("dbPointer", 12, BsonType::DbPointer),
    ("decimal", 19, BsonType::Decimal128),
    ("double", 1, BsonType::Double),
    ("int", 16, BsonType::Int32),
    ("javascript", 13, BsonType::JavaScript),
    ("javascriptWithScope", 15, BsonType::JavaScriptWithScope),
    ("long", 18, BsonType::Int64),
    ("maxKey", 127, BsonType::MaxKey),
    ("minKey", -1, BsonType::MinKey),
    ("null", 10, BsonType::Null),
    ("object", 3, BsonType::Document),
    ("objectId", 7, BsonType::ObjectId),
    ("regex", 11, BsonType::Regex),
    ("string", 2, BsonType::String),
    ("symbol", 14, BsonType::Symbol),
    ("timestamp", 17, BsonType::Timestamp),
    ("undefined", 6, BsonType::Undefined),
];

/// The names by which a filter may call types.
pub fn entries() -> impl Iterator<Item = Entry> {
    let names = TYPES.iter().map(|(name, ..)| *name);
    names.chain(["number"]).map(Entry::known)
}

/// What the alias `number` stands for.
pub(super) const NUMBERS: &[BsonType] = &[
    BsonType::Double,
    BsonType::Int32,
    BsonType::Int64,
    BsonType::Decimal128,
];

fn exists(operand: &Operand<'_>) -> Result<Node> {
    let wanted = match Number::from_value(operand.value) {
        Some(number) => !number.is_zero(),
        None => expr::truthy(operand.value),
    };
    let found = operand.leaf(Predicate::Exists);
    Ok(if wanted { found } else { Node::not(found) })
}

fn type_(operand: &Operand<'_>) -> Result<Node> {
    let mut types = TypeSet::default();
    match operand.value {
        ValueRef::Array(array) => {
            for item in array.values() {
                types.extend(type_of(item)?);
            }
        }
        value => types.extend(type_of(value)?),
    }
    if types.is_empty() {
        return Err(Error::failed_to_parse(format!(
            "{} must match at least one type",
            operand.path
        )));
    }
    Ok(operand.leaf(Predicate::Type(types)))
}

/// The types that an alias or a number names.
///
/// # Errors
/// `BadValue` for an unknown alias or number, `TypeMismatch` for anything else.
pub(super) fn type_of(value: ValueRef<'_>) -> Result<TypeSet> {
    if let ValueRef::String(name) = value {
        return type_named(&name.to_string());
    }
    if !value.is_number() {
        return Err(Error::type_mismatch(
            "type must be represented as a number or a string",
        ));
    }
    let number = exact_integer(value).ok();
    if number == Some(0) {
        return Err(Error::bad_value(
            "Invalid numerical type code: 0. Instead use {$exists:false}.",
        ));
    }
    TYPES
        .iter()
        .find(|row| number == Some(i64::from(row.1)))
        .map(|row| TypeSet::of(&[row.2]))
        .ok_or_else(|| Error::bad_value(format!("Invalid numerical type code: {value:?}")))
}

fn type_named(name: &str) -> Result<TypeSet> {
    if name == "number" {
        return Ok(TypeSet::of(NUMBERS));
    }
    if name == "missing" {
        return Err(Error::bad_value(
            "'missing' is not a legal type name. To query for non-existence of a field, use {$exists:false}.",
        ));
    }
    TYPES
        .binary_search_by(|row| row.0.cmp(name))
        .map(|at| TypeSet::of(&[TYPES[at].2]))
        .map_err(|_| Error::bad_value(format!("Unknown type name alias: {name}")))
}
