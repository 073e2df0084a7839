//! `$sample`: some documents, picked at random.

use std::sync::Arc;

use bytes::Bytes;

use super::budget::Budget;
use super::source::Turns;
use super::{Context, Source, Stage, StageContext};
use crate::value::{Number, ValueRef};
use crate::{Env, Error, Result};

#[derive(Debug)]
struct Sample {
    size: usize,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            28745,
            "the $sample stage specification must be an object",
        ));
    };
    let mut size = None;
    for element in spec.iter() {
        if element.key() != "size" {
            return Err(Error::location(
                28748,
                format!("unrecognized option to $sample: {}", element.key()),
            ));
        }
        let number = Number::from_value(element.value())
            .ok_or_else(|| Error::location(28746, "size argument to $sample must be a number"))?;
        // mongod cuts a fraction off.
        let number = number.to_i64_truncated().unwrap_or(i64::MAX);
        size = Some(usize::try_from(number).map_err(|_| {
            Error::location(28747, "size argument to $sample must not be negative")
        })?);
    }
    let size = size.ok_or_else(|| Error::location(28749, "$sample stage must specify a size"))?;
    out.push(Box::new(Sample { size }));
    Ok(())
}

impl Stage for Sample {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(SampleSource {
            size: self.size,
            input: Some(input),
            picked: Vec::new(),
        })
    }
}

struct SampleSource {
    size: usize,
    input: Option<Box<dyn Source>>,
    picked: Vec<Bytes>,
}

/// A number below `bound`, which is not 0. The bias is far below what a sample could show.
fn below(env: &Env<'_>, bound: usize) -> usize {
    let scaled = (u128::from(env.next_random()) * bound as u128) >> 64;
    usize::try_from(scaled).unwrap_or(0)
}

impl Source for SampleSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(mut input) = self.input.take() {
            let mut budget = Budget::new("$sample");
            let mut turns = Turns::default();
            let mut seen = 0;
            // Reservoir sampling: after each document, those picked are a fair sample of those seen.
            while self.size > 0
                && let Some(doc) = input.next(cx)?
            {
                turns.turn(cx)?;
                seen += 1;
                if self.picked.len() < self.size {
                    budget.add(doc.len() + std::mem::size_of::<Bytes>(), cx)?;
                    self.picked.push(doc);
                } else {
                    let at = below(cx.env, seen);
                    if let Some(place) = self.picked.get_mut(at) {
                        *place = doc;
                    }
                }
            }
            // A fair sample, but not in a random order yet.
            for at in (1..self.picked.len()).rev() {
                self.picked.swap(at, below(cx.env, at + 1));
            }
        }
        Ok(self.picked.pop())
    }
}
