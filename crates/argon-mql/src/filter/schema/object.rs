//! Keywords about documents. The names in them are dotted paths, except to `additionalProperties` and
//! `patternProperties`, which look at the names of the document's own fields.

use bytes::Bytes;

use crate::path::{LeafArray, Path};
use crate::regex::Regex;
use crate::value::{Doc, ValueRef};
use crate::{Error, Result};

use super::{AdditionalProperties, Check, Count, Dependency, Given, Keyword, Schema};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "properties",
        parse: properties,
    },
    Keyword {
        name: "additionalProperties",
        parse: additional_properties,
    },
    Keyword {
        name: "patternProperties",
        parse: pattern_properties,
    },
    Keyword {
        name: "required",
        parse: required,
    },
    Keyword {
        name: "minProperties",
        parse: |given| Ok(Some(Check::PropertyCount(Count::AtLeast(given.count()?)))),
    },
    Keyword {
        name: "maxProperties",
        parse: |given| Ok(Some(Check::PropertyCount(Count::AtMost(given.count()?)))),
    },
    Keyword {
        name: "dependencies",
        parse: dependencies,
    },
];

impl Check {
    pub(super) fn holds_properties(&self, doc: Doc<'_>) -> bool {
        match self {
            Check::PropertyCount(count) => count.allows(doc.iter().count()),
            Check::Required(paths) => paths.iter().all(|path| exists(path, doc)),
            Check::Properties(list) => list
                .iter()
                .all(|(path, schema)| !exists(path, doc) || schema.holds_at(path, doc)),
            Check::AdditionalProperties(additional) => additional
                .of(doc)
                .all(|(_, value)| additional.allows(value)),
            Check::PatternProperties(list) => doc.iter().all(|field| {
                list.iter().all(|(pattern, schema)| {
                    !pattern.is_match(field.key()) || schema.holds(field.value())
                })
            }),
            Check::Dependencies(list) => list
                .iter()
                .all(|(path, dependency)| !exists(path, doc) || dependency.holds(doc)),
            _ => true,
        }
    }
}

impl Schema {
    /// Whether what `path` leads to in `doc` satisfies it.
    pub(super) fn holds_at(&self, path: &Path, doc: Doc<'_>) -> bool {
        if let Some(name) = path.single() {
            return self.holds(name.find(doc));
        }
        self.rules.iter().all(|rule| {
            path.any(doc, LeafArray::Whole, &mut |value, _| {
                rule.check.holds(value)
            })
        })
    }
}

impl AdditionalProperties {
    /// The fields of `doc` that it is about.
    pub(super) fn of<'d>(&self, doc: Doc<'d>) -> impl Iterator<Item = (&'d [u8], ValueRef<'d>)> {
        doc.iter()
            .filter(|field| {
                let name: &[u8] = field.key();
                !self.named.iter().any(|named| **named == *name)
                    && !self.patterns.iter().any(|pattern| pattern.is_match(name))
            })
            .map(|field| (&**field.key(), field.value()))
    }

    pub(super) fn allows(&self, value: ValueRef<'_>) -> bool {
        self.schema
            .as_ref()
            .is_some_and(|schema| schema.holds(value))
    }
}

impl Dependency {
    pub(super) fn holds(&self, doc: Doc<'_>) -> bool {
        match self {
            Dependency::Properties(paths) => paths.iter().all(|path| exists(path, doc)),
            Dependency::Schema(schema) => schema.holds(ValueRef::Document(doc)),
        }
    }
}

/// Whether `path` leads to something in `doc`.
pub(super) fn exists(path: &Path, doc: Doc<'_>) -> bool {
    path.any(doc, LeafArray::Whole, &mut |value, _| {
        !matches!(value, ValueRef::Missing)
    })
}

fn required(given: &Given<'_>) -> Result<Option<Check>> {
    let mut names = Vec::new();
    for item in given.array()?.values() {
        let ValueRef::String(name) = item else {
            return given.mismatch(&format!(
                "must be an array of strings, but found an element of type: {}",
                item.type_name()
            ));
        };
        if names.contains(&name) {
            return given.refuse("array cannot contain duplicate values");
        }
        names.push(name);
    }
    if names.is_empty() {
        return given.refuse("cannot be an empty array");
    }
    Ok(Some(Check::Required(names.iter().map(Path::new).collect())))
}

fn properties(given: &Given<'_>) -> Result<Option<Check>> {
    let list = given
        .document()?
        .iter()
        .map(|field| match field.value() {
            ValueRef::Document(doc) => Ok((Path::new(field.key()), Schema::parse(doc, false)?)),
            _ => Err(Error::type_mismatch(format!(
                "Nested schema for $jsonSchema property '{}' must be an object",
                field.key()
            ))),
        })
        .collect::<Result<_>>()?;
    Ok(Some(Check::Properties(list)))
}

fn pattern_properties(given: &Given<'_>) -> Result<Option<Check>> {
    Ok(Some(Check::PatternProperties(patterns(given.document()?)?)))
}

fn patterns(doc: Doc<'_>) -> Result<Vec<(Regex, Schema)>> {
    doc.iter()
        .map(|field| {
            let ValueRef::Document(schema) = field.value() else {
                return Err(Error::type_mismatch(format!(
                    "$jsonSchema keyword 'patternProperties' has property '{}' which is not an object",
                    field.key()
                )));
            };
            let schema = Schema::parse(schema, false)?;
            let regex = Regex::new(field.key(), "".into())
                .map_err(|error| Error::bad_value(error.message()))?;
            Ok((regex, schema))
        })
        .collect()
}

fn additional_properties(given: &Given<'_>) -> Result<Option<Check>> {
    let schema = match given.value {
        ValueRef::Bool(true) => return Ok(None),
        ValueRef::Bool(false) => None,
        ValueRef::Document(doc) => Some(Schema::parse(doc, false)?),
        _ => return given.mismatch("must be an object or a boolean"),
    };
    let sibling = |keyword: &str| match given.schema.get(keyword) {
        Some(ValueRef::Document(doc)) => doc,
        _ => Doc::EMPTY,
    };
    let named = sibling("properties")
        .iter()
        .map(|field| Bytes::copy_from_slice(field.key()))
        .collect();
    let patterns = patterns(sibling("patternProperties"))?
        .into_iter()
        .map(|(pattern, _)| pattern)
        .collect();
    Ok(Some(Check::AdditionalProperties(Box::new(
        AdditionalProperties {
            named,
            patterns,
            schema,
        },
    ))))
}

fn dependencies(given: &Given<'_>) -> Result<Option<Check>> {
    let mut list = Vec::new();
    for field in given.document()?.iter() {
        let name = field.key();
        let dependency = match field.value() {
            ValueRef::Document(doc) => Dependency::Schema(Schema::parse(doc, given.root)?),
            ValueRef::Array(array) => Dependency::Properties(dependent(name, array)?),
            _ => {
                return Err(Error::type_mismatch(format!(
                    "property '{name}' in $jsonSchema keyword 'dependencies' must be either an object or an array"
                )));
            }
        };
        list.push((Path::new(name), dependency));
    }
    Ok(Some(Check::Dependencies(list)))
}

/// The properties that the presence of `name` demands.
fn dependent(name: &bstr::BStr, array: Doc<'_>) -> Result<Vec<Path>> {
    let mut names = Vec::new();
    for item in array.values() {
        let ValueRef::String(dependent) = item else {
            return Err(Error::type_mismatch(format!(
                "array '{name}' in $jsonSchema keyword 'dependencies' can only contain strings, but found element of type: {}",
                item.type_name()
            )));
        };
        if names.contains(&dependent) {
            return Err(Error::failed_to_parse(format!(
                "array '{name}' in $jsonSchema keyword 'dependencies' contains duplicate element: {dependent}"
            )));
        }
        names.push(dependent);
    }
    if names.is_empty() {
        return Err(Error::failed_to_parse(format!(
            "property '{name}' in $jsonSchema keyword 'dependencies' cannot be an empty array"
        )));
    }
    Ok(names.iter().map(Path::new).collect())
}
