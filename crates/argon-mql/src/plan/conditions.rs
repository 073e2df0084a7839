//! The conditions of a filter that must all hold, by the path each is on.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::bounds::{self, Bounds};
use super::expression::{self, Comparison};
use crate::collation::Collation;
use crate::filter::{Node, Predicate};
use crate::path::Path;

/// Deepest `$elemMatch` that is looked into.
const DEPTH_MAX: usize = 20;

/// A condition on one path, of which an index on that path may find the documents.
pub(super) struct Condition<'f> {
    pub(super) path: Cow<'f, Path>,
    kind: Kind<'f>,
    /// Which of the filter's conjuncts it is, or is part of.
    pub(super) conjunct: usize,
    /// The `$elemMatch` it stands in: its conjunct, and how many components its path has.
    pub(super) item: Option<(usize, usize)>,
    /// Its bounds on an index without arrays on the path, and on one with, once asked for.
    bounds: [OnceCell<Option<Bounds>>; 2],
}

enum Kind<'f> {
    Holds(&'f Predicate),
    HoldsNot(&'f Predicate),
    /// One of several predicates.
    Any(Vec<&'f Predicate>),
    /// A comparison in an expression, with how it compares strings.
    Expression(Comparison, Option<&'f Collation>),
}

impl Condition<'_> {
    /// The bounds, if an index on the path, with or without arrays, helps.
    pub(super) fn bounds(&self, multikey: bool) -> Option<&Bounds> {
        self.bounds[usize::from(multikey)]
            .get_or_init(|| self.find_bounds(multikey))
            .as_ref()
    }

    fn find_bounds(&self, multikey: bool) -> Option<Bounds> {
        let mut found = match &self.kind {
            Kind::Holds(predicate) => bounds::of(predicate)?,
            Kind::HoldsNot(predicate) => bounds::of_not(predicate, multikey)?,
            Kind::Expression(comparison, collation) => comparison.bounds(*collation, multikey)?,
            Kind::Any(predicates) => {
                let all: Option<Vec<Bounds>> = predicates
                    .iter()
                    .map(|predicate| bounds::of(predicate))
                    .collect();
                all?.into_iter().reduce(Bounds::union)?
            }
        };
        // A number in a path may be a position or a name: a document has a key for one of them only, while a condition
        // that holds without a value may hold for the other. And an item at a position is one key even if it is an
        // array, whose items are then not among the keys.
        let positional = self.path.parts().iter().any(|part| part.index().is_some());
        let of_items = matches!(self.predicate(), Some(Predicate::ElemMatchValue(_)));
        if positional && (found.missing || of_items) {
            return None;
        }
        // The item has more to meet than this.
        found.exact &= self.item.is_none() && !positional;
        Some(found)
    }

    /// Whether it is a comparison in an expression.
    pub(super) fn is_expression(&self) -> bool {
        matches!(self.kind, Kind::Expression(..))
    }

    /// Whether it is the opposite of a condition.
    pub(super) fn is_negative(&self) -> bool {
        matches!(self.kind, Kind::HoldsNot(_))
    }

    /// The predicate, if it is simply that.
    pub(super) fn predicate(&self) -> Option<&Predicate> {
        match self.kind {
            Kind::Holds(predicate) => Some(predicate),
            _ => None,
        }
    }
}

/// The nodes that must all hold, without the `And`s around them.
pub(super) fn conjuncts(root: &Node) -> Vec<&Node> {
    let mut found = Vec::new();
    flatten(root, &mut found);
    found
}

fn flatten<'f>(node: &'f Node, found: &mut Vec<&'f Node>) {
    match node {
        Node::And(nodes) => nodes.iter().for_each(|node| flatten(node, found)),
        node => found.push(node),
    }
}

/// The conditions in `conjuncts` that are on one path each.
pub(super) fn of<'f>(conjuncts: &[&'f Node]) -> Vec<Condition<'f>> {
    let mut found = Vec::with_capacity(conjuncts.len());
    for (conjunct, node) in conjuncts.iter().enumerate() {
        collect(node, conjunct, None, &mut found, 0);
    }
    found
}

fn collect<'f>(
    node: &'f Node,
    conjunct: usize,
    outer: Option<&Path>,
    found: &mut Vec<Condition<'f>>,
    depth: usize,
) {
    let item = outer.map(|outer| (conjunct, outer.parts().len()));
    let mut add = |path: &'f Path, kind| {
        found.push(Condition {
            path: joined(outer, path),
            kind,
            conjunct,
            item,
            bounds: [OnceCell::new(), OnceCell::new()],
        });
    };
    match node {
        Node::Leaf(leaf) => match &leaf.predicate {
            Predicate::ElemMatchObject(inner) if depth < DEPTH_MAX => {
                let path = joined(outer, &leaf.path);
                for node in conjuncts(inner) {
                    collect(node, conjunct, Some(&path), found, depth + 1);
                }
            }
            predicate => add(&leaf.path, Kind::Holds(predicate)),
        },
        Node::Not(inner) => {
            if let Node::Leaf(leaf) = &**inner {
                add(&leaf.path, Kind::HoldsNot(&leaf.predicate));
            }
        }
        Node::Nor(nodes) => {
            if let [Node::Leaf(leaf)] = nodes.as_slice() {
                add(&leaf.path, Kind::HoldsNot(&leaf.predicate));
            }
        }
        Node::Or(nodes) => {
            let Some(Node::Leaf(first)) = nodes.first() else {
                return;
            };
            let predicates: Option<Vec<&Predicate>> = nodes
                .iter()
                .map(|node| match node {
                    Node::Leaf(leaf) if leaf.path == first.path => Some(&leaf.predicate),
                    _ => None,
                })
                .collect();
            if let Some(predicates) = predicates {
                add(&first.path, Kind::Any(predicates));
            }
        }
        Node::Expr(node) => {
            for comparison in expression::comparisons(node.source.as_ref()) {
                found.push(Condition {
                    path: Cow::Owned(comparison.path.clone()),
                    kind: Kind::Expression(comparison, node.collation.as_deref()),
                    conjunct,
                    item: None,
                    bounds: [OnceCell::new(), OnceCell::new()],
                });
            }
        }
        _ => {}
    }
}

fn joined<'f>(outer: Option<&Path>, path: &'f Path) -> Cow<'f, Path> {
    match outer {
        None => Cow::Borrowed(path),
        Some(outer) => Cow::Owned(Path::new(
            [outer.text().as_ref(), path.text().as_ref()].join(&b'.'),
        )),
    }
}
