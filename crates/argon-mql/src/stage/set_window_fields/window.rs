//! Accumulators over windows.
//!
//! A frame that starts at the beginning of the partition only ever grows, so the accumulator of `$group` does. One that
//! moves on loses values at its start, and needs a [`Removable`] result.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::bounds::{Bounds, Frames, is_empty_object};
use super::functions::Arguments;
use super::removable::{CovarianceOf, Entry, Inside, Ordered, Pick, Removable, StdDevOf, SumOf};
use super::{Function, Partition, Run};
use crate::accumulator::{
    Accumulator, Column, Flags, SortBy, check_n, n_arguments, sorted_arguments,
};
use crate::collation::Collation;
use crate::expr::{Expr, Scope};
use crate::stage::Context;
use crate::value::{Doc, DocBuf, Value, ValueRef, key};
use crate::{Error, Result};

/// Which result.
#[derive(Clone, Copy, Debug)]
enum Kind {
    AddToSet,
    Avg,
    Bottom,
    Count,
    CovariancePop,
    CovarianceSamp,
    First,
    Last,
    Max,
    Min,
    Push,
    StdDevPop,
    StdDevSamp,
    Sum,
    Top,
}

#[derive(Debug)]
struct Windowed {
    kind: Kind,
    input: Expr,
    n: Option<Expr>,
    sort: Option<SortBy>,
    bounds: Bounds,
    /// For frames that only grow; `None` where `$group` has no such accumulator.
    growing: Option<Accumulator>,
    collation: Option<Arc<Collation>>,
}

pub(super) fn add_to_set(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::AddToSet, arguments)
}

pub(super) fn avg(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::Avg, arguments)
}

pub(super) fn first(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::First, arguments)
}

pub(super) fn last(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::Last, arguments)
}

pub(super) fn max(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::Max, arguments)
}

pub(super) fn min(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::Min, arguments)
}

pub(super) fn push(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::Push, arguments)
}

pub(super) fn std_dev_pop(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::StdDevPop, arguments)
}

pub(super) fn std_dev_samp(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::StdDevSamp, arguments)
}

pub(super) fn sum(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    unary(Kind::Sum, arguments)
}

pub(super) fn covariance_pop(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    build(
        Kind::CovariancePop,
        Expr::parse(arguments.value, arguments.cx)?,
        arguments,
        None,
    )
}

pub(super) fn covariance_samp(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    build(
        Kind::CovarianceSamp,
        Expr::parse(arguments.value, arguments.cx)?,
        arguments,
        None,
    )
}

pub(super) fn count(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    if !is_empty_object(arguments.value) {
        return Err(Error::failed_to_parse(
            "$count only accepts an empty object as input",
        ));
    }
    let one = Expr::constant(Value::Int32(1));
    build(Kind::Count, one, arguments, Some(Accumulator::count()))
}

pub(super) fn first_n(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    with_n(Kind::First, arguments)
}

pub(super) fn last_n(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    with_n(Kind::Last, arguments)
}

pub(super) fn max_n(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    with_n(Kind::Max, arguments)
}

pub(super) fn min_n(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    with_n(Kind::Min, arguments)
}

pub(super) fn top(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    sorted(Kind::Top, false, arguments)
}

pub(super) fn top_n(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    sorted(Kind::Top, true, arguments)
}

pub(super) fn bottom(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    sorted(Kind::Bottom, false, arguments)
}

pub(super) fn bottom_n(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    sorted(Kind::Bottom, true, arguments)
}

fn unary(kind: Kind, arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    let input = Expr::parse(arguments.value, arguments.cx)?;
    // In a window, an array is an array; in a group, it is refused. One inside an operator is the same to both.
    let wrapped = match arguments.value {
        ValueRef::Array(_) => {
            let mut wrapped = DocBuf::new();
            let open = wrapped.open_array("$concatArrays");
            wrapped.push(0, arguments.value);
            wrapped.close(open);
            Some(wrapped.finish())
        }
        _ => None,
    };
    let value = match &wrapped {
        Some(wrapped) => ValueRef::Document(Doc::new(wrapped)),
        None => arguments.value,
    };
    build(kind, input, arguments, Some(growing(arguments, value)?))
}

/// The accumulator of `$group` with the same name.
fn growing(arguments: &Arguments<'_>, value: ValueRef<'_>) -> Result<Accumulator> {
    let mut spec = DocBuf::new();
    spec.append(arguments.name, value);
    let spec = spec.finish();
    Accumulator::parse(b"", ValueRef::Document(Doc::new(&spec)), arguments.cx)
}

fn build(
    kind: Kind,
    input: Expr,
    arguments: &Arguments<'_>,
    growing: Option<Accumulator>,
) -> Result<Arc<dyn Function>> {
    Ok(Arc::new(Windowed::new(kind, input, arguments, growing)?))
}

fn with_n(kind: Kind, arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    let growing = growing(arguments, arguments.value)?;
    let spec = arguments.value.as_document().unwrap_or(Doc::EMPTY);
    let (input, n) = n_arguments(spec, arguments.cx)?;
    let mut function = Windowed::new(kind, input, arguments, Some(growing))?;
    function.n = Some(n);
    Ok(Arc::new(function))
}

fn sorted(kind: Kind, many: bool, arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    let growing = growing(arguments, arguments.value)?;
    let parsed = sorted_arguments(arguments.name, many, arguments.value, arguments.cx)?;
    let mut function = Windowed::new(kind, parsed.output, arguments, Some(growing))?;
    function.n = parsed.n;
    function.sort = parsed.sort;
    Ok(Arc::new(function))
}

impl Windowed {
    fn new(
        kind: Kind,
        input: Expr,
        arguments: &Arguments<'_>,
        growing: Option<Accumulator>,
    ) -> Result<Windowed> {
        let bounds = match arguments.window {
            Some(window) => Bounds::parse(window, arguments.sort)?,
            None => Bounds::WHOLE,
        };
        Ok(Windowed {
            kind,
            input,
            n: None,
            sort: None,
            bounds,
            growing,
            collation: arguments.cx.collation.clone(),
        })
    }

    /// An empty result that values can leave again.
    fn removable(&self, cx: &Context<'_>) -> Result<Box<dyn Removable>> {
        let n = match &self.n {
            None => None,
            Some(n) => {
                let empty = Bytes::from_static(Doc::EMPTY.as_bytes());
                Some(check_n(n.operand(&Scope::new(&empty, cx.env))?.as_ref())?)
            }
        };
        Ok(match (self.kind, n) {
            (Kind::AddToSet, _) => Box::new(Ordered::new(Pick::Distinct, true)),
            (Kind::Avg, _) => Box::new(SumOf::average()),
            (Kind::Sum, _) => Box::new(SumOf::default()),
            (Kind::Count, _) => Box::new(Inside::Count),
            (Kind::CovariancePop, _) => Box::new(CovarianceOf::new(false)),
            (Kind::CovarianceSamp, _) => Box::new(CovarianceOf::new(true)),
            (Kind::First, n) => Box::new(Inside::FirstN(n.unwrap_or(1))),
            (Kind::Last, n) => Box::new(Inside::LastN(n.unwrap_or(1))),
            (Kind::Push, _) => Box::new(Inside::Push),
            (Kind::StdDevPop, _) => Box::new(StdDevOf::default()),
            (Kind::StdDevSamp, _) => Box::new(StdDevOf::sample()),
            (Kind::Min, None) => Box::new(Ordered::new(Pick::First, false)),
            (Kind::Min, Some(n)) => Box::new(Ordered::new(Pick::FirstN(n), false)),
            (Kind::Max, None) => Box::new(Ordered::new(Pick::Last, false)),
            (Kind::Max, Some(n)) => Box::new(Ordered::new(Pick::LastNBackwards(n), false)),
            (Kind::Top, None) => Box::new(Ordered::new(Pick::First, true)),
            (Kind::Top, Some(n)) => Box::new(Ordered::new(Pick::FirstN(n), true)),
            (Kind::Bottom, None) => Box::new(Ordered::new(Pick::Last, true)),
            (Kind::Bottom, Some(n)) => Box::new(Ordered::new(Pick::LastN(n), true)),
        })
    }

    /// What of a document goes into the frame.
    fn entry(&self, arrival: usize, doc: &Bytes, cx: &Context<'_>) -> Result<Entry> {
        let scope = Scope::new(doc, cx.env);
        let value = self.input.eval(&scope)?;
        let mut sortable = Vec::new();
        match self.kind {
            Kind::AddToSet | Kind::Max | Kind::Min => {
                key::append_with(
                    &mut sortable,
                    value.as_ref(),
                    false,
                    self.collation.as_deref(),
                );
            }
            Kind::Top | Kind::Bottom => {
                if let Some(sort) = &self.sort {
                    sort.append_key(&mut sortable, &scope)?;
                }
            }
            _ => {
                return Ok(Entry {
                    value,
                    key: sortable,
                });
            }
        }
        sortable.extend_from_slice(&(arrival as u64).to_be_bytes());
        Ok(Entry {
            value,
            key: sortable,
        })
    }
}

impl Function for Windowed {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        let frames = Frames::new(self.bounds.clone());
        match &self.growing {
            _ if self.n.is_none() && matches!(self.kind, Kind::First | Kind::Last) => {
                Box::new(Edge {
                    function: self,
                    frames,
                })
            }
            Some(growing) if self.bounds.starts_unbounded() => Box::new(Growing {
                column: growing.column(Flags::default()),
                begun: false,
                frames,
                end: 0,
                result: None,
            }),
            _ => Box::new(Sliding {
                function: self,
                frames,
                inside: 0..0,
                entries: VecDeque::new(),
                state: None,
            }),
        }
    }
}

/// `$first` and `$last`: only one document of the frame matters. Missing stays missing, unlike in a group.
struct Edge {
    function: Arc<Windowed>,
    frames: Frames,
}

impl Run for Edge {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let frame = self.frames.of(at, partition)?;
        let at = match self.function.kind {
            Kind::Last => frame.end.checked_sub(1),
            _ => Some(frame.start),
        };
        match at
            .filter(|_| !frame.is_empty())
            .and_then(|at| partition.docs.get(at))
        {
            Some(doc) => self.function.input.eval(&Scope::new(doc, cx.env)),
            None => Ok(Value::Null),
        }
    }
}

/// A frame that only grows.
struct Growing {
    column: Box<dyn Column>,
    begun: bool,
    frames: Frames,
    end: usize,
    /// The result up to `end`.
    result: Option<Value>,
}

impl Run for Growing {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let frame = self.frames.of(at, partition)?;
        if !self.begun {
            self.begun = true;
            let empty = Bytes::from_static(Doc::EMPTY.as_bytes());
            self.column.begin(&empty, &Scope::new(&empty, cx.env))?;
        }
        while self.end < frame.end
            && let Some(doc) = partition.docs.get(self.end)
        {
            self.column.add(0, doc, &Scope::new(doc, cx.env))?;
            self.end += 1;
            self.result = None;
        }
        match &self.result {
            Some(result) => Ok(result.clone()),
            None => {
                let result = self.column.value(0)?;
                self.result = Some(result.clone());
                Ok(result)
            }
        }
    }
}

/// A frame that moves on.
struct Sliding {
    function: Arc<Windowed>,
    frames: Frames,
    /// Which documents are in the state.
    inside: Range<usize>,
    entries: VecDeque<Entry>,
    state: Option<Box<dyn Removable>>,
}

impl Run for Sliding {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let frame = self.frames.of(at, partition)?;
        let state = match &mut self.state {
            Some(state) => state,
            None => self.state.insert(self.function.removable(cx)?),
        };
        if self.inside.end < frame.start {
            // Far ahead: nothing of what is inside stays, and nothing between is looked at.
            while let Some(entry) = self.entries.pop_front() {
                state.remove(&entry);
            }
            self.inside = frame.start..frame.start;
        }
        // First in, then out, as mongod does it: the last digits of a sum depend on that.
        while self.inside.end < frame.end
            && let Some(doc) = partition.docs.get(self.inside.end)
        {
            let entry = self.function.entry(self.inside.end, doc, cx)?;
            state.add(&entry);
            self.entries.push_back(entry);
            self.inside.end += 1;
        }
        while self.inside.start < frame.start
            && let Some(entry) = self.entries.pop_front()
        {
            state.remove(&entry);
            self.inside.start += 1;
        }
        state.value(&self.entries)
    }
}
