//! The options of a collection as `create` takes them: checked, completed, and put in the order in which
//! `listCollections` shows them.

use argon_engine::state::{Options, State};
use argon_mql::collation::Collation;
use argon_mql::filter::Filter;
use argon_mql::index::IndexSpec;
use argon_mql::stage::Pipeline;
use argon_mql::value::Element;
use argon_mql::{Doc, DocBuf, ErrorCode, ParseContext, ValueRef};
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::request::{Argument, is_generic, unknown_field};

/// The arguments of `create`, once read.
#[derive(Default)]
pub(super) struct Given<'a> {
    capped: bool,
    size: Option<i64>,
    max: Option<i64>,
    clustered: Option<Doc<'a>>,
    validator: Option<Doc<'a>>,
    level: Option<&'a str>,
    action: Option<&'a str>,
    view_on: Option<&'a str>,
    pipeline: Option<Doc<'a>>,
    collation: Option<Doc<'a>>,
    expires: bool,
}

/// Source: MongoDB manual, "create", `validationLevel`.
const LEVELS: &[&str] = &["off", "strict", "moderate"];

/// Source: MongoDB manual, "create", `validationAction`.
const ACTIONS: &[&str] = &["error", "warn"];

/// Capped collections grow by this many bytes. Source: MongoDB manual, "Capped Collections".
const CAPPED_UNIT: i64 = 256;

impl<'a> Given<'a> {
    /// Reads the arguments.
    pub(super) fn read(arguments: impl Iterator<Item = Element<'a>>) -> Result<Given<'a>> {
        let mut given = Given::default();
        for element in arguments {
            let argument = Argument {
                command: "create",
                element,
            };
            match &**element.key() {
                b"capped" => given.capped = argument.bool()?,
                b"size" => given.size = Some(at_least_one("size", argument.integer()?)?),
                b"max" => given.max = Some(argument.integer()?),
                b"validator" => given.validator = Some(argument.document()?),
                b"validationLevel" => given.level = Some(one_of(&argument, LEVELS)?),
                b"validationAction" => given.action = Some(one_of(&argument, ACTIONS)?),
                b"viewOn" => given.view_on = Some(argument.string()?),
                b"pipeline" => given.pipeline = Some(argument.array()?),
                b"collation" => given.collation = Some(argument.document()?),
                b"clusteredIndex" => match element.value() {
                    ValueRef::Bool(false) => {}
                    _ => given.clustered = Some(argument.document()?),
                },
                b"idIndex" => {
                    if !IndexSpec::parse(argument.document()?)?.is_id() {
                        return Err(Error::bad_value(
                            "The field 'key' for an _id index must be {_id: 1}",
                        ));
                    }
                }
                // What has no effect on how a collection behaves here.
                b"storageEngine" | b"indexOptionDefaults" => {
                    argument.document()?;
                }
                b"autoIndexId" | b"temp" | b"recordPreImages" => {
                    argument.bool()?;
                }
                b"flags" => {
                    argument.integer()?;
                }
                b"expireAfterSeconds" => {
                    argument.integer()?;
                    given.expires = true;
                }
                b"timeseries" | b"encryptedFields" | b"changeStreamPreAndPostImages" => {
                    return Err(Error::new(
                        ErrorCode::CommandNotSupported,
                        format!("collections with '{}' are not supported", element.key()),
                    ));
                }
                key if is_generic(key) => {}
                _ => return Err(unknown_field("create", element.key())),
            }
        }
        given.check()?;
        Ok(given)
    }

    fn check(&self) -> Result<()> {
        let invalid = |message: &str| Err(Error::new(ErrorCode::InvalidOptions, message));
        if self.pipeline.is_some() && self.view_on.is_none() {
            return invalid("'pipeline' requires 'viewOn' to also be specified");
        }
        if self.view_on == Some("") {
            return Err(Error::bad_value("'viewOn' cannot be empty"));
        }
        if self.capped && self.size.is_none() {
            return invalid("the 'size' field is required when 'capped' is true");
        }
        match (self.expires, self.clustered) {
            (true, None) => {
                return invalid(
                    "'expireAfterSeconds' is only supported on time-series collections or when the 'clusteredIndex' option is specified",
                );
            }
            (true, Some(_)) => {
                return Err(Error::new(
                    ErrorCode::CommandNotSupported,
                    "clustered collections with 'expireAfterSeconds' are not supported",
                ));
            }
            (false, _) => {}
        }
        if !self.capped && (self.size.is_some() || self.max.is_some()) {
            return invalid(
                "the 'capped' field needs to be true when either the 'size' or 'max' fields are present",
            );
        }
        Ok(())
    }

    /// The document that is stored: `namespace` is for error texts, `state` has the views that a view may stand on.
    pub(super) fn document(&self, namespace: &str, name: &str, state: &State) -> Result<Bytes> {
        let mut out = DocBuf::new();
        let uuid = *uuid::Uuid::new_v4().as_bytes();
        out.append(
            "uuid",
            ValueRef::Binary {
                subtype: 4,
                bytes: &uuid,
            },
        );
        if self.capped {
            let size = capped_bytes(self.size.unwrap_or(CAPPED_UNIT));
            out.append("capped", ValueRef::Bool(true));
            out.append("size", number(size));
            if let Some(max) = self.max.filter(|max| *max > 0) {
                out.append("max", number(max));
            }
        }
        if let Some(clustered) = self.clustered {
            append_clustered(&mut out, clustered)?;
        }
        if let Some(validator) = self.validator.filter(|validator| !validator.is_empty()) {
            Filter::parse_validator(validator, &ParseContext::new())?;
            out.append("validator", ValueRef::Document(validator));
        }
        for (name, value) in [
            ("validationLevel", self.level),
            ("validationAction", self.action),
        ] {
            if let Some(value) = value {
                out.append(name, ValueRef::String(value.into()));
            }
        }
        let collation = self.collation.map_or(Ok(None), Collation::parse)?;
        if let Some(on) = self.view_on {
            let stages = self.pipeline.unwrap_or(Doc::EMPTY);
            check_view(namespace, name, on, stages, collation.as_ref(), state)?;
            out.append("viewOn", ValueRef::String(on.into()));
            out.append("pipeline", ValueRef::Array(stages));
        }
        if let Some(collation) = collation {
            out.append(
                "collation",
                ValueRef::Document(Doc::new(collation.document())),
            );
        }
        let document = out.finish();
        Options::parse(document.clone())?;
        Ok(document)
    }
}

/// The size of a capped collection of which `size` bytes were asked: MongoDB rounds up.
pub(super) fn capped_bytes(size: i64) -> i64 {
    size.saturating_add(CAPPED_UNIT - 1) / CAPPED_UNIT * CAPPED_UNIT
}

/// Refuses a view that writes, that cannot be parsed, that stands on itself, or on views that compare strings
/// otherwise.
pub(super) fn check_view(
    namespace: &str,
    name: &str,
    on: &str,
    stages: Doc<'_>,
    collation: Option<&Collation>,
    state: &State,
) -> Result<()> {
    let database = namespace.strip_suffix(name).unwrap_or_default();
    let pipeline = Pipeline::parse(stages, &ParseContext::new()).map_err(|error| {
        let error = Error::from(error);
        Error {
            message: format!(
                "Invalid pipeline for view {namespace} :: caused by :: {}",
                error.message
            ),
            ..error
        }
    })?;
    if let Some(sink) = pipeline.sink() {
        return Err(Error::new(
            ErrorCode::OptionNotSupportedOnView,
            format!(
                "Invalid pipeline for view {namespace} :: caused by :: The aggregation stage {0} in location {1} of the \
                 pipeline cannot be used in the view definition of {namespace} because it writes to disk",
                sink.name(),
                pipeline.len()
            ),
        ));
    }
    let mut below = vec![on.to_owned()];
    pipeline.each_collection(&mut |_, name| below.push(name.to_owned()));
    let mut seen = Vec::new();
    while let Some(next) = below.pop() {
        if next == name {
            return Err(Error::new(
                ErrorCode::GraphContainsCycle,
                format!("View cycle detected: {namespace} => {database}{on} => {namespace}"),
            ));
        }
        if seen.contains(&next) {
            continue;
        }
        if let Some(found) = state.collection(&next)
            && let Some(view) = &found.options.view
        {
            if found.options.collation.as_deref() != collation {
                return Err(Error::new(
                    ErrorCode::OptionNotSupportedOnView,
                    format!(
                        "View {namespace} has conflicting collation with view {database}{next}"
                    ),
                ));
            }
            below.push(view.on.clone());
            let stages = view
                .stages
                .iter()
                .map(|stage| ValueRef::Document(Doc::new(stage)));
            if let Ok(stages) =
                Pipeline::parse(Doc::new(&DocBuf::array(stages)), &ParseContext::new())
            {
                stages.each_collection(&mut |_, name| below.push(name.to_owned()));
            }
        }
        seen.push(next);
    }
    Ok(())
}

fn append_clustered(out: &mut DocBuf, clustered: Doc<'_>) -> Result<()> {
    let key = clustered
        .get("key")
        .and_then(|key| key.as_document())
        .unwrap_or(Doc::EMPTY);
    if !IndexSpec::id().has_pattern(key) {
        return Err(Error::new(
            ErrorCode::location(197),
            "The clusteredIndex option is only supported for key: {_id: 1}",
        ));
    }
    let open = out.open_document("clusteredIndex");
    out.append("v", ValueRef::Int32(2));
    out.append("key", ValueRef::Document(key));
    match clustered.element(b"name") {
        Some(name) => out.append_element(&name),
        None => out.append("name", ValueRef::String("_id_".into())),
    }
    out.append("unique", ValueRef::Bool(true));
    out.close(open);
    Ok(())
}

/// A number as small as it can be stored, as MongoDB shows sizes.
pub(super) fn number(number: i64) -> ValueRef<'static> {
    i32::try_from(number).map_or(ValueRef::Int64(number), ValueRef::Int32)
}

pub(super) fn at_least_one(name: &str, number: i64) -> Result<i64> {
    if number >= 1 {
        return Ok(number);
    }
    let message = format!("BSON field '{name}' value must be >= 1, actual value '{number}'");
    Err(Error::location(51024, message))
}

/// One of a few words.
pub(super) fn one_of<'a>(argument: &Argument<'a>, words: &[&str]) -> Result<&'a str> {
    let word = argument.string()?;
    if words.contains(&word) {
        return Ok(word);
    }
    Err(Error::bad_value(format!(
        "Enumeration value '{word}' for field '{}.{}' is not a valid value.",
        argument.command,
        argument.element.key()
    )))
}

/// The words that `validationLevel` and `validationAction` take.
pub(super) const fn words() -> (&'static [&'static str], &'static [&'static str]) {
    (LEVELS, ACTIONS)
}
