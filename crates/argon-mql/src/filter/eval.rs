//! Running a filter's tree over a document.

use bytes::Bytes;

use crate::expr::Scope;
use crate::path::at_leaf;
use crate::value::{Doc, ValueRef};
use crate::{Env, Error};

use super::comparison::regex_test;
use super::number::truncated;
use super::tree::{Leaf, Node, Predicate};

/// One run over one document: what `$expr` sees, and what comes out besides yes or no.
pub(super) struct Run<'a, 'e> {
    pub(super) root: &'a Bytes,
    pub(super) env: &'a Env<'e>,
    /// The first failure of an `$expr`; the answer is void then.
    pub(super) error: Option<Error>,
    /// Whether to find out `position`.
    pub(super) trace: bool,
    /// Position of the matching item in the outermost array that the last condition to hold went through.
    pub(super) position: Option<usize>,
}

impl Node {
    pub(super) fn holds(&self, doc: Doc<'_>, run: &mut Run<'_, '_>) -> bool {
        match self {
            Node::And(nodes) => {
                let all = nodes.iter().all(|node| node.holds(doc, run));
                if !all {
                    run.position = None;
                }
                all
            }
            // Which alternative held is nobody's business.
            Node::Or(nodes) => untraced(run, |run| nodes.iter().any(|node| node.holds(doc, run))),
            Node::Nor(nodes) => !untraced(run, |run| nodes.iter().any(|node| node.holds(doc, run))),
            Node::Not(node) => !untraced(run, |run| node.holds(doc, run)),
            Node::Leaf(leaf) => leaf.holds(doc, run),
            Node::Expr(expr) => {
                if run.error.is_some() {
                    return false;
                }
                match expr.expr.is_true(&Scope::new(run.root, run.env)) {
                    Ok(holds) => holds,
                    Err(error) => {
                        run.error = Some(error);
                        false
                    }
                }
            }
            Node::Schema(schema) => schema.holds(ValueRef::Document(doc)),
            Node::SampleRate(rate) => unit_interval(run.env.next_random()) < *rate,
            Node::Always(value) => *value,
        }
    }

    /// Whether `value` itself, not taken apart, meets the conditions: inside `$elemMatch` with operators.
    fn holds_value(&self, value: ValueRef<'_>, run: &mut Run<'_, '_>) -> bool {
        match self {
            Node::And(nodes) => nodes.iter().all(|node| node.holds_value(value, run)),
            Node::Or(nodes) => nodes.iter().any(|node| node.holds_value(value, run)),
            Node::Nor(nodes) => !nodes.iter().any(|node| node.holds_value(value, run)),
            Node::Not(node) => !node.holds_value(value, run),
            Node::Leaf(leaf) => leaf.predicate.test(value, run),
            // The parser puts only operators on fields here.
            Node::Expr(_) | Node::Schema(_) | Node::SampleRate(_) => false,
            Node::Always(holds) => *holds,
        }
    }
}

/// Runs `test` without letting it set the position: a condition that must fail says nothing of where one holds.
fn untraced(run: &mut Run<'_, '_>, test: impl FnOnce(&mut Run<'_, '_>) -> bool) -> bool {
    let trace = std::mem::replace(&mut run.trace, false);
    let position = run.position;
    let holds = test(run);
    run.trace = trace;
    run.position = position;
    holds
}

impl Leaf {
    fn holds(&self, doc: Doc<'_>, run: &mut Run<'_, '_>) -> bool {
        match self.path.single() {
            Some(name) => self.holds_at(name.find(doc), run),
            None => {
                let mut position = None;
                let holds = self
                    .path
                    .any(doc, self.predicate.leaf_array(), &mut |value, at| {
                        position = at;
                        self.predicate.test(value, run)
                    });
                if holds && run.trace && position.is_some() {
                    run.position = position;
                }
                holds
            }
        }
    }

    /// Whether the condition holds for `value`, which stands where the path leads.
    #[inline]
    pub(super) fn holds_at(&self, value: ValueRef<'_>, run: &mut Run<'_, '_>) -> bool {
        if !matches!(value, ValueRef::Array(_)) {
            return self.predicate.test(value, run);
        }
        let mut position = None;
        let holds = at_leaf(
            value,
            None,
            self.predicate.leaf_array(),
            &mut |value, at| {
                position = at;
                self.predicate.test(value, run)
            },
        );
        if holds && run.trace && position.is_some() {
            run.position = position;
        }
        holds
    }
}

impl Predicate {
    /// Whether `value` itself, not taken apart, meets the condition.
    #[inline]
    fn test(&self, value: ValueRef<'_>, run: &mut Run<'_, '_>) -> bool {
        match self {
            Predicate::Compare(compare) => compare.test(value),
            Predicate::In(values) => values.test(value),
            Predicate::Regex(regex) => regex_test(regex, value),
            Predicate::Exists => !matches!(value, ValueRef::Missing),
            Predicate::Type(types) => types.holds(&value),
            Predicate::Mod { divisor, remainder } => match truncated(value) {
                Ok(number) => number.wrapping_rem(*divisor) == *remainder,
                Err(_) => false,
            },
            Predicate::Bits(bits) => bits.holds(value),
            Predicate::Size(size) => value.as_array().is_some_and(|array| {
                u32::try_from(array.iter().count()).is_ok_and(|count| count == *size)
            }),
            Predicate::ElemMatchObject(node) => some_item(value, run, |item, run| match item {
                ValueRef::Document(doc) | ValueRef::Array(doc) => node.holds(doc, run),
                _ => false,
            }),
            Predicate::ElemMatchValue(node) => {
                some_item(value, run, |item, run| node.holds_value(item, run))
            }
        }
    }
}

/// Whether `value` is an array of which an item passes `test`; the position found is that item's.
fn some_item<'v>(
    value: ValueRef<'v>,
    run: &mut Run<'_, '_>,
    test: impl Fn(ValueRef<'v>, &mut Run<'_, '_>) -> bool,
) -> bool {
    let ValueRef::Array(array) = value else {
        return false;
    };
    let found = untraced_position(run, |run| array.values().position(|item| test(item, run)));
    if run.trace && found.is_some() {
        run.position = found;
    }
    found.is_some()
}

fn untraced_position(
    run: &mut Run<'_, '_>,
    find: impl FnOnce(&mut Run<'_, '_>) -> Option<usize>,
) -> Option<usize> {
    let trace = std::mem::replace(&mut run.trace, false);
    let found = find(run);
    run.trace = trace;
    found
}

/// A number in [0, 1) out of 64 random bits.
#[expect(clippy::cast_precision_loss, reason = "the top 53 bits fit exactly")]
fn unit_interval(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
