//! Updates that are pipelines: `[{$set: …}, {$unset: …}]`.
//!
//! Source: MongoDB manual, "Updates with Aggregation Pipeline".

use bytes::Bytes;

use crate::filter::Filter;
use crate::stage::{self, Context, Documents, Pipeline, Reader, Source};
use crate::value::{Doc, ValueRef};
use crate::{Env, Error, ErrorCode, ParseContext, Result};

/// The stages that change one document by what it holds itself, sorted.
const STAGES: &[&[u8]] = &[
    b"$addFields",
    b"$project",
    b"$replaceRoot",
    b"$replaceWith",
    b"$set",
    b"$unset",
];

/// Compiles the pipeline of an update.
///
/// # Errors
/// Those of a malformed pipeline, `InvalidOptions` for a stage that no update may have.
pub(super) fn parse(stages: Doc<'_>, cx: &ParseContext) -> Result<Pipeline> {
    let pipeline = Pipeline::parse(stages, cx)?;
    for stage in stages.values() {
        let ValueRef::Document(stage) = stage else {
            continue;
        };
        if let Some(first) = stage.iter().next()
            && STAGES.binary_search(&&**first.key()).is_err()
        {
            return Err(Error::new(
                ErrorCode::InvalidOptions,
                format!("{} is not allowed to be used within an update", first.key()),
            ));
        }
    }
    Ok(pipeline)
}

/// Checks that every stage is a document that names one known stage.
///
/// # Errors
/// `TypeMismatch`, 40323, 40324.
pub(super) fn check(stages: Doc<'_>) -> Result<()> {
    for stage in stages.values() {
        let ValueRef::Document(stage) = stage else {
            return Err(Error::type_mismatch(
                "Each element of the 'pipeline' array must be an object",
            ));
        };
        let mut fields = stage.iter();
        let (Some(first), None) = (fields.next(), fields.next()) else {
            return Err(Error::location(
                40323,
                "A pipeline stage specification object must contain exactly one field.",
            ));
        };
        if !stage::names().any(|name| name.as_bytes() == &**first.key()) {
            return Err(Error::location(
                40324,
                format!("Unrecognized pipeline stage name: '{}'", first.key()),
            ));
        }
    }
    Ok(())
}

/// What comes of `doc`.
pub(super) fn run(pipeline: &Pipeline, doc: &Bytes, env: &Env<'_>) -> Result<Bytes> {
    let context = Context {
        env,
        reader: &Nothing,
        allow_disk_use: false,
    };
    let source = Box::new(Documents::new(vec![doc.clone()]));
    pipeline.open(source).next(&context)?.ok_or_else(|| {
        Error::new(
            ErrorCode::InternalError,
            "an update's pipeline gave no document",
        )
    })
}

/// No stage of an update reads a collection.
struct Nothing;

impl Reader for Nothing {
    fn scan(
        &self,
        _db: Option<&str>,
        _collection: &str,
        _filter: Option<&Filter>,
    ) -> Result<Box<dyn Source>> {
        Ok(Box::new(Documents::new(Vec::new())))
    }
}
