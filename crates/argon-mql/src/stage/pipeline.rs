//! A whole pipeline: parsed, checked for the places of its stages, opened on a source.

use std::sync::Arc;

use bytes::Bytes;

use super::places::Setters;
use super::read_fields;
use super::reorder::rewrite;
use super::{Context, Position, Sink, Source, Stage, StageContext, SystemSource, find};
use crate::filter::Filter;
use crate::sort::Sort;
use crate::value::{Doc, DocBuf, ValueRef, without_places};
use crate::{Error, ErrorCode, ParseContext, Result};

/// Most stages in a pipeline. Source: MongoDB manual, "Aggregation Pipeline Limits".
const STAGES_MAX: usize = 1000;

/// Deepest nesting of pipelines in `$lookup`, `$unionWith` and `$facet`.
///
/// Source: mongod 6.0.5, `MaxSubPipelineDepthExceeded`.
const DEPTH_MAX: usize = 20;

/// A compiled pipeline. Immutable, cheap to clone.
#[derive(Clone, Debug)]
pub struct Pipeline {
    stages: Vec<Entry>,
    sink: Option<Sink>,
    /// Whether documents may hold places that nobody outside asks for.
    leaves_places: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    name: &'static str,
    stage: Arc<dyn Stage>,
}

/// What stands at the front of a pipeline and can be served by an index, in this order: filter, sort, skip, limit.
#[derive(Clone, Debug, Default)]
pub struct Leading<'a> {
    /// The `$match`.
    pub filter: Option<&'a Arc<Filter>>,
    /// The `$sort`.
    pub sort: Option<&'a Sort>,
    /// The `$skip` after it.
    pub skip: Option<u64>,
    /// The `$limit` after that.
    pub limit: Option<u64>,
    /// How many stages these are: give it to [`Pipeline::open_after`] if all were served.
    pub stages: usize,
    /// How many stages the filter is: 1, or 0 without one.
    pub filter_stages: usize,
    /// How many stages filter and sort are.
    pub sort_stages: usize,
}

impl Pipeline {
    /// Parses `stages`, the array of stage documents.
    ///
    /// # Errors
    /// MongoDB's error for an unknown stage (40324), malformed arguments, or a stage in the wrong place.
    pub fn parse(stages: Doc<'_>, cx: &ParseContext) -> Result<Pipeline> {
        Pipeline::parse_nested(stages, cx, 0, true)
    }

    /// Parses a pipeline that stands inside `depth` others. `pushed_down`: whether mongod 6.0.5 would push stages at
    /// its front down to the scan.
    pub(super) fn parse_nested(
        stages: Doc<'_>,
        cx: &ParseContext,
        depth: usize,
        pushed_down: bool,
    ) -> Result<Pipeline> {
        if depth > DEPTH_MAX {
            return Err(Error::new(
                ErrorCode::MaxSubPipelineDepthExceeded,
                format!("Maximum number of nested sub-pipelines exceeded. Limit is {DEPTH_MAX}"),
            ));
        }
        let specs = stage_documents(stages)?;
        let mut setters = Setters::default();
        for (index, spec) in specs.iter().enumerate() {
            if let Ok((name, argument)) = spec.first() {
                setters.note(index, name, argument);
            }
        }
        let leaves_places = !setters.is_empty() && cx.places.is_none();
        let places = setters.places(cx.places.as_ref());
        let mut parsed: Vec<(&'static str, Position, Box<dyn Stage>)> = Vec::new();
        let mut fresh = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let element = spec.first()?;
            let op = find(element.0)?;
            let placed;
            let cx = match places(index) {
                Some(places) => {
                    placed = ParseContext {
                        places: Some(places),
                        ..cx.clone()
                    };
                    &placed
                }
                None => cx,
            };
            let context = StageContext {
                name: op.name,
                cx,
                index,
                depth,
            };
            (op.parse)(element.1, &context, &mut fresh)?;
            parsed.extend(fresh.drain(..).map(|stage| (op.name, op.position, stage)));
        }
        check_positions(&parsed)?;
        let sink = parsed
            .pop_if(|(_, position, stage)| *position == Position::Last && stage.as_sink().is_some())
            .and_then(|(_, _, stage)| stage.as_sink().cloned());
        let mut parsed: Vec<(&'static str, Box<dyn Stage>)> = parsed
            .into_iter()
            .map(|(name, _, stage)| (name, stage))
            .collect();
        rewrite(&mut parsed);
        optimize(&mut parsed, pushed_down);
        read_fields::tell(&mut parsed);
        let stages = parsed
            .into_iter()
            .map(|(name, stage)| Entry {
                name,
                stage: Arc::from(stage),
            })
            .collect();
        Ok(Pipeline {
            stages,
            sink,
            leaves_places,
        })
    }

    /// Puts the pipeline behind `source`. `$out` and `$merge` are left to the caller: see [`sink`](Pipeline::sink).
    pub fn open(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        self.open_after(0, source)
    }

    /// Puts the pipeline without its first `served` stages behind `source`, which did their work.
    pub fn open_after(&self, served: usize, source: Box<dyn Source>) -> Box<dyn Source> {
        if self.stages.len() <= served {
            return source;
        }
        Box::new(SizeChecked(self.open_nested(served, source)))
    }

    /// The same inside another pipeline, where documents may be larger than what can be stored or returned.
    pub(super) fn open_nested(&self, served: usize, source: Box<dyn Source>) -> Box<dyn Source> {
        let stages = self.stages.iter().skip(served);
        let opened = stages.fold(source, |source, entry| {
            Arc::clone(&entry.stage).open(source)
        });
        if self.leaves_places {
            return Box::new(WithoutPlaces(opened));
        }
        opened
    }

    /// What to do with the documents that come out: `$out` or `$merge`, if the pipeline ends with one.
    pub fn sink(&self) -> Option<&Sink> {
        self.sink.as_ref()
    }

    /// How many stages there are, without the sink. Adjacent `$match` count as one, and some names stand for two.
    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// Whether there is no stage but perhaps a sink.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// The names of the stages, as written, without the sink.
    pub fn stage_names(&self) -> impl Iterator<Item = &'static str> {
        self.stages.iter().map(|entry| entry.name)
    }

    /// Whether the first stage makes the documents, so that no collection is read.
    pub fn generates(&self) -> bool {
        self.stages
            .first()
            .is_some_and(|entry| entry.stage.generates())
    }

    /// What the first stage asks of the server, if it is `$collStats`, `$currentOp` or the like.
    pub fn system_source(&self) -> Option<&SystemSource> {
        self.stages.first()?.stage.as_system()
    }

    /// Calls `visit` with database (none: the command's own) and name of each other collection that it reads.
    pub fn each_collection(&self, visit: &mut dyn FnMut(Option<&str>, &str)) {
        for entry in &self.stages {
            entry.stage.each_collection(visit);
        }
    }

    /// What stands at the front and can be served by an index.
    pub fn leading(&self) -> Leading<'_> {
        let mut leading = Leading::default();
        let mut stages = self.stages.iter().map(|entry| &entry.stage).peekable();
        if let Some(filter) = stages.peek().and_then(|stage| stage.as_match()) {
            leading.filter = Some(filter);
            leading.stages += 1;
            stages.next();
        }
        leading.filter_stages = leading.stages;
        if let Some(sort) = stages.peek().and_then(|stage| stage.as_sort()) {
            leading.sort = Some(sort);
            leading.stages += 1;
            stages.next();
        }
        leading.sort_stages = leading.stages;
        if let Some(skip) = stages.peek().and_then(|stage| stage.as_skip()) {
            leading.skip = Some(skip);
            leading.stages += 1;
            stages.next();
        }
        if let Some(limit) = stages.peek().and_then(|stage| stage.as_limit()) {
            leading.limit = Some(limit);
            leading.stages += 1;
        }
        leading
    }

    /// The name of the first stage that may not stand in a `$facet`.
    pub(super) fn not_in_facet(&self) -> Option<&'static str> {
        if let Some(sink) = &self.sink {
            return Some(sink.name());
        }
        self.stages.iter().find_map(|entry| {
            let allowed = find(entry.name.as_bytes()).is_ok_and(|op| op.in_facet)
                && entry.stage.is_allowed_in_facet();
            (!allowed).then_some(entry.name)
        })
    }

    /// Checks that the pipeline may run on `collection` of `db`, or without a collection (`{aggregate: 1}`).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidNamespace`] as mongod says it.
    pub fn check_namespace(&self, db: &str, collection: Option<&str>) -> Result<()> {
        let first = self.stages.first();
        if let Some(system) = self.system_source() {
            return system.check_namespace(db, collection);
        }
        let name = first.map(|entry| entry.name);
        match (collection, name) {
            (None, Some("$documents")) => Ok(()),
            (Some(_), Some("$documents")) => Err(Error::new(
                ErrorCode::InvalidNamespace,
                "'$documents' can only be run with {aggregate: 1}",
            )),
            (Some(_), _) => Ok(()),
            (None, Some(name)) => Err(Error::new(
                ErrorCode::InvalidNamespace,
                format!("{{aggregate: 1}} is not valid for '{name}'; a collection is required."),
            )),
            (None, None) => Err(Error::new(
                ErrorCode::InvalidNamespace,
                "{aggregate: 1} is not valid for an empty pipeline.",
            )),
        }
    }
}

/// Most bytes of a document that leaves a pipeline: 16 MiB and some room for what the server adds.
///
/// Source: mongod 6.0.5, "Size must be between 0 and 16793600(16MB)".
const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024 + 16 * 1024;

/// Lets no document out that is too large.
struct SizeChecked(Box<dyn Source>);

impl Source for SizeChecked {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let doc = self.0.next(cx)?;
        match &doc {
            Some(doc) if doc.len() > DOCUMENT_BYTES_MAX => Err(Error::new(
                ErrorCode::BSONObjectTooLarge,
                format!(
                    "BSONObj size: {} is invalid. Size must be between 0 and {DOCUMENT_BYTES_MAX}(16MB)",
                    doc.len()
                ),
            )),
            _ => Ok(doc),
        }
    }
}

/// Lets no place of a field that was taken away out.
struct WithoutPlaces(Box<dyn Source>);

impl Source for WithoutPlaces {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        Ok(self.0.next(cx)?.map(without_places))
    }

    fn is_resident(&self) -> bool {
        self.0.is_resident()
    }
}

/// A stage's document: its own, or the conjunction of adjacent `$match` stages.
enum Spec<'a> {
    Given(Doc<'a>),
    Matches(Bytes),
}

impl Spec<'_> {
    fn first(&self) -> Result<(&[u8], ValueRef<'_>)> {
        let doc = match self {
            Spec::Given(doc) => *doc,
            Spec::Matches(bytes) => Doc::new(bytes),
        };
        let mut elements = doc.iter();
        match (elements.next(), elements.next()) {
            (Some(element), None) => Ok((element.key(), element.value())),
            _ => Err(Error::location(
                40323,
                "A pipeline stage specification object must contain exactly one field.",
            )),
        }
    }
}

/// The stage documents of a pipeline, adjacent `$match` joined into one, so that indexes see all of them.
fn stage_documents(stages: Doc<'_>) -> Result<Vec<Spec<'_>>> {
    let mut specs: Vec<Spec<'_>> = Vec::new();
    let mut run: Vec<Doc<'_>> = Vec::new();
    let mut count = 0;
    for value in stages.values() {
        let ValueRef::Document(doc) = value else {
            return Err(Error::type_mismatch(
                "Each element of the 'pipeline' array must be an object",
            ));
        };
        count += 1;
        if count > STAGES_MAX {
            return Err(Error::failed_to_parse(format!(
                "Pipeline length must be no longer than {STAGES_MAX} stages"
            )));
        }
        let mut elements = doc.iter();
        let matches = match (elements.next(), elements.next()) {
            (Some(element), None) if element.key() == "$match" => element.value().as_document(),
            _ => None,
        };
        match matches {
            // `$text` has rules about its place that joining would hide.
            Some(filter) => run.push(filter),
            None => {
                join(&mut run, &mut specs);
                specs.push(Spec::Given(doc));
            }
        }
    }
    join(&mut run, &mut specs);
    Ok(specs)
}

fn join<'a>(run: &mut Vec<Doc<'a>>, specs: &mut Vec<Spec<'a>>) {
    if run.is_empty() {
        return;
    }
    let mut stage = DocBuf::new();
    if let [only] = run[..] {
        stage.append("$match", ValueRef::Document(only));
    } else {
        let filter = stage.open_document("$match");
        let all = stage.open_array("$and");
        for (index, filter) in run.iter().enumerate() {
            stage.push(index, ValueRef::Document(*filter));
        }
        stage.close(all);
        stage.close(filter);
    }
    run.clear();
    specs.push(Spec::Matches(stage.finish()));
}

fn check_positions(stages: &[(&'static str, Position, Box<dyn Stage>)]) -> Result<()> {
    let last = stages.len().saturating_sub(1);
    for (at, (name, position, _)) in stages.iter().enumerate() {
        match position {
            Position::First if at > 0 && *name == "$geoNear" => {
                return Err(Error::location(
                    40603,
                    "$geoNear is only valid as the first stage in an optimized pipeline",
                ));
            }
            Position::First if at > 0 => {
                return Err(Error::location(
                    40602,
                    format!("{name} is only valid as the first stage in a pipeline"),
                ));
            }
            Position::Last if at < last => {
                return Err(Error::location(
                    40601,
                    format!("{name} can only be the final stage in the pipeline"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Tells stages what stands around them.
fn optimize(stages: &mut [(&'static str, Box<dyn Stage>)], mut pushed_down: bool) {
    for at in 0..stages.len() {
        let (before, after) = stages.split_at_mut(at + 1);
        let Some((name, stage)) = before.last_mut() else {
            continue;
        };
        if pushed_down {
            stage.is_pushed_down();
        }
        pushed_down &=
            matches!(*name, "$match" | "$sort" | "$limit" | "$skip") || stage.stays_pushed_down();
        if stage.as_sort().is_some() {
            let mut skipped = 0u64;
            for (_, next) in after {
                if let Some(skip) = next.as_skip() {
                    skipped = skipped.saturating_add(skip);
                } else {
                    if let Some(limit) = next.as_limit() {
                        stage.want_at_most(skipped.saturating_add(limit));
                    }
                    break;
                }
            }
        }
    }
}
