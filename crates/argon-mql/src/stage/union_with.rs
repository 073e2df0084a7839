//! `$unionWith`: the documents of another collection after one's own.

use std::sync::Arc;

use bytes::Bytes;

use super::lookup::{From, open_on};
use super::{Context, Copies, Pipeline, Source, Stage, StageContext};
use crate::value::{Doc, ValueRef};
use crate::{Error, ErrorCode, Result};

#[derive(Debug)]
struct UnionWith {
    /// `None`: the pipeline starts with `$documents`.
    from: Option<From>,
    pipeline: Pipeline,
    /// Whether the filter behind it stands before it as well.
    has_copy: bool,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let (mut collection, mut stages) = (None, Doc::EMPTY);
    match value {
        ValueRef::String(name) => collection = Some(name.to_string()),
        ValueRef::Document(spec) => {
            for element in spec.iter() {
                let name = element.key();
                match (&**name, element.value()) {
                    (b"coll", ValueRef::String(name)) => collection = Some(name.to_string()),
                    (b"pipeline", ValueRef::Array(array)) => stages = array,
                    (b"coll", value) => return Err(wrong_type("coll", value, "string")),
                    (b"pipeline", value) => return Err(wrong_type("pipeline", value, "array")),
                    _ => {
                        return Err(Error::location(
                            40415,
                            format!("BSON field '$unionWith.{name}' is an unknown field."),
                        ));
                    }
                }
            }
        }
        _ => {
            return Err(Error::failed_to_parse(format!(
                "the $unionWith stage specification must be an object or string, but found {}",
                value.type_name()
            )));
        }
    }
    let pipeline = Pipeline::parse_nested(stages, context.cx, context.depth + 1, true)?;
    match &collection {
        None if pipeline.stage_names().next() != Some("$documents") => {
            return Err(Error::failed_to_parse(
                "$unionWith stage without explicit collection must have a pipeline with $documents as first stage",
            ));
        }
        Some(name) if name.is_empty() => {
            return Err(Error::new(
                ErrorCode::InvalidNamespace,
                "an empty name is not a valid collection name",
            ));
        }
        _ => {}
    }
    if let Some(sink) = pipeline.sink() {
        return Err(Error::location(
            31441,
            format!(
                "{} is not allowed within a $unionWith's sub-pipeline",
                sink.name()
            ),
        ));
    }
    out.push(Box::new(UnionWith {
        from: collection.map(|collection| From {
            db: None,
            collection,
        }),
        pipeline,
        has_copy: false,
    }));
    Ok(())
}

fn wrong_type(field: &str, value: ValueRef<'_>, expected: &str) -> Error {
    Error::type_mismatch(format!(
        "BSON field '$unionWith.{field}' is the wrong type '{}', expected type '{expected}'",
        value.type_name()
    ))
}

impl Stage for UnionWith {
    fn takes_copies(&self) -> Copies {
        if self.has_copy {
            Copies::None
        } else {
            Copies::All
        }
    }

    fn has_copy(&mut self) {
        self.has_copy = true;
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(UnionSource {
            stage: self,
            source: input,
            is_other: false,
        })
    }

    fn each_collection(&self, visit: &mut dyn FnMut(Option<&str>, &str)) {
        if let Some(from) = &self.from {
            visit(from.db.as_deref(), &from.collection);
        }
        self.pipeline.each_collection(visit);
    }

    fn is_allowed_in_facet(&self) -> bool {
        self.pipeline.not_in_facet().is_none()
    }
}

struct UnionSource {
    stage: Arc<UnionWith>,
    source: Box<dyn Source>,
    /// Whether `source` is the other collection by now.
    is_other: bool,
}

impl Source for UnionSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(doc) = self.source.next(cx)? {
            return Ok(Some(doc));
        }
        if self.is_other {
            return Ok(None);
        }
        self.is_other = true;
        self.source = open_on(self.stage.from.as_ref(), &self.stage.pipeline, cx)?;
        self.source.next(cx)
    }
}
