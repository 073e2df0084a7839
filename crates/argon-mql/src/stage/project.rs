//! `$project`.

use std::sync::Arc;

use bytes::Bytes;

use super::{Context, Source, Stage, StageContext};
use crate::projection::{Flavor, Projection};
use crate::value::{Doc, ValueRef};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct Project {
    projection: Projection,
    /// The top-level fields that it leaves out, if it only does that.
    left_out: Option<Vec<Bytes>>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            15969,
            "$project specification must be an object",
        ));
    };
    out.push(Box::new(Project::new("$project", spec, context)?));
    Ok(())
}

impl Project {
    /// Parses `spec`; `stage` is what error texts call it.
    pub(super) fn new(stage: &str, spec: Doc<'_>, context: &StageContext<'_>) -> Result<Project> {
        let projection = Projection::parse(spec, Flavor::Aggregate, context.cx)
            .map_err(|error| error.context(&format!("Invalid {stage} :: caused by :: ")))?;
        let left_out = (projection.is_simple() && !projection.is_inclusive()).then(|| {
            spec.iter()
                .map(|element| Bytes::copy_from_slice(element.key()))
                .collect()
        });
        Ok(Project {
            projection,
            left_out,
        })
    }
}

impl Stage for Project {
    fn keeps_field(&self, name: &[u8]) -> bool {
        if let Some(left_out) = &self.left_out {
            return left_out.iter().all(|field| field != name);
        }
        self.projection.is_simple()
            && self
                .projection
                .kept_fields()
                .is_some_and(|mut fields| fields.any(|field| field == name))
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(ProjectSource { stage: self, input })
    }
}

struct ProjectSource {
    stage: Arc<Project>,
    input: Box<dyn Source>,
}

impl Source for ProjectSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        match self.input.next(cx)? {
            Some(doc) => Ok(Some(self.stage.projection.apply(&doc, cx.env, None)?)),
            None => Ok(None),
        }
    }
}
