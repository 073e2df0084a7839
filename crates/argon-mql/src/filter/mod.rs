//! Filters: which documents a query, an update or a `$match` is about.
//!
//! A filter is parsed once into a tree ([`Node`]) that the planner reads as well, and then run over the bytes of
//! documents. The commonest shape, conditions on top-level fields that must all hold, takes one pass over a document
//! and allocates nothing.
//!
//! Geospatial operators, `$text` and `$where` are recognised and refused.

mod array;
mod bitwise;
mod comparison;
mod element;
mod eval;
mod evaluation;
mod geo;
mod logical;
mod number;
mod parse;
mod reason;
mod schema;
mod show;
mod simplify;
mod tree;
mod validator;

use bytes::Bytes;

use crate::path::Path;
use crate::value::{Doc, FieldName, Fields, Value, ValueRef};
use crate::{Env, ParseContext, Result};

pub use element::entries as type_aliases;
pub use parse::entries;
pub use schema::entries as schema_entries;

pub use bitwise::{BitTest, Bits};
pub use comparison::{Compare, CompareOp, In};
pub use reason::failure;
pub use schema::Schema;
pub use tree::{ExprNode, Leaf, Node, Predicate, TypeSet};

use eval::Run;
use parse::Parser;

/// Most conditions that one pass over a document keeps track of.
const ONE_PASS_MAX: usize = 64;

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter {
    root: Node,
    /// If the root is conditions on top-level fields that must all hold: the heads of their names.
    one_pass: Option<Box<[u64]>>,
}

impl Filter {
    /// Parses a filter document.
    ///
    /// # Errors
    /// MongoDB's own for each malformed operator: mostly `BadValue`.
    pub fn parse(doc: Doc<'_>, cx: &ParseContext) -> Result<Filter> {
        Parser { cx, top: true }.document(doc).map(Filter::new)
    }

    /// The filter that every document passes.
    pub fn all() -> Filter {
        Filter::new(Node::And(Vec::new()))
    }

    /// A filter out of its tree.
    pub fn new(root: Node) -> Filter {
        let one_pass = match &root {
            Node::And(nodes) if nodes.len() > 1 && nodes.len() <= ONE_PASS_MAX => nodes
                .iter()
                .map(|node| on_top_level(node).map(|(name, ..)| name.head()))
                .collect(),
            _ => None,
        };
        Filter { root, one_pass }
    }

    /// The tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Whether every document passes because there is no condition.
    pub fn is_empty(&self) -> bool {
        self.root.is_always()
    }

    /// The filter as explanations print it: its tree, not its text.
    pub fn to_doc(&self) -> Bytes {
        show::filter(&self.root)
    }

    /// Whether `doc` passes.
    ///
    /// # Errors
    /// Those of `$expr`.
    #[inline]
    pub fn matches(&self, doc: &Bytes, env: &Env<'_>) -> Result<bool> {
        let mut run = Run {
            root: doc,
            env,
            error: None,
            trace: false,
            position: None,
        };
        let holds = match &self.one_pass {
            Some(heads) => self.holds_in_one_pass(heads, Doc::new(doc), &mut run),
            None => self.root.holds(Doc::new(doc), &mut run),
        };
        match run.error {
            None => Ok(holds),
            Some(error) => Err(error),
        }
    }

    /// The position, in the array that the filter's last condition on an array went through, of the item that met it:
    /// what `$` in an update or projection stands for. `None` if `doc` does not pass, or no array was met.
    ///
    /// # Errors
    /// Those of `$expr`.
    pub fn array_match(&self, doc: &Bytes, env: &Env<'_>) -> Result<Option<usize>> {
        let mut run = Run {
            root: doc,
            env,
            error: None,
            trace: true,
            position: None,
        };
        let holds = self.root.holds(Doc::new(doc), &mut run);
        match run.error {
            None => Ok(run.position.filter(|_| holds)),
            Some(error) => Err(error),
        }
    }

    /// The paths that must equal one value, with that value: the fields an upsert starts from. In the order of the
    /// filter; a path may come twice.
    pub fn equalities(&self) -> Vec<(&Path, &Value)> {
        let mut found = Vec::new();
        collect_equalities(&self.root, &mut found);
        found
    }

    fn holds_in_one_pass(&self, heads: &[u64], doc: Doc<'_>, run: &mut Run<'_, '_>) -> bool {
        let Node::And(nodes) = &self.root else {
            return self.root.holds(doc, run);
        };
        let mut open: u64 = u64::MAX >> (ONE_PASS_MAX - nodes.len());
        for field in Fields::of(doc) {
            for (at, &head) in heads.iter().enumerate() {
                if head != field.head() || open & (1 << at) == 0 {
                    continue;
                }
                let Some((name, leaf, wanted)) = nodes.get(at).and_then(on_top_level) else {
                    continue;
                };
                if !field.is(name) {
                    continue;
                }
                if leaf.holds_at(field.value(), run) != wanted {
                    return false;
                }
                open &= !(1 << at);
                if open == 0 {
                    return true;
                }
            }
        }
        // Fields that the document does not have.
        nodes.iter().enumerate().all(|(at, node)| {
            open & (1 << at) == 0
                || on_top_level(node).is_some_and(|(_, leaf, wanted)| {
                    leaf.holds_at(ValueRef::Missing, run) == wanted
                })
        })
    }
}

/// A condition on one top-level field: its name, the leaf, and whether that has to hold or to fail.
#[inline]
fn on_top_level(node: &Node) -> Option<(&FieldName, &Leaf, bool)> {
    let (leaf, wanted) = match node {
        Node::Leaf(leaf) => (leaf, true),
        Node::Not(inner) => match &**inner {
            Node::Leaf(leaf) => (leaf, false),
            _ => return None,
        },
        _ => return None,
    };
    Some((leaf.path.single()?, leaf, wanted))
}

fn collect_equalities<'f>(node: &'f Node, found: &mut Vec<(&'f Path, &'f Value)>) {
    match node {
        Node::And(nodes) => {
            for node in nodes {
                collect_equalities(node, found);
            }
        }
        Node::Or(nodes) if nodes.len() == 1 => collect_equalities(&nodes[0], found),
        Node::Leaf(Leaf {
            path,
            predicate: Predicate::Compare(compare),
        }) if compare.op() == CompareOp::Eq => found.push((path, compare.operand())),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
