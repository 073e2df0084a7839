//! Keywords about arrays.

use crate::Result;
use crate::value::{Doc, ValueRef};

use super::equality::first_duplicate;
use super::{Check, Count, Given, Keyword, Schema};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "minItems",
        parse: |given| Ok(Some(Check::ItemCount(Count::AtLeast(given.count()?)))),
    },
    Keyword {
        name: "maxItems",
        parse: |given| Ok(Some(Check::ItemCount(Count::AtMost(given.count()?)))),
    },
    Keyword {
        name: "uniqueItems",
        parse: unique_items,
    },
    Keyword {
        name: "items",
        parse: items,
    },
    Keyword {
        name: "additionalItems",
        parse: additional_items,
    },
];

impl Check {
    pub(super) fn holds_items(&self, array: Doc<'_>) -> bool {
        let mut items = array.values();
        match self {
            Check::ItemCount(count) => count.allows(items.count()),
            Check::UniqueItems => first_duplicate(array).is_none(),
            Check::Items(schema) => items.all(|item| schema.holds(item)),
            Check::ItemList(schemas) => items.zip(schemas).all(|(item, schema)| schema.holds(item)),
            Check::AdditionalItems(from, Some(schema)) => {
                items.skip(*from).all(|item| schema.holds(item))
            }
            Check::AdditionalItems(from, None) => items.nth(*from).is_none(),
            _ => true,
        }
    }
}

fn unique_items(given: &Given<'_>) -> Result<Option<Check>> {
    match given.value {
        ValueRef::Bool(unique) => Ok(unique.then_some(Check::UniqueItems)),
        _ => given.mismatch("must be a boolean"),
    }
}

fn items(given: &Given<'_>) -> Result<Option<Check>> {
    match given.value {
        ValueRef::Document(doc) => {
            let schema = Schema::parse(doc, false)?;
            Ok(Some(Check::Items(Box::new(schema))))
        }
        ValueRef::Array(array) => {
            let schemas = array
                .values()
                .map(|item| match item {
                    ValueRef::Document(doc) => Schema::parse(doc, false),
                    _ => given.mismatch(&format!(
                        "requires that each element of the array is an object, but found a {}",
                        item.type_name()
                    )),
                })
                .collect::<Result<_>>()?;
            Ok(Some(Check::ItemList(schemas)))
        }
        _ => given.mismatch(&format!(
            "must be an array or an object, not {}",
            given.value.type_name()
        )),
    }
}

/// Says something only beside a list in `items`.
fn additional_items(given: &Given<'_>) -> Result<Option<Check>> {
    let schema = match given.value {
        ValueRef::Bool(allowed) => (!allowed).then_some(None),
        ValueRef::Document(doc) => Some(Some(Box::new(Schema::parse(doc, false)?))),
        _ => {
            return given.mismatch(&format!(
                "must be either an object or a boolean, but got a {}",
                given.value.type_name()
            ));
        }
    };
    let Some(ValueRef::Array(list)) = given.schema.get("items") else {
        return Ok(None);
    };
    let from = list.iter().count();
    Ok(schema.map(|schema| Check::AdditionalItems(from, schema)))
}
