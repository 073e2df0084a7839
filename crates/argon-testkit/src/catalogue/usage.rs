//! Which names the steps of the case files use.
//!
//! A name means different things in different places (`$min` is an update operator, an expression, an accumulator and a
//! window function), so commands are walked as their grammar has it. Places that the walk does not know count nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use bson::raw::{RawBsonRef, RawDocument};

use super::Kind;
use crate::case::file::{CaseFile, Step};
use crate::case::json;

/// How often each name is used.
#[derive(Debug, Default)]
pub struct Usage {
    /// Recorded steps for each name.
    pub steps: BTreeMap<(Kind, String), usize>,
    /// Steps that Argon is known to answer differently: file, reason and how many.
    pub differs: BTreeMap<(String, String), usize>,
}

impl Usage {
    /// Counts the steps of `files` that a real `mongod` has answered.
    ///
    /// # Errors
    /// If a command is not extended JSON.
    pub fn of(files: &[CaseFile]) -> Result<Self> {
        let mut usage = Self::default();
        for file in files.iter().filter(|file| file.by_hand.is_none()) {
            for step in &file.steps {
                for name in names(step)? {
                    *usage.steps.entry(name).or_default() += 1;
                }
                if let Some(reason) = &step.differs {
                    let key = (file.name.clone(), reason.clone());
                    *usage.differs.entry(key).or_default() += 1;
                }
            }
        }
        Ok(usage)
    }
}

/// The names that `step` uses.
fn names(step: &Step) -> Result<BTreeSet<(Kind, String)>> {
    let mut walk = Walk::default();
    for text in &step.commands {
        let (command, _) = json::parse_prefix(text)?;
        walk.command(&command);
    }
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    found: BTreeSet<(Kind, String)>,
}

/// The fields of `doc`; what cannot be read ends them.
fn fields(doc: &RawDocument) -> impl Iterator<Item = (&str, RawBsonRef<'_>)> {
    doc.iter()
        .map_while(Result::ok)
        .map(|(name, value)| (name.as_str(), value))
}

/// The items of `value`, if it is an array.
fn items<'a>(value: RawBsonRef<'a>) -> impl Iterator<Item = RawBsonRef<'a>> {
    let array = value.as_array();
    array
        .into_iter()
        .flat_map(|array| array.into_iter().map_while(Result::ok))
}

fn first_name(doc: &RawDocument) -> &str {
    fields(doc).next().map_or("", |(name, _)| name)
}

impl Walk {
    fn add(&mut self, kind: Kind, name: &str) {
        self.found.insert((kind, name.to_owned()));
    }

    fn command(&mut self, command: &RawDocument) {
        let name = first_name(command);
        self.add(Kind::Command, name);
        if name == "explain"
            && let Ok(inner) = command.get_document("explain")
        {
            self.command(inner);
        }
        if matches!(name, "getParameter" | "setParameter") {
            for (parameter, _) in fields(command).skip(1) {
                self.add(Kind::Parameter, parameter);
            }
        }
        self.arguments(command);
    }

    /// Arguments of a command, and of the statements and index specifications in it.
    fn arguments(&mut self, doc: &RawDocument) {
        for (name, value) in fields(doc) {
            match (name, value) {
                ("filter" | "q" | "query" | "validator", RawBsonRef::Document(doc)) => {
                    self.query(doc);
                }
                ("partialFilterExpression", RawBsonRef::Document(doc)) => {
                    self.query(doc);
                }
                ("arrayFilters", value) => items(value)
                    .filter_map(|filter| filter.as_document())
                    .for_each(|filter| self.query(filter)),
                ("projection" | "fields", RawBsonRef::Document(doc)) => self.projection(doc),
                ("pipeline", value) => self.pipeline(value),
                ("u" | "update", value) => self.update(value),
                ("let" | "c", RawBsonRef::Document(doc)) => self.values(doc),
                ("collation", RawBsonRef::Document(doc)) => {
                    for (name, _) in fields(doc) {
                        self.add(Kind::Collation, name);
                    }
                }
                ("updates" | "deletes", value) => items(value)
                    .filter_map(|statement| statement.as_document())
                    .for_each(|statement| self.arguments(statement)),
                ("indexes", value) => items(value)
                    .filter_map(|index| index.as_document())
                    .for_each(|index| self.index(index)),
                _ => {}
            }
        }
    }

    fn index(&mut self, index: &RawDocument) {
        for (name, value) in fields(index) {
            self.add(Kind::IndexOption, name);
            if let ("key", RawBsonRef::Document(key)) = (name, value) {
                for (path, direction) in fields(key) {
                    match direction {
                        _ if path.ends_with("$**") => self.add(Kind::IndexKind, "$**"),
                        RawBsonRef::String(plugin) => self.add(Kind::IndexKind, plugin),
                        RawBsonRef::Int32(number) if number < 0 => self.add(Kind::IndexKind, "-1"),
                        RawBsonRef::Int32(_) => self.add(Kind::IndexKind, "1"),
                        _ => {}
                    }
                }
            }
        }
        self.arguments(index);
    }

    fn query(&mut self, query: &RawDocument) {
        for (name, value) in fields(query) {
            match (name, value) {
                ("$expr", value) => {
                    self.add(Kind::Query, name);
                    self.expression(value);
                }
                ("$jsonSchema", value) => {
                    self.add(Kind::Query, name);
                    self.schema(value);
                }
                ("$and" | "$or" | "$nor", value) => {
                    self.add(Kind::Query, name);
                    items(value)
                        .filter_map(|query| query.as_document())
                        .for_each(|query| self.query(query));
                }
                _ if name.starts_with('$') => self.add(Kind::Query, name),
                (_, RawBsonRef::Document(doc)) if first_name(doc).starts_with('$') => {
                    self.conditions(doc);
                }
                _ => {}
            }
        }
    }

    /// The operators on one field.
    fn conditions(&mut self, conditions: &RawDocument) {
        for (name, value) in fields(conditions) {
            self.add(Kind::Query, name);
            match (name, value) {
                ("$not", RawBsonRef::Document(doc)) => self.conditions(doc),
                ("$elemMatch", RawBsonRef::Document(doc)) => self.element(doc),
                ("$all", value) => items(value)
                    .filter_map(|item| item.as_document())
                    .filter(|item| first_name(item) == "$elemMatch")
                    .for_each(|item| self.conditions(item)),
                ("$type", value) => self.types(value),
                _ => {}
            }
        }
    }

    /// What `$elemMatch` asks of an item: operators on its value, or a query of it.
    fn element(&mut self, doc: &RawDocument) {
        match first_name(doc) {
            "$and" | "$or" | "$nor" | "$expr" | "$jsonSchema" => self.query(doc),
            name if name.starts_with('$') => self.conditions(doc),
            _ => self.query(doc),
        }
    }

    fn types(&mut self, value: RawBsonRef<'_>) {
        for name in items(value).chain([value]) {
            if let RawBsonRef::String(name) = name {
                self.add(Kind::Type, name);
            }
        }
    }

    fn schema(&mut self, value: RawBsonRef<'_>) {
        let Some(schema) = value.as_document() else {
            return items(value).for_each(|schema| self.schema(schema));
        };
        for (name, value) in fields(schema) {
            self.add(Kind::Schema, name);
            match (name, value) {
                ("bsonType", value) => self.types(value),
                (
                    "properties" | "patternProperties" | "dependencies",
                    RawBsonRef::Document(schemas),
                ) => fields(schemas).for_each(|(_, schema)| self.schema(schema)),
                (
                    "items"
                    | "additionalItems"
                    | "additionalProperties"
                    | "not"
                    | "allOf"
                    | "anyOf"
                    | "oneOf",
                    value,
                ) => self.schema(value),
                _ => {}
            }
        }
    }

    fn update(&mut self, update: RawBsonRef<'_>) {
        let Some(doc) = update.as_document() else {
            return self.pipeline(update);
        };
        for (name, value) in fields(doc).filter(|(name, _)| name.starts_with('$')) {
            self.add(Kind::Update, name);
            let Some(operands) = value.as_document() else {
                continue;
            };
            for (_, operand) in fields(operands) {
                let Some(operand) = operand.as_document() else {
                    continue;
                };
                match name {
                    "$push" if operand.get("$each").is_ok_and(|each| each.is_some()) => {
                        for (clause, _) in fields(operand) {
                            self.add(Kind::PushModifier, clause);
                        }
                    }
                    "$pull" => self.element(operand),
                    _ => {}
                }
            }
        }
    }

    fn projection(&mut self, projection: &RawDocument) {
        for (name, value) in fields(projection) {
            if name.ends_with(".$") {
                self.add(Kind::Projection, "$");
            }
            let Some(doc) = value.as_document() else {
                self.expression(value);
                continue;
            };
            match first_name(doc) {
                operator @ ("$slice" | "$meta") => {
                    self.add(Kind::Projection, operator);
                    self.expression(value);
                }
                "$elemMatch" => {
                    self.add(Kind::Projection, "$elemMatch");
                    if let Ok(condition) = doc.get_document("$elemMatch") {
                        self.element(condition);
                    }
                }
                operator if operator.starts_with('$') => self.expression(value),
                _ => self.projection(doc),
            }
        }
    }

    fn pipeline(&mut self, pipeline: RawBsonRef<'_>) {
        for stage in items(pipeline).filter_map(|stage| stage.as_document()) {
            for (name, argument) in fields(stage) {
                self.add(Kind::Stage, name);
                self.stage(name, argument);
            }
        }
    }

    fn stage(&mut self, stage: &str, argument: RawBsonRef<'_>) {
        let Some(spec) = argument.as_document() else {
            return self.expression(argument);
        };
        match stage {
            "$match" => self.query(spec),
            "$project" => self.projection(spec),
            "$group" => {
                for (name, value) in fields(spec) {
                    match name {
                        "_id" => self.expression(value),
                        _ => self.function(Kind::Accumulator, value),
                    }
                }
            }
            "$facet" => fields(spec).for_each(|(_, pipeline)| self.pipeline(pipeline)),
            "$bucket" | "$bucketAuto" | "$setWindowFields" => {
                let kind = if stage == "$setWindowFields" {
                    Kind::WindowFunction
                } else {
                    Kind::Accumulator
                };
                for (name, value) in fields(spec) {
                    match (name, value) {
                        ("output", RawBsonRef::Document(output)) => {
                            fields(output).for_each(|(_, value)| self.function(kind, value));
                        }
                        ("sortBy", _) => {}
                        _ => self.expression(value),
                    }
                }
            }
            "$lookup" | "$unionWith" | "$merge" | "$graphLookup" => {
                for (name, value) in fields(spec) {
                    match (name, value) {
                        ("pipeline" | "whenMatched", value) => self.pipeline(value),
                        ("restrictSearchWithMatch", RawBsonRef::Document(query)) => {
                            self.query(query);
                        }
                        ("let", RawBsonRef::Document(doc)) => self.values(doc),
                        ("startWith", value) => self.expression(value),
                        _ => {}
                    }
                }
            }
            "$sort" => {
                for (_, value) in fields(spec) {
                    self.expression(value);
                }
            }
            "$addFields" | "$set" => self.values(spec),
            _ => self.expression(argument),
        }
    }

    /// An accumulator or a window function, with its arguments.
    fn function(&mut self, kind: Kind, value: RawBsonRef<'_>) {
        let Some(doc) = value.as_document() else {
            return;
        };
        for (name, argument) in fields(doc).filter(|(name, _)| name.starts_with('$')) {
            self.add(kind, name);
            self.expression(argument);
        }
    }

    fn values(&mut self, doc: &RawDocument) {
        for (_, value) in fields(doc) {
            self.expression(value);
        }
    }

    fn expression(&mut self, value: RawBsonRef<'_>) {
        match value {
            RawBsonRef::Document(doc) => {
                for (name, argument) in fields(doc) {
                    if name.starts_with('$') {
                        self.add(Kind::Expression, name);
                    }
                    if !matches!(name, "$literal" | "$const") {
                        self.expression(argument);
                    }
                }
            }
            array @ RawBsonRef::Array(_) => items(array).for_each(|item| self.expression(item)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_where_it_stands() {
        let mut walk = Walk::default();
        let text = r#"{"aggregate": "c", "pipeline": [
            {"$match": {"a": {"$not": {"$gt": 1}}, "$expr": {"$min": ["$a", {"$literal": {"$max": 1}}]}}},
            {"$group": {"_id": {"$abs": "$a"}, "m": {"$min": {"$add": [1, "$b"]}}}}]}"#;
        walk.command(&json::parse_document(text).unwrap());
        let found: Vec<_> = walk
            .found
            .iter()
            .map(|(kind, name)| (*kind, name.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (Kind::Query, "$expr"),
                (Kind::Query, "$gt"),
                (Kind::Query, "$not"),
                (Kind::Expression, "$abs"),
                (Kind::Expression, "$add"),
                (Kind::Expression, "$literal"),
                (Kind::Expression, "$min"),
                (Kind::Accumulator, "$min"),
                (Kind::Stage, "$group"),
                (Kind::Stage, "$match"),
                (Kind::Command, "aggregate"),
            ]
        );
    }
}
