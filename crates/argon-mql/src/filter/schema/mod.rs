//! `$jsonSchema`: JSON Schema, draft 4, as MongoDB extends and narrows it.
//!
//! A schema is a list of rules, one per keyword. A rule speaks about values of some types and lets all others pass;
//! `type` and `bsonType` are rules like the rest. Arrays are never taken apart, except by the keywords about items.
//!
//! `encrypt` and `encryptMetadata` are recognised and refused: they belong to client-side encryption.
//!
//! Source: MongoDB manual, "$jsonSchema".

mod array;
mod equality;
mod logical;
mod object;
mod reason;
mod scalar;

use bytes::Bytes;

use crate::catalogue::Entry;
use crate::path::Path;
use crate::regex::Regex;
use crate::value::{BsonType, Decimal, Doc, DocBuf, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

use super::comparison::Compare;
use super::number::{NotInteger, exact_integer};
use super::parse::{TopOp, TopOperand};
use super::tree::{Node, TypeSet};

pub(super) const TOP: &[TopOp] = &[TopOp::new("$jsonSchema", json_schema)];

/// A parsed schema.
#[derive(Clone, Debug)]
pub struct Schema {
    rules: Vec<Rule>,
    /// `title` and `description`, as reports of a failure repeat them.
    annotations: Bytes,
    /// The schema as written.
    source: Bytes,
    /// Whether it is one of whole documents that asks for another type.
    impossible: bool,
}

/// What one keyword demands.
#[derive(Clone, Debug)]
struct Rule {
    keyword: &'static str,
    /// The keyword as written, with the one that modifies it, as reports of a failure repeat it.
    specified: Bytes,
    /// Whether it is about whole documents.
    root: bool,
    check: Check,
}

#[derive(Clone, Debug)]
enum Check {
    Types(TypeSet),
    Enum(Vec<Value>),
    Bound(Compare),
    MultipleOf(Decimal),
    Pattern(Regex),
    Length(Count),
    ItemCount(Count),
    UniqueItems,
    /// All items.
    Items(Box<Schema>),
    /// Item by item.
    ItemList(Vec<Schema>),
    /// Items from this position on; `None` allows none.
    AdditionalItems(usize, Option<Box<Schema>>),
    PropertyCount(Count),
    Required(Vec<Path>),
    Properties(Vec<(Path, Schema)>),
    AdditionalProperties(Box<AdditionalProperties>),
    PatternProperties(Vec<(Regex, Schema)>),
    Dependencies(Vec<(Path, Dependency)>),
    AllOf(Vec<Schema>),
    AnyOf(Vec<Schema>),
    OneOf(Vec<Schema>),
    Not(Box<Schema>),
}

/// A bound on a count.
#[derive(Clone, Copy, Debug)]
enum Count {
    AtLeast(u64),
    AtMost(u64),
}

impl Count {
    fn allows(self, count: usize) -> bool {
        let count = count as u64;
        match self {
            Count::AtLeast(bound) => count >= bound,
            Count::AtMost(bound) => count <= bound,
        }
    }
}

/// What the properties must be that neither `properties` nor `patternProperties` names.
#[derive(Clone, Debug)]
struct AdditionalProperties {
    named: Vec<Bytes>,
    patterns: Vec<Regex>,
    /// `None` allows none.
    schema: Option<Schema>,
}

/// What the presence of a property demands.
#[derive(Clone, Debug)]
enum Dependency {
    Properties(Vec<Path>),
    Schema(Schema),
}

/// A keyword: what it makes of its operand. Gives nothing where it demands nothing.
struct Keyword {
    name: &'static str,
    parse: fn(&Given<'_>) -> Result<Option<Check>>,
}

/// What a keyword gets to parse.
struct Given<'a> {
    name: &'static str,
    value: ValueRef<'a>,
    /// The schema in which it stands.
    schema: Doc<'a>,
    /// Whether the schema is of the whole document, so that keywords about other types are never asked.
    root: bool,
}

/// All keywords, in the order in which mongod reports that they failed.
const KEYWORDS: &[&[Keyword]] = &[
    scalar::KEYWORDS,
    array::KEYWORDS,
    object::KEYWORDS,
    logical::KEYWORDS,
    scalar::TYPES,
];

/// Keywords of JSON Schema that MongoDB knows and refuses, and those of encryption that Argon refuses. Sorted.
const REFUSED: &[&str] = &[
    "$ref",
    "$schema",
    "default",
    "definitions",
    "encrypt",
    "encryptMetadata",
    "format",
    "id",
];

/// Keywords that only modify others, or say something to people. Sorted.
const SILENT: &[&str] = &[
    "description",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "title",
];

/// The keywords, also those that are refused.
pub fn entries() -> impl Iterator<Item = Entry> {
    let keywords = KEYWORDS.iter().flat_map(|group| group.iter());
    let names = keywords
        .map(|keyword| keyword.name)
        .chain(SILENT.iter().copied());
    let refused = REFUSED.iter().map(|name| Entry {
        name,
        refused: Some(ErrorCode::FailedToParse),
    });
    names.map(Entry::known).chain(refused)
}

fn json_schema(operand: &TopOperand<'_>) -> Result<Option<Node>> {
    let Some(doc) = operand.value.as_document() else {
        return Err(Error::type_mismatch("$jsonSchema must be an object"));
    };
    Ok(Some(Node::Schema(Box::new(Schema::parse(doc, true)?))))
}

impl Schema {
    /// Parses a schema; `root` if it is one of whole documents.
    fn parse(doc: Doc<'_>, root: bool) -> Result<Schema> {
        let known = |name: &[u8]| {
            SILENT.iter().any(|keyword| keyword.as_bytes() == name)
                || KEYWORDS
                    .iter()
                    .flat_map(|group| group.iter())
                    .any(|keyword| keyword.name.as_bytes() == name)
        };
        for element in doc.iter() {
            let name = element.key();
            if REFUSED.iter().any(|keyword| keyword.as_bytes() == &**name) {
                return Err(Error::failed_to_parse(format!(
                    "$jsonSchema keyword '{name}' is not currently supported"
                )));
            }
            if !known(name) {
                return Err(Error::failed_to_parse(format!(
                    "Unknown $jsonSchema keyword: {name}"
                )));
            }
        }
        let annotations = annotations(doc)?;
        if doc.get("type").is_some() && doc.get("bsonType").is_some() {
            return Err(Error::failed_to_parse(
                "Cannot specify both $jsonSchema keywords 'type' and 'bsonType'",
            ));
        }
        let mut rules = Vec::new();
        for keyword in KEYWORDS.iter().flat_map(|group| group.iter()) {
            let Some(value) = doc.get(keyword.name) else {
                scalar::refuse_lone_modifier(keyword.name, doc)?;
                continue;
            };
            let given = Given {
                name: keyword.name,
                value,
                schema: doc,
                root,
            };
            if let Some(check) = (keyword.parse)(&given)? {
                rules.push(Rule {
                    keyword: keyword.name,
                    specified: given.specified(),
                    root,
                    check,
                });
            }
        }
        let impossible = root && rules.iter().any(
            |rule| matches!(rule.check, Check::Types(types) if !types.contains(BsonType::Document)),
        );
        Ok(Schema {
            rules,
            annotations,
            source: Bytes::copy_from_slice(doc.as_bytes()),
            impossible,
        })
    }

    /// The schema as written.
    pub fn source(&self) -> Doc<'_> {
        Doc::new(&self.source)
    }

    /// Whether `value` satisfies it.
    pub(super) fn holds(&self, value: ValueRef<'_>) -> bool {
        self.rules.iter().all(|rule| rule.check.holds(value))
    }
}

impl Check {
    fn holds(&self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Check::Types(types), _) => types.holds(&value),
            (Check::Enum(values), _) => values
                .iter()
                .any(|allowed| equality::compare_unordered(allowed.as_ref(), value).is_eq()),
            (Check::Bound(compare), _) if value.is_number() => compare.test(value),
            (Check::MultipleOf(divisor), _) if value.is_number() => {
                scalar::is_multiple(value, *divisor)
            }
            (Check::Pattern(regex), ValueRef::String(text)) => regex.is_match(text),
            (Check::Length(count), ValueRef::String(text)) => {
                count.allows(scalar::characters(text))
            }
            (Check::AllOf(schemas), _) => schemas.iter().all(|schema| schema.holds(value)),
            (Check::AnyOf(schemas), _) => schemas.iter().any(|schema| schema.holds(value)),
            (Check::OneOf(schemas), _) => {
                schemas.iter().filter(|schema| schema.holds(value)).count() == 1
            }
            (Check::Not(schema), _) => !schema.holds(value),
            (_, ValueRef::Array(items)) => self.holds_items(items),
            (_, ValueRef::Document(doc)) => self.holds_properties(doc),
            _ => true,
        }
    }
}

impl Given<'_> {
    /// Refuses the operand for its type.
    fn mismatch<T>(&self, demand: &str) -> Result<T> {
        Err(Error::type_mismatch(format!(
            "$jsonSchema keyword '{}' {demand}",
            self.name
        )))
    }

    /// Refuses the operand.
    fn refuse<T>(&self, demand: &str) -> Result<T> {
        Err(Error::failed_to_parse(format!(
            "$jsonSchema keyword '{}' {demand}",
            self.name
        )))
    }

    fn array(&self) -> Result<Doc<'_>> {
        match self.value {
            ValueRef::Array(array) => Ok(array),
            _ => self.mismatch(&format!(
                "must be an array, but found an element of type {}",
                self.value.type_name()
            )),
        }
    }

    fn document(&self) -> Result<Doc<'_>> {
        match self.value {
            ValueRef::Document(doc) => Ok(doc),
            _ => self.mismatch("must be an object"),
        }
    }

    /// The operand of a keyword that bounds a count.
    fn count(&self) -> Result<u64> {
        let complain = |what: &str| {
            Err(Error::failed_to_parse(format!(
                "{what}: {}: {:?}",
                self.name, self.value
            )))
        };
        match exact_integer(self.value) {
            Ok(count) => match u64::try_from(count) {
                Ok(count) => Ok(count),
                Err(_) => complain("Expected a non-negative number in"),
            },
            Err(NotInteger::Type) => complain("Expected a number in"),
            Err(NotInteger::Nan) => complain("Expected an integer, but found NaN in"),
            Err(NotInteger::Fraction) => complain("Expected an integer"),
            Err(NotInteger::Range) => complain("Cannot represent as a 64-bit integer"),
        }
    }

    /// The keyword as written, with what modifies it.
    fn specified(&self) -> Bytes {
        let mut doc = DocBuf::new();
        doc.append(self.name, self.value);
        if let Some(modifier) = scalar::modifier_of(self.name)
            && let Some(value) = self.schema.get(modifier)
        {
            doc.append(modifier, value);
        }
        doc.finish()
    }
}

fn annotations(doc: Doc<'_>) -> Result<Bytes> {
    let mut kept = DocBuf::new();
    for keyword in ["title", "description"] {
        match doc.get(keyword) {
            None => {}
            Some(text @ ValueRef::String(_)) => kept.append(keyword, text),
            Some(_) => {
                return Err(Error::type_mismatch(format!(
                    "$jsonSchema keyword '{keyword}' must be of type string"
                )));
            }
        }
    }
    Ok(kept.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_unique_and_other_tables_sorted() {
        let mut names: Vec<_> = KEYWORDS
            .iter()
            .flat_map(|group| group.iter())
            .map(|row| row.name)
            .collect();
        names.extend(REFUSED);
        names.extend(SILENT);
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(REFUSED.is_sorted() && SILENT.is_sorted());
    }
}
