//! `$setWindowFields`: to each document, values computed over the documents around it.
//!
//! ```text
//! documents ── sort by partition and sortBy ──> partitions ── per document, per output field ──> Run::value
//! ```
//!
//! A window function is a row in [`functions::FUNCTIONS`]. It parses into a [`Function`], which starts a fresh [`Run`]
//! for each partition; the run is asked for one document after the other and so can carry on from the last.

mod bounds;
mod calculus;
mod fill;
mod functions;
mod moving;
mod order;
mod removable;
mod window;

pub use functions::entries;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use self::bounds::SortShape;
use super::add_fields::FieldTree;
use super::budget::Budget;
use super::source::Turns;
use super::{Context, FieldPath, Source, Stage, StageContext};
use crate::collation::Collation;
use crate::expr::{Expr, Scope};
use crate::sort::Sort;
use crate::sorter::{Sorted, Sorter};
use crate::value::{Doc, Value, ValueRef, key};
use crate::{Error, Result};

/// A parsed window function.
pub(super) trait Function: Debug + Send + Sync {
    /// Starts over, for a new partition.
    fn run(self: Arc<Self>) -> Box<dyn Run>;
}

/// A window function at work in one partition.
pub(super) trait Run: Send {
    /// The value for the document at `at`; called for each document in order.
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value>;
}

/// The documents that a window can see.
pub(super) struct Partition {
    docs: Vec<Bytes>,
    stage: Arc<SetWindowFields>,
}

impl Partition {
    /// The value of the only `sortBy` field in the document at `at`.
    fn sort_value(&self, at: usize) -> ValueRef<'_> {
        match (self.docs.get(at), &self.stage.sort_path) {
            (Some(doc), Some(path)) => path.get(Doc::new(doc)),
            _ => ValueRef::Missing,
        }
    }

    /// Whether the only `sortBy` field is sorted downwards.
    fn is_descending(&self) -> bool {
        let sort = self.stage.sort.as_ref();
        sort.and_then(|sort| sort.fields().first())
            .is_some_and(|field| field.descending)
    }

    /// The key of the only `sortBy` field's value in the document at `at`: equal for equal values.
    fn value_key(&self, at: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let collation = self.stage.collation.as_deref();
        key::append_with(&mut out, self.sort_value(at), false, collation);
        out
    }
}

/// A field that is computed.
#[derive(Debug)]
struct Output {
    path: FieldPath,
    function: Arc<dyn Function>,
    /// Whether a missing value leaves a place.
    keeps_place: bool,
}

#[derive(Debug)]
pub(super) struct SetWindowFields {
    partition_by: Option<Expr>,
    sort: Option<Sort>,
    /// The only field of the sort.
    sort_path: Option<FieldPath>,
    output: Vec<Output>,
    collation: Option<Arc<Collation>>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::failed_to_parse(format!(
            "the $setWindowFields stage specification must be an object, found {}",
            value.type_name()
        )));
    };
    let (mut partition_by, mut sort, mut output) = (None, Doc::EMPTY, None);
    for element in spec.iter() {
        let value = element.value();
        match (&**element.key(), value) {
            (b"partitionBy", _) => partition_by = Some(value),
            (b"sortBy", ValueRef::Document(doc)) => sort = doc,
            (b"output", ValueRef::Document(doc)) => output = Some(doc),
            (b"sortBy" | b"output", _) => {
                return Err(Error::type_mismatch(format!(
                    "BSON field '$setWindowFields.{}' is the wrong type '{}', expected type 'object'",
                    element.key(),
                    value.type_name()
                )));
            }
            _ => {
                return Err(Error::location(
                    40415,
                    format!(
                        "BSON field '$setWindowFields.{}' is an unknown field.",
                        element.key()
                    ),
                ));
            }
        }
    }
    let output = output.ok_or_else(|| {
        Error::location(
            40414,
            "BSON field '$setWindowFields.output' is missing but a required field",
        )
    })?;
    let stage = SetWindowFields::new(partition_by, sort, output, context)?;
    out.push(Box::new(stage));
    Ok(())
}

impl SetWindowFields {
    /// Compiles the stage. `$fill` is made of it, too.
    pub(super) fn new(
        partition_by: Option<ValueRef<'_>>,
        sort: Doc<'_>,
        output: Doc<'_>,
        context: &StageContext<'_>,
    ) -> Result<SetWindowFields> {
        let partition_by = partition_by
            .map(|value| Expr::parse(value, context.cx))
            .transpose()?;
        if let Some(constant) = partition_by.as_ref().and_then(Expr::as_constant) {
            check_partition(constant.as_ref())?;
        }
        let (shape, sort_path) = match sort.iter().count() {
            0 => (SortShape::None, None),
            1 => {
                let name = sort.iter().next().map(|element| element.key());
                let path = name.map(|name| FieldPath::parse(name)).transpose()?;
                (SortShape::Single, path)
            }
            _ => (SortShape::Compound, None),
        };
        let sort = if shape == SortShape::None {
            None
        } else {
            let sort = Sort::parse(sort)?;
            Some(sort.with_collation(context.cx.collation.as_deref().cloned()))
        };
        let mut parsed = Vec::new();
        // Only to find paths in conflict.
        let mut tree = FieldTree::default();
        for element in output.iter() {
            let path = FieldPath::parse(element.key())?;
            let function = functions::parse(element.key(), element.value(), shape, context.cx)?;
            let keeps_place = path
                .names()
                .last()
                .is_some_and(|name| context.cx.keeps_place(name));
            tree.insert(&path, Expr::constant(Value::Null), false)
                .map_err(|error| Error::location(6_307_900, error.message()))?;
            parsed.push(Output {
                path,
                function,
                keeps_place,
            });
        }
        Ok(SetWindowFields {
            partition_by: partition_by.filter(|by| by.as_constant().is_none()),
            sort,
            sort_path,
            output: parsed,
            collation: context.cx.collation.clone(),
        })
    }
}

/// Whether a value can name a partition.
fn check_partition(value: ValueRef<'_>) -> Result<()> {
    match value {
        ValueRef::Array(_) => Err(Error::type_mismatch(
            "An expression used to partition cannot evaluate to value of type array",
        )),
        _ => Ok(()),
    }
}

impl Stage for SetWindowFields {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(WindowSource {
            stage: self,
            input: Some(input),
            sorted: Sorted::default(),
            ahead: None,
            resident: false,
            partition: None,
        })
    }
}

/// A document with the key of its partition.
type Item = (Arc<[u8]>, Bytes);

struct WindowSource {
    stage: Arc<SetWindowFields>,
    input: Option<Box<dyn Source>>,
    sorted: Sorted<Item>,
    /// The document that comes next.
    ahead: Option<Item>,
    /// Whether the documents are in memory anyway.
    resident: bool,
    partition: Option<Open>,
}

/// The partition being worked on.
struct Open {
    partition: Partition,
    runs: Vec<Box<dyn Run>>,
    next: usize,
}

impl WindowSource {
    /// All documents, partition by partition, each in its order.
    fn sort(&self, mut input: Box<dyn Source>, cx: &Context<'_>) -> Result<Sorted<Item>> {
        let mut sorter = Sorter::new(None, cx.spill, self.resident);
        let mut turns = Turns::default();
        let mut keys = Vec::new();
        let everything: Arc<[u8]> = Arc::from(&[][..]);
        let mut last = Arc::clone(&everything);
        while let Some(doc) = input.next(cx)? {
            turns.turn(cx)?;
            keys.clear();
            let mut partition = Arc::clone(&everything);
            if let Some(by) = &self.stage.partition_by {
                let scope = Scope::new(&doc, cx.env);
                let value = by.operand(&scope)?;
                check_partition(value.as_ref())?;
                let value = match value.as_ref() {
                    ValueRef::Missing | ValueRef::Undefined => ValueRef::Null,
                    value => value,
                };
                key::append_with(&mut keys, value, false, self.stage.collation.as_deref());
                if last[..] != keys[..] {
                    last = Arc::from(&keys[..]);
                }
                partition = Arc::clone(&last);
            }
            if let Some(sort) = &self.stage.sort {
                sort.append_key(&mut keys, Doc::new(&doc))?;
            }
            let bytes = doc.len() + std::mem::size_of::<Item>();
            sorter.push(&keys, (partition, doc), bytes)?;
        }
        sorter.finish()
    }

    /// Takes the next partition off the sorted documents.
    ///
    /// # Errors
    /// What the disk fails with, and `ExceededMemoryLimit`: its documents have to fit the memory.
    fn next_partition(&mut self) -> Result<Option<Open>> {
        let Some((key, first)) = self.ahead.take() else {
            return Ok(None);
        };
        let mut budget = Budget::new("a partition of $setWindowFields");
        let mut docs = vec![first];
        loop {
            self.ahead = self.sorted.pop()?;
            let Some((_, doc)) = self.ahead.take_if(|(other, _)| *other == key) else {
                break;
            };
            budget
                .hold(std::mem::size_of::<Bytes>() + if self.resident { 0 } else { doc.len() })?;
            docs.push(doc);
        }
        let runs = self
            .stage
            .output
            .iter()
            .map(|output| Arc::clone(&output.function).run())
            .collect();
        Ok(Some(Open {
            partition: Partition {
                docs,
                stage: Arc::clone(&self.stage),
            },
            runs,
            next: 0,
        }))
    }
}

impl Source for WindowSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(input) = self.input.take() {
            self.resident = input.is_resident();
            self.sorted = self.sort(input, cx)?;
            self.ahead = self.sorted.pop()?;
        }
        loop {
            if self.partition.is_none() {
                self.partition = self.next_partition()?;
            }
            let Some(open) = &mut self.partition else {
                return Ok(None);
            };
            let at = open.next;
            let Some(doc) = open.partition.docs.get(at).cloned() else {
                self.partition = None;
                continue;
            };
            open.next += 1;
            let mut tree = FieldTree::default();
            for (output, run) in self.stage.output.iter().zip(&mut open.runs) {
                let value = run.value(at, &open.partition, cx)?;
                tree.insert(&output.path, Expr::constant(value), output.keeps_place)?;
            }
            let scope = Scope::new(&doc, cx.env);
            return Ok(Some(tree.apply(Doc::new(&doc), &scope)?));
        }
    }
}
