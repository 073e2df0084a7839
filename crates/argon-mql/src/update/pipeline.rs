//! Updates that are pipelines: `[{$set: …}, {$unset: …}]`.
//!
//! Source: MongoDB manual, "Updates with Aggregation Pipeline".

use bstr::ByteSlice;
use bytes::Bytes;

use crate::expr::check_variable_name;
use crate::filter::Filter;
use crate::stage::{self, Context, Documents, Pipeline, Reader, Source};
use crate::value::{Doc, Value, ValueRef};
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

/// Variables that no command defines.
const SYSTEM_VARIABLES: &[&str] = &[
    "CLUSTER_TIME",
    "IS_MR",
    "JS_SCOPE",
    "NOW",
    "REMOVE",
    "ROOT",
    "SEARCH_META",
    "USER_ROLES",
];

/// The pipeline of an update.
#[derive(Debug)]
pub(super) struct Stages {
    pipeline: Pipeline,
    /// Its own variables.
    constants: Vec<(String, Value)>,
}

impl Stages {
    /// Compiles `stages`.
    ///
    /// # Errors
    /// Those of a malformed pipeline, `InvalidOptions` for a stage that no update may have, and those of bad names of
    /// variables.
    pub(super) fn parse(
        stages: Doc<'_>,
        constants: Option<Doc<'_>>,
        cx: &ParseContext,
    ) -> Result<Stages> {
        let mut variables = Vec::new();
        for constant in constants.unwrap_or(Doc::EMPTY).iter() {
            let name = constant.key().to_str_lossy();
            check_variable_name(&name, false)?;
            if SYSTEM_VARIABLES.contains(&&*name) {
                return Err(Error::location(
                    17275,
                    "Can't redefine a non-user-writable variable",
                ));
            }
            variables.push((name.into_owned(), Value::copy_of(constant.value())));
        }
        let names = variables.iter().map(|(name, _)| name.as_str());
        let pipeline = Pipeline::parse(stages, &cx.with_variables(names))?;
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
        Ok(Stages {
            pipeline,
            constants: variables,
        })
    }

    /// What comes of `doc`.
    pub(super) fn run(&self, doc: &Bytes, env: &Env<'_>) -> Result<Bytes> {
        if self.constants.is_empty() {
            return run(&self.pipeline, doc, env);
        }
        let variables = env.variables.iter().chain(&self.constants);
        let inner = Env {
            now_ms: env.now_ms,
            cluster_time: env.cluster_time,
            variables: variables.cloned().collect(),
            seed: env.seed.clone(),
            check_interrupt: env.check_interrupt,
        };
        let result = run(&self.pipeline, doc, &inner);
        env.seed.set(inner.seed.get());
        result
    }
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
        if !stage::is_known(first.key()) {
            return Err(Error::location(
                40324,
                format!("Unrecognized pipeline stage name: '{}'", first.key()),
            ));
        }
    }
    Ok(())
}

fn run(pipeline: &Pipeline, doc: &Bytes, env: &Env<'_>) -> Result<Bytes> {
    let context = Context {
        env,
        reader: &Nothing,
        spill: None,
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
