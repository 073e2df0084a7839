//! The planner: which documents a command has to look at to answer a filter and a sort.
//!
//! A plan is made from the filter's tree, the sort, an optional hint and what is known of the indexes; it looks at no
//! data. It gives ranges of index keys that hold *at least* the documents wanted; unless the plan is exact, they still
//! have to be matched. Where several indexes would do, the one whose bounds should leave the fewest documents is taken,
//! by rules of thumb ([`choose`]); mongod tries them out instead, so the choice may differ while answers do not.
//!
//! ```text
//! filter -> conditions per path -> bounds of values -> index whose fields they fit -> ranges of keys
//!           conditions             bounds, interval    choose, partial                ranges
//! ```

mod bounds;
mod choose;
mod conditions;
mod covering;
mod describe;
mod explain;
mod explain_scan;
mod expression;
mod hint;
mod interval;
mod partial;
mod prefix;
mod ranges;

use crate::filter::{CompareOp, Filter, Node, Predicate};
use crate::index::{IndexSpec, Kind, Multikey};
use crate::sort::Order;
use crate::value::Value;
use crate::{Error, ErrorCode, Result};

use choose::Chooser;
use interval::Intervals;

pub use explain::{Explain, Purpose, Winning};
pub use hint::Hint;
pub use ranges::{KeyRange, past};

/// Most branches of an `$or` that are planned one by one.
const BRANCHES_MAX: usize = 1000;

/// What the planner has to know of an index.
#[derive(Clone, Copy, Debug)]
pub struct PlanIndex<'a> {
    /// Its specification.
    pub spec: &'a IndexSpec,
    /// Which of its paths lead through arrays.
    pub multikey: &'a Multikey,
}

/// Which way documents or keys are walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// In order.
    Forward,
    /// From the last to the first.
    Backward,
}

/// How to find the documents.
#[derive(Clone, Debug)]
pub enum Plan {
    /// There are none.
    Empty,
    /// By `_id`.
    IdLookup {
        /// The values of `_id`.
        ids: Vec<Value>,
    },
    /// By looking at all of them.
    CollScan {
        /// In order of insertion, or the reverse.
        direction: Direction,
    },
    /// By an index.
    IndexScan(IndexScan),
    /// By several plans, each document once.
    Union(Vec<Plan>),
}

/// A scan of ranges of an index.
#[derive(Clone, Debug)]
pub struct IndexScan {
    /// Name of the index; `None` is the `_id` index.
    pub index: Option<String>,
    /// Ranges of keys in ascending order, not overlapping. Walked from the last to the first if the direction is
    /// backward.
    pub bounds: Vec<KeyRange>,
    /// Which way the keys are walked.
    pub direction: Direction,
    /// Whether the documents come in the order of the sort.
    pub covers_sort: bool,
    /// Whether every document found passes the filter, so that it need not be matched again.
    pub exact: bool,
    /// Per field of the index, the values that pass.
    fields: Vec<Intervals>,
    /// The filter's conjuncts that the bounds answer completely.
    answered: Vec<usize>,
    /// Of a wildcard index, the path whose values `fields` are.
    wildcard: Option<Box<crate::path::Path>>,
}

impl Plan {
    /// Whether the documents come in the order of the sort that was planned for, or too few to matter.
    pub fn covers_sort(&self) -> bool {
        match self {
            Plan::Empty => true,
            // One document is in order.
            Plan::IdLookup { ids } => ids.len() <= 1,
            Plan::IndexScan(scan) => scan.covers_sort,
            Plan::CollScan { .. } | Plan::Union(_) => false,
        }
    }

    /// Makes it a part of a plan whose filter asks for more than this part answers.
    fn answer_a_part(&mut self) {
        match self {
            Plan::IndexScan(scan) => scan.exact = false,
            Plan::Union(plans) => plans.iter_mut().for_each(Plan::answer_a_part),
            Plan::Empty | Plan::IdLookup { .. } | Plan::CollScan { .. } => {}
        }
    }

    /// Whether every document found passes the filter.
    pub fn is_exact(&self) -> bool {
        match self {
            Plan::Empty | Plan::IdLookup { .. } => true,
            Plan::IndexScan(scan) => scan.exact,
            Plan::CollScan { .. } | Plan::Union(_) => false,
        }
    }
}

/// Plans `filter` and `order` over `indexes`. The `_id` index need not be among them, unless the collection has a
/// collation: then it must, as [`IndexSpec::id_collated`], since its keys are that collation's.
///
/// # Errors
/// `BadValue` for a hint that names no index, or an index beside `$natural`; `NoQueryExecutionPlans` for a hinted wildcard
/// index that no condition is for.
pub fn plan(
    filter: &Filter,
    order: &Order,
    hint: Option<&Hint>,
    indexes: &[PlanIndex<'_>],
) -> Result<Plan> {
    let sort = match order {
        Order::Any => None,
        Order::By(sort) => Some(sort),
        Order::Natural { reverse } => {
            if !matches!(hint, None | Some(Hint::Natural(_))) {
                return Err(Error::bad_value(
                    "index hint not allowed with $natural sort order",
                ));
            }
            return Ok(Plan::CollScan {
                direction: if *reverse {
                    Direction::Backward
                } else {
                    Direction::Forward
                },
            });
        }
    };
    if hint.is_none() {
        if matches!(filter.root(), Node::Always(false)) {
            return Ok(Plan::Empty);
        }
        if let Some(id) = id_lookup(filter.root(), indexes) {
            return Ok(Plan::IdLookup {
                ids: vec![id.clone()],
            });
        }
        // Nothing to choose from, and the commonest command.
        if filter.is_empty() && sort.is_none() {
            return Ok(Plan::CollScan {
                direction: Direction::Forward,
            });
        }
    }
    let id_spec;
    let id_multikey = Multikey::default();
    let mut all: Vec<PlanIndex<'_>> = Vec::with_capacity(indexes.len() + 1);
    if !indexes.iter().any(|index| index.spec.is_id()) {
        id_spec = IndexSpec::id();
        all.push(PlanIndex {
            spec: &id_spec,
            multikey: &id_multikey,
        });
    }
    all.extend_from_slice(indexes);
    let hinted = match hint {
        None => None,
        Some(Hint::Natural(direction)) => {
            return Ok(Plan::CollScan {
                direction: *direction,
            });
        }
        Some(hint) => Some(hint.find(&all)?),
    };
    let chooser = Chooser {
        indexes: &all,
        sort,
        hinted,
    };
    match chooser.plan(filter.root()) {
        Some(plan) => Ok(plan),
        // Not every document has a key in it, so it cannot stand for the collection.
        None if hinted.is_some_and(|at| all[at].spec.kind() == Kind::Wildcard)
            && !could_use_wildcard(filter.root()) =>
        {
            Err(Error::new(
                ErrorCode::NoQueryExecutionPlans,
                "planner returned error :: caused by :: $hint: refusing to build whole-index solution, because it's a wildcard index",
            ))
        }
        None => Ok(Plan::CollScan {
            direction: Direction::Forward,
        }),
    }
}

/// Whether mongod finds a use for a hinted wildcard index where this planner does not, and looks at all documents.
fn could_use_wildcard(root: &Node) -> bool {
    conditions::of(&conditions::conjuncts(root))
        .iter()
        .any(|condition| {
            !condition.is_negative() && condition.bounds(true).is_some_and(|bounds| !bounds.missing)
        })
}

/// The `_id` that the whole filter asks for, if that is all it does.
fn id_lookup<'f>(root: &'f Node, indexes: &[PlanIndex<'_>]) -> Option<&'f Value> {
    let leaf = match root {
        Node::Leaf(leaf) => leaf,
        Node::And(nodes) => match nodes.as_slice() {
            [Node::Leaf(leaf)] => leaf,
            _ => return None,
        },
        _ => return None,
    };
    let Predicate::Compare(compare) = &leaf.predicate else {
        return None;
    };
    let plain = !matches!(
        compare.operand(),
        Value::Null
            | Value::Undefined
            | Value::Missing
            | Value::Array(_)
            | Value::Regex(_)
            | Value::MinKey
            | Value::MaxKey
    );
    if compare.op() != CompareOp::Eq || !plain || leaf.path.text() != "_id" {
        return None;
    }
    // A string is found only if the index compares strings as the filter does.
    let collation = indexes
        .iter()
        .find(|index| index.spec.is_id())
        .and_then(|index| index.spec.collation());
    let textual = matches!(
        compare.operand(),
        Value::String(_) | Value::Symbol(_) | Value::Document(_)
    );
    (!textual || compare.collation() == collation).then(|| compare.operand())
}
