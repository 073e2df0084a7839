//! Accumulators: what `$group` and its relatives compute over many documents.
//!
//! ```text
//! {total: {$sum: "$price"}} ── Accumulator::parse ──> Accumulator ── column ──> Column: one state per group, side by side
//! ```
//!
//! The states of one accumulator lie in one vector, indexed by the number of the group, so that a running sum is a
//! number in memory and not an allocation. An accumulator is a row in [`ACCUMULATORS`] and a [`State`] (or a
//! [`Column`] of its own, if it takes more than one argument).

mod array;
mod extreme;
mod javascript;
mod merge_objects;
mod position;
mod sort_n;
mod std_dev;
mod sum;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalogue::Entry;
use crate::collation::Collation;
use crate::expr::{Expr, Operand, Scope};
use crate::value::{Doc, DocBuf, Value, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

pub(crate) use javascript::DISABLED as JAVASCRIPT_DISABLED;
pub(crate) use sort_n::{SortBy, check_n, n_arguments, sorted_arguments};
pub(crate) use std_dev::{StdDev, to_f64};
pub(crate) use sum::Sum;

/// Most bytes that one accumulator may gather in one group before `$push` and `$addToSet` give up.
///
/// Source: mongod 6.0.5, parameters `internalQueryMaxPushBytes` and `internalQueryMaxAddToSetBytes`.
pub(crate) const GATHERED_BYTES_MAX: usize = 100 * 1024 * 1024;

/// One accumulator of a `$group`: operator and arguments.
#[derive(Clone, Debug)]
pub(crate) struct Accumulator {
    name: &'static str,
    spec: Arc<dyn Spec>,
}

/// What an accumulator's arguments were parsed into.
pub(super) trait Spec: Debug + Send + Sync {
    /// An empty column of states.
    fn column(self: Arc<Self>, flags: Flags) -> Box<dyn Column>;

    /// Calls `visit` with its arguments as long as that answers true; false if it did not, or if they cannot be told.
    fn each_expr(&self, _visit: &mut dyn FnMut(&Expr) -> bool) -> bool {
        false
    }
}

/// The states of one accumulator, one per group.
pub(crate) trait Column: Send {
    /// Begins the next group. `id` is its `_id`, as a document if the arguments may read it.
    ///
    /// # Errors
    /// What the arguments that a group fixes at its beginning (`n`) fail with.
    fn begin(&mut self, id: &Bytes, scope: &Scope<'_>) -> Result<()>;

    /// Adds `doc`, the root of `scope`, to `group`, and answers by how many bytes the state grew.
    ///
    /// # Errors
    /// What the arguments fail with, and what the accumulator cannot take.
    fn add(&mut self, group: usize, doc: &Bytes, scope: &Scope<'_>) -> Result<usize>;

    /// The top-level field that is its only argument, if that is so: then [`add_value`](Column::add_value) may be called
    /// instead of [`add`](Column::add), with the field's value.
    fn field(&self) -> Option<String> {
        None
    }

    /// Adds the value of the only argument to `group`, and answers by how many bytes the state grew.
    ///
    /// # Errors
    /// What the accumulator cannot take.
    fn add_value(&mut self, _group: usize, _value: Operand<'_>) -> Result<usize> {
        Ok(0)
    }

    /// The result for `group` so far.
    ///
    /// # Errors
    /// What cannot be represented.
    fn value(&self, group: usize) -> Result<Value>;

    /// The result for `group`, which is not asked for anything afterwards.
    ///
    /// # Errors
    /// As [`value`](Column::value).
    fn finish(&mut self, group: usize) -> Result<Value> {
        self.value(group)
    }

    /// The state of `group` in a form that can be written to disk; the group is not asked for anything afterwards.
    fn save(&mut self, group: usize) -> Value;

    /// Takes a state that was saved into that of `group`, behind what it has seen already.
    ///
    /// # Errors
    /// As [`add`](Column::add).
    fn load(&mut self, group: usize, saved: ValueRef<'_>) -> Result<()>;
}

/// The state of an accumulator with one argument, for one group.
pub(super) trait State: Default + Send {
    /// Takes `value` in, and answers by how many bytes the state grew. Strings are compared by `collation`.
    fn add(&mut self, value: Operand<'_>, collation: Option<&Collation>) -> Result<usize>;

    /// The result so far.
    fn value(&self) -> Result<Value>;

    /// The result, at the end.
    fn finish(&mut self) -> Result<Value> {
        self.value()
    }

    /// The state in a form that can be written to disk; it is not asked for anything afterwards.
    fn save(&mut self) -> Value;

    /// Takes a state that was saved into this one, behind what it has seen already.
    fn load(&mut self, saved: ValueRef<'_>, collation: Option<&Collation>) -> Result<()>;
}

/// A value that may be none yet, as an array of none or one.
pub(super) fn save_option(value: Option<&Value>) -> Value {
    Value::Array(DocBuf::array(value.map(Value::as_ref)))
}

/// The values in an array that was saved.
pub(super) fn saved_values(saved: ValueRef<'_>) -> impl Iterator<Item = ValueRef<'_>> {
    saved.as_array().unwrap_or(Doc::EMPTY).values()
}

/// Adds each value in an array that was saved.
fn load_values(
    state: &mut impl State,
    saved: ValueRef<'_>,
    collation: Option<&Collation>,
) -> Result<()> {
    for value in saved_values(saved) {
        state.add(Operand::Owned(Value::copy_of(value)), collation)?;
    }
    Ok(())
}

/// What an accumulator's row parses its argument with.
type Parse = fn(&'static str, ValueRef<'_>, &ParseContext) -> Result<Arc<dyn Spec>>;

/// What the place of a `$group` decides about its accumulators.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// Whether `$min` and `$max` keep the last of equal values instead of the first.
    ///
    /// mongod 6.0.5 runs a `$group` that can be pushed down to the storage scan in another engine than all others, and
    /// the two differ in this.
    pub(crate) last_of_equals: bool,
}

/// One accumulator's registration.
struct AccumulatorOp {
    name: &'static str,
    parse: Parse,
    refused: Option<ErrorCode>,
}

/// The accumulators of `$group`, sorted by name.
static ACCUMULATORS: &[AccumulatorOp] = &[
    AccumulatorOp {
        refused: Some(javascript::DISABLED),
        ..AccumulatorOp::new("$accumulator", javascript::parse)
    },
    AccumulatorOp::new("$addToSet", unary::<array::AddToSet>),
    AccumulatorOp::new("$avg", unary::<sum::Average>),
    AccumulatorOp::new("$bottom", sort_n::bottom),
    AccumulatorOp::new("$bottomN", sort_n::bottom_n),
    AccumulatorOp::new("$count", count),
    AccumulatorOp::new("$first", unary::<position::First>),
    AccumulatorOp::new("$firstN", sort_n::first_n),
    AccumulatorOp::new("$last", unary::<position::Last>),
    AccumulatorOp::new("$lastN", sort_n::last_n),
    AccumulatorOp::new("$max", extreme::max),
    AccumulatorOp::new("$maxN", sort_n::max_n),
    AccumulatorOp::new("$mergeObjects", unary::<merge_objects::Merge>),
    AccumulatorOp::new("$min", extreme::min),
    AccumulatorOp::new("$minN", sort_n::min_n),
    AccumulatorOp::new("$push", unary::<array::Push>),
    AccumulatorOp::new("$stdDevPop", unary::<std_dev::Population>),
    AccumulatorOp::new("$stdDevSamp", unary::<std_dev::Sample>),
    AccumulatorOp::new("$sum", unary::<Sum>),
    AccumulatorOp::new("$top", sort_n::top),
    AccumulatorOp::new("$topN", sort_n::top_n),
];

impl AccumulatorOp {
    const fn new(name: &'static str, parse: Parse) -> AccumulatorOp {
        AccumulatorOp {
            name,
            parse,
            refused: None,
        }
    }
}

/// The accumulators, sorted.
pub fn entries() -> impl Iterator<Item = Entry> {
    ACCUMULATORS.iter().map(|op| Entry {
        name: op.name,
        refused: op.refused,
    })
}

impl Accumulator {
    /// Parses `value`, which stands under `field` of a `$group`: `{$sum: "$price"}`.
    ///
    /// # Errors
    /// 40234 no accumulator, 40238 more than one, 15952 unknown, and what its argument fails with.
    pub(crate) fn parse(
        field: &[u8],
        value: ValueRef<'_>,
        cx: &ParseContext,
    ) -> Result<Accumulator> {
        let field = String::from_utf8_lossy(field);
        let not_one = || {
            Error::location(
                40234,
                format!("The field '{field}' must be an accumulator object"),
            )
        };
        let doc = value.as_document().ok_or_else(not_one)?;
        let mut elements = doc.iter();
        let first = elements.next().ok_or_else(not_one)?;
        if !first.key().starts_with(b"$") {
            return Err(not_one());
        }
        if elements.next().is_some() {
            return Err(Error::location(
                40238,
                format!("The field '{field}' must specify one accumulator"),
            ));
        }
        if first.value().as_array().is_some() {
            return Err(Error::location(
                40237,
                format!("The {} accumulator is a unary operator", first.key()),
            ));
        }
        let op = find(first.key()).ok_or_else(|| {
            Error::location(15952, format!("unknown group operator '{}'", first.key()))
        })?;
        Ok(Accumulator {
            name: op.name,
            spec: (op.parse)(op.name, first.value(), cx)?,
        })
    }

    /// `{$sum: 1}`, what `$count` and `$sortByCount` stand for.
    pub(crate) fn count() -> Accumulator {
        Accumulator {
            name: "$sum",
            spec: Arc::new(Unary::<Sum>::new(Input {
                expr: Expr::constant(Value::Int32(1)),
                collation: None,
            })),
        }
    }

    /// Whether mongod 6.0.5 can push a `$group` with it down to the scan.
    pub(crate) fn is_pushed_down(&self) -> bool {
        !matches!(
            self.name,
            "$bottom" | "$bottomN" | "$firstN" | "$lastN" | "$maxN" | "$minN" | "$top" | "$topN"
        )
    }

    /// Calls `visit` with its arguments as long as that answers true; false if it did not, or if they cannot be told.
    pub(crate) fn each_expr(&self, visit: &mut dyn FnMut(&Expr) -> bool) -> bool {
        self.spec.each_expr(visit)
    }

    /// An empty column of its states.
    pub(crate) fn column(&self, flags: Flags) -> Box<dyn Column> {
        Arc::clone(&self.spec).column(flags)
    }
}

fn find(name: &[u8]) -> Option<&'static AccumulatorOp> {
    let at = ACCUMULATORS
        .binary_search_by(|op| op.name.as_bytes().cmp(name))
        .ok()?;
    Some(&ACCUMULATORS[at])
}

/// The one argument of an accumulator, and how its values compare.
#[derive(Debug)]
struct Input {
    expr: Expr,
    collation: Option<Arc<Collation>>,
}

/// An accumulator with one argument.
#[derive(Debug)]
struct Unary<S> {
    input: Arc<Input>,
    state: std::marker::PhantomData<fn() -> S>,
}

impl<S> Unary<S> {
    fn new(input: Input) -> Unary<S> {
        Unary {
            input: Arc::new(input),
            state: std::marker::PhantomData,
        }
    }
}

impl<S: State + Debug + 'static> Spec for Unary<S> {
    fn column(self: Arc<Self>, _: Flags) -> Box<dyn Column> {
        unary_column::<S>(&self.input)
    }

    fn each_expr(&self, visit: &mut dyn FnMut(&Expr) -> bool) -> bool {
        visit(&self.input.expr)
    }
}

/// A column of states that take the values of `input` in.
fn unary_column<S: State + 'static>(input: &Arc<Input>) -> Box<dyn Column> {
    Box::new(UnaryColumn::<S> {
        input: Arc::clone(input),
        states: Vec::new(),
    })
}

struct UnaryColumn<S> {
    input: Arc<Input>,
    states: Vec<S>,
}

impl<S: State + 'static> Column for UnaryColumn<S> {
    fn begin(&mut self, _: &Bytes, _: &Scope<'_>) -> Result<()> {
        self.states.push(S::default());
        Ok(())
    }

    fn add(&mut self, group: usize, _: &Bytes, scope: &Scope<'_>) -> Result<usize> {
        let value = self.input.expr.operand(scope)?;
        match self.states.get_mut(group) {
            Some(state) => state.add(value, self.input.collation.as_deref()),
            None => Ok(0),
        }
    }

    fn field(&self) -> Option<String> {
        top_level_field(&self.input.expr)
    }

    #[inline]
    fn add_value(&mut self, group: usize, value: Operand<'_>) -> Result<usize> {
        match self.states.get_mut(group) {
            Some(state) => state.add(value, self.input.collation.as_deref()),
            None => Ok(0),
        }
    }

    fn value(&self, group: usize) -> Result<Value> {
        self.states.get(group).map_or(Ok(Value::Null), State::value)
    }

    fn finish(&mut self, group: usize) -> Result<Value> {
        self.states
            .get_mut(group)
            .map_or(Ok(Value::Null), State::finish)
    }

    fn save(&mut self, group: usize) -> Value {
        self.states.get_mut(group).map_or(Value::Null, State::save)
    }

    fn load(&mut self, group: usize, saved: ValueRef<'_>) -> Result<()> {
        match self.states.get_mut(group) {
            Some(state) => state.load(saved, self.input.collation.as_deref()),
            None => Ok(()),
        }
    }
}

/// The name, if `expr` is a top-level field of the document.
pub(crate) fn top_level_field(expr: &Expr) -> Option<String> {
    expr.as_field_path()
        .filter(|path| !path.is_empty() && !path.contains('.'))
}

fn unary<S: State + Debug + 'static>(
    _: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    Ok(Arc::new(Unary::<S>::new(argument(value, cx)?)))
}

/// The one argument of an accumulator.
fn argument(value: ValueRef<'_>, cx: &ParseContext) -> Result<Input> {
    Ok(Input {
        expr: Expr::parse(value, cx)?,
        collation: cx.collation.clone(),
    })
}

fn count(_: &'static str, value: ValueRef<'_>, _: &ParseContext) -> Result<Arc<dyn Spec>> {
    match value.as_document() {
        Some(doc) if doc.is_empty() => Ok(Accumulator::count().spec),
        _ => Err(Error::type_mismatch(
            "$count takes no arguments, i.e. $count:{}",
        )),
    }
}

/// The error of an accumulator that gathers too much.
#[cold]
fn too_much(name: &str) -> Error {
    Error::new(
        ErrorCode::ExceededMemoryLimit,
        format!(
            "{name} used too much memory and cannot spill to disk. Memory limit: {GATHERED_BYTES_MAX} bytes"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(
            ACCUMULATORS
                .windows(2)
                .all(|pair| pair[0].name < pair[1].name)
        );
    }
}
