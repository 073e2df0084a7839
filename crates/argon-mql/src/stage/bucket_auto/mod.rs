//! `$bucketAuto`: a given number of buckets of about the same size.

mod granularity;

use std::sync::Arc;

use bytes::Bytes;

use self::granularity::Granularity;
use super::bucket::is_expression;
use super::budget::STAGE_BYTES_HARD_MAX;
use super::group::GroupStage;
use super::source::Turns;
use super::{Context, Source, Stage, StageContext};
use crate::accumulator::{Accumulator, Column, Flags};
use crate::collation::Collation;
use crate::expr::{Expr, Scope};
use crate::sort::{MEMORY_MAX, Sorter};
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
            out: Vec::new().into_iter(),
        })
    }
}

struct BucketAutoSource {
    stage: Arc<BucketAuto>,
    input: Option<Box<dyn Source>>,
    out: std::vec::IntoIter<Bytes>,
}

/// A document with the value that decides its bucket.
type Item = (Value, Bytes);

/// A finished bucket but for its upper boundary, which the next one decides.
struct Bucket {
    min: Value,
    max: Value,
    /// Where its documents are among the sorted ones.
    from: usize,
    to: usize,
}

impl BucketAuto {
    /// All documents, by their values.
    fn sorted(&self, mut input: Box<dyn Source>, cx: &Context<'_>) -> Result<Vec<Item>> {
        let bytes_max = if cx.allow_disk_use {
            STAGE_BYTES_HARD_MAX
        } else {
            MEMORY_MAX
        };
        let mut sorter = Sorter::new(None, bytes_max);
        let mut turns = Turns::default();
        let mut sortable = Vec::new();
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
        }
        Ok(sorter.finish().collect())
    }

    fn split(&self, items: &[Item]) -> Vec<Bucket> {
        let len = items.len();
        // Rounded to the nearest, and at least one.
        let size = ((2 * len + self.buckets) / (2 * self.buckets)).max(1);
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut from = 0;
        while from < len && buckets.len() < self.buckets {
            let is_last = buckets.len() + 1 == self.buckets;
            let mut to = if is_last { len } else { (from + size).min(len) };
            let (mut max, min);
            match &self.granularity {
                None => {
                    max = items[to - 1].0.clone();
                    while to < len && self.is_equal(&items[to].0, &max) {
                        to += 1;
                    }
                    // Of equal values, the last one shows.
                    max = items[to - 1].0.clone();
                    min = items[from].0.clone();
                    if let Some(before) = buckets.last_mut() {
                        before.max = min.clone();
                    }
                }
                Some(granularity) => {
                    max = granularity
                        .boundary(&items[to - 1].0, items.get(to).map(|(value, _)| value));
                    while to < len && self.is_less(&items[to].0, &max) {
                        to += 1;
                    }
                    if to == len {
                        max = granularity.round_up(items[to - 1].0.as_ref());
                    }
                    min = match buckets.last() {
                        Some(before) => before.max.clone(),
                        None => granularity.round_down(items[from].0.as_ref()),
                    };
                }
            }
            buckets.push(Bucket { min, max, from, to });
            from = to;
        }
        buckets
    }

    fn is_equal(&self, a: &Value, b: &Value) -> bool {
        compare_with(a.as_ref(), b.as_ref(), self.collation.as_deref()).is_eq()
    }

    fn is_less(&self, a: &Value, b: &Value) -> bool {
        compare_with(a.as_ref(), b.as_ref(), self.collation.as_deref()).is_lt()
    }

    fn output(&self, bucket: &Bucket, items: &[Item], cx: &Context<'_>) -> Result<Bytes> {
        let empty = Bytes::from_static(Doc::EMPTY.as_bytes());
        let mut columns: Vec<Box<dyn Column>> = self
            .output
            .iter()
            .map(|(_, accumulator)| accumulator.column(Flags::default()))
            .collect();
        for column in &mut columns {
            column.begin(&empty, &Scope::new(&empty, cx.env))?;
        }
        let mut turns = Turns::default();
        for (_, doc) in &items[bucket.from..bucket.to] {
            turns.turn(cx)?;
            let scope = Scope::new(doc, cx.env);
            for column in &mut columns {
                column.add(0, doc, &scope)?;
            }
        }
        let mut out = DocBuf::new();
        let id = out.open_document("_id");
        out.append("min", bucket.min.as_ref());
        out.append("max", bucket.max.as_ref());
        out.close(id);
        for ((name, _), column) in self.output.iter().zip(&mut columns) {
            out.append(name, column.finish(0)?.as_ref());
        }
        Ok(out.finish())
    }
}

impl Source for BucketAutoSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(input) = self.input.take() {
            let items = self.stage.sorted(input, cx)?;
            let out: Result<Vec<Bytes>> = self
                .stage
                .split(&items)
                .iter()
                .map(|bucket| self.stage.output(bucket, &items, cx))
                .collect();
            self.out = out?.into_iter();
        }
        Ok(self.out.next())
    }
}
