//! What a stage changes of the documents that it gives on, and what that means for a filter behind it.

use bytes::Bytes;

use crate::expr::Expr;
use crate::filter::{ExprNode, Leaf, Node, Predicate};
use crate::path::Path;
use crate::value::{Value, ValueRef};

/// What a stage changes of each document that it gives on, once or in several copies.
#[derive(Clone, Debug)]
pub(crate) enum Changes {
    /// There is no telling, or it does not give documents on: no filter may pass.
    All,
    /// The fields at some paths.
    Only(Paths),
    /// All but the fields at some paths.
    AllBut(Paths),
}

/// Dotted paths, and fields that only got another name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    paths: Vec<Bytes>,
    /// New path and old.
    renames: Vec<(Bytes, Bytes)>,
    /// Whether a condition that a field exists has to stay behind, because the stage makes missing values null.
    makes_null: bool,
}

impl Changes {
    /// Nothing is changed.
    pub(crate) fn none() -> Changes {
        Changes::Only(Paths::default())
    }

    /// The field at `path` is changed.
    pub(crate) fn of(path: &[u8]) -> Changes {
        Changes::Only(Paths {
            paths: vec![Bytes::copy_from_slice(path)],
            ..Paths::default()
        })
    }
}

impl Paths {
    pub(crate) fn add(&mut self, path: &[u8]) {
        self.paths.push(Bytes::copy_from_slice(path));
    }

    /// Adds `path`, which is computed by `expr`: if that is a plain field, it only gets another name. mongod takes this for
    /// true of fields inside arrays as well.
    pub(crate) fn add_computed(&mut self, path: &[u8], expr: &Expr) {
        self.add_renamed(path, expr);
        self.add(path);
    }

    /// As [`add_computed`](Paths::add_computed), where all but the paths is changed.
    pub(crate) fn add_renamed(&mut self, path: &[u8], expr: &Expr) {
        let is_name = |old: &String| !old.is_empty() && !old.contains('.');
        if let Some(old) = expr.as_field_path().filter(is_name) {
            let new = Bytes::copy_from_slice(path);
            self.renames.push((new, Bytes::from(old)));
        }
    }

    /// Notes that what is missing becomes null.
    pub(crate) fn make_null(mut self) -> Paths {
        self.makes_null = true;
        self
    }

    /// What the field at `path` was called before, if it only got another name.
    fn old_name(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.renames.iter().find_map(|(new, old)| {
            let rest = path.strip_prefix(&**new)?;
            (rest.is_empty() || rest.starts_with(b".")).then(|| [old, rest].concat())
        })
    }
}

/// Whether `inner` is `outer` or leads to something inside it.
fn is_within(inner: &[u8], outer: &[u8]) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
}

impl Changes {
    /// Whether the field at `path` is what it was before, under the same name.
    pub(super) fn keep(&self, path: &[u8]) -> bool {
        match self {
            Changes::All => false,
            Changes::Only(changed) => !changed
                .paths
                .iter()
                .any(|other| is_within(path, other) || is_within(other, path)),
            Changes::AllBut(kept) => kept.paths.iter().any(|other| is_within(path, other)),
        }
    }

    /// `node` as a condition on the documents before the stage, if it is one.
    pub(super) fn before(&self, node: &Node) -> Option<Node> {
        let (Changes::Only(paths) | Changes::AllBut(paths)) = self else {
            return None;
        };
        Some(match node {
            Node::And(nodes) => Node::And(self.all_before(nodes)?),
            Node::Or(nodes) => Node::Or(self.all_before(nodes)?),
            Node::Nor(nodes) => Node::Nor(self.all_before(nodes)?),
            Node::Not(node) => Node::Not(Box::new(self.before(node)?)),
            Node::Leaf(leaf) => {
                if paths.makes_null && matches!(leaf.predicate, Predicate::Exists) {
                    return None;
                }
                let text = leaf.path.text();
                match paths.old_name(text) {
                    Some(_) if is_about_arrays(&leaf.predicate) => return None,
                    Some(old) => Node::Leaf(Leaf {
                        path: Path::new(old),
                        predicate: leaf.predicate.clone(),
                    }),
                    None if !text.is_empty() && self.keep(text) => node.clone(),
                    None => return None,
                }
            }
            Node::Expr(expr) => {
                let mut kept = !is_random(expr);
                expr.expr
                    .each_field(&mut |path| kept &= !path.is_empty() && self.keep(path.as_bytes()));
                if !kept {
                    return None;
                }
                node.clone()
            }
            Node::Always(_) => node.clone(),
            Node::Schema(_) | Node::SampleRate(_) => return None,
        })
    }

    fn all_before(&self, nodes: &[Node]) -> Option<Vec<Node>> {
        nodes.iter().map(|node| self.before(node)).collect()
    }
}

/// Whether it is a condition on an array as a whole, for which mongod does not take another name.
fn is_about_arrays(predicate: &Predicate) -> bool {
    matches!(
        predicate,
        Predicate::Size(_) | Predicate::ElemMatchObject(_) | Predicate::ElemMatchValue(_)
    )
}

/// Whether the expression has another value each time.
fn is_random(expr: &ExprNode) -> bool {
    fn names_rand(value: ValueRef<'_>) -> bool {
        // A filter's depth, which was checked when it came in, bounds this recursion.
        let (ValueRef::Document(inner) | ValueRef::Array(inner)) = value else {
            return false;
        };
        inner
            .iter()
            .any(|element| *element.key() == "$rand" || names_rand(element.value()))
    }
    names_rand(expr.source.as_ref())
}

/// Those of the conditions `node` that a document meets whenever a part of it does: `$redact` leaves out parts.
///
/// Source: mongod 6.0.5, explanations.
pub(super) fn met_by_parts(node: &Node) -> Option<Node> {
    match node {
        Node::And(nodes) => {
            let met: Vec<Node> = nodes.iter().filter_map(met_by_parts).collect();
            (!met.is_empty()).then(|| Node::and(met))
        }
        Node::Or(nodes) => {
            let met: Option<Vec<Node>> = nodes.iter().map(met_by_parts).collect();
            met.map(Node::Or)
        }
        Node::Leaf(leaf) => {
            let numbered = leaf.path.parts().iter().any(|part| part.index().is_some());
            let is_scalar = |value: &Value| {
                !matches!(
                    value,
                    Value::Null | Value::Undefined | Value::Document(_) | Value::Array(_)
                )
            };
            let met = match &leaf.predicate {
                Predicate::Compare(compare) => is_scalar(compare.operand()),
                Predicate::In(list) => list.values().iter().all(is_scalar),
                Predicate::Regex(_)
                | Predicate::Type(_)
                | Predicate::Mod { .. }
                | Predicate::Bits(_)
                | Predicate::ElemMatchObject(_)
                | Predicate::ElemMatchValue(_) => true,
                Predicate::Exists | Predicate::Size(_) => false,
            };
            (met && !numbered).then(|| node.clone())
        }
        _ => None,
    }
}
