//! Why a document does not satisfy a schema: the `details` of a failed validation.

use crate::filter::element::NUMBERS;
use crate::path::{LeafArray, Path};
use crate::value::{BsonType, Doc, DocBuf, Value, ValueRef};

use super::equality::first_duplicate;
use super::object::exists;
use super::{Check, Dependency, Rule, Schema};

impl Schema {
    /// Appends `title` and `description`.
    pub(in crate::filter) fn append_annotations(&self, out: &mut DocBuf) {
        if !self.impossible {
            out.append_all(Doc::new(&self.annotations));
        }
    }

    /// Appends to the report on `$jsonSchema` what `doc` does not satisfy.
    pub(in crate::filter) fn append_root_failures(&self, doc: Doc<'_>, out: &mut DocBuf) {
        if self.impossible {
            append_impossible(&self.source, out);
            return;
        }
        self.append_annotations(out);
        self.append_failures("schemaRulesNotSatisfied", ValueRef::Document(doc), out);
    }

    /// Appends the array `key` of what `value` does not satisfy.
    pub(in crate::filter) fn append_failures(
        &self,
        key: &str,
        value: ValueRef<'_>,
        out: &mut DocBuf,
    ) {
        if self.impossible {
            let details = out.open_document(key);
            out.append("operatorName", ValueRef::String("$jsonSchema".into()));
            append_impossible(&self.source, out);
            out.close(details);
            return;
        }
        let list = out.open_array(key);
        let stated = self.rules.iter().find_map(|rule| match rule.check {
            Check::Types(types) => Some(types),
            _ => None,
        });
        // A keyword about scalars or arrays that the schema rules out is not reported besides.
        let applies = |rule: &&Rule| match (rule.check.about(), stated) {
            (Some(about), Some(stated)) => about.iter().any(|&kind| stated.contains(kind)),
            _ => true,
        };
        let failed = self
            .rules
            .iter()
            .filter(applies)
            .filter(|rule| !rule.check.holds(value));
        for (index, rule) in failed.enumerate() {
            let one = out.push_document(index);
            rule.append_failure(value, out);
            out.close(one);
        }
        out.close(list);
    }
}

impl Rule {
    fn append_failure(&self, value: ValueRef<'_>, out: &mut DocBuf) {
        out.append("operatorName", ValueRef::String(self.keyword.into()));
        let shows_itself = !matches!(
            self.check,
            Check::Items(_)
                | Check::ItemList(_)
                | Check::AdditionalItems(_, Some(_))
                | Check::Properties(_)
                | Check::PatternProperties(_)
                | Check::Dependencies(_)
                | Check::AllOf(_)
                | Check::AnyOf(_)
                | Check::OneOf(_)
                | Check::Not(_)
        ) && !matches!(&self.check, Check::AdditionalProperties(additional) if additional.schema.is_some());
        if shows_itself {
            out.append("specifiedAs", ValueRef::Document(Doc::new(&self.specified)));
        }
        match (&self.check, value) {
            (_, ValueRef::Array(array)) if self.check.append_about_items(array, out) => {}
            (_, ValueRef::Document(doc)) if self.check.append_about_properties(doc, out) => {}
            (Check::AllOf(schemas) | Check::AnyOf(schemas), _) => {
                append_unsatisfied(schemas, value, out);
            }
            (Check::OneOf(schemas), _) => append_about_one_of(schemas, value, out),
            (Check::Not(_), _) => reason(out, "child expression matched"),
            (Check::Enum(allowed), _)
                if self.root && !allowed.iter().any(|v| matches!(v, Value::Document(_))) =>
            {
                reason(out, "expression always evaluates to false");
            }
            (check, _) => {
                reason(
                    out,
                    match check {
                        Check::Types(_) => "type did not match",
                        Check::Enum(_) => "value was not found in enum",
                        Check::MultipleOf(_) => {
                            "considered value is not a multiple of the specified value"
                        }
                        Check::Pattern(_) => "regular expression did not match",
                        Check::Length(_) => "specified string length was not satisfied",
                        _ => "comparison failed",
                    },
                );
                out.append("consideredValue", value);
                if matches!(check, Check::Types(_)) {
                    out.append("consideredType", ValueRef::String(value.type_name().into()));
                }
            }
        }
    }
}

impl Check {
    /// The types that the keyword is about, if not all.
    fn about(&self) -> Option<&'static [BsonType]> {
        Some(match self {
            Check::Bound(_) | Check::MultipleOf(_) => NUMBERS,
            Check::Pattern(_) | Check::Length(_) => &[BsonType::String],
            Check::ItemCount(_)
            | Check::UniqueItems
            | Check::Items(_)
            | Check::ItemList(_)
            | Check::AdditionalItems(..) => &[BsonType::Array],
            Check::PropertyCount(_)
            | Check::Required(_)
            | Check::Properties(_)
            | Check::AdditionalProperties(_)
            | Check::PatternProperties(_)
            | Check::Dependencies(_)
            | Check::Types(_)
            | Check::Enum(_)
            | Check::AllOf(_)
            | Check::AnyOf(_)
            | Check::OneOf(_)
            | Check::Not(_) => return None,
        })
    }

    /// Appends what is wrong with `array`, if the rule is about arrays.
    fn append_about_items(&self, array: Doc<'_>, out: &mut DocBuf) -> bool {
        let considered = ValueRef::Array(array);
        match self {
            Check::ItemCount(_) => {
                reason(out, "array did not match specified length");
                out.append("consideredValue", considered);
                append_count(out, "numberOfItems", array.iter().count());
            }
            Check::UniqueItems => {
                reason(out, "found a duplicate item");
                out.append("consideredValue", considered);
                out.append(
                    "duplicatedValue",
                    first_duplicate(array).unwrap_or(ValueRef::Missing),
                );
            }
            Check::Items(schema) => append_item("item", schema, array, 0, out),
            Check::AdditionalItems(from, Some(schema)) => {
                append_item("additional item", schema, array, *from, out);
            }
            Check::ItemList(schemas) => {
                let list = out.open_array("details");
                let failed = array
                    .values()
                    .zip(schemas)
                    .enumerate()
                    .filter(|(_, (item, schema))| !schema.holds(*item));
                for (index, (position, (item, schema))) in failed.enumerate() {
                    let one = out.push_document(index);
                    append_count(out, "itemIndex", position);
                    schema.append_annotations(out);
                    schema.append_failures("details", item, out);
                    out.close(one);
                }
                out.close(list);
            }
            Check::AdditionalItems(from, None) => {
                reason(out, "found additional items");
                let list = out.open_array("additionalItems");
                for (index, item) in array.values().skip(*from).enumerate() {
                    out.push(index, item);
                }
                out.close(list);
            }
            _ => return false,
        }
        true
    }

    /// Appends what is wrong with `doc`, if the rule is about documents.
    fn append_about_properties(&self, doc: Doc<'_>, out: &mut DocBuf) -> bool {
        match self {
            Check::PropertyCount(_) => {
                reason(out, "specified number of properties was not satisfied");
                append_count(out, "numberOfProperties", doc.iter().count());
            }
            Check::Required(paths) => append_missing(paths, doc, out),
            Check::Properties(properties) => {
                let list = out.open_array("propertiesNotSatisfied");
                let failed = properties
                    .iter()
                    .filter(|(path, schema)| exists(path, doc) && !schema.holds_at(path, doc));
                for (index, (path, schema)) in failed.enumerate() {
                    let one = out.push_document(index);
                    out.append("propertyName", ValueRef::String(path.text()));
                    schema.append_annotations(out);
                    let mut value = ValueRef::Missing;
                    path.any(doc, LeafArray::Whole, &mut |found, _| {
                        value = found;
                        !matches!(found, ValueRef::Missing) && !schema.holds(found)
                    });
                    schema.append_failures("details", value, out);
                    out.close(one);
                }
                out.close(list);
            }
            Check::AdditionalProperties(additional) => {
                let mut failed = additional
                    .of(doc)
                    .filter(|(_, value)| !additional.allows(*value));
                match &additional.schema {
                    None => {
                        let list = out.open_array("additionalProperties");
                        for (index, (name, _)) in failed.enumerate() {
                            out.push(index, ValueRef::String(name.into()));
                        }
                        out.close(list);
                    }
                    Some(schema) => {
                        schema.append_annotations(out);
                        reason(
                            out,
                            "at least one additional property did not match the subschema",
                        );
                        if let Some((name, value)) = failed.next() {
                            out.append("failingProperty", ValueRef::String(name.into()));
                            schema.append_failures("details", value, out);
                        }
                    }
                }
            }
            Check::PatternProperties(patterns) => {
                let list = out.open_array("details");
                let failed = doc.iter().flat_map(|field| {
                    patterns
                        .iter()
                        .filter(move |(pattern, schema)| {
                            pattern.is_match(field.key()) && !schema.holds(field.value())
                        })
                        .map(move |(pattern, schema)| (field, pattern, schema))
                });
                for (index, (field, pattern, schema)) in failed.enumerate() {
                    let one = out.push_document(index);
                    out.append("propertyName", ValueRef::String(field.key()));
                    schema.append_annotations(out);
                    out.append("regexMatched", ValueRef::String(pattern.pattern().into()));
                    schema.append_failures("details", field.value(), out);
                    out.close(one);
                }
                out.close(list);
            }
            Check::Dependencies(dependencies) => {
                let list = out.open_array("failingDependencies");
                let failed = dependencies
                    .iter()
                    .filter(|(path, dependency)| exists(path, doc) && !dependency.holds(doc));
                for (index, (path, dependency)) in failed.enumerate() {
                    let one = out.push_document(index);
                    out.append("conditionalProperty", ValueRef::String(path.text()));
                    match dependency {
                        Dependency::Properties(paths) => append_missing(paths, doc, out),
                        Dependency::Schema(schema) => {
                            schema.append_failures("details", ValueRef::Document(doc), out);
                        }
                    }
                    out.close(one);
                }
                out.close(list);
            }
            _ => return false,
        }
        true
    }
}

/// mongod gives up on a schema of the whole document that demands another type than a document.
fn append_impossible(source: &[u8], out: &mut DocBuf) {
    let specified = out.open_document("specifiedAs");
    out.append("$jsonSchema", ValueRef::Document(Doc::new(source)));
    out.close(specified);
    reason(out, "expression always evaluates to false");
}

fn append_item(what: &str, schema: &Schema, array: Doc<'_>, from: usize, out: &mut DocBuf) {
    schema.append_annotations(out);
    reason(
        out,
        &format!("At least one {what} did not match the sub-schema"),
    );
    let failed = array
        .values()
        .enumerate()
        .skip(from)
        .find(|(_, item)| !schema.holds(*item));
    if let Some((position, item)) = failed {
        append_count(out, "itemIndex", position);
        schema.append_failures("details", item, out);
    }
}

fn append_missing(paths: &[Path], doc: Doc<'_>, out: &mut DocBuf) {
    let list = out.open_array("missingProperties");
    let missing = paths.iter().filter(|path| !exists(path, doc));
    let mut missing: Vec<_> = missing.map(Path::text).collect();
    missing.sort_unstable();
    for (index, name) in missing.into_iter().enumerate() {
        out.push(index, ValueRef::String(name));
    }
    out.close(list);
}

fn append_unsatisfied(schemas: &[Schema], value: ValueRef<'_>, out: &mut DocBuf) {
    let list = out.open_array("schemasNotSatisfied");
    let failed = schemas
        .iter()
        .enumerate()
        .filter(|(_, schema)| !schema.holds(value));
    for (index, (position, schema)) in failed.enumerate() {
        let one = out.push_document(index);
        append_count(out, "index", position);
        schema.append_annotations(out);
        schema.append_failures("details", value, out);
        out.close(one);
    }
    out.close(list);
}

fn append_about_one_of(schemas: &[Schema], value: ValueRef<'_>, out: &mut DocBuf) {
    if !schemas.iter().any(|schema| schema.holds(value)) {
        append_unsatisfied(schemas, value, out);
        return;
    }
    reason(out, "more than one subschema matched");
    let list = out.open_array("matchingSchemaIndexes");
    let matching = (0..).zip(schemas).filter(|(_, schema)| schema.holds(value));
    for (index, (position, _)) in matching.enumerate() {
        out.push(index, ValueRef::Int32(position));
    }
    out.close(list);
}

fn reason(out: &mut DocBuf, text: &str) {
    out.append("reason", ValueRef::String(text.into()));
}

fn append_count(out: &mut DocBuf, key: &str, count: usize) {
    out.append(
        key,
        ValueRef::Int32(i32::try_from(count).unwrap_or(i32::MAX)),
    );
}
