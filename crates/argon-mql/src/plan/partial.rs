//! Whether every document that a filter finds is in a partial index.

use super::bounds;
use super::conditions::Condition;
use crate::filter::{Leaf, Node, Predicate};
use crate::value::equal;

/// Whether `conditions`, which all hold, imply `node`.
pub(super) fn implies(conditions: &[Condition<'_>], node: &Node) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(|node| implies(conditions, node)),
        Node::Or(nodes) => nodes.iter().any(|node| implies(conditions, node)),
        Node::Leaf(leaf) => conditions
            .iter()
            .any(|condition| condition.item.is_none() && implies_leaf(condition, leaf)),
        _ => false,
    }
}

fn implies_leaf(condition: &Condition<'_>, leaf: &Leaf) -> bool {
    if *condition.path != leaf.path || condition.is_negative() || condition.is_expression() {
        return false;
    }
    let Some(given) = condition.bounds(true) else {
        return matches!(leaf.predicate, Predicate::Exists)
            && condition.predicate().is_some_and(|predicate| {
                matches!(predicate, Predicate::Size(_) | Predicate::Bits(_))
            });
    };
    if let (Some(Predicate::Compare(a)), Predicate::Compare(b)) =
        (condition.predicate(), &leaf.predicate)
        && a.op() == b.op()
        && a.collation() == b.collation()
        && equal(a.operand().as_ref(), b.operand().as_ref())
    {
        return true;
    }
    match &leaf.predicate {
        Predicate::Exists => !given.missing,
        // `given` may have keys of its own that are no matches, but the needed ones must be matches.
        needed => bounds::of(needed).is_some_and(|needed| {
            needed.exact
                && (given.collation == needed.collation || !given.has_strings())
                && given.intervals.is_within(&needed.intervals)
        }),
    }
}
