//! `$out` and `$merge`: where the documents of a pipeline go. Parsed and checked here; carried out by the engine.

use std::sync::Arc;

use bytes::Bytes;

use super::{FieldPath, Source, Stage, StageContext, find};
use crate::expr::{Expr, check_variable_name};
use crate::value::{Doc, Value, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

/// What to do with the documents that a pipeline gives.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Replace a collection by them.
    Out {
        /// The database; none: the command's own.
        db: Option<String>,
        /// The collection.
        collection: String,
    },
    /// Merge them into a collection.
    Merge(Merge),
}

/// The arguments of `$merge`.
#[derive(Clone, Debug)]
pub struct Merge {
    /// The database; none: the command's own.
    pub db: Option<String>,
    /// The collection.
    pub collection: String,
    /// The dotted fields that identify a document, in the order given; empty: `_id`. A unique index has to be on them
    /// (else 51183).
    pub on: Vec<Bytes>,
    /// What to do with a document that is already there.
    pub when_matched: WhenMatched,
    /// What to do with a document that is not.
    pub when_not_matched: WhenNotMatched,
}

/// `whenMatched` of `$merge`.
#[derive(Clone, Debug)]
pub enum WhenMatched {
    /// Put the new document in its place.
    Replace,
    /// Leave it as it is.
    KeepExisting,
    /// Set the fields of the new document in it.
    Merge,
    /// Stop with an error.
    Fail,
    /// Update it with a pipeline.
    Pipeline {
        /// The array of stages, to be parsed as an update with `variables` defined.
        stages: Bytes,
        /// The pipeline's variables, to be evaluated on the new document; `new` is always among them.
        variables: Vec<(String, Expr)>,
    },
}

/// `whenNotMatched` of `$merge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenNotMatched {
    /// Insert it.
    Insert,
    /// Drop it.
    Discard,
    /// Stop with an error.
    Fail,
}

impl Sink {
    /// The stage's name.
    pub fn name(&self) -> &'static str {
        match self {
            Sink::Out { .. } => "$out",
            Sink::Merge(_) => "$merge",
        }
    }

    /// The database (none: the command's own) and collection that it writes to.
    pub fn target(&self) -> (Option<&str>, &str) {
        match self {
            Sink::Out { db, collection } => (db.as_deref(), collection),
            Sink::Merge(merge) => (merge.db.as_deref(), &merge.collection),
        }
    }
}

#[derive(Debug)]
struct SinkStage(Sink);

impl Stage for SinkStage {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        // What happens to the documents is not the pipeline's business.
        input
    }

    fn as_sink(&self) -> Option<&Sink> {
        Some(&self.0)
    }
}

/// Databases that belong to the server.
fn is_internal(db: &str) -> bool {
    matches!(db, "admin" | "config" | "local")
}

pub(super) fn out(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let (db, collection) = match value {
        ValueRef::String(name) => (None, name.to_string()),
        ValueRef::Document(spec) => {
            let fields = (spec.get("db"), spec.get("coll"));
            let (Some(db), Some(collection), 2) = (fields.0, fields.1, spec.iter().count()) else {
                return Err(Error::location(
                    16994,
                    "If an object is passed to $out it must have exactly 2 fields: 'db' and 'coll'",
                ));
            };
            (Some(text("db", db)?), text("coll", collection)?)
        }
        _ => {
            return Err(Error::location(
                16990,
                format!(
                    "$out only supports a string or object argument, but found {}",
                    value.type_name()
                ),
            ));
        }
    };
    if collection.is_empty() || db.as_deref() == Some("") {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            "Invalid $out target namespace",
        ));
    }
    if collection.starts_with("system.") {
        return Err(Error::location(
            17385,
            format!("Can't $out to special collection: {collection}"),
        ));
    }
    if let Some(db) = db.as_deref().filter(|db| is_internal(db)) {
        return Err(Error::location(
            31321,
            format!("Can't $out to internal database: {db}"),
        ));
    }
    out.push(Box::new(SinkStage(Sink::Out { db, collection })));
    Ok(())
}

fn text(field: &str, value: ValueRef<'_>) -> Result<String> {
    match value {
        ValueRef::String(text) => Ok(text.to_string()),
        _ => Err(Error::location(
            13111,
            format!(
                "wrong type for field ({field}) {} != string",
                value.type_name()
            ),
        )),
    }
}

pub(super) fn merge(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let merge = match value {
        ValueRef::String(name) => Merge {
            db: None,
            collection: name.to_string(),
            on: Vec::new(),
            when_matched: WhenMatched::Merge,
            when_not_matched: WhenNotMatched::Insert,
        },
        ValueRef::Document(spec) => parse_merge(spec, context.cx)?,
        _ => {
            return Err(Error::type_mismatch(format!(
                "$merge requires a string or object argument, but found {}",
                value.type_name()
            )));
        }
    };
    if merge.collection.is_empty() {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            "Invalid $merge target namespace",
        ));
    }
    if merge.collection.starts_with("system.") {
        return Err(Error::location(
            31319,
            format!("Cannot $merge to special collection: {}", merge.collection),
        ));
    }
    if let Some(db) = merge.db.as_deref().filter(|db| is_internal(db)) {
        return Err(Error::location(
            31320,
            format!("Cannot $merge to internal database: {db}"),
        ));
    }
    out.push(Box::new(SinkStage(Sink::Merge(merge))));
    Ok(())
}

fn parse_merge(spec: Doc<'_>, cx: &ParseContext) -> Result<Merge> {
    let mut target = None;
    let mut on = Vec::new();
    let mut when_matched = ValueRef::Missing;
    let mut when_not_matched = WhenNotMatched::Insert;
    let mut variables = None;
    for element in spec.iter() {
        let value = element.value();
        match &**element.key() {
            b"into" => target = Some(into(value)?),
            b"on" => on = parse_on(value)?,
            b"whenMatched" => {
                if !matches!(value, ValueRef::String(_) | ValueRef::Array(_)) {
                    return Err(Error::location(
                        51191,
                        format!(
                            "$merge 'whenMatched' field  must be either a string or an array, but found {}",
                            value.type_name()
                        ),
                    ));
                }
                when_matched = value;
            }
            b"whenNotMatched" => when_not_matched = parse_when_not_matched(value)?,
            b"let" => match value {
                ValueRef::Document(doc) => variables = Some(doc),
                value if value.is_nullish() => {}
                _ => return Err(wrong_type("let", value, "object")),
            },
            other => {
                return Err(Error::location(
                    40415,
                    format!(
                        "BSON field '$merge.{}' is an unknown field.",
                        String::from_utf8_lossy(other)
                    ),
                ));
            }
        }
    }
    let (db, collection) = target.ok_or_else(|| {
        Error::location(
            40414,
            "BSON field '$merge.into' is missing but a required field",
        )
    })?;
    let (name, when_matched) = parse_when_matched(when_matched, variables, cx)?;
    if matches!(when_matched, WhenMatched::Fail | WhenMatched::KeepExisting)
        && when_not_matched != WhenNotMatched::Insert
    {
        return Err(Error::location(
            51181,
            format!(
                "Combination of $merge modes 'whenMatched: {name}' and 'whenNotMatched: {when_not_matched:?}' is not supported"
            ),
        ));
    }
    Ok(Merge {
        db,
        collection,
        on,
        when_matched,
        when_not_matched,
    })
}

fn wrong_type(field: &str, value: ValueRef<'_>, expected: &str) -> Error {
    Error::type_mismatch(format!(
        "BSON field '$merge.{field}' is the wrong type '{}', expected type '{expected}'",
        value.type_name()
    ))
}

fn into(value: ValueRef<'_>) -> Result<(Option<String>, String)> {
    match value {
        ValueRef::String(name) => Ok((None, name.to_string())),
        ValueRef::Document(spec) => {
            let (mut db, mut collection) = (None, String::new());
            for element in spec.iter() {
                let value = element.value();
                match (&**element.key(), value) {
                    (b"db", ValueRef::String(name)) => {
                        db = Some(name.to_string()).filter(|name| !name.is_empty());
                    }
                    (b"coll", ValueRef::String(name)) => collection = name.to_string(),
                    (b"db" | b"coll", value) if value.is_nullish() => {}
                    (b"db" | b"coll", value) => {
                        return Err(wrong_type("into", value, "string"));
                    }
                    _ => {
                        return Err(Error::location(
                            40415,
                            format!("BSON field 'into.{}' is an unknown field.", element.key()),
                        ));
                    }
                }
            }
            if collection.is_empty() {
                return Err(Error::location(
                    5_786_801,
                    "$merge 'into' field must specify a 'coll' that is not empty, null or undefined",
                ));
            }
            Ok((db, collection))
        }
        _ => Err(Error::location(
            51178,
            format!(
                "$merge 'into' field  must be either a string or an object, but found {}",
                value.type_name()
            ),
        )),
    }
}

fn parse_on(value: ValueRef<'_>) -> Result<Vec<Bytes>> {
    let array = match value {
        ValueRef::String(path) => return Ok(vec![Bytes::from(FieldPath::parse(path)?.text())]),
        ValueRef::Array(array) => array,
        _ => {
            return Err(Error::location(
                51186,
                format!(
                    "$merge 'on' field  must be either a string or an array of strings, but found {}",
                    value.type_name()
                ),
            ));
        }
    };
    if array.is_empty() {
        return Err(Error::location(
            51187,
            "If explicitly specifying $merge 'on', must include at least one field",
        ));
    }
    let mut on = Vec::new();
    for value in array.values() {
        let ValueRef::String(path) = value else {
            return Err(Error::location(
                51134,
                format!(
                    "$merge 'on' array elements must be strings, but found {}",
                    value.type_name()
                ),
            ));
        };
        let path = Bytes::from(FieldPath::parse(path)?.text());
        if on.contains(&path) {
            return Err(Error::location(
                31465,
                format!(
                    "Found a duplicate field '{}'",
                    String::from_utf8_lossy(&path)
                ),
            ));
        }
        on.push(path);
    }
    Ok(on)
}

fn parse_when_not_matched(value: ValueRef<'_>) -> Result<WhenNotMatched> {
    match value {
        ValueRef::String(mode) => match &**mode {
            b"insert" => Ok(WhenNotMatched::Insert),
            b"discard" => Ok(WhenNotMatched::Discard),
            b"fail" => Ok(WhenNotMatched::Fail),
            _ => Err(not_a_mode(mode, "$merge.whenNotMatched")),
        },
        _ => Err(wrong_type("whenNotMatched", value, "string")),
    }
}

fn not_a_mode(mode: &bstr::BStr, field: &str) -> Error {
    Error::bad_value(format!(
        "Enumeration value '{mode}' for field '{field}' is not a valid value."
    ))
}

fn parse_when_matched<'a>(
    value: ValueRef<'a>,
    variables: Option<Doc<'_>>,
    cx: &ParseContext,
) -> Result<(&'a str, WhenMatched)> {
    let (name, mode) = match value {
        ValueRef::Array(stages) => {
            for stage in stages.values() {
                let Some(stage) = stage.as_document() else {
                    return Err(Error::type_mismatch(
                        "Each element of the 'pipeline' array must be an object",
                    ));
                };
                if let Some(element) = stage.iter().next() {
                    find(element.key())?;
                }
            }
            let variables = parse_let(variables, cx)?;
            let Value::Array(stages) = Value::copy_of(value) else {
                return Err(Error::type_mismatch("a pipeline is an array"));
            };
            return Ok(("pipeline", WhenMatched::Pipeline { stages, variables }));
        }
        ValueRef::String(mode) => match &**mode {
            b"replace" => ("replace", WhenMatched::Replace),
            b"keepExisting" => ("keepExisting", WhenMatched::KeepExisting),
            b"merge" => ("merge", WhenMatched::Merge),
            b"fail" => ("fail", WhenMatched::Fail),
            _ => return Err(not_a_mode(mode, "whenMatched")),
        },
        _ => ("merge", WhenMatched::Merge),
    };
    if variables.is_some() {
        return Err(Error::location(
            51199,
            format!("Cannot use 'let' variables with 'whenMatched: {name}' mode"),
        ));
    }
    Ok((name, mode))
}

fn parse_let(variables: Option<Doc<'_>>, cx: &ParseContext) -> Result<Vec<(String, Expr)>> {
    let mut parsed = Vec::new();
    for element in variables.into_iter().flat_map(Doc::iter) {
        let name = element.key();
        let text = name.to_string();
        check_variable_name(&text, true)?;
        if name == "new" {
            if !matches!(element.value(), ValueRef::String(text) if text == "$$ROOT") {
                return Err(Error::location(
                    51273,
                    "'let' may not define a value for the reserved 'new' variable other than '$$ROOT'",
                ));
            }
            continue;
        }
        parsed.push((text, Expr::parse(element.value(), cx)?));
    }
    let root = Expr::parse(ValueRef::String("$$ROOT".into()), cx)?;
    parsed.push(("new".to_owned(), root));
    Ok(parsed)
}
