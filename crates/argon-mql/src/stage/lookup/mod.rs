//! `$lookup`: to each document, the documents of another collection that belong to it.
//!
//! Three forms: equality of two fields, a pipeline with variables, both. Equality is answered by an index of the other
//! collection if there is one, else by a hash table over it ([`join`]), never by a scan per document.

mod join;
mod parse;

use std::sync::Arc;

use bytes::Bytes;

use self::join::local_values;
use super::source::Turns;
use super::{Changes, Context, Documents, FieldPath, Pipeline, Source, Stage};
use crate::collation::Collation;
use crate::expr::{Expr, Scope};
use crate::value::{Doc, DocBuf, Value, ValueRef};
use crate::{Env, Error, Result};

pub(super) use join::{Join, collect_values};
pub(super) use parse::parse;

/// Most bytes that the matching documents of one document may have together.
///
/// Source: mongod 6.0.5, parameter `internalLookupStageIntermediateDocumentMaxSizeBytes`. A document that leaves the
/// pipeline is smaller.
const MATCHES_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Most bytes of a sub-pipeline's result that are kept for the next document, if it is the same for all.
const KEPT_BYTES_MAX: usize = 100 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Lookup {
    /// `None`: the pipeline starts with `$documents`.
    from: Option<From>,
    output: FieldPath,
    equality: Option<Equality>,
    sub: Option<SubPipeline>,
    /// mongod 6.0.5 runs a pushed-down `$lookup` in another engine, which moves an existing output field to the end.
    moves_output: bool,
    collation: Option<Arc<Collation>>,
}

#[derive(Clone, Debug)]
pub(super) struct From {
    pub(super) db: Option<String>,
    pub(super) collection: String,
}

#[derive(Clone, Debug)]
struct Equality {
    local: FieldPath,
    foreign: FieldPath,
}

#[derive(Debug)]
struct SubPipeline {
    variables: Vec<(String, Expr)>,
    pipeline: Pipeline,
}

impl Stage for Lookup {
    fn changes(&self) -> Changes {
        Changes::of(&self.output.text())
    }

    fn gives_one_for_one(&self) -> bool {
        true
    }

    fn may_follow_sort(&self, path: &[u8]) -> bool {
        let first = path.split(|&byte| byte == b'.').next();
        first.is_some_and(|first| !self.output.starts_with(first))
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(LookupSource {
            join: None,
            kept: None,
            stage: self,
            input,
            turns: Turns::default(),
        })
    }

    fn is_pushed_down(&mut self) {
        self.moves_output = self.stays_pushed_down();
    }

    fn stays_pushed_down(&self) -> bool {
        let is_number = |name: &Bytes| name.iter().all(u8::is_ascii_digit);
        self.sub.is_none()
            && self.equality.as_ref().is_some_and(|equality| {
                !equality.local.names().iter().any(is_number)
                    && !equality.foreign.names().iter().any(is_number)
            })
    }

    fn each_collection(&self, visit: &mut dyn FnMut(Option<&str>, &str)) {
        if let Some(from) = &self.from {
            visit(from.db.as_deref(), &from.collection);
        }
        if let Some(sub) = &self.sub {
            sub.pipeline.each_collection(visit);
        }
    }
}

struct LookupSource {
    stage: Arc<Lookup>,
    input: Box<dyn Source>,
    join: Option<Join>,
    /// What the sub-pipeline gives, if it is the same for each document.
    kept: Option<Vec<Bytes>>,
    turns: Turns,
}

impl LookupSource {
    fn matches(&mut self, doc: &Bytes, cx: &Context<'_>) -> Result<Vec<Bytes>> {
        let stage = Arc::clone(&self.stage);
        let joined = match (&stage.equality, &stage.from) {
            (Some(equality), Some(from)) => {
                let join = self.join.get_or_insert_with(|| {
                    Join::new(from, &equality.foreign, stage.collation.as_ref(), cx.reader)
                });
                let values = local_values(Doc::new(doc), &equality.local);
                Some(join.matches(&values, cx)?)
            }
            _ => None,
        };
        let Some(sub) = &stage.sub else {
            return Ok(joined.unwrap_or_default());
        };
        let same_for_all = joined.is_none() && sub.variables.is_empty();
        if same_for_all && let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        let env = with_variables(cx.env, &sub.variables, doc)?;
        let inner = Context { env: &env, ..*cx };
        let source = match joined {
            Some(documents) => sub
                .pipeline
                .open_nested(0, Box::new(Documents::new(documents))),
            None => open_on(stage.from.as_ref(), &sub.pipeline, &inner)?,
        };
        let found = drain(source, &inner)?;
        if same_for_all && found.iter().map(Bytes::len).sum::<usize>() <= KEPT_BYTES_MAX {
            self.kept = Some(found.clone());
        }
        Ok(found)
    }
}

/// The surroundings of a sub-pipeline: the command's, and `variables` evaluated on `doc`.
pub(super) fn with_variables<'e>(
    env: &'e Env<'_>,
    variables: &[(String, Expr)],
    doc: &Bytes,
) -> Result<Env<'e>> {
    let scope = Scope::new(doc, env);
    let mut all = env.variables.clone();
    for (name, expr) in variables {
        all.push((name.clone(), expr.eval(&scope)?));
    }
    Ok(Env {
        now_ms: env.now_ms,
        cluster_time: env.cluster_time,
        variables: all,
        seed: std::cell::Cell::new(env.next_random()),
        check_interrupt: env.check_interrupt,
    })
}

/// Opens `pipeline` on a collection (or on nothing, if it makes its documents), its first `$match` pushed to the scan.
pub(super) fn open_on(
    from: Option<&From>,
    pipeline: &Pipeline,
    cx: &Context<'_>,
) -> Result<Box<dyn Source>> {
    let Some(from) = from.filter(|_| !pipeline.generates()) else {
        return Ok(pipeline.open_nested(0, Box::new(Documents::new(Vec::new()))));
    };
    if let Some(system) = pipeline.system_source() {
        let system = system.on(from.db.as_deref(), &from.collection);
        return Ok(pipeline.open_nested(1, cx.reader.system(&system)?));
    }
    let leading = pipeline.leading();
    let filter = leading.filter.map(AsRef::as_ref);
    let source = cx
        .reader
        .scan(from.db.as_deref(), &from.collection, filter)?;
    Ok(pipeline.open_nested(leading.filter_stages, source))
}

/// All documents of `source`, up to the most that one document can hold.
fn drain(mut source: Box<dyn Source>, cx: &Context<'_>) -> Result<Vec<Bytes>> {
    let mut found = Vec::new();
    let mut bytes = 0;
    while let Some(doc) = source.next(cx)? {
        bytes += doc.len();
        check_bytes(bytes)?;
        found.push(doc);
    }
    Ok(found)
}

fn check_bytes(bytes: usize) -> Result<()> {
    if bytes <= MATCHES_BYTES_MAX {
        return Ok(());
    }
    Err(Error::location(
        4568,
        "Total size of documents in $lookup's result exceeds maximum document size",
    ))
}

impl Source for LookupSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(doc) = self.input.next(cx)? else {
            return Ok(None);
        };
        self.turns.turn(cx)?;
        let found = self.matches(&doc, cx)?;
        check_bytes(found.iter().map(Bytes::len).sum())?;
        let array = DocBuf::array(
            found
                .iter()
                .map(|found| ValueRef::Document(Doc::new(found))),
        );
        let array = Value::Array(array);
        let output = &self.stage.output;
        let doc = if self.stage.moves_output {
            output.set_at_end(Doc::new(&doc), array.as_ref())
        } else {
            output.set(Doc::new(&doc), array.as_ref())
        };
        Ok(Some(doc))
    }
}
