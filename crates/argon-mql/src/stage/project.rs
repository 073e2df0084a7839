//! `$project`.

use std::sync::Arc;

use bytes::Bytes;

use super::{Changes, Context, Paths, Source, Stage, StageContext};
use crate::projection::{Flavor, Projection};
use crate::value::{Doc, ValueRef};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct Project {
    projection: Projection,
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
        Ok(Project { projection })
    }
}

impl Stage for Project {
    fn changes(&self) -> Changes {
        let mut paths = Paths::default();
        self.projection.add_paths(&mut paths);
        if self.projection.is_inclusive() {
            Changes::AllBut(paths)
        } else {
            Changes::Only(paths)
        }
    }

    fn gives_one_for_one(&self) -> bool {
        true
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
