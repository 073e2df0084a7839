//! Keywords about types, numbers and strings.

use crate::filter::comparison::{Compare, CompareOp};
use crate::filter::element::type_of;
use crate::filter::tree::TypeSet;
use crate::regex::Regex;
use crate::value::{BsonType, Decimal, Doc, Number, Value, ValueRef};
use crate::{Error, Result};

use super::{Check, Count, Given, Keyword};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "multipleOf",
        parse: multiple_of,
    },
    Keyword {
        name: "maximum",
        parse: maximum,
    },
    Keyword {
        name: "minimum",
        parse: minimum,
    },
    Keyword {
        name: "pattern",
        parse: pattern,
    },
    Keyword {
        name: "maxLength",
        parse: |given| Ok(Some(Check::Length(Count::AtMost(given.count()?)))),
    },
    Keyword {
        name: "minLength",
        parse: |given| Ok(Some(Check::Length(Count::AtLeast(given.count()?)))),
    },
];

pub(super) const TYPES: &[Keyword] = &[
    Keyword {
        name: "bsonType",
        parse: bson_type,
    },
    Keyword {
        name: "type",
        parse: json_type,
    },
];

/// The types of JSON by name, sorted.
const JSON_TYPES: &[(&str, &[BsonType])] = &[
    ("array", &[BsonType::Array]),
    ("boolean", &[BsonType::Bool]),
    ("null", &[BsonType::Null]),
    ("number", crate::filter::element::NUMBERS),
    ("object", &[BsonType::Document]),
    ("string", &[BsonType::String]),
];

/// The keyword that modifies `keyword`, if one does.
pub(super) fn modifier_of(keyword: &str) -> Option<&'static str> {
    match keyword {
        "maximum" => Some("exclusiveMaximum"),
        "minimum" => Some("exclusiveMinimum"),
        _ => None,
    }
}

/// Refuses a modifier whose keyword is absent.
pub(super) fn refuse_lone_modifier(keyword: &str, schema: Doc<'_>) -> Result<()> {
    match modifier_of(keyword) {
        Some(modifier) if schema.get(modifier).is_some() => Err(Error::failed_to_parse(format!(
            "$jsonSchema keyword '{keyword}' must be a present if {modifier} is present"
        ))),
        _ => Ok(()),
    }
}

/// The number of characters; bytes that begin none count with the one before.
pub(super) fn characters(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

/// Whether `value`, a number, is a multiple of `divisor`, reckoned in decimal.
pub(super) fn is_multiple(value: ValueRef<'_>, divisor: Decimal) -> bool {
    Number::from_value(value).is_some_and(|number| number.to_decimal().remainder(divisor).is_zero())
}

fn multiple_of(given: &Given<'_>) -> Result<Option<Check>> {
    let Some(number) = Number::from_value(given.value) else {
        return given.mismatch("must be a number");
    };
    if number.is_zero() || number.is_negative() {
        return given.refuse("must have a positive value");
    }
    if given.root {
        return Ok(None);
    }
    if number.is_nan() {
        return Err(Error::bad_value("divisor cannot be NaN"));
    }
    if !number.is_finite() {
        return Err(Error::bad_value("divisor cannot be infinite"));
    }
    Ok(Some(Check::MultipleOf(number.to_decimal())))
}

fn maximum(given: &Given<'_>) -> Result<Option<Check>> {
    bound(given, CompareOp::Lte, CompareOp::Lt)
}

fn minimum(given: &Given<'_>) -> Result<Option<Check>> {
    bound(given, CompareOp::Gte, CompareOp::Gt)
}

fn bound(given: &Given<'_>, inclusive: CompareOp, exclusive: CompareOp) -> Result<Option<Check>> {
    if !given.value.is_number() {
        return given.mismatch("must be a number");
    }
    let modifier = modifier_of(given.name).and_then(|modifier| given.schema.get(modifier));
    let op = match modifier {
        None | Some(ValueRef::Bool(false)) => inclusive,
        Some(ValueRef::Bool(true)) => exclusive,
        Some(_) => {
            return Err(Error::type_mismatch(format!(
                "$jsonSchema keyword '{}' must be a boolean",
                modifier_of(given.name).unwrap_or_default()
            )));
        }
    };
    Ok(Some(Check::Bound(Compare::new(
        op,
        Value::copy_of(given.value),
    ))))
}

fn pattern(given: &Given<'_>) -> Result<Option<Check>> {
    let ValueRef::String(pattern) = given.value else {
        return given.mismatch("must be a string");
    };
    if given.root {
        // mongod does not look at it where it can never apply.
        return Ok(None);
    }
    Ok(Some(Check::Pattern(Regex::new(pattern, "".into())?)))
}

fn bson_type(given: &Given<'_>) -> Result<Option<Check>> {
    types(given, |name| type_of(ValueRef::String(name.into())))
}

fn json_type(given: &Given<'_>) -> Result<Option<Check>> {
    types(given, |name| {
        JSON_TYPES
            .binary_search_by(|row| row.0.cmp(name))
            .map(|at| TypeSet::of(JSON_TYPES[at].1))
            .map_err(|_| Error::bad_value(format!("Unknown type name alias: {name}")))
    })
}

fn types(given: &Given<'_>, named: fn(&str) -> Result<TypeSet>) -> Result<Option<Check>> {
    let mut set = TypeSet::default();
    let mut add = |name: &str| -> Result<()> {
        if name == "integer" {
            return Err(Error::failed_to_parse(
                "$jsonSchema type 'integer' is not currently supported.",
            ));
        }
        set.extend(named(name)?);
        Ok(())
    };
    match given.value {
        ValueRef::String(name) => add(&name.to_string())?,
        ValueRef::Array(names) => {
            let mut seen = Vec::new();
            for item in names.values() {
                let ValueRef::String(name) = item else {
                    return given.mismatch("array elements must be strings");
                };
                if seen.contains(&name) {
                    return given.refuse(&format!("has duplicate value: {name}"));
                }
                seen.push(name);
            }
            if seen.is_empty() {
                return given.refuse("must name at least one type");
            }
            for name in seen {
                add(&name.to_string())?;
            }
        }
        _ => return given.mismatch("must be either a string or an array of strings"),
    }
    Ok(Some(Check::Types(set)))
}
