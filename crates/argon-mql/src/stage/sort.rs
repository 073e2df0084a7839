//! `$sort`.

use std::sync::Arc;

use bytes::Bytes;

use super::read_fields::{self, FieldSet};
use super::source::Turns;
use super::{Changes, Context, Source, Stage, StageContext};
use crate::sort::{Sort, SortField};
use crate::sorter::{Sorted, Sorter};
use crate::value::{Doc, ValueRef, key};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct SortStage {
    sort: Sort,
    /// The most documents that will be asked for.
    limit: Option<u64>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            15973,
            "the $sort key specification must be an object",
        ));
    };
    if spec.is_empty() {
        return Err(Error::location(
            15976,
            "$sort stage must have at least one sort key",
        ));
    }
    out.push(Box::new(SortStage::new(
        Sort::parse(spec)?.with_collation(context.cx.collation.as_deref().cloned()),
    )));
    Ok(())
}

impl SortStage {
    pub(super) fn new(sort: Sort) -> SortStage {
        SortStage { sort, limit: None }
    }
}

impl Stage for SortStage {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(SortSource {
            stage: self,
            input: Some(input),
            sorted: Sorted::default(),
        })
    }

    fn reads(&self, after: Option<&FieldSet>) -> Option<FieldSet> {
        let first = |field: &SortField| {
            let part = field.path.as_ref()?.parts().first()?;
            Some(part.name().to_vec())
        };
        let fields: Option<Vec<Vec<u8>>> = self.sort.fields().iter().map(first).collect();
        read_fields::and(after, fields?.iter().map(Vec::as_slice))
    }

    fn as_sort(&self) -> Option<&Sort> {
        Some(&self.sort)
    }

    fn changes(&self) -> Changes {
        Changes::none()
    }

    fn want_at_most(&mut self, count: u64) {
        self.limit = Some(count);
    }
}

struct SortSource {
    stage: Arc<SortStage>,
    input: Option<Box<dyn Source>>,
    sorted: Sorted<Bytes>,
}

/// Whether the order is by `_id` and nothing else, and then whether downwards.
///
/// mongod 6.0.5 takes an `_id` for one value, as in a collection it is; but that of a group may be an array, which then
/// sorts as a whole.
fn is_by_id(sort: &Sort) -> Option<bool> {
    match sort.fields() {
        [field] if field.path.as_ref()?.text() == "_id" => Some(field.descending),
        _ => None,
    }
}

/// All documents of `input` in the order of `sort`, or the first `limit` of them.
pub(super) fn sorted(
    sort: &Sort,
    limit: Option<u64>,
    mut input: Box<dyn Source>,
    cx: &Context<'_>,
) -> Result<Sorted<Bytes>> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let mut sorter = Sorter::new(limit, cx.spill, input.is_resident());
    let mut turns = Turns::default();
    let mut key = Vec::new();
    let by_id = is_by_id(sort);
    while let Some(doc) = input.next(cx)? {
        turns.turn(cx)?;
        key.clear();
        match by_id {
            Some(descending) => {
                let id = Doc::new(&doc).get("_id").unwrap_or(ValueRef::Null);
                key::append_with(&mut key, id, descending, sort.collation());
            }
            None => sort.append_key(&mut key, Doc::new(&doc))?,
        }
        let bytes = doc.len();
        sorter.push(&key, doc, bytes)?;
    }
    sorter.finish()
}

impl Source for SortSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(input) = self.input.take() {
            self.sorted = sorted(&self.stage.sort, self.stage.limit, input, cx)?;
        }
        self.sorted.pop()
    }
}
