//! `$facet`: several pipelines over the same documents.

use std::sync::Arc;

use bytes::Bytes;

use super::budget::Budget;
use super::source::Turns;
use super::{Context, Documents, Pipeline, Source, Stage, StageContext};
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Error, ErrorCode, Result};

/// Most bytes that the output of one facet, or all of them together, may have.
///
/// Source: mongod 6.0.5, parameter `internalQueryFacetMaxOutputDocSizeBytes`.
const OUTPUT_BYTES_MAX: usize = 100 * 1024 * 1024;

#[derive(Debug)]
struct Facet {
    facets: Vec<(Bytes, Pipeline)>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let spec = match value.as_document() {
        Some(spec) if !spec.is_empty() => spec,
        _ => {
            return Err(Error::location(
                40169,
                "the $facet specification must be a non-empty object",
            ));
        }
    };
    let mut raw = Vec::new();
    for element in spec.iter() {
        let name = element.key();
        check_name(name)?;
        let ValueRef::Array(stages) = element.value() else {
            return Err(Error::location(
                40170,
                format!(
                    "arguments to $facet must be arrays, {name} is type {}",
                    element.value().type_name()
                ),
            ));
        };
        if let Some(other) = stages.values().find(|stage| stage.as_document().is_none()) {
            return Err(Error::location(
                40171,
                format!(
                    "elements of arrays in $facet spec must be non-empty objects, {name} argument contained an element of type {}",
                    other.type_name()
                ),
            ));
        }
        raw.push((Bytes::copy_from_slice(name), stages));
    }
    let mut facets = Vec::new();
    for (name, stages) in raw {
        let pipeline = Pipeline::parse_nested(stages, context.cx, context.depth + 1, false)?;
        if let Some(stage) = pipeline.not_in_facet() {
            return Err(Error::location(
                40600,
                format!("{stage} is not allowed to be used within a $facet stage"),
            ));
        }
        facets.push((name, pipeline));
    }
    out.push(Box::new(Facet { facets }));
    Ok(())
}

fn check_name(name: &[u8]) -> Result<()> {
    let (code, why) = if name.is_empty() {
        (15998, "may not be empty strings.")
    } else if name.starts_with(b"$") {
        (16410, "may not start with '$'.")
    } else if name.contains(&b'.') {
        (16412, "may not contain '.'.")
    } else {
        return Ok(());
    };
    Err(Error::location(
        code,
        format!("FieldPath field names {why}"),
    ))
}

impl Stage for Facet {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(FacetSource {
            stage: self,
            input: Some(input),
        })
    }

    fn each_collection(&self, visit: &mut dyn FnMut(Option<&str>, &str)) {
        for (_, pipeline) in &self.facets {
            pipeline.each_collection(visit);
        }
    }
}

struct FacetSource {
    stage: Arc<Facet>,
    input: Option<Box<dyn Source>>,
}

impl Source for FacetSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(mut input) = self.input.take() else {
            return Ok(None);
        };
        let mut budget = Budget::new("$facet");
        let mut turns = Turns::default();
        let mut documents = Vec::new();
        let resident = input.is_resident();
        while let Some(doc) = input.next(cx)? {
            turns.turn(cx)?;
            budget.hold(std::mem::size_of::<Bytes>() + if resident { 0 } else { doc.len() })?;
            documents.push(doc);
        }
        let mut out = DocBuf::new();
        for (name, pipeline) in &self.stage.facets {
            // The documents are shared, not copied.
            let mut source = pipeline.open_nested(0, Box::new(Documents::new(documents.clone())));
            let open = out.open_array(name);
            let mut index = 0;
            while let Some(doc) = source.next(cx)? {
                out.push(index, ValueRef::Document(Doc::new(&doc)));
                index += 1;
                if out.byte_len() > OUTPUT_BYTES_MAX {
                    return Err(Error::new(
                        ErrorCode::location(4_031_700),
                        format!(
                            "document constructed by $facet is larger than {OUTPUT_BYTES_MAX} bytes"
                        ),
                    ));
                }
            }
            out.close(open);
        }
        Ok(Some(out.finish()))
    }
}
