//! Queries: what comes behind the records of a plan.

use std::sync::Arc;

use argon_mql::collation::Collation;
use argon_mql::filter::Filter;
use argon_mql::plan::{Hint, Plan};
use argon_mql::projection::{Metadata, Needs, Projection};
use argon_mql::sort::{Order, Sort};
use argon_mql::sorter::{Sorted, Sorter};
use argon_mql::spill::Area;
use argon_mql::stage::{Context, Documents, Pipeline, Reader, Source};
use argon_mql::{Doc, DocBuf, Env, ParseContext, Result, Value, ValueRef};
use bytes::Bytes;

use super::range::Range;
use super::records::{Records, plan};
use super::view::{Resolved, resolve};
use crate::state::{Collection, RecordId, State};

/// A query.
#[derive(Clone, Debug)]
pub struct Find {
    /// What documents have to be.
    pub filter: Option<Filter>,
    /// In which order they come.
    pub order: Order,
    /// What is left of them.
    pub projection: Option<Arc<Projection>>,
    /// How many are passed over first.
    pub skip: u64,
    /// At most how many come; 0 is all.
    pub limit: u64,
    /// Which index to use.
    pub hint: Option<Hint>,
    /// Between which keys of the hinted index.
    pub range: Option<Range>,
    /// Whether each document says its place in natural order.
    pub show_record_id: bool,
    /// Whether there is to come, instead of each document, the index key by which it was found.
    pub return_key: bool,
    /// How strings are compared, for the stages of a view.
    pub collation: Option<Arc<Collation>>,
}

impl Default for Find {
    fn default() -> Find {
        Find {
            filter: None,
            order: Order::Any,
            projection: None,
            skip: 0,
            limit: 0,
            hint: None,
            range: None,
            show_record_id: false,
            return_key: false,
            collation: None,
        }
    }
}

impl Find {
    /// What has to be known of its documents beside their contents.
    pub(super) fn needs(&self) -> Needs {
        let projection = self.projection.as_ref();
        let asked = projection.map(|projection| projection.needs());
        let asked = asked.unwrap_or_default();
        if self.return_key {
            return Needs {
                index_key: true,
                ..Needs::default()
            };
        }
        Needs {
            record_id: asked.record_id || self.show_record_id,
            ..asked
        }
    }
}

/// Opens a query on a collection; one that does not exist is empty.
///
/// # Errors
/// MongoDB's error for a hint that names no index.
pub fn find(state: &State, name: &str, query: &Find) -> Result<Box<dyn Source>> {
    let Resolved { collection, stages } = resolve(state, name)?;
    if !stages.is_empty() {
        return find_in_view(collection.as_ref(), stages, query);
    }
    find_in_collection(collection.as_ref(), query)
}

/// Opens a query on a view: its stages, then the filter as one more, so that what can be answered by an index is.
pub(super) fn find_in_view(
    collection: Option<&Arc<Collection>>,
    mut stages: Vec<Bytes>,
    query: &Find,
) -> Result<Box<dyn Source>> {
    let filter = query.filter.as_ref().filter(|filter| !filter.is_empty());
    if let Some(filter) = filter {
        let mut stage = DocBuf::new();
        stage.append("$match", ValueRef::Document(Doc::new(&filter.to_doc())));
        stages.push(stage.finish());
    }
    let stages = DocBuf::array(
        stages
            .iter()
            .map(|stage| ValueRef::Document(Doc::new(stage))),
    );
    let cx = ParseContext::new().with_collation(query.collation.clone());
    let pipeline = Pipeline::parse(Doc::new(&stages), &cx)?;
    let source = aggregate(collection, &pipeline, query.hint.as_ref())?;
    let sort = match &query.order {
        Order::By(sort) => Some(sort),
        Order::Any | Order::Natural { .. } => None,
    };
    Ok(finish(source, query, sort, None))
}

fn find_in_collection(
    collection: Option<&Arc<Collection>>,
    query: &Find,
) -> Result<Box<dyn Source>> {
    let Some(collection) = collection else {
        return Ok(Box::new(Documents::new(Vec::new())));
    };
    let filter = query.filter.clone().unwrap_or_else(Filter::all);
    let mut needs = query.needs();
    let (mut records, covers_sort) = match &query.range {
        Some(range) => {
            let (index, low, high) = range.resolve(
                collection,
                &query.order,
                query.hint.as_ref(),
                query.collation.as_deref(),
            )?;
            let records = Records::range(Arc::clone(collection), filter.clone(), index, low, high);
            (records, false)
        }
        None => {
            let plan = plan(collection, &filter, &query.order, query.hint.as_ref())?;
            let records = Records::new(Arc::clone(collection), filter.clone(), &plan);
            // As in mongod, which does not walk the index there; `returnKey` has it walked.
            let by_id = matches!(plan, Plan::IdLookup { .. });
            needs.index_key &= !by_id || query.return_key;
            (records, plan.covers_sort())
        }
    };
    let matching = needs.matched.then_some(filter);
    let sort = match &query.order {
        Order::By(sort) if !covers_sort => Some(sort),
        _ => None,
    };
    let records: Box<dyn Source> = if needs.record_id || needs.index_key {
        if needs.index_key {
            records.tell_keys();
        }
        Box::new(Marked {
            records,
            record_id: needs.record_id,
            index_key: needs.index_key,
        })
    } else {
        Box::new(FromRecords(records))
    };
    Ok(finish(records, query, sort, matching))
}

/// Puts sort, skip, limit and projection behind `source`.
pub(super) fn finish(
    mut source: Box<dyn Source>,
    query: &Find,
    sort: Option<&Sort>,
    matching: Option<Filter>,
) -> Box<dyn Source> {
    if let Some(sort) = sort {
        let keep = (query.limit > 0).then(|| query.limit.saturating_add(query.skip));
        source = Box::new(Sorting {
            input: Some(source),
            sort: sort.clone(),
            keep: keep.and_then(|keep| usize::try_from(keep).ok()),
            sorted: Sorted::default(),
        });
    }
    if query.skip > 0 || query.limit > 0 {
        source = Box::new(Window {
            input: source,
            skip: query.skip,
            left: query.limit,
            limited: query.limit > 0,
        });
    }
    if query.return_key {
        let projection = query.projection.as_ref();
        let sort_keys = projection.map(|projection| projection.of_keys());
        return Box::new(ReturningKeys {
            input: source,
            sort_keys,
        });
    }
    if let Some(projection) = &query.projection {
        source = Box::new(Projecting {
            input: source,
            projection: Arc::clone(projection),
            matching,
            show_record_id: query.show_record_id,
        });
    }
    source
}

/// How many documents pass `filter`. `spill`: where the stages of a view put what exceeds their memory.
///
/// # Errors
/// What the filter's expressions fail with, the command's interruption, and a hint that names no index.
pub fn count_all(
    state: &Arc<State>,
    name: &str,
    query: &Find,
    env: &Env<'_>,
    spill: &dyn Area,
) -> Result<u64> {
    let Resolved { collection, stages } = resolve(state, name)?;
    if !stages.is_empty() {
        let mut source = find_in_view(collection.as_ref(), stages, query)?;
        let reader = Reading::new(Arc::clone(state));
        let cx = Context {
            env,
            reader: &reader,
            spill: Some(spill),
        };
        let mut count = 0;
        while source.next(&cx)?.is_some() {
            count += 1;
        }
        return Ok(count);
    }
    let Some(collection) = &collection else {
        return Ok(0);
    };
    let filter = query.filter.clone().unwrap_or_else(Filter::all);
    let found = if filter.is_empty() && query.hint.is_none() {
        collection.len() as u64
    } else {
        let plan = plan(collection, &filter, &Order::Any, query.hint.as_ref())?;
        let enough = if query.limit == 0 {
            u64::MAX
        } else {
            query.limit.saturating_add(query.skip)
        };
        let mut records = Records::new(Arc::clone(collection), filter, &plan);
        match records.count_keys(enough, env)? {
            Some(found) => found,
            None => {
                let mut found = 0;
                while found < enough && records.next(env)?.is_some() {
                    found += 1;
                }
                found
            }
        }
    };
    let left = found.saturating_sub(query.skip);
    Ok(if query.limit == 0 {
        left
    } else {
        left.min(query.limit)
    })
}

/// Opens a pipeline on a collection: what stands at its front goes to the planner, the rest behind the records.
///
/// # Errors
/// MongoDB's error for a hint that names no index.
pub fn aggregate(
    collection: Option<&Arc<Collection>>,
    pipeline: &Pipeline,
    hint: Option<&Hint>,
) -> Result<Box<dyn Source>> {
    let Some(collection) = collection else {
        return Ok(pipeline.open(Box::new(Documents::new(Vec::new()))));
    };
    let leading = pipeline.leading();
    let filter = leading
        .filter
        .map(|filter| Filter::clone(filter))
        .unwrap_or_else(Filter::all);
    let order = leading.sort.cloned().map_or(Order::Any, Order::By);
    let plan = plan(collection, &filter, &order, hint)?;
    let served = if leading.sort.is_some() && plan.covers_sort() {
        leading.sort_stages
    } else {
        leading.filter_stages
    };
    let records = Records::new(Arc::clone(collection), filter, &plan);
    Ok(pipeline.open_after(served, Box::new(FromRecords(records))))
}

/// The state that a command reads, for the stages that read other collections.
pub struct Reading {
    state: Arc<State>,
}

impl Reading {
    /// Reads `state`.
    pub fn new(state: Arc<State>) -> Reading {
        Reading { state }
    }
}

impl Reader for Reading {
    fn scan(
        &self,
        _db: Option<&str>,
        collection: &str,
        filter: Option<&Filter>,
    ) -> Result<Box<dyn Source>> {
        let query = Find {
            filter: filter.cloned(),
            ..Find::default()
        };
        find(&self.state, collection, &query)
    }

    fn has_index(&self, _db: Option<&str>, collection: &str, path: &[u8]) -> bool {
        path == b"_id"
            || self.state.collection(collection).is_some_and(|collection| {
                collection
                    .indexes()
                    .iter()
                    .any(|index| index.spec.fields()[0].path.text() == path)
            })
    }
}

pub(super) struct FromRecords(pub(super) Records);

impl Source for FromRecords {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        Ok(self.0.next(cx.env)?.map(|(_, document)| document))
    }

    fn is_resident(&self) -> bool {
        true
    }
}

/// The field of `showRecordId`.
const RECORD_ID: &str = "$recordId";

/// The field that carries a document's index key to where it is wanted; the last one, and never shown.
const INDEX_KEY: &str = "$indexKey";

/// Documents with their places and index keys, as fields at their ends.
struct Marked {
    records: Records,
    record_id: bool,
    index_key: bool,
}

impl Source for Marked {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some((record, document, key)) = self.records.next_with_key(cx.env)? else {
            return Ok(None);
        };
        let mut doc = DocBuf::with_capacity(document.len() + key.len() + 32);
        doc.append_all(Doc::new(&document));
        if self.record_id {
            doc.append(RECORD_ID, ValueRef::Int64(record.0.cast_signed()));
        }
        if self.index_key {
            let key = if key.is_empty() {
                Doc::EMPTY
            } else {
                Doc::new(&key)
            };
            doc.append(INDEX_KEY, ValueRef::Document(key));
        }
        Ok(Some(doc.finish()))
    }
}

/// The document without the last field `name`, and that field's value; as it is if that is not its last field.
fn unmark(document: Bytes, name: &str) -> (Bytes, Option<Value>) {
    let doc = Doc::new(&document);
    let Some(last) = doc.iter().last().filter(|last| last.key() == name) else {
        return (document, None);
    };
    let mut rest = DocBuf::with_capacity(document.len());
    for element in doc.iter().take(doc.iter().count() - 1) {
        rest.append_element(&element);
    }
    let value = Value::copy_of(last.value());
    (rest.finish(), Some(value))
}

pub(super) fn with_record_id(document: &Bytes, record: RecordId) -> Bytes {
    with_field(document, ValueRef::Int64(record.0.cast_signed()))
}

fn with_field(document: &Bytes, record: ValueRef<'_>) -> Bytes {
    let mut doc = DocBuf::with_capacity(document.len() + 24);
    doc.append_all(Doc::new(document));
    doc.append(RECORD_ID, record);
    doc.finish()
}

/// Takes everything in and gives it in order.
struct Sorting {
    input: Option<Box<dyn Source>>,
    sort: Sort,
    keep: Option<usize>,
    sorted: Sorted<Bytes>,
}

impl Source for Sorting {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(mut input) = self.input.take() {
            let mut sorter = Sorter::new(self.keep, cx.spill, input.is_resident());
            let mut key = Vec::new();
            while let Some(document) = input.next(cx)? {
                key.clear();
                self.sort.append_key(&mut key, Doc::new(&document))?;
                let bytes = document.len();
                sorter.push(&key, document, bytes)?;
            }
            self.sorted = sorter.finish()?;
        }
        self.sorted.pop()
    }
}

/// Passes over the first documents and stops after some more.
struct Window {
    input: Box<dyn Source>,
    skip: u64,
    left: u64,
    limited: bool,
}

impl Source for Window {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if self.limited && self.left == 0 {
            return Ok(None);
        }
        while self.skip > 0 {
            if self.input.next(cx)?.is_none() {
                return Ok(None);
            }
            self.skip -= 1;
        }
        let next = self.input.next(cx)?;
        if next.is_some() {
            self.left = self.left.saturating_sub(1);
        }
        Ok(next)
    }
}

struct Projecting {
    input: Box<dyn Source>,
    projection: Arc<Projection>,
    /// The query's filter, where the projection has to know which array element it matched.
    matching: Option<Filter>,
    show_record_id: bool,
}

impl Source for Projecting {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(document) = self.input.next(cx)? else {
            return Ok(None);
        };
        let needs = self.projection.needs();
        let mut metadata = Metadata::default();
        let mut document = document;
        if needs.index_key {
            let (rest, key) = unmark(document, INDEX_KEY);
            document = rest;
            metadata.index_key = key.and_then(|key| match key {
                // Of a document that no index led to.
                Value::Document(key) if key.len() <= Doc::EMPTY.as_bytes().len() => None,
                Value::Document(key) => Some(key),
                _ => None,
            });
        }
        let mut record = None;
        // A projection that names what is left out may name the place; else it comes last.
        let appends = self.projection.is_inclusive() || needs.record_id;
        if needs.record_id || self.show_record_id {
            let (rest, found) = unmark(document.clone(), RECORD_ID);
            record = match found {
                Some(Value::Int64(record)) => Some(record),
                _ => None,
            };
            if !self.show_record_id || appends {
                document = rest;
            }
        }
        metadata.record_id = record;
        if let Some(filter) = &self.matching {
            metadata.matched = filter.array_match(&document, cx.env)?;
        }
        let projected = self.projection.apply_with(&document, cx.env, &metadata)?;
        Ok(Some(match record {
            Some(record) if self.show_record_id && appends => {
                with_field(&projected, ValueRef::Int64(record))
            }
            _ => projected,
        }))
    }
}

/// Gives the index keys of documents in their places, with the sort keys that a projection asks for.
struct ReturningKeys {
    input: Box<dyn Source>,
    sort_keys: Option<Projection>,
}

impl Source for ReturningKeys {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(document) = self.input.next(cx)? else {
            return Ok(None);
        };
        let (document, key) = unmark(document, INDEX_KEY);
        let key = match key {
            Some(Value::Document(key)) => key,
            _ => DocBuf::new().finish(),
        };
        let Some(sort_keys) = &self.sort_keys else {
            return Ok(Some(key));
        };
        let metadata = Metadata {
            sorted: Some(document),
            ..Metadata::default()
        };
        Ok(Some(sort_keys.apply_with(&key, cx.env, &metadata)?))
    }
}
