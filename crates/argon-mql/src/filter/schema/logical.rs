//! Keywords that combine schemas, and `enum`.

use crate::value::{Value, ValueRef};
use crate::{Error, Result};

use super::equality::compare_unordered;
use super::{Check, Given, Keyword, Schema};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "allOf",
        parse: |given| Ok(Some(Check::AllOf(schemas(given)?))),
    },
    Keyword {
        name: "anyOf",
        parse: |given| Ok(Some(Check::AnyOf(schemas(given)?))),
    },
    Keyword {
        name: "oneOf",
        parse: |given| Ok(Some(Check::OneOf(schemas(given)?))),
    },
    Keyword {
        name: "not",
        parse: not,
    },
    Keyword {
        name: "enum",
        parse: enum_,
    },
];

fn schemas(given: &Given<'_>) -> Result<Vec<Schema>> {
    let ValueRef::Array(array) = given.value else {
        return given.mismatch("must be an array");
    };
    if array.is_empty() {
        return Err(Error::bad_value(format!(
            "$jsonSchema keyword '{}' must be a non-empty array",
            given.name
        )));
    }
    array
        .values()
        .map(|item| match item {
            ValueRef::Document(doc) => Schema::parse(doc, given.root),
            _ => given.mismatch(&format!(
                "must be an array of objects, but found an element of type {}",
                item.type_name()
            )),
        })
        .collect()
}

fn not(given: &Given<'_>) -> Result<Option<Check>> {
    let ValueRef::Document(doc) = given.value else {
        return given.mismatch(&format!(
            "must be an object, but found an element of type {}",
            given.value.type_name()
        ));
    };
    let schema = Schema::parse(doc, given.root)?;
    Ok(Some(Check::Not(Box::new(schema))))
}

fn enum_(given: &Given<'_>) -> Result<Option<Check>> {
    let mut values: Vec<Value> = given.array()?.values().map(Value::copy_of).collect();
    if values.is_empty() {
        return given.refuse("cannot be an empty array");
    }
    let order = |a: &Value, b: &Value| compare_unordered(a.as_ref(), b.as_ref());
    values.sort_by(order);
    if values
        .windows(2)
        .any(|pair| order(&pair[0], &pair[1]).is_eq())
    {
        return given.refuse("array cannot contain duplicate values.");
    }
    Ok(Some(Check::Enum(values)))
}
