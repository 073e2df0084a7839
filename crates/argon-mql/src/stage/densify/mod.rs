//! `$densify`: documents for the values that are missing in a sequence.

mod range;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use self::range::{Bounds, Step};
use super::source::Turns;
use super::{Context, FieldPath, Source, Stage, StageContext};
use crate::collation::Collation;
use crate::sorter::{Sorted, Sorter};
use crate::value::{Doc, Value, ValueRef, compare, key};
use crate::{Error, Result};

/// Most documents that one stage may make.
///
/// Source: mongod 6.0.5, parameter `internalQueryMaxAllowedDensifyDocs`.
const GENERATED_MAX: usize = 500_000;

#[derive(Debug)]
struct Densify {
    field: FieldPath,
    partition_by: Vec<FieldPath>,
    step: Step,
    bounds: Bounds,
    collation: Option<Arc<Collation>>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::failed_to_parse(format!(
            "The $densify stage specification must be an object, found {}",
            value.type_name()
        )));
    };
    let (mut field, mut partition_by, mut range) = (None, Vec::new(), None);
    for element in spec.iter() {
        match (&**element.key(), element.value()) {
            (b"field", ValueRef::String(path)) => field = Some(path),
            (b"field", value) => return Err(range::wrong_type("field", value, "string")),
            (b"partitionByFields", ValueRef::Array(names)) => {
                for name in names.iter() {
                    let ValueRef::String(path) = name.value() else {
                        let place = format!("partitionByFields.{}", name.key());
                        return Err(range::wrong_type(&place, name.value(), "string"));
                    };
                    partition_by.push(FieldPath::parse(path)?);
                }
            }
            (b"partitionByFields", value) => {
                return Err(range::wrong_type("partitionByFields", value, "array"));
            }
            (b"range", ValueRef::Document(doc)) => range = Some(doc),
            (b"range", value) => return Err(range::wrong_type("range", value, "object")),
            _ => {
                return Err(Error::location(
                    40415,
                    format!(
                        "BSON field '$densify.{}' is an unknown field.",
                        element.key()
                    ),
                ));
            }
        }
    }
    let field = field.ok_or_else(|| range::missing("field"))?;
    let range = range.ok_or_else(|| range::missing("range"))?;
    let field = FieldPath::parse(field)?;
    let (step, bounds) = range::parse(range, partition_by.is_empty())?;
    out.push(Box::new(Densify {
        field,
        partition_by,
        step,
        bounds,
        collation: context.cx.collation.clone(),
    }));
    Ok(())
}

impl Stage for Densify {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(DensifySource {
            stage: self,
            input: Some(input),
            sorted: Sorted::default(),
            greatest: Value::Missing,
            least: None,
            partitions: Vec::new(),
            by_key: HashMap::new(),
            ready: VecDeque::new(),
            generated: 0,
            seen: 0,
            reached: false,
            finished: false,
        })
    }
}

/// A document with the key of its partition.
type Item = (Arc<[u8]>, Bytes);

/// How far a partition has been filled.
struct Partition {
    /// The values of the partition's fields.
    values: Vec<Value>,
    /// The next value of the sequence.
    next: Value,
    /// Where in the sequence that is.
    place: Place,
}

/// How far the sequence of a partition has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Nothing but documents below the lower bound: the sequence goes on from the first of them until one above comes.
    Below,
    /// At the lower bound, which is the next value.
    AtLow,
    /// Past its first value.
    Inside,
    /// mongod 6.0.5 has forgotten the partition: nothing comes behind its documents.
    Forgotten,
}

struct DensifySource {
    stage: Arc<Densify>,
    input: Option<Box<dyn Source>>,
    sorted: Sorted<Item>,
    /// The least and greatest value of all.
    least: Option<Value>,
    greatest: Value,
    partitions: Vec<Partition>,
    by_key: HashMap<Arc<[u8]>, usize>,
    /// Documents to give out.
    ready: VecDeque<Bytes>,
    generated: usize,
    /// How many documents came that have a value.
    seen: usize,
    /// Whether the last document is not below the bounds.
    reached: bool,
    finished: bool,
}

impl Densify {
    /// All documents, sorted by partition and value; by value alone if all partitions share their bounds. Also the value of
    /// the last one.
    fn sort(&self, mut input: Box<dyn Source>, cx: &Context<'_>) -> Result<(Sorted<Item>, Value)> {
        let mut sorter = Sorter::new(None, cx.spill, input.is_resident());
        let mut last_key = Vec::new();
        let mut last = Value::Missing;
        let mut turns = Turns::default();
        let mut keys = Vec::new();
        while let Some(doc) = input.next(cx)? {
            turns.turn(cx)?;
            keys.clear();
            let collation = self.collation.as_deref();
            for path in &self.partition_by {
                key::append_with(&mut keys, path.get(Doc::new(&doc)), false, collation);
            }
            let partition: Arc<[u8]> = Arc::from(&keys[..]);
            if matches!(self.bounds, Bounds::Full) {
                keys.clear();
            }
            let value = match self.field.get(Doc::new(&doc)) {
                ValueRef::Missing => ValueRef::Null,
                value => value,
            };
            key::append(&mut keys, value, false);
            if keys >= last_key {
                last_key.clone_from(&keys);
                last = Value::copy_of(self.field.get(Doc::new(&doc)));
            }
            let bytes = doc.len() + std::mem::size_of::<Item>();
            sorter.push(&keys, (partition, doc), bytes)?;
        }
        Ok((sorter.finish()?, last))
    }

    /// A document that was not there.
    fn generate(&self, partition: &[Value], value: &Value) -> Result<Bytes> {
        let mut doc = Bytes::from_static(Doc::EMPTY.as_bytes());
        for (path, value) in self.partition_by.iter().zip(partition) {
            if path.overlaps(&self.field) {
                return Err(Error::location(
                    5_733_306,
                    "DocGenerator cannot include field that is being densified",
                ));
            }
            if !matches!(value, Value::Missing) {
                doc = path.set(Doc::new(&doc), value.as_ref());
            }
        }
        Ok(self.field.set(Doc::new(&doc), value.as_ref()))
    }
}

impl DensifySource {
    fn start(&mut self, input: Box<dyn Source>, cx: &Context<'_>) -> Result<()> {
        (self.sorted, self.greatest) = self.stage.sort(input, cx)?;
        if self.stage.partition_by.is_empty()
            && let Bounds::Explicit(low, _) = &self.stage.bounds
        {
            // Bounds that are given hold even without documents.
            self.partitions.push(Partition {
                values: Vec::new(),
                next: low.clone(),
                place: Place::AtLow,
            });
            self.by_key.insert(Arc::from(&[][..]), 0);
        }
        Ok(())
    }

    /// Puts `doc` behind what is missing before it.
    fn take(&mut self, key: Arc<[u8]>, doc: Bytes) -> Result<()> {
        let stage = Arc::clone(&self.stage);
        let value = Value::copy_of(stage.field.get(Doc::new(&doc)));
        if value.as_ref().is_nullish() || value.as_ref().as_array().is_some() {
            self.ready.push_back(doc);
            return Ok(());
        }
        stage.step.check(value.as_ref())?;
        self.seen += 1;
        let at = match self.by_key.get(&key) {
            Some(at) => *at,
            None => {
                let partition = self.partition_of(&doc, &value);
                self.partitions.push(partition);
                let at = self.partitions.len() - 1;
                self.by_key.insert(key, at);
                at
            }
        };
        if let Bounds::Explicit(low, _) = &stage.bounds
            && let Some(partition) = self.partitions.get_mut(at)
        {
            let order = compare(value.as_ref(), low.as_ref());
            self.reached = order.is_ge();
            if order.is_gt() && matches!(partition.place, Place::Below | Place::Forgotten) {
                partition.place = Place::AtLow;
                partition.next.clone_from(low);
            }
        }
        self.fill(at, |next| compare(next, value.as_ref()).is_lt())?;
        if let Some(partition) = self.partitions.get_mut(at)
            && matches!(partition.place, Place::AtLow | Place::Inside)
            && compare(partition.next.as_ref(), value.as_ref()).is_eq()
        {
            partition.next = stage.step.after(&value);
            partition.place = Place::Inside;
        }
        self.ready.push_back(doc);
        Ok(())
    }

    /// The partition whose first document is `doc`, with `value`.
    fn partition_of(&mut self, doc: &Bytes, value: &Value) -> Partition {
        let stage = &self.stage;
        let values = stage
            .partition_by
            .iter()
            .map(|path| Value::copy_of(path.get(Doc::new(doc))))
            .collect();
        let (next, place) = match &stage.bounds {
            Bounds::Full => {
                let least = self.least.get_or_insert_with(|| value.clone());
                (least.clone(), Place::AtLow)
            }
            Bounds::Partition => (value.clone(), Place::AtLow),
            Bounds::Explicit(low, _) => {
                let order = compare(value.as_ref(), low.as_ref());
                // mongod does not note a partition behind a document that is below the bounds, unless it is the first of
                // all.
                let noted = self.reached || self.partitions.is_empty();
                match order {
                    Ordering::Greater => (low.clone(), Place::AtLow),
                    _ if !noted => (low.clone(), Place::Forgotten),
                    Ordering::Equal => (low.clone(), Place::AtLow),
                    Ordering::Less => (stage.step.after(value), Place::Below),
                }
            }
        };
        Partition {
            values,
            next,
            place,
        }
    }

    /// Makes documents in partition `at` as long as `wanted` and the bounds allow.
    fn fill(&mut self, at: usize, wanted: impl Fn(ValueRef<'_>) -> bool) -> Result<()> {
        let Some(partition) = self.partitions.get_mut(at) else {
            return Ok(());
        };
        if matches!(partition.place, Place::Below | Place::Forgotten) {
            return Ok(());
        }
        while wanted(partition.next.as_ref()) && self.stage.bounds.contain(partition.next.as_ref())
        {
            if partition.place == Place::AtLow {
                partition.place = Place::Inside;
                partition.next = self.stage.step.first(&partition.next);
            }
            let doc = self.stage.generate(&partition.values, &partition.next)?;
            self.generated += 1;
            if self.generated > GENERATED_MAX {
                return Err(Error::location(
                    5_897_900,
                    format!(
                        "Generated {} documents in $densify, which is over the limit of {GENERATED_MAX}",
                        self.generated
                    ),
                ));
            }
            self.ready.push_back(doc);
            partition.next = self.stage.step.after(&partition.next);
        }
        Ok(())
    }

    /// Fills what is left of all partitions, whose documents are all through.
    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        let stage = Arc::clone(&self.stage);
        match &stage.bounds {
            Bounds::Partition => {}
            Bounds::Full => {
                let greatest = std::mem::replace(&mut self.greatest, Value::Missing);
                for at in 0..self.partitions.len() {
                    self.fill(at, |next| compare(next, greatest.as_ref()).is_le())?;
                }
            }
            // Bounds that are given hold even without documents, and outside of any partition then.
            Bounds::Explicit(low, _) if self.seen == 0 => {
                self.ready.push_back(stage.generate(&[], low)?);
                self.generated += 1;
                self.partitions.clear();
                self.partitions.push(Partition {
                    values: Vec::new(),
                    next: stage.step.after(low),
                    place: Place::Inside,
                });
                self.fill(0, |_| true)?;
            }
            Bounds::Explicit(low, high) => {
                for at in 0..self.partitions.len() {
                    self.enter_bounds(at, low);
                    let may_be_low = self.partitions.get(at).is_some_and(|partition| {
                        !stage.partition_by.is_empty() && partition.place == Place::AtLow
                    });
                    if may_be_low {
                        self.fill(at, |_| true)?;
                    } else {
                        self.fill(at, |next| compare(next, high.as_ref()).is_lt())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets a partition with nothing but documents below go on from there, or from `low` if that is not as far.
    fn enter_bounds(&mut self, at: usize, low: &Value) {
        if let Some(partition) = self.partitions.get_mut(at)
            && partition.place == Place::Below
        {
            if compare(partition.next.as_ref(), low.as_ref()).is_lt() {
                partition.place = Place::AtLow;
                partition.next = low.clone();
            } else {
                partition.place = Place::Inside;
            }
        }
    }
}

impl Source for DensifySource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(input) = self.input.take() {
            self.start(input, cx)?;
        }
        loop {
            if let Some(doc) = self.ready.pop_front() {
                return Ok(Some(doc));
            }
            match self.sorted.pop()? {
                Some((key, doc)) => self.take(key, doc)?,
                None if !self.finished => self.finish()?,
                None => return Ok(None),
            }
        }
    }
}
