//! `$count`: the number of documents, as one document; none if there were none.

use std::sync::Arc;

use bytes::Bytes;

use super::read_fields::FieldSet;
use super::source::Turns;
use super::{Context, Source, Stage, StageContext};
use crate::value::{DocBuf, ValueRef};
use crate::{Error, Result};

#[derive(Debug)]
struct Count {
    field: Bytes,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let refuse = |code, why: &str| Err(Error::location(code, format!("the count field {why}")));
    let ValueRef::String(field) = value else {
        return refuse(40156, "must be a non-empty string");
    };
    if field.is_empty() {
        return refuse(40157, "must be a non-empty string");
    }
    if field.starts_with(b"$") {
        return refuse(40158, "cannot be a $-prefixed path");
    }
    if field.contains(&0) {
        return refuse(40159, "cannot contain a null byte");
    }
    if field.contains(&b'.') {
        return refuse(40160, "cannot contain '.'");
    }
    if field == "_id" {
        // mongod rewrites the stage to a `$group` and a `$project`, and this is what the group says.
        return Err(Error::location(
            15948,
            "a group's _id may only be specified once",
        ));
    }
    out.push(Box::new(Count {
        field: Bytes::copy_from_slice(field),
    }));
    Ok(())
}

impl Stage for Count {
    fn reads(&self, _: Option<&FieldSet>) -> Option<FieldSet> {
        Some(FieldSet::new())
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(CountSource {
            count: self,
            input: Some(input),
        })
    }
}

struct CountSource {
    count: Arc<Count>,
    input: Option<Box<dyn Source>>,
}

impl Source for CountSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(mut input) = self.input.take() else {
            return Ok(None);
        };
        let mut turns = Turns::default();
        let mut count = 0i64;
        while input.next(cx)?.is_some() {
            turns.turn(cx)?;
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        let mut out = DocBuf::new();
        out.append(&self.count.field, integer(count));
        Ok(Some(out.finish()))
    }
}

/// A count as MongoDB returns it: int if it fits, else long.
pub(super) fn integer(count: i64) -> ValueRef<'static> {
    match i32::try_from(count) {
        Ok(count) => ValueRef::Int32(count),
        Err(_) => ValueRef::Int64(count),
    }
}
