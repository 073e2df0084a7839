//! Stages whose documents the server has to supply: `$collStats`, `$indexStats`, `$currentOp`, `$listSessions`, ….
//!
//! Their arguments are checked here; the documents come from [`Reader::system`](super::Reader::system).

use std::sync::Arc;

use bytes::Bytes;

use super::{Source, Stage, StageContext};
use crate::value::{Doc, ValueRef};
use crate::{Error, ErrorCode, Result};

/// A source that the server has to supply.
#[derive(Clone, Debug)]
pub struct SystemSource {
    /// The stage: `$collStats`, `$currentOp`, `$indexStats`, `$listLocalSessions`, `$listSessions`, `$planCacheStats`.
    pub name: &'static str,
    /// Its argument, a checked document.
    pub spec: Bytes,
    /// In a sub-pipeline, the database (none: the command's own) and collection that it reads instead of the command's.
    pub on: Option<(Option<String>, String)>,
}

impl SystemSource {
    /// Its argument.
    pub fn arguments(&self) -> Doc<'_> {
        Doc::new(&self.spec)
    }

    /// The same source on another collection: that of a sub-pipeline.
    pub(super) fn on(&self, db: Option<&str>, collection: &str) -> SystemSource {
        SystemSource {
            on: Some((db.map(str::to_owned), collection.to_owned())),
            ..self.clone()
        }
    }

    /// Checks that it may run on `collection` of `db`, or without a collection.
    pub(super) fn check_namespace(&self, db: &str, collection: Option<&str>) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorCode::InvalidNamespace, why));
        let name = self.name;
        match (name, collection) {
            ("$currentOp", None) if db == "admin" => Ok(()),
            ("$currentOp", _) => refuse(format!(
                "{name} must be run against the 'admin' database with {{aggregate: 1}}"
            )),
            ("$listSessions", Some("system.sessions")) if db == "config" => Ok(()),
            ("$listSessions", _) => refuse(format!(
                "{name} may only be run against config.system.sessions"
            )),
            ("$listLocalSessions", None) => Ok(()),
            ("$listLocalSessions", Some(_)) => refuse(format!(
                "{name} must be run against the database with {{aggregate: 1}}, not a collection"
            )),
            (_, None) => refuse(format!(
                "{{aggregate: 1}} is not valid for '{name}'; a collection is required."
            )),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct System(SystemSource);

impl Stage for System {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(SystemDocuments {
            source: self.0.clone(),
            open: None,
            rest: input,
        })
    }

    fn generates(&self) -> bool {
        true
    }

    fn as_system(&self) -> Option<&SystemSource> {
        Some(&self.0)
    }
}

struct SystemDocuments {
    source: SystemSource,
    open: Option<Box<dyn Source>>,
    /// What stands before it: nothing, but a source may not be dropped unread if somebody put one there.
    rest: Box<dyn Source>,
}

impl Source for SystemDocuments {
    fn next(&mut self, cx: &super::Context<'_>) -> Result<Option<Bytes>> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(cx.reader.system(&self.source)?),
        };
        match open.next(cx)? {
            Some(doc) => Ok(Some(doc)),
            None => self.rest.next(cx),
        }
    }
}

fn system(name: &'static str, spec: Doc<'_>, out: &mut Vec<Box<dyn Stage>>) {
    out.push(Box::new(System(SystemSource {
        name,
        spec: Bytes::copy_from_slice(spec.as_bytes()),
        on: None,
    })));
}

/// The error for a field of a wrong type.
fn wrong_type(place: &str, value: ValueRef<'_>, expected: &str) -> Error {
    Error::type_mismatch(format!(
        "BSON field '{place}' is the wrong type '{}', expected type '{expected}'",
        value.type_name()
    ))
}

fn unknown_field(place: &str) -> Error {
    Error::location(40415, format!("BSON field '{place}' is an unknown field."))
}

fn options<'a>(name: &str, value: ValueRef<'a>) -> Result<Doc<'a>> {
    value.as_document().ok_or_else(|| {
        Error::type_mismatch(format!(
            "{name} options must be specified in an object, but found: {}",
            value.type_name()
        ))
    })
}

pub(super) fn coll_stats(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            5_447_000,
            "$collStats must take a nested object",
        ));
    };
    for element in spec.iter() {
        let place = format!("$collStats.{}", element.key());
        match &**element.key() {
            b"count" | b"latencyStats" | b"storageStats" | b"queryExecStats" => {
                let value = element.value();
                let inner = value
                    .as_document()
                    .ok_or_else(|| wrong_type(&place, value, "object"))?;
                if let Some(value) = inner.get("histograms")
                    && !matches!(value, ValueRef::Bool(_))
                {
                    return Err(Error::type_mismatch(format!(
                        "Field 'histograms' should be a boolean value, but found: {}",
                        value.type_name()
                    )));
                }
            }
            _ => return Err(unknown_field(&place)),
        }
    }
    system("$collStats", spec, out);
    Ok(())
}

pub(super) fn index_stats(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    match value.as_document() {
        Some(spec) if spec.is_empty() => {
            system("$indexStats", spec, out);
            Ok(())
        }
        _ => Err(Error::location(
            28803,
            "The $indexStats stage specification must be an empty object",
        )),
    }
}

pub(super) fn plan_cache_stats(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    match value.as_document() {
        Some(spec) if spec.is_empty() => {
            system("$planCacheStats", spec, out);
            Ok(())
        }
        Some(_) => Err(Error::failed_to_parse(
            "$planCacheStats parameters object must be empty",
        )),
        None => Err(Error::failed_to_parse(
            "$planCacheStats value must be an object",
        )),
    }
}

pub(super) fn current_op(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let spec = options("$currentOp", value)?;
    for element in spec.iter() {
        let name = element.key();
        match &**name {
            b"allUsers" | b"idleConnections" | b"idleSessions" | b"localOps" | b"truncateOps"
            | b"idleCursors" | b"backtrace" => {
                if !matches!(element.value(), ValueRef::Bool(_)) {
                    let message = format!(
                        "The '{name}' parameter of the $currentOp stage must be a boolean value, but found: {}",
                        element.value().type_name()
                    );
                    return Err(if name == "idleCursors" {
                        Error::failed_to_parse(message)
                    } else {
                        Error::type_mismatch(message)
                    });
                }
            }
            _ => {
                return Err(Error::failed_to_parse(format!(
                    "Unrecognized option '{name}' in $currentOp stage."
                )));
            }
        }
    }
    system("$currentOp", spec, out);
    Ok(())
}

pub(super) fn list_local_sessions(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    sessions("$listLocalSessions", value, out)
}

pub(super) fn list_sessions(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    sessions("$listSessions", value, out)
}

fn sessions(name: &'static str, value: ValueRef<'_>, out: &mut Vec<Box<dyn Stage>>) -> Result<()> {
    let spec = options(name, value)?;
    for element in spec.iter() {
        let place = format!("{name}.{}", element.key());
        let value = element.value();
        match (&**element.key(), value) {
            (b"allUsers", ValueRef::Bool(_)) | (b"users", ValueRef::Array(_)) => {}
            (b"allUsers", _) => return Err(wrong_type(&place, value, "bool")),
            (b"users", _) => return Err(wrong_type(&place, value, "array")),
            _ => return Err(unknown_field(&place)),
        }
    }
    system(name, spec, out);
    Ok(())
}
