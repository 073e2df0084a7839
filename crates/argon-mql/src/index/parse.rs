//! Reading an index specification, with mongod's own words where it is wrong.

use std::sync::Arc;

use bytes::Bytes;

use super::options::{ID_OPTIONS, OPTIONS, Options, Takes};
use super::pattern::{Bad, parse_pattern};
use super::{Field, IndexSpec, Kind, is_id_pattern, wildcard};
use crate::collation::Collation;
use crate::filter::{Filter, Node, Predicate};
use crate::value::{Doc, DocBuf, Number, Value, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

impl IndexSpec {
    /// Parses an index specification, as `createIndexes` gets one or [`document`](IndexSpec::document) wrote it.
    ///
    /// # Errors
    /// MongoDB's own: mostly `CannotCreateIndex`, `TypeMismatch`, `InvalidIndexSpecificationOption`.
    pub fn parse(spec: Doc<'_>) -> Result<IndexSpec> {
        let options = Options::read(spec)?;
        let pattern = options.pattern()?;
        let (kind, fields) = parse_pattern(pattern).map_err(|reason| match reason {
            Bad::Here(reason) => options.wrong(ErrorCode::CannotCreateIndex, reason),
            Bad::Whole(error) => error,
        })?;
        let name = options.name()?;
        let version = options.version()?;
        if is_id_pattern(pattern) {
            return parse_id(&options, pattern, name);
        }
        if name == "_id_" {
            return Err(Error::bad_value(format!(
                "The index name '_id_' is reserved for the _id index, which must have key pattern {{_id: 1}}, found key: {pattern}"
            )));
        }
        if pattern.iter().count() == 1 && fields[0].path.text() == "_id" && fields[0].descending {
            return Err(Error::bad_value(format!(
                "The field 'key' for an _id index must be {{_id: 1}}, but got {pattern}"
            )));
        }
        let collation = parse_collation(&options)?;
        let partial = parse_partial(&options, collation.as_ref())?;
        let wildcard_projection = parse_wildcard_projection(&options, kind, &fields)?;
        check_names(&options, &name)?;
        check_combinations(&options, kind, version)?;
        let expire_after_seconds = parse_expiry(&options, fields.len())?;
        let mut spec = IndexSpec {
            name,
            key: Bytes::copy_from_slice(pattern.as_bytes()),
            kind,
            fields,
            unique: options.is_set("unique"),
            sparse: options.is_set("sparse"),
            hidden: options.is_set("hidden"),
            partial,
            expire_after_seconds,
            collation,
            wildcard_projection,
            document: Bytes::new(),
        };
        spec.document = write(&options, version, &spec);
        Ok(spec)
    }
}

fn parse_id(options: &Options<'_>, pattern: Doc<'_>, name: String) -> Result<IndexSpec> {
    if let Some(element) = options
        .spec
        .iter()
        .find(|element| !ID_OPTIONS.iter().any(|option| element.key() == option))
    {
        return Err(Error::new(
            ErrorCode::InvalidIndexSpecificationOption,
            format!(
                "The field '{}' is not valid for an _id index specification. Specification: {}",
                element.key(),
                options.versioned()
            ),
        ));
    }
    debug_assert!(is_id_pattern(pattern));
    let spec = match parse_collation(options)? {
        None => IndexSpec::id(),
        Some(collation) => IndexSpec::id_collated(&collation),
    };
    // Whatever name was given, mongod takes `{_id: 1}` for the index that is there.
    drop(name);
    Ok(spec)
}

fn check_names(options: &Options<'_>, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(options.refused("index name cannot be empty"));
    }
    if name.contains('\0') {
        return Err(options.refused("index name cannot contain NUL bytes"));
    }
    if name == "*" {
        return Err(Error::bad_value("The index name '*' is not valid."));
    }
    Ok(())
}

fn check_combinations(options: &Options<'_>, kind: Kind, version: i32) -> Result<()> {
    let given = |name| !matches!(options.get(name), ValueRef::Missing);
    let invalid = |reason: &str| {
        Err(options.wrong(
            ErrorCode::CannotCreateIndex,
            format!("Invalid index specification {}; {reason}", options.spec),
        ))
    };
    if given("weights") {
        return invalid("the field 'weights' can only be specified with text indexes");
    }
    if version == 1 && given("collation") {
        return invalid("cannot create an index with the 'collation' option and v=1");
    }
    if options.is_set("unique") && options.is_set("prepareUnique") {
        return invalid(
            "cannot create an index with the 'unique' option and the 'prepareUnique' option",
        );
    }
    match options.get("storageEngine") {
        ValueRef::Missing => {}
        ValueRef::Document(engine) if engine.is_empty() => {
            return Err(options.refused(
                "Empty \"storageEngine\" options are invalid. Please remove the field or include valid options.",
            ));
        }
        ValueRef::Document(_) => {}
        _ => {
            return Err(options.refused("\"storageEngine\" options must be a document if present"));
        }
    }
    if options.is_set("sparse") && given("partialFilterExpression") {
        return Err(
            options.refused("cannot mix \"partialFilterExpression\" and \"sparse\" options")
        );
    }
    if kind == Kind::Wildcard {
        for (option, reason) in [
            ("sparse", "does not support the sparse option"),
            ("unique", "does not support the unique option"),
        ] {
            if options.is_set(option) {
                return Err(options.refused(format!("Index type 'wildcard' {reason}")));
            }
        }
        if given("expireAfterSeconds") {
            return Err(options.refused("Index type 'wildcard' cannot be a TTL index"));
        }
    }
    if kind == Kind::Hashed && options.is_set("unique") {
        return Err(Error::location(
            16764,
            "Currently hashed indexes cannot guarantee uniqueness. Use a regular index.",
        ));
    }
    Ok(())
}

fn parse_expiry(options: &Options<'_>, fields: usize) -> Result<Option<i32>> {
    let value = match options.get("expireAfterSeconds") {
        ValueRef::Missing => return Ok(None),
        value => value,
    };
    let refused = |reason: &str| {
        Err(Error::new(
            ErrorCode::CannotCreateIndex,
            format!("{reason}. Index spec: {}", options.spec),
        ))
    };
    let Some(number) = Number::from_value(value) else {
        return refused(&format!(
            "TTL index 'expireAfterSeconds' option must be numeric, but received a type of '{}'",
            value.type_name()
        ));
    };
    // Indexes of old versions may have a NaN, which mongod turns into "never".
    let seconds = if number.is_nan() {
        i64::from(i32::MAX)
    } else {
        number.to_i64_saturated()
    };
    if seconds < 0 {
        return refused("TTL index 'expireAfterSeconds' option cannot be less than 0");
    }
    let Ok(seconds) = i32::try_from(seconds) else {
        return refused(
            "TTL index 'expireAfterSeconds' option must be within an acceptable range, try a lower number",
        );
    };
    if fields > 1 {
        return refused(
            "TTL indexes are single-field indexes, compound indexes do not support TTL",
        );
    }
    Ok(Some(seconds))
}

fn parse_collation(options: &Options<'_>) -> Result<Option<Collation>> {
    let ValueRef::Document(document) = options.get("collation") else {
        return Ok(None);
    };
    if document.is_empty() {
        return Err(options.wrong(
            ErrorCode::BadValue,
            "The field 'collation' cannot be an empty object.",
        ));
    }
    Collation::parse(document).map_err(|error| {
        error.context(&format!(
            "failed to add collation information to index spec for index creation: {} :: caused by :: ",
            options.versioned()
        ))
    })
}

fn parse_partial(options: &Options<'_>, collation: Option<&Collation>) -> Result<Option<Filter>> {
    let ValueRef::Document(document) = options.get("partialFilterExpression") else {
        return Ok(None);
    };
    let cx = ParseContext {
        collation: collation.cloned().map(Arc::new),
        ..ParseContext::new()
    };
    let filter = Filter::parse(document, &cx)
        .map_err(|error| options.wrong(error.code(), error.message()))?;
    if contains_expr(filter.root()) {
        return Err(options.wrong(
            ErrorCode::QueryFeatureNotAllowed,
            "$expr is not allowed in this context",
        ));
    }
    if !allowed_in_partial(filter.root()) {
        return Err(options.refused(format!(
            "Expression not supported in partial index: {document}"
        )));
    }
    Ok(Some(filter))
}

fn contains_expr(node: &Node) -> bool {
    match node {
        Node::Expr(_) => true,
        Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => nodes.iter().any(contains_expr),
        Node::Not(node) => contains_expr(node),
        _ => false,
    }
}

/// MongoDB manual, "Partial Indexes": equality, `$exists: true`, comparisons, `$type`, `$and`, `$or`, `$in`.
fn allowed_in_partial(node: &Node) -> bool {
    match node {
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().all(allowed_in_partial),
        Node::Leaf(leaf) => matches!(
            leaf.predicate,
            Predicate::Compare(_) | Predicate::In(_) | Predicate::Exists | Predicate::Type(_)
        ),
        _ => false,
    }
}

fn parse_wildcard_projection(
    options: &Options<'_>,
    kind: Kind,
    fields: &[Field],
) -> Result<Option<wildcard::Projection>> {
    let value = options.get("wildcardProjection");
    if matches!(value, ValueRef::Missing) {
        return Ok(None);
    }
    if kind != Kind::Wildcard {
        return Err(options.wrong(
            ErrorCode::BadValue,
            "The field 'wildcardProjection' is only allowed in an 'wildcard' index",
        ));
    }
    if !fields[0].path.text().is_empty() {
        return Err(options.wrong(
            ErrorCode::FailedToParse,
            "The field 'wildcardProjection' is only allowed when 'key' is {\"$**\": ±1}",
        ));
    }
    let Some(document) = value.as_document() else {
        return Err(options.wrong(
            ErrorCode::TypeMismatch,
            format!(
                "The field 'wildcardProjection' must be a non-empty object, but got {}",
                value.type_name()
            ),
        ));
    };
    if document.is_empty() {
        return Err(options.wrong(
            ErrorCode::FailedToParse,
            "The 'wildcardProjection' field can't be an empty object",
        ));
    }
    wildcard::Projection::parse(document)
        .map(Some)
        .map_err(|error| {
            options.wrong(
                error.code(),
                format!(
                    "Failed to parse: wildcardProjection :: caused by :: {}",
                    error.message()
                ),
            )
        })
}

/// The specification as `listIndexes` shows it.
fn write(options: &Options<'_>, version: i32, spec: &IndexSpec) -> Bytes {
    let mut out = DocBuf::with_capacity(options.spec.byte_len() + 32);
    for ((name, takes), &value) in OPTIONS.iter().zip(&options.values) {
        let expiry;
        let kept = match (*name, value) {
            ("v", _) => ValueRef::Int32(version),
            (_, ValueRef::Missing) => continue,
            ("unique" | "hidden" | "prepareUnique", _) if !options.is_set(name) => continue,
            ("expireAfterSeconds", _) => {
                expiry = spec
                    .expire_after_seconds
                    .map_or(Value::Missing, Value::Int32);
                expiry.as_ref()
            }
            ("collation", _) => match &spec.collation {
                Some(collation) => ValueRef::Document(Doc::new(collation.document())),
                None => continue,
            },
            ("min" | "max", value) => {
                Number::from_value(value).map_or(value, |number| ValueRef::Double(number.to_f64()))
            }
            _ if *takes == Takes::BoolLike => ValueRef::Bool(options.is_set(name)),
            _ if *takes == Takes::Ignored => continue,
            (_, value) => value,
        };
        out.append(name, kept);
    }
    out.finish()
}

/// The specification `document` with other values of what `collMod` may change.
pub(super) fn rewrite(document: &Bytes, expire_after_seconds: Option<i32>, hidden: bool) -> Bytes {
    let mut out = DocBuf::with_capacity(document.len() + 32);
    let old = Doc::new(document);
    for (name, _) in OPTIONS {
        let value = match *name {
            "hidden" if hidden => ValueRef::Bool(true),
            "hidden" => continue,
            "expireAfterSeconds" => expire_after_seconds.map_or(ValueRef::Missing, ValueRef::Int32),
            _ => old.get(name).unwrap_or(ValueRef::Missing),
        };
        out.append(name, value);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Existing;
    use bson::{Bson, doc};

    fn parse(spec: &bson::Document) -> Result<IndexSpec> {
        IndexSpec::parse(Doc::new(&spec.to_vec().unwrap()))
    }

    #[test]
    fn writes_specifications_as_mongod_lists_them() {
        let spec = parse(&doc! {
            "sparse": 1, "hidden": true, "unique": 1, "expireAfterSeconds": 10.7, "bits": 2, "name": "n",
            "ns": "x", "key": {"a": 1},
        })
        .unwrap();
        assert_eq!(
            Doc::new(spec.document()).to_string(),
            "{ v: 2, key: { a: 1 }, name: \"n\", unique: true, hidden: true, sparse: true, expireAfterSeconds: 10, bits: 2 }"
        );
        let again = IndexSpec::parse(Doc::new(spec.document())).unwrap();
        assert_eq!(again.document(), spec.document());
        let modified = spec.modified(Some(5), Some(false));
        assert_eq!(
            Doc::new(modified.document()).to_string(),
            "{ v: 2, key: { a: 1 }, name: \"n\", unique: true, sparse: true, expireAfterSeconds: 5, bits: 2 }"
        );
        let plain = parse(
            &doc! {"key": {"a": 1}, "name": "n", "unique": false, "hidden": false, "sparse": false},
        );
        assert_eq!(
            Doc::new(plain.unwrap().document()).to_string(),
            "{ v: 2, key: { a: 1 }, name: \"n\", sparse: false }"
        );
    }

    #[test]
    fn refuses_what_mongod_refuses() {
        let key = || doc! {"a": 1};
        for (spec, code) in [
            (doc! {"key": {"a": 0}, "name": "n"}, 67),
            (doc! {"key": {"a": "x"}, "name": "n"}, 67),
            (doc! {"key": {"a": true}, "name": "n"}, 67),
            (doc! {"key": {}, "name": "n"}, 67),
            (doc! {"key": {"a.": 1}, "name": "n"}, 67),
            (doc! {"key": {"a.$b": 1}, "name": "n"}, 67),
            (doc! {"key": {"$**": -1}, "name": "n"}, 67),
            (doc! {"key": {"$**": 1, "a": 1}, "name": "n"}, 67),
            (doc! {"key": {"_id": -1}, "name": "n"}, 2),
            (doc! {"key": key()}, 9),
            (doc! {"name": "n"}, 9),
            (doc! {"key": 5, "name": "n"}, 14),
            (doc! {"key": key(), "name": 5}, 14),
            (doc! {"key": key(), "name": ""}, 67),
            (doc! {"key": key(), "name": "*"}, 2),
            (doc! {"key": key(), "name": "_id_"}, 2),
            (doc! {"key": key(), "name": "n", "unique": "x"}, 14),
            (doc! {"key": key(), "name": "n", "hidden": 1}, 14),
            (
                doc! {"key": key(), "name": "n", "expireAfterSeconds": -1},
                67,
            ),
            (
                doc! {"key": key(), "name": "n", "expireAfterSeconds": 1_i64 << 40},
                67,
            ),
            (
                doc! {"key": {"a": 1, "b": 1}, "name": "n", "expireAfterSeconds": 1},
                67,
            ),
            (doc! {"key": {"_id": 1}, "name": "n", "unique": true}, 197),
            (
                doc! {"key": key(), "name": "n", "partialFilterExpression": {"b": {"$ne": 1}}},
                67,
            ),
            (
                doc! {"key": key(), "name": "n", "partialFilterExpression": {"b": {"$foo": 1}}},
                2,
            ),
            (
                doc! {"key": key(), "name": "n", "partialFilterExpression": {"$expr": 1}},
                224,
            ),
            (
                doc! {"key": key(), "name": "n", "partialFilterExpression": {"b": 1}, "sparse": true},
                67,
            ),
            (doc! {"key": key(), "name": "n", "v": 3}, 67),
            (doc! {"key": key(), "name": "n", "v": 1.5}, 2),
            (doc! {"key": key(), "name": "n", "foo": 1}, 197),
            (doc! {"key": key(), "name": "n", "weights": {"a": 1}}, 67),
            (
                doc! {"key": key(), "name": "n", "wildcardProjection": {"a": 1}},
                2,
            ),
            (
                doc! {"key": {"$**": 1}, "name": "n", "wildcardProjection": {"a": 1, "b": 0}},
                31254,
            ),
            (
                doc! {"key": {"$**": 1}, "name": "n", "wildcardProjection": {}},
                9,
            ),
            (doc! {"key": {"$**": 1}, "name": "n", "unique": true}, 67),
            (
                doc! {"key": {"a": "hashed"}, "name": "n", "unique": true},
                16764,
            ),
            (
                doc! {"key": {"a": "hashed", "b": "hashed"}, "name": "n"},
                31303,
            ),
            (doc! {"key": key(), "name": "n", "collation": {}}, 2),
        ] {
            let error = parse(&spec).expect_err(&spec.to_string());
            assert_eq!(error.code().number(), code, "{spec} {error}");
        }
        let many: bson::Document = (0..33).map(|i| (format!("f{i}"), Bson::Int32(1))).collect();
        let error = parse(&doc! {"key": many, "name": "n"}).unwrap_err();
        assert_eq!(error.code().number(), 13103);
    }

    #[test]
    fn texts_are_mongods() {
        let error = parse(&doc! {"key": {"a": 1}, "name": "n", "foo": 1}).unwrap_err();
        assert_eq!(
            error.message(),
            "Error in specification { key: { a: 1 }, name: \"n\", foo: 1 } :: caused by :: The field 'foo' is not valid for an index specification. Specification: { key: { a: 1 }, name: \"n\", foo: 1 }"
        );
        let error = parse(&doc! {"key": {"a": 1}, "name": ""}).unwrap_err();
        assert_eq!(
            error.message(),
            "Error in specification { key: { a: 1 }, name: \"\", v: 2 } :: caused by :: index name cannot be empty"
        );
    }

    #[test]
    fn conflicts_are_mongods() {
        let there = [
            parse(&doc! {"key": {"a": 1}, "name": "a_1"}).unwrap(),
            parse(&doc! {"key": {"a": 1}, "name": "y", "unique": true}).unwrap(),
            IndexSpec::id(),
        ];
        for (spec, expected) in [
            (doc! {"key": {"a": 1}, "name": "a_1"}, Ok(Existing::Same)),
            (
                doc! {"key": {"a": 1.0}, "name": "a_1", "hidden": true},
                Ok(Existing::Same),
            ),
            (doc! {"key": {"_id": 1}, "name": "foo"}, Ok(Existing::Same)),
            (doc! {"key": {"a": -1}, "name": "ad"}, Ok(Existing::New)),
            (
                doc! {"key": {"a": 1}, "name": "s", "sparse": true},
                Ok(Existing::New),
            ),
            (
                doc! {"key": {"a": 1}, "name": "p", "partialFilterExpression": {"b": 1}},
                Ok(Existing::New),
            ),
            (doc! {"key": {"a": 1}, "name": "x"}, Err(85)),
            (doc! {"key": {"a": 1}, "name": "u", "unique": true}, Err(85)),
            (
                doc! {"key": {"a": 1}, "name": "a_1", "expireAfterSeconds": 5},
                Err(85),
            ),
            (doc! {"key": {"b": 1}, "name": "a_1"}, Err(86)),
            (
                doc! {"key": {"a": 1}, "name": "a_1", "sparse": true},
                Err(86),
            ),
        ] {
            let found = parse(&spec)
                .unwrap()
                .check_existing(&there)
                .map_err(|error| error.code().number());
            assert_eq!(found, expected, "{spec}");
        }
    }
}
