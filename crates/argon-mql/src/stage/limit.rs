//! `$limit`.

use std::sync::Arc;

use bytes::Bytes;

use super::options::{count_error, count_of};
use super::read_fields::FieldSet;
use super::{Context, Source, Stage, StageContext};
use crate::value::ValueRef;
use crate::{Error, Result};

#[derive(Debug)]
struct Limit(u64);

pub(super) fn parse(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let limit = count_of(value).map_err(|why| count_error(5_107_201, "$limit", &why))?;
    if limit == 0 {
        return Err(Error::location(15958, "the limit must be positive"));
    }
    out.push(Box::new(Limit(limit)));
    Ok(())
}

/// The stage that lets `count` documents through.
pub(super) fn stage(count: u64) -> Box<dyn Stage> {
    Box::new(Limit(count))
}

impl Stage for Limit {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(LimitSource {
            left: self.0,
            input,
        })
    }

    fn reads(&self, after: Option<&FieldSet>) -> Option<FieldSet> {
        after.cloned()
    }

    fn as_limit(&self) -> Option<u64> {
        Some(self.0)
    }
}

struct LimitSource {
    left: u64,
    input: Box<dyn Source>,
}

impl Source for LimitSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.input.next(cx)
    }

    fn is_resident(&self) -> bool {
        self.input.is_resident()
    }
}
