//! `$sample`: some documents, picked at random.

use std::sync::Arc;

use bytes::Bytes;

use super::source::Turns;
use super::{Context, Source, Stage, StageContext};
use crate::sorter::{Sorted, Sorter};
use crate::value::{Number, ValueRef};
use crate::{Error, Result};

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
            picked: Sorted::default(),
        })
    }
}

struct SampleSource {
    size: usize,
    input: Option<Box<dyn Source>>,
    picked: Sorted<Bytes>,
}

impl Source for SampleSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(mut input) = self.input.take() {
            let mut sorter = Sorter::new(Some(self.size), cx.spill, input.is_resident());
            let mut turns = Turns::default();
            // The first by a random order are a fair sample, and in a random order.
            while self.size > 0
                && let Some(doc) = input.next(cx)?
            {
                turns.turn(cx)?;
                let bytes = doc.len();
                sorter.push(&cx.env.next_random().to_be_bytes(), doc, bytes)?;
            }
            self.picked = sorter.finish()?;
        }
        self.picked.pop()
    }
}
