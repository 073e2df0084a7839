//! `$skip`.

use std::sync::Arc;

use bytes::Bytes;

use super::options::{count_error, count_of};
use super::read_fields::FieldSet;
use super::source::Turns;
use super::{Context, Source, Stage, StageContext};
use crate::Result;
use crate::value::ValueRef;

#[derive(Debug)]
struct Skip(u64);

pub(super) fn parse(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let skip = count_of(value).map_err(|why| count_error(5_107_200, "$skip", &why))?;
    out.push(Box::new(Skip(skip)));
    Ok(())
}

/// The stage that passes over `count` documents.
pub(super) fn stage(count: u64) -> Box<dyn Stage> {
    Box::new(Skip(count))
}

impl Stage for Skip {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(SkipSource {
            left: self.0,
            input,
            turns: Turns::default(),
        })
    }

    fn reads(&self, after: Option<&FieldSet>) -> Option<FieldSet> {
        after.cloned()
    }

    fn as_skip(&self) -> Option<u64> {
        Some(self.0)
    }
}

struct SkipSource {
    left: u64,
    input: Box<dyn Source>,
    turns: Turns,
}

impl Source for SkipSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        while self.left > 0 {
            self.turns.turn(cx)?;
            self.left -= 1;
            if self.input.next(cx)?.is_none() {
                self.left = 0;
                return Ok(None);
            }
        }
        self.input.next(cx)
    }

    fn is_resident(&self) -> bool {
        self.input.is_resident()
    }
}
