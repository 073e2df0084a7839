//! `$bucketAuto`: a given number of buckets of about the same size.

mod granularity;

use std::sync::Arc;

use bytes::Bytes;

use self::granularity::Granularity;
use super::bucket::is_expression;
use super::group::GroupStage;
use super::source::Turns;
use super::{Context, Source, Stage, StageContext};
use crate::accumulator::{Accumulator, Column, Flags};
use crate::collation::Collation;
use crate::expr::{Expr, Scope};
use crate::sorter::{Sorted, Sorter};
use crate::value::{Doc, DocBuf, Number, Value, ValueRef, compare_with, key};
use crate::{Error, Result};

#[derive(Debug)]
struct BucketAuto {
    by: Expr,
    buckets: usize,
    output: Vec<(Bytes, Accumulator)>,
    granularity: Option<Granularity>,
    collation: Option<Arc<Collation>>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            40240,
            format!(
                "The argument to $bucketAuto must be an object, but found type: {}",
                value.type_name()
            ),
        ));
    };
    let (mut by, mut buckets, mut granularity) = (None, None, None);
    let mut output = Vec::new();
    for element in spec.iter() {
        let value = element.value();
        match &**element.key() {
            b"groupBy" => {
                if !is_expression(value) {
                    return Err(Error::location(
                        40239,
                        format!(
                            "The $bucketAuto 'groupBy' field must be defined as a $-prefixed path or an expression object, but found: {value}"
                        ),
                    ));
                }
                by = Some(Expr::parse(value, context.cx)?);
            }
            b"buckets" => buckets = Some(parse_buckets(value)?),
            b"output" => {
                let Some(fields) = value.as_document() else {
                    return Err(Error::location(
                        40244,
                        format!(
                            "The $bucketAuto 'output' field must be an object, but found type: {}",
                            value.type_name()
                        ),
                    ));
                };
                output = GroupStage::parse_fields(fields, context)?;
            }
            b"granularity" => {
                let ValueRef::String(name) = value else {
                    return Err(Error::location(
                        40261,
                        format!(
                            "The $bucketAuto 'granularity' field must be a string, but found type: {}",
                            value.type_name()
                        ),
                    ));
                };
                granularity = Some(Granularity::parse(name)?);
            }
            _ => {
                return Err(Error::location(
                    40245,
                    format!("Unrecognized option to $bucketAuto: {}", element.key()),
                ));
            }
        }
    }
    let (Some(by), Some(buckets)) = (by, buckets) else {
        return Err(Error::location(
            40246,
            "$bucketAuto requires 'groupBy' and 'buckets' to be specified",
        ));
    };
    if output.is_empty() {
        output.push(("count".into(), Accumulator::count()));
    }
    out.push(Box::new(BucketAuto {
        by,
        buckets,
        output,
        granularity,
        collation: context.cx.collation.clone(),
    }));
    Ok(())
}

fn parse_buckets(value: ValueRef<'_>) -> Result<usize> {
    let number = Number::from_value(value).ok_or_else(|| {
        Error::location(
            40241,
            format!(
                "The $bucketAuto 'buckets' field must be a numeric value, but found type: {}",
                value.type_name()
            ),
        )
    })?;
    let number = number
        .to_i64()
        .and_then(|number| i32::try_from(number).ok())
        .ok_or_else(|| {
            Error::location(
                40242,
                format!("The $bucketAuto 'buckets' field must be representable as a 32-bit integer, but found {value}"),
            )
        })?;
    usize::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            Error::location(
                40243,
                format!(
                    "The $bucketAuto 'buckets' field must be greater than 0, but found: {number}"
                ),
            )
        })
}

impl Stage for BucketAuto {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(BucketAutoSource {
            stage: self,
            input: Some(input),
            items: Sorted::default(),
            ahead: None,
            size: 0,
            given: 0,
            before: None,
        })
    }
}

struct BucketAutoSource {
    stage: Arc<BucketAuto>,
    input: Option<Box<dyn Source>>,
    items: Sorted<Item>,
    /// The item that comes next.
    ahead: Option<Item>,
    /// How many documents a bucket has, but for equal values.
    size: usize,
    /// How many buckets were given out.
    given: usize,
    /// Where the last of them ended.
    before: Option<Value>,
}

/// A document with the value that decides its bucket.
type Item = (Value, Bytes);

impl BucketAuto {
    /// All documents by their values, and how many there are.
    fn sorted(
        &self,
        mut input: Box<dyn Source>,
        cx: &Context<'_>,
    ) -> Result<(Sorted<Item>, usize)> {
        let mut sorter = Sorter::new(None, cx.spill, input.is_resident());
        let mut turns = Turns::default();
        let mut sortable = Vec::new();
        let mut count = 0;
        while let Some(doc) = input.next(cx)? {
            turns.turn(cx)?;
            let value = self.by.eval(&Scope::new(&doc, cx.env))?;
            let value = match (value, &self.granularity) {
                (Value::Missing, None) => Value::Null,
                (value, Some(granularity)) => {
                    granularity.check(value.as_ref())?;
                    value
                }
                (value, None) => value,
            };
            sortable.clear();
            key::append_with(
                &mut sortable,
                value.as_ref(),
                false,
                self.collation.as_deref(),
            );
            let bytes = doc.len() + std::mem::size_of::<Item>();
            sorter.push(&sortable, (value, doc), bytes)?;
            count += 1;
        }
        Ok((sorter.finish()?, count))
    }

    /// Rounded to the nearest, and at least one.
    fn bucket_size(&self, count: usize) -> usize {
        ((2 * count + self.buckets) / (2 * self.buckets)).max(1)
    }

    fn is_equal(&self, a: &Value, b: &Value) -> bool {
        compare_with(a.as_ref(), b.as_ref(), self.collation.as_deref()).is_eq()
    }

    fn is_less(&self, a: &Value, b: &Value) -> bool {
        compare_with(a.as_ref(), b.as_ref(), self.collation.as_deref()).is_lt()
    }

    fn columns(&self, cx: &Context<'_>) -> Result<Vec<Box<dyn Column>>> {
        let empty = Bytes::from_static(Doc::EMPTY.as_bytes());
        let mut columns: Vec<Box<dyn Column>> = self
            .output
            .iter()
            .map(|(_, accumulator)| accumulator.column(Flags::default()))
            .collect();
        for column in &mut columns {
            column.begin(&empty, &Scope::new(&empty, cx.env))?;
        }
        Ok(columns)
    }

    fn output(&self, min: &Value, max: &Value, mut columns: Vec<Box<dyn Column>>) -> Result<Bytes> {
        let mut out = DocBuf::new();
        let id = out.open_document("_id");
        out.append("min", min.as_ref());
        out.append("max", max.as_ref());
        out.close(id);
        for ((name, _), column) in self.output.iter().zip(&mut columns) {
            out.append(name, column.finish(0)?.as_ref());
        }
        Ok(out.finish())
    }
}

impl BucketAutoSource {
    /// Takes the next item, if it passes `wanted`.
    fn next_if(&mut self, wanted: impl FnOnce(&Value) -> bool) -> Result<Option<Item>> {
        if !self.ahead.as_ref().is_some_and(|(value, _)| wanted(value)) {
            return Ok(None);
        }
        let next = self.items.pop()?;
        Ok(std::mem::replace(&mut self.ahead, next))
    }

    fn next_bucket(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let stage = Arc::clone(&self.stage);
        let Some(first) = self.next_if(|_| true)? else {
            return Ok(None);
        };
        let mut columns = stage.columns(cx)?;
        let mut turns = Turns::default();
        let mut add = |(value, doc): Item| -> Result<Value> {
            turns.turn(cx)?;
            let scope = Scope::new(&doc, cx.env);
            for column in &mut columns {
                column.add(0, &doc, &scope)?;
            }
            Ok(value)
        };
        self.given += 1;
        let is_last = self.given == stage.buckets;
        let mut left = if is_last { usize::MAX } else { self.size } - 1;
        let first = add(first)?;
        let mut last = first.clone();
        while left > 0
            && let Some(item) = self.next_if(|_| true)?
        {
            last = add(item)?;
            left -= 1;
        }
        let (min, max) = match &stage.granularity {
            None => {
                while let Some(item) = self.next_if(|value| stage.is_equal(value, &last))? {
                    last = add(item)?;
                }
                // A bucket ends where the next one begins. Of equal values, the last one shows.
                let next = self.ahead.as_ref().map(|(value, _)| value.clone());
                (first, next.unwrap_or(last))
            }
            Some(granularity) => {
                let next = self.ahead.as_ref().map(|(value, _)| value);
                let mut max = granularity.boundary(&last, next);
                while let Some(item) = self.next_if(|value| stage.is_less(value, &max))? {
                    last = add(item)?;
                }
                if self.ahead.is_none() {
                    max = granularity.round_up(last.as_ref());
                }
                let before = self.before.take();
                let min = before.unwrap_or_else(|| granularity.round_down(first.as_ref()));
                (min, max)
            }
        };
        self.before = Some(max.clone());
        stage.output(&min, &max, columns).map(Some)
    }
}

impl Source for BucketAutoSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(input) = self.input.take() {
            let (items, count) = self.stage.sorted(input, cx)?;
            self.size = self.stage.bucket_size(count);
            self.items = items;
            self.ahead = self.items.pop()?;
        }
        self.next_bucket(cx)
    }
}
